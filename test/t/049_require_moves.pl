# require_verification() and rows that move: between partitions, by DELETE and INSERT, and
# what somebody could make of that who may write the table.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(min);
use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Approval;
use Pnvs::Session;
use Pnvs::Simulator;

$PostgreSQL::Test::Utils::timeout_default = min($PostgreSQL::Test::Utils::timeout_default, 60);

my $service = Pnvs::Simulator->new;
my $node = $service->new_node('moves', conf => "max_prepared_transactions = 5\n");
my $session = Pnvs::Session->new($node);
my $approval = Pnvs::Approval->new($session);

sub approved { my $number = Pnvs::Approval::new_number(); return ($number, $approval->approve($number, @_)); }

sub guard_sql
{
	my ($table, $deferrable, $name, @args) = @_;
	my $args = join ', ', map { "'$_'" } 'phone', 'verification_id', @args;

	return "CREATE CONSTRAINT TRIGGER $name AFTER INSERT OR UPDATE OR DELETE ON $table $deferrable FOR EACH ROW "
	  . "EXECUTE FUNCTION require_verification($args)";
}

my $columns = 'region text, kind text, name text, phone text, verification_id uuid';

# Three partitions, one of which has two of its own.
sub create_partitioned
{
	my ($table, $deferrable) = @_;

	$session->run(<<"SQL");
CREATE TABLE $table ($columns) PARTITION BY LIST (region);
CREATE TABLE ${table}_asia PARTITION OF $table FOR VALUES IN ('asia');
CREATE TABLE ${table}_europe PARTITION OF $table FOR VALUES IN ('europe');
CREATE TABLE ${table}_america PARTITION OF $table FOR VALUES IN ('america') PARTITION BY LIST (kind);
CREATE TABLE ${table}_america_a PARTITION OF ${table}_america FOR VALUES IN ('a');
CREATE TABLE ${table}_america_b PARTITION OF ${table}_america FOR VALUES IN ('b');
SQL
	$session->run(guard_sql($table, $deferrable, 'verified'));
	return;
}

sub insert_sql
{
	my ($table, $number, $id, $region, $kind) = @_;

	return sprintf "INSERT INTO $table VALUES ('%s', '%s', 'x', '$number', '$id')", $region // 'asia', $kind // 'a';
}

sub where { my ($id) = @_; return "WHERE verification_id = '$id'"; }
sub rows { my ($table, $id) = @_; return $session->value("SELECT count(*) FROM $table " . where($id)); }

# The SQLSTATE of a transaction of these statements, and the constraint's name if it has one.
sub transaction
{
	my (@statement) = @_;
	my $failed = '';

	for my $statement ('BEGIN', @statement, 'COMMIT')
	{
		my $result = $session->query($statement);

		next unless $result->failed;
		$failed ||= join ' ', grep { length } $result->sqlstate, $result->{error}{n} // '';
	}
	$session->run('ROLLBACK') if $session->in_transaction;
	return $failed;
}

my $REFUSED = '23514 verified';

create_partitioned('immediate', '');
create_partitioned('deferred', 'DEFERRABLE INITIALLY DEFERRED');
create_partitioned('switchable', 'DEFERRABLE');
$session->run("CREATE TABLE plain ($columns); CREATE TABLE other ($columns)");
$session->run(guard_sql('plain', 'DEFERRABLE INITIALLY DEFERRED', 'verified'));
$session->run(guard_sql('other', '', 'verified'));

