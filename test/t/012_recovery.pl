# The queue after something has gone wrong: a worker or the whole server that is
# killed, locks, no room for a worker. Each time the calls that were
# under way become unknown, and are looked up, and nothing else is touched.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(min);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Pnvs::Batch;
use Pnvs::Server;
use Pnvs::Session;
use Pnvs::Simulator;

$PostgreSQL::Test::Utils::timeout_default = min($PostgreSQL::Test::Utils::timeout_default, 60);

# "Within seconds", on a machine that has other things to do, too.
my $SECONDS = 10;
my $WINDOW = 8;

my $service = Pnvs::Simulator->new;

my $server = Pnvs::Server->new($service, 'recovery',
	conf => "pnvs.max_in_flight = $WINDOW\nmax_prepared_transactions = 5\npnvs.request_timeout = 30000\n");
my $node = $server->node;
my $session = $server->connect;

# --- what was under way becomes unknown

# Queues messages of all kinds, lets something happen, and looks at what became of
# them. The search finds what the service has sent.
sub interrupt
{
	my ($what, $happen) = @_;
	my ($settled, $later, $under_way, $waiting);
	my (%before, $happened, $took);

	$service->mark;
	$settled = Pnvs::Batch->enqueue($session, 'FA1', 3);
	$settled->wait_for($session, 'sent=3');
	$later = Pnvs::Batch->enqueue($session, 'FA1', 3, "not_before => now() + '1 hour'");
	$under_way = Pnvs::Batch->enqueue($session, 'sim-start:hang', $WINDOW);
	$under_way->wait_until_requested($service);
	$waiting = Pnvs::Batch->enqueue($session, 'FA1', 5);
	%before = map { $_ => contents($_) } $settled, $later;
	is($waiting->states($session), 'queued=5', "$what: the window is full");

	$happened = time;
	$happen->();
	is($under_way->wait_for($session, "true=$WINDOW", "unknown_since IS NOT NULL"), "true=$WINDOW",
		"$what: what was under way becomes unknown");
	$took = time - $happened;
	cmp_ok($took, '<', $SECONDS, "$what: it does within seconds");
	diag(sprintf '%s: unknown after %.1f s', $what, $took);
	is($waiting->wait_for($session, 'sent=5'), 'sent=5', "$what: what was queued is sent by a worker that is there by itself");
	is($waiting->arrived($service), '5 numbers, at most 1 each', "$what: each of these once");
	is($under_way->wait_for($session, "sent=$WINDOW"), "sent=$WINDOW", "$what: what was under way is found by a search");
	is($under_way->states($session, 'message'), "found by a search=$WINDOW", "$what: and says so");
	is($under_way->most_requests($service), 1, "$what: it is not sent again");
	is_deeply({ map { $_ => contents($_) } $settled, $later }, \%before, "$what: settled rows and those for later are not touched");
	return;
}

sub contents
{
	my ($batch) = @_;

	return $session->value('SELECT string_agg(q::text, chr(10) ORDER BY id) FROM verification_queue q WHERE ' . $batch->where);
}

sub the_worker { return $server->wait_for_worker($session); }

interrupt('kill -9 of the worker', sub {
		my $pid = the_worker();

		kill KILL => $pid;
		Pnvs::Simulator::wait_until('the sessions have ended', sub { Pnvs::Server::is_lost($session) });
		$session = $server->connect;
		isnt($server->wait_for_worker($session, 'postgres', $pid), $pid, 'kill -9 of the worker: another one takes its place');
});

interrupt('an immediate shutdown', sub {
		$node->stop('immediate');
		$node->start;
		$session = $server->connect;
});

# A claim is on the disk before its request goes out, also where commits do not wait.
{
	my $batch;

	$server->configure($session, synchronous_commit => 'off', wal_writer_delay => '10s');
	$session->run('SET synchronous_commit = on');
	$service->mark;
	$batch = Pnvs::Batch->enqueue($session, 'sim-start:hang', $WINDOW);
	$batch->wait_until_requested($service);
	$node->stop('immediate');
	$node->start;
	$session = $server->connect;
	is($batch->wait_for($session, "sent=$WINDOW"), "sent=$WINDOW", 'synchronous_commit = off: what was under way is found by a search');
	is($batch->most_requests($service), 1, 'synchronous_commit = off: it is not sent again');
	$server->configure($session, synchronous_commit => undef, wal_writer_delay => undef);
}

