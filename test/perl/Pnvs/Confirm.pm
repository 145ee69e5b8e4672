# Confirm.pm: a server with verifications, whose codes are typed in.
#
#   my $server = Pnvs::Confirm->new($service, 'main');
#   my $v = $server->begin('FA1');                    # and its message has been sent
#   $server->confirm($v, wrong($v));                  # the row of confirm_verification()
#   is($server->confirm($v, $v->{code})->{approved}, 't', 'the right code is approved');

package Pnvs::Confirm;

use strict;
use warnings;

use Pnvs::Simulator;

use parent 'Pnvs::Verification';

# begin(SERVICE_SID, [number, session, wait, further arguments]): a verification, of another
# number each. Unless wait is 0, its message has been sent.
sub begin
{
	my ($self, $service_sid, %param) = @_;
	my $wait = delete $param{wait} // 1;
	my $number = delete $param{number} // $self->new_number;
	my $begun = $self->SUPER::begin($number, service_sid => $service_sid, %param);
	my $verification = { id => $begun->{id}, number => $number, session => $param{session} // $self->session };

	return $wait ? $self->wait_sent($verification) : $verification;
}

# Waits until the last message has been sent, and learns its code.
sub wait_sent
{
	my ($self, $verification) = @_;
	my @sent;

	Pnvs::Simulator::wait_until('the message is sent', sub {
			$self->session->value(qq(SELECT count(*) FROM pnvs_internal.queue
				WHERE phone_verification = '$verification->{id}' AND state IN ('queued', 'sending'))) == 0;
	});
	# a confirmation waits until a verification is a second old
	$self->session->run(qq(UPDATE pnvs_internal.phone_verification SET begun_at = begun_at - interval '1 s' WHERE id = '$verification->{id}'));
	@sent = $self->{service}->events('sent', to => $verification->{number});
	$verification->{code} = $sent[-1]{code} if @sent;
	return $verification;
}

# Another message, which has been sent, too.
sub resend_sent
{
	my ($self, $verification) = @_;

	$self->let_resend($verification->{id});
	$self->resend($verification->{id});
	return $self->wait_sent($verification);
}

# Another code.
sub wrong
{
	my ($verification, $n) = @_;

	return sprintf '%06d', (($verification->{code} // 0) + ($n // 1)) % 1_000_000;
}

sub confirm_sql { my ($verification, $code) = @_; return "SELECT * FROM confirm_verification('$verification->{id}', '$code')"; }

# The result of a call; param: session.
sub try
{
	my ($self, $verification, $code, %param) = @_;

	return ($param{session} // $verification->{session})->query(confirm_sql($verification, $code));
}

# The row, as words: approved state tries_left retry_after.
sub confirm
{
	my ($self, @call) = @_;
	my $result = $self->try(@call);

	return $result->sqlstate if $result->failed;
	return join ' ', map { $result->row->{$_} // '-' } qw(approved state tries_left retry_after);
}

# A direct check of the last message; param: to, service_sid.
sub check_sql
{
	my ($self, $verification, $code, %param) = @_;
	my $id = $self->session->value("SELECT verification_id FROM pnvs_internal.queue WHERE phone_verification = '$verification->{id}' ORDER BY id DESC LIMIT 1");
	my $more = join '', map { qq(, "$_" => ) . Pnvs::Verification::literal($param{$_}) } sort keys %param;

	return "SELECT approved FROM check_verification('$code', '$id'$more)";
}

# Whether it is approved, or the SQLSTATE.
sub check
{
	my ($self, @call) = @_;
	my $result = $self->session->query($self->check_sql(@call));

	return $result->failed ? $result->sqlstate : $result->value;
}

# The codes that the service was asked about since the mark, for a verification's number.
sub asked
{
	my ($self, $verification) = @_;

	return map { $_->{params}{Code} } grep { ($_->{params}{To} // '') eq $verification->{number} }
	  $self->{service}->events('request', action => 'CheckVerification');
}

# The row as the owner sees it.
sub verification { my ($self, $verification) = @_; return $self->stored($verification->{id}); }

# The locks that confirmations hold.
sub locks { return $_[0]->session->value('SELECT count(*) FROM pg_locks WHERE locktype = \'advisory\' AND objsubid = 28796'); }

1;
