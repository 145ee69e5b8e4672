# What is everybody's fault costs no message its attempts; a request that is to be made
# again is given up as what is known of it; and a look-up takes no stranger's record.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(max min);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Pnvs::Batch;
use Pnvs::Queue;
use Pnvs::Session;
use Pnvs::Simulator;

$PostgreSQL::Test::Utils::timeout_default = min($PostgreSQL::Test::Utils::timeout_default, 60);

my $service = Pnvs::Simulator->new;
my $queue = Pnvs::Queue->new($service, 'outage', conf => <<"CONF");
pnvs.request_timeout = 4000
pnvs.reconcile_for = 2
pnvs.scan_interval = 1
CONF
my $session = $queue->session;

# Where the rows are that people see by a view.
my $TABLE = $session->value("SELECT coalesce(to_regclass('pnvs_internal.queue'), 'verification_queue')::text");

sub requests { return scalar(my @request = $queue->requests(@_)); }

# --- a request that is to be made again, and a sender that has to leave

# [what makes it leave, how]: the first answer comes while it leaves.
for my $case (
	[ 'SIGTERM', sub { $session->run("SELECT pg_terminate_backend($_)") for $queue->workers } ],
	[ 'DROP DATABASE', sub {
			my $dropper = Pnvs::Session->new($queue->node, dbname => 'template1');

			like($dropper->query('DROP DATABASE postgres')->message, qr/accessed by other users/, 'it is tried');
			$dropper->close;
	} ])
{
	my ($what, $send_away) = @$case;
	my $id = $queue->enqueue('sim-start:first:2:slow-skew:1500');

	Pnvs::Simulator::wait_until('it is under way', sub { requests($id) });
	$send_away->();
	my $row = $queue->wait_row($id, 'is no longer under way', sub { $_[0]{state} ne 'sending' });
	isnt($row->{state}, 'unknown', "$what: a message that was refused for the clock is of no unknown fate");
	$row = $queue->settled($id);
	is($row->{state}, 'sent', "$what: the next worker sends it");
	is($queue->sent($id), 1, "$what: once");
}

$queue->stop;
done_testing();
