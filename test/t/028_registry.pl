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
use Pnvs::Simulator;
use Shortage;
use Shortage;

$PostgreSQL::Test::Utils::timeout_default = min($PostgreSQL::Test::Utils::timeout_default, 60);

# The databases of this server that have a queue, and no more: "postgres" and "app".
my $MAX_DATABASES = 2;
my $UNRELATED = 100;
my $SLOW_MS = 3000;

# More than libcurl needs for a request.
my $ALLOCATIONS = 100;

my $service = Pnvs::Simulator->new;
my $queue = Pnvs::Queue->new($service, 'registry', conf => <<"CONF");
log_min_messages = debug1
max_prepared_transactions = 5
pnvs.max_databases = $MAX_DATABASES
pnvs.scan_interval = 1h
pnvs.worker_idle_timeout = 1h
CONF
my $node = $queue->node;
my $session = $queue->session;

sub wait_until { return Pnvs::Simulator::wait_until(@_); }

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
	$node->restart;
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
	$before = starts('app');
	$session->run('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = \'app\' AND backend_type = \'pnvs worker\'');
	$queue->settled($queue->enqueue('FA1', undef, session => $there), $there);
	is($queue->logged(qr/pnvs has no place/), 0, 'who wants a database without a queue takes no place from those that have one');
	$there->close;
	$_->close for @taker;
}

$queue->stop;

# --- a worker that runs out of memory

{
	my $shortage = Shortage->new;
	my $short = Pnvs::Queue->new($service, 'short', environment => $shortage->environment, conf => <<'CONF');
pnvs.scan_interval = 1h
pnvs.worker_idle_timeout = 1h
CONF
	my ($slow, $failed, $next, $worker);

	$short->settled($short->enqueue('FA1'));
	($worker) = $short->workers;
	$slow = $short->enqueue("sim-start:slow:$SLOW_MS");
	wait_until('a request is under way', sub { $short->requests($slow) });
	for my $from (1 .. $ALLOCATIONS)
	{
		$shortage->order($worker, fail_from => $from);
		$failed = $short->enqueue('FA1');
		wait_until('it has come back', sub { defined $short->row($failed)->{code} });
		last if $short->row($failed)->{message} =~ /out of memory/;
	}
	$shortage->relieve;
	like($short->row($failed)->{message}, qr/out of memory/, 'libcurl runs out of memory in a worker that has something under way');
	is($short->state($slow), 'sending', 'that is still under way');
	$next = $short->enqueue('FA1');
	is($short->soon_settled([ $slow, $failed, $next ]), 'sent sent sent', 'every message is sent');
	is($short->session->value("SELECT bool_and(settled_at > (SELECT settled_at FROM verification_queue WHERE id = $slow)) "
			  . "FROM verification_queue WHERE id IN ($failed, $next)"), 't', 'nothing more is sent before what was under way has come back, and libcurl can be replaced');
	$short->stop;
}

# --- layouts that are PostgreSQL's own affair

# A minor release changed one; with a pnvs that was built before, no message was sent.
{
	my @private = grep { PostgreSQL::Test::Utils::slurp_file($_) =~ /#include "(?!core|queue|remote|sql)\S*_(?:private|internals?)\.h"/ }
	  glob "$FindBin::RealBin/../../src/*.[ch] $FindBin::RealBin/../../src/*/*.[ch]";

	is(join(' ', @private), '', 'no source includes a private header of the server');
}

done_testing();
