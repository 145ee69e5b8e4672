# Extensions that log what statements run with do not log the numbers of the queue's own
# statements: auto_explain at its most verbose, and pgaudit with parameters.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Queue;
use Pnvs::Simulator;

my $NUMBER = '6281357924680';

my $service = Pnvs::Simulator->new;
my $queue = Pnvs::Queue->new($service, 'audit', conf => <<'CONF');
shared_preload_libraries = 'pnvs, auto_explain, pgaudit'
auto_explain.log_min_duration = 0
auto_explain.log_analyze = on
auto_explain.log_verbose = on
auto_explain.log_nested_statements = on
pgaudit.log = 'all'
pgaudit.log_parameter = on
pgaudit.log_catalog = off
CONF
my $node = $queue->node;
my $session = $queue->session;

is($session->value('SHOW shared_preload_libraries'), 'pnvs, auto_explain, pgaudit', 'all of them are loaded');

# Drivers send the number as a parameter, which the audit of the session's own statement
# shows: that is what it is for. So it stands in a table here.
$session->run('CREATE TABLE person (phone text)');
$session->run('SET auto_explain.log_min_duration = -1; SET pgaudit.log = none');
$session->run("INSERT INTO person VALUES ('$NUMBER')");
$session->run('RESET auto_explain.log_min_duration; RESET pgaudit.log');

sub enqueue
{
	my ($service_sid, $more) = @_;

	return $session->value("SELECT enqueue_verification('SMS', phone, '$service_sid', dedup_key => phone $more) FROM person");
}

my $sent = enqueue('FA1', '');
is($queue->settled($sent)->{state}, 'sent', 'a message is sent');
is(enqueue('FA1', ''), $sent, 'a repeat finds it by its key');
my $unknown = enqueue('sim:code:InternalError:500', ", dedup_for => '1 us'");
$queue->in_state($unknown, 'unknown');
my $canceled = enqueue('FA1', ", dedup_for => '1 us', not_before => now() + interval '1 hour'");
is($session->value("SELECT cancel_verification($canceled)"), 't', 'one is taken back');
$queue->configure('pnvs.worker' => 'off');
my $called = enqueue('FA1', ", dedup_for => '1 us'");
$session->run('CALL process_verification_queue()');
is($queue->state($called), 'sent', 'one is sent by the procedure');

like(slurp_file($node->logfile), qr/Query Text: SELECT enqueue_verification/, 'auto_explain has logged');
like(slurp_file($node->logfile), qr/AUDIT: SESSION.*enqueue_verification/, 'and pgaudit');
is(scalar(grep { /$NUMBER/ } split /\n/, slurp_file($node->logfile)), 0, 'no line holds the number');
$queue->stop;

done_testing();
