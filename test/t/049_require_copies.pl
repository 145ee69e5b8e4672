# require_verification() and tables that are copied: dumped and restored, or replicated.

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
my $node = $service->new_node('copies', streaming => 'logical');
my $session = Pnvs::Session->new($node);
my $approval = Pnvs::Approval->new($session);
my $dir = PostgreSQL::Test::Utils::tempdir();

$session->run(<<'SQL');
CREATE TABLE users (phone text PRIMARY KEY, verification_id uuid, name text);
CREATE CONSTRAINT TRIGGER users_phone_verified AFTER INSERT OR UPDATE OR DELETE ON users
	FOR EACH ROW EXECUTE FUNCTION require_verification('phone', 'verification_id');
SQL

# A new user, who is verified.
sub add_user
{
	my $number = Pnvs::Approval::new_number();

	$session->run("INSERT INTO users VALUES ('$number', '@{[$approval->approve($number)]}')");
	return $number;
}

sub insert_unverified { my ($by) = @_; return $by->query("INSERT INTO users VALUES ('6281699999999', gen_random_uuid())")->sqlstate; }

# The first error of a program, run on a database.
sub fault
{
	my ($program, $database, @argument) = @_;
	my $output = '';
	my @connection = ('-h', $node->host, '-p', $node->port, '-d', $database);

	IPC::Run::run([ $program, @connection, @argument ], '>&', \$output, '<', \undef);
	return $output =~ /(ERROR:.*)/ ? $1 : '';
}

# --- dumps

my @number = map { add_user() } 1 .. 3;
my $dump = "$dir/dump";
is(fault('pg_dump', 'postgres', '-Fc', '-f', $dump), '', 'a database is dumped');
my $unready = $approval->approve('6281699999999');

$session->run('CREATE DATABASE restored');
is(fault('pg_restore', 'restored', '-e', $dump), '', 'it is restored as a whole');
my $restored = Pnvs::Session->new($node, dbname => 'restored');
is(join(' ', $restored->run('SELECT phone FROM users ORDER BY phone')->column('phone')), "@number", 'with the rows that were verified');
is($restored->value('SELECT count(*) FROM pnvs_internal.phone_verification'), 0, 'though their verifications are not there');
is(insert_unverified($restored), '23514', 'from then on the constraint is in force');
is($restored->query("UPDATE users SET name = 'x'")->message, '', 'and lets the rows change');
is($restored->query("UPDATE users SET phone = phone || '1'")->sqlstate, '23514', 'but not their numbers');

$restored->run('DELETE FROM users');
like(fault('pg_restore', 'restored', '-e', '--data-only', '-t', 'users', $dump), qr/violates verification constraint "users_phone_verified"/,
	'the data alone is refused');
is(fault('pg_restore', 'restored', '-e', '--data-only', '--disable-triggers', '-t', 'users', $dump), '', 'unless triggers are disabled');
is($restored->value('SELECT count(*) FROM users'), 3, 'then all rows are there');
is(insert_unverified($restored), '23514', 'and the constraint is in force again');
$restored->close;

# --- a copy of the whole database

$session->close;
$node->safe_psql('template1', 'CREATE DATABASE copy TEMPLATE postgres');
$session = Pnvs::Session->new($node);
$approval = Pnvs::Approval->new($session);
my $copy = Pnvs::Session->new($node, dbname => 'copy');
is($copy->query("INSERT INTO users VALUES ('6281699999999', '$unready')")->sqlstate, '23514', 'an approval does not count in a copy of the database');
is($copy->query("SELECT use_verification('$unready')")->value, undef, 'nor can it be used there');
is($session->query("SELECT use_verification('$unready')")->value, '+6281699999999', 'it is the original\'s');
$copy->close;

# --- logical replication

my $subscriber = $service->new_node('subscriber', conf => "wal_retrieve_retry_interval = 100ms\n");
my $there = Pnvs::Session->new($subscriber);
$there->run(<<'SQL');
CREATE TABLE users (phone text PRIMARY KEY, verification_id uuid, name text);
CREATE CONSTRAINT TRIGGER users_phone_verified AFTER INSERT OR UPDATE OR DELETE ON users
	FOR EACH ROW EXECUTE FUNCTION require_verification('phone', 'verification_id');
SQL
$session->run('CREATE PUBLICATION p FOR TABLE users');
$there->run("CREATE SUBSCRIPTION s CONNECTION \$c\$" . $node->connstr('postgres') . "\$c\$ PUBLICATION p");
Pnvs::Simulator::wait_until('the rows are copied', sub { $there->value('SELECT count(*) FROM users') == 3 });
pass('a subscriber takes rows as they are');
add_user();
$session->run("UPDATE users SET name = 'y' WHERE phone = '$number[0]'; DELETE FROM users WHERE phone = '$number[1]'");
Pnvs::Simulator::wait_until('changes are applied', sub {
		$there->value("SELECT count(*) FROM users WHERE phone = '$number[0]' AND name = 'y'") == 1 && $there->value('SELECT count(*) FROM users') == 3;
});
pass('and changes of them');
is(insert_unverified($there), '23514', 'its own writers need approvals');
$there->run('DROP SUBSCRIPTION s');

$_->close for $session, $there;
$_->stop('fast') for $subscriber, $node;
done_testing();
