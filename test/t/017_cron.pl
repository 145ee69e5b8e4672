# The queue by the real pg_cron, on servers that do not preload pnvs: beside other
# callers no message is sent twice; and a job that fails is recorded so.
#
# pg_cron runs jobs in two ways, in background workers and by connections of its
# own.  It knows minutes: the servers' clock is set to the next when all is ready.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Preload;
use Pnvs::Simulator;

my $EXAMPLE = "$FindBin::RealBin/../../examples/pg_cron.sql";
my $SERVICE = 'FA00000000000001';
my $CALLERS = 2;
my $SLOW_MS = 1000;

# Six windows of pnvs.max_in_flight, for a single caller: others find some left.
my $ROWS = 300;

my $scratch = PostgreSQL::Test::Utils::tempdir();
my %clock = (LD_PRELOAD => Pnvs::Preload::build($scratch, 'clock'), PNVS_CLOCK_FILE => "$scratch/ahead");
my $service = Pnvs::Simulator->new;
my %way = (workers => { on => 'on', prefix => '62813' }, connections => { on => 'off', prefix => '62814' });

sub sql
{
	my ($way, $query) = @_;

	return $way{$way}{node}->safe_psql('postgres', $query);
}

sub becomes
{
	my ($way, $query, $sentence) = @_;

	ok($way{$way}{node}->poll_query_until('postgres', $query), "by $way: $sentence");
	return;
}

# A server with pg_cron's and the example's jobs.
sub prepare
{
	my ($way) = @_;
	my ($output, $error) = ('', '');
	# the search_path is for what the test asks itself; the example names the schema
	my $node = $service->init_node("cron_$way", preload => undef, conf => <<"CONF");
shared_preload_libraries = 'pg_cron'
cron.database_name = 'postgres'
cron.use_background_workers = $way{$way}{on}
pnvs.service_sid = '$SERVICE'
search_path = 'public, pnvs'
CONF

	$way{$way}{node} = $node;
	$node->append_conf('postgresql.conf', "cron.host = '" . $node->host . "'");
	{
		local @ENV{ keys %clock } = values %clock;
		$node->start;
	}
	sql($way, 'CREATE SCHEMA pnvs; CREATE EXTENSION pnvs SCHEMA pnvs; CREATE EXTENSION pg_cron');
	is($node->psql('postgres', slurp_file($EXAMPLE), stdout => \$output, stderr => \$error, on_error_stop => 1),
		0, "by $way: pg_cron.sql runs");
	is($error, '', "by $way: pg_cron.sql has nothing to complain of");
	is( sql($way, q{SELECT string_agg(jobname || ' ' || schedule || ' ' || command, ';' ORDER BY jobid) FROM cron.job}),
		'send-queued * * * * * CALL pnvs.process_verification_queue(1000);'
		  . 'send-trial 0 7 * * * SELECT public.send_trial()',
		"by $way: both jobs are scheduled");

	# The trial is not waited for until the morning; and one that the service refuses.
	# Jobs know nothing of this session's settings.
	sql($way, q{SELECT cron.schedule('send-trial', '* * * * *', 'SELECT public.send_trial()');
		CREATE FUNCTION refused() RETURNS void LANGUAGE sql
		SET pnvs.on_failure = 'error' SET pnvs.service_sid = 'sim:code:InsufficientBalance:200'
		AS $$ SELECT FROM pnvs.start_verification('SMS', '6281299999999') $$;
		SELECT cron.schedule('refused', '* * * * *', 'SELECT public.refused()')});
	return;
}

# At one stroke.
sub set_clock_to_next_minute
{
	append_to_file("$scratch/next", 60 - time % 60);
	rename "$scratch/next", "$scratch/ahead" or die "rename: $!";
	return;
}

# Messages that wait for the next minute.
sub enqueue
{
	my ($way) = @_;

	sql($way, qq{
		SELECT count(enqueue_verification('SMS', ($way{$way}{prefix}00000000 + n)::text, 'sim:slow:$SLOW_MS',
			send_within => '10 minutes'))
		FROM generate_series(1, $ROWS) AS n});
	return;
}

# Two more callers, while pg_cron's is at it; all of them find something to send.
sub join_in
{
	my ($way) = @_;
	my $node = $way{$way}{node};

	becomes($way, q{SELECT count(*) > 0 FROM verification_queue WHERE state = 'sending'}, 'pg_cron sends');
	is(sql($way, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pnvs%'}),
		0, "by $way: where the library is not preloaded there is no worker");
	$way{$way}{callers} = [
		map {
			my ($output, $error) = ('', '');

			IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c',
					'CALL process_verification_queue(1000)' ], '>', \$output, '2>', \$error)
		} 1 .. $CALLERS
	];
	becomes($way, 'SELECT count(DISTINCT claimer) = ' . ($CALLERS + 1)
		  . q{ FROM pnvs_internal.queue WHERE state = 'sending'}, 'all callers send at the same time');
	return;
}

sub check_sending
{
	my ($way) = @_;
	my @caller = @{ $way{$way}{callers} };
	my %sent;

	$_->finish for @caller;
	is(scalar(grep { $_->result(0) == 0 } @caller), $CALLERS, "by $way: the other callers come to their end");
	becomes($way, qq{SELECT count(*) = $ROWS FROM verification_queue WHERE state = 'sent' AND attempts = 1},
		'everything queued is sent');
	$sent{ $_->{to} }++ for $service->events('sent', to => qr/^$way{$way}{prefix}/);
	is(scalar keys %sent, $ROWS, "by $way: every message has been accepted");
	is(scalar(grep { $_ > 1 } values %sent), 0, "by $way: none has been accepted twice");
	return;
}

# What cron.job_run_details says of a job's first run.
sub record
{
	my ($way, $job) = @_;

	return sql($way, qq{SELECT d.status || ': ' || d.return_message
		FROM cron.job_run_details AS d JOIN cron.job AS j USING (jobid)
		WHERE j.jobname = '$job' ORDER BY d.runid LIMIT 1});
}

sub check_records
{
	my ($way) = @_;

	becomes($way, q{SELECT count(DISTINCT jobid) = 3 FROM cron.job_run_details
		WHERE status IN ('succeeded', 'failed')}, 'pg_cron records all three jobs');
	like(record($way, 'send-queued'), qr/\Asucceeded/, "by $way: the job that sends what is queued has succeeded");
	like(record($way, 'send-trial'), qr/\Asucceeded/, "by $way: the direct job has succeeded");
	like(record($way, 'refused'), qr/\Afailed: .*InsufficientBalance/s,
		"by $way: the refused one has failed, with the reason");
	unlike(record($way, 'refused'), qr/99999999/, "by $way: the record holds no whole number");
	return;
}

# --- main

my @ways = sort keys %way;
prepare($_) for @ways;
enqueue($_) for @ways;
set_clock_to_next_minute();
join_in($_) for @ways;
check_sending($_) for @ways;
check_records($_) for @ways;

done_testing();
