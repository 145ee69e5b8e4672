# What an owner of the queue's table who is no superuser can put beside it, and rows that
# somebody wrote by hand: nothing of it runs in pnvs's transactions, nobody hangs, and
# messages of others go on.

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
my $queue = Pnvs::Queue->new($service, 'hostile', conf => "pnvs.scan_interval = 1s\npnvs.reconcile_for = 1s\n");
my $session = $queue->session;

$session->run(<<'SQL');
CREATE ROLE keeper LOGIN;
CREATE SCHEMA keeper AUTHORIZATION keeper;
GRANT USAGE ON SCHEMA keeper TO PUBLIC;
CREATE TABLE keeper.seen (who text);
GRANT ALL ON keeper.seen TO PUBLIC;
GRANT CREATE ON DATABASE postgres TO keeper;
ALTER TABLE pnvs_internal.queue OWNER TO keeper;
ALTER SCHEMA pnvs_internal OWNER TO keeper;
SQL
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
CREATE FUNCTION keeper.note_row() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN PERFORM keeper.note(); RETURN NEW; END $$;
SQL

sub later { return $queue->enqueue('FA1', "clock_timestamp() + '1 hour'"); }

# Nothing of the keeper's has run, and nothing of it is left in the session.
sub nothing_ran
{
	my ($what) = @_;

	is($session->value('SHOW search_path'), '"$user", public', "$what: nothing of it stays in the session");
	$session->run('RESET search_path');
	is($session->value('SELECT count(*) FROM keeper.seen'), 0, "$what: nothing of it has run");
	$session->run('TRUNCATE keeper.seen');
	return;
}

# --- what the planner would evaluate

my $open = later();
$keeper->run("CREATE STATISTICS keeper.look ON (keeper.pure('x') || channel), state FROM pnvs_internal.queue");
$keeper->run('TRUNCATE keeper.seen; RESET search_path');
is($session->query("SELECT cancel_verification($open)")->sqlstate, '42804', 'extended statistics: a table with them is another one');
is($queue->connect->query("SELECT enqueue_verification('SMS', '6281234567890', 'FA1', dedup_key => 'k')")->sqlstate,
	'42804', 'extended statistics: also where no plan was made before');
nothing_ran('extended statistics');
$keeper->run('DROP STATISTICS keeper.look');
is($session->value("SELECT cancel_verification($open)"), 't', 'without them it is ours again');

# --- another table in its place

my $take_place = <<'SQL';
CREATE TRIGGER look BEFORE INSERT OR UPDATE ON pnvs_internal.queue FOR EACH ROW EXECUTE FUNCTION keeper.note_row();
INSERT INTO pnvs_internal.queue SELECT * FROM %s;
TRUNCATE keeper.seen;
COMMIT;
SQL

for my $other (
	[ 'a renamed table', 'ALTER TABLE pnvs_internal.queue RENAME TO hidden', 'pnvs_internal.hidden',
		'DROP TABLE pnvs_internal.queue; ALTER TABLE pnvs_internal.hidden RENAME TO queue' ],
	[ 'a table in another schema', 'ALTER TABLE pnvs_internal.queue SET SCHEMA keeper', 'keeper.queue',
		'DROP TABLE pnvs_internal.queue; ALTER TABLE keeper.queue SET SCHEMA pnvs_internal' ],
	[ 'a renamed schema', 'ALTER SCHEMA pnvs_internal RENAME TO hidden; CREATE SCHEMA pnvs_internal', 'hidden.queue',
		'DROP SCHEMA pnvs_internal CASCADE; ALTER SCHEMA hidden RENAME TO pnvs_internal' ])
{
	my ($what, $do, $hidden, $undo) = @$other;

	$open = later();
	$session->run("SELECT cancel_verification(@{[later()]})");
	$keeper->run("BEGIN; $do; CREATE TABLE pnvs_internal.queue (LIKE $hidden INCLUDING INDEXES); " . sprintf($take_place, $hidden));
	$keeper->run('RESET search_path');
	for my $call ("cancel_verification($open)", "enqueue_verification('SMS', '6281234567890', 'FA1')")
	{
		ok($session->query("SELECT $call")->failed, "$what: " . ($call =~ /(\w+)/)[0] . ' does not take another one for it');
	}
	nothing_ran($what);
	is($session->value("SELECT count(*) FROM pnvs_internal.queue WHERE id = $open AND state = 'queued'"), 1,
		"$what: the other one is not written to");
	$keeper->run($undo);
	is($session->value("SELECT cancel_verification($open)"), 't', "$what: once it is back it is ours");
}