interrupt('the end of the worker', sub {
		my $pid = the_worker();

		$session->run("SELECT pg_terminate_backend($pid)");
		isnt($server->wait_for_worker($session, 'postgres', $pid), $pid, 'the end of the worker: another one takes its place');
});

# What is under way gets a moment to come back.
{
	my $batch = Pnvs::Batch->enqueue($session, 'sim:held:end', 3);

	$service->mark;
	$batch->wait_for($session, 'sending=3');
	$session->run('SELECT pg_terminate_backend(' . the_worker() . ')');
	$service->release('end');
	is($batch->wait_for($session, 'sent=3'), 'sent=3', 'a worker that is ended settles what comes back soon');
	is($batch->states($session, 'unknown_since IS NULL'), 'true=3', 'it need not be looked up');
}

# --- a worker that is ended or cancelled with nothing, or little, under way

{
	my ($batch, $pid, $started);

	Pnvs::Batch->enqueue($session, 'FA1', 1)->wait_for($session, 'sent=1');
	$session->run('SELECT pg_terminate_backend(' . the_worker() . ')');
	$started = time;
	is(Pnvs::Batch->enqueue($session, 'FA1', 2)->wait_for($session, 'sent=2'), 'sent=2', 'the next message is sent after the end of an idle worker');
	cmp_ok(time - $started, '<', $SECONDS, 'at once, rather than at the next look');

	$batch = Pnvs::Batch->enqueue($session, 'sim:held:cancel', 3);
	$batch->wait_for($session, 'sending=3');
	$pid = the_worker();
	$server->mark_log;
	$session->run("SELECT pg_cancel_backend($pid)") for 1 .. 3;
	$service->release('cancel');
	is($batch->wait_for($session, 'sent=3'), 'sent=3', 'a cancel does not reach what the worker has under way');
	is(the_worker(), $pid, 'nor does it end the worker');
	is($server->complaints, '', 'nor does it leave anything in the log');
}

# --- the launcher

{
	my ($launcher) = $server->background($session, 'pnvs launcher');
	my ($batch, $next);

	$batch = Pnvs::Batch->enqueue($session, 'sim:held:launcher', 3);
	$batch->wait_for($session, 'sending=3');
	$session->run("SELECT pg_terminate_backend($launcher)");
	$service->release('launcher');
	is($batch->wait_for($session, 'sent=3'), 'sent=3', 'the end of the launcher does not reach what the worker has under way');
	Pnvs::Simulator::wait_until('the launcher is back',
		sub { ($next) = grep { $_ != $launcher } $server->background($session, 'pnvs launcher') });
	isnt($next, $launcher, 'the launcher is back by itself');

	$session->run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type LIKE 'pnvs %'");
	is(Pnvs::Batch->enqueue($session, 'FA1', 2)->wait_for($session, 'sent=2'), 'sent=2', 'messages are sent after both the launcher and the worker were ended');
}

# --- a role that is dropped

{
	my $batch;

	$session->run('CREATE ROLE gone');
	$session->run('GRANT EXECUTE ON FUNCTION enqueue_verification TO gone');
	$session->run('GRANT USAGE ON SCHEMA public TO gone');
	$session->run('BEGIN; SET LOCAL ROLE gone');
	$batch = Pnvs::Batch->enqueue($session, 'FA1', 2);
	$session->run('RESET ROLE; DROP OWNED BY gone; DROP ROLE gone; COMMIT');
	is($batch->wait_for($session, 'sent=2'), 'sent=2', 'messages of a role that was dropped are sent');
	like($session->value('SELECT requested_by FROM verification_queue WHERE ' . $batch->where), qr/\Aunknown \(OID=\d+\)\z/,
		'the view says of their requester that he is unknown from then on');
	is(Pnvs::Batch->enqueue($session, 'FA1', 1)->wait_for($session, 'sent=1'), 'sent=1', 'the worker goes on after that');
}

