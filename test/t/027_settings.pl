# Settings that are not valid stop all sending until they are put right; what a queued
# message is sent with is the server's; and no statement that sets something of pnvs, or
# loads the library, leaves its literals in the log.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Queue;
use Pnvs::Session;
use Pnvs::Simulator;

my $REQUEST_MS = 400;

my $service = Pnvs::Simulator->new;
my $queue = Pnvs::Queue->new($service, 'settings', conf => "include_if_exists = 'changing.conf'\n");
my $node = $queue->node;
my $session = $queue->session;

sub write_conf
{
	my (@line) = @_;
	my $file = $node->data_dir . '/changing.conf';

	open(my $out, '>', $file) or die "$file: $!";
	print $out map { "$_\n" } @line;
	close($out);
	return;
}

# Reloads with these lines behind all others; both sessions and postmaster have read them.
sub reload_with
{
	my (@line) = @_;
	my $before = $session->value('SELECT pg_conf_load_time()::text');

	write_conf(@line);
	$node->reload;
	Pnvs::Simulator::wait_until('the session has read the configuration',
		sub { $session->value('SELECT pg_conf_load_time()::text') ne $before });
	return;
}

# Restarts with these lines behind all others.
sub restart_with
{
	my (@line) = @_;

	write_conf(@line);
	$session->close;
	$node->stop;
	$node->start;
	$session = $queue->{session} = Pnvs::Session->new($node);
	return;
}

sub call { return $_[0]->query("SELECT * FROM start_verification('SMS', '6281355500001', 'FA1')"); }
sub told { my ($name, $since) = @_; return $queue->logged(qr/WARNING:  pnvs sends nothing while [^\n]*"\Q$name\E"/, $since); }

# --- every setting, at a reload

my %bad = (
	access_key_id => '(none)',
	access_key_secret => 'with space',
	security_token => '********',
	endpoint => '127.0.0.1:56190',
	ca_file => 'ca.pem',
	proxy => 'http://user:hunter2@127.0.0.1:9',
	connect_timeout => 'soon',
	request_timeout => '11min',
	service_sid => 'FA 1',
	on_failure => 'raise',
	expose_verify_code => 'perhaps',
	worker => 'disabled',
	worker_idle_timeout => '-1',
	max_in_flight => '1O',
	scan_interval => '0s',
	max_databases => 'many',
	notify => 'never',
	max_attempts => 'ten',
	retention => '30 days',
	reconcile_for => '2d',
	after_promotion => 'wait',
	sending => 'perhaps',
	channels => 'SMS, FAX',
	limits => 'number 1/30s, total 5/eon',
	limits_mode => 'watch',
	countries => 'ID UK',
	breaker => 'country 50/eon 20% 1h',
	test_numbers => '6590000001=123456',
	guard_memory => 'lots',
	max_tries => '21');

is_deeply([ map { "pnvs.$_" } sort keys %bad ],
	[ $session->run(q(SELECT name FROM pg_settings WHERE name LIKE 'pnvs.%' ORDER BY name COLLATE "C"))->column('name') ],
	'no setting is left out here');

# What a version that takes the default asks goes nowhere.
my $NOWHERE = "pnvs.proxy = 'http://127.0.0.1:9'";

