# The queue with its worker: what goes out, when, in which order, and how often;
# who waits for it, and who is told.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(max sum);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Pnvs::Queue;
use Pnvs::Simulator qw(wait_until);

# What is promised on a quiet machine, and what must hold on a busy one.
my $PROMISED_S = 0.050;
my $LIMIT_S = 2;
my $MAX_TRIES = 10;

# How many wait for a message that nobody settles, while how many others are settled; and
# how often who waits looks at its row without being woken.
my $WAITING = 8;
my $PASSING = 60;
my $LOOK_S = 1;

my $service = Pnvs::Simulator->new;
my $queue = Pnvs::Queue->new($service, 'queue', conf => <<'CONF');
max_prepared_transactions = 5
pnvs.request_timeout = 60000
CONF
my $node = $queue->node;
my $session = $queue->session;
my $other = $queue->connect;
my $watcher = $queue->connect;

# Waits until a session is kept waiting by a lock.
sub wait_for_lock
{
	my ($who, $what) = @_;

	wait_until($what,
		sub { $watcher->value("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = @{[$who->pid]}") eq 't' });
	return;
}

# --- after COMMIT, and not before

$session->run('BEGIN');
my $id = $queue->enqueue('FA1');
is($queue->settled($queue->enqueue('FA1', undef, session => $other), $other)->{state},
	'sent', 'a message that is queued by itself is sent');
is(scalar $queue->requests($id), 0, 'a message is not sent before its transaction ends');
$session->run('COMMIT');
my $row = $queue->settled($id);
is($row->{state}, 'sent', 'a message is sent after COMMIT');
is($row->{attempts}, 1, 'it was tried once');
is($row->{code}, 'OK', 'its row has the code of the service');
is($row->{http_status}, 200, 'its row has the HTTP status');
is($row->{status}, 'pending', 'its row has the status of the service');
like($row->{request_id}, qr/\A[0-9A-F-]{36}\z/, 'its row has the request ID');
is($row->{verification_id}, $service->wait_for('sent', to => $queue->number($id))->{verification_id},
	'its row has the verification ID');
is($row->{recipient}, '6281500****' . substr($queue->number($id), -2), 'its row has no whole number any more');
is($queue->sent($id), 1, 'the service sent one message');

my @delay;
for (1 .. 5)
{
	$session->run('BEGIN');
	$id = $queue->enqueue('FA1');
	my $committed = time;
	$session->run('COMMIT');
	push @delay, (wait_request($id))[0]{t} - $committed;
}
cmp_ok((sort { $a <=> $b } @delay)[2], '<', $PROMISED_S, 'a message goes out within milliseconds of COMMIT');
cmp_ok(max(@delay), '<', $LIMIT_S, 'a message never waits for long after COMMIT');

sub wait_request
{
	my ($message) = @_;
	my @request;

	wait_until("message $message arrives", sub { @request = $queue->requests($message) });
	return @request;
}

# What follows must not be sent; a message queued after it that is settled shows
# that the worker has looked.
$session->run('BEGIN');
my $rolled_back = $queue->enqueue('FA1');
$session->run('ROLLBACK');
$session->run('BEGIN; SAVEPOINT s');
my $undone = $queue->enqueue('FA1');
$session->run('ROLLBACK TO s');
my $kept = $queue->enqueue('FA1');
$session->run('RELEASE s; COMMIT');
my $raised = $queue->new_number;
my $caught = $queue->new_number;
$session->run(<<"SQL");
DO \$\$
BEGIN
	BEGIN
		PERFORM enqueue_verification('SMS', '$raised', 'FA1');
		RAISE EXCEPTION 'x';
	EXCEPTION WHEN raise_exception THEN
		PERFORM enqueue_verification('SMS', '$caught', 'FA1');
	END;
