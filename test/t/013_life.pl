# What PostgreSQL does with databases and tables while calls are under way: nothing
# of it waits for them, and nothing of it makes anything go wrong.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(max min);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Pnvs::Batch;
use Pnvs::Server;
use Pnvs::Simulator;

$PostgreSQL::Test::Utils::timeout_default = min($PostgreSQL::Test::Utils::timeout_default, 60);

# What is promised: PostgreSQL itself gives up after five seconds.
my $PROMPT_S = 5;
my $MAX_TRIES = 3;

# Files beside the extension's.
my @update;

my $service = Pnvs::Simulator->new;
my $server = Pnvs::Server->new($service, 'life',
	streaming => 'logical',
	conf => "pnvs.request_timeout = 30000\nmax_worker_processes = 20\n");
my $node = $server->node;
my $session = $server->connect;

# What it takes to copy a database that nobody is in.
my $copy_s;

# A database with the extension, and a session there.
sub create_database
{
	my ($name, $schema) = @_;
	my $started = time;
	my $there;

	$session->run("CREATE DATABASE $name");
	$copy_s = time - $started;
	$there = $server->connect($name);
	$there->run('CREATE EXTENSION pnvs' . ($schema ? " SCHEMA $schema" : ''));
	return $there;
}

# Calls that hang, and are found by a search later.
sub hang
{
	my ($there, $count) = @_;
	my $batch = Pnvs::Batch->enqueue($there, 'sim-start:hang', $count // 3);

	$batch->wait_until_requested($service);
	return $batch;
}

# Runs a statement while calls are under way: it succeeds, promptly, and leaves
# nothing in the log.
sub promptly
{
	my ($what, $there, $sql, $limit) = @_;
	my $started;
	my $result;
	my $took;

	$server->mark_log;
	$started = time;
	$result = $there->query($sql);
	$took = time - $started;
	is($result->message, '', "$what: succeeds");
	cmp_ok($took, '<', $limit // $PROMPT_S, "$what: is prompt");
	is($server->complaints, '', "$what: leaves nothing in the log");
	diag(sprintf '%s: %.2f s', $what, $took);
	return;
}

sub goes_on
{
	my ($what, $there) = @_;

	is(Pnvs::Batch->enqueue($there, 'FA1', 2)->wait_for($there, 'sent=2'), 'sent=2', "$what: what is queued next is sent");
	return;
}

# The calls of a batch have become unknown, and were found; none was sent again.
sub found
{
	my ($what, $there, $batch) = @_;
	my $count = $batch->ids;

	is($batch->wait_for($there, "sent=$count"), "sent=$count", "$what: what was under way is found by a search");
	is($batch->states($there, 'unknown_since IS NOT NULL'), "true=$count", "$what: it was unknown before");
	is($batch->most_requests($service), 1, "$what: none is sent again");
	return;
}

# --- databases

{
	my $there = create_database('dropped');
	my $batch = hang($there);

	$there->close;
	promptly('DROP DATABASE', $session, 'DROP DATABASE dropped');
	is($batch->most_requests($service), 1, 'DROP DATABASE: none is sent again');
}

{
	my $there = create_database('before');
	my $batch = hang($there);
	my $soon = Pnvs::Batch->enqueue($there, 'sim:slow:500', 2);

	$soon->wait_until_requested($service);
	$there->close;
	promptly('ALTER DATABASE RENAME', $session, 'ALTER DATABASE before RENAME TO after');
	$there = $server->connect('after');
	found('ALTER DATABASE RENAME', $there, $batch);
	is($soon->states($there, q{state || ' ' || (unknown_since IS NULL)}), 'sent true=2', 'ALTER DATABASE RENAME: what came back meanwhile is settled');
	goes_on('ALTER DATABASE RENAME', $there);
}

{
	my $there = create_database('original');
	my $batch = hang($there);
	my $later = Pnvs::Batch->enqueue($there, 'FA1', 3, "not_before => now() + '3 seconds'");
	my $copy;

	$there->close;
	promptly('CREATE DATABASE TEMPLATE', $session, 'CREATE DATABASE copy TEMPLATE original', $PROMPT_S + $copy_s);
	$there = $server->connect('original');
	$copy = $server->connect('copy');
	found('CREATE DATABASE TEMPLATE', $there, $batch);
	Pnvs::Simulator::wait_until('the time of the rows has come',
		sub { $copy->value('SELECT bool_and(not_before <= clock_timestamp()) FROM verification_queue WHERE ' . $later->where) eq 't' });
	goes_on('CREATE DATABASE TEMPLATE', $copy);
	found('the copy by CREATE DATABASE TEMPLATE', $copy, $batch);
	is($later->wait_for($copy, 'canceled Local.ForeignOrigin=3', "concat_ws(' ', state, code)"), 'canceled Local.ForeignOrigin=3',
		'CREATE DATABASE TEMPLATE: the rows of the copy are canceled');
	is($later->states($copy, q{recipient LIKE '%****%'}), 'true=3', 'CREATE DATABASE TEMPLATE: their numbers are masked');
	is($later->wait_for($there, 'sent=3'), 'sent=3', 'CREATE DATABASE TEMPLATE: those of the original are sent');
	is($later->arrived($service), '3 numbers, at most 1 each', 'CREATE DATABASE TEMPLATE: once each');
	is($batch->most_requests($service), 1, 'CREATE DATABASE TEMPLATE: the copy does not send what was under way either');
	$copy->close;
	$there->close;
}

# A barrier has to be answered by all, also by a worker of another database.
{
	my $batch;

	$session->run('CREATE DATABASE other');
	$batch = Pnvs::Batch->enqueue($session, 'sim:held:barrier', 3);
	$batch->wait_until_requested($service);
	promptly('DROP DATABASE of another one', $session, 'DROP DATABASE other', 1.5);
	is($batch->states($session), 'sending=3', 'DROP DATABASE of another one: the calls go on');
	$service->release('barrier');
	is($batch->wait_for($session, 'sent=3'), 'sent=3', 'DROP DATABASE of another one: and end as ever');
}

# --- tables

# What was claimed is found again wherever its row has gone.
for my $case (
	[ 'UPDATE by the owner', q{UPDATE pnvs_internal.queue SET reference = 'moved' WHERE state = 'sending'} ],
	[ 'VACUUM FULL', 'VACUUM FULL pnvs_internal.queue' ])
{
	my ($what, $statement) = @$case;
	my $batch = Pnvs::Batch->enqueue($session, 'sim:slow:1000', 3);

	$batch->wait_until_requested($service);
	$session->run($statement);
	is($batch->wait_for($session, 'sent=3'), 'sent=3', "$what: rows that were moved are settled");
}

# Keeps the worker waiting for a row's lock, by the latch that everything else comes
# by, while something happens; the row's batch.
my $nlocked = 0;
sub behind_lock
{
	my ($happens) = @_;
	my $locker = $server->connect;
	my $locked = Pnvs::Batch->enqueue($session, 'sim:held:row' . ++$nlocked, 1);

	$locked->wait_until_requested($service);
	$locker->run('BEGIN');
	$locker->run('SELECT FROM pnvs_internal.queue WHERE ' . $locked->where . ' FOR UPDATE');
	$service->release("row$nlocked");
	Pnvs::Simulator::wait_until('the worker waits for the lock', sub {
		$session->value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pnvs worker' AND wait_event_type = 'Lock'");
	});
	$happens->();
	$locker->run('ROLLBACK');
	$locker->close;
	return $locked;
}

# On a busy machine "at once" may take several tries.
{
	my (@state, @took);

	for (1 .. $MAX_TRIES)
	{
		my ($announced, $enqueued);
		my $locked = behind_lock(sub {
			$announced = Pnvs::Batch->enqueue($session, 'FA1', 1);
			$enqueued = time;
		});

		@state = $announced->wait_for($session, 'sent=1');
		push @took, time - $enqueued;
		push @state, $locked->wait_for($session, 'sent=1');
		last if $took[-1] < 0.4;
	}
	is($state[0], 'sent=1', 'a message that comes while the worker waits for a lock is sent');
	cmp_ok(min(@took), '<', 0.4, 'and at once');
	is($state[1], 'sent=1', 'and the locked row is settled');
}

{
	my ($state, @took);

	for (1 .. $MAX_TRIES)
	{
		my $reloaded;
		my $locked = behind_lock(sub {
			$server->configure($session, 'pnvs.worker' => 'off');
			$reloaded = time;
		});

		Pnvs::Simulator::wait_until('the worker has left', sub { !$server->background($session, 'pnvs worker') });
		push @took, time - $reloaded;
		$state = $locked->states($session);
		$server->configure($session, 'pnvs.worker' => undef);
		last if $took[-1] < 0.3;
	}
	cmp_ok(min(@took), '<', 0.3, 'a reload that comes while the worker waits for a lock is read at once');
	is($state, 'sent=1', 'and the locked row is settled');
}

{
	my $batch = hang($session);

	promptly('VACUUM FULL', $session, 'VACUUM FULL pnvs_internal.queue', 2);
	is($batch->states($session), 'sending=3', 'VACUUM FULL: the calls go on');
	goes_on('VACUUM FULL', $session);

	promptly('ALTER SCHEMA RENAME', $session, 'ALTER SCHEMA public RENAME TO elsewhere', 2);
	$session->run('SET search_path = elsewhere');
	goes_on('ALTER SCHEMA RENAME', $session);
	promptly('ALTER SCHEMA RENAME back', $session, 'ALTER SCHEMA elsewhere RENAME TO public', 2);
	$session->run('RESET search_path');

	promptly('TRUNCATE', $session, 'TRUNCATE pnvs_internal.queue', 2);
	goes_on('TRUNCATE', $session);

	$batch = hang($session);
	promptly('DROP EXTENSION', $session, 'DROP EXTENSION pnvs', 2);
	promptly('CREATE EXTENSION', $session, 'CREATE EXTENSION pnvs', 2);
	goes_on('CREATE EXTENSION', $session);
	is($batch->most_requests($service), 1, 'DROP EXTENSION: none is sent again');
}

# A lock that is held: nobody waits for the worker, and the worker for nobody.
{
	my $holder = $server->connect;
	my $batch = Pnvs::Batch->enqueue($session, 'sim:held:table', 5);
	my ($waiting, $until);

	$batch->wait_until_requested($service);
	$server->mark_log;
	$holder->run('BEGIN; LOCK TABLE pnvs_internal.queue IN SHARE ROW EXCLUSIVE MODE');
	$service->release('table');
	$until = time + 1.5;
	Pnvs::Simulator::wait_until('the lock was held for a while', sub {
			$waiting ||= $session->value("SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) "
				  . "WHERE backend_type = 'pnvs worker' AND NOT granted");
			return time > $until;
	});
	is($batch->states($session), 'sending=5', 'LOCK TABLE: what came back waits for the lock');
	is($waiting, 0, 'LOCK TABLE: the worker does not stand in its queue');
	$holder->run('COMMIT');
	is($batch->wait_for($session, 'sent=5'), 'sent=5', 'LOCK TABLE: it is settled when the lock is gone');
	is($batch->states($session, 'unknown_since IS NULL'), 'true=5', 'LOCK TABLE: as what it was');
	is($batch->most_requests($service), 1, 'LOCK TABLE: none is sent again');
	is($server->complaints, '', 'LOCK TABLE: leaves nothing in the log');
	goes_on('LOCK TABLE', $session);
}

# --- a new version of the extension

# Writes an update script, which goes with the test.
sub add_update
{
	my ($from, $to, $sql) = @_;
	my ($sharedir) = run_command([ 'pg_config', '--sharedir' ]);
	my $path = "$sharedir/extension/pnvs--$from--$to.sql";

	die "$path is there already" if -e $path;
	push @update, $path;
	append_to_file($path, $sql);
	return;
}

END { unlink @update; }

# The first writes all rows anew, the second is held open while calls come back.
{
	my $there = create_database('updated');
	my $holder = $server->connect('updated');
	my ($batch, $soon, $later, $until);

	add_update('1.0', 'life1', <<'SQL');
CLUSTER pnvs_internal.queue USING queue_pkey;
CREATE INDEX queue_lot_idx ON pnvs_internal.queue (origin_timeline);
CREATE OR REPLACE FUNCTION cancel_verification(id bigint) RETURNS boolean LANGUAGE sql AS 'SELECT false';
SQL
	add_update('life1', 'life2', <<'SQL');
DROP INDEX pnvs_internal.queue_lot_idx;
CLUSTER pnvs_internal.queue;
SQL
	$batch = hang($there);
	$later = Pnvs::Batch->enqueue($there, 'FA1', 2, "not_before => now() + '1 hour'");
	$soon = Pnvs::Batch->enqueue($there, 'sim:slow:1000', 5);
	$soon->wait_until_requested($service);
	promptly('ALTER EXTENSION UPDATE', $there, q{ALTER EXTENSION pnvs UPDATE TO 'life1'});
	is($soon->wait_for($there, 'sent=5'), 'sent=5', 'ALTER EXTENSION UPDATE: what comes back is settled');
	is($soon->states($there, 'unknown_since IS NULL'), 'true=5', 'ALTER EXTENSION UPDATE: as what it was, in the table written anew');
	is($batch->states($there), 'sending=3', 'ALTER EXTENSION UPDATE: the other calls go on');
	goes_on('ALTER EXTENSION UPDATE', $there);

	$soon = Pnvs::Batch->enqueue($there, 'sim:slow:500', 5);
	$soon->wait_until_requested($service);
	$server->mark_log;
	$holder->run(q{BEGIN; ALTER EXTENSION pnvs UPDATE TO 'life2'});
	$until = time + 2;
	Pnvs::Simulator::wait_until('the update was held open for a while', sub { time > $until });
	$holder->run('COMMIT');
	is($soon->wait_for($there, 'sent=5'), 'sent=5', 'an update that takes long: what comes back meanwhile is settled after it');
	is($soon->states($there, 'unknown_since IS NULL'), 'true=5', 'an update that takes long: as what it was');
	is($server->complaints, '', 'an update that takes long: leaves nothing in the log');
	goes_on('an update that takes long', $there);
	$there->run(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pnvs worker' AND datname = 'updated'});
	found('ALTER EXTENSION UPDATE', $there, $batch);
	is($soon->arrived($service), '5 numbers, at most 1 each', 'ALTER EXTENSION UPDATE: nothing goes out twice');
	is($later->states($there), 'queued=2', 'ALTER EXTENSION UPDATE: what is for later stays queued');
	$_->close for $there, $holder;
}

# --- one worker for each database

{
	my $there = create_database('wanted');
	my @caller = map { $server->connect('wanted') } 1 .. 6;
	my (@batch, $most, $pair_since);

	# The worker is sent away again and again, and called for from all sides.
	for my $round (1 .. 10)
	{
		for my $caller (@caller)
		{
			$caller->send("SELECT enqueue_verification('SMS', (6281700000000 + n)::text, 'sim:slow:30') "
				  . 'FROM generate_series(' . ($round * 1000 + $caller->pid % 100 * 10 + 1) . ', ' . ($round * 1000 + $caller->pid % 100 * 10 + 3) . ') AS n');
		}
		$session->run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pnvs worker' AND datname = 'wanted'");
		$_->result for @caller;
		Pnvs::Simulator::wait_until('all of the round are sent', sub {
				my @pid = sort $server->background($session, 'pnvs worker', 'wanted');

				# One that ends may still be there when the next has come.
				if (@pid < 2) { $pair_since = undef; }
				elsif (!defined $pair_since || $pair_since->{pids} ne "@pid") { $pair_since = { pids => "@pid", at => time }; }
				$most = max($most // 0, $pair_since ? time - $pair_since->{at} : 0);
				return !$there->value('SELECT count(*) FROM verification_queue WHERE settled_at IS NULL');
		});
	}
	cmp_ok($most, '<', 1, 'two workers are never in one database, but for the moment that one takes to end');
	diag(sprintf 'two workers in one database: for %.3f s at most', $most);
	is($there->value("SELECT count(*) FROM verification_queue WHERE state = 'sent'"), 180, 'all that was queued meanwhile is sent');
	is($service->count('sent', to => qr/\A62817/), 180, 'once each');
	$_->close for @caller, $there;
}

# --- copies of rows

# A subscriber gets the rows, and must not send them.
{
	my $there = create_database('subscriber');
	my $batch = Pnvs::Batch->enqueue($session, 'FA1', 3, "not_before => now() + '1 hour'");

	$session->run('CREATE PUBLICATION queue FOR TABLE pnvs_internal.queue');
	$session->run("SELECT pg_create_logical_replication_slot('queue', 'pgoutput')");
	$there->run('TRUNCATE pnvs_internal.queue');
	$there->run("SELECT setval('pnvs_internal.queue_id_seq', 1000000)");
	$there->run("CREATE SUBSCRIPTION queue CONNECTION '" . ($node->connstr('postgres') =~ tr{'}{}dr) . "' PUBLICATION queue WITH (create_slot = false, copy_data = true)");
	is($batch->wait_for($there, 'queued=3'), 'queued=3', 'a subscriber has the rows');
	$there->run("UPDATE pnvs_internal.queue SET not_before = now() WHERE " . $batch->where);
	goes_on('subscriber', $there);
	is($batch->wait_for($there, 'canceled Local.ForeignOrigin=3', "concat_ws(' ', state, code)"), 'canceled Local.ForeignOrigin=3', 'a subscriber cancels the rows');
	is($batch->requested($service), 0, 'a subscriber does not send them');
	is($batch->states($session), 'queued=3', 'they stay queued where they are');

	# Its sender is not there: so it is of unknown fate, and looked up.
	$batch = hang($session);
	is($batch->wait_for($there, 'sending=3'), 'sending=3', 'a subscriber has the rows that are under way');
	$there->run('CALL process_verification_queue()');
	found('a subscriber', $there, $batch);
	$there->run('ALTER SUBSCRIPTION queue DISABLE');
	$there->run('ALTER SUBSCRIPTION queue SET (slot_name = NONE)');
	$there->run('DROP SUBSCRIPTION queue');
	$session->run('DROP PUBLICATION queue');
	$there->close;
}

# Dumps a database by its owner's hand; what pg_dump says.
sub dump_by_owner
{
	my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump_by_owner';
	my (undef, $stderr);

	$session->run("CREATE ROLE keeper LOGIN");
	$session->run('CREATE DATABASE kept OWNER keeper');
	$server->connect('kept')->run("CREATE EXTENSION pnvs; SELECT enqueue_verification('SMS', '6281234567890', 'FA1', not_before => now() + '1 hour')");
	(undef, $stderr) = run_command([ 'pg_dump', '-U', 'keeper', '-f', $dump, $node->connstr('kept') ]);
	like(slurp_file($dump), qr/setval\('pnvs_internal\.queue_id_seq', 1, true\)/, 'a dump of the owner holds the position of the sequence');
	return $stderr;
}

# A dump.
{
	my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
	my $batch = Pnvs::Batch->enqueue($session, 'FA1', 3, "not_before => now() + '1 hour'");
	my $last = max($batch->ids);
	my (undef, $stderr) = run_command([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ]);
	my $there;

	is($stderr, '', 'pg_dump has nothing to complain of');
	is(dump_by_owner(), '', 'nor when the owner of the database runs it, who is no superuser');
	$session->run('CREATE DATABASE restored');
	$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('restored'), $dump ], 'pg_restore');
	$node->command_like([ 'pg_restore', '-f', '-', $dump ], qr/setval\('pnvs_internal\.queue_id_seq', $last, true\)/, 'a dump holds the position of the sequence');
	$node->command_like([ 'pg_restore', '-f', '-', $dump ], qr/\A(?!.*COPY \S*queue )/s, 'a dump does not hold the rows');
	$there = $server->connect('restored');
	is($there->value('SELECT count(*) FROM verification_queue'), 0, 'a restored database has an empty queue');
	is((Pnvs::Batch->enqueue($there, 'FA1', 1)->ids)[0], $last + 1, 'and gives no ID twice');
	goes_on('a restored database', $there);
	is($batch->requested($service), 0, 'it sends nothing of what was queued at the time of the dump');
	$there->close;
}

# --- the end of the server

{
	my $batch = hang($session);
	my $slow = Pnvs::Batch->enqueue($session, 'sim:slow:500', 2);
	my ($started, $took);

	$slow->wait_until_requested($service);
	$server->mark_log;
	$started = time;
	$node->stop('fast');
	$took = time - $started;
	cmp_ok($took, '<', $PROMPT_S, 'a fast shutdown is prompt');
	diag(sprintf 'fast shutdown: %.2f s', $took);
	is($server->complaints(qr/terminating connection due to administrator command|the database system is shutting down/), '',
		'a fast shutdown leaves nothing in the log');
	$node->start;
	$session = $server->connect;
	found('a fast shutdown', $session, $batch);
	is($slow->states($session, q{state || ' ' || (unknown_since IS NULL)}), 'sent true=2', 'a fast shutdown: what came back meanwhile is settled');
	$node->stop;
}

done_testing();
