# doc/recipes.md: its SQL runs and does what the page says.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Document;

my $SERVICE = 'FA00000000000001';

my $page = Pnvs::Document->read('doc/recipes.md');

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

# pg_cron's function, as far as the recipes need it.
$page->start(prepare => <<'SQL');
CREATE SCHEMA cron;
CREATE TABLE cron.job (job_name text, schedule text, command text);
GRANT INSERT ON cron.job TO PUBLIC;
CREATE FUNCTION cron.schedule(job_name text, schedule text, command text) RETURNS void
LANGUAGE sql AS $$ INSERT INTO cron.job VALUES (job_name, schedule, command) $$;
SQL
$page->run_blocks;
check_trigger();
check_job();
check_lookup();
done_testing();
