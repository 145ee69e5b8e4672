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
	is($row->{attempts}, 1, "$what: at its first attempt, for the interruption is none");
	is($queue->sent($id), 1, "$what: once");
}

# --- records that are somebody else's

# unknown(SERVICE_SID, NUMBER, [AT]): a row of unknown fate, dispatched at that time as
# SQL, or now; its ID.
sub unknown
{
	my ($service_sid, $number, $at) = @_;
	my $id = $session->value(<<"SQL");
INSERT INTO $TABLE (channel, recipient, service_sid, state, not_before, send_before, attempts,
		created_at, requested_by, dispatched_at, unknown_since, origin_system, origin_database, origin_timeline)
	SELECT 'SMS', '$number', '$service_sid', 'unknown', now(), now() + '1 minute', 1,
		at, CURRENT_USER::regrole, at, at, system_identifier, d.oid, timeline_id
	FROM (SELECT @{[ $at // 'now()' ]}) AS t (at), pg_control_system(), pg_control_checkpoint(), pg_database d
	WHERE datname = current_database()
	RETURNING id
SQL

	$queue->{number}{$id} = $number;
	return $id;
}

my @stranger = map { [ $_, unknown("sim-search:one:$_", Pnvs::Queue::new_number()) ] }
  qw(number service channel no-number no-service no-channel masked-other);
my $masked = unknown('sim-search:one:masked', Pnvs::Queue::new_number());
my $twin = Pnvs::Queue::new_number();
my @twin = map { unknown('sim-search:repeatpage', $twin, "timestamptz '2026-01-01 00:00:00+00'") } 1 .. 2;

is($queue->settled($masked)->{state}, 'sent', 'a record whose number comes masked is taken, if it fits as far as one sees');
for my $case (@stranger)
{
	my ($change, $id) = @$case;
	my $row = $queue->settled($id);

	is("$row->{state} $row->{code}", 'unknown Local.NotFound', "a record with another, or no, number, service or channel is not taken ($change)");
	is($row->{verification_id}, undef, "nor its verification ID ($change)");
}
isnt($queue->settled($twin[0])->{verification_id}, $queue->settled($twin[1])->{verification_id},
	'a record that is on every page is one row\'s alone');

$queue->stop;
done_testing();
