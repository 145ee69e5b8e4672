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

use parent 'Pnvs::Queue';

# begin(SERVICE_SID, [session, number, send, valid_for, wait]): a verification. Unless wait
# is 0, its message has been sent.
sub begin
{
	my ($self, $service_sid, %param) = @_;
	my $number = $param{number} // Pnvs::Queue::new_number();
	my $session = $param{session} // $self->session;
	my $more = join '', map { defined $param{$_} ? ", $_ => $param{$_}" : '' } qw(send valid_for channels);
	my $id = $session->value("SELECT id FROM begin_verification('$number', service_sid => '$service_sid'$more)");
	my $verification = { id => $id, number => $number, session => $session };

	$self->wait_sent($verification) if $param{wait} // 1;
	return $verification;
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

# The codes that the service was asked about since the mark, for a verification's number.
sub asked
{
	my ($self, $verification) = @_;

	return map { $_->{params}{Code} } grep { ($_->{params}{To} // '') eq $verification->{number} }
	  $self->{service}->events('request', action => 'CheckVerification');
}

# The row as the owner sees it.
sub verification
{
	my ($self, $verification) = @_;

	return $self->session->run("SELECT * FROM pnvs_internal.phone_verification WHERE id = '$verification->{id}'")->row;
}

# The locks that confirmations hold.
sub locks { return $_[0]->session->value('SELECT count(*) FROM pg_locks WHERE locktype = \'advisory\' AND objsubid = 28796'); }

1;