# --- prepared transactions

{
	my (%batch, $started);

	for my $name (qw(committed rolled_back kept))
	{
		$session->run('BEGIN');
		$batch{$name} = Pnvs::Batch->enqueue($session, 'FA1', 2);
		$session->run("PREPARE TRANSACTION '$name'");
	}
	is(Pnvs::Batch->enqueue($session, 'FA1', 1)->wait_for($session, 'sent=1'), 'sent=1', 'messages are sent while transactions are prepared');
	is($batch{$_}->requested($service), 0, "a transaction that is prepared sends nothing ($_)") for sort keys %batch;

	$started = time;
	$session->run("COMMIT PREPARED 'committed'");
	is($batch{committed}->wait_for($session, 'sent=2'), 'sent=2', 'COMMIT PREPARED sends');
	cmp_ok(time - $started, '<', $SECONDS, 'COMMIT PREPARED sends at once, rather than at the next look');
	$session->run("ROLLBACK PREPARED 'rolled_back'");

	$node->stop;
	$node->start;
	$session = $server->connect;
	is(Pnvs::Batch->enqueue($session, 'FA1', 1)->wait_for($session, 'sent=1'), 'sent=1', 'messages are sent after a restart');
	is($batch{kept}->requested($service), 0, 'what is still prepared is not sent after a restart');
	$session->run("COMMIT PREPARED 'kept'");
	is($batch{kept}->wait_for($session, 'sent=2'), 'sent=2', 'COMMIT PREPARED after a restart sends');
	is($batch{rolled_back}->requested($service), 0, 'ROLLBACK PREPARED sends nothing');
}

# --- several databases after a restart

{
	my @dbname = qw(first second);
	my (@there, @batch);
	my $started;

	$server->configure($session, 'pnvs.worker' => 'off');
	for my $dbname (@dbname)
	{
		my $there;

		$session->run("CREATE DATABASE $dbname");
		$there = $server->connect($dbname);
		$there->run('CREATE EXTENSION pnvs');
		push @batch, Pnvs::Batch->enqueue($there, 'FA1', 2);
		$there->close;
	}
	push @batch, Pnvs::Batch->enqueue($session, 'FA1', 2);
	$session->run('ALTER SYSTEM RESET pnvs.worker');
	$node->stop;
	$node->start;
	$started = time;
	$session = $server->connect;
	@there = ((map { $server->connect($_) } @dbname), $session);
	is($batch[$_]->wait_for($there[$_], 'sent=2'), 'sent=2', "messages are sent in each of three databases after a restart ($_)") for 0 .. 2;
	cmp_ok(time - $started, '<', $SECONDS, 'none of them waits for the worker of another to end');
	$there[$_]->close for 0, 1;
}

# --- a session that is ended within the procedure

for my $end ('pg_terminate_backend', 'pg_cancel_backend')
{
	my $caller = Pnvs::Session->new($node);
	my ($under_way, $result);

	$server->configure($session, 'pnvs.worker' => 'off');
	Pnvs::Simulator::wait_until('the worker has left', sub { !$server->background($session, 'pnvs worker') });
	$service->mark;
	$under_way = Pnvs::Batch->enqueue($session, 'sim-start:hang', 3);
	$caller->send('CALL process_verification_queue()');
	$under_way->wait_until_requested($service);
	is($under_way->states($session), 'sending=3', "$end: the procedure has calls under way");
	$session->run("SELECT $end(" . $caller->pid . ')');
	$result = $caller->result;
	is($result->sqlstate, $end eq 'pg_cancel_backend' ? '57014' : '57P01', "$end: ends the procedure at once");
	is($under_way->states($session), 'sending=3', "$end: leaves the rows as they were claimed");
	if ($end eq 'pg_cancel_backend')
	{
		is($caller->value('SELECT 1'), 1, "$end: the session goes on");
		$caller->run('CALL process_verification_queue()');
		is($under_way->wait_for($session, 'true=3', 'unknown_since IS NOT NULL'), 'true=3', "$end: the session's next call makes them unknown");
	}
	$server->configure($session, 'pnvs.worker' => undef);
	is($under_way->wait_for($session, 'sent=3'), 'sent=3', "$end: the next sender makes them unknown, and finds them");
	is($under_way->states($session, 'unknown_since IS NOT NULL'), 'true=3', "$end: they were unknown before");
	is($under_way->most_requests($service), 1, "$end: none is sent again");
}
# --- a table that is locked when a worker comes to recover what is there

