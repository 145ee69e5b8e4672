# The worker: when it is there and when not, in which databases, and that no
# setting of a database disturbs it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(min);
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Pnvs::Queue;
use Pnvs::Simulator qw(wait_until);

$PostgreSQL::Test::Utils::timeout_default = min($PostgreSQL::Test::Utils::timeout_default, 60);

# For what happens at once, on a busy machine.
my $LIMIT_S = 0.7;
my $MAX_TRIES = 5;

my $service = Pnvs::Simulator->new;
my $queue = Pnvs::Queue->new($service, 'worker', conf => <<'CONF');
log_min_messages = debug1
pnvs.worker_idle_timeout = 0
CONF
my $node = $queue->node;
my $session = $queue->session;

# How many workers have been started, for all databases or for one.
sub starts
{
	my ($oid) = @_;
	my $database = defined $oid ? " for database $oid\"" : '';

	return scalar(() = PostgreSQL::Test::Utils::slurp_file($node->logfile)
		  =~ /starting background worker process "pnvs worker$database/g);
}

sub no_worker
{
	my ($database) = @_;

	wait_until('the worker has left', sub { !$queue->workers($database) });
	return;
}

# --- leaving and coming back

my $id = $queue->enqueue('FA1');
is($queue->settled($id)->{state}, 'sent', 'a worker comes for the first message');
no_worker();
pass('a worker leaves when nothing is due');

my $quickest = 999;
for (1 .. $MAX_TRIES)
{
	my $enqueued = time;

	$id = $queue->enqueue('FA1');
	$queue->settled($id);
	$quickest = time - $enqueued if time - $enqueued < $quickest;
	no_worker();
}
cmp_ok($quickest, '<', $LIMIT_S, 'it comes back at once for the next message');

my @late;
for (1 .. $MAX_TRIES)
{
	$id = $queue->enqueue('FA1', "clock_timestamp() + '1500 ms'");
	my $due = $session->value("SELECT extract(epoch FROM not_before) FROM verification_queue WHERE id = $id");
	no_worker();
	$queue->settled($id);
	push @late, ($queue->requests($id))[0]{t} - $due;
	no_worker();
	last if $late[-1] < $LIMIT_S;
}
is($queue->state($id), 'sent', 'it comes back by itself when a message is due');
cmp_ok($late[-1], '<', $LIMIT_S, 'and in time');

# What is kept until the end of time, by hand, is nothing to come back for. Its worker
# has seen that before it sends the second message.
$node->safe_psql('postgres', 'CREATE DATABASE eternal');
$node->safe_psql('eternal', 'CREATE EXTENSION pnvs');
my $eternal = $queue->connect(dbname => 'eternal');
my $eternal_oid = $eternal->value('SELECT oid FROM pg_database WHERE datname = current_database()');
my $eternal_id = $queue->enqueue('FA1', undef, session => $eternal);
$queue->settled($eternal_id, $eternal);
no_worker('eternal');
$eternal->run("UPDATE pnvs_internal.queue SET retain_from = '294276-12-31 23:59:59+00'");
$queue->settled($queue->enqueue('FA1', undef, session => $eternal), $eternal);
no_worker('eternal');
my $eternal_starts = starts($eternal_oid);
my $eternal_until = time + 11;

# Long enough for a worker that is started again and again.
my $started = starts();
my $idle_until = time + 2.5;
$node->safe_psql('postgres', 'CREATE DATABASE idle');
wait_until('some time passes', sub { time > $idle_until });
is(starts() - $started, 0, 'where nothing is due no worker is started');

# --- much that is old

# A worker deletes some thousands at a time.
$session->run(<<'SQL');
INSERT INTO pnvs_internal.queue (id, attempts, channel, recipient, service_sid, state, not_before, send_before, created_at, settled_at,
	retain_from, requested_by, origin_system, origin_database, origin_timeline)
SELECT nextval('pnvs_internal.queue_id_seq'), 1, 'SMS', '628****', 'FA1', 'sent', t, t, t, t, t, current_user::regrole, 0, 0, 0
FROM generate_series(1, 40000) AS n, LATERAL (SELECT now() - interval '60 days' + n * interval '1 second') AS old (t)
SQL
$started = starts();
$queue->settled($queue->enqueue('FA1'));
wait_until('what is old is deleted',
	sub { $session->value("SELECT count(*) FROM verification_queue WHERE created_at < now() - interval '1 day'") == 0 });
no_worker();
is(starts() - $started, 1, 'one worker deletes all that is old, however much');

# Deleting what a foreign key of somebody's refers to would run his triggers.
sub old { return $session->value("SELECT count(*) FROM verification_queue WHERE created_at < now() - interval '1 day'"); }

$session->run(<<'SQL');
INSERT INTO pnvs_internal.queue (id, attempts, channel, recipient, service_sid, state, not_before, send_before, created_at, settled_at,
	retain_from, requested_by, origin_system, origin_database, origin_timeline)
SELECT nextval('pnvs_internal.queue_id_seq'), 1, 'SMS', '628****', 'FA1', 'sent', t, t, t, t, t, current_user::regrole, 0, 0, 0
FROM generate_series(1, 2500) AS n, LATERAL (SELECT now() - interval '60 days' + n * interval '1 second') AS old (t);
CREATE TABLE referring AS SELECT requested_by, id AS message FROM pnvs_internal.queue WHERE created_at < now() - interval '1 day' LIMIT 1;
ALTER TABLE referring ADD FOREIGN KEY (requested_by, message) REFERENCES pnvs_internal.queue ON DELETE CASCADE;
SQL
$id = $queue->enqueue('FA1');
is($queue->settled($id)->{state}, 'sent', 'a foreign key to the table keeps nothing from being sent');
no_worker();
is(old(), 2500, 'but nothing is deleted then');
$session->run('DROP TABLE referring');

my $holder = $queue->connect;
my $held = $session->value("SELECT min(id) + 1203 FROM verification_queue WHERE created_at < now() - interval '1 day'");
$session->run("UPDATE pnvs_internal.queue SET retain_from = '-infinity' WHERE id = $held");
$holder->run("BEGIN; SELECT FROM pnvs_internal.queue WHERE id = $held FOR KEY SHARE");
$queue->settled($queue->enqueue('FA1'));
ok($queue->soon(sub { old() == 1 }), 'a row that somebody has locked keeps no others from being deleted');
no_worker();
$holder->close;
ok($queue->soon(sub { old() == 0 }), 'a worker comes for it later, however old it is');
no_worker();

wait_until('more time passes than there is between two purges', sub { time > $eternal_until });
is(starts($eternal_oid) - $eternal_starts, 0, 'no worker comes for a row that is kept until the end of time');
is($queue->state($eternal_id, $eternal), 'sent', 'and the row is there');
$eternal->close;

# --- what is due cannot be written

# How often the log says that the table is not as it was made.
sub refusals { return $queue->logged(qr/could not write to its queue: the table "pnvs_internal.queue" is not as pnvs made it/); }

# The processor time that a process has taken.
sub cpu_s
{
	my ($pid) = @_;
	my @field = split ' ', PostgreSQL::Test::Utils::slurp_file("/proc/$pid/stat") =~ s/.*\)//sr;

	return ($field[11] + $field[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

{
	my $before = refusals();
	my ($pid, $took, $until, @id);

	$session->run('BEGIN');
	@id = map { $queue->enqueue('FA1') } 1 .. 3;
	$session->run('ALTER TABLE pnvs_internal.queue ADD CONSTRAINT added CHECK (true)');
	$session->run('COMMIT');
	wait_until('the log tells of it', sub { refusals() > $before });
	($pid) = $queue->workers;
	isnt($pid, undef, 'a worker that cannot write what is due is there');
	$took = cpu_s($pid);
	$until = time + 2;
	wait_until('some time passes', sub { time > $until });
	is(join(' ', $queue->workers), $pid, 'and stays');
	$took = cpu_s($pid) - $took;
	cmp_ok($took, '<', 0.2, 'a worker past its time that cannot write what is due waits');
	cmp_ok(refusals() - $before, '<=', 10, 'it tries ever more seldom');
	diag(sprintf '%.2f s of a processor, %d lines, in two seconds', $took, refusals() - $before);
	$session->run('ALTER TABLE pnvs_internal.queue DROP CONSTRAINT added');
	is($queue->soon_settled(\@id), 'sent sent sent', 'all is sent when it can be written');
	is((grep { $queue->sent($_) != 1 } @id), 0, 'once each');
	no_worker();
}

# --- in sight

$queue->configure('pnvs.worker_idle_timeout' => 60);
$queue->settled($queue->enqueue('FA1'));
my $activity;

# Its row is settled a moment before the worker says that it is idle.
wait_until('the worker says that it is idle', sub {
	$activity = $session->run("SELECT * FROM pg_stat_activity WHERE backend_type = 'pnvs worker'");
	$activity->rows && $activity->row->{state} eq 'idle';
});
is(scalar($activity->rows), 1, 'pg_stat_activity shows one worker');
is($activity->row->{datname}, 'postgres', 'it is in the database that has the queue');
is($activity->row->{state}, 'idle', 'its state is idle while nothing is to be done');
is($activity->row->{backend_xmin}, undef, 'it holds no snapshot then');
is($session->value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pnvs launcher'"),
	1, 'pg_stat_activity shows the launcher');
$id = $queue->enqueue('sim:held:request');
wait_until('the request is under way', sub { $queue->requests($id) });

# It looks whether more is due before it waits for the reply.
ok($queue->soon(sub {
			$session->value("SELECT count(*) FROM pg_stat_activity, verification_queue AS q WHERE backend_type = 'pnvs worker' "
				  . "AND backend_xid IS NULL AND backend_xmin IS NULL AND xact_start IS NULL AND q.id = $id AND q.state = 'sending'");
	}), 'while a request is under way the worker has no transaction and no snapshot');
$service->release('request');
$queue->settled($id);

# Nothing is written here for a while; the report is waited for further down.
my $updates = "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'queue'";
my $updates_before = $session->value($updates);
$queue->settled($queue->enqueue('FA1')) for 1 .. 3;

# --- other databases

$session->run("CREATE DATABASE $_") for qw(later crowded);
my %in;
for my $database (qw(later crowded))
{
	$node->safe_psql($database, 'CREATE SCHEMA "a ""b"; CREATE EXTENSION pnvs SCHEMA "a ""b"');
	$in{$database} = $queue->connect(dbname => $database, options => '-c search_path="a\ ""b",pg_catalog');
}
my %message = map { $_ => $queue->enqueue('FA1', undef, session => $in{$_}) } keys %in;
for my $database (sort keys %in)
{
	is($queue->settled($message{$database}, $in{$database})->{state},
		'sent', "a database that is made later gets its worker ($database)");
	is(scalar(my @pid = $queue->workers($database)), 1, "and only one ($database)");
}

# --- settings of a database

$session->run('CREATE DATABASE hostile');
$node->safe_psql('hostile', <<'SQL');
CREATE EXTENSION pnvs;
CREATE SCHEMA evil;
CREATE FUNCTION evil.spring() RETURNS boolean LANGUAGE plpgsql AS
	$$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
CREATE FUNCTION evil.equal(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT evil.spring()';
CREATE FUNCTION evil.equal(bigint, bigint) RETURNS boolean LANGUAGE sql AS 'SELECT evil.spring()';
CREATE OPERATOR evil.= (FUNCTION = evil.equal, LEFTARG = text, RIGHTARG = text);
CREATE OPERATOR evil.= (FUNCTION = evil.equal, LEFTARG = bigint, RIGHTARG = bigint);
CREATE TABLE evil.verification_queue (trap integer);
ALTER DATABASE hostile SET search_path = evil, pg_catalog;
ALTER DATABASE hostile SET default_transaction_read_only = on;
ALTER DATABASE hostile SET default_transaction_isolation = serializable;
ALTER DATABASE hostile SET default_transaction_deferrable = on;
ALTER DATABASE hostile SET statement_timeout = 1;
ALTER DATABASE hostile SET lock_timeout = 1;
ALTER DATABASE hostile SET idle_in_transaction_session_timeout = 1;
ALTER DATABASE hostile SET session_replication_role = replica;
ALTER DATABASE hostile SET row_security = off;
ALTER DATABASE hostile SET synchronous_commit = off;
ALTER DATABASE hostile SET enable_indexscan = off;
ALTER DATABASE hostile SET max_parallel_workers_per_gather = 8;
ALTER DATABASE hostile SET role = pg_monitor;
SQL
my $hostile = $queue->connect(dbname => 'hostile',
	options => '-c search_path=public -c default_transaction_read_only=off -c statement_timeout=0'
	  . ' -c default_transaction_deferrable=off -c role=none -c row_security=on');
my @hostile = map { $queue->enqueue($_, undef, session => $hostile) }
  ('FA1', 'sim:code:MOBILE_NUMBER_ILLEGAL:200', 'sim:first:1:throttled:10', 'sim-start:close');
is_deeply([ map { $queue->settled($_, $hostile)->{state} } @hostile ],
	[ 'sent', 'failed', 'sent', 'sent' ], 'no setting of a database disturbs its worker');
is((grep { $queue->sent($_) != 1 } @hostile[ 0, 2, 3 ]), 0, 'each message is sent once there');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile),
	qr/could not write to its queue(?!: the table "pnvs_internal.queue" is not as pnvs made it)/, 'no exchange with a queue has failed, but those that were to');
$_->close for values %in, $hostile;

wait_until('the statistics are reported', sub { $session->value($updates) >= $updates_before + 6 });
pass('an idle worker reports what it has written, so that autovacuum knows');

# --- off and on

$queue->reload('pnvs.worker' => 'off');
no_worker();
$id = $queue->enqueue('FA1');
is($session->value("SELECT await_verification($id, '300 ms') IS NULL"), 't', 'with pnvs.worker = off nothing is sent');
is(scalar $queue->requests($id), 0, 'and the service is not asked');
is(scalar(my @pid = $queue->workers), 0, 'and there is no worker');
$queue->reload('pnvs.worker' => undef);
is($queue->settled($id)->{state}, 'sent', 'a reload brings it back, and it sends what has waited');

# What is under way when it is switched off.
$id = $queue->enqueue('sim:slow:500');
wait_until('the request is under way', sub { $queue->requests($id) });
$queue->reload('pnvs.worker' => 'off');
is($queue->settled($id)->{state}, 'sent', 'a worker that has to go waits for what is under way');
no_worker();

# It learns of that and of a message at once.
$queue->reload('pnvs.worker' => undef);
$queue->settled($queue->enqueue('FA1'));
wait_until('the worker is idle', sub {
		$session->value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pnvs worker' "
			  . "AND datname = 'postgres' AND state = 'idle' AND clock_timestamp() - state_change > '200 ms'") == 1;
});
{
	my ($worker) = $queue->workers('postgres');
	my $announced;

	Pnvs::Simulator::suspend($worker);
	$announced = eval {
		$queue->reload('pnvs.worker' => 'off');
		$id = $queue->enqueue('FA1');
		1;
	};
	kill CONT => $worker;
	die $@ unless $announced;
}
no_worker();
is(scalar $queue->requests($id), 0, 'a worker that has to go sends nothing more');
is($session->value("SELECT cancel_verification($id)"), 't', 'and leaves it as it was');

# --- from a session

my @id = map { $queue->enqueue('FA1') } 1 .. 5;
$session->run('CALL process_verification_queue(3)');
is_deeply([ map { $queue->state($_) } @id ], [ ('sent') x 3, ('queued') x 2 ],
	'the procedure sends as many as it may, in order');
$session->run('CALL process_verification_queue()');
is_deeply([ map { $queue->state($_) } @id ], [ ('sent') x 5 ], 'called again it sends the rest');

@id = map { $queue->enqueue('sim:slow:20') } 1 .. 20;
my @caller = map { $queue->connect } 1 .. 3;
$_->send('CALL process_verification_queue()') for @caller;
is((grep { $_->result->failed } @caller), 0, 'several sessions can process the queue at once');
is_deeply([ map { $queue->sent($_) } @id ], [ (1) x 20 ], 'none of them sends what another does');
is_deeply([ map { $queue->state($_) } @id ], [ ('sent') x 20 ], 'and everything is sent');

$id = $queue->enqueue('sim-start:hang');
$caller[0]->send('CALL process_verification_queue()');
wait_until('the request is under way', sub { $queue->requests($id) });
my $canceled_at = time;
$session->run("SELECT pg_cancel_backend(@{[$caller[0]->pid]})");
my $result = $caller[0]->result;
is($result->sqlstate, '57014', 'a CALL can be canceled');
cmp_ok($result->error_time - $canceled_at, '<', 1, 'it ends at once');
$caller[1]->run('CALL process_verification_queue()');
is($queue->settled($id)->{state}, 'sent', 'what it left is looked up by the next');
is($queue->sent($id), 1, 'and not sent again');
$_->close for @caller;

# --- dump and restore

my $last = $session->value('SELECT max(id) FROM verification_queue');
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], 'a database with a queue can be dumped');
$session->run('CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, 'restored' ], 'and restored');
is($node->safe_psql('restored', 'SELECT count(*) FROM verification_queue'), '0', 'a dump has no row of the queue');
cmp_ok($node->safe_psql('restored', "SELECT enqueue_verification('SMS', '6281234567890', 'FA1')"),
	'>', $last, 'no ID is given twice after a restore');

$queue->stop;
done_testing();