END
\$\$
SQL
is($queue->settled($kept)->{state}, 'sent', 'what is queued after a rolled back savepoint is sent');
is($queue->settled($queue->enqueue('FA1'))->{state}, 'sent', 'what is queued after all that is sent');
is($queue->sent($rolled_back), 0, 'a rolled back message is not sent');
is($queue->sent($undone), 0, 'a message of a rolled back savepoint is not sent');
is($service->count('sent', to => $raised), 0, 'a message of a block that raised is not sent');
ok($queue->soon(sub { $service->count('sent', to => $caught) == 1 }), 'a message of the exception handler is sent');

$session->run('BEGIN');
my $prepared = $queue->enqueue('FA1');
$session->run("PREPARE TRANSACTION 'p'");
$queue->settled($queue->enqueue('FA1'));
is(scalar $queue->requests($prepared), 0, 'a message of a prepared transaction is not sent');
$other->run("COMMIT PREPARED 'p'");
is($queue->soon_settled([$prepared]), 'sent', 'COMMIT PREPARED of another session sends it, rather than the next scan');

# Two sessions that use the queue in one transaction with their own data.
$session->run('CREATE TABLE person (id integer PRIMARY KEY, phone text)');
$session->run(q{CREATE TRIGGER verify AFTER INSERT OR UPDATE ON person FOR EACH ROW
	EXECUTE FUNCTION enqueue_verification_trigger('SMS', 'phone', 'FA1', 'id')});
my @phone = map { $queue->new_number } 1 .. 3;
$session->run("INSERT INTO person VALUES (1, '$phone[0]'), (2, '$phone[1]')");
$session->run("INSERT INTO person VALUES (1, '$phone[2]') ON CONFLICT DO NOTHING");
wait_until('the trigger\'s messages are settled',
	sub { $session->value("SELECT count(*) FROM verification_queue WHERE state = 'sent' AND reference IN ('1', '2')") == 2 });
is_deeply([ map { $service->count('sent', to => $_) } @phone ],
	[ 1, 1, 0 ], 'a trigger sends for each row that came in, and for no other');

# Words that no compression makes fit.
$session->run('CREATE TABLE note (words text, phone text)');
$session->run(q{CREATE TRIGGER verify AFTER INSERT ON note FOR EACH ROW
	EXECUTE FUNCTION enqueue_verification_trigger('SMS', 'phone', 'FA1', 'words')});
is($session->query("INSERT INTO note SELECT string_agg(md5(n::text), ''), '@{[$queue->new_number]}' FROM generate_series(1, $_->[0]) n")->sqlstate,
	$_->[1], "a reference of $_->[0] times 32 characters is " . ($_->[1] ? 'refused, by an error that says why' : 'kept'))
  for [ 32, '' ], [ 33, '22023' ], [ 1000, '22023' ];

# --- later, and in order

$id = $queue->enqueue('FA1', "clock_timestamp() + '700 ms'");
my $due = $session->value("SELECT extract(epoch FROM not_before) FROM verification_queue WHERE id = $id");
is( $session->value("SELECT state = 'queued' OR not_before <= clock_timestamp() FROM verification_queue WHERE id = $id"),
	't', 'a message for later is queued');
is($queue->settled($id)->{state}, 'sent', 'a message for later is sent');
cmp_ok(($queue->requests($id))[0]{t}, '>=', $due, 'a message does not go out before its time');
cmp_ok(($queue->requests($id))[0]{t}, '<', $due + $LIMIT_S, 'a message goes out soon after its time');

$queue->configure('pnvs.max_in_flight' => 1);
$session->run('BEGIN');
my @ordered = map { $queue->enqueue('FA1') } 1 .. 6;
my @ago_s = (1, 3, 2, 3, 1, 0);
$session->run("UPDATE pnvs_internal.queue SET not_before = not_before - interval '$ago_s[$_] s' WHERE id = $ordered[$_]") for 0 .. $#ordered;
$session->run('COMMIT');
$queue->settled($_) for @ordered;
my %position = map { $ordered[$_] => $_ } 0 .. $#ordered;
my @arrived = sort { ($queue->requests($a))[0]{n} <=> ($queue->requests($b))[0]{n} } @ordered;
is_deeply([ map { $position{$_} } @arrived ],
	[ 1, 3, 2, 0, 4, 5 ], 'messages go out by the time from which they may, then by ID');