$service->mark;
for my $name (sort grep { !/\A(?:max_databases|guard_memory)\z/ } keys %bad)
{
	my $value = $bad{$name};
	my $since = $queue->log_end;

	reload_with($NOWHERE, "pnvs.$name = '$value'");
	my $result = call($session);

	is($result->sqlstate, '22023', "a reload with a bad $name stops calls");
	like($result->message, qr/"pnvs\.$name"/, 'and the error names it');
	unlike(join(' ', map { $result->{error}{$_} // '' } qw(M D H)), qr/\Q$value\E/, 'but not its value');
	is($session->value("SHOW pnvs.$name"), '(not valid)', 'SHOW says so');
	ok($queue->soon(sub { told("pnvs.$name", $since) }), 'so does the log');
}
reload_with($NOWHERE, "pnvs.endpont = '" . $service->endpoint . "'");
like(call($session)->message, qr/no parameter "pnvs\.endpont"/, 'a reload with a mistyped name stops calls, and says which');
like(call(Pnvs::Session->new($node))->message, qr/"pnvs\.endpont"/, 'those of a new session, too');
is($service->count, 0, 'nobody has asked the service');
reload_with("pnvs.security_token = 'tokenNeedle'");
is($session->value('SHOW pnvs.security_token'), '********', 'a token is there after a reload');
reload_with();
is(call($session)->row->{success}, 't', 'once it is right, calls go out');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/hunter2|with space|tokenNeedle/,
	'the log has none of the values that were refused, nor a secret that was none before');

# --- the queue waits meanwhile

reload_with("pnvs.worker = 'disabled'");
my $id = $queue->enqueue('FA1');
my $PLACE = "SELECT ctid FROM pnvs_internal.queue WHERE id = $id";
my $place = $session->value($PLACE);
is($session->query('CALL process_verification_queue()')->sqlstate, '22023', 'the procedure is refused');
my @worker = $queue->workers;
$session->run("SELECT pg_terminate_backend($_)") for @worker;
Pnvs::Simulator::wait_until('another worker has looked at the queue', sub {
	my ($pid) = $session->run(q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'pnvs worker' AND wait_event_type = 'Extension'))->column('pid');

	$pid && !grep { $pid == $_ } @worker;
});
is($queue->row($id)->{state} . $queue->row($id)->{attempts}, 'queued0', 'a queued message waits, and no attempt counts');
is($session->value($PLACE), $place, 'nor is it claimed meanwhile');
reload_with();
is($queue->settled($id)->{state}, 'sent', 'and is sent as soon as the value is right');
is($queue->row($id)->{attempts}, 1, 'at the first attempt');

# A mistyped name that was there at the start: the session that queues need not be told.
my $since = $queue->log_end;
restart_with($NOWHERE, "pnvs.endpont = 'http://127.0.0.1:1'");
like(call($session)->message, qr/"pnvs\.endpont"/, 'a server that starts with a mistyped name sends nothing');
$id = $queue->enqueue('FA1');
ok($queue->soon(sub { told('pnvs.endpont', $since) }), 'and says so in the log');
is($queue->row($id)->{attempts}, 0, 'its queue waits');
reload_with();
is($queue->settled($id)->{state}, 'sent', 'until a reload without it');

# --- at the start

$since = $queue->log_end;
restart_with("pnvs.endpoint = '127.0.0.1:56190'", $NOWHERE);
like(call($session)->message, qr/invalid value for parameter "pnvs\.endpoint"/, 'a server that starts with a bad endpoint sends nothing');
$id = $queue->enqueue('FA1');
like($session->query("SELECT enqueue_verification('SMS', '6281355500002', 'F A')")->message,
	qr/invalid service_sid/, 'arguments are checked all the same');
ok($queue->soon(sub { told('pnvs.endpoint', $since) }), 'the log says so');
is(told('pnvs.endpoint', $since), 1, 'once');
is($queue->row($id)->{state}, 'queued', 'the queue waits');

# A superuser's session may have a good one of its own.
$session->run("SET pnvs.endpoint = '" . $service->endpoint . "'");
$session->run("SET pnvs.proxy = ''");
is(call($session)->row->{success}, 't', 'a session that sets a good value sends');
$session->run('RESET ALL');
reload_with();
is($queue->settled($id)->{state}, 'sent', 'a reload puts it right');

restart_with('pnvs.max_databases = many');
like(call($session)->message, qr/"pnvs\.max_databases"/, 'a bad value of what a restart changes stops calls, too');

# Without a server around it: pg_upgrade and repairs do not fail for it.
my $instrumented = PostgreSQL::Test::Utils::slurp_file('/proc/' . $session->pid . '/maps') =~ /libasan/;
$session->close;
$node->stop;
write_conf("pnvs.endpoint = 'nowhere'", 'pnvs.worker = disabled');
# a sanitizer is put before servers that pg_ctl starts, and the library needs it
if (!$instrumented)
{
	my ($alone, $complaint);

	ok(IPC::Run::run([ 'postgres', '--single', '-D', $node->data_dir, 'postgres' ],
			'<', \"SELECT 40 + 2 AS sum\n", '>', \$alone, '2>', \$complaint), 'single-user mode starts with bad values');
	like($alone, qr/sum = "42"/, 'and answers');
}

# The command line.
write_conf();
PostgreSQL::Test::Utils::system_or_bail('pg_ctl', '-s', '-w', '-D', $node->data_dir, '-l', $node->logfile,
	'-o', '-c pnvs.on_failure=eror -c pnvs.endpont=http://127.0.0.1:1', 'start');
$node->_update_pid(1);
$session = $queue->{session} = Pnvs::Session->new($node);
like(call($session)->message, qr/"pnvs\.on_failure"/, 'a bad value of the command line stops calls');
$session->run('SET pnvs.on_failure = row');
like(call($session)->message, qr/"pnvs\.endpont"/, 'a mistyped name of the command line, too');
$session->close;
$node->stop;
$node->start;
$session = $queue->{session} = Pnvs::Session->new($node);

# A client that asks for a bad value has no session, as ever.
is(eval { Pnvs::Session->new($node, options => '-c pnvs.request_timeout=soon'); 1 }, undef,
	'a bad value of the connection is refused');

# Parallel workers take over what is not valid, and nobody asks them to send.
reload_with("pnvs.endpoint = 'nowhere'");
$session->run(q(SELECT set_config(name, 'on', false) FROM pg_settings WHERE name IN ('debug_parallel_query', 'force_parallel_mode')));
is($session->value('SELECT count(*) FROM pg_class WHERE oid = 1259'), 1, 'other queries run in parallel meanwhile');
reload_with();

# --- a database's and a role's

$session->run('CREATE ROLE plain LOGIN');
$session->run('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO plain');
$session->run('GRANT EXECUTE ON ALL PROCEDURES IN SCHEMA public TO plain');
$session->run("ALTER DATABASE postgres SET pnvs.request_timeout = '50ms'");
$session->run("SELECT pg_terminate_backend($_)") for $queue->workers;
$id = $queue->enqueue("sim:slow:$REQUEST_MS");
is($queue->soon_settled([$id]), 'sent', 'the worker takes no time-out of the database');

reload_with("pnvs.worker = off");
Pnvs::Simulator::wait_until('the worker has left', sub { !$queue->workers });
my $plain = Pnvs::Session->new($node, user => 'plain');
$id = $queue->enqueue("sim:slow:$REQUEST_MS");
$plain->run("SET pnvs.request_timeout = '20ms'");
$plain->run("SET pnvs.connect_timeout = '10ms'");
$plain->run('CALL process_verification_queue()');
is($queue->state($id), 'sent', 'who calls the procedure does not spoil rows by time-outs');
is($plain->query("SELECT * FROM start_verification('SMS', '6281355500003', 'sim:slow:$REQUEST_MS')")->sqlstate,
	'38V02', 'for calls of its own they count');

# The server's own do count.
reload_with('pnvs.worker = off', 'pnvs.request_timeout = 20ms');
$session->run('ALTER DATABASE postgres RESET pnvs.request_timeout');
$id = $queue->enqueue("sim:slow:$REQUEST_MS");
$plain = Pnvs::Session->new($node, user => 'plain');
$plain->run("SET pnvs.request_timeout = '10s'");
$plain->run('CALL process_verification_queue()');
isnt($queue->state($id), 'sent', 'those of the configuration count for the procedure');
reload_with();

# --- secrets: whether they are set can be seen

is(Pnvs::Session->new($node, user => 'plain')->value('SHOW pnvs.access_key_secret'), '********', 'a secret that is set is masked');
is($session->value("SELECT setting FROM pg_settings WHERE name = 'pnvs.security_token'"), '(none)', 'one that is not is shown to be empty');

# --- statements that set something, and fail

my @setting = (
	"ALTER SYSTEM SET pnvs.access_key_secret = '%s'",
	"ALTER SYSTEM SET pnvs.acces_key_secret = '%s'",
	"SET pnvs.access_key_secret = 'with space %s'",
	"SET pnvs.acces_key_secret = '%s'",
	"set local pnvs . acces_key_secret to '%s'",
	"SET PNVS.\"acces_key_secret\" /* so */ = '%s'",
	"ALTER ROLE CURRENT_USER SET pnvs.access_key_secret = '%s'",
	"ALTER ROLE CURRENT_USER IN DATABASE postgres SET pnvs.acces_key_secret = '%s'",
	"ALTER DATABASE postgres SET pnvs.acces_key_secret = '%s'",
	"CREATE FUNCTION f() RETURNS integer LANGUAGE sql SET pnvs.acces_key_secret = '%s' AS 'SELECT 1'",
	"ALTER FUNCTION g() SET pnvs.acces_key_secret = '%s'",
	"SELECT set_config('pnvs.acces_key_secret', '%s', false)",
	"DO \$\$ BEGIN PERFORM set_config('pnvs.acces_key_secret', '%s', false); END \$\$",
	"DO \$\$ DECLARE t text; BEGIN t := set_config('pnvs.acces_key_secret', '%s', false); END \$\$",
	"DO \$\$ BEGIN EXECUTE 'SET pnvs.acces_key_secret = ''%s'''; END \$\$",
	"SET pnvs.on_failure = row; SET pnvs.service_sid = '%s'; SELECT 1 / (random() * 0)::integer");
my @of_others = (
	"SET pnvs.access_key_secret = '%s'",
	"SELECT set_config('pnvs.access_key_secret', '%s', false)",
	"ALTER ROLE plain SET pnvs.access_key_secret = '%s'",
	"ALTER SYSTEM SET pnvs.access_key_secret = '%s'");

sub fails_unseen
{
	my ($what, $on, $log, @statement) = @_;
	my $needle = 0;

	for my $statement (@statement)
	{
		my $secret = sprintf 'needle%dof%s', ++$needle, $what =~ tr/a-z//cdr;

		ok($on->query(sprintf $statement, $secret)->failed, "$what: this fails: $statement");
		unlike(PostgreSQL::Test::Utils::slurp_file($log), qr/$secret/, 'and the log does not have its literals');
	}
	$on->query("SELECT 'control $what'::integer");
	like(PostgreSQL::Test::Utils::slurp_file($log), qr/STATEMENT: .*control $what/, "$what: it has those of others");
	return;
}

$session->run('CREATE FUNCTION g() RETURNS integer LANGUAGE sql RETURN 1');
fails_unseen('preloaded', $session, $node->logfile, @setting);
fails_unseen('preloaded for others', $plain, $node->logfile, @of_others);
is($session->value('SELECT count(*) FROM pg_db_role_setting'), 0, 'nothing is stored');

# --- a session in which the library is not there yet

my $NUMBER = '6281355598765';
my $lazy = $service->new_node('lazy', preload => undef, conf => "log_min_error_statement = warning\n");

$lazy->safe_psql('postgres', 'CREATE ROLE plain LOGIN');
$lazy->safe_psql('postgres', 'GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO plain');
for my $role (undef, 'plain')
{
	my $unprepared = Pnvs::Session->new($lazy, user => $role);
	my $result;

	$unprepared->run("SET pnvs.mistyped = 'x'");
	$unprepared->run("SET pnvs.proxy = ''");
	$result = $unprepared->query("DO \$\$ BEGIN PERFORM start_verification('SMS', '$NUMBER', 'FA1'); END \$\$");
	is($result->sqlstate, '', 'a call that loads the library works');
	cmp_ok(scalar(grep { $_->{S} eq 'WARNING' } $result->notices), '>=', 2, 'it warns');
}
my $log = PostgreSQL::Test::Utils::slurp_file($lazy->logfile);
like($log, qr/WARNING: +every role can read/, 'the log has the warning');
like($log, qr/WARNING: +permission denied to set parameter "pnvs\.proxy"/, "and PostgreSQL's own");
unlike($log, qr/$NUMBER/, 'but not the number of the call');

my $loaded = Pnvs::Session->new($lazy);
$loaded->run("LOAD 'pnvs'");
$loaded->run('CREATE FUNCTION g() RETURNS integer LANGUAGE sql RETURN 1');
fails_unseen('loaded', $loaded, $lazy->logfile, @setting);

# A database's time-out hides the server's from who loads the library late.
$lazy->safe_psql('postgres', "ALTER DATABASE postgres SET pnvs.request_timeout = '20ms'");
$loaded = Pnvs::Session->new($lazy);
$loaded->run("SELECT enqueue_verification('SMS', '6281355500004', 'sim:slow:$REQUEST_MS')");
$loaded->run('CALL process_verification_queue()');
is($loaded->value("SELECT string_agg(state, ' ') FROM verification_queue"), 'sent',
	'the procedure takes no time-out of the database');

# Names of a file are known to who loads the library late, too.
$lazy->append_conf('postgresql.conf', "pnvs.endpont = 'http://127.0.0.1:1'");
$lazy->reload;
Pnvs::Simulator::wait_until('the server has read it',
	sub { $lazy->safe_psql('postgres', "SELECT current_setting('pnvs.endpont', true)") ne '' });
like(call(Pnvs::Session->new($lazy))->message, qr/"pnvs\.endpont"/, 'a mistyped name of a file stops calls where nothing is preloaded');

$lazy->stop;
$queue->stop;
done_testing();
