# What shared memory and the lock manager know of the queue: who is told of what a
# prepared transaction has queued, who keeps workers out of a database, who has gone
# without having settled; and that nobody sleeps over what others want of him.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl", "$FindBin::RealBin/../soak";

use List::Util qw(min);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Pnvs::Queue;
use Pnvs::Simulator qw(wait_until);
use Shortage;

$PostgreSQL::Test::Utils::timeout_default = min($PostgreSQL::Test::Utils::timeout_default, 60);

# The databases of this server that have a queue, and no more: "postgres" and "app".
my $MAX_DATABASES = 2;
my $UNRELATED = 100;

# A CALL that waits in vain does so for three times as long.
my $REQUEST_TIMEOUT_MS = 700;
my $IN_TIME_S = 10;

# More than libcurl needs for a request.
my $ALLOCATIONS = 100;

my $service = Pnvs::Simulator->new;
my $queue = Pnvs::Queue->new($service, 'registry', streaming => 1, conf => <<"CONF");
log_min_messages = debug1
max_prepared_transactions = 5
pnvs.max_databases = $MAX_DATABASES
pnvs.scan_interval = 1h
pnvs.worker_idle_timeout = 1h
CONF
my $node = $queue->node;
my $session = $queue->session;

# How many workers have been started for a database.
sub starts
{
	my ($database) = @_;
	my $oid = $session->value("SELECT oid FROM pg_database WHERE datname = '$database'");

	return $queue->logged(qr/starting background worker process "pnvs worker for database $oid"/);
}

# What a worker has done last, and when.
sub activity
{
	return $session->value("SELECT string_agg(pid || ' ' || state_change, ',') FROM pg_stat_activity "
		  . "WHERE backend_type = 'pnvs worker' AND datname = 'postgres'") // 'none';
}

# A worker that has nothing to do, and has not had for a moment.
sub wait_until_quiet
{
	my ($last, $since) = ('', time);

	wait_until('the worker has nothing to do', sub {
			my $now = activity();

			($last, $since) = ($now, time) if $now ne $last;
			return time - $since > 0.3;
	});
	return $last;
}

# --- prepared transactions