# --- the window

$queue->configure('pnvs.max_in_flight' => 4);
$service->mark;
my $many = $session->value(<<"SQL");
SELECT string_agg(enqueue_verification('SMS', (6281600000000 + i)::text, 'sim:slow:30')::text, ',')
	FROM generate_series(1, 60) AS i
SQL
wait_until('all are settled',
	sub { $session->value("SELECT count(*) FROM verification_queue WHERE id IN ($many) AND state = 'sent'") == 60 });
is(scalar(() = $service->events('sent')), 60, 'each of many messages is sent once');
is(most_at_once(), 4, 'as many requests as allowed are under way at once, and never more');

# Requests that are made again, here with the clock of the service, keep their places,
# and their connections: libcurl can read a refusal before it has noted that all is sent.
for (1 .. 5)
{
	$queue->configure('pnvs.max_in_flight' => 4);
	$service->mark;
	$session->run('BEGIN');
	my @skewed = map { $queue->enqueue('sim-start:skew:3600') } 1 .. 12;
	$session->run('COMMIT');
	is($queue->settled($_)->{state}, 'sent', 'a message is signed anew by the clock of the service') for @skewed;
	my %used = map { $_->{connection} => 1 } map { $queue->requests($_) } @skewed;
	cmp_ok(scalar keys %used, '<=', 4, 'nothing takes the place of a request that is made again');
}
$queue->configure;		# whoever comes next goes by our clock again

# From the simulator's log: requests that have been read and not been answered.
sub most_at_once
{
	my ($now, $most) = (0, 0);

	for my $event ($service->events)
	{
		$now++ if $event->{event} eq 'request';
		$now-- if $event->{event} eq 'reply';
		$most = $now if $now > $most;
	}
	return $most;
}

# --- nobody is held up

# With places for two, ten that are tried again and again.
$queue->configure('pnvs.max_in_flight' => 2);
my @retried = map { $queue->enqueue('sim:throttled:100', "send_within => '1 minute'") } 1 .. 10;
my @prompt = map { $queue->enqueue('FA1') } 1 .. 5;
is($queue->settled($_)->{state}, 'sent', 'a message is not held up by others that are tried again') for @prompt;
is(scalar(grep { $queue->state($_) =~ /\A(?:queued|sending)\z/ } @retried), 10, 'those are still being tried');
my $early = max(map { scalar $queue->requests($_) } @retried);
# One that is just under way is back in a moment.
wait_until('none of them is left', sub {
	$session->run("SELECT cancel_verification(id) FROM verification_queue WHERE state = 'queued'");
	return !grep { $queue->state($_) =~ /\A(?:queued|sending)\z/ } @retried;
});
cmp_ok($early, '>=', 1, 'they were tried before');

# So many that take long that one place is left.
$queue->configure('pnvs.max_in_flight' => 48);
my @held = map { $queue->enqueue('sim:held:window') } 1 .. 47;
wait_request($_) for @held;
is($queue->settled($queue->enqueue('FA1'))->{state}, 'sent', 'the last place of a window is used, too');
is((grep { $queue->state($_) ne 'sending' } @held), 0, 'the others are still under way then');
$service->release('window');

# One that hangs.
$queue->configure('pnvs.max_in_flight' => undef);
my $hanging = $queue->enqueue('sim-start:hang');
wait_request($hanging);
@prompt = map { $queue->enqueue('FA1') } 1 .. 20;
is((grep { $queue->settled($_)->{state} ne 'sent' } @prompt), 0, 'messages are not held up by a request that hangs');
is($queue->state($hanging), 'sending', 'it is still under way then');