for my $table (qw(immediate deferred switchable))
{
	my ($number, $id) = approved();
	my $insert = insert_sql($table, $number, $id);
	my $delete = "DELETE FROM $table " . where($id);
	my $move = sub { my ($region, $kind) = @_; return "UPDATE $table SET region = '$region', kind = '$kind' " . where($id); };

	# --- moves

	is(transaction($insert), '', "$table: a row is inserted into a partition");
	is(transaction($insert), $REFUSED, "$table: a second row is not, and the constraint has the name of the table's");
	is(transaction($move->(@$_)), '', "$table: the row moves to $_->[0] $_->[1]") for [ 'europe', 'a' ], [ 'america', 'a' ], [ 'america', 'b' ];
	is(transaction("UPDATE $table SET name = 'y' " . where($id), $move->('asia', 'a'), "UPDATE $table SET name = 'z' " . where($id), $move->('america', 'a'),
			$move->('america', 'b')), '', "$table: it moves again and again in a transaction, and changes in between");
	is(transaction('SAVEPOINT one', $move->('asia', 'a'), 'ROLLBACK TO one', $move->('europe', 'a'), 'SAVEPOINT two', $move->('america', 'a'), 'RELEASE two'),
		'', "$table: and with savepoints");
	is($session->value("SELECT tableoid::regclass FROM $table " . where($id)), "${table}_america_a", "$table: where it is then");
	is(transaction("UPDATE $table SET region = 'asia', phone = phone || '1' " . where($id)), $REFUSED, "$table: its number cannot change on the way");
	is(transaction("UPDATE $table SET region = 'asia', phone = '+' || phone " . where($id)), '', "$table: but the way in which it is written can");
	is(transaction($delete, $insert), '', "$table: DELETE and INSERT are a move, too");
	is(transaction("WITH moved AS (DELETE FROM $table " . where($id) . " RETURNING *) INSERT INTO $table SELECT 'europe', 'a', name, phone, verification_id FROM moved"),
		'', "$table: also in one statement");
	is(transaction($delete, 'SAVEPOINT one', $insert, 'ROLLBACK TO one', $insert), '', "$table: an insert that is rolled back can be repeated");
	is(rows($table, $id), 1, "$table: there has been one row all the time");
	is($approval->state($id), 'used', "$table: and the approval is used");

	# --- one row does not become two

	is(transaction($delete, $insert, $insert), $REFUSED, "$table: after one DELETE one INSERT is good");
	is(transaction($delete, 'SAVEPOINT one', $insert, 'RELEASE one', $insert), $REFUSED, "$table: also if a savepoint had it");
	is(transaction('SAVEPOINT one', $delete, 'ROLLBACK TO one', $insert), $REFUSED, "$table: a DELETE that is rolled back is none");
	is(transaction('SAVEPOINT one', 'SAVEPOINT two', $delete, 'RELEASE two', 'ROLLBACK TO one', $insert), $REFUSED, "$table: nor is one whose savepoint is rolled back later");
	is(transaction($insert =~ s/'x'/'new'/r, "$delete AND name <> 'new'"), $REFUSED, "$table: the INSERT cannot come first");
	is(rows($table, $id), 1, "$table: there is one row still");
	my ($other_number, $other_id) = approved(state => 'used');
	is(transaction($delete, insert_sql($table, $other_number, $id)), $REFUSED, "$table: another number is no move");
	is(transaction($delete, insert_sql($table, $number, $other_id)), $REFUSED, "$table: nor is another ID");
	is(transaction($delete, insert_sql('other', $number, $id)), $REFUSED, "$table: nor is another table");
	is(transaction("UPDATE $table SET phone = NULL " . where($id), $insert), $REFUSED, "$table: only a DELETE gives way");
	($other_number, $other_id) = approved();
	is(transaction(insert_sql($table, $other_number, $other_id), $delete, "UPDATE $table SET phone = '$number', verification_id = '$id' " . where($other_id)),
		$REFUSED, "$table: only an INSERT takes its place");
	is(transaction($delete), '', "$table: the row is deleted");
	is(transaction($insert), $REFUSED, "$table: the next transaction knows nothing of it");
	is(transaction("DELETE FROM $table", $insert), $REFUSED, "$table: and a DELETE of nothing gives nothing");

	# --- the transaction's own rows

	($number, $id) = approved();
	is(transaction(insert_sql($table, $number, $id), "UPDATE $table SET name = 'y' " . where($id), "UPDATE $table SET region = 'america' " . where($id),
			"DELETE FROM $table " . where($id), insert_sql($table, $number, $id)), '', "$table: a new row can change, move and come back");
	is(transaction(insert_sql($table, $number, $id)), $REFUSED, "$table: for one approval");
	($number, $id) = approved();
	is(transaction(insert_sql($table, $number, $id), "DELETE FROM $table " . where($id), insert_sql($table, $number, $id), insert_sql($table, $number, $id)),
		$REFUSED, "$table: and as one row");

	# --- many

	my @many = map { [ approved() ] } 1 .. 100;
	is(transaction("INSERT INTO $table VALUES " . join(', ', map { "('asia', 'a', 'many', '$_->[0]', '$_->[1]')" } @many)), '', "$table: many rows come");
	is(transaction("UPDATE $table SET region = 'america', kind = 'b' WHERE name = 'many'"), '', "$table: and move");
	is(transaction("CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT * FROM $table WHERE name = 'many'", "DELETE FROM $table WHERE name = 'many'",
			"INSERT INTO $table SELECT * FROM kept"), '', "$table: and are loaded again");
	is(transaction("CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT * FROM $table WHERE name = 'many'", "DELETE FROM $table WHERE name = 'many'",
			"INSERT INTO $table SELECT * FROM kept", "INSERT INTO $table SELECT * FROM kept LIMIT 1"), $REFUSED, "$table: once");
	is(rows($table, $many[7][1]), 1, "$table: each is there");
}

