# The queue by the real pg_cron, on a server that does not preload pnvs: beside
# other callers no message is sent twice; and a job that fails is recorded so.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Pnvs::Simulator;

my $EXAMPLE = "$FindBin::RealBin/../../examples/pg_cron.sql";
my $ROWS = 300;
my $CALLERS = 2;

my $service = Pnvs::Simulator->new;
my $node = $service->new_node('cron',
	preload => undef,
	conf => <<'CONF');
shared_preload_libraries = 'pg_cron'
cron.database_name = 'postgres'
cron.use_background_workers = on
pnvs.service_sid = 'FA00000000000001'
CONF

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql('CREATE EXTENSION pg_cron');
is(sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pnvs%'}),
	0, 'where the library is not preloaded there is no worker');

my ($output, $error) = ('', '');
is( $node->psql('postgres', slurp_file($EXAMPLE), stdout => \$output, stderr => \$error, on_error_stop => 1),
	0, 'pg_cron.sql runs');
is($error, '', 'pg_cron.sql has nothing to complain of');
like(sql(q{SELECT string_agg(command, ';' ORDER BY jobid) FROM cron.job}),
	qr/\ACALL public\.process_verification_queue\(1000\);SELECT public\.send_to_operator\(\)\z/,
	'both jobs are scheduled');

# A job whose message the service refuses; jobs know nothing of this session's settings.
sql(q{CREATE FUNCTION refused() RETURNS void LANGUAGE sql
	SET pnvs.on_failure = 'error' SET pnvs.service_sid = 'sim:code:InsufficientBalance:200'
	AS $$ SELECT FROM public.start_verification('SMS', '6281299999999') $$;
	SELECT cron.schedule('refused', '* * * * *', 'SELECT public.refused()')});

# pg_cron knows minutes: what is queued right before the next is there for it.
sql(qq{
	SELECT count(enqueue_verification('SMS', (6281300000000 + n)::text, 'sim:slow:20'))
	FROM generate_series(1, $ROWS) AS n});
ok($node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM cron.job_run_details
	WHERE command LIKE 'CALL%' AND status = 'running'
	OR EXISTS (SELECT FROM verification_queue WHERE state = 'sending')}),
	'pg_cron starts to send');

# Two more callers, while pg_cron's is at it.
my @caller = map {
	IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c',
			'CALL process_verification_queue(1000)' ], '>', \my $out, '2>', \my $err)
} 1 .. $CALLERS;
$_->finish for @caller;
is(scalar(grep { $_->result(0) == 0 } @caller), $CALLERS, 'the other callers come to their end');

ok($node->poll_query_until('postgres', qq{SELECT count(*) = $ROWS FROM verification_queue WHERE state = 'sent'}),
	'everything queued is sent');
my %sent;
$sent{ $_->{to} }++ for grep { $_->{to} =~ /^62813000/ } $service->events('sent');
is(scalar keys %sent, $ROWS, 'every message has been accepted');
is(scalar(grep { $_ > 1 } values %sent), 0, 'none has been accepted twice');

ok($node->poll_query_until('postgres', q{SELECT count(DISTINCT jobid) = 3 FROM cron.job_run_details
	WHERE status IN ('succeeded', 'failed')}), 'pg_cron records all three jobs');
is(sql(q{SELECT DISTINCT status FROM cron.job_run_details WHERE command LIKE 'CALL%' AND status <> 'running'}),
	'succeeded', 'the job that sends what is queued has succeeded');
is(sql(q{SELECT DISTINCT status FROM cron.job_run_details WHERE command LIKE '%operator%'}),
	'succeeded', 'the direct job has succeeded');
like(sql(q{SELECT status || ' ' || return_message FROM cron.job_run_details WHERE command LIKE '%refused%' LIMIT 1}),
	qr/\Afailed .*InsufficientBalance/s, 'the refused one has failed, with the reason');

done_testing();