# A lock on the table holds up the worker, and then lets it go on.
$other->run('BEGIN; LOCK TABLE pnvs_internal.queue IN SHARE MODE');
$session->send(Pnvs::Queue::enqueue_sql('FA1'));
wait_for_lock($session, 'the message waits for the lock');
$other->run('COMMIT');
$id = $session->result->value;
is($queue->settled($id)->{state}, 'sent', 'a message that waited for a lock on the table is sent');

# --- await

$id = $queue->enqueue('sim:slow:300');
my $awaited = $session->run("SELECT * FROM await_verification($id)");
my $answered = time;
is($awaited->row->{state}, 'sent', 'await_verification() returns the row once it is settled');
is($awaited->row->{id}, $id, 'it is the row that was asked for');
cmp_ok($answered - ($service->wait_for('reply', connection => ($queue->requests($id))[0]{connection}))->{t},
	'<', $LIMIT_S, 'it returns soon after the reply');
is($session->run("SELECT * FROM await_verification($id, '1 ms')")->row->{state},
	'sent', 'it returns at once for a row that is settled');

$awaited = $session->run("SELECT * FROM await_verification($hanging, '50 ms')");
is($awaited->row->{id}, undef, 'at the time-out it returns nulls');
is($session->value("SELECT await_verification($hanging, '50 ms') IS NULL"), 't', 'at the time-out it returns null');
$session->send("SELECT * FROM await_verification($hanging)");
wait_until('it waits', sub { $other->value("SELECT wait_event = 'PnvsAwait' OR wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = @{[$session->pid]}") eq 't' });
my $canceled_at = time;
$other->run("SELECT pg_cancel_backend(@{[$session->pid]})");
my $result = $session->result;
is($result->sqlstate, '57014', 'a wait can be canceled');
cmp_ok($result->error_time - $canceled_at, '<', $LIMIT_S, 'it ends at once');

# Who waits is woken for its own message. Each time that a backend sleeps it gives up its
# processor of its own accord, which the system counts.
sub sleeps
{
	my ($who) = @_;
	my $status = PostgreSQL::Test::Utils::slurp_file("/proc/@{[$who->pid]}/status");

	return ($status =~ /^voluntary_ctxt_switches:\s*([0-9]+)/m)[0];
}

my %waits;
for (1 .. $WAITING)
{
	my $later = $queue->enqueue('FA1', q{not_before => now() + '1 hour'});

	$waits{$later} = $queue->connect;
	$waits{$later}->send("SELECT await_verification($later, '1 hour')");
}
my $pids = join ', ', map { $_->pid } values %waits;
wait_until('they wait', sub {
		$watcher->value("SELECT count(*) FROM pg_stat_activity WHERE pid IN ($pids) AND (wait_event = 'PnvsAwait' OR wait_event_type = 'Extension')") == $WAITING;
});
my $since = time;
my $slept = -sum(map { sleeps($_) } values %waits);
for (1 .. $PASSING)
{
	$id = $queue->enqueue('FA1');
	$session->run("SELECT await_verification($id)");
}
$slept += sum(map { sleeps($_) } values %waits);
my $elapsed_s = time - $since;
note(sprintf '%d sleeps of %d sessions in %.2f s', $slept, $WAITING, $elapsed_s);
cmp_ok($elapsed_s, '<', $PASSING * $LOOK_S / 2, 'who waits is woken when its message is settled');
cmp_ok($slept, '<', $WAITING * ($elapsed_s / $LOOK_S + $PASSING / 4), 'and hardly ever when another one is');
$session->run("SELECT cancel_verification($_)") for keys %waits;
is_deeply([ map { $_->result->value ? 'told' : 'not told' } values %waits ], [ ('told') x $WAITING ],
	'who waits for a message that is canceled learns of it later');
$_->close for values %waits;

$session->run('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM verification_queue');
$id = $queue->enqueue('FA1', undef, session => $other);
is($session->run("SELECT * FROM await_verification($id)")->row->{state},
	'sent', 'a transaction with an old snapshot can wait for a message');
$session->run('COMMIT');

