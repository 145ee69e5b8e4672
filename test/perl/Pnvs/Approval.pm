# Approval.pm: approved verifications, for tests of what uses them up.
#
#   my $approval = Pnvs::Approval->new($session);       # of the owner of the extension
#   my $id = $approval->approve('6281600000001', purpose => 'login');
#   is($approval->state($id), 'approved', 'it is there');

package Pnvs::Approval;

use strict;
use warnings;

my $next_number = 6281600000000;

# new(SESSION): one that may write the table of verifications.
sub new
{
	my ($class, $session) = @_;

	return bless { session => $session }, $class;
}

sub new_number { return $next_number++; }

# approve(NUMBER, [purpose, state, role, age, changes]): the ID of a verification as the
# confirmed code leaves it; age is an interval, changes are further assignments.
sub approve
{
	my ($self, $number, %param) = @_;
	my $session = $self->{session};
	my $purpose = defined $param{purpose} ? "'$param{purpose}'" : 'NULL';
	my $role = $param{role} // 'CURRENT_USER';
	my $state = $param{state} // 'approved';
	my $age = $param{age} // '0 s';
	my $id = $session->value(<<"SQL");
INSERT INTO pnvs_internal.phone_verification (id, requested_by, state, recipient, purpose, service_sid, channels,
		channel_position, channel, messages, is_decoy, trusted, begun_at, expires_at, resend_at, refused_count, tries,
		approved_at, origin_system, origin_database, origin_timeline)
	SELECT gen_random_uuid(), quote_ident($role)::regrole, '$state', '$number', $purpose, 'FA1', '{SMS}', 0, 'SMS', 1, false,
		false, clock_timestamp() - interval '$age', clock_timestamp() + interval '10 min', clock_timestamp(), 0, 0,
		clock_timestamp() - interval '$age', system_identifier, d.oid, 1
	FROM pg_control_system(), pg_database d WHERE datname = current_database()
	RETURNING id
SQL

	$session->run("UPDATE pnvs_internal.phone_verification SET $param{changes} WHERE id = '$id'") if $param{changes};
	return $id;
}

sub row
{
	my ($self, $id) = @_;

	return $self->{session}->run("SELECT * FROM pnvs_internal.phone_verification WHERE id = '$id'")->row;
}

sub state { return $_[0]->row($_[1])->{state}; }

1;
