# What the queue lends nobody: names of a sender reach none of its statements, and a
# worker is sent away only by who may do what needs that.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(min);
use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Queue;
use Pnvs::Simulator qw(wait_until);

$PostgreSQL::Test::Utils::timeout_default = min($PostgreSQL::Test::Utils::timeout_default, 60);

my $service = Pnvs::Simulator->new;
my $queue = Pnvs::Queue->new($service, 'rights', conf => "pnvs.scan_interval = 1h\n");
my $node = $queue->node;
my $session = $queue->session;

# --- a sender's names

# The library's statements run as the table's owner, a superuser here.
$session->run(<<'SQL');
CREATE ROLE sender LOGIN;
CREATE SCHEMA sender AUTHORIZATION sender;
GRANT USAGE ON SCHEMA sender TO PUBLIC;
GRANT EXECUTE ON FUNCTION enqueue_verification, cancel_verification, await_verification TO sender;
SQL
my $sender = $queue->connect(user => 'sender');
$sender->run(<<'SQL');
CREATE FUNCTION sender.seize() RETURNS boolean LANGUAGE plpgsql AS
	$$ BEGIN RAISE EXCEPTION 'run as %', CURRENT_USER; END $$;
CREATE FUNCTION sender.pg_get_userbyid(oid) RETURNS name LANGUAGE sql AS 'SELECT sender.seize()::text::name';
CREATE FUNCTION sender.equal(bigint, bigint) RETURNS boolean LANGUAGE sql AS 'SELECT sender.seize()';
CREATE FUNCTION sender.equal(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT sender.seize()';
CREATE FUNCTION sender.equal(oid, oid) RETURNS boolean LANGUAGE sql AS 'SELECT sender.seize()';
CREATE OPERATOR sender.= (FUNCTION = sender.equal, LEFTARG = bigint, RIGHTARG = bigint);
CREATE OPERATOR sender.= (FUNCTION = sender.equal, LEFTARG = text, RIGHTARG = text);
CREATE OPERATOR sender.= (FUNCTION = sender.equal, LEFTARG = oid, RIGHTARG = oid);
SET search_path = sender, pg_catalog, public;
SQL
like($sender->query('SELECT 1::bigint = 1::bigint')->message, qr/run as sender/, 'a sender has an operator of his own in his search_path');
my $enqueue = Pnvs::Queue::enqueue_sql('FA1', "clock_timestamp() OPERATOR(pg_catalog.+) '1 hour'::interval, dedup_key => 'key'");
my $taken = $sender->query($enqueue);
is($taken->message, '', 'it is not run when he queues by a key');
is($sender->query($enqueue)->value, $taken->value, 'nor when he repeats that');
is($sender->query("SELECT (public.await_verification(@{[$taken->value]}, '1 ms')).id")->message, '', 'nor when he awaits');
is($sender->query("SELECT cancel_verification(@{[$taken->value]})")->value, 't', 'nor when he cancels');
like($sender->query('SELECT 1::bigint = 1::bigint')->message, qr/run as sender/, 'his search_path is what it was');
$sender->close;

# --- a worker in the way

$session->run('CREATE ROLE creator LOGIN CREATEDB');
$session->run('CREATE DATABASE model');
$node->safe_psql('model', 'CREATE EXTENSION pnvs');
my $model = $queue->connect(dbname => 'model');
my $creator = $queue->connect(user => 'creator');
my $id = $queue->enqueue('sim-start:slow:500', undef, session => $model);
wait_until('the request is under way', sub { $queue->requests($id) });
my @worker = $queue->workers('model');
like($creator->query('CREATE DATABASE copy TEMPLATE model')->message, qr/permission denied to copy database "model"/,
	'who may create databases may not copy one that is no template');
is($queue->settled($id, $model)->{unknown_since}, undef, 'what its worker had under way goes on');
is(join(' ', $queue->workers('model')), "@worker", 'and the worker stays');

$session->run('ALTER DATABASE model IS_TEMPLATE true');
$model->close;
is($creator->query('CREATE DATABASE copy TEMPLATE model')->message, '', 'he may copy a template, though its worker was there');
isnt(join(' ', $queue->workers('model')), "@worker", 'for that worker leaves');
$model = $queue->connect(dbname => 'model');
$id = $queue->enqueue('FA1', undef, session => $model);
is($queue->settled($id, $model)->{state}, 'sent', 'another comes when it is needed');
$_->close for $model, $creator;

$queue->stop;
done_testing();
