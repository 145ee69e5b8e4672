# The queue's table when its owner has altered it, and when roles look for rows that are
# not theirs: nothing of the owner's runs in pnvs's transactions, nobody crashes, reads or
# holds up what is not his, and the rest goes on.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(min);
use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Queue;
use Pnvs::Simulator qw(wait_until);

$PostgreSQL::Test::Utils::timeout_default = min($PostgreSQL::Test::Utils::timeout_default, 30);

my $service = Pnvs::Simulator->new;
my $queue = Pnvs::Queue->new($service, 'table', conf => "pnvs.scan_interval = 1h\nrestart_after_crash = on\n");
my $node = $queue->node;
my $session = $queue->session;
my $TABLE = $session->value("SELECT coalesce(to_regclass('pnvs_internal.queue'), to_regclass('verification_queue'))::text");

my ($SCHEMA) = $TABLE =~ /\./ ? 'pnvs_internal' : 'public';

my $started = $session->value('SELECT pg_postmaster_start_time()::text');

# --- an owner who is no superuser

$session->run(<<"SQL");
CREATE ROLE keeper LOGIN;
CREATE ROLE one LOGIN;
CREATE ROLE two LOGIN;
CREATE SCHEMA keeper AUTHORIZATION keeper;
GRANT EXECUTE ON FUNCTION enqueue_verification, cancel_verification, await_verification TO keeper, one, two;
ALTER TABLE $TABLE OWNER TO keeper;
CREATE TABLE keeper.seen (who text);
GRANT ALL ON keeper.seen TO PUBLIC;
SQL
$session->run("GRANT ALL ON SCHEMA $SCHEMA TO keeper");
my $keeper = $queue->connect(user => 'keeper');
$keeper->run(<<'SQL');
CREATE FUNCTION keeper.note() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO keeper.seen VALUES (CURRENT_USER);
	PERFORM set_config('search_path', 'keeper', false);
	RETURN true;