# It comes back after a while, which is waited for further down.  The next look at
# intervals would be too late.
$server->configure($session, 'pnvs.worker' => 'off', 'pnvs.scan_interval' => 3600);
Pnvs::Simulator::wait_until('the worker has left', sub { !$server->background($session, 'pnvs worker') });
$service->mark;
my $behind_a_lock = Pnvs::Batch->enqueue($session, 'sim-start:hang', 3);
my $row_holder = $server->connect;
{
	my $caller = Pnvs::Session->new($node);
	my $holder = $server->connect;
	my %seen;

	$caller->send('CALL process_verification_queue()');
	$behind_a_lock->wait_until_requested($service);
	$holder->run('BEGIN; LOCK TABLE pnvs_internal.queue IN ACCESS EXCLUSIVE MODE');
	$session->run('SELECT pg_terminate_backend(' . $caller->pid . ')');
	is($caller->result->sqlstate, '57P01', 'a sender ends, and leaves what it had under way');
	$server->configure($session, 'pnvs.worker' => undef);

	# What a worker does first is to look for that, and then it tries to send.
	Pnvs::Simulator::wait_until('a worker has met the lock', sub {
			$seen{$_} = 1 for $session->run("SELECT state_change FROM pg_stat_activity "
				  . "WHERE backend_type = 'pnvs worker' AND datname = 'postgres' AND state_change IS NOT NULL")->column('state_change');
			return keys %seen > 10;
	});
	is($behind_a_lock->states($holder), 'sending=3', 'nothing of it is recovered while the table is locked');
	$holder->run('COMMIT');
	$holder->close;
	$row_holder->run("BEGIN; SELECT FROM pnvs_internal.queue WHERE recipient = '" . ($behind_a_lock->numbers)[1] . "' FOR UPDATE");
	is($behind_a_lock->states($row_holder), 'sending=3', 'then one of its rows is locked');
}

# --- no place for a worker

# The launcher, PostgreSQL's own, and one place.
{
	my $full = Pnvs::Server->new($service, 'full', conf => "max_worker_processes = 3\n");
	my ($idle, $other, $batch, $held, @worker);
	my $started;

	$idle = $full->connect;
	$idle->run('CREATE DATABASE other');
	$other = $full->connect('other');
	$other->run('CREATE EXTENSION pnvs');
	# the other database may still have to be visited, for which the place is needed
	Pnvs::Simulator::wait_until('a worker has stayed', sub {
			Pnvs::Batch->enqueue($idle, 'FA1', 1)->wait_for($idle, 'sent=1');
			@worker = $full->background($idle, 'pnvs worker', 'postgres');
			sleep(1.2);
			return @worker == 1 && "@worker" eq join(' ', $full->background($idle, 'pnvs worker', 'postgres'));
	});
	is($idle->value("SELECT state FROM pg_stat_activity WHERE pid = $worker[0]"), 'idle', 'an idle worker stays in the only place');
	$started = time;
	is(Pnvs::Batch->enqueue($other, 'FA1', 1)->wait_for($other, 'sent=1'), 'sent=1', 'it leaves when another database needs its place');
	cmp_ok(time - $started, '<', $SECONDS, 'it does so promptly');

	$held = Pnvs::Batch->enqueue($other, 'sim:held:place', 1);
	$held->wait_for($other, 'sending=1');
	$batch = Pnvs::Batch->enqueue($idle, 'FA1', 1);
	Pnvs::Simulator::wait_until('the log tells of it', sub { $full->logged =~ /LOG: +pnvs has no place for a worker/ });
	like($full->logged, qr/HINT: +Raise "max_worker_processes"/, 'the log says that there is no place, and what to do');
	$service->release('place');
	is($batch->wait_for($idle, 'sent=1'), 'sent=1', 'a message that found no place for a worker is sent when there is one');
	is($held->states($other), 'sent=1', 'the place was one of a worker that had something to do');
	is(scalar(my @told = $full->logged =~ /pnvs has no place/g), 1, 'the log is told once');
	$full->node->stop;
}

