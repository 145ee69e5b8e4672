# The hash of a number in its rows: under a key of the database that nobody reads, the same
# for each of its messages, and still there when the number is masked.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Queue;
use Pnvs::Simulator;

my $service = Pnvs::Simulator->new;
my $queue = Pnvs::Queue->new($service, 'hash_key');
my $node = $queue->node;
my $session = $queue->session;
my $number = Pnvs::Queue::new_number();

# The hash of the number in a session, or the error.
sub hash_in
{
	my ($there) = @_;
	my $result = $there->query(Pnvs::Queue::enqueue_sql('FA1', undef, $number));

	return $result->failed ? $result->message : hash_of($result->value, $there);
}

sub hash_of { my ($id, $there) = @_; return $queue->row($id, $there)->{recipient_hash}; }

# --- what is hashed

my $first = $queue->enqueue('FA1', undef, number => $number);
my $hash = hash_of($first);

ok(defined $hash, "a message has its number's hash");
like($queue->settled($first)->{recipient}, qr/\*/, 'when it is settled its number is masked');
is(hash_of($first), $hash, 'and the hash stays');
is(hash_of($queue->enqueue('FA1', undef, number => $number)), $hash, 'another message to the number has the same');
isnt(hash_of($queue->enqueue('FA1')), $hash, "another number's message has another");

$session->run('CREATE ROLE one LOGIN; GRANT EXECUTE ON FUNCTION enqueue_verification TO one');
my $one = $queue->connect(user => 'one');
is(hash_of($queue->enqueue('FA1', undef, number => $number, session => $one)), $hash,
	'so has a message of a role that may not read the key');
$session->run("CREATE TABLE account (phone text)");
$session->run("CREATE TRIGGER code AFTER INSERT ON account FOR EACH ROW EXECUTE FUNCTION enqueue_verification_trigger('SMS', 'phone', 'FA1')");
$session->run("INSERT INTO account VALUES ('$number')");
is($session->value('SELECT recipient_hash FROM pnvs_internal.queue ORDER BY id DESC LIMIT 1'), $hash, 'and one that a trigger has queued');

# --- whose key it is

$session->run('CREATE DATABASE other');
my $other = $queue->connect(dbname => 'other');
$other->run('CREATE EXTENSION pnvs');
isnt(hash_of($queue->enqueue('FA1', undef, number => $number, session => $other), $other), $hash, 'in another database the hash is another');

my $before = hash_of($queue->enqueue('FA1', undef, number => $number, session => $other), $other);
$other->run('DROP EXTENSION pnvs; CREATE EXTENSION pnvs');
isnt(hash_of($queue->enqueue('FA1', undef, number => $number, session => $other), $other), $before,
	'and when the extension is created again, also in the same session');
$other->run("BEGIN; DROP EXTENSION pnvs; CREATE EXTENSION pnvs");
my $rolled_back = hash_of($queue->enqueue('FA1', undef, number => $number, session => $other), $other);
$other->run('ROLLBACK');
isnt(hash_of($queue->enqueue('FA1', undef, number => $number, session => $other), $other), $rolled_back,
	'a key that was rolled back is not used any more');

# --- the extension is created again while a session waits for its tables

my $waiting = $queue->connect(dbname => 'other');
for my $call ("enqueue_verification('SMS', '$number', 'FA1')", "begin_verification('$number')", "cancel_verification(1)",
	'cancel_phone_verification(gen_random_uuid())')
{
	$waiting->run("SELECT $call");
	$other->run('BEGIN; DROP EXTENSION pnvs; CREATE EXTENSION pnvs');
	$waiting->send("SELECT $call");
	Pnvs::Simulator::wait_until('it waits', sub {
		return $session->value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = 'other'");
	});
	$other->run('COMMIT');
	my $answer = $waiting->result;
	my ($name) = $call =~ /^(\w+)/;
	is($answer->sqlstate, '42P01', "$name, while the extension is created again, is refused");
	like($answer->hint, qr/^Run the statement again/, '... with what is to be done');
	ok(!$waiting->query("SELECT $call")->failed, '... and that helps');
}
$waiting->close;
$other->close;

$queue->configure('pnvs.worker' => 'off');
my $copied;
Pnvs::Simulator::wait_until('the database can be copied', sub {
	$copied = $session->query('CREATE DATABASE copy TEMPLATE other');
	return !$copied->failed;
});
my ($copy, $original) = map { $queue->connect(dbname => $_) } qw(copy other);
is(hash_in($copy), hash_in($original), 'a copy of the database has the same key');
$_->close for $copy, $original;
$queue->configure('pnvs.worker' => undef);

# --- the origin of a key

my $FOREIGN = q{INSERT INTO pnvs_internal.hash_key SELECT sha256('another'), origin_system, 1::oid FROM pnvs_internal.hash_key};
my %origin = (
	'a key of another database beside it' => $FOREIGN,
	'a key of another server beside it' => $FOREIGN =~ s/origin_system, 1::oid/1, origin_database/r,
	'a key that has come by pg_upgrade' => 'UPDATE pnvs_internal.hash_key SET origin_system = 1');

for my $what (sort keys %origin)
{
	my $new = $queue->connect;

	$new->run("BEGIN; $origin{$what}");
	is(hash_in($new), $hash, "$what: the hash is the same");
	$new->run('ROLLBACK');
	$new->close;
}

# --- a key that is not as it was made

my $NOT_ONE = qr/^It does not have one row of this database\.$/;

my @alteration = (
	[ 'no key', 'DELETE FROM pnvs_internal.hash_key', $NOT_ONE ],
	[ 'two keys', 'INSERT INTO pnvs_internal.hash_key SELECT * FROM pnvs_internal.hash_key', $NOT_ONE ],
	[ 'two foreign keys', "UPDATE pnvs_internal.hash_key SET origin_system = 1; $FOREIGN", $NOT_ONE ],
	[ 'a short key', "UPDATE pnvs_internal.hash_key SET key = 'short'", qr/^Its key has another length\.$/ ],
	[ 'another column', 'ALTER TABLE pnvs_internal.hash_key ADD more text', qr/another number of columns/ ]);

for my $alteration (@alteration)
{
	my ($what, $do, $detail) = @$alteration;
	my $new = $queue->connect;

	$new->run("BEGIN; $do");
	my $result = $new->query(Pnvs::Queue::enqueue_sql('FA1'));
	is($result->sqlstate, '42804', "$what: a new session queues nothing");
	is($result->message, 'the table "pnvs_internal.hash_key" is not as pnvs made it', "$what: and says so");
	like($result->detail, $detail, "$what: and why");
	$new->run('ROLLBACK');
	is(hash_of($queue->enqueue('FA1', undef, number => $number, session => $new)), $hash, "$what: when that is undone, it does");
	$new->close;
}
is(hash_of($queue->enqueue('FA1', undef, number => $number)), $hash, 'who has the key already goes on');

# --- where it is

my ($key) = $session->value("SELECT encode(key, 'hex') FROM pnvs_internal.hash_key");
my $dump = "$node->{_basedir}/dump.sql";
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', $dump ], 'the database can be dumped');
unlike(PostgreSQL::Test::Utils::slurp_file($dump), qr/$key|COPY pnvs_internal/, 'and the dump has neither the key nor rows');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/$key/, 'nor does the log');

$queue->stop;
done_testing();