# --- what would show numbers in an error

for my $constraint (
	[ 'a unique index', 'CREATE UNIQUE INDEX look ON pnvs_internal.queue (recipient) WHERE settled_at IS NULL',
		'DROP INDEX pnvs_internal.look' ],
	[ 'an exclusion constraint', 'ALTER TABLE pnvs_internal.queue ADD CONSTRAINT look EXCLUDE USING btree (recipient WITH =) '
		  . 'WHERE (settled_at IS NULL)', 'ALTER TABLE pnvs_internal.queue DROP CONSTRAINT look' ])
{
	my ($what, $do, $undo) = @$constraint;
	my $since = $queue->log_end;

	$keeper->run($do);
	is($session->query("SELECT enqueue_verification('SMS', '6281234567890', 'FA1', clock_timestamp() + '1 hour')")->sqlstate,
		'42804', "$what: a table with one is another")
	  for 1 .. 2;
	is($queue->logged(qr/DETAIL:.*6281234567890/, $since), 0, "$what: the log shows no number");
	$keeper->run($undo);
}

# --- a sequence that gives no free ID

$queue->settled($queue->enqueue('FA1')) for 1 .. 3;
$session->run("SET statement_timeout = '10 s'");
for my $way ('INCREMENT BY -1', 'MAXVALUE 1000 CYCLE')
{
	my $highest = $session->value('SELECT max(id) FROM pnvs_internal.queue');

	$keeper->run("ALTER SEQUENCE pnvs_internal.queue_id_seq $way RESTART $highest");
	is($session->query("SELECT enqueue_verification('SMS', '6281234567891', 'FA1')")->sqlstate, '42804',
		"a sequence with $way is an error, not an endless search");
	$keeper->run("ALTER SEQUENCE pnvs_internal.queue_id_seq INCREMENT BY 1 NO MAXVALUE NO CYCLE RESTART $highest");
}
$session->run('RESET statement_timeout');
is($queue->settled($queue->enqueue('FA1'))->{state}, 'sent', 'a sequence that is put right gives free ones');

# --- rows that somebody wrote

my $next_id = 1_000_000;

# A row of ours with something else in it; its ID.
sub written
{
	my ($state, $assignment) = @_;
	my $id = $next_id++;
	my $number = Pnvs::Queue::new_number();

	$session->run(<<"SQL");
BEGIN;
INSERT INTO pnvs_internal.queue (id, channel, recipient, service_sid, state, not_before, send_before, attempts, created_at,
	requested_by, retain_from, origin_system, origin_database, origin_timeline)
SELECT $id, 'SMS', '$number', 'FA1', '$state', now() - interval '1 min', now() + interval '5 min', 0, now() - interval '1 min',
	10, now(), system_identifier, (SELECT oid FROM pg_database WHERE datname = current_database()), 1 FROM pg_control_system();
UPDATE pnvs_internal.queue SET $assignment WHERE id = $id;
COMMIT;
SQL
	return $id;
}

for my $assignment (
	'attempts = 2147483647', 'attempts = -2147483648',
	"recipient = (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 500) AS n)",
	"service_sid = (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 500) AS n)")
{
	my $written = written('queued', $assignment);
	my $other = $queue->enqueue('FA1');

	is($queue->soon_settled([$other]), 'sent', 'a message is sent beside a row with ' . substr($assignment, 0, 30));
	is($queue->soon_settled([$written]), 'failed', 'which fails');
	is($session->value("SELECT length(recipient) < 20 FROM pnvs_internal.queue WHERE id = $written"), 't', 'and is masked');
}
is($queue->soon_settled([ written('unknown', 'unknown_since = NULL') ]), 'unknown',
	'one that is looked up from nobody knows when');
is($session->value("SELECT count(*) FROM pnvs_internal.queue WHERE settled_at IS NULL AND state = 'unknown'"), 0,
	'is given up in the end');
$queue->stop;

done_testing();
