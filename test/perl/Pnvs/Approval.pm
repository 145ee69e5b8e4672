# Approval.pm: approved verifications, for tests of what uses them up.
#
#   my $approval = Pnvs::Approval->new($session);       # of the owner of the extension
#   my $id = $approval->approve('6281600000001', purpose => 'login');
#   is($approval->state($id), 'approved', 'it is there');

package Pnvs::Approval;

use strict;
use warnings;

use Pnvs::Rows qw(insert_verification);

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
	my $begun_at = "clock_timestamp() - interval '" . ($param{age} // '0 s') . "'";
	my $id = insert_verification($session,
		requested_by => 'quote_ident(' . ($param{role} // 'CURRENT_USER') . ')::regrole',
		state => "'" . ($param{state} // 'approved') . "'",
		recipient => "'$number'",
		purpose => defined $param{purpose} ? "'$param{purpose}'" : 'NULL',
		begun_at => $begun_at,
		approved_at => $begun_at);

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