# --- rows from before, and those that nobody checks

my ($number, $id) = approved(state => 'used');
$session->run("CREATE TABLE before ($columns) PARTITION BY LIST (region);"
	  . "CREATE TABLE before_asia PARTITION OF before FOR VALUES IN ('asia'); CREATE TABLE before_europe PARTITION OF before FOR VALUES IN ('europe');"
	  . insert_sql('before', $number, $id));
$session->run(guard_sql('before', '', 'verified'));
is(transaction('UPDATE before SET region = \'europe\''), '', 'a row from before the constraint may move');
is(transaction(insert_sql('before', $number, $id)), $REFUSED, 'and not be doubled');
$session->run("CREATE TABLE before_america ($columns); " . insert_sql('before_america', '6281699999998', $id, 'america'));
is(transaction("ALTER TABLE before ATTACH PARTITION before_america FOR VALUES IN ('america')"), '', 'ATTACH PARTITION brings rows that nobody has checked');
is(transaction("UPDATE before SET phone = phone || '1' WHERE region = 'america'"), $REFUSED, 'from then on they are checked');
is(transaction("ALTER TABLE before DISABLE TRIGGER verified", insert_sql('before', $number, $id), "ALTER TABLE before ENABLE TRIGGER verified"), '',
	'the owner can disable the trigger');

# Triggers of the partitions' own, with other arguments: the approval was of another purpose.
$session->run("CREATE TABLE mixed ($columns) PARTITION BY LIST (region);"
	  . "CREATE TABLE mixed_asia PARTITION OF mixed FOR VALUES IN ('asia'); CREATE TABLE mixed_europe PARTITION OF mixed FOR VALUES IN ('europe');"
	  . "CREATE TABLE mixed_america PARTITION OF mixed FOR VALUES IN ('america');");
$session->run(guard_sql('mixed_asia', '', 'verified', '1 hour', 'login'));
$session->run(guard_sql('mixed_europe', '', 'verified', '1 hour', 'payment'));
$session->run(guard_sql('mixed_america', '', 'verified_america', '1 hour', 'login'));
($number, $id) = approved(purpose => 'login');
is(transaction(insert_sql('mixed', $number, $id)), '', 'a row of one purpose');
is(transaction("UPDATE mixed SET region = 'europe'"), $REFUSED, 'does not move to where another is asked for');
is(transaction("UPDATE mixed SET region = 'america'"), '', 'but to where the same is');

# --- deferred checks

