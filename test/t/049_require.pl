# require_verification(): a table that cannot hold a number without an approved verification.

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
my $node = $service->new_node('require', conf => "max_prepared_transactions = 5\nmax_connections = 60\n");
my $session = Pnvs::Session->new($node);
my $approval = Pnvs::Approval->new($session);
my $unknown = '00000000-0000-4000-8000-000000000000';

sub connect { return Pnvs::Session->new($node, @_); }
sub new_number { return Pnvs::Approval::new_number(); }
sub approve { return $approval->approve(@_); }

# A number, and the ID of an approved verification of it.
sub approved { my $number = new_number(); return ($number, approve($number, @_)); }

sub literal { my ($value) = @_; return defined $value ? "'$value'" : 'NULL'; }

sub insert_sql
{
	my ($number, $id, $table) = @_;

	return 'INSERT INTO ' . ($table // 'users') . ' (phone, verification_id) VALUES (' . literal($number) . ', ' . literal($id) . ')';
}

sub insert { my ($number, $id, %param) = @_; return ($param{by} // $session)->query(insert_sql($number, $id, $param{table})); }

# The SQLSTATE, and the constraint's name if the error has one.
sub state_of { my ($result) = @_; return join ' ', grep { length } $result->sqlstate, $result->{error}{n} // ''; }

my $REFUSED = '23514 users_phone_verified';

sub guard_sql
{
	my ($table, %param) = @_;
	my $args = join ', ', map { "'$_'" } 'phone', 'verification_id', @{ $param{args} // [] };

	return sprintf('CREATE %s TRIGGER %s AFTER %s ON %s %s FOR EACH ROW EXECUTE FUNCTION require_verification(%s)',
		$param{plain} ? '' : 'CONSTRAINT', $param{name} // "${table}_phone_verified", $param{event} // 'INSERT OR UPDATE OR DELETE', $table,
		$param{deferrable} // '', $args);
}

# A table with the constraint; the columns can be of other types.
sub create_table
{
	my ($table, %param) = @_;

	$session->run("CREATE TABLE $table (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, "
		  . 'phone ' . ($param{phone} // 'text') . ', verification_id ' . ($param{verification_id} // 'uuid') . ($param{more} // '') . ')');
	$session->run(guard_sql($table, %param));
	return;
}

sub rows { my ($table, $where) = @_; return $session->value("SELECT count(*) FROM $table WHERE " . ($where // 'true')); }

sub wait_for_lock
{
	my (@waiting) = @_;
	my $pids = join ', ', map { $_->pid } @waiting;

	Pnvs::Simulator::wait_until('the sessions wait', sub {
			@waiting == $session->value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid IN ($pids)");
	});
	return;
}

# --- one row

create_table('users');
my ($number, $id) = approved();
my $masked = $number =~ s/\d{4}(\d\d)\z/****$1/r;
is(insert("+$number", $id)->message, '', 'a row with the ID of an approved verification of its number is inserted');
my $verification = $approval->row($id);
is("$verification->{state} $verification->{recipient}", "used $masked", 'which is used then, with its number masked');

my $result = insert("+$number", $id);
is(state_of($result), $REFUSED, 'a second row with it is refused, with the SQLSTATE of a CHECK and the name of the constraint');
is("$result->{error}{s}.$result->{error}{t}", 'public.users', 'the error names schema and table');
is($result->message, 'new row for relation "users" violates verification constraint "users_phone_verified"', 'it reads like that of a CHECK');
is($result->detail, "The row's verification has been used already.", 'it says why');
like($result->hint, qr/\ALet the person confirm a code/, 'and what to do');

is(state_of(insert($number, $unknown)), $REFUSED, 'an unknown ID is refused');
$result = insert($number, undef);
is(state_of($result) . " " . $result->detail, "$REFUSED The row has a phone number, and no ID of a verification.", 'so is a number without an ID');
$id = approve($number);
is(state_of(insert(new_number(), $id)), $REFUSED, 'so is the ID of another number\'s verification');
is($approval->state($id), 'approved', 'which is not used by that');
is(insert(substr($number, 0, 2) . ' (' . substr($number, 2, 3) . ') ' . substr($number, 5), $id)->message, '', 'the number may be written as people write it');
$result = insert('0812 3456', approve($number));
is(state_of($result) . ' ' . $result->detail, "$REFUSED The row's phone number is not in international form.", 'a text that is no international number is refused');
for my $state (qw(pending canceled refused max_tries used))
{
	is(state_of(insert($number, approve($number, state => $state))), $REFUSED, "a verification that is $state is refused");
}
is(state_of(insert($number, approve($number, changes => 'origin_system = 1'))), $REFUSED, 'so is an approval of another server');
is(state_of(insert($number, approve($number, changes => "origin_database = '1'"))), $REFUSED, 'and of another database');
is(state_of(insert($number, approve($number, age => '61 min'))), $REFUSED, 'and an approval of more than an hour ago');
is(insert($number, approve($number, age => '59 min'))->message, '', 'but not one of less');
is(state_of(insert($number, approve($number, purpose => 'login'))), $REFUSED, 'a verification of a purpose is refused');
is(insert(undef, undef)->message, '', 'a row without a number needs nothing');
is(insert($_, undef)->message, '', 'nor does one with a blank number') for '', "  \t", "\x{e2}\x{80}\x{8b}";
is(insert(undef, $unknown)->message, '', 'whatever its ID is');

# --- why: only to those who may see the verification

# The DETAIL of a row's refusal.
sub reason { my ($detail) = insert(@_)->detail =~ /\AThe row's verification (.*)\.\z/s; return $detail; }

my $ANY_REASON = 'is not approved for its phone number, has been used, is too old, or has another purpose';
my %reason = (
	'has not been confirmed yet' => { state => 'pending' },
	'has expired before it was confirmed' => { state => 'pending', changes => 'expires_at = clock_timestamp()' },
	'has had too many wrong codes' => { state => 'max_tries' },
	'was canceled' => { state => 'canceled' },
	'was refused, so no code was sent' => { state => 'refused' },
	'was begun in another database' => { changes => 'origin_system = 1' },
	'is of another phone number' => { changes => q{recipient = '6281700000000'} },
	'was approved too long ago' => { age => '61 min' },
	'has another purpose' => { purpose => 'login' },
);

for my $reason (sort keys %reason)
{
	is(reason($number, approve($number, %{ $reason{$reason} })), $reason, "a verification $reason");
}
is(reason($number, approve($number, age => '3 days', changes => q{recipient = '6281****00'})), 'was approved too long ago', 'also when its number is masked');
is(reason($number, approve($number, state => 'pending', changes => 'tries = 5')), 'has had too many wrong codes', 'also as the setting has it');
is(reason($number, $unknown), $ANY_REASON, 'of an unknown ID no reason is told');

# --- who writes

$session->run('CREATE ROLE writer LOGIN; GRANT INSERT, UPDATE, DELETE, SELECT ON users TO writer; CREATE ROLE web LOGIN');
my $writer = main::connect(user => 'writer');
($number, $id) = approved(role => "'web'");
is(insert($number, $id, by => $writer)->message, '', 'who may insert needs no privilege of pnvs, and no verification of his own');
is(state_of(insert($number, $id, by => $writer)), $REFUSED, 'he, too, can insert one row with it');
is(reason($number, $id, by => $writer), $ANY_REASON, 'who has not begun a verification is not told why it is refused');
is(reason($number, approve($number, role => "'writer'", purpose => 'login'), by => $writer), 'has another purpose', 'who has begun it is');
is($writer->query('CREATE TEMPORARY TABLE own (phone text, verification_id uuid)')->message, '', 'he has a table of his own');
is($writer->query(guard_sql('own'))->sqlstate, '42501', 'who may not execute the function cannot make a trigger of it');
$writer->run("SET search_path = ''");
($number, $id) = approved();
is($writer->query(insert_sql($number, $id, 'public.users'))->message, '', 'the search_path does not matter');
$writer->close;

# --- UPDATE

($number, $id) = approved();
my $user = $session->value(insert_sql($number, $id) . ' RETURNING id');
sub change { my ($set, $row, $by) = @_; return ($by // $session)->query("UPDATE users SET $set WHERE id = " . ($row // $user)); }
is(change("name = 'Budi'")->message, '', 'other columns change freely');
is(change("phone = '+' || phone || ' '")->message, '', 'so does the way in which the number is written');
is(change("phone = phone || '1'")->sqlstate, '23514', 'another digit needs a verification');
is(change("verification_id = '$unknown'")->sqlstate, '23514', 'so does another ID');
is(change('verification_id = NULL')->sqlstate, '23514', 'and so does the loss of the ID');
($number, $id) = approved();
is(state_of(change("phone = '$number'")), $REFUSED, 'another number needs an ID of its own');
is(change("phone = '$number', verification_id = '$id'")->message, '', 'with it, the number changes');
is($approval->state($id), 'used', 'and the approval is used');
$id = approve($number);
is(change("verification_id = '$id'")->message, '', 'a number can be verified again');
is(change('phone = NULL')->message, '', 'the number can be taken away');
is(change("phone = '$number'")->sqlstate, '23514', 'it comes back with a new verification alone');
is(change("phone = '$number', verification_id = '@{[approve($number)]}'")->message, '', 'which it has now');
is($session->query("UPDATE users SET name = 'all'")->message, '', 'an UPDATE of all rows that keeps numbers and IDs is no case for it');

# --- the transaction

($number, $id) = approved();
$session->run('BEGIN; ' . insert_sql($number, $id) . '; ROLLBACK');
is($approval->state($id), 'approved', 'ROLLBACK gives the approval back');
$session->run('BEGIN; SAVEPOINT one; ' . insert_sql($number, $id) . '; ROLLBACK TO one');
is(insert($number, $id)->message, '', 'so does a savepoint that is rolled back');
is(state_of(insert($number, $id)), $REFUSED, 'the transaction has used it once');
$session->run('ROLLBACK');
$session->run('BEGIN; SAVEPOINT one; ' . insert_sql($number, $id) . '; RELEASE one; COMMIT');
is($approval->state($id), 'used', 'a released savepoint keeps it used');

($number, $id) = approved();
my $late = main::connect();
$late->run('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
($number, $id) = approved();
is(insert($number, $id, by => $late)->message, '', 'an approval that is younger than the snapshot counts');
$late->run('COMMIT');
$late->run('BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1');
($number, $id) = approved();
insert($number, $id);
is(state_of(insert($number, $id, by => $late)), $REFUSED, 'and what was used since then has been used');
$late->run('ROLLBACK');

($number, $id) = approved();
$session->run('BEGIN; ' . insert_sql($number, $id) . "; PREPARE TRANSACTION 'one'");
$late->send(insert_sql($number, $id));
wait_for_lock($late);
$session->run("COMMIT PREPARED 'one'");
is(state_of($late->result), $REFUSED, 'a prepared transaction keeps the approval until it ends');

# --- two at the same time

for my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	for my $end (qw(COMMIT ROLLBACK))
	{
		($number, $id) = approved();
		$session->run('BEGIN; ' . insert_sql($number, $id));
		$late->run("BEGIN ISOLATION LEVEL $level");
		$late->send(insert_sql($number, $id));
		wait_for_lock($late);
		$session->run($end);
		is(state_of($late->result), $end eq 'ROLLBACK' ? '' : $level eq 'READ COMMITTED' ? $REFUSED : '40001',
			"$level: the second that uses an approval waits for the first, whose $end decides");
		$late->run('ROLLBACK');
	}
}

my @racer = map { main::connect() } 1 .. 20;
($number, $id) = approved();
$_->run('BEGIN') for @racer;
$session->run("BEGIN; SELECT FROM pnvs_internal.phone_verification WHERE id = '$id' FOR UPDATE");
$_->send(insert_sql($number, $id) . '; COMMIT') for @racer;
wait_for_lock(@racer);
$session->run('COMMIT');
my %outcome;
$outcome{ state_of($_->result) }++ for @racer;
is_deeply(\%outcome, { '' => 1, $REFUSED => 19 }, 'of 20 sessions that race for one approval one wins');
is(rows('users', "verification_id = '$id'"), 1, 'and there is one row');
$_->close for @racer;

# --- many rows, and other ways to write them

my @many = map { [ approved() ] } 1 .. 50;
my $values = join ', ', map { "('$_->[0]', '$_->[1]'::uuid)" } @many;
is($session->query("INSERT INTO users (phone, verification_id) SELECT * FROM (VALUES $values) AS v")->message, '', 'INSERT ... SELECT uses an approval for each row');
is($session->value("SELECT count(*) FROM pnvs_internal.phone_verification WHERE state = 'used' AND id IN (" . join(', ', map { "'$_->[1]'" } @many) . ')'),
	50, 'that of each');
($number, $id) = approved();
is(state_of($session->query("INSERT INTO users (phone, verification_id) SELECT '$number', '$id' FROM generate_series(1, 2)")), $REFUSED, 'two rows cannot share one');

sub copy
{
	my (@line) = @_;
	my $error = '';

	$node->psql('postgres', "COPY users (phone, verification_id) FROM STDIN;\n" . join('', map { "$_->[0]\t$_->[1]\n" } @line) . "\\.\n",
		stderr => \$error, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	return $error;
}
@many = map { [ approved() ] } 1 .. 5;
is(copy(@many), '', 'COPY uses approvals');
like(copy([ approved() ], $many[0]), qr/23514.*users_phone_verified/s, 'and is refused as a whole if a row has none');

$session->run('CREATE UNIQUE INDEX users_phone ON users (phone)');
($number, $id) = approved();
is(insert($number, $id)->message, '', 'a number can be a key');
$id = approve($number);
is($session->query(insert_sql($number, $id) . ' ON CONFLICT DO NOTHING')->message, '', 'a row that ON CONFLICT drops');
is($approval->state($id), 'approved', 'uses nothing');
my $upsert = insert_sql($number, $id) . ' ON CONFLICT (phone) DO UPDATE SET verification_id = excluded.verification_id';
is($session->query($upsert)->message, '', 'ON CONFLICT DO UPDATE with a new ID');
is($approval->state($id), 'used', 'uses it');
is($session->query($upsert)->message, '', 'with the ID that the row has it changes nothing');
is(state_of($session->query($upsert =~ s/\Q$id\E/$unknown/r)), $REFUSED, 'with an ID that is not approved it is refused');

my $merge = sub {
	my ($phone, $verification) = @_;

	return $session->query(<<"SQL");
MERGE INTO users USING (VALUES ('$phone', '$verification'::uuid)) AS new (phone, verification_id) ON users.phone = new.phone
	WHEN MATCHED THEN UPDATE SET verification_id = new.verification_id
	WHEN NOT MATCHED THEN INSERT (phone, verification_id) VALUES (new.phone, new.verification_id)
SQL
};
($number, $id) = approved();
is($merge->($number, $id)->message, '', 'MERGE inserts with an approval');
is(state_of($merge->($number, $unknown)), $REFUSED, 'and cannot change the ID without another');
is(state_of($merge->(new_number(), $unknown)), $REFUSED, 'nor insert without it');
$session->run('DROP INDEX users_phone');

# --- what a row is in the end

$session->run(<<'SQL');
CREATE FUNCTION other_number() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.phone := '6281699999999'; RETURN NEW; END $$;
CREATE TRIGGER other_number BEFORE INSERT OR UPDATE ON users FOR EACH ROW WHEN (NEW.name = 'changed') EXECUTE FUNCTION other_number();
SQL
($number, $id) = approved();
is(state_of($session->query("INSERT INTO users (name, phone, verification_id) VALUES ('changed', '$number', '$id')")), $REFUSED,
	'the number counts that a BEFORE trigger writes');
$session->run("INSERT INTO users (phone, verification_id) VALUES ('$number', '$id')");
is(state_of(change("name = 'changed'", "(SELECT id FROM users WHERE verification_id = '$id')")), $REFUSED, 'also if the UPDATE does not name the column');
$session->run('DROP TRIGGER other_number ON users');

create_table('domains', phone => 'phone', verification_id => 'verification') if $session->run(<<'SQL');
CREATE DOMAIN phone AS text CHECK (VALUE ~ '^[0-9]+$');
CREATE DOMAIN verification AS uuid;
SQL
create_table('texts', phone => 'varchar(20)', verification_id => 'text');
create_table('chars', phone => 'char(20)', verification_id => 'char(36)');
create_table('numerics', phone => 'numeric', verification_id => 'varchar(50)');
create_table('bigints', phone => 'bigint');
for my $table (qw(domains texts chars numerics bigints))
{
	($number, $id) = approved();
	is(insert($number, $id, table => $table)->message, '', "$table: an approval counts, whatever types the columns have");
	is(state_of(insert($number, $id, table => $table)), "23514 ${table}_phone_verified", "$table: once");
}
is(insert($number, uc approve($number), table => 'texts')->message, '', 'an ID can be written in capital letters');
is(state_of(insert($number, $_, table => 'texts')), '23514 texts_phone_verified', 'a text that is no ID is none') for '', 'x', '{' . approve($number) . '}';
is($session->query("UPDATE texts SET verification_id = upper(verification_id)")->message, '', 'an ID in another notation is the same');
create_table('floats', phone => 'float8');
like($session->query("INSERT INTO floats (phone) VALUES (6281600000001)")->message, qr/invalid type of the column with the phone number/,
	'a number whose digits depend on a setting is refused');
create_table('decimals', phone => 'numeric(20, 2)');
is(state_of(insert($number, approve($number), table => 'decimals')), '23514 decimals_phone_verified', 'a number with decimals is no phone number');

$session->run('CREATE TABLE numbers (phone numeric, verification_id uuid)');
$session->run(guard_sql('numbers'));
($number, $id) = approved();
is(insert($number, $id, table => 'numbers')->message, '', 'one without decimals is');
is(state_of($session->query($_)), '23514 numbers_phone_verified', "and cannot become another: $_")
  for 'UPDATE numbers SET phone = trunc(phone / 1000, 3)', 'UPDATE numbers SET phone = -phone';
is($session->query('UPDATE numbers SET phone = phone + 0')->message, '', 'the same is no change');

$session->run('CREATE TABLE generated (written text, phone text GENERATED ALWAYS AS (normalize_phone_number(written)) STORED, verification_id uuid)');
$session->run(guard_sql('generated'));
($number, $id) = approved();
is($session->query("INSERT INTO generated (written, verification_id) VALUES ('+$number', '$id')")->message, '', 'a stored generated column is a column');
is(state_of($session->query("UPDATE generated SET written = '+6281699999999'")), '23514 generated_phone_verified', 'it changes with what it is made of');
my $has_virtual = $session->value("SELECT current_setting('server_version_num')::int >= 180000") eq 't';
if ($has_virtual)
{
	$session->run('CREATE TABLE virtual (written text, phone text GENERATED ALWAYS AS (written) VIRTUAL, verification_id uuid)');
	$session->run(guard_sql('virtual'));
	is($session->query("INSERT INTO virtual (written) VALUES ('$number')")->sqlstate, '22023', 'a virtual generated column cannot be checked, and is an error');
}

# --- a table beneath another

$session->run('CREATE TABLE members () INHERITS (users); ALTER TABLE members ALTER id SET DEFAULT 0');
is(insert(new_number(), undef, table => 'members')->message, '', 'a child by inheritance has triggers of its own, or none');
$session->run(guard_sql('members'));
is(state_of(insert(new_number(), undef, table => 'members')), '23514 members_phone_verified', 'with its own it is checked');

# --- good for, and purposes

create_table('short', args => ['10 min']);
($number, $id) = approved(age => '11 min');
is(state_of(insert($number, $id, table => 'short')), '23514 short_phone_verified', 'a trigger can take approvals of the last minutes only');
is(insert($number, approve($number, age => '9 min'), table => 'short')->message, '', 'those it takes');
create_table('payments', args => [ '1 hour', 'payment, card' ]);
is(insert($number, approve($number, purpose => $_), table => 'payments')->message, '', "an approval of the purpose \"$_\" counts") for qw(payment card);
is(state_of(insert($number, approve($number, purpose => $_), table => 'payments')), '23514 payments_phone_verified', "and of \"$_\" does not")
  for 'login', 'payment, card', 'pay', '';
is(state_of(insert($number, approve($number), table => 'payments')), '23514 payments_phone_verified', 'nor does that of none');

# --- declared in another way

my $bad = sub {
	my ($trigger) = @_;
	my $failed;

	$session->run('BEGIN; CREATE TABLE wrong (phone text, verification_id uuid, at timestamptz, flag boolean)');
	$session->run("CREATE $trigger");
	$failed = $session->query("INSERT INTO wrong VALUES ('6281600000000', '$unknown')");
	$session->run('ROLLBACK');
	return join ' ', $failed->sqlstate, $failed->message, length $failed->hint ? '+' : '-';
};
my $called = 'FOR EACH ROW EXECUTE FUNCTION require_verification';
for my $case (
	[ "TRIGGER t BEFORE INSERT ON wrong $called('phone', 'verification_id')", '22023 require_verification() must be fired AFTER the event +' ],
	[ "TRIGGER t AFTER INSERT ON wrong EXECUTE FUNCTION require_verification('phone', 'verification_id')",
		'22023 require_verification() must be fired FOR EACH ROW +' ],
	[ "TRIGGER t AFTER INSERT ON wrong $called('phone')", '22023 require_verification() takes two to four arguments +' ],
	[ "TRIGGER t AFTER INSERT ON wrong $called('phone', 'verification_id', '1 h', 'a', 'b')", '22023 require_verification() takes two to four arguments +' ],
	[ "TRIGGER t AFTER INSERT ON wrong $called('fone', 'verification_id')",
		'42703 column "fone" in the arguments of require_verification() does not exist in "wrong" +' ],
	[ "TRIGGER t AFTER INSERT ON wrong $called('phone', 'ctid')",
		'42703 column "ctid" in the arguments of require_verification() does not exist in "wrong" +' ],
	[ "TRIGGER t AFTER INSERT ON wrong $called('verification_id', 'phone')",
		'22023 invalid type of the column with the phone number in the arguments of require_verification() +' ],
	[ "TRIGGER t AFTER INSERT ON wrong $called('phone', 'at')",
		'22023 invalid type of the column with the verification\'s ID in the arguments of require_verification() +' ],
	[ "TRIGGER t AFTER INSERT ON wrong $called('phone', 'verification_id', 'soon')", '22023 invalid input syntax for type interval: "soon" +' ],
	[ "TRIGGER t AFTER INSERT ON wrong $called('phone', 'verification_id', '2 days')", '22023 invalid good_for +' ],
	[ "TRIGGER t AFTER INSERT ON wrong $called('phone', 'verification_id', '1 h', 'a,,b')",
		'22023 invalid list of purposes in the arguments of require_verification() +' ])
{
	is($bad->($case->[0]), $case->[1], "a trigger that says \"$case->[1]\"");
}
is($session->query('SELECT require_verification()')->message, 'require_verification() was not called as a trigger', 'it cannot be called without a trigger');
is($bad->(guard_sql('wrong', plain => 1) =~ s/\ACREATE //r), '23514 new row for relation "wrong" violates verification constraint "wrong_phone_verified" +',
	'a plain AFTER trigger does the same');

# --- without the trigger

$session->run('SET session_replication_role = replica');
is(insert(new_number(), undef)->message, '', 'a session that replays changes is not checked');
$session->run('RESET session_replication_role');

# --- secrets

unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/62816\d{8}/, 'no error brings a number into the log');

$_->close for $session, $late;
$node->stop;
done_testing();
