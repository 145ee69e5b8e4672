# One statement, one message: what counts as one statement, where PostgreSQL makes
# several executions of it (rules) or none (utility statements).
#
# Every message goes to the same number; a statement that is run twice sends twice.
#
# And whose function a statement calls, where somebody has made others of that name.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Document;
use Pnvs::Session;
use Pnvs::Simulator;

my $NUMBER = '6281200000030';
my $CALL = "(start_verification('SMS', '$NUMBER', 'FA00000000000001'))";
my $ID = "$CALL.verification_id";
my $service = Pnvs::Simulator->new;
my $node = $service->new_node('statements', preload => undef);
my $folder = PostgreSQL::Test::Utils::tempdir();

append_to_file("$folder/rows", "1\n2\n");

# --- how many messages a statement sends

# Runs SQL in a session of its own, what prepares it first; the messages that it sends.
sub sends
{
	my ($count, $sentence, $sql, $preparation) = @_;
	my $session = Pnvs::Session->new($node);

	$session->run("LOAD 'pnvs'; " . ($preparation // ''));
	$service->mark;
	$session->run($sql);
	is($service->count('sent'), $count, $sentence);
	$session->close;
	return;
}

sub in_plpgsql { return "DO \$do\$ DECLARE r record; t text; BEGIN $_[0] END \$do\$"; }
sub twice { return in_plpgsql("FOR i IN 1 .. 2 LOOP $_[0]; END LOOP;"); }

my $session = Pnvs::Session->new($node);

# The first use of the library, while it is not followed which statement is running.
$session->run(<<"SQL");
CREATE TABLE copied (id integer, a text DEFAULT $ID, b text DEFAULT $CALL.status, c text DEFAULT $ID);
CREATE TABLE note (n text);
SQL
my %first = (
	'a COPY' => "COPY copied (id) FROM '$folder/rows'",
	'a row of VALUES' => "INSERT INTO note VALUES ($ID), ($ID)",
	'a COPY by EXECUTE' => in_plpgsql("EXECUTE 'COPY copied (id) FROM ''$folder/rows''';"));
for my $what (sort keys %first)
{
	my $new = Pnvs::Session->new($node);

	$service->mark;
	$new->run($first{$what});
	is($service->count('sent'), 1, "$what that loads the library sends one message");
	$new->close;
}
my $new = Pnvs::Session->new($node);
$service->mark;
$new->run(in_plpgsql("FOR i IN 1 .. 2 LOOP t := $ID; END LOOP;"));
is($service->count('sent'), 2, 'a loop that loads the library sends each time');
$new->close;

# --- rules: several queries of one statement

$session->run(<<"SQL");
CREATE TABLE ruled (id integer, a text, b text);
CREATE TABLE seen (a text, b text);
CREATE RULE also AS ON INSERT TO ruled DO ALSO (INSERT INTO seen VALUES (NEW.a, NEW.b); INSERT INTO note VALUES (NEW.a));
CREATE RULE also_changed AS ON UPDATE TO ruled DO ALSO INSERT INTO seen VALUES (NEW.a, OLD.a);
CREATE RULE also_gone AS ON DELETE TO ruled DO ALSO INSERT INTO note VALUES ($ID);
CREATE VIEW door AS SELECT id, a, b FROM ruled;
CREATE RULE door_in AS ON INSERT TO door DO INSTEAD (INSERT INTO seen VALUES (NEW.a, NEW.b);
	UPDATE seen SET b = NEW.a; INSERT INTO note VALUES (NEW.b));
CREATE RULE door_changed AS ON UPDATE TO door DO INSTEAD (INSERT INTO seen VALUES (NEW.a, OLD.a); INSERT INTO note VALUES (NEW.a));
INSERT INTO ruled VALUES (1, 'x', 'y');
SQL

my $insert = "INSERT INTO ruled VALUES (2, $ID, $CALL.status)";
my $update = "UPDATE ruled SET a = $ID WHERE id = 1";

sends(1, 'an INSERT with DO ALSO sends one message', $insert);
is( $session->value('SELECT count(DISTINCT x) FROM (SELECT a AS x FROM ruled WHERE id = 2 UNION ALL
		SELECT a FROM seen UNION ALL SELECT n FROM note ORDER BY 1) AS s WHERE x = (SELECT a FROM ruled WHERE id = 2)'),
	1, 'what the rule sees is what the row has');
sends(1, 'an INSERT ... SELECT with DO ALSO sends one message', "INSERT INTO ruled SELECT 3, $ID, $ID FROM generate_series(1, 3)");
sends(1, 'an UPDATE with DO ALSO sends one message', $update);
sends(1, 'a DELETE with DO ALSO sends one message', "DELETE FROM ruled WHERE id IN (2, 3) AND $CALL.success");
sends(1, 'an INSERT with DO INSTEAD sends one message', "INSERT INTO door VALUES (4, $ID, $ID)");
sends(1, 'an UPDATE with DO INSTEAD sends one message', "UPDATE door SET a = $ID WHERE id = 1");
sends(1, 'EXPLAIN ANALYZE of it sends one message', "EXPLAIN ANALYZE $insert");
sends(2, 'each of two such statements sends one', "$insert; $insert");
sends(2, 'also in one transaction', "BEGIN; $update; $insert; COMMIT");
sends(2, 'a prepared one sends one message each time that it runs', 'EXECUTE p; EXECUTE p', "PREPARE p AS $insert");
sends(1, 'one in PL/pgSQL sends one message', in_plpgsql("$insert;"));
for my $statement ($insert, $update, "INSERT INTO door VALUES (4, $ID, $ID)", "UPDATE door SET a = $ID WHERE id = 1")
{
	my ($verb, $table) = $statement =~ /\A(\w+)(?: INTO)? (\w+)/;

	sends(2, "$verb $table in a loop sends one each time", twice($statement));
	sends(2, "$verb $table by EXECUTE sends one each time", twice("EXECUTE \$e\$$statement\$e\$"));
}
my $unread = "WITH v AS (INSERT INTO note VALUES ($ID)) SELECT $ID";
sends(1, 'a WITH that nobody reads sends one message', $unread);
sends(2, 'in a loop it sends one each time', twice("EXECUTE \$e\$$unread\$e\$"));
sends(2, 'two of them in one EXECUTE send one each', in_plpgsql("EXECUTE \$e\$$unread; $unread\$e\$;"));
sends(2, 'two such statements in one EXECUTE send one each', in_plpgsql("EXECUTE \$e\$$insert; $insert\$e\$;"));
sends(2, 'two plain statements in one EXECUTE send one each', in_plpgsql("EXECUTE \$e\$SELECT $ID; SELECT $ID\$e\$;"));

$service->mark;
$session->prepared('INSERT INTO ruled VALUES (5, (start_verification($1, $2, $3)).verification_id)',
	[ 'SMS', $NUMBER, 'FA00000000000001' ]);
is($service->count('sent'), 1, 'one with parameters sends one message');

# --- utility statements, which compute rows without the executor

sends(1, 'COPY with three defaults sends one message to a number', "COPY copied (id) FROM '$folder/rows'");
sends(2, 'two COPYs send two', "COPY copied (id) FROM '$folder/rows'; COPY copied (id) FROM '$folder/rows'");
sends(2, 'also in one EXECUTE',
	in_plpgsql("EXECUTE 'COPY copied (id) FROM ''$folder/rows''; COPY copied (id) FROM ''$folder/rows''';"));
sends(2, 'COPY in a loop sends each time', twice("EXECUTE 'COPY copied (id) FROM ''$folder/rows'''"));
sends(1, 'COPY with a CHECK sends one message', "COPY checked (id) FROM '$folder/rows'",
	"CREATE TABLE checked (id integer, a text DEFAULT $ID, CHECK ($CALL.success AND a IS NOT NULL))");
sends(1, 'COPY ... WHERE sends one message', "COPY copied (id) FROM '$folder/rows' WHERE $CALL.success");
sends(1, 'COPY of a query sends one message', "COPY (SELECT $CALL.*) TO '$folder/out'");
sends(1, 'ALTER TABLE with two new defaults sends one message',
	"ALTER TABLE wide ADD COLUMN a text DEFAULT $ID, ADD COLUMN b text DEFAULT $ID",
	'CREATE TABLE wide AS SELECT generate_series(1, 2) AS id');
sends(2, 'two ALTER TABLEs send two', in_plpgsql(
	"EXECUTE \$e\$ALTER TABLE wide ADD COLUMN c text DEFAULT $ID; ALTER TABLE wide ADD COLUMN d text DEFAULT $ID\$e\$;"));
sends(1, 'ALTER TABLE ... USING sends one message', "ALTER TABLE wide ALTER a TYPE text USING ($ID || $ID)");
sends(1, 'a CHECK that is added sends one message', "ALTER TABLE wide ADD CHECK ($CALL.success), ADD CHECK ($CALL.success)");
sends(1, 'CREATE TABLE AS sends one message', "CREATE TABLE made AS SELECT $CALL.*");
sends(1, 'REFRESH MATERIALIZED VIEW sends one message', 'REFRESH MATERIALIZED VIEW fresh',
	"CREATE MATERIALIZED VIEW fresh AS SELECT $CALL.* WITH NO DATA");
sends(1, 'MERGE sends one message',
	"MERGE INTO note USING (VALUES (1), (2)) AS v (i) ON false WHEN NOT MATCHED THEN INSERT VALUES ($ID)");
sends(1, 'the arguments of a CALL send one message', "CALL nothing($ID, $ID)",
	"CREATE PROCEDURE nothing(a text, b text) LANGUAGE sql AS ''");
sends(1, 'the arguments of EXECUTE send one message', "EXECUTE p ($ID, $ID)", 'PREPARE p (text, text) AS SELECT $1, $2');
sends(1, 'a cursor that goes back sends one message',
	'BEGIN; DECLARE c SCROLL CURSOR FOR SELECT ' . $ID . ' FROM generate_series(1, 2);
	 FETCH ALL FROM c; MOVE BACKWARD ALL FROM c; FETCH ALL FROM c; COMMIT');
sends(2, 'two cursors send two', "BEGIN; DECLARE c CURSOR FOR SELECT $ID; DECLARE d CURSOR FOR SELECT $ID;
	FETCH FROM c; FETCH FROM d; COMMIT");

# --- functions: each of their statements is one

$session->run(<<"SQL");
CREATE FUNCTION wrapper(i integer DEFAULT 0) RETURNS start_verification_result LANGUAGE plpgsql AS
\$\$ DECLARE r start_verification_result; BEGIN SELECT * INTO r FROM start_verification('SMS', '$NUMBER', 'FA1'); RETURN r; END \$\$;
CREATE FUNCTION in_sql() RETURNS void LANGUAGE sql AS \$\$ INSERT INTO note VALUES ($ID), ($ID) \$\$;
CREATE PROCEDURE commits() LANGUAGE plpgsql AS
\$\$ DECLARE t text; BEGIN FOR i IN 1 .. 2 LOOP t := $ID; COMMIT; $insert; COMMIT; END LOOP; END \$\$;
SQL
sends(8, 'all columns of a function in PL/pgSQL call it for each column', 'SELECT (wrapper()).*');
sends(1, 'the same function in FROM is called once', 'SELECT w.* FROM wrapper() AS w');
sends(2, 'LATERAL calls it for each row', 'SELECT i, w.* FROM generate_series(1, 2) AS i, LATERAL wrapper(i) AS w');
sends(2, 'a function in SQL sends each time that it is called', 'SELECT in_sql() FROM generate_series(1, 2)');
sends(4, 'a procedure sends for each statement that it runs', 'CALL commits()');
sends(3, 'a loop over different statements sends for each', in_plpgsql("SELECT $ID INTO t; t := $ID; PERFORM $ID;"));
sends(2, 'what was sent before an error is not taken for the next call', in_plpgsql(
	"BEGIN PERFORM $ID, 1 / (i - i) FROM generate_series(1, 1) AS i; EXCEPTION WHEN division_by_zero THEN NULL; END; PERFORM $ID;"));
sends(2, 'nor what a rolled back EXECUTE has sent', in_plpgsql(
	"FOR i IN 1 .. 2 LOOP BEGIN EXECUTE \$e\$$insert; SELECT 1 / 0\$e\$; EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP;"));

# --- functions of the same name

# In a database of its own, where everybody may create functions in "public": the
# attacker makes a function there with these parameters, which makes a superuser of
# him.  What a superuser's trigger that sends from a varchar column does then.
sub attack
{
	my ($database, $schema, $parameters, $trigger) = @_;
	my ($status, $owner, $guest);

	$node->safe_psql('postgres', "CREATE DATABASE $database; ALTER DATABASE $database SET pnvs.service_sid = 'FA1'");
	$owner = Pnvs::Session->new($node, dbname => $database);
	$owner->run("CREATE SCHEMA $schema") if $schema ne 'public';
	$owner->run("CREATE EXTENSION pnvs SCHEMA $schema; GRANT CREATE ON SCHEMA public TO PUBLIC");
	$owner->run("ALTER ROLE attacker NOSUPERUSER; $trigger; GRANT INSERT ON member TO attacker");
	$guest = Pnvs::Session->new($node, dbname => $database, user => 'attacker');
	$guest->run("CREATE FUNCTION public.start_verification($parameters, OUT verification_id text, OUT more text)
		LANGUAGE plpgsql AS \$\$ BEGIN ALTER ROLE attacker SUPERUSER; END \$\$");
	$service->mark;
	$status = $guest->query("INSERT INTO member (phone) VALUES ('$NUMBER')")->sqlstate;
	$_->close for $owner, $guest;
	return ($status || 'succeeds') . ' ' . $node->safe_psql('postgres', q{SELECT rolsuper FROM pg_roles WHERE rolname = 'attacker'});
}

my $example = Pnvs::Document->captured(qr/^##+ A trigger with a direct call\n.*?^```sql\n(.*?)^```$/ms);
my $trigger = $example =~ s/phone text/phone varchar(20)/r;
my $in_public = $trigger =~ s/\bpnvs\.(?=start_verification)/public./r;
my $uncast = $in_public =~ s/::text//gr;

$node->safe_psql('postgres', 'CREATE ROLE attacker LOGIN');
is(attack('opened', 'public', 'text, varchar', $uncast),
	'succeeds t', "a function that fits better is called with the trigger owner's rights");
is($service->count('sent'), 0, 'and nothing is sent');
is(attack('casts_1', 'public', 'text, varchar', $in_public), 'succeeds f', 'casts keep it out');
is(attack('casts_2', 'public', 'text, text', $in_public),
	'42725 f', 'with casts, one that fits as well makes the call fail');
for my $parameters ('text, varchar', 'text, text')
{
	is(attack('kept_' . length $parameters, 'pnvs', $parameters, $trigger),
		'succeeds f', "the trigger of the documents does not call one with $parameters");
	is($service->count('sent'), 1, 'and sends its message');
}
$session = Pnvs::Session->new($node, dbname => 'kept_10', user => 'attacker');
is($session->query('CREATE FUNCTION pnvs.start_verification(text, text) RETURNS text LANGUAGE sql AS $$ SELECT $1 $$')->sqlstate,
	'42501', 'nobody else can create functions in a schema of its own');

done_testing();
