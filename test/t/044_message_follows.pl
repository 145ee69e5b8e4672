# The message follows its row: what enqueue_verification_trigger() has queued is taken back
# if the row's number changes or the row is deleted, and goes with it to another partition.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Queue;
use Pnvs::Simulator qw(wait_until);

my $service = Pnvs::Simulator->new;
my $queue = Pnvs::Queue->new($service, 'follows', conf => "pnvs.limits = 'number 1/1h'\n");
my $session = $queue->session;
$queue->configure('pnvs.worker' => 'off');

sub new_number { return Pnvs::Queue::new_number(); }

# Makes a table with the trigger; options: events, columns (more), more (behind the table's
# columns), id (the type of the key), as (of the trigger), service.
sub make_table
{
	my ($table, %option) = @_;
	my $events = $option{events} // 'INSERT OR UPDATE OR DELETE';

	$session->run("CREATE TABLE $table (id " . ($option{id} // 'text') . ", phone text" . ($option{columns} // '') . ')' . ($option{more} // ''));
	$session->run("CREATE " . ($option{as} // 'TRIGGER') . " code AFTER $events ON $table " . ($option{deferred} // '')
		  . " FOR EACH ROW EXECUTE FUNCTION enqueue_verification_trigger('SMS', 'phone', '" . ($option{service} // 'FA1') . "', 'id')");
	return;
}

# The messages of a table's rows, by when they were queued: reference, state, code and the
# last digits.
sub messages
{
	my ($table) = @_;

	return $session->value(q{SELECT coalesce(string_agg(concat_ws(' ', reference, state, code, right(recipient, 2)), ', ' ORDER BY id), 'none') }
		  . "FROM verification_queue WHERE source = '$table'");
}

# The same of one row, without its reference; the digits are left out of those that are masked.
sub of_row
{
	my ($table, $id) = @_;

	return $session->value(q{SELECT coalesce(string_agg(concat_ws(' ', state, code, nullif(recipient ~ '\*', true)::text), ', ' ORDER BY id), 'none') }
		  . "FROM verification_queue WHERE source = '$table' AND reference = '$id'") =~ s/ false//gr;
}

my $CANCELED = 'canceled Local.NotNeeded';

make_table('account', columns => ', note text');

# --- INSERT and UPDATE

my ($one, $two) = (new_number(), new_number());
$session->run("INSERT INTO account VALUES ('1', '$one')");
is(of_row('public.account', 1), 'queued', 'INSERT queues a message, which knows its table and row');
$session->run("UPDATE account SET note = 'x', phone = '+' || phone");
is(of_row('public.account', 1), 'queued', 'an UPDATE that keeps the digits leaves it');
$session->run("UPDATE account SET phone = '$two'");
is(of_row('public.account', 1), "$CANCELED, queued", 'an UPDATE that changes them takes it back, and queues another');
is($session->value("SELECT count(*) FROM verification_queue WHERE recipient = '$two' AND state = 'queued'"), 1, 'to the new number');
is($session->value("SELECT string_agg(DISTINCT message, '') FROM verification_queue WHERE source = 'public.account' AND state = 'canceled'"),
	'no message was needed', 'the row says why');
$session->run("INSERT INTO account VALUES ('2', '$one')");
is(of_row('public.account', 2), 'queued', 'its place under the limits is free again');
$session->run("UPDATE account SET phone = NULL WHERE id = '2'");
is(of_row('public.account', 2), $CANCELED, 'a number that is taken away takes it back, and queues none');
$session->run("UPDATE account SET phone = '' WHERE id = '1'");
is(of_row('public.account', 1), "$CANCELED, $CANCELED", 'so does an empty one');
$session->run("UPDATE account SET phone = '$two' WHERE id = '1'");
is(of_row('public.account', 1), "$CANCELED, $CANCELED, queued", 'and one that comes back queues again');

# --- DELETE

$session->run("DELETE FROM account WHERE id = '1'");
is(of_row('public.account', 1), "$CANCELED, $CANCELED, $CANCELED", 'DELETE takes back what is queued for the row');
is($session->query("DELETE FROM account")->sqlstate, '', 'a row without a message can be deleted');

# --- what is not of the row

make_table('other');
my @number = map { new_number() } 1 .. 3;
$queue->reload('pnvs.limits' => '');
$session->run("INSERT INTO account VALUES ('3', '$number[0]'), ('3', '$number[1]'), ('4', '$number[2]')");
$session->run("INSERT INTO other VALUES ('3', '$number[0]')");
$session->run("DELETE FROM account WHERE phone = '$number[0]'");
is(of_row('public.other', 3), 'queued', "another table's row of the same reference keeps its message");
is(of_row('public.account', 3), "$CANCELED, queued", 'so does a row of the same reference with another number');
is(of_row('public.account', 4), 'queued', 'and a row of another reference');
$session->run('CREATE SCHEMA "a.b"');
make_table('"a.b".account');
make_table('public."b"".account"');
$session->run(qq{INSERT INTO "a.b".account VALUES ('4', '} . new_number() . q{')});
is($session->value('SELECT source FROM verification_queue ORDER BY id DESC LIMIT 1'), '"a.b".account', 'a name is quoted where it must be');
$session->run(qq{DELETE FROM "a.b".account});
is(of_row('public.account', 4), 'queued', 'and of tables of one name each has its own messages');
is(of_row('"a.b".account', 4), $CANCELED, 'which are taken back');
$session->run('DELETE FROM other; DELETE FROM account');

# --- transactions

$queue->reload('pnvs.limits' => 'number 1/1h');
my ($three, $four) = (new_number(), new_number());
$session->run("INSERT INTO account VALUES ('5', '$three')");
$session->run("BEGIN; UPDATE account SET phone = '$four'; ROLLBACK");
is(of_row('public.account', 5), 'queued', 'ROLLBACK leaves the message');
$session->run("BEGIN; SAVEPOINT s; DELETE FROM account; ROLLBACK TO s; COMMIT");
is(of_row('public.account', 5), 'queued', 'so does ROLLBACK TO SAVEPOINT');
$session->run("BEGIN; SAVEPOINT s; UPDATE account SET phone = '$four'; RELEASE s; DELETE FROM account; COMMIT");
is(of_row('public.account', 5), "$CANCELED, $CANCELED", 'changes of one transaction follow each other');
$session->run("BEGIN; INSERT INTO account VALUES ('6', '$three'); DELETE FROM account; COMMIT");
is(of_row('public.account', 6), $CANCELED, 'a row that comes and goes in one transaction sends nothing');
$session->run("INSERT INTO account VALUES ('7', '$three')");
is(of_row('public.account', 7), 'queued', 'and takes no place');
$session->run("DELETE FROM account");

# --- ON CONFLICT and MERGE

$session->run('CREATE UNIQUE INDEX ON account (id)');
$session->run("INSERT INTO account VALUES ('8', '$three')");
$session->run("INSERT INTO account VALUES ('8', '$four') ON CONFLICT DO NOTHING");
is(of_row('public.account', 8), 'queued', 'ON CONFLICT DO NOTHING leaves the message');
$session->run("INSERT INTO account VALUES ('8', '$four') ON CONFLICT (id) DO UPDATE SET phone = EXCLUDED.phone");
is(of_row('public.account', 8), "$CANCELED, queued", 'ON CONFLICT DO UPDATE replaces it');
$session->run("MERGE INTO account USING (VALUES ('8', '$three'), ('9', '$one')) AS v (id, phone) ON account.id = v.id "
	  . 'WHEN MATCHED THEN UPDATE SET phone = v.phone WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.phone)');
is(of_row('public.account', 8) . '; ' . of_row('public.account', 9), "$CANCELED, $CANCELED, queued; queued", 'so does MERGE');
$session->run("MERGE INTO account USING (VALUES ('8')) AS v (id) ON account.id = v.id WHEN MATCHED THEN DELETE");
is(of_row('public.account', 8), "$CANCELED, $CANCELED, $CANCELED", 'which can take it back');
$session->run('DELETE FROM account');

# --- another reference

$session->run("INSERT INTO account VALUES ('10', '$three')");
$session->run("UPDATE account SET id = '11'");
is(of_row('public.account', 10) . '; ' . of_row('public.account', 11), 'none; queued', 'a message gets the new reference of its row');
$session->run("BEGIN; UPDATE account SET id = '12'; ROLLBACK");
is(of_row('public.account', 11), 'queued', 'unless that is rolled back');
$session->run("UPDATE account SET id = '13', phone = '$four'");
is(of_row('public.account', 11) . '; ' . of_row('public.account', 13), "$CANCELED; queued", 'if the number changes, too, the old message is taken back');
my $long = '1' x 1025;
is($session->query("UPDATE account SET id = '$long'")->sqlstate, '22023', 'a reference that is too long is an error');
is($session->query("UPDATE account SET id = NULL")->sqlstate, '', 'a row can lose its reference');
is($session->value("SELECT count(*) FROM verification_queue WHERE recipient = '$four' AND reference IS NULL AND state = 'queued'"), 1,
	'and its message with it');
$session->run('DELETE FROM account; TRUNCATE pnvs_internal.queue');

# --- settings of the session

# The table has a reference whose text depends on a setting, by type.
my %key = (
	bytea => [ q{'\x41ff'}, 'bytea_output', 'escape', 'hex' ],
	date => [ q{'2026-02-01'}, 'DateStyle', 'SQL, DMY', 'Postgres, MDY' ],
	interval => [ q{'1 day 2 hours'}, 'IntervalStyle', 'sql_standard', 'iso_8601' ],
	float8 => [ '0.123456789', 'extra_float_digits', -10, 3 ],
	timestamptz => [ q{'2026-02-01 12:00+00'}, 'TimeZone', 'Asia/Tokyo', 'Asia/Kolkata' ],
	integer => [ '1', 'quote_all_identifiers', 'on', 'off' ]);

for my $type (sort keys %key)
{
	my ($value, $setting, $one_way, $other) = @{ $key{$type} };

	make_table("by_$type", id => $type);
	$session->run("SET $setting = '$one_way'; INSERT INTO by_$type VALUES ($value, '" . new_number() . "')");
	$session->run("SET $setting = '$other'; DELETE FROM by_$type; RESET $setting");
	is($session->value("SELECT string_agg(state, ' ') FROM verification_queue WHERE source = 'public.by_$type'"),
		'canceled', "the message of a $type key is found, whatever $setting is");
	is($session->value("SHOW $setting"), $session->value("SELECT reset_val FROM pg_settings WHERE name = '$setting'"), 'which is as it was');
}
$session->run('TRUNCATE pnvs_internal.queue');

# --- who has queued it

$session->run('CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN; GRANT ALL ON account TO alice, bob; GRANT SELECT ON verification_queue TO alice, bob');
my ($alice, $bob) = map { $queue->connect(user => $_) } qw(alice bob);
$queue->reload('pnvs.limits' => '');
$alice->run("INSERT INTO account VALUES ('14', '$one')");
$bob->run("UPDATE account SET phone = '$two'");
is($alice->value('SELECT state FROM verification_queue'), 'canceled', "a change by another role takes a role's message back");
is($bob->value('SELECT state FROM verification_queue'), 'queued', 'and the new one is the other role\'s');
$bob->run("DELETE FROM account");
is($session->value("SELECT string_agg(state, ' ') FROM verification_queue"), 'canceled canceled', 'so is that of a role that deletes');
$_->close for $alice, $bob;

# --- triggers of other kinds

make_table('kept', events => 'INSERT OR UPDATE');
$session->run("INSERT INTO kept VALUES ('1', '$one'), ('2', '$two')");
$session->run("DELETE FROM kept WHERE id = '1'; UPDATE kept SET phone = '$three'");
is(of_row('public.kept', 1) . '; ' . of_row('public.kept', 2), "queued; $CANCELED, queued", 'a trigger that is not for DELETE takes back on UPDATE alone');

$session->run("CREATE TABLE late (id text, phone text)");
$session->run("CREATE CONSTRAINT TRIGGER code AFTER INSERT OR UPDATE OR DELETE ON late DEFERRABLE INITIALLY DEFERRED "
	  . "FOR EACH ROW EXECUTE FUNCTION enqueue_verification_trigger('SMS', 'phone', 'FA1', 'id')");
$session->run("BEGIN; INSERT INTO late VALUES ('1', '$one'), ('2', '$one'); UPDATE late SET phone = '$two' WHERE id = '1'; DELETE FROM late WHERE id = '2'; COMMIT");
is(of_row('public.late', 1) . '; ' . of_row('public.late', 2), "$CANCELED, queued; $CANCELED", 'a deferred trigger ends with the same');

$session->run("CREATE TABLE bare (id text, phone text)");
$session->run("CREATE TRIGGER code AFTER INSERT OR UPDATE ON bare FOR EACH ROW EXECUTE FUNCTION enqueue_verification_trigger('SMS', 'phone', 'FA1')");
$session->run("INSERT INTO bare VALUES ('1', '$one'); UPDATE bare SET phone = '$two'");
is(messages('public.bare') =~ s/\d\d//gr, 'queued , queued ', 'without a reference nothing is taken back');
$session->run("CREATE TRIGGER gone AFTER DELETE ON bare FOR EACH ROW EXECUTE FUNCTION enqueue_verification_trigger('SMS', 'phone', 'FA1')");
my $result = $session->query('DELETE FROM bare');
is($result->sqlstate, '22023', 'a trigger for DELETE needs a reference');
like($result->hint, qr/fourth argument/, 'and says so');
$session->run("CREATE TABLE whole (id text, phone text)");
$session->run("CREATE TRIGGER code AFTER INSERT OR DELETE ON whole FOR EACH ROW EXECUTE FUNCTION enqueue_verification_trigger('SMS', 'phone', 'FA1')");
is($session->query("INSERT INTO whole VALUES ('1', '$one')")->sqlstate, '22023', 'also when it is fired by INSERT');

# --- partitions

$session->run('CREATE SCHEMA parts');
make_table('parts.split', columns => ', part integer', more => ' PARTITION BY LIST (part)');
$session->run('CREATE TABLE parts.first PARTITION OF parts.split FOR VALUES IN (1)');
$session->run('CREATE TABLE parts.second (gone text, part integer, phone text, id text); ALTER TABLE parts.second DROP gone; '
	  . 'ALTER TABLE parts.split ATTACH PARTITION parts.second FOR VALUES IN (2)');
$session->run('CREATE TABLE parts.rest PARTITION OF parts.split DEFAULT PARTITION BY LIST (id)');
$session->run('CREATE TABLE parts.deep PARTITION OF parts.rest DEFAULT');

sub of_part { return of_row('parts.split', @_); }

$session->run("INSERT INTO parts.split VALUES ('1', '$one', 1)");
is(of_part(1), 'queued', "a partition's row is one of the topmost table");
$session->run("INSERT INTO parts.deep VALUES ('2', '$one', 9)");
is(of_part(2), 'queued', 'also of one that is deeper, and written to directly');
$session->run("UPDATE parts.split SET part = 2 WHERE id = '1'");
is(of_part(1), 'queued', 'a move to another partition leaves the message, and sends no second');
$session->run("UPDATE parts.split SET part = 7, phone = '+' || phone WHERE id = '1'");
is(of_part(1), 'queued', 'so does a move that rewrites the number');
$session->run("UPDATE parts.split SET part = part % 2 + 1");
is(of_part(1) . '; ' . of_part(2), 'queued; queued', 'also of many rows at once');
$session->run("UPDATE parts.split SET part = 3 - part, phone = CASE id WHEN '1' THEN '$two' ELSE NULL END");
is(of_part(1) . '; ' . of_part(2), "$CANCELED, queued; $CANCELED", 'a move that changes the number takes back, and queues another');
$session->run("UPDATE parts.split SET part = 3 - part, id = '3' WHERE id = '1'");
is(of_part(1) . '; ' . of_part(3), "$CANCELED; queued", 'a move that changes the reference takes the message along');
$session->run("UPDATE parts.split SET part = 3 - part, id = '4', phone = '$three' WHERE id = '3'");
is(of_part(3) . '; ' . of_part(4), "$CANCELED; queued", 'one that changes both takes it back');
$session->run("BEGIN; SAVEPOINT s; UPDATE parts.split SET part = 8 - part WHERE id = '4'; ROLLBACK TO s; UPDATE parts.split SET part = 9 - part WHERE id = '4'; "
	  . "UPDATE parts.split SET part = 5, phone = '$four' WHERE id = '4'; COMMIT");
is(of_part(4), "$CANCELED, queued", 'moves of one transaction follow each other, those that are rolled back do not count');
$session->run("BEGIN; UPDATE parts.split SET part = 6 WHERE id = '4'; INSERT INTO parts.split VALUES ('4', '$four', 1); COMMIT");
is(of_part(4), "$CANCELED, queued, queued", 'a row that is inserted after a move has a message of its own');
$session->run("DELETE FROM parts.split");
is(of_part(4), "$CANCELED, $CANCELED, $CANCELED", 'DELETE takes back from whatever partition');
$session->run("INSERT INTO parts.split VALUES ('5', '$one', 1)");
$session->run("BEGIN; DELETE FROM parts.split; INSERT INTO parts.split VALUES ('5', '$one', 2); COMMIT");
is(of_part(5), "$CANCELED, queued", 'a DELETE and an INSERT of the user take back and queue');

# Other triggers are fired between the two of a move.
for my $name ('a_call', 'z_call')
{
	$session->run("INSERT INTO parts.split VALUES ('6', '$one', 1)");
	$session->run("CREATE TRIGGER $name AFTER DELETE ON parts.split FOR EACH ROW EXECUTE FUNCTION enqueue_verification_trigger('VOICE', 'phone', 'FA1', 'id')");
	$session->run("UPDATE parts.split SET part = 2 WHERE id = '6'");
	is(of_part(6), 'queued', "a trigger $name for DELETE does not take the moves of another");
	$session->run("BEGIN; UPDATE parts.split SET part = 1 WHERE id = '6'; INSERT INTO parts.split VALUES ('7', '$one', 2); COMMIT");
	is(of_part(6) . '; ' . of_part(7), 'queued; queued', "$name: nor does a later row");
	$session->run("DROP TRIGGER $name ON parts.split; DELETE FROM parts.split; DELETE FROM pnvs_internal.queue WHERE reference IN ('6', '7')");
}
$session->run("CREATE TRIGGER call AFTER INSERT OR UPDATE OR DELETE ON parts.split FOR EACH ROW EXECUTE FUNCTION enqueue_verification_trigger('VOICE', 'phone', 'FA1', 'id')");
$session->run("INSERT INTO parts.split VALUES ('6', '$one', 1), ('7', '$two', 1)");
$session->run("UPDATE parts.split SET part = 2");
is(of_part(6) . '; ' . of_part(7), 'queued, queued; queued, queued', 'each trigger knows the moves of each row');
$session->run("DROP TRIGGER call ON parts.split; DELETE FROM parts.split; DELETE FROM pnvs_internal.queue WHERE reference IN ('6', '7')");

# a row that another trigger drops on its way
$session->run("CREATE FUNCTION parts.drop_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");
$session->run("INSERT INTO parts.split VALUES ('7', '$one', 1)");
$session->run('CREATE TRIGGER dropped BEFORE INSERT ON parts.second FOR EACH ROW EXECUTE FUNCTION parts.drop_row()');
$session->run("BEGIN; UPDATE parts.split SET part = 2; INSERT INTO parts.split VALUES ('8', '$one', 1); COMMIT");
is(of_part(7) . '; ' . of_part(8), 'queued; queued', 'a row that is lost on its way is not taken for another');

# A row that is loaded as frozen does not say which command has inserted it. A server that is
# built with assertions ends if it is asked.
my $frozen = $queue->node->basedir . '/frozen.csv';
append_to_file($frozen, "2,$one,8\n");
$session->run("BEGIN; UPDATE parts.split SET part = 2; TRUNCATE parts.second; DROP TRIGGER dropped ON parts.second; "
	  . "COPY parts.second FROM '$frozen' (FORMAT csv, FREEZE); COMMIT");
is(of_part(8), 'queued, queued', 'nor for the same that COPY FREEZE loads: that has a message of its own');
$session->run('DELETE FROM parts.split');

# deferred
$session->run('DROP TRIGGER code ON parts.split');
$session->run("CREATE CONSTRAINT TRIGGER code AFTER INSERT OR UPDATE OR DELETE ON parts.split DEFERRABLE INITIALLY DEFERRED "
	  . "FOR EACH ROW EXECUTE FUNCTION enqueue_verification_trigger('SMS', 'phone', 'FA1', 'id')");
$session->run("BEGIN; INSERT INTO parts.split VALUES ('10', '$one', 1); UPDATE parts.split SET part = 2; UPDATE parts.split SET part = 1; "
	  . "UPDATE parts.split SET part = 2, phone = '$two'; COMMIT");
is(of_part(10), "$CANCELED, queued", 'a deferred trigger knows moves, too');
$session->run('TRUNCATE pnvs_internal.queue');

# A trigger of the user, fired between the two of a move, moves another row.
for my $event ('INSERT', 'DELETE')
{
	my $table = 'nested_' . lc $event;

	make_table("parts.$table", columns => ', part integer', more => ' PARTITION BY LIST (part)');
	$session->run("CREATE TABLE parts.${table}_1 PARTITION OF parts.$table FOR VALUES IN (1); CREATE TABLE parts.${table}_2 PARTITION OF parts.$table FOR VALUES IN (2)");
	$session->run("CREATE FUNCTION parts.${table}_one() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN"
		  . " IF pg_trigger_depth() = 1 THEN UPDATE parts.$table SET part = 2 WHERE part = 1 AND id <> OLD.id; END IF; RETURN NULL; END \$\$")
	  if $event eq 'DELETE';
	$session->run("CREATE FUNCTION parts.${table}_one() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN"
		  . " UPDATE parts.$table SET part = 2 WHERE part = 1 AND id <> NEW.id; RETURN NULL; END \$\$")
	  if $event eq 'INSERT';
	$session->run("INSERT INTO parts.$table VALUES ('1', '$one', 1), ('2', '$two', 2)");
	$session->run('CREATE TRIGGER ' . ($event eq 'INSERT' ? 'a' : 'z') . "_one AFTER $event ON parts.${table}_" . ($event eq 'INSERT' ? 1 : 2) . " FOR EACH ROW EXECUTE FUNCTION parts.${table}_one()");
	$session->run("UPDATE parts.$table SET part = 1 WHERE id = '2'");
	is($session->value("SELECT string_agg(id || part, ' ' ORDER BY id) FROM parts.$table"), '12 21', "$event: a trigger moves another row");
	is(messages("parts.$table") =~ s/ \d\d(?=,|\z)//gr, '1 queued, 2 queued', 'no second message is sent for either');
}

# A row of a foreign table says nothing of who has inserted it.
{
	my $node = $queue->node;

	make_table('parts.far', columns => ', part integer', more => ' PARTITION BY LIST (part)');
	$session->run('CREATE TABLE parts.far_1 PARTITION OF parts.far FOR VALUES IN (1); CREATE TABLE parts.far_2 PARTITION OF parts.far FOR VALUES IN (2); '
		  . 'CREATE TABLE parts.there (id text, phone text, part integer); CREATE EXTENSION postgres_fdw; '
		  . "CREATE SERVER loop FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '" . $node->host . "', port '" . $node->port . "', dbname 'postgres'); "
		  . 'CREATE USER MAPPING FOR CURRENT_USER SERVER loop; '
		  . "CREATE FOREIGN TABLE parts.far_3 PARTITION OF parts.far FOR VALUES IN (3) SERVER loop OPTIONS (schema_name 'parts', table_name 'there')");
	$session->run("INSERT INTO parts.far VALUES ('1', '$one', 1)");
	$session->run("UPDATE parts.far SET part = 2 WHERE id = '1'");
	$session->run("INSERT INTO parts.far VALUES ('2', '$two', 3)");
	$session->run("INSERT INTO parts.far VALUES ('3', '$one', 3)");
	is(messages('parts.far') =~ s/ \d\d(?=,|\z)//gr, '1 queued, 2 queued, 3 queued', 'a row of a foreign partition is none that was moved');
	$session->run("UPDATE parts.far SET part = 3 WHERE part = 2");
	is(messages('parts.far') =~ s/ \d\d(?=,|\z)//gr, '1 queued, 2 queued, 3 queued, 1 queued', 'nor is one that was moved there');
	$session->run("UPDATE parts.far SET phone = '+' || phone; DELETE FROM parts.far WHERE id = '2'");
	is(messages('parts.far') =~ s/ \d\d(?=,|\z)//gr, "1 queued, 2 $CANCELED, 3 queued, 1 queued", 'but its message is taken back with it');
	$session->run('DROP TABLE parts.far; DROP EXTENSION postgres_fdw CASCADE; TRUNCATE pnvs_internal.queue');
}

# What is lost on its way, again and again, is forgotten.
$session->run("CREATE TRIGGER dropped BEFORE INSERT ON parts.second FOR EACH ROW EXECUTE FUNCTION parts.drop_row(); INSERT INTO parts.split SELECT n, 6281800000000 + n, 1 FROM generate_series(1, 200) AS n");
my $kept = q{SELECT sum(used_bytes) FROM pg_backend_memory_contexts WHERE name = 'TopMemoryContext'};
$session->run("BEGIN; UPDATE parts.split SET part = 2 WHERE id = '1'");
my $before = $session->value($kept);
$session->run("DO \$\$ BEGIN FOR n IN 2 .. 200 LOOP UPDATE parts.split SET part = 2 WHERE id = n::text; END LOOP; END \$\$");
$session->run('COMMIT');
cmp_ok($session->value($kept) - $before, '<', 20_000, 'moves that do not arrive take no memory');
$session->run('DROP TRIGGER dropped ON parts.second; DELETE FROM parts.split; TRUNCATE pnvs_internal.queue');

# --- a partition that is being detached

{
	my ($reader, $detaching) = ($queue->connect, $queue->connect);

	make_table('parts.whole', columns => ', part integer', more => ' PARTITION BY LIST (part)');
	$session->run('CREATE TABLE parts.leaving PARTITION OF parts.whole FOR VALUES IN (1)');
	$reader->run('BEGIN; SELECT count(*) FROM parts.whole');
	$detaching->send('ALTER TABLE parts.whole DETACH PARTITION parts.leaving CONCURRENTLY');
	wait_until('it is being detached', sub { $session->value("SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = 'parts.leaving'::regclass") eq 't' });
	my $written = $queue->connect->query("INSERT INTO parts.leaving VALUES ('1', '$three', 1)");
	ok(!$written->lost && !$written->failed, 'a row can be written to a partition that is being detached');
	is(of_row('parts.leaving', 1), 'queued', 'its message is one of that table');
	$session->run('DELETE FROM parts.leaving');
	is(of_row('parts.leaving', 1), $CANCELED, 'and is taken back with it');
	$reader->run('COMMIT');
	$detaching->result;
	$_->close for $reader, $detaching;
	$session->run('TRUNCATE pnvs_internal.queue');
}

# --- a column whose value the row lacks

if ($session->value("SELECT current_setting('server_version_num')::int >= 180000") eq 't')
{
	make_table('virtual', columns => ', written text, key text GENERATED ALWAYS AS (id) VIRTUAL', more => '');
	$session->run("ALTER TABLE virtual DROP phone; ALTER TABLE virtual ADD phone text GENERATED ALWAYS AS (written) VIRTUAL");
	is($session->query("INSERT INTO virtual (id, written) VALUES ('1', '$one')")->sqlstate, '22023', 'a number in a virtual generated column is an error');
	$session->run("CREATE OR REPLACE TRIGGER code AFTER INSERT ON virtual FOR EACH ROW EXECUTE FUNCTION enqueue_verification_trigger('SMS', 'written', 'FA1', 'key')");
	is($session->query("INSERT INTO virtual (id, written) VALUES ('1', '$one')")->sqlstate, '22023', 'and so is a reference');
}

# --- among many

# What a transaction has read of the queue, in the table and its indexes.
my $READ = q{SELECT sum(pg_stat_get_xact_tuples_returned(oid)) FROM (SELECT 'pnvs_internal.queue'::regclass AS oid UNION ALL }
  . q{SELECT indexrelid FROM pg_index WHERE indrelid = 'pnvs_internal.queue'::regclass) AS relation};

$session->run("DELETE FROM account; INSERT INTO account SELECT n, 6281700000000 + n FROM generate_series(1, 2000) AS n");
for my $change ("UPDATE account SET phone = '$one' WHERE id = '1000'", "UPDATE account SET id = 'x' WHERE id = '1001'",
	"DELETE FROM account WHERE id = '1002'")
{
	$session->run('BEGIN');
	my $before = $session->value($READ);
	$session->run($change);
	cmp_ok($session->value($READ) - $before, '<', 50, "a row's message is found by an index (" . $change =~ s/ (=|WHERE) .*//r . ')');
	$session->run('ROLLBACK');
}
$session->run('DELETE FROM account; TRUNCATE pnvs_internal.queue');

# --- beside a worker

$session->run('DELETE FROM parts.split; DELETE FROM account; TRUNCATE pnvs_internal.queue');
$queue->configure('pnvs.worker' => undef, 'pnvs.scan_interval' => '1h');
$session->run("INSERT INTO account VALUES ('20', '$one')");
wait_until('it is sent', sub { of_row('public.account', 20) eq 'sent OK' });
$session->run("UPDATE account SET phone = '$two'");
wait_until('the second is sent', sub { of_row('public.account', 20) eq 'sent OK, sent OK' });
pass('what was sent stays as it is');
$session->run('DELETE FROM account');
is(of_row('public.account', 20), 'sent OK, sent OK', 'also when the row is deleted');

make_table('hanging', service => 'sim-start:hang');
$session->run("INSERT INTO hanging VALUES ('1', '$one')");
wait_until('it is being sent', sub { of_row('public.hanging', 1) eq 'sending' });
$session->run('DELETE FROM hanging');
is(of_row('public.hanging', 1), 'sending', 'what is being sent stays, too');

# A worker that meets a locked row tries again a second later, unless it is woken.
for my $change ("phone = '$three'", "id = '22'")
{
	ok($queue->at_once(sub {
				$session->run("BEGIN; INSERT INTO account VALUES ('21', '$four'); "
					  . "UPDATE pnvs_internal.queue SET not_before = clock_timestamp() + '500 ms' WHERE reference = '21' AND state = 'queued'; COMMIT");
				$session->run("BEGIN; UPDATE account SET $change");
				wait_until('the message is due', sub {
					$session->value("SELECT bool_and(clock_timestamp() > not_before + '200 ms') FROM pnvs_internal.queue WHERE state <> 'sent'") eq 't' });
				$session->run('ROLLBACK');
				my $free_at = $session->value('SELECT clock_timestamp()');
				wait_until('it is sent', sub { of_row('public.account', 21) eq 'sent OK' });
				my $took = $session->value("SELECT extract(epoch FROM dispatched_at - '$free_at') FROM pnvs_internal.queue WHERE reference = '21'");
				$session->run('DELETE FROM account; DELETE FROM pnvs_internal.queue');
				return $took;
		}), "a message is sent at once when the change of its row is rolled back ($change)");
}

$queue->stop;
done_testing();