$other->run('BEGIN');
$id = $queue->enqueue('FA1', undef, session => $other);
is($session->query("SELECT await_verification($id)")->sqlstate,
	'22023', 'a message that is not committed cannot be waited for');
$other->run('ROLLBACK');

# --- check by ID

$id = $queue->enqueue('FA1');
$queue->settled($id);
my $code = $service->wait_for('sent', to => $queue->number($id))->{code};
my $number = $queue->number($id);
is($session->run("SELECT * FROM check_queued_verification('-', ${id}::bigint, '$number')")->row->{approved},
	'f', 'a wrong code is not approved');
is($session->run("SELECT * FROM check_queued_verification('$code', ${id}::bigint, '$number')")->row->{approved},
	't', 'the right code is approved by the ID of the queue');
is($session->run("SELECT * FROM check_queued_verification('$code', ${id}::bigint, '6281999999999')")->row->{approved},
	'f', 'the right code is not approved for another number');
$result = $session->query("SELECT check_queued_verification('$code', ${hanging}::bigint)");
is($result->sqlstate, '22023', 'a message that is not yet sent cannot be checked');
like($result->hint, qr/"sending"/, 'the hint says why');

# --- cancel

$id = $queue->enqueue('FA1', "clock_timestamp() + '1500 ms'");
my $later = $queue->enqueue('FA1', "clock_timestamp() + '1500 ms'");
is($session->value("SELECT cancel_verification($id)"), 't', 'a queued message can be canceled');
is($session->value("SELECT cancel_verification($id)"), 'f', 'and only once');
is($queue->settled($later)->{state}, 'sent', 'another one is sent at its time');
is($queue->sent($id), 0, 'a canceled message is not sent');
is($queue->state($id), 'canceled', 'its state says so');
is($session->value("SELECT cancel_verification($hanging)"), 'f', 'a message that is under way cannot be canceled');
is($session->value("SELECT cancel_verification($later)"), 'f', 'a sent message cannot be canceled');

# A cancel that is rolled back; the row comes due meanwhile.
$other->run('BEGIN');
$id = $queue->enqueue('FA1', "clock_timestamp() + '1500 ms'");
is($other->value("SELECT cancel_verification($id)"), 't', 'a message can be canceled in a transaction');
$later = $queue->enqueue('FA1', "clock_timestamp() + '1500 ms'");
is($queue->settled($later)->{state}, 'sent', 'a message that is being canceled holds up no other');
is($queue->sent($id), 0, 'it is not sent before that is decided');
$other->run('ROLLBACK');
is($queue->settled($id)->{state}, 'sent', 'a cancel that is rolled back lets the message go out');

# --- deduplication between sessions

$other->run('BEGIN');
my $first = $queue->enqueue('FA1', "dedup_key => 'k'", session => $other);
$session->send(Pnvs::Queue::enqueue_sql('FA1', "dedup_key => 'k'"));
wait_for_lock($session, 'the repeat waits');
ok(!$session->has_answer, 'a repeat waits for the transaction that has the key');
ok(!$watcher->query(Pnvs::Queue::enqueue_sql('FA1', "dedup_key => 'k2'"))->failed, 'another key does not wait');
$other->run('COMMIT');
is($session->result->value, $first, 'after COMMIT a repeat returns the first ID');

$other->run('BEGIN');
$first = $queue->enqueue('FA1', "dedup_key => 'r'", session => $other);
$session->send(Pnvs::Queue::enqueue_sql('FA1', "dedup_key => 'r'"));
wait_for_lock($session, 'the repeat waits');
$other->run('ROLLBACK');
isnt($session->result->value, $first, 'after ROLLBACK a repeat is a message of its own');