($number, $id) = approved(state => 'pending');
my $insert = insert_sql('plain', $number, $id);
my $delete = 'DELETE FROM plain ' . where($id);
my $change = "UPDATE plain SET name = 'y' " . where($id);
is(transaction($insert, $delete), '', 'deferred: a row that is gone at COMMIT needs nothing');
is(transaction($insert, $change), $REFUSED, 'deferred: a row that has changed since does');
is(transaction($insert, $change, $change), $REFUSED, 'deferred: also if it has changed twice');
is(transaction($insert, 'SAVEPOINT one', $change, 'RELEASE one'), $REFUSED, 'deferred: or in a savepoint');
is(transaction($insert, "UPDATE plain SET phone = NULL " . where($id)), '', 'deferred: a number that is taken away again needs nothing');
$session->run('DELETE FROM plain');
my ($good_number, $good_id) = approved();
is(transaction($insert, "UPDATE plain SET phone = '$good_number', verification_id = '$good_id' " . where($id)), '', 'deferred: the last number is the one that counts');
is(transaction($insert, 'SET CONSTRAINTS ALL IMMEDIATE'), $REFUSED, 'deferred: SET CONSTRAINTS asks at once');
is(transaction($insert, "UPDATE pnvs_internal.phone_verification SET state = 'approved', approved_at = now() WHERE id = '$id'"), '',
	'deferred: the approval can come after the row');

# --- what somebody could try who may write the table

($number, $id) = approved(state => 'used');
$insert = insert_sql('plain', $number, $id);
$delete = 'DELETE FROM plain ' . where($id);
is(transaction($insert, $delete, $insert), $REFUSED, 'a row that was never checked gives way to none');
is(transaction($insert, $change, $delete, $insert), $REFUSED, 'nor if it was changed');
is(transaction($insert, 'SAVEPOINT one', $delete, $insert, 'RELEASE one'), $REFUSED, 'nor in a savepoint');

($number, $id) = approved();
$insert = insert_sql('plain', $number, $id);
$delete = "DELETE FROM plain WHERE name = 'second'";
my $second = $insert =~ s/'x'/'second'/r;
is(transaction($insert, $second, $delete, $insert), $REFUSED, 'a row that was checked does not stand for another like it that was not');
is(transaction($insert, $second, $delete, 'SET CONSTRAINTS ALL IMMEDIATE', $insert), $REFUSED, 'nor if all are asked in between');
is($approval->state($id), 'approved', 'the approval is still there');

# A check in a savepoint that is rolled back has not taken place.
is(transaction($insert, 'SAVEPOINT one', 'SET CONSTRAINTS ALL IMMEDIATE', 'ROLLBACK TO one', 'SET CONSTRAINTS ALL DEFERRED',
		'UPDATE plain SET name = \'y\' ' . where($id)), '', 'a row that was checked in a savepoint which was rolled back is checked again');
is($approval->state($id), 'used', 'and so its approval is used');
is(transaction($insert), $REFUSED, 'no second row can have it');
is(rows('plain', $id), 1, 'there is one');

# A trigger of a table of one's own deletes the row before it is checked.
$session->run(<<'SQL');
CREATE TABLE own (statement text);
CREATE FUNCTION run() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN EXECUTE NEW.statement; RETURN NULL; END $$;
CREATE TRIGGER at_once AFTER INSERT ON own FOR EACH ROW WHEN (NEW.statement NOT LIKE 'SET%') EXECUTE FUNCTION run();
CREATE TABLE own_deferred (statement text);
CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON own_deferred DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION run();
SQL
sub own { my ($table, $statements) = @_; return "INSERT INTO $table VALUES (" . '$own$' . $statements . '$own$)'; }
for my $table (qw(immediate deferred))
{
	($number, $id) = approved(state => 'used');
	my $bad = insert_sql($table, $number, $id);
	my $gone = "DELETE FROM $table " . where($id);

	is(transaction('WITH first AS (' . own('own', "$gone; $bad") . ") $bad"), $REFUSED, "$table: a row that a trigger deletes before its check gives way to none");
	is(transaction(own('own_deferred', "SET CONSTRAINTS ALL IMMEDIATE; $gone; $bad"), $bad), $REFUSED, "$table: nor if constraints become immediate at COMMIT");
	is(transaction(own('own_deferred', "$gone; $bad"), $bad), $REFUSED, "$table: nor at COMMIT");
	is(rows($table, $id), 0, "$table: no row is there");
}