# As in lock_class.h.
sub names_locked { return $session->value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = x'707a'::integer"); }

{
	my $before;

	$queue->settled($queue->enqueue('FA1'));
	$session->run('CREATE TABLE other (n integer)');
	$before = wait_until_quiet();
	for my $n (1 .. $UNRELATED)
	{
		$session->run("BEGIN; INSERT INTO other VALUES ($n); PREPARE TRANSACTION 'unrelated $n'");
		$session->run(($n % 2 ? 'COMMIT' : 'ROLLBACK') . " PREPARED 'unrelated $n'");
	}
	is(activity(), $before, 'the end of a prepared transaction that has nothing to do with the queue wakes nobody');
}

{
	my ($committed, $kept, $other);

	$other = $queue->connect;
	$session->run('BEGIN');
	$committed = $queue->enqueue('FA1');
	$session->run("PREPARE TRANSACTION 'committed'");
	$session->run('BEGIN');
	$kept = $queue->enqueue('FA1');
	$session->run("PREPARE TRANSACTION 'kept'");
	is(names_locked(), 2, 'prepared transactions that have queued something lock their names');
	$other->run("COMMIT PREPARED 'committed'");
	is($queue->soon_settled([$committed]), 'sent', 'what it has queued is sent soon after COMMIT PREPARED');

	$session->close;
	$other->close;
	$node->stop;
	$node->start;
	$session = $queue->{session} = $queue->connect;
	$queue->settled($queue->enqueue('FA1'));
	wait_until_quiet();
	$session->run("COMMIT PREPARED 'kept'");
	is($queue->soon_settled([$kept]), 'sent', 'and so it is after a restart');
	is(names_locked(), 0, 'no name stays locked');
}

# --- who keeps workers out of a database

{
	my ($there, @taker, $id, $before, $elsewhere);

	$session->run('CREATE DATABASE app');
	$node->safe_psql('app', 'CREATE EXTENSION pnvs');
	$there = $queue->connect(dbname => 'app');
	$queue->settled($queue->enqueue('FA1', undef, session => $there), $there);

	# As long as that session is there, they wait, and give up after five seconds.
	@taker = map { $queue->connect } 1 .. 2;
	for my $n (0, 1)
	{
		$taker[$n]->send("CREATE DATABASE copy_$n TEMPLATE app");
		wait_until('the worker has left, and they wait', sub {
				!$queue->workers('app') && $session->value("SELECT count(*) > $n FROM pg_locks WHERE locktype = 'object' "
					  . "AND mode = 'ShareLock' AND granted AND classid = 'pg_database'::regclass") eq 't';
		});
	}
	$before = starts('app');
	$id = $queue->enqueue('FA1', undef, session => $there);
	$session->run("SELECT pg_cancel_backend(@{[$taker[1]->pid]})");
	is($taker[1]->result->sqlstate, '57014', 'of two sessions that want a database for themselves one gives up');

	# The launcher does more than one thing in a turn.
	$queue->configure;
	$queue->settled($queue->enqueue('FA1'));
	is(starts('app'), $before, 'no worker is started while the other is still at it');
	$session->run("SELECT pg_cancel_backend(@{[$taker[0]->pid]})");
	is($taker[0]->result->sqlstate, '57014', 'the other gives up, too');
	is($queue->soon_settled([$id], $there), 'sent', 'what was queued meanwhile is sent soon after');

	# Every place in shared memory is taken by now.
	$session->run('CREATE DATABASE without_queue');
	$session->run('SET allow_in_place_tablespaces = on');
	$session->run("CREATE TABLESPACE elsewhere LOCATION ''");
	is(join(' ', map { $_->{M} } $session->query('ALTER DATABASE without_queue SET TABLESPACE elsewhere')->notices), '',
		'a database that is moved, by two transactions, is kept for that until the end');
	$before = starts('app');
	$session->run('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = \'app\' AND backend_type = \'pnvs worker\'');
	$queue->settled($queue->enqueue('FA1', undef, session => $there), $there);
	is($queue->logged(qr/pnvs has no place/), 0, 'who wants a database without a queue takes no place from those that have one');
	$there->close;
	$_->close for @taker;
}

# --- a CALL

# Whether a session waits for an event.
sub waits
{
	my ($backend, $event) = @_;

	return $session->value('SELECT count(*) FROM pg_stat_activity WHERE pid = ' . $backend->pid . " AND wait_event = '$event'");
}

$queue->configure('pnvs.worker' => 'off');

# Its claim waits for a standby that there is not, and meanwhile everybody is told to close
# the files of a database that is dropped.
{
	my ($caller, $dropper) = map { $queue->connect } 1 .. 2;
	my $ncalls = 0;
	my $id;

	$_->run('SET synchronous_commit = local') for $session, $dropper;
	$queue->reload(synchronous_standby_names => 'absent');
	for (;;)
	{
		$id = $queue->enqueue('sim-start:held:call' . ++$ncalls);
		$caller->send('CALL process_verification_queue()');
		wait_until('its claim waits, or is sent', sub { waits($caller, 'SyncRep') || $queue->requests($id) });
		last if waits($caller, 'SyncRep');

		# It is another process that makes commits wait, when it has read the setting:
		# the next one of this CALL may wait, and nobody would end that.
		$queue->reload(synchronous_standby_names => undef);
		$service->release("call$ncalls");
		$caller->result;
		$queue->reload(synchronous_standby_names => 'absent');
	}
	$dropper->send('DROP DATABASE without_queue');
	wait_until('a database is being dropped', sub { waits($dropper, 'ProcSignalBarrier') });
	$queue->reload(synchronous_standby_names => undef);
	is($dropper->result->message, '', 'a database is dropped while a CALL has a message under way');
	is($queue->state($id), 'sending', 'and nobody has to wait for what becomes of that message');
	$service->release("call$ncalls");
	is($caller->result->message, '', 'the CALL ends');
	is($queue->state($id), 'sent', 'and has sent it');
	$session->run('RESET synchronous_commit');
	$_->close for $caller, $dropper;
}

# A row, and then the table, are locked by somebody for long.
{
	my ($caller, $locker) = map { $queue->connect } 1 .. 2;
	my $table = $session->value("SELECT coalesce(to_regclass('pnvs_internal.queue'), to_regclass('verification_queue'))");
	my ($id, $result);

	$queue->reload('pnvs.request_timeout' => $REQUEST_TIMEOUT_MS);
	$id = $queue->enqueue('sim-start:held:row');
	$caller->send('CALL process_verification_queue()');
	wait_until('the request is under way', sub { $queue->requests($id) });
	$locker->run("BEGIN; SELECT FROM $table WHERE id = $id FOR UPDATE");
	$service->release('row');
	$result = ended_in_time($caller);
	is($result->sqlstate, '38V02', 'a CALL ends in time that cannot write what became of a message');
	is($result->fate, 'sent=maybe stage=reply', 'it says that the message may have been sent');
	is($queue->state($id), 'sending', 'whose row is as it was');
	$locker->run('COMMIT');

	$locker->run("BEGIN; LOCK TABLE $table IN SHARE MODE");
	$caller->send('CALL process_verification_queue()');
	is(ended_in_time($caller)->sqlstate, '55P03', 'so does one that cannot claim what is due');
	$locker->run('COMMIT');
	$queue->reload('pnvs.worker' => undef, 'pnvs.request_timeout' => undef);
	is($queue->soon_settled([$id]), 'sent', 'what it left is looked up by the next sender');
	is($queue->sent($id), 1, 'and is not sent again');
	$_->close for $caller, $locker;
}

# What became of its CALL; of one that does not end, nothing.
sub ended_in_time
{
	my ($caller) = @_;

	return eval { $caller->result($IN_TIME_S) } // Pnvs::Result->new;
}

# What the session has set for its own transactions.
{
	my $caller = $queue->connect;
	my $id;

	$queue->configure('pnvs.worker' => 'off');
	$id = $queue->enqueue('FA1');
	$caller->run($_) for 'SET default_transaction_read_only = on', 'SET transaction_read_only = on', "SET statement_timeout = '${IN_TIME_S}s'";
	is($caller->query('CALL process_verification_queue()')->message, '', 'a CALL of a session that only reads ends');
	is($queue->state($id), 'sent', 'and sends');
	$caller->close;
}

# Since 17 a transaction can be given a time.
if ($session->value("SELECT count(*) FROM pg_settings WHERE name = 'transaction_timeout'"))
{
	my $caller = $queue->connect;
	my @id;

	@id = map { $queue->enqueue('sim-start:slow:1000') } 1 .. 2;
	$caller->run("SET transaction_timeout = '300ms'");
	is($caller->query('CALL process_verification_queue()')->message, '', 'transaction_timeout does not end a CALL that waits for the service');
	is(join(' ', map { $queue->state($_) } @id), 'sent sent', 'nor what it has under way');
	is($caller->value('SHOW transaction_timeout'), '300ms', 'and it is as it was afterwards');
	ok($caller->query("BEGIN; SELECT pg_sleep($IN_TIME_S)")->failed, 'and ends other transactions');
}

my $instrumented = PostgreSQL::Test::Utils::slurp_file('/proc/' . $queue->session->pid . '/maps') =~ /libasan/;
$queue->stop;

# --- a worker that runs out of memory

# A sanitizer has an allocator of its own, which cannot be made to fail.
if (!$instrumented)
{
	my $shortage = Shortage->new;
	my $short = Pnvs::Queue->new($service, 'short', environment => $shortage->environment, conf => <<'CONF');
pnvs.scan_interval = 1h
pnvs.worker_idle_timeout = 1h
CONF
	my ($slow, $failed, $next, $worker, $until);

	$short->settled($short->enqueue('FA1'));
	($worker) = $short->workers;
	for my $from (1 .. $ALLOCATIONS)
	{
		if (!$slow || $short->state($slow) ne 'sending')
		{
			$slow = $short->enqueue('sim-start:held:shortage');
			wait_until('a request is under way', sub { $short->requests($slow) });
		}
		$shortage->order($worker, fail_from => $from);
		$failed = $short->enqueue('FA1');
		wait_until('it has come back', sub { defined $short->row($failed)->{code} });
		last if $short->row($failed)->{message} =~ /out of memory/;
	}
	$shortage->relieve;
	like($short->row($failed)->{message}, qr/out of memory/, 'libcurl runs out of memory in a worker that has something under way');
	is($short->state($slow), 'sending', 'that is still under way');
	$next = $short->enqueue('FA1');
	$until = time + 1;
	wait_until('some time passes, or it is settled', sub { time > $until || defined $short->row($next)->{settled_at} });
	$service->release('shortage');
	is($short->soon_settled([ $slow, $failed, $next ]), 'sent sent sent', 'every message is sent');
	is($short->session->value("SELECT bool_and(settled_at > (SELECT settled_at FROM verification_queue WHERE id = $slow)) "
			  . "FROM verification_queue WHERE id IN ($failed, $next)"), 't', 'nothing more is sent before what was under way has come back, and libcurl can be replaced');
	$short->stop;
}

# --- layouts that are PostgreSQL's own affair

# A minor release changed one; with a pnvs that was built before, no message was sent.
{
	my @private = grep { PostgreSQL::Test::Utils::slurp_file($_) =~ /#include "(?!core|queue|remote|sql)\S*_(?:private|internals?)\.h"/ }
	  glob "$FindBin::RealBin/../../src/*.[ch] $FindBin::RealBin/../../src/*/*.[ch] $FindBin::RealBin/../../src/*/*/*.[ch]";

	is(join(' ', @private), '', 'no source includes a private header of the server');
}

done_testing();
