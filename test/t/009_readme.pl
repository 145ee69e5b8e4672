# What the README says: every block of SQL runs, in its order, and gives the output that
# is shown.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Document;

my $SERVICE = 'FA00000000000001';
my $UUID = qr/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/;

my $page = Pnvs::Document->read('README.md');

# --- what the examples are for; called while the extension is still there

sub before_drop
{
	check_privileges();
	check_trigger();
	check_job();
	check_lookup();
	check_sign_up_limits();
	check_sign_up_refusals();
	check_sign_up_doubts();
	return;
}

# The privileges are there, and do what the README says of each role.
sub check_privileges
{
	my ($watching) = $page->{text} =~ /^### Watching it\n(.*?)^## /ms;
	my @query = grep { /verification_queue/ } $watching =~ /^(SELECT .*?;)$/msg;
	my $all = $page->sql('SELECT count(*) FROM pnvs.verification_queue');
	my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';

	cmp_ok($all, '>', 0, 'there are rows of the queue');
	cmp_ok(scalar @query, '>=', 3, 'the README has queries to watch the queue');
	is(($page->psql($_, 'monitor'))[1], '', 'the monitor may watch the queue') for @query;
	like(($page->psql('SELECT recipient FROM pnvs.verification_queue', 'monitor'))[1],
		qr/permission denied/, 'the monitor does not see numbers');
	like(($page->psql('SELECT count(*) FROM pnvs.verification_queue', 'support'))[0],
		qr/^ +$all$/m, 'support sees all rows of the queue');
	like(($page->psql('SELECT count(*) FROM pnvs.verification_queue', 'sender'))[0],
		qr/^ +0$/m, 'the sender does not see those of others');
	like(($page->psql('SELECT id FROM pnvs.verification_queue FOR UPDATE', 'support'))[1],
		qr/permission denied for view/, 'support changes nothing');
	like(($page->psql('BEGIN; LOCK TABLE pnvs.verification_queue IN ROW EXCLUSIVE MODE', 'support'))[1],
		qr/permission denied for view/, 'nor does it lock anything');
	like(($page->psql('SELECT id FROM pnvs_internal.queue', 'support'))[1],
		qr/permission denied for schema/, 'and it does not reach the table');
	is(($page->psql("SELECT count(*) FROM pnvs.verification_queue WHERE requested_by = 'sender'", 'sender'))[1],
		'', 'a role can be asked for by its name');

	$page->{node}->command_ok([ 'pg_dump', '-f', $dump, $page->{node}->connstr('page') ], 'the database can be dumped');
	like(PostgreSQL::Test::Utils::slurp_file($dump), qr/GRANT SELECT ON TABLE pnvs_internal\.queue TO support/,
		'a dump has the privileges');
	return;
}

sub check_trigger
{
	$page->{service}->mark;
	is( $page->sql(<<'SQL'), "t\nt", 'RETURNING does not see what the trigger writes');
INSERT INTO member (phone) VALUES ('+62 811 000 0001'), ('+62 811 000 0002')
RETURNING verification_id IS NULL
SQL
	is($page->{service}->count('sent'), 2, 'the trigger sends a code to each new member');
	is($page->sql('SELECT count(verification_id) FROM member'),
		2, 'the trigger keeps the verification IDs');
	return;
}

# Runs the job with other settings, as its role; an error's text.
sub run_job
{
	my ($settings) = @_;
	my $job = $page->sql(q{SELECT command FROM cron.job WHERE job_name = 'send-waiting'});

	return ($page->psql("$settings;\n$job", 'job'))[1];
}

# Has the job send to two numbers, the second of them as the service is set to
# answer; what becomes of the second.
sub failure_of
{
	my ($what, $service_sid, $number) = @_;

	$page->{service}->mark;
	$page->sql("INSERT INTO waiting (phone) VALUES ('$number'), ('62811000009')");
	is(run_job("SET pnvs.service_sid = '$service_sid'"), '', "$what: the job goes on");
	return $page->sql(
		"SELECT failure FROM waiting WHERE phone = '$number' AND verification_id IS NULL");
}

sub check_job
{
	$page->{service}->mark;
	$page->psql("INSERT INTO waiting (phone) VALUES ('62811000003'), ('62811000004')");
	is(run_job("SET pnvs.service_sid = '$SERVICE'"), '', 'the job runs') for 1 .. 2;
	is($page->{service}->count('sent'), 2, 'the job sends one message for each waiting row');
	is($page->sql('SELECT count(verification_id) FROM waiting'),
		2, 'the job keeps the verification IDs');

	is(failure_of('a bad number', $SERVICE, '0811'), '22023: invalid phone number',
		'a bad number is kept as the failure of its row');
	is($page->{service}->count('sent'), 1, 'the row behind it is sent');
	like(failure_of('a refusal', 'sim:first:1:code:COUNTRY_BLACKLISTED:200', '62811000005'),
		qr/^38V04: .*COUNTRY_BLACKLISTED$/, 'a refusal is kept as the failure of its row');
	like(failure_of('a bad key', 'sim:first:1:code:Forbidden.RAM:403', '62811000006'),
		qr/^38V05: .*Forbidden\.RAM$/, 'a bad key is kept as the failure of its row');

	$page->sql("INSERT INTO waiting (phone) VALUES ('62811000007')");
	$page->psql("ALTER ROLE job SET pnvs.endpoint = '" . $page->{service}->endpoint('refused') . "'");
	is($page->{node}->psql('page', 'CALL public.send_waiting()', extra_params => [ '-U', 'job' ]),
		0, 'an unreachable service: the job goes on');
	$page->psql('ALTER ROLE job RESET pnvs.endpoint');
	like($page->sql("SELECT failure FROM waiting WHERE phone = '62811000007'"),
		qr/^38V01: could not connect/, 'an unreachable service is kept as the failure of its row');
	return;
}