# A row that is loaded as frozen looks older than its transaction.
($number, $id) = approved(state => 'used');
$insert = insert_sql('plain', $number, $id);
my $loaded = $node->basedir . '/loaded.csv';
append_to_file($loaded, "asia,a,x,$number,$id\n");
is(transaction('TRUNCATE plain', "COPY plain FROM '$loaded' (FORMAT csv, FREEZE)", 'DELETE FROM plain', $insert), $REFUSED,
	'a row that COPY FREEZE has loaded and nobody has checked gives way to none');
is(rows('plain', $id), 0, 'and none is there');

# A neighbour of the same command.
($number, $id) = approved();
{
	my ($unapproved, $unknown) = (Pnvs::Approval::new_number(), $session->value('SELECT gen_random_uuid()'));

	is(transaction(insert_sql('plain', $number, $id) . ", ('asia', 'a', 'x', '$unapproved', '$unknown')", 'DELETE FROM plain ' . where($unknown),
			insert_sql('plain', $unapproved, $unknown)), $REFUSED, 'a row that is gone before its check gives way to none, though its neighbour was checked');
}

# After TRUNCATE or a rewrite other rows get the places of rows that were checked.
for my $table (qw(plain switchable))
{
	my @elsewhere = map { "UPDATE $table SET name = 'n$_'" } 1 .. 20;
	my $bad = "INSERT INTO $table SELECT 'asia', 'a', 'x', '62816999' || to_char(n, 'FM00000'), gen_random_uuid() FROM generate_series(1, 20) n";

	for my $again ("UPDATE $table SET name = 'y'", "WITH gone AS (DELETE FROM $table RETURNING *) INSERT INTO $table SELECT * FROM gone")
	{
		($number, $id) = approved();
		$session->run("TRUNCATE $table");
		is(transaction('SET CONSTRAINTS ALL IMMEDIATE', insert_sql($table, $number, $id), @elsewhere, "TRUNCATE $table",
				'SET CONSTRAINTS ALL DEFERRED', $bad, $again), $REFUSED, "$table: after TRUNCATE nothing stands in a checked row's place");
		is($session->value("SELECT count(*) FROM $table"), 0, "$table: and none is there");
	}
}
$session->run('CREATE INDEX of_name ON plain (name)');
($number, $id) = approved();
is(transaction('SET CONSTRAINTS ALL IMMEDIATE', insert_sql('plain', $number, $id), "UPDATE plain SET name = 'b'", 'CLUSTER plain USING of_name',
		'SET CONSTRAINTS ALL DEFERRED', "INSERT INTO plain SELECT 'asia', 'a', 'x', '62816999' || to_char(n, 'FM00000'), gen_random_uuid() FROM generate_series(1, 20) n",
		"UPDATE plain SET name = 'y'"), $REFUSED, 'nor after CLUSTER');
$session->run('TRUNCATE plain');
($number, $id) = approved();
is(transaction(insert_sql('plain', $number, $id)), '', 'a row of before');
is(transaction('CLUSTER plain USING of_name', "UPDATE plain SET name = 'z'"), '', 'can be changed after CLUSTER');
$session->run('DROP INDEX of_name');

# --- prepared transactions

($number, $id) = approved();
is(transaction(insert_sql('deferred', $number, $id), "UPDATE deferred SET region = 'europe' " . where($id), "PREPARE TRANSACTION 'good'"), '',
	'PREPARE TRANSACTION makes the deferred checks');
$session->run("COMMIT PREPARED 'good'");
is(rows('deferred', $id), 1, 'COMMIT PREPARED keeps the row');
is(transaction('DELETE FROM deferred ' . where($id), "PREPARE TRANSACTION 'gone'"), '', 'a prepared transaction that has deleted a row');
is(transaction(insert_sql('deferred', $number, $id)), $REFUSED, 'gives way to none of the next');
$session->run("ROLLBACK PREPARED 'gone'");
is(transaction(insert_sql('deferred', $number, $id), "PREPARE TRANSACTION 'bad'"), $REFUSED, 'PREPARE TRANSACTION is refused like COMMIT');
is($session->value('SELECT count(*) FROM pg_prepared_xacts'), 0, 'and leaves nothing');

$session->close;
$node->stop;
done_testing();
