# What is sent if the service refuses a channel: the next one's message, at once, once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(min);
use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Server;
use Pnvs::Rows qw(insert_verification);
use Pnvs::Simulator qw(wait_until);
use Pnvs::Verification;

$PostgreSQL::Test::Utils::timeout_default = min($PostgreSQL::Test::Utils::timeout_default, 60);

my $REFUSED = 'code:NOT_SUPPORTED_CHANNEL:200';
my $ONCE = "sim-start:first:1:$REFUSED";

my $service = Pnvs::Simulator->new;

# No scan helps: what is sent is sent because of what came before.
my $pv = Pnvs::Verification->new($service, 'fallback', conf => <<'CONF');
restart_after_crash = on
pnvs.limits = 'number 1/30s, number VOICE 1/1h'
pnvs.breaker = ''
pnvs.scan_interval = 3600
pnvs.max_attempts = 3
log_lock_waits = on
deadlock_timeout = '100ms'
CONF
my $session = $pv->session;

sub begin
{
	my ($service_sid, $channels, %param) = @_;

	return $pv->begin($param{number} // $pv->new_number, service_sid => $service_sid, channels => $channels)->{id};
}

sub wait_messages
{
	my ($id, $wanted) = @_;

	wait_until("the messages are $wanted", sub { $pv->messages($id) eq $wanted });
	return;
}

# A verification whose row another session has locked when the service refuses its channel; when
# it expires, if not as usual, and what is set beside the worker.
sub begin_locked
{
	my ($expires_at, %setting) = @_;
	my $locker = $pv->connect;
	my $id;

	$pv->configure('pnvs.worker' => 'off');
	$id = begin($ONCE, '{WHATSAPP,SMS,VOICE}');
	$session->run("UPDATE pnvs_internal.phone_verification SET expires_at = $expires_at WHERE id = '$id'") if $expires_at;
	$locker->run('BEGIN');
	$locker->run("SELECT FROM pnvs_internal.phone_verification WHERE id = '$id' FOR UPDATE");
	$pv->reload('pnvs.worker' => undef, %setting);
	wait_messages($id, 'WHATSAPP:failed');
	return ($id, $locker);
}

sub test_next_channel
{
	my $id = begin($ONCE, '{WHATSAPP,SMS}');
	my $status;

	ok($pv->soon(sub { $pv->messages($id) eq 'WHATSAPP:failed SMS:sent' }), 'if the service refuses a channel, the next is used');
	$status = $pv->status($id);
	is("$status->{state} $status->{channel}", 'pending SMS', 'the status shows it');
	cmp_ok($session->value("SELECT extract(epoch FROM max(created_at) - min(settled_at)) FROM pnvs_internal.queue WHERE phone_verification = '$id'"),
		'<', 0.5, 'at once');
	is(join(' ', @{ $pv->stored($id) }{qw(channel_position messages)}), '1 2', 'the row has it');
	is($session->value("SELECT resend_at > now() + interval '20 s' FROM phone_verification_status('$id')"), 't',
		'the time for another message counts from it');

	$id = begin("sim-start:first:2:$REFUSED", '{WHATSAPP,VOICE,SMS}');
	wait_messages($id, 'WHATSAPP:failed VOICE:failed SMS:sent');
	is($pv->status($id)->{state}, 'pending', 'a third channel follows the second');
	$id = begin("sim-start:$REFUSED", '{WHATSAPP,SMS}');
	wait_messages($id, 'WHATSAPP:failed SMS:failed');
	is($pv->status($id)->{state}, 'failed', 'after the last channel the verification has failed');
	return;
}

sub test_other_ends
{
	for my $code (qw(MOBILE_NUMBER_ILLEGAL COUNTRY_BLACKLISTED SECURITY_INTERCEPTED isp.VERIFY_SCHEME_NOT_EXIST Unknown.Code))
	{
		my $id = begin("sim-start:first:1:code:$code:200", '{WHATSAPP,SMS}');

		$pv->settled_messages($id);
		wait_messages(begin($ONCE, '{WHATSAPP,SMS}'), 'WHATSAPP:failed SMS:sent');
		is($pv->messages($id), 'WHATSAPP:failed', "$code refuses no channel for good");
	}

	my $throttled = begin('sim-start:first:1:throttled:1', '{WHATSAPP,SMS}');
	my $ambiguous = begin('sim-start:first:1:code-sent:WHATSAPP_SYSTEM_ERROR:200', '{WHATSAPP,SMS}');

	is($pv->settled_messages($throttled), 'WHATSAPP:sent', 'a throttled message is tried again by its channel');
	is($pv->settled_messages($ambiguous), 'WHATSAPP:sent', 'one of unknown fate is looked up');
	return;
}

sub test_limit
{
	my $number = $pv->new_number;
	my $id;

	begin('FA1', '{VOICE}', number => $number);
	$pv->reload('pnvs.limits' => 'number VOICE 1/1h');
	$id = begin($ONCE, '{WHATSAPP,VOICE,SMS}', number => $number);
	wait_messages($id, 'WHATSAPP:failed VOICE:failed');
	is($session->value("SELECT code FROM pnvs_internal.queue WHERE phone_verification = '$id' AND channel = 'VOICE'"),
		'Local.RateLimited', 'a limit can refuse the next channel');
	is($pv->status($id)->{state}, 'failed', 'and the verification has failed then');
	wait_messages(begin($ONCE, '{WHATSAPP,SMS}'), 'WHATSAPP:failed SMS:sent');
	is($pv->messages($id), 'WHATSAPP:failed VOICE:failed', 'no other channel is tried');
	$pv->reload('pnvs.limits' => undef);
	return;
}

sub test_locked
{
	my $log_end = $pv->log_end;
	my ($id, $locker) = begin_locked();

	wait_messages(begin($ONCE, '{WHATSAPP,SMS}'), 'WHATSAPP:failed SMS:sent');
	pass('a locked row holds up no other');
	is($pv->messages($id), 'WHATSAPP:failed', 'its own next channel has to wait');
	is($pv->logged('still waiting for', $log_end), 0, 'but the sender does not');
	$locker->run('COMMIT');
	ok($pv->soon(sub { $pv->messages($id) eq 'WHATSAPP:failed SMS:sent' }), 'it is tried again when it is free');
	$locker->close;
	return;
}

sub test_given_up
{
	my ($id, $locker) = begin_locked(q{clock_timestamp() + interval '3 s'}, 'pnvs.worker_idle_timeout' => '1s');

	ok($pv->soon(sub { !$pv->workers }), 'no worker waits for a locked row whose verification has expired');
	$locker->run('COMMIT');
	is($pv->messages($id), 'WHATSAPP:failed', 'and no channel follows');
	$pv->reload('pnvs.worker_idle_timeout' => undef);
	$locker->close;
	return;
}

# A person asks for another message before the next channel's turn has come.
sub test_resend
{
	my ($id, $locker) = begin_locked();

	# a moment after its row shows it, the refused message gives its place back
	ok($pv->soon(sub {
		$locker->run("UPDATE pnvs_internal.phone_verification SET resend_at = now() WHERE id = '$id'");
		return $pv->resend($id, session => $locker)->{channel} eq 'SMS';
	}), 'a person asks for another message');
	$locker->run('COMMIT');
	wait_messages($id, 'WHATSAPP:failed SMS:sent');
	wait_messages(begin($ONCE, '{WHATSAPP,SMS}'), 'WHATSAPP:failed SMS:sent');
	is($pv->messages($id), 'WHATSAPP:failed SMS:sent', 'which is in place of that of the next channel');
	is($pv->stored($id)->{messages}, 2, 'and counts once');
	$locker->close;
	return;
}

# A verification for each change of its row, by that; their first channel has been refused, and
# the next of another that came after them was used.
sub refused_with
{
	my @changes = @_;
	my %id;

	$pv->configure('pnvs.worker' => 'off');
	for my $change (@changes)
	{
		$id{$change} = begin($ONCE, '{WHATSAPP,SMS}');
		$session->run("UPDATE pnvs_internal.phone_verification SET $change WHERE id = '$id{$change}'");
	}
	$pv->reload('pnvs.worker' => undef);
	wait_until('their channel is refused', sub { !grep { $pv->messages($_) !~ /\AWHATSAPP:failed/ } values %id });
	wait_messages(begin($ONCE, '{WHATSAPP,SMS}'), 'WHATSAPP:failed SMS:sent');
	return %id;
}

# What can no longer go on sends nothing.
sub test_over
{
	my %change = (
		"state = 'approved', approved_at = now()" => 'approved',
		'tries = 5' => 'out of tries',
		'messages = 5' => 'out of messages',
		'origin_system = 7' => 'of another database',
	);
	my %id = refused_with(sort keys %change);

	is($pv->messages($id{$_}), 'WHATSAPP:failed', "no channel follows for a verification that is $change{$_}") for sort keys %change;
	return;
}

# Channels that somebody wrote by hand.
sub test_written
{
	my %channels = (
		"'{WHATSAPP,FAX,NULL,SMS}'" => 'WHATSAPP:failed SMS:sent',
		"'{FAX,FAX}'" => 'WHATSAPP:failed',
		"'{}'" => 'WHATSAPP:failed',
	);
	my %id = refused_with(map { "channels = $_" } sort keys %channels);

	is($pv->messages($id{"channels = $_"}), $channels{$_}, "of the channels $_ those are used that exist") for sort keys %channels;
	for my $channels ("'{FAX,FAX}'", "'{}'")
	{
		$pv->let_resend($id{"channels = $channels"});
		is($pv->resend($id{"channels = $channels"})->{state}, 'canceled', "with $channels nothing is sent again");
	}
	return;
}

# A position that somebody wrote by hand, behind which there is no number: the look at all rows
# goes on.
sub test_written_position
{
	my $written = begin('FA1', '{SMS}');
	my ($id, $locker);

	$pv->settled_messages($written);
	$session->run("UPDATE pnvs_internal.phone_verification SET channel_position = 2147483647 WHERE id = '$written'");
	($id, $locker) = begin_locked();
	$pv->configure('pnvs.worker' => 'off');
	$locker->close;
	$pv->reload('pnvs.worker' => undef);
	ok($pv->soon(sub { $pv->messages($id) eq 'WHATSAPP:failed SMS:sent' }), 'beside a position behind all numbers a worker finds what another has left');
	$session->run("DELETE FROM pnvs_internal.phone_verification WHERE id = '$written'");
	return;
}

# The verification's table is broken: messages are settled all the same.
sub test_broken
{
	my $log_end = $pv->log_end;
	my $id;

	$pv->configure('pnvs.worker' => 'off');
	$id = begin($ONCE, '{WHATSAPP,SMS}');
	$session->run('ALTER TABLE pnvs_internal.phone_verification ADD extra integer');
	$pv->reload('pnvs.worker' => undef);
	wait_messages($id, 'WHATSAPP:failed');
	pass('a table that was altered keeps no message from being settled');
	wait_until('the log says so', sub { $pv->logged('pnvs could not send by the next channel|could not write to its queue', $log_end) });
	$session->run('ALTER TABLE pnvs_internal.phone_verification DROP extra');
	ok($pv->soon(sub { $pv->messages($id) eq 'WHATSAPP:failed SMS:sent' }), 'when it is mended, the next channel is used');
	unlike(slurp_file($pv->node->logfile, $log_end), qr/62815\d{8}/, 'the log shows no number');
	return;
}

sub test_call
{
	my $locker = $pv->connect;
	my $id;

	$pv->configure('pnvs.worker' => 'off');
	$id = begin($ONCE, '{WHATSAPP,SMS}');
	$session->run('CALL process_verification_queue()');
	is($pv->messages($id), 'WHATSAPP:failed SMS:sent', 'a CALL sends by the next channel, too');
	$id = begin($ONCE, '{WHATSAPP,SMS}');
	$locker->run('BEGIN');
	$locker->run("SELECT FROM pnvs_internal.phone_verification WHERE id = '$id' FOR UPDATE");
	$session->run(q{SET statement_timeout = '20s'});
	is($session->query('CALL process_verification_queue()')->message, '', 'it does not wait for a locked row');
	$session->run('RESET statement_timeout');
	is($pv->messages($id), 'WHATSAPP:failed', 'and leaves it alone');
	$locker->run('COMMIT');
	insert_verification($session, count => 2500, channels => q{'{WHATSAPP,SMS}'}, last_message => '-n',
		expires_at => q{now() + interval '1 minute' + n * interval '1 ms'});
	{
		my $other = $pv->connect;

		$other->run('CALL process_verification_queue()');
		is($pv->messages($id), 'WHATSAPP:failed SMS:sent', 'another CALL comes back to it, however many others there are');
		$other->close;
	}
	$pv->reload('pnvs.worker' => undef);
	$locker->close;
	return;
}

# The queue was emptied: another message has the ID of a verification's last one.
sub test_same_message_id
{
	my $id = begin('FA1', '{WHATSAPP,SMS}');
	my $other;

	wait_messages($id, 'WHATSAPP:sent');
	$session->run('TRUNCATE pnvs_internal.queue');
	$session->run("SELECT setval('pnvs_internal.queue_id_seq', " . $pv->stored($id)->{last_message} . ', false)');
	$pv->configure('pnvs.worker' => 'off');
	$other = begin($ONCE, '{WHATSAPP,SMS}');
	die 'these are two message IDs' if $pv->stored($other)->{last_message} != $pv->stored($id)->{last_message};
	$pv->reload('pnvs.worker' => undef);
	wait_messages($other, 'WHATSAPP:failed SMS:sent');
	pass('of two verifications with the same message ID, that whose channel is refused falls back');
	is($pv->messages($id), '', 'and not the other');
	return;
}

# The process that has noted the message dies.
sub test_killed
{
	my ($id) = begin_locked();
	my ($worker) = $pv->workers;

	kill KILL => $worker;
	wait_until('the server has noticed', sub { Pnvs::Server::is_lost($session) });
	$session = $pv->{session} = Pnvs::Server->around($pv->node)->connect;
	ok($pv->soon(sub { $pv->messages($id) eq 'WHATSAPP:failed SMS:sent' }), 'after a crash the next worker finds what is undone');
	return;
}

test_next_channel();
test_other_ends();
test_limit();
test_locked();
test_given_up();
test_resend();
test_over();
test_written();
test_written_position();
test_broken();
test_call();
test_same_message_id();
test_killed();
$pv->stop;
done_testing;