# A row whose message may have been sent, and what finds it.
sub check_lookup
{
	my ($lookup) = $page->{text} =~ /^(SELECT w\.id,.*?;)$/ms;
	my $claimed = "phone = '62811000008' AND claimed_at IS NOT NULL";

	$page->sql("INSERT INTO waiting (phone) VALUES ('62811000008')");
	like(run_job("SET pnvs.service_sid = 'sim-start:close'"),
		qr/lost the connection/, 'a lost reply ends the job');
	is($page->sql("SELECT count(*) FROM waiting
			WHERE $claimed AND verification_id IS NULL AND failure IS NULL"),
		1, 'a row whose message may have been sent stays claimed');
	$page->{service}->mark;
	is(run_job("SET pnvs.service_sid = '$SERVICE'"), '', 'the next run goes on');
	is($page->{service}->count('sent'), 0, 'the next run does not send it again');

	$page->sql("UPDATE waiting SET claimed_at = claimed_at - interval '61 seconds'
		WHERE $claimed; UPDATE waiting SET claimed_at = claimed_at - interval '2 minutes'
		WHERE phone <> '62811000008'");
	like($page->sql("SET pnvs.service_sid = 'sim-start:close'; $lookup"),
		qr/\A\d+\|[^|]+\|pending\|[^\n]+\z/, 'the look-up finds that row, its message and no other');
	return;
}

sub check_sign_up_limits
{
	like(($page->psql("SELECT signup.start('+62 812-3456-7890')", 'web'))[1],
		qr/wait a minute/, 'sign-up sends one message a minute to a number');
	like(($page->psql('TABLE signup.attempt', 'web'))[1],
		qr/permission denied/, 'the web role cannot read the table of sign-up');
	like(($page->psql("SELECT pnvs.start_verification('SMS', '6281234567890')", 'web'))[1],
		qr/permission denied/, 'the web role cannot send by itself');
	return;
}

# A service that refuses must not lock anybody out.
sub check_sign_up_refusals
{
	my ($attempt, $code);
	my $checks = sub { $page->sql("SELECT checks FROM signup.attempt WHERE id = '$attempt'") };
	my $confirm = sub {
		my ($service_sid, $typed) = @_;

		return $page->psql("SET pnvs.service_sid = '$service_sid'; \\t on\n"
			  . "SELECT signup.confirm('$attempt', '$typed')", 'web');
	};

	($attempt) = ($page->psql("SELECT signup.start('62812000001')", 'web'))[0] =~ /($UUID)/;
	$code = ($page->{service}->events('sent'))[-1]{code};
	for my $refusal ('throttled:1000', 'code:SignatureDoesNotMatch:400', 'code:InternalError:500')
	{
		like(($confirm->("sim-check:$refusal", $code))[1],
			qr/refused CheckVerification/, "$refusal: a refusal is an ERROR of sign-up");
	}
	is($checks->(), 0, 'a refusal is no attempt');
	like(($confirm->($SERVICE, 'x'))[0], qr/^ f$/m, 'a wrong code is false');
	is($checks->(), 1, 'a wrong code counts');
	like(($confirm->($SERVICE, 'a/b'))[0], qr/^ f$/m, 'what cannot be a code is false');
	is($checks->(), 2, 'what cannot be a code counts, too');
	like(($confirm->($SERVICE, $code))[0], qr/^ t$/m, 'the right code is taken after refusals');

	return;
}

# What may have been sent counts, however it ended, and nothing is sent again soon.
sub check_sign_up_doubts
{
	my $start = sub {
		my ($service_sid, $phone) = @_;

		return $page->psql("\\pset null none\nSET pnvs.service_sid = '$service_sid'; SET pnvs.request_timeout = '500ms';"
			  . "SELECT signup.start('$phone')", 'web');
	};
	my %phone = ('sim-start:slow:1000' => '62812000002', 'sim-start:close' => '62812000003', 'sim-start:nomodel' => '62812000004');

	for my $service_sid (sort keys %phone)
	{
		$page->{service}->mark;
		like(($start->($service_sid, $phone{$service_sid}))[0], qr/^ none$/m, "$service_sid: sign-up gives nothing to confirm");
		like(($start->($service_sid, $phone{$service_sid}))[1], qr/wait a minute/, "$service_sid: and sends no second message soon");
		is($page->{service}->count('request'), 1, "$service_sid: the service gets one request");
		is($page->sql("SELECT signup.confirm(id, 'x') FROM signup.attempt WHERE phone = '$phone{$service_sid}'"), 'f',
			"$service_sid: no code fits");
	}
	return;
}

# pg_cron's function, as far as the example needs it.
$page->start(prepare => <<'SQL');
CREATE SCHEMA cron;
CREATE TABLE cron.job (job_name text, schedule text, command text);
GRANT INSERT ON cron.job TO PUBLIC;
CREATE FUNCTION cron.schedule(job_name text, schedule text, command text) RETURNS void
LANGUAGE sql AS $$ INSERT INTO cron.job VALUES (job_name, schedule, command) $$;
SQL
cmp_ok($page->run_blocks(before => [ qr/DROP EXTENSION/, \&before_drop ]), '>=', 10, 'the README has blocks of SQL');
done_testing();
