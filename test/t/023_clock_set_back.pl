# The wall clock is set back by hours while the queue is at work: what was put off for
# milliseconds or seconds does not wait for as long as the step.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(min);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Pnvs::Preload;
use Pnvs::Queue;
use Pnvs::Simulator qw(wait_until);

$PostgreSQL::Test::Utils::timeout_default = min($PostgreSQL::Test::Utils::timeout_default, 60);

my $STEP_S = 3600;

my $scratch = PostgreSQL::Test::Utils::tempdir();
my $behind_s = 0;
my $service = Pnvs::Simulator->new;
my $queue = Pnvs::Queue->new($service, 'set_back',
	conf => "pnvs.scan_interval = 1s\n",
	environment => { LD_PRELOAD => Pnvs::Preload::build($scratch, 'clock'), PNVS_CLOCK_FILE => "$scratch/ahead" });
my $session = $queue->session;

# By another hour, at one stroke.
sub set_clock_back
{
	$behind_s += $STEP_S;
	append_to_file("$scratch/next", "-$behind_s");
	rename "$scratch/next", "$scratch/ahead" or die "rename: $!";
	return;
}

# A row whose sender has died, which nobody announces.
sub leave_claimed
{
	my ($in) = @_;
	my $id = $queue->enqueue('FA1', "clock_timestamp() + '1 day'", session => $in);

	$in->run("UPDATE pnvs_internal.queue SET state = 'sending', claimer = 1, attempts = 1, dispatched_at = clock_timestamp(), "
		  . "not_before = clock_timestamp() WHERE id = $id");
	return $id;
}

# --- what somebody has locked, and was to be tried again a second later

{
	my $holder = $queue->connect;
	my $held = $queue->enqueue('sim:held:row');

	$queue->in_state($held, 'sending');
	$holder->run("BEGIN; SELECT FROM pnvs_internal.queue WHERE id = $held FOR UPDATE");
	$service->release('row');
	wait_until('it could not be settled', sub { $queue->logged(qr/could not write to its queue/) });
	# Behind the next try, so that the row is put off by now.
	$queue->settled($queue->enqueue('FA1'));
	is($queue->state($held), 'sending', 'a row that cannot be settled stays as it was claimed');
	set_clock_back();
	$holder->close;
	is($queue->soon_settled([$held]), 'sent', 'a row that could not be settled is settled soon after the clock is set back');
	is($queue->sent($held), 1, 'one message went out');
	is($queue->soon_settled([ $queue->enqueue('FA1') ]), 'sent', 'a new message is sent soon');
}

# --- a pause of milliseconds

for my $sender ('a worker', 'a CALL')
{
	my $locking = $queue->connect;
	my $caller = $queue->connect;
	my $id;

	$queue->configure('pnvs.worker' => 'off') if $sender eq 'a CALL';
	$id = $queue->enqueue('sim:slow:500');
	$caller->send('CALL process_verification_queue()') if $sender eq 'a CALL';
	wait_until('the request is under way', sub { $queue->requests($id) });
	$locking->run('BEGIN');
	$locking->run('LOCK TABLE pnvs_internal.queue');
	wait_until('it was answered', sub { $queue->sent($id) });
	# The reply comes, and finds the table locked.
	my $until = time + 0.7;
	wait_until('some time passes', sub { time > $until });
	set_clock_back();
	$locking->run('COMMIT');
	is($queue->soon_settled([$id]), 'sent', "$sender that waits for a lock settles soon after the clock is set back");
	$caller->close;
	$locking->close;
}
$queue->configure('pnvs.worker' => undef);

# --- scans

{
	my ($here, $there, $left);

	$queue->node->safe_psql('postgres', 'CREATE DATABASE visited');
	$queue->node->safe_psql('visited', 'CREATE EXTENSION pnvs');
	$there = $queue->connect(dbname => 'visited');
	$queue->settled($queue->enqueue('FA1', undef, session => $there), $there);
	$queue->settled($queue->enqueue('FA1'));
	$session->run("SELECT pg_terminate_backend($_)") for $queue->workers('visited');
	wait_until('that worker has left', sub { !$queue->workers('visited') });
	set_clock_back();
	$here = leave_claimed($session);
	ok($queue->soon(sub { $queue->state($here) ne 'sending' }),
		'a worker that was there finds what a dead one has left soon after the clock is set back');

	# Every ten scans the launcher sends a worker into each database.
	$left = leave_claimed($there);
	ok($queue->soon(sub { $queue->state($left, $there) ne 'sending' }), 'and the launcher sends one where there is none');
	$there->close;
}

$queue->stop;

# --- a message that is queued again, with an earlier time than others that were seen

# pg_ctl takes a server of the past for another one.
unlink "$scratch/ahead" or die "unlink: $!";
$behind_s = 0;

{
	my $slow = Pnvs::Queue->new($service, 'requeued',
		conf => "pnvs.scan_interval = 60s\n",
		environment => { LD_PRELOAD => Pnvs::Preload::build($scratch, 'clock'), PNVS_CLOCK_FILE => "$scratch/ahead" });
	my $id;

	$slow->settled($slow->enqueue('FA1'));
	Pnvs::Simulator::suspend($service->{pid});
	$id = $slow->enqueue('sim:first:1:throttled:1');
	$slow->in_state($id, 'sending');
	set_clock_back();
	kill 'CONT', $service->{pid};
	is($slow->soon_settled([$id]), 'sent', 'a message that was throttled while the clock was set back is tried again soon');
	$slow->stop;
}
# --- PostgreSQL's clock for statistics, whose source can change since 19

if ($queue->node->pg_version >= 19)
{
	append_to_file("$scratch/behind", '-5000');
	my $timed = Pnvs::Queue->new($service, 'timed',
		conf => "pnvs.scan_interval = 1s\n",
		environment => { LD_PRELOAD => Pnvs::Preload::build($scratch, 'clock'), PNVS_CLOCK_MONOTONIC => "$scratch/behind" });
	my $inside = $timed->session;
	my $left;

	$timed->settled($timed->enqueue('FA1'));
	$timed->reload('timing_clock_source' => 'system');
	$left = $timed->enqueue('FA1', "clock_timestamp() + '1 day'");
	$inside->run("UPDATE pnvs_internal.queue SET state = 'sending', claimer = 1, attempts = 1, dispatched_at = clock_timestamp(), "
		  . "not_before = clock_timestamp() WHERE id = $left");
	ok($timed->soon(sub { $timed->state($left) ne 'sending' }), 'scans go on when another clock source is set');
	$timed->stop;
}
done_testing();