# --- a locked row, in the meantime

is($behind_a_lock->wait_for($session, 'sending=1 sent=2'), 'sending=1 sent=2', 'what nobody has locked becomes unknown, and is found by a search');
$row_holder->close;

# --- no place for a database

{
	my $crowded = Pnvs::Server->new($service, 'crowded', conf => "pnvs.max_databases = 2\npnvs.scan_interval = 1\n");
	my ($session, $there, $batch);

	$session = $crowded->connect;
	is($session->value('SHOW pnvs.max_databases'), 2, 'few databases can have a worker');
	is($session->value("SELECT context FROM pg_settings WHERE name = 'pnvs.max_databases'"), 'postmaster', 'how many is settled at the start');
	is(Pnvs::Batch->enqueue($session, 'FA1', 1)->wait_for($session, 'sent=1'), 'sent=1', 'the first has one');
	for my $dbname (qw(second third))
	{
		$session->run("CREATE DATABASE $dbname");
		$there = $crowded->connect($dbname);
		$there->run('CREATE EXTENSION pnvs');
		$batch = Pnvs::Batch->enqueue($there, 'FA1', 1);
		last if $dbname eq 'third';
		is($batch->wait_for($there, 'sent=1'), 'sent=1', 'the second has one');
		$there->close;
	}
	Pnvs::Simulator::wait_until('the log tells of it', sub { $crowded->logged =~ /LOG: +pnvs has no place for a worker's database/ });
	like($crowded->logged, qr/HINT: +Raise "pnvs.max_databases" and restart/, 'the log says that there is no place for a third, and what to do');
	Pnvs::Batch->enqueue($there, 'FA1', 1) for 1 .. 5;
	is($batch->states($there), 'queued=1', 'what is queued there stays queued');
	$there->run('CALL process_verification_queue()');
	is($batch->states($there), 'sent=1', 'until somebody CALLs the procedure');
	$session->run('DROP DATABASE second');
	is(Pnvs::Batch->enqueue($there, 'FA1', 1)->wait_for($there, 'sent=1'), 'sent=1', 'or until there is place');
	is(scalar(my @told = $crowded->logged =~ /pnvs has no place for a worker's database/g), 1, 'the log is told of it once');
	$crowded->node->stop;
}

# --- a row that was locked, later

is($behind_a_lock->wait_for($session, 'true=3', 'unknown_since IS NOT NULL'), 'true=3', 'what was locked becomes unknown once the lock is gone');
is($behind_a_lock->wait_for($session, 'sent=3'), 'sent=3', 'and is found by a search');
$service->unmark;
is($behind_a_lock->most_requests($service), 1, 'and not sent again');

# --- a worker that is ended while it looks something up

# The next look at intervals would be too late here, too.
{
	my $batch;

	$server->configure($session, 'pnvs.request_timeout' => 4000);
	$batch = Pnvs::Batch->enqueue($session, 'sim:first:1:hang', 1);
	Pnvs::Simulator::wait_until('it is looked up', sub { $batch->requested($service, 'SearchVerification') });
	$session->run('SELECT pg_terminate_backend(' . the_worker() . ')');
	is($batch->wait_for($session, 'sent=1'), 'sent=1', 'what an ended worker was looking up is looked up by the next one');
}
$node->stop;

done_testing();
