# What the queue lends nobody: code of the table's owner runs as the owner, names of a
# sender reach nobody, and a worker is sent away only by who may do what needs that.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(min);
use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Queue;
use Pnvs::Session;
use Pnvs::Simulator;

$PostgreSQL::Test::Utils::timeout_default = min($PostgreSQL::Test::Utils::timeout_default, 60);

my $service = Pnvs::Simulator->new;
my $queue = Pnvs::Queue->new($service, 'rights', conf => "pnvs.scan_interval = 1h\n");
my $node = $queue->node;
my $session = $queue->session;

sub wait_until { return Pnvs::Simulator::wait_until(@_); }

# --- the owner's triggers

# The table belongs to a role of its own. Its code notes who it runs as, and makes its
# role a superuser where it can.
$session->run(<<'SQL');
CREATE ROLE keeper LOGIN;
CREATE SCHEMA keeper AUTHORIZATION keeper;
ALTER TABLE pnvs_internal.queue OWNER TO keeper;
GRANT EXECUTE ON FUNCTION enqueue_verification TO keeper;
SQL
my $keeper = $queue->connect(user => 'keeper');
$keeper->run(<<'SQL');
CREATE TABLE keeper.seen (who text, state text);
CREATE FUNCTION keeper.grasp(state text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO keeper.seen VALUES (CURRENT_USER, state);
	IF (SELECT rolsuper FROM pg_roles WHERE rolname = CURRENT_USER) THEN
		ALTER ROLE keeper SUPERUSER;
	END IF;
	RETURN true;
END $$;
CREATE FUNCTION keeper.look() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN PERFORM keeper.grasp(NEW.state); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER look AFTER UPDATE ON pnvs_internal.queue DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION keeper.look();
SQL

# Who the code has run as for which states since the last call.
sub seen
{
	my $seen = $session->value("SELECT string_agg(DISTINCT who || ' ' || state, ', ') FROM keeper.seen");

	$session->run('TRUNCATE keeper.seen');
	return $seen // 'nobody';
}

sub is_superuser { return $session->value("SELECT rolsuper FROM pg_roles WHERE rolname = 'keeper'"); }

# Runs what is queued by the worker or from the superuser's session.
my %runs = (
	'in the worker' => sub { return; },
	'in the procedure' => sub { $session->run('CALL process_verification_queue()'); return; });

# More ways to have code run at the end of the transaction, each for the messages of
# one service; PostgreSQL says that it refuses them.
my %ways = (
	FAdefer => [ <<'SQL', qr/cannot fire deferred trigger within security-restricted operation/ ],
SET CONSTRAINTS ALL DEFERRED;
INSERT INTO keeper.other VALUES (NEW.state);
SQL
	FAhold => [ <<'SQL', qr/cannot create a cursor WITH HOLD within security-restricted operation/ ]);
EXECUTE 'DECLARE later CURSOR WITH HOLD FOR SELECT keeper.grasp(''held'')';
SQL
$keeper->run(<<'SQL');
CREATE TABLE keeper.other (state text);
CREATE CONSTRAINT TRIGGER look AFTER INSERT ON keeper.other DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION keeper.look();
SQL

for my $where (sort { $b cmp $a } keys %runs)
{
	my $run = $runs{$where};
	my ($id, %left);

	$queue->configure('pnvs.worker' => 'off') if $where eq 'in the procedure';
	$id = $queue->enqueue('FA1', undef, session => $keeper);
	$run->();
	is($queue->settled($id)->{state}, 'sent', "a deferred trigger of the owner keeps nothing from being sent ($where)");
	is(seen(), 'keeper sending, keeper sent', "it runs as the owner, for the claim and for what becomes of it ($where)");
	is(is_superuser(), 'f', "and the owner is what he was ($where)");

	for my $service_sid (sort keys %ways)
	{
		my ($body, $refusal) = @{ $ways{$service_sid} };
		my $refusals = $queue->logged($refusal);

		$keeper->run("CREATE OR REPLACE FUNCTION keeper.$service_sid() RETURNS trigger LANGUAGE plpgsql AS "
			  . "\$\$ BEGIN $body RETURN NULL; END \$\$");
		$keeper->run("CREATE TRIGGER $service_sid AFTER UPDATE ON pnvs_internal.queue FOR EACH ROW "
			  . "WHEN (NEW.service_sid = '$service_sid') EXECUTE FUNCTION keeper.$service_sid()");
		$left{$service_sid} = $queue->enqueue($service_sid, undef, session => $keeper);
		$id = $queue->enqueue('FA1', undef, session => $keeper);
		$run->();
		is($queue->settled($id)->{state}, 'sent', "a trigger that puts its code off keeps no other message from being sent ($service_sid, $where)");
		ok($queue->soon(sub { $queue->logged($refusal) > $refusals }), "PostgreSQL does not let it ($service_sid, $where)");
		is($queue->state($left{$service_sid}), 'queued', "its own message waits ($service_sid, $where)");
		like(seen(), qr/\A(?:keeper \w+(?:, )?)+\z/, "nothing of it runs as anybody but the owner ($service_sid, $where)");
		is(is_superuser(), 'f', "and the owner is what he was ($service_sid, $where)");
		$keeper->run("DROP TRIGGER $service_sid ON pnvs_internal.queue");
	}

	# It was put off; who comes next begins anew.
	$queue->configure if $where eq 'in the worker';
	$queue->enqueue('FA1', undef, session => $keeper);
	$run->();
	is((grep { $queue->settled($_)->{state} ne 'sent' || $queue->sent($_) != 1 } values %left), 0,
		"without the trigger such a message is sent, once ($where)");
	is(is_superuser(), 'f', "the owner is what he was in the end ($where)");
	seen();
}
$keeper->run('DROP TRIGGER look ON pnvs_internal.queue');

# --- a sender's names

$keeper->run(<<'SQL');
CREATE FUNCTION keeper.fill() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN NEW.reference := upper(NEW.state); RETURN NEW; END $$;
CREATE TRIGGER fill BEFORE INSERT OR UPDATE ON pnvs_internal.queue FOR EACH ROW EXECUTE FUNCTION keeper.fill();
SQL
$session->run(<<'SQL');
CREATE ROLE sender LOGIN;
CREATE SCHEMA sender AUTHORIZATION sender;
GRANT EXECUTE ON FUNCTION enqueue_verification, cancel_verification TO sender;
SQL
my $sender = $queue->connect(user => 'sender');
$sender->run(<<'SQL');
CREATE FUNCTION sender.upper(text) RETURNS text LANGUAGE plpgsql AS
	$$ BEGIN RETURN 'run as ' || CURRENT_USER; END $$;
GRANT USAGE ON SCHEMA sender TO PUBLIC;
SET search_path = sender, pg_catalog, public;
SQL
my $taken = $queue->enqueue('FA1', "now() + interval '1 hour'", session => $sender);
is($queue->row($taken)->{reference}, 'QUEUED', q{a sender's search_path does not reach the owner's trigger when he queues});
is($sender->value("SELECT cancel_verification($taken)"), 't', 'the sender cancels it');
is($queue->row($taken)->{reference}, 'CANCELED', 'nor when he cancels');
is($sender->value('SELECT upper(NULL)'), 'run as sender', 'his search_path is what it was');
$keeper->run('DROP TRIGGER fill ON pnvs_internal.queue');
$_->close for $sender, $keeper;

# --- a worker in the way

$queue->configure('pnvs.worker' => undef);
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