END $$;
CREATE FUNCTION keeper.pure(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS
	$$ BEGIN PERFORM keeper.note(); RETURN $1; END $$;
CREATE DOMAIN keeper.pure_text AS text CHECK (keeper.pure(VALUE) IS NOT NULL);
CREATE FUNCTION keeper.note_row() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN PERFORM keeper.note(); RETURN NEW; END $$;
SQL

# What an owner may do to a table, and how it is undone.
my @alteration = (
	[ 'a trigger', "CREATE TRIGGER look BEFORE INSERT OR UPDATE ON $TABLE FOR EACH ROW EXECUTE FUNCTION keeper.note_row()",
		"DROP TRIGGER look ON $TABLE" ],
	[ 'a deferred trigger', "CREATE CONSTRAINT TRIGGER look AFTER INSERT OR UPDATE ON $TABLE DEFERRABLE INITIALLY DEFERRED "
		  . 'FOR EACH ROW EXECUTE FUNCTION keeper.note_row()',
		"DROP TRIGGER look ON $TABLE" ],
	[ 'a trigger of replicas', "CREATE TRIGGER look BEFORE UPDATE ON $TABLE FOR EACH ROW EXECUTE FUNCTION keeper.note_row(); "
		  . "ALTER TABLE $TABLE ENABLE ALWAYS TRIGGER look",
		"DROP TRIGGER look ON $TABLE" ],
	[ 'a rule', "CREATE RULE look AS ON UPDATE TO $TABLE DO ALSO SELECT keeper.note()", "DROP RULE look ON $TABLE" ],
	[ 'a check', "ALTER TABLE $TABLE ADD CONSTRAINT look CHECK (keeper.note())", "ALTER TABLE $TABLE DROP CONSTRAINT look" ],
	[ 'one column more', "ALTER TABLE $TABLE ADD look text", "ALTER TABLE $TABLE DROP look" ],
	[ 'a default', "ALTER TABLE $TABLE ALTER reference SET DEFAULT keeper.pure('x')", "ALTER TABLE $TABLE ALTER reference DROP DEFAULT" ],
	[ 'a generated column', "ALTER TABLE $TABLE ADD look text GENERATED ALWAYS AS (keeper.pure(state)) STORED", undef ],
	[ 'an index on an expression', "CREATE INDEX look ON $TABLE (keeper.pure(channel))", "DROP INDEX $SCHEMA.look" ],
	[ 'an index with a condition', "CREATE INDEX look ON $TABLE (id) WHERE keeper.pure(channel) = 'SMS'", "DROP INDEX $SCHEMA.look" ],
	[ 'an index with a domain', "CREATE INDEX look ON $TABLE (id) WHERE channel::keeper.pure_text IS NOT NULL", "DROP INDEX $SCHEMA.look" ],
	[ 'a child', "CREATE TABLE keeper.child () INHERITS ($TABLE)", 'DROP TABLE keeper.child' ],
	[ 'a column without NOT NULL', "ALTER TABLE $TABLE ALTER service_sid DROP NOT NULL", "ALTER TABLE $TABLE ALTER service_sid SET NOT NULL" ],
	[ 'a number as a number', "ALTER TABLE $TABLE ALTER recipient TYPE bigint USING 1", undef ],
	[ 'a channel as a number', "ALTER TABLE $TABLE ALTER channel TYPE bigint USING 1", undef ],
	[ 'a state as a number', "ALTER TABLE $TABLE ALTER state TYPE bigint USING 1", undef ],
	[ 'an ID as a text', "ALTER TABLE $TABLE ALTER id TYPE text", undef ],
	[ 'a claimer as a decimal', "ALTER TABLE $TABLE ALTER claimer TYPE numeric", undef ],
	[ 'an origin as a text', "ALTER TABLE $TABLE ALTER origin_system TYPE text", undef ],
	[ 'another order of texts', qq{ALTER TABLE $TABLE ALTER channel TYPE text COLLATE "C"}, undef ],
	[ 'a table that a crash empties', "ALTER TABLE $TABLE SET UNLOGGED", "ALTER TABLE $TABLE SET LOGGED" ]);

$queue->settled($queue->enqueue('FA1'));
for my $alteration (@alteration)
{
	my ($what, $do, $undo) = @$alteration;
	my $open = $queue->enqueue('FA1', "clock_timestamp() + '1 hour'");
	my $since = $queue->log_end;
	my $made = $keeper->query($do);
	my $result;

	# PostgreSQL does not let the type of a column be changed that the view shows
	is($made->failed ? $made->sqlstate : '', $made->failed && $do =~ / TYPE / ? '0A000' : '', "an owner makes $what, or cannot");
	next if $made->failed;
	$keeper->run('TRUNCATE keeper.seen');
	for my $call (
		"enqueue_verification('SMS', '6281234567890', 'FA1')",
		"enqueue_verification('SMS', '6281234567890', 'FA1', dedup_key => 'k')",
		"cancel_verification($open)", "await_verification($open, '1 ms')")
	{
		$result = $session->query("SELECT $call");
		is($result->sqlstate, '42804', "$what: " . ($call =~ /(\w+)/)[0] . ' says that the table is another');
	}
	is($session->query('CALL process_verification_queue()')->sqlstate, '42804', "$what: so does process_verification_queue");
	is($session->value('SHOW search_path'), '"$user", public', "$what: nothing of it stays in the session");
	$_->run('RESET search_path') for $session, $keeper;

	# the worker looks, and says so
	$session->run('SELECT pg_reload_conf()');
	ok($queue->soon(sub { $queue->logged(qr/is not as pnvs made it/, $since) }), "$what: the worker's log says so");
	is($session->value('SELECT count(*) FROM keeper.seen'), 0, "$what: nothing of it has run");
	# later ones come within a minute of that line
	ok($queue->soon(sub { $queue->logged(qr/WARNING: +pnvs could not write to its queue: the table.*\n.*DETAIL: +It has triggers\. Failures/) }),
		"$what: and what is another") if $what eq 'a trigger';

	if (defined $undo)
	{
		$keeper->run($undo);
	}
	else
	{
		$session->run('DROP EXTENSION pnvs CASCADE; CREATE EXTENSION pnvs');
		$session->run("ALTER TABLE $TABLE OWNER TO keeper");
		$session->run("GRANT ALL ON SCHEMA $SCHEMA TO keeper");
		$session->run('GRANT EXECUTE ON FUNCTION enqueue_verification, cancel_verification, await_verification TO keeper, one, two');
	}
}

# A look at the table that did not come to its end does not count.
$keeper->run("CREATE INDEX look ON $TABLE (id) WHERE keeper.pure(channel) = 'SMS'");
$keeper->run('TRUNCATE keeper.seen');
$keeper->run("BEGIN; ALTER INDEX $SCHEMA.queue_id_idx SET TABLESPACE pg_default");
$session->run("SET lock_timeout = '10 ms'");
is($session->query("SELECT enqueue_verification('SMS', '6281234567890', 'FA1')")->sqlstate, '55P03',
	'a look at the table can meet a lock');
$session->run('RESET lock_timeout');
$keeper->run('ROLLBACK');
is($session->query("SELECT enqueue_verification('SMS', '6281234567890', 'FA1')")->sqlstate, '42804',
	'and the next one finds what the owner has added');
is($session->value('SELECT count(*) FROM keeper.seen'), 0, 'before it has run');
$keeper->run("DROP INDEX $SCHEMA.look");

# What its owner adds during a look is found by it.  What ran as the owner would come back
# as whoever called, by a trigger at the end of the transaction.
$keeper->run(<<'SQL');
CREATE FUNCTION keeper.note_later() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN INSERT INTO keeper.seen VALUES (CURRENT_USER); RETURN NEW; END $$;
CREATE TABLE keeper.bait (x text);
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON keeper.bait DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION keeper.note_later();
CREATE FUNCTION keeper.lure() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM keeper.note();
	INSERT INTO keeper.bait VALUES ('x');
	RETURN 'x';
EXCEPTION WHEN OTHERS THEN
	-- while an index is made
	RETURN 'x';
END $$;
CREATE FUNCTION keeper.pure_lure(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS
	$$ BEGIN RETURN keeper.lure(); END $$;
SQL
for my $addition (
	[ 'an index', "CREATE INDEX CONCURRENTLY look ON $TABLE (id) WHERE keeper.pure(channel) = 'SMS' OR keeper.pure_lure('x') = 'x'", "DROP INDEX $SCHEMA.look" ],
	[ 'statistics', "CREATE STATISTICS keeper.look ON (keeper.pure_lure('x') || channel) FROM $TABLE", 'DROP STATISTICS keeper.look' ])
{
	my ($what, $add, $drop) = @$addition;

	for my $call ("enqueue_verification('SMS', '6281234567890', 'FA1', not_before => clock_timestamp() + '1 hour')",
		'cancel_verification(' . $queue->enqueue('FA1', "clock_timestamp() + '1 hour'") . ')')
	{
		my $name = ($call =~ /(\w+)/)[0];
		my $adder = $queue->connect(user => 'keeper');
		my $victim = $queue->connect;

		$keeper->run("BEGIN; ALTER INDEX $SCHEMA.queue_id_idx SET TABLESPACE pg_default");
		$victim->send("SELECT $call");
		wait_until('the look waits', sub { $keeper->value("SELECT count(*) FROM pg_locks WHERE pid = @{[$victim->pid]} AND NOT granted") });
		$adder->send($add);
		wait_until("$what is there", sub { $keeper->value("SELECT (SELECT count(*) FROM pg_class WHERE relname = 'look') + (SELECT count(*) FROM pg_statistic_ext WHERE stxname = 'look')") });
		# others hear of what is there a moment later: by then the index waits for the look, and the statistics are made
		wait_until("$what is announced", sub { $adder->has_answer || $keeper->value("SELECT count(*) FROM pg_locks WHERE pid = @{[$adder->pid]} AND NOT granted") });
		$keeper->run('ROLLBACK');
		is($victim->result->sqlstate, '42804', "$what added during a look is found: $name");
		is($adder->result->sqlstate, '', 'and is made');
		is($session->value("SELECT count(*) FROM keeper.seen WHERE who <> 'keeper'"), 0, "nothing of $what has run: $name");
		$keeper->run("$drop; TRUNCATE keeper.seen");
		$_->close for $adder, $victim;
	}
}
# What was known of a table counts until the next look at whatever table has its name.
$queue->enqueue('FA1', "clock_timestamp() + '1 hour'");
$session->run(<<"SQL");
ALTER SCHEMA $SCHEMA RENAME TO hidden;
CREATE SCHEMA $SCHEMA;
CREATE TABLE $TABLE (LIKE hidden.queue);
CREATE INDEX ON $TABLE ((id + 1));
ALTER EXTENSION pnvs ADD TABLE $TABLE;
SQL
is($session->query('SELECT cancel_verification(1)')->sqlstate, '42804', 'another table has the name');
$session->run("ALTER SCHEMA $SCHEMA RENAME TO other; ALTER SCHEMA hidden RENAME TO $SCHEMA");
my $indexed = $queue->enqueue('FA1', "clock_timestamp() + '1 hour'");
is($session->value("SET enable_seqscan = off; SELECT count(*) FROM $TABLE WHERE id = $indexed") // 'none', 1,
	'and the table with its name again gets its index entries');
$session->run('RESET enable_seqscan; ALTER EXTENSION pnvs DROP TABLE other.queue; DROP SCHEMA other CASCADE');

# Also if the other table was as it is to be.
$session->run(<<"SQL");
ALTER SCHEMA $SCHEMA RENAME TO hidden;
CREATE SCHEMA $SCHEMA;
CREATE TABLE $TABLE (LIKE hidden.queue INCLUDING ALL);
ALTER EXTENSION pnvs ADD TABLE $TABLE;
SQL
is($session->query('SELECT cancel_verification(1)')->value, 'f', 'another table has the name, and is as pnvs made its own');
$session->run("ALTER SCHEMA $SCHEMA RENAME TO other; ALTER SCHEMA hidden RENAME TO $SCHEMA");
$indexed = $queue->enqueue('FA1', "clock_timestamp() + '1 hour'");
is($session->value("SELECT count(*) FROM $TABLE WHERE id = $indexed"), 1, 'messages go where the name is again');
$session->run('ALTER EXTENSION pnvs DROP TABLE other.queue; DROP SCHEMA other CASCADE');
$session->run('SELECT * FROM phone_verification_status(gen_random_uuid())');
$session->run("ALTER SCHEMA $SCHEMA RENAME TO hidden");
is($session->query("SELECT enqueue_verification('SMS', '6281234567890', 'FA1')")->sqlstate, '42P01', 'without the name there is no table');
is($session->query('SELECT * FROM phone_verification_status(gen_random_uuid())')->sqlstate, '42P01', 'nor one of verifications');
$session->run("ALTER SCHEMA hidden RENAME TO $SCHEMA");

is($session->value('SELECT pg_postmaster_start_time()::text'), $started, 'no server process has crashed');
is($queue->logged(qr/terminated by signal/), 0, 'nor a backend');
my $id = $queue->enqueue('FA1');
is($queue->soon_settled([$id]), 'sent', 'once all is undone messages go out again');

# --- an index that is being made anew

my $writer = $queue->connect;
my $indexer = $queue->connect;
$writer->run("BEGIN; LOCK TABLE $TABLE IN ROW EXCLUSIVE MODE");
$indexer->send("REINDEX INDEX CONCURRENTLY $SCHEMA.queue_id_idx");
wait_until('there are two indexes of IDs',
	sub { $session->value("SELECT count(*) FROM pg_index WHERE indrelid = '$TABLE'::regclass AND NOT indisready") > 0 });
is($session->query("SELECT enqueue_verification('SMS', '6281234567890', 'FA1')")->sqlstate, '', 'messages are queued meanwhile');
$writer->run('ROLLBACK');
is($indexer->result->sqlstate, '', 'and then it is done');
# who stays would tell later what it has read
$_->close for $writer, $indexer;

# --- a table of that name that is not ours

$session->run('CREATE DATABASE strange');
my $strange = $queue->connect(dbname => 'strange');
$strange->run(<<'SQL');
CREATE EXTENSION pnvs;
CREATE TABLE public.copy AS SELECT * FROM verification_queue;
DROP EXTENSION pnvs;
CREATE SCHEMA pnvs_internal;
SQL
$strange->run('ALTER TABLE public.copy SET SCHEMA pnvs_internal; ALTER TABLE pnvs_internal.copy RENAME TO queue');
is($strange->query('CREATE EXTENSION pnvs')->sqlstate, '42P06', 'the extension is not made where somebody has its schema');

# --- whose rows they are

$session->run("GRANT SELECT ON verification_queue TO one, two");
my $one = $queue->connect(user => 'one');
my $two = $queue->connect(user => 'two');
my $theirs = $queue->enqueue('FA1', undef, session => $two);
my $secret = $queue->settled($theirs)->{verification_id};
$queue->settled($queue->enqueue('FA1', undef, session => $one));
my $their_queued = $queue->enqueue('FA1', "clock_timestamp() + '1 hour'", session => $two);

# Every comparison that could become an index condition below the view.
my %value = (
	id => $theirs, channel => "'SMS'", recipient => "'6281500000000'", service_sid => "'FA1'", state => "'sent'",
	not_before => 'now()', created_at => 'now()', settled_at => 'now()', send_before => 'now()',
	attempts => 1, reference => "'x'", dedup_key => "'k'", request_id => "'R'", verification_id => "'$secret'", code => "'OK'",
	source => "'public.x'", phone_verification => 'gen_random_uuid()', message => "'x'", status => "'x'", http_status => 200);
$one->run('SET enable_seqscan = off');
for my $column (sort keys %value)
{
	for my $operator (qw(= <))
	{
		my $plan = join "\n",
		  $one->run("EXPLAIN (COSTS off) SELECT FROM verification_queue WHERE $column $operator $value{$column}")->column('QUERY PLAN');
		my @condition = $plan =~ /Index Cond: (.*)/g;

		# what a role may not see is below a filter that runs once, and is false for it
		is(scalar(grep { !/requested_by/ } @condition), 0, "no index serves a role on rows of others ($column $operator)")
		  if $plan !~ /One-Time Filter/;
		is((grep { /\b$column\b/ && !/requested_by/ } map { $_ } own_part($plan)), 0,
			"no index condition on $column $operator stands alone")
		  if $plan =~ /One-Time Filter/;
	}
}

# The index conditions of a plan outside of what a one-time filter guards.
sub own_part
{
	my ($plan) = @_;
	my $guarded = 0;
	my @condition;

	for my $line (split /\n/, $plan)
	{
		my $indent = length(($line =~ /^( *)/)[0]);

		$guarded = 0 if $guarded && $indent < $guarded;
		push @condition, $line if !$guarded && $line =~ /Index Cond/;
		$guarded = $indent if !$guarded && $line =~ /One-Time Filter/;
	}
	return @condition;
}
$session->run("ANALYZE $TABLE");
is($session->value("SELECT count(*) FROM pg_statistic WHERE starelid = '$TABLE'::regclass"), 0,
	'no statistics hold values of the table');
is($session->value("SELECT count(*) FROM pg_statistic s JOIN pg_index i ON i.indexrelid = s.starelid "
	  . "WHERE i.indrelid = '$TABLE'::regclass"), 0, 'nor values of its indexes');

# The columns as programs read them.
is(join(' ', sort map { $_->{typname} } $session->run("SELECT DISTINCT t.typname FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid "
		  . "WHERE a.attrelid = 'verification_queue'::regclass AND a.attnum > 0")->rows),
	'int4 int8 text timestamptz uuid', 'the columns have types that every program knows');
is($session->value("SELECT count(*) FROM verification_queue WHERE requested_by = 'one'"), 1, 'a role is found by its name');
$session->run('ALTER ROLE one RENAME TO uno');
is($session->value("SELECT count(*) FROM verification_queue WHERE requested_by = 'uno'"), 1, 'also by a new one');
is($one->value('SELECT count(*) FROM verification_queue'), 1, 'and has its rows still');
$session->run('ALTER ROLE uno RENAME TO one');

# --- a look locks nobody's row

$one->run('BEGIN');
is($one->value("SELECT cancel_verification($their_queued)"), 'f', "a role cannot take another's message back");
$two->run("SET lock_timeout = '2 s'");
$two->run('BEGIN');
is($two->query("SELECT cancel_verification($their_queued)")->value, 't', 'and while it tries, the other one can');
$two->run('ROLLBACK');
is($one->query("SELECT await_verification($their_queued, '1 ms')")->sqlstate, '22023', 'nor wait for it');
$one->run('ROLLBACK');

# --- who was given too much on the tables of the extension's schema

$session->run('GRANT ALL ON ALL TABLES IN SCHEMA public TO one; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO one');
$session->run('GRANT CREATE ON SCHEMA keeper TO one');
for my $statement (
	"INSERT INTO verification_queue (channel, recipient, service_sid, state) VALUES ('SMS', '6281234567890', 'FA1', 'queued')",
	"UPDATE verification_queue SET recipient = '6281234567890'", 'DELETE FROM verification_queue', 'TRUNCATE verification_queue',
	"SELECT nextval('$TABLE\_id_seq')", "SELECT count(*) FROM $TABLE")
{
	ok($one->query($statement)->failed, "a role with all privileges on the schema's tables cannot: " . substr($statement, 0, 40));
}
$one->run('BEGIN');
$one->query('SELECT id FROM verification_queue FOR UPDATE');
is($session->query("SELECT id FROM $TABLE FOR UPDATE NOWAIT")->sqlstate, '', 'nor lock a row of the table');
$one->run('ROLLBACK');
is($one->value("SELECT count(*) FROM verification_queue WHERE requested_by::text <> 'one'"), 0, 'nor does it see what others have queued');
$session->run('GRANT pg_write_all_data TO two');
ok($two->query("INSERT INTO $TABLE SELECT * FROM $TABLE")->failed, 'a member of pg_write_all_data cannot queue for others');
$two->run("UPDATE $TABLE SET state = 'queued'") if $two->query("UPDATE $TABLE SET state = 'queued'")->failed == 0;
is($session->value("SELECT count(*) FROM $TABLE WHERE state = 'queued' AND settled_at IS NOT NULL"), 0, 'nor have sent again what was sent');
$session->run('REVOKE pg_write_all_data FROM two; REVOKE ALL ON ALL TABLES IN SCHEMA public FROM one');

# --- a foreign key to the table

$session->run('CREATE TABLE referring (requester oid, message bigint, note text)');
my $foreign_key = $TABLE =~ /\./ ? '(requester, message)' : '(message)';
$session->run("ALTER TABLE referring ADD FOREIGN KEY $foreign_key REFERENCES $TABLE ON DELETE CASCADE");
$id = $queue->enqueue('FA1');
is($queue->soon_settled([$id]), 'sent', 'a foreign key to the queue does not stop sending');
$session->run('DROP TABLE referring');

# --- deduplication keys

my $role = $session->value("SELECT oid FROM pg_roles WHERE rolname = CURRENT_USER");
$session->run("BEGIN; SELECT enqueue_verification('SMS', '6281234567890', 'FA1', clock_timestamp() + '1 hour', dedup_key => 'customer 4711')");
my ($lock) = $session->run("SELECT classid, objid, hashtextextended('customer 4711', $role) AS hash FROM pg_locks "
	  . "WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND objsubid = 28790")->rows;
ok($lock, 'a deduplication key is locked');
isnt(($lock->{classid} << 32 | $lock->{objid}), $lock->{hash} & ~0, 'under a hash that nobody can compute');
$session->run('ROLLBACK');

# --- costs that somebody has set for the database

# A database in which nobody but the worker looks for rows.
$session->run('CREATE DATABASE costs');
$session->run("ALTER DATABASE costs SET $_ = 1e300") for qw(random_page_cost cpu_index_tuple_cost);
my $costs = $queue->connect(dbname => 'costs');
$costs->run('CREATE EXTENSION pnvs');
$service->mark;
$costs->run("SELECT enqueue_verification('SMS', (6281600000000 + n)::text, 'FA1') FROM generate_series(1, 50) AS n");
wait_until('they are sent', sub { $service->count('sent') == 50 });
# who ends has told what it has read
$queue->configure('pnvs.worker' => 'off');
is($costs->value("SELECT seq_scan FROM pg_stat_user_tables WHERE relid = '$TABLE'::regclass"), 0, 'the worker finds its rows by indexes all the same');
$costs->close;
$queue->configure('pnvs.worker' => undef);

# --- times, and what is still needed

my $overtaken = $queue->enqueue('FA1', "'4713-01-01 BC'");
is($queue->settled($overtaken)->{state}, 'sent', 'a message of long ago is sent');
is($session->value("SELECT not_before >= created_at FROM verification_queue WHERE id = $overtaken"), 't', 'but not before what was queued earlier');

$queue->configure('pnvs.retention' => '1s', 'pnvs.reconcile_for' => '0');
my $first = $queue->enqueue('FA1', "dedup_key => 'kept', dedup_for => '1 hour'");
my $gone = $queue->enqueue('FA1');
$queue->settled($first);
$queue->wait_row($gone, 'is settled or gone', sub { !%{ $_[0] } || defined $_[0]{settled_at} });
$queue->configure;
wait_until('what is old is deleted', sub { $queue->state($gone) eq 'gone' });
is($session->value("SELECT enqueue_verification('SMS', '6281234567890', 'FA1', dedup_key => 'kept', dedup_for => '1 hour')"), $first,
	'a key that still counts finds its message though pnvs.retention is over');
$queue->configure('pnvs.retention' => undef, 'pnvs.reconcile_for' => undef);

# --- a sequence that is behind, as after a restore of the data alone

$queue->settled($queue->enqueue('FA1')) for 1 .. 3;
$session->run("SELECT setval('$TABLE\_id_seq', min(id), false) FROM $TABLE");
my $next = $session->query("SELECT enqueue_verification('SMS', '6281234567891', 'FA1') FROM generate_series(1, 5)");
is($next->failed ? $next->sqlstate : '', '', 'with a sequence that is behind messages are queued all the same');
is($session->value("SELECT count(*) = count(DISTINCT id) FROM $TABLE"), 't', 'and each has an ID of its own');

# --- what is settled by a session, or when it would have been claimed

my $waiting = $queue->connect;

# Has somebody wait for a message until it is settled by what is done meanwhile, in a state;
# how late he heard of it.
sub awaited
{
	my ($id, $state, $settle) = @_;

	$waiting->send("SELECT state, extract(epoch FROM clock_timestamp() - settled_at) AS late FROM await_verification($id, '20 s')");
	wait_until('it waits', sub { $session->value("SELECT count(*) FROM pg_stat_activity WHERE pid = @{[$waiting->pid]} "
			  . "AND wait_event IS NOT NULL AND state = 'active'") });
	$settle->();
	my ($row) = $waiting->result->rows;
	is($row->{state}, $state, "a message becomes $state while somebody waits for it");
	return $row->{late};
}

ok($queue->at_once(sub {
			$id = $queue->enqueue('FA1', "clock_timestamp() + '1 hour'");
			return awaited($id, 'canceled', sub { $session->run("SELECT cancel_verification($id)") });
	}), 'who hears so at once if it is taken back');
ok($queue->at_once(sub {
			$queue->configure('pnvs.worker' => 'off');
			$id = $queue->enqueue('FA1', "send_within => '1 ms'");
			return awaited($id, 'expired', sub { $queue->reload('pnvs.worker' => undef) });
	}), 'and if its time was over');

# --- an ID that no sequence gives

$id = $queue->enqueue('FA1', "clock_timestamp() + '1 day'");
$queue->{number}{0} = $queue->number($id);
$session->run("UPDATE pnvs_internal.queue SET id = 0, not_before = clock_timestamp(), send_before = clock_timestamp() + '1 hour' WHERE id = $id");
$queue->settled($queue->enqueue('FA1'));
is($queue->soon_settled([0]), 'sent', 'a row that was given the ID 0 is settled');

# --- a dump by the owner of the database

$session->run('CREATE ROLE landlord LOGIN; ALTER DATABASE postgres OWNER TO landlord');
$node->command_ok([ 'pg_dump', '-U', 'landlord', '-d', $node->connstr('postgres'), '-f', "$node->{_basedir}/dump.sql", '-N', 'keeper' ],
	'the owner of the database can dump it');
$queue->stop;

done_testing();