# The first one's row is newer than the snapshot of the repeat.
$session->run('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
$first = $queue->enqueue('FA1', "dedup_key => 's'", session => $other);
is($queue->enqueue('FA1', "dedup_key => 's'"), $first, 'a transaction with an old snapshot sees the first one');
$session->run('COMMIT');
# --- NOTIFY

my $listener = $queue->connect;
my @heard;

# Keeps what the listener is told of these messages, or of all.
sub hear { return keep($listener->run('SELECT 1'), @_); }

sub keep
{
	my ($told, @id) = @_;

	for my $payload ($told->notifications('pnvs_verification'))
	{
		push @heard, $payload if !@id || grep { $payload =~ /"id":$_,/ } @id;
	}
	return scalar @heard;
}

$listener->run('LISTEN pnvs_verification');
$id = $queue->enqueue('FA1');
my $refused = $queue->enqueue('sim:code:MOBILE_NUMBER_ILLEGAL:200');
wait_until('two notifications come', sub { hear($id, $refused) >= 2 });
is_deeply([ sort @heard ],
	[ sort qq({"id":$id,"state":"sent"}), qq({"id":$refused,"state":"failed"}) ],
	'a listener is told of each message that is settled');
is($queue->state($id), 'sent', 'by then the row says so');

# One that does not listen to what it asked for.
$listener->run('BEGIN');
$id = $queue->enqueue('FA1');
is($queue->settled($id)->{state}, 'sent', 'a listener in a transaction holds up nothing');
@heard = ();
wait_until('the notification comes', sub { hear($id) }) unless keep($listener->run('COMMIT'), $id);
is($heard[0], qq({"id":$id,"state":"sent"}), 'it is told when its transaction has ended');

# A session that has the lock on notifications and does not go on.
{
	my $stopped = stop_in_notify();
	my @id = map { $queue->enqueue('FA1') } 1 .. 3;

	is((grep { $queue->settled($_)->{state} ne 'sent' } @id),
		0, 'who holds up every NOTIFY does not hold up messages');
	kill 'CONT', $stopped->pid;
	ok(!$stopped->result->failed, 'that session goes on afterwards');
	$stopped->close;
}

# A session that is stopped while its COMMIT holds the lock of all NOTIFYs.
sub stop_in_notify
{
	for (1 .. $MAX_TRIES)
	{
		my $notifier = $queue->connect;
		my $holds = "SELECT count(*) FROM pg_locks WHERE locktype = 'object' AND classid = 'pg_database'::regclass"
		  . " AND objid = 0 AND mode = 'AccessExclusiveLock' AND granted AND pid = @{[$notifier->pid]}";

		$notifier->run("BEGIN; SELECT count(pg_notify('other', i::text)) FROM generate_series(1, 300000) AS i");
		$notifier->send('COMMIT');
		1 until $session->value($holds) || $notifier->has_answer;
		Pnvs::Simulator::suspend($notifier->pid);
		return $notifier if $session->value($holds);
		kill 'CONT', $notifier->pid;
		$notifier->result;
		$notifier->close;
	}
	die 'no session could be stopped in a NOTIFY';
}

$queue->configure('pnvs.notify' => 'off');
hear();
@heard = ();
$queue->settled($queue->enqueue('FA1')) for 1 .. 2;
$session->run("NOTIFY pnvs_verification, 'end'");
wait_until('the last notification comes', sub { hear() });
is_deeply(\@heard, ['end'], 'with pnvs.notify = off nobody is told');
$listener->close;
$queue->reload('pnvs.notify' => undef);

# --- once

my $sent = $session->value("SELECT count(*) FROM verification_queue WHERE state = 'sent'");
my %times;
$times{ $_->{to} }++ for all_sent();
cmp_ok(scalar keys %times, '>=', $sent, 'each message that is called sent has arrived');
is((grep { $_ > 1 } values %times), 0, 'no message was sent twice');

sub all_sent
{
	local $service->{mark} = 0;

	return $service->events('sent');
}
is($session->value("SELECT count(*) FROM verification_queue WHERE state = 'sent' AND recipient !~ '[*]{4}'"),
	0, 'no row of a sent message has a whole number');

$_->close for $other, $watcher;
$queue->stop;
done_testing();
