# pg_upgrade: nothing is sent while it runs, grants and rows come through, and what
# was queued goes out from the new cluster once somebody has said that it is the
# successor, and not before.
#
# As in PostgreSQL's own test of it, "oldinstall" can name another installation of
# PostgreSQL, with pnvs, to come from: the prefix that its programs are in "bin" of.

use strict;
use warnings;

use Cwd;
use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(min);
use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Batch;
use Pnvs::Document;
use Pnvs::Rows qw(insert_verification);
use Pnvs::Server;
use Pnvs::Session;
use Pnvs::Simulator;

$PostgreSQL::Test::Utils::timeout_default = min($PostgreSQL::Test::Utils::timeout_default, 60);

my $HOUR = "send_within => '1 hour'";
my $LATER = "not_before => now() + '1 hour'";

my $service = Pnvs::Simulator->new;
my $adopt = Pnvs::Document->captured(qr/^(UPDATE pnvs_internal\.queue\nSET origin_system.*?;)$/ms);
my $again = Pnvs::Document->captured(qr/^(SELECT pnvs\.enqueue_verification\(q\.channel.*?;)$/ms);

# Here the extension is in another schema than there.
$again =~ s/\bpnvs\./public./g;

# Both clusters are set up alike.
my %CLUSTER = (
	preload => 'shared_preload_libraries',
	conf => "restart_after_crash = on\npnvs.request_timeout = 30000\npnvs.scan_interval = 1\n",
);

# Starts a server as pg_upgrade does, and stops it again; what runs between gets a
# session.
sub in_binary_upgrade
{
	my ($node, $between) = @_;
	my @pg_ctl = ('pg_ctl', '-w', '-D', $node->data_dir, '-l', $node->logfile);
	my $session;

	PostgreSQL::Test::Utils::system_or_bail(@pg_ctl, '-o', '-b', 'start');
	$session = Pnvs::Session->new($node);
	$between->($session);
	$session->close;
	PostgreSQL::Test::Utils::system_or_bail(@pg_ctl, '-m', 'fast', 'stop');
	return;
}

# Stops the worker for good, with what is under way.
sub rest
{
	my ($server, $session) = @_;

	$server->configure($session, 'pnvs.worker' => 'off');
	Pnvs::Simulator::wait_until('the workers have left', sub { !$server->background($session, 'pnvs worker') });
	return;
}

# Lets there be workers again once the server starts: whoever still runs may read its settings
# late, and must not read this.
sub let_work
{
	my ($node) = @_;

	$node->adjust_conf('postgresql.auto.conf', 'pnvs.worker', undef);
	return;
}

# What roles may do with what belongs to the extension, and what its rows look like
# to them.
sub privileges
{
	my ($session) = @_;

	my $lines = join "\n", $session->run(<<'SQL')->column('line');
WITH member AS (SELECT classid, objid FROM pg_depend
	WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
	AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pnvs'))
SELECT 'routine ' || p.oid::regprocedure || ' ' ||
	CASE WHEN has_function_privilege('public', p.oid, 'EXECUTE') THEN 'for everybody' ELSE proacl::text END AS line
FROM pg_proc p JOIN member m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
UNION ALL
SELECT 'relation ' || c.oid::regclass || ' ' || coalesce(relacl::text, '') || ' ' || relrowsecurity
FROM pg_class c JOIN member m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
UNION ALL
SELECT 'column ' || attname || ' ' || attacl::text
FROM pg_attribute JOIN member m ON m.classid = 'pg_class'::regclass AND m.objid = attrelid WHERE attacl IS NOT NULL
UNION ALL
SELECT 'schema ' || nspname || ' ' || nspacl::text
FROM pg_namespace n JOIN member m ON m.classid = 'pg_namespace'::regclass AND m.objid = n.oid
UNION ALL
SELECT 'type ' || t.oid::regtype || ' ' || typacl::text
FROM pg_type t JOIN member m ON m.classid = 'pg_type'::regclass AND m.objid = t.oid
WHERE typarray <> 0 AND typrelid NOT IN (SELECT oid FROM pg_class WHERE relkind <> 'c')
UNION ALL
SELECT 'initially ' || i.classoid::regclass || ' ' || i.objsubid || ' ' || initprivs::text || ' ' ||
	pg_describe_object(i.classoid, i.objoid, i.objsubid)
FROM pg_init_privs i JOIN member m ON m.classid = i.classoid AND m.objid = i.objoid
WHERE i.classoid <> 'pg_proc'::regclass OR NOT has_function_privilege('public', i.objoid, 'EXECUTE')
ORDER BY 1
SQL

	# What everybody may call has PostgreSQL's default privileges: an upgrade leaves them unwritten.

	# A table's owner has MAINTAIN, too, since PostgreSQL 17.
	return $lines =~ s/arwdDxtm/arwdDxt/gr;
}

sub dump_of
{
	my ($node, $dbname) = @_;
	my ($stdout, $stderr) = run_command([ 'pg_dump', $node->connstr($dbname) ]);

	is($stderr, '', "$dbname can be dumped");
	return $stdout =~ s/^(?:\\(?:un)?restrict|-- Dumped from) .*\n//gmr;
}

# --- a server that runs for an upgrade

{
	my $server = Pnvs::Server->new($service, 'paused', %CLUSTER);
	my $session = $server->connect;
	my ($due, $new);

	rest($server, $session);
	$due = Pnvs::Batch->enqueue($session, 'FA1', 3, $HOUR);
	$session->close;
	$server->node->stop;
	let_work($server->node);

	$server->mark_log;
	in_binary_upgrade($server->node, sub {
			my ($session) = @_;

			is($session->value("SELECT current_setting('shared_preload_libraries') || ' ' || current_setting('pnvs.worker')"),
				'pnvs on', 'a server runs for an upgrade, with the library and its worker switched on');
			$new = Pnvs::Batch->enqueue($session, 'FA1', 2, $HOUR);
			Pnvs::Simulator::wait_until('a launcher would long be there, and again after an end',
				sub { $session->value("SELECT clock_timestamp() > pg_postmaster_start_time() + '3 seconds'") eq 't' });
			is($session->value("SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pnvs %'"), 0,
				'no launcher and no worker run for an upgrade');
			is($due->states($session), 'queued=3', 'what is due stays queued');
			is($new->states($session), 'queued=2', 'and so does what is queued meanwhile');
	});
	is($service->count('request'), 0, 'nothing is sent, nor looked up');
	# The session may still be about to end when the server is.
	is($server->complaints(qr/terminating connection due to administrator command/), '', 'and nothing is in the log');

	$server->node->start;
	$session = $server->connect;
	is($due->wait_for($session, 'sent=3'), 'sent=3', 'what was due is sent once the server runs as usual');
	is($new->wait_for($session, 'sent=2'), 'sent=2', 'and so is what was queued meanwhile');
	is($_->most_requests($service), 1, 'each once') for $due, $new;
	$session->close;
	$server->node->stop;
}

# --- pg_upgrade

my $old = Pnvs::Server->around($service->init_node('old', %CLUSTER, install => $ENV{oldinstall}));
my $new = Pnvs::Server->around($service->init_node('new', %CLUSTER));
my (%batch, %privileges, %dump, %last_id, %verification, %key, @caller);

# The databases: "adopted" is told that it is the successor, "forgotten" is not.
my @DATABASE = qw(adopted forgotten);

# Of an account in each.
my %PHONE = (adopted => '6281290000001', forgotten => '6281290000002');

sub fill_old
{
	my $session;

	$old->node->start;
	$session = $old->connect;
	$session->run('CREATE ROLE sender; CREATE ROLE support; CREATE ROLE monitor');
	for my $dbname (@DATABASE)
	{
		my $there;

		$session->run("CREATE DATABASE $dbname");
		$there = $old->connect($dbname);
		$there->run('CREATE EXTENSION pnvs');
		grant($there);
		$there->run('CREATE TABLE account (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, phone text NOT NULL)');
		$there->run('CREATE TRIGGER send_code AFTER INSERT OR UPDATE ON account '
			  . "FOR EACH ROW EXECUTE FUNCTION enqueue_verification_trigger('SMS', 'phone', 'FA1', 'id')");
		$batch{$dbname}{settled} = Pnvs::Batch->enqueue($there, 'FA1', 3);
		$batch{$dbname}{settled}->wait_for($there, 'sent=3');
		$batch{$dbname}{unknown} = Pnvs::Batch->enqueue($there, 'sim-start:hang', 2);
		$batch{$dbname}{unknown}->wait_until_requested($service);
		$there->close;
	}

	# What is under way when the worker leaves is of unknown fate.
	rest($old, $session);
	for my $dbname (@DATABASE)
	{
		my $there = $old->connect($dbname);

		is($batch{$dbname}{unknown}->states($there), 'unknown=2', "old $dbname: some are of unknown fate");
		queue_up($dbname, $there);
		$verification{$dbname} = verify($there);
		$key{$dbname} = hash_key($there);
		$privileges{$dbname} = privileges($there);
		$dump{$dbname} = dump_of($old->node, $dbname);
		$there->close;
	}
	$session->close;

	# The sessions with calls under way end by this, and leave them as they are.
	$old->node->stop('fast');
	let_work($old->node);
	@caller = ();
	return;
}

# Rights such as the documents give.
sub grant
{
	my ($there) = @_;

	$there->run(<<'SQL');
GRANT USAGE ON SCHEMA public TO sender, support, monitor;
GRANT EXECUTE ON FUNCTION start_verification, enqueue_verification, cancel_verification, await_verification TO sender;
GRANT SELECT ON verification_queue TO sender, support;
GRANT SELECT ON pnvs_internal.queue TO support, monitor;
GRANT SELECT (id, state, code) ON verification_queue TO monitor;
GRANT USAGE ON TYPE start_verification_result TO support;
SQL
	return;
}

# What is due, what is for later, and what is under way at the end.
sub queue_up
{
	my ($dbname, $there) = @_;
	my $caller = $old->connect($dbname);
	my $own = $batch{$dbname};

	# The procedure looks up what it finds, so that has to wait.
	$there->run("UPDATE pnvs_internal.queue SET not_before = now() + '1 hour' WHERE " . $own->{unknown}->where);
	$own->{sending} = Pnvs::Batch->enqueue($there, 'sim-start:hang', 2);
	$caller->send('CALL process_verification_queue()');
	$own->{sending}->wait_until_requested($service);
	push @caller, $caller;
	$there->run("UPDATE pnvs_internal.queue SET not_before = now() WHERE " . $own->{unknown}->where);

	# The caller's window has room: what is due would be claimed where it looks again.
	$own->{due} = Pnvs::Batch->enqueue($there, 'FA1', 3, "not_before => now() + '20 minutes', $HOUR");
	$there->run('SET ROLE sender');
	$own->{later} = Pnvs::Batch->enqueue($there, 'FA1', 2, $LATER);
	$there->run('RESET ROLE');
	$there->run("BEGIN; INSERT INTO account (phone) VALUES ('$PHONE{$dbname}'); UPDATE pnvs_internal.queue "
		  . "SET not_before = now() + '20 minutes', send_before = now() + '1 hour' WHERE reference = '1'; COMMIT");
	$last_id{$dbname} = $there->value('SELECT max(id) FROM verification_queue');
	return;
}

# Verifications in the states that one can go on from, and one that has ended; the IDs.
sub verify
{
	my ($there) = @_;
	my @approved = (approved_at => 'clock_timestamp()', approved_code => 1);

	return {
		pending => insert_verification($there),
		approved => insert_verification($there, state => q{'approved'}, @approved),
		used => insert_verification($there, state => q{'used'}, recipient => q{'6281234****90'}, used_at => 'now()', ended_at => 'now()', @approved) };
}

sub hash_key { return $_[0]->value('SELECT key FROM pnvs_internal.hash_key'); }

sub upgrade
{
	my (@option) = @_;
	my $cwd = Cwd::getcwd();

	# It leaves files where it is run.
	chdir PostgreSQL::Test::Utils::tempdir() or die "could not change the folder: $!";
	$new->node->command_ok([
		'pg_upgrade', '--no-sync', @option,
		'--old-datadir' => $old->node->data_dir, '--new-datadir' => $new->node->data_dir,
		'--old-bindir' => $old->node->config_data('--bindir'),
		'--new-bindir' => $new->node->config_data('--bindir'),
		'--old-port' => $old->node->port, '--new-port' => $new->node->port,
		'--socketdir' => $new->node->host,
	], "pg_upgrade @option");
	chdir $cwd or die "could not change the folder: $!";
	return;
}

# Makes rows due now.
sub fall_due
{
	my ($there, $batch) = @_;

	$there->run('UPDATE pnvs_internal.queue SET not_before = now() WHERE ' . $batch->where);
	return;
}

# Runs what the documents say of it; how many rows it adopts.
sub adopt
{
	my ($there) = @_;

	return scalar $there->run(($adopt =~ s/;\z//r) . ' RETURNING id')->rows;
}

# What a row says of itself.
my $FATE = "concat_ws(' ', state, code)";

fill_old();
$service->mark;
upgrade('--check');
upgrade();
is($service->count('request'), 0, 'pg_upgrade: nothing is sent, nor looked up');
$service->unmark;

# The new cluster, before its worker may begin.
$new->node->append_conf('postgresql.conf', "pnvs.worker = off\n");
$new->node->start;
for my $dbname (@DATABASE)
{
	my $there = $new->connect($dbname);
	my $own = $batch{$dbname};

	is($own->{settled}->states($there, $FATE), 'sent OK=3', "new $dbname: what was settled is there");
	is($own->{unknown}->states($there, $FATE), 'unknown Local.Interrupted=2', "new $dbname: what was of unknown fate is there");
	is($own->{sending}->states($there), 'sending=2', "new $dbname: what was under way in a session is there");
	is($own->{due}->states($there), 'queued=3', "new $dbname: what was queued is there");
	is($own->{later}->states($there), 'queued=2', "new $dbname: what was for later is there");
	is(privileges($there), $privileges{$dbname}, "new $dbname: privileges are as they were");
	is(dump_of($new->node, $dbname), $dump{$dbname}, "new $dbname: a dump is what it was");
	is(join(' ', map { $there->value("SELECT state FROM phone_verification_status('$verification{$dbname}{$_}')") } qw(pending approved used)),
		'canceled canceled used', "new $dbname: verifications that were under way are canceled");
	is($there->value("SELECT use_verification('$verification{$dbname}{approved}')"), undef, "new $dbname: an approval cannot be used");
	is(hash_key($there), $key{$dbname}, "new $dbname: the key of the hashes is the same");

	$there->run('SET ROLE sender');
	is($there->value('SELECT count(*) FROM verification_queue'), 2, "new $dbname: a role sees its own rows");
	$there->run('SET ROLE support');
	is($there->value('SELECT count(*) FROM verification_queue'), 13, "new $dbname: a role with SELECT on the table sees all");
	$there->run('SET ROLE monitor');
	is($there->value('SELECT count(id) FROM verification_queue'), 13, "new $dbname: so does one with some columns");
	is($there->query('SELECT recipient FROM verification_queue')->sqlstate, '42501', "new $dbname: which sees no numbers");
	is($there->query('SELECT id FROM pnvs_internal.queue')->sqlstate, '42501', "new $dbname: does not reach the table");
	is($there->query("SELECT enqueue_verification('SMS', '6281600000001', 'FA1')")->sqlstate, '42501', "new $dbname: and may not send");
	$there->run('RESET ROLE');
	is((Pnvs::Batch->enqueue($there, 'FA1', 1, $LATER)->ids)[0], $last_id{$dbname} + 1, "new $dbname: no ID is given twice");
	$there->close;
}

# The worst that can happen: somebody starts the old one, and it goes on sending.
{
	my $there;

	$old->node->start;
	$there = $old->connect('adopted');
	fall_due($there, $batch{adopted}{due});
	is($batch{adopted}{due}->wait_for($there, 'sent=3'), 'sent=3', 'the old cluster sends, where it is started again');
	$there->close;
	$old->node->stop;
}

# One database is told, in time, that it is the successor; then the worker begins.
{
	my $there = $new->connect('adopted');
	my $forgotten = $new->connect('forgotten');
	my $own = $batch{adopted};
	my $lost = $batch{forgotten};

	fall_due($there, $own->{due});
	fall_due($forgotten, $lost->{due});
	$forgotten->run("UPDATE pnvs_internal.queue SET not_before = now() WHERE reference = '1'");
	is(adopt($there), 6, 'the documents have a statement that adopts what is queued');
	is(adopt($there), 0, 'and nothing of its own');
	$new->mark_log;
	$new->configure($there, 'pnvs.worker' => 'on');

	is($own->{due}->wait_for($there, 'sent=3'), 'sent=3', 'adopted: what the old cluster has sent is settled');
	is($own->{due}->states($there, 'message'), 'found by a search=3', 'adopted: it was found by a search');
	is($own->{due}->arrived($service), '3 numbers, at most 1 each', 'adopted: none is doubled');
	is($own->{later}->states($there), 'queued=2', 'adopted: what is for later waits for its time');
	fall_due($there, $own->{later});
	is(Pnvs::Batch->enqueue($there, 'FA1', 1)->wait_for($there, 'sent=1'), 'sent=1', 'adopted: what is queued next is sent');
	is($own->{later}->wait_for($there, 'sent=2'), 'sent=2', 'adopted: and so is what was for later, at its time');
	is($own->{later}->requested($service, 'SearchVerification'), 2, 'adopted: after it was looked up');
	is($own->{later}->most_requests($service), 1, 'adopted: each once');

	is($lost->{due}->wait_for($forgotten, 'canceled Local.ForeignOrigin=3', $FATE), 'canceled Local.ForeignOrigin=3',
		'forgotten: what is queued is canceled when it is due');
	is($lost->{due}->states($forgotten, q{recipient LIKE '%****%'}), 'true=3', 'forgotten: and its numbers are masked');
	is($lost->{due}->requested($service), 0, 'forgotten: nothing of it is sent');
	is($lost->{later}->states($forgotten), 'queued=2', 'forgotten: what is for later is not canceled yet');
	is(adopt($forgotten), 2, 'forgotten: so it can be adopted still');
	fall_due($forgotten, $lost->{later});
	is($lost->{later}->wait_for($forgotten, 'sent=2'), 'sent=2', 'forgotten: and then is sent');

	Pnvs::Simulator::wait_until('the message of the account is canceled',
		sub { $forgotten->value("SELECT code FROM verification_queue WHERE reference = '1'") eq 'Local.ForeignOrigin' });
	is(scalar(my @first = $forgotten->run($again)->rows), 1, 'forgotten: who has the number can queue it again');
	$service->wait_for('sent', to => $PHONE{forgotten});
	$forgotten->run($again);
	Pnvs::Simulator::wait_until('it is settled',
		sub { $forgotten->value("SELECT bool_and(settled_at IS NOT NULL) FROM verification_queue WHERE dedup_key LIKE 'again %'") eq 't' });
	is($forgotten->value("SELECT string_agg(state, ' ') FROM verification_queue WHERE dedup_key LIKE 'again %'"), 'sent',
		'forgotten: no more than once');
	is($service->count('sent', to => $PHONE{forgotten}), 1, 'forgotten: and so it is sent');

	for my $dbname (@DATABASE)
	{
		my $session = $dbname eq 'adopted' ? $there : $forgotten;

		for my $kind (qw(unknown sending))
		{
			is($batch{$dbname}{$kind}->wait_for($session, 'sent=2'), 'sent=2', "$dbname: what was $kind is found by a search");
			is($batch{$dbname}{$kind}->states($session, 'unknown_since IS NOT NULL'), 'true=2', "$dbname: it was unknown before ($kind)");
		}
		cmp_ok($_->most_requests($service), "<=", 1, "$dbname: nothing is sent twice") for grep { ref ne 'ARRAY' } values %{ $batch{$dbname} };
	}
	is($new->complaints, '', 'nothing of it is in the log');
}
$new->node->stop;

done_testing();
