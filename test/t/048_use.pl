# use_verification(): the number of an approved verification, once.

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
my $node = $service->new_node('use', conf => "max_prepared_transactions = 2\n");
my $session = Pnvs::Session->new($node);
my $approval = Pnvs::Approval->new($session);
my $number = Pnvs::Approval::new_number();
my $masked = $number =~ s/\d{4}(\d\d)\z/****$1/r;

sub connect { return Pnvs::Session->new($node, @_); }

sub used { my ($id, $more, $by) = @_; return ($by // $session)->query("SELECT use_verification('$id'" . ($more // '') . ')'); }

# Waits until a session waits for a lock.
sub wait_for_lock
{
	my ($waiting) = @_;

	Pnvs::Simulator::wait_until('the session waits', sub {
			$session->value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = " . $waiting->pid);
	});
	return;
}

# --- once

is($session->value("SELECT current_setting('shared_preload_libraries')"), '', 'the library is not preloaded');
my $id = $approval->approve($number);
is(used($id)->value, "+$number", 'an approved verification gives its number, with a plus sign');
my $row = $approval->row($id);
is($row->{state}, 'used', 'then it is used');
is($row->{recipient}, $masked, 'the number is masked');
isnt($row->{used_at}, undef, 'it says when');
is($row->{ended_at}, undef, 'upkeep ends it later');
is(used($id)->value, undef, 'it gives the number once');
is(used($id)->message, '', 'then NULL is no error');
is($approval->row($id)->{used_at}, $row->{used_at}, 'and changes nothing');
is(used($approval->approve($number))->value, "+$number", 'another verification of the number is another');

# --- NULL

for my $case (
	[ pending => "a verification that waits for its code" ], [ canceled => 'a canceled one' ], [ refused => 'a refused one' ],
	[ max_tries => 'one whose tries are used up' ])
{
	my ($state, $what) = @$case;

	is(used($approval->approve($number, state => $state))->value, undef, "$what gives nothing");
}
is($session->run('SELECT use_verification(NULL)')->value, undef, 'NULL as the ID gives nothing');
is($session->run('SELECT use_verification(gen_random_uuid())')->value, undef, 'nor does an unknown ID');

$id = $approval->approve($number, purpose => 'login');
is(used($id)->value, undef, 'a verification of a purpose gives nothing without it');
is(used($id, ", 'payment'")->value, undef, 'nor with another');
is(used($id, ", 'Login'")->value, undef, 'nor with another spelling');
is(used($id, ", ''")->value, undef, 'nor with an empty one');
is(used($id, ", purpose => 'login'")->value, "+$number", 'with it, it gives the number');
is(used($approval->approve($number), ", 'login'")->value, undef, 'a verification without a purpose has none');

$id = $approval->approve($number, changes => 'origin_system = origin_system + 1');
is(used($id)->value, undef, 'an approval of another server gives nothing here');
$id = $approval->approve($number, changes => "origin_database = '1'");
is(used($id)->value, undef, 'nor that of another database');
$id = $approval->approve($number, changes => "expires_at = clock_timestamp() - interval '1 s'");
is(used($id)->value, "+$number", 'an approval outlives the time in which its code had to be typed');

# --- good_for

is(used($approval->approve($number, age => '59 min'))->value, "+$number", 'an approval is good for an hour');
is(used($approval->approve($number, age => '61 min'))->value, undef, 'and no longer');
$id = $approval->approve($number, age => '90 min');
is(used($id, ", good_for => '89 min'")->value, undef, 'the caller can make it shorter');
is(used($id, ", good_for => '91 min'")->value, "+$number", 'or longer');
is(used($approval->approve($number, age => '23 h 59 min'), ", good_for => '1 day'")->value, "+$number", 'up to a day');
is(used($approval->approve($number, age => '0.5 s'), ", good_for => '1 s'")->value, "+$number", 'from a second on');
for my $good_for ("'0.999 s'", "'24 h 1 s'", "'1 day 1 us'", "'-1 h'", "'0'", "'1 mon'", "'-1 mon 31 days'", "'2 days -24 h'", 'NULL')
{
	my $result = used($approval->approve($number), ", good_for => $good_for");

	is($result->sqlstate . ' ' . $result->message, '22023 invalid good_for', "good_for cannot be $good_for");
}
is(used('00000000-0000-0000-0000-000000000000', ", good_for => '2 days'")->sqlstate, '22023', 'also if there is no such verification');
is($session->query("SELECT use_verification(NULL, good_for => '2 days')")->sqlstate, '22023', 'or no ID');

# --- the caller's transaction

$id = $approval->approve($number);
$session->run('BEGIN');
is(used($id)->value, "+$number", 'it is used in a transaction');
is(used($id)->value, undef, 'which sees that itself');
$session->run('ROLLBACK');
is(used($id)->value, "+$number", 'ROLLBACK gives the approval back');
$id = $approval->approve($number);
$session->run('BEGIN; SAVEPOINT one');
is(used($id)->value, "+$number", 'it is used in a savepoint');
$session->run('ROLLBACK TO one');
is(used($id)->value, "+$number", 'which gives it back, too');
$session->run('COMMIT');
is($approval->state($id), 'used', 'COMMIT keeps it');
$id = $approval->approve($number);
is(join(' ', map { $_ // 'NULL' } $session->run("SELECT use_verification('$id') AS number FROM generate_series(1, 3)")->column('number')),
	"+$number NULL NULL", 'a statement that asks several times gets it once');
$id = $approval->approve($number);
$session->run('BEGIN');
is(used($id)->value, "+$number", 'it is used in a transaction that is to be prepared');
$session->run("PREPARE TRANSACTION 'use'");
my $other = main::connect();
$other->send("SELECT use_verification('$id')");
wait_for_lock($other);
$session->run("ROLLBACK PREPARED 'use'");
is($other->result->value, "+$number", 'a rolled back prepared transaction gives it back');

# A transaction whose snapshot is older than the approval.
$other->run('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
$id = $approval->approve($number);
is(used($id, '', $other)->value, "+$number", 'a transaction with an older snapshot sees the approval');
$other->run('COMMIT');
$other->run('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
$id = $approval->approve($number);
used($id);
is(used($id, '', $other)->value, undef, 'and that it has been used');
$other->run('COMMIT');

# --- two at the same time

for my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	for my $end (qw(COMMIT ROLLBACK))
	{
		my $result;

		$id = $approval->approve($number);
		$session->run('BEGIN');
		used($id);
		$other->run("BEGIN ISOLATION LEVEL $level");
		$other->send("SELECT use_verification('$id')");
		wait_for_lock($other);
		$session->run($end);
		$result = $other->result;
		if ($end eq 'ROLLBACK') { is($result->value, "+$number", "$level: a second session waits, and gets what the first gives back"); }
		elsif ($level eq 'READ COMMITTED') { is($result->value, undef, "$level: a second session waits, and gets nothing"); }
		else { is($result->sqlstate, '40001', "$level: a second session waits, and is to try again"); }
		$other->run('ROLLBACK');
	}
}

# --- nothing to write, nobody else

$session->run('BEGIN READ ONLY');
my $refused = used($id);
is($refused->sqlstate, '25006', 'a read-only transaction cannot use it');
$session->run('ROLLBACK');

$session->run(<<'SQL');
CREATE ROLE app LOGIN;
CREATE ROLE other_app LOGIN;
CREATE ROLE helper LOGIN;
GRANT EXECUTE ON FUNCTION use_verification TO app, other_app, helper;
SQL
$session->run('GRANT ' . $session->value('SELECT quote_ident(current_user)') . ' TO helper');
my $app = main::connect(user => 'app');
my $other_app = main::connect(user => 'other_app');
my $helper = main::connect(user => 'helper');
$id = $approval->approve($number, role => "'app'");
is(used($id, '', $other_app)->value, undef, 'another role cannot use it');
is($approval->state($id), 'approved', 'and leaves it alone');
is(used($id, '', $app)->value, "+$number", 'the role that began it can');
$id = $approval->approve($number, role => "'app'");
is(used($id, '', $helper)->value, "+$number", 'and so can a role with the rights of the owner');
$id = $approval->approve($number, role => "'app'");
$session->run('BEGIN');
used($id);
is(used($id, '', $other_app)->value, undef, 'another role does not even wait for who uses it');
$session->run('COMMIT');
$session->run('CREATE ROLE stranger LOGIN');
is(main::connect(user => 'stranger')->query('SELECT use_verification(NULL)')->sqlstate, '42501', 'nobody may call it without being granted it');

# --- the indexes stay as they are

sub updates { return $session->run(q{SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_all_tables WHERE relid = 'pnvs_internal.phone_verification'::regclass})->row; }

my $many = Pnvs::Approval::new_number();
$approval->approve($many, changes => 'recipient_hash = 1, session_hash = 2, last_message = 3') for 1 .. 60;
$session->run('VACUUM FULL pnvs_internal.phone_verification');
$session->run('BEGIN');
my $before = updates();
$session->run("SELECT use_verification(id) FROM pnvs_internal.phone_verification WHERE recipient = '$many'");
my $after = updates();
is(join(' ', map { $after->{$_} - $before->{$_} } qw(n_tup_upd n_tup_hot_upd)), '60 60', 'the new version of a used row stands beside the old one');
$session->run('COMMIT');
$session->run('CREATE INDEX of_state ON pnvs_internal.phone_verification (state)');
$id = $approval->approve($number);
is(used($id)->value, "+$number", 'with an index of somebody on what changes, it is used, too');
is($session->value("SET enable_seqscan = off; SELECT count(*) FROM pnvs_internal.phone_verification WHERE state = 'used' AND id = '$id'"), 1, 'and the index knows');
$session->run('RESET enable_seqscan; DROP INDEX pnvs_internal.of_state');
$session->run('ALTER TABLE pnvs_internal.phone_verification DROP CONSTRAINT phone_verification_pkey');
is(used($approval->approve($number))->value, "+$number", 'without its primary key, a row is found, too');
$session->run('ALTER TABLE pnvs_internal.phone_verification ADD PRIMARY KEY (id)');
$session->run('CREATE TABLE refers (id uuid REFERENCES pnvs_internal.phone_verification)');
is(used($approval->approve($number))->value, "+$number", 'and so it is if a foreign key refers to the ID');
$session->run('DROP TABLE refers');
$session->run('ALTER TABLE pnvs_internal.phone_verification ADD UNIQUE (id, state); CREATE TABLE refers (id uuid, state text, FOREIGN KEY (id, state) REFERENCES pnvs_internal.phone_verification (id, state))');
$id = $approval->approve($number);
like(used($id)->message, qr/not as pnvs made it/, 'a foreign key that refers to the state is an error');
is($approval->state($id), 'approved', 'which changes nothing');
$session->run('DROP TABLE refers; ALTER TABLE pnvs_internal.phone_verification DROP CONSTRAINT phone_verification_id_state_key');

# Upkeep masks the number of an approval that came when the verification was about to expire.
$id = $approval->approve($number);
$session->run("UPDATE pnvs_internal.phone_verification SET recipient = '$masked', ended_at = now() WHERE id = '$id'");
is(used($id, ", NULL, '24 hours'")->value, undef, 'a masked number is not given');

# Who knows the ID of an approval can use it.
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/SELECT use_verification\('[0-9a-f]{8}-/, 'no error brings an ID into the log');

$_->close for $session, $other, $app, $other_app, $helper;
$node->stop;
done_testing();
