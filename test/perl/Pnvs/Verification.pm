# Verification.pm: a server on which phone numbers are verified from beginning to end.
#
#   my $verification = Pnvs::Verification->new($service, 'begin', conf => "pnvs.limits = ''\n");
#   my $begun = $verification->begin($verification->new_number, purpose => 'sign-up');
#   is($begun->{state}, 'pending', 'it has begun');
#   is($verification->resend($begun->{id})->{refused}, 'too_many', 'no other message so soon');

package Pnvs::Verification;

use strict;
use warnings;

use parent 'Pnvs::Queue';

# The call as SQL: named arguments are SQL's; a text is quoted, and a reference to one is not.
sub begin_sql
{
	my ($to, %argument) = @_;
	my @argument = (literal($to), map { "$_ => " . literal($argument{$_}) } sort keys %argument);

	return 'begin_verification(' . join(', ', @argument) . ')';
}

# Undefined is NULL.
sub literal
{
	my ($value) = @_;

	return 'NULL' unless defined $value;
	return $$value if ref $value;
	return "'" . $value =~ s/'/''/gr . "'";
}

# The row. session: another than the first.
sub begin
{
	my ($self, $to, %param) = @_;
	my $session = delete $param{session} // $self->session;

	return $session->run('SELECT * FROM ' . begin_sql($to, service_sid => 'FA1', %param))->row;
}

sub resend
{
	my ($self, $id, %param) = @_;
	my $session = $param{session} // $self->session;

	return $session->run('SELECT * FROM resend_verification(' . literal($id) . ', ' . literal($param{channel}) . ')')->row;
}

sub cancel
{
	my ($self, $id, $session) = @_;

	return ($session // $self->session)->value('SELECT cancel_phone_verification(' . literal($id) . ')');
}

sub status
{
	my ($self, $id, $session) = @_;

	return ($session // $self->session)->run('SELECT * FROM phone_verification_status(' . literal($id) . ')')->row;
}

# The row of the table.
sub stored
{
	my ($self, $id) = @_;

	return $self->session->run("SELECT * FROM pnvs_internal.phone_verification WHERE id = '$id'")->row;
}

# Its messages as "channel:state", in the order in which they were queued.
sub messages
{
	my ($self, $id) = @_;

	return $self->session->value("SELECT coalesce(string_agg(channel || ':' || state, ' ' ORDER BY id), '') "
		  . "FROM pnvs_internal.queue WHERE phone_verification = '$id'");
}

# Waits until none of its messages is open; the same.
sub settled_messages
{
	my ($self, $id) = @_;

	Pnvs::Simulator::wait_until('messages are settled',
		sub { $self->session->value("SELECT bool_and(settled_at IS NOT NULL) FROM pnvs_internal.queue WHERE phone_verification = '$id'") eq 't' });
	return $self->messages($id);
}

# As if the time had come for another message.
sub let_resend
{
	my ($self, $id) = @_;

	$self->session->run("UPDATE pnvs_internal.phone_verification SET resend_at = now() - interval '1 second' WHERE id = '$id'");
	return;
}

1;
