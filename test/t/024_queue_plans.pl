# What a sender reads for a message: as much where its plans were made for a handful of
# rows as for as many as there are.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(min);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Pnvs::Queue;
use Pnvs::Simulator qw(wait_until);

$PostgreSQL::Test::Utils::timeout_default = min($PostgreSQL::Test::Utils::timeout_default, 60);

my $MANY = 1500;
my $MOVED = 50;
my $READ_FOR_EACH = 20;
my $TELLS_EVERY_S = 1.2;
my $service = Pnvs::Simulator->new;
my $queue = Pnvs::Queue->new($service, 'plans', conf => <<"CONF");
autovacuum = off
pnvs.scan_interval = 1h
pnvs.max_in_flight = $MOVED
CONF
my $session = $queue->session;
my $read = 0;
my $updates;

# Rows and index entries read since the last call, once so many updates are told of.
my $newly_read = sub {
	my ($told) = @_;
	my $before = $read;
	my $told_at = time;

	wait_until('the worker has told what it has read', sub {
		# it is idle for ten seconds before it does so by itself, or has another message
		if (time > $told_at + $TELLS_EVERY_S)
		{
			$queue->settled($queue->enqueue('FA1'));
			$updates += 2;
			$told_at = time;
		}
		$session->run('SELECT pg_stat_clear_snapshot()');
		return $session->value("SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'queue'") >= $told;
	});
	$read = $session->value(<<'SQL');
SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'queue')
	+ (SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'queue')
SQL
	return $read - $before;
};

# Moves the rows of messages that take their time, while they are under way; how many.
my $move = sub {
	my ($number, $n) = @_;

	$session->run("SELECT enqueue_verification('SMS', ($number + n)::text, 'sim-start:slow:2000') FROM generate_series(1, $n) AS n");
	wait_until('they are under way', sub {
		$session->value("SELECT count(*) FROM verification_queue WHERE settled_at IS NULL AND state = 'sending'") == $n
	});
	return $session->value(<<'SQL');
WITH moved AS (UPDATE pnvs_internal.queue SET reference = 'moved' WHERE settled_at IS NULL AND state = 'sending' RETURNING id)
SELECT count(*) FROM moved
SQL
};

# this session reads nothing beside those that are under way
$session->run('SET enable_seqscan = off');
$session->run('VACUUM ANALYZE pnvs_internal.queue');
is($move->(6281500900000, 1), 1, 'a message is moved');
$queue->settled($queue->enqueue('sim-start:close'));
$newly_read->($updates = 6);
$session->run("SELECT enqueue_verification('SMS', (6281600000000 + n)::text, 'FA1') FROM generate_series(1, $MANY) AS n");
cmp_ok($newly_read->($updates += 2 * $MANY) / $MANY, '<=', $READ_FOR_EACH, 'many messages where few were expected: none is looked for among all');

# Those that somebody has moved are settled by their IDs.
is($move->(6281700000000, $MOVED), $MOVED, 'many are moved');
$newly_read->($updates += 2 * $MOVED);
cmp_ok($newly_read->($updates += $MOVED) / $MOVED, '<=', $READ_FOR_EACH, 'nor are those that were moved');

# What may have reached a number is found by it, not among all of unknown fate. The
# first look alone reads what the index still has of messages that were under way.
$session->run(<<"SQL");
INSERT INTO pnvs_internal.queue (id, channel, recipient, service_sid, state, attempts, not_before, send_before, created_at, retain_from,
	dispatched_at, unknown_since, requested_by, origin_system, origin_database, origin_timeline)
SELECT nextval('pnvs_internal.queue_id_seq'), 'SMS', 6281800000000 + n, 'FA1', 'unknown', 1, now() + interval '1 day', now() + interval '2 days', now(), now(),
	now(), now(), current_user::regrole, system_identifier, d.oid, timeline_id
FROM generate_series(1, $MANY) AS n, pg_control_system(), pg_control_checkpoint(), pg_database d
WHERE datname = current_database()
SQL
$newly_read->(0);
$session->run("SELECT enqueue_verification('SMS', (6281900000000 + n)::text, 'sim-start:close') FROM generate_series(1, $MOVED) AS n");
cmp_ok($newly_read->($updates + 3 * $MOVED) / $MOVED, '<=', $MANY / 10, 'nor is a message of unknown fate looked for among all of these');

# Nor what the message of a direct check could be. A transaction counts what it reads.
$service->mark;
$session->run("SELECT enqueue_verification('SMS', 6281990000000::text, 'sim-start:slow:500')");
$service->wait_for('sent', to => 6281990000000);
$session->run("BEGIN; SELECT check_verification('123456', 'no-such-id')");
cmp_ok($session->value("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'queue'"), '<=', $READ_FOR_EACH,
	'nor what the message of a direct check could be');
$session->run('ROLLBACK');

# Nor does it read what an enqueue writes.
my @id = map { $session->value("SELECT verification_id FROM start_verification('SMS', '628199111111$_', 'FA1')") } 0, 1;
my @serializable = map { $queue->connect } 0, 1;
$_->run('BEGIN ISOLATION LEVEL SERIALIZABLE') for @serializable;
$serializable[$_]->run("SELECT check_verification('123456', '$id[$_]')") for 0, 1;
$serializable[$_]->run("SELECT enqueue_verification('SMS', '628199222222$_', 'FA1')") for 0, 1;
is(join(',', map { $_->query('COMMIT')->sqlstate // '' } @serializable), ',', 'two serializable transactions check a direct message and queue another');
$_->close for @serializable;
$queue->stop;

done_testing();
