# An old snapshot keeps the index entries of all that was ever queued, and nothing that a
# sender does reads them again and again.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Test::More;
use Time::HiRes qw(time);

use Pnvs::Queue;
use Pnvs::Simulator;

my $MANY = 2000;
my $LOOKED_UP = 10;

# For each message: its claim, its reply, its search and what that is compared with. One
# look at the entries of all that was sent would be $MANY more.
my $READ_FOR_EACH = 100;

my $service = Pnvs::Simulator->new;
my $queue = Pnvs::Queue->new($service, 'snapshot', conf => "pnvs.scan_interval = 1h\nautovacuum = off\npnvs.reconcile_for = 1min\n");
my $session = $queue->session;
my $holder = $queue->connect;
my ($TABLE) = $session->value("SELECT coalesce(to_regclass('pnvs_internal.queue'), to_regclass('verification_queue'))::text") =~ /(\w+)\z/;

# How many index entries were read by now, once the worker has told of so many updates.
sub read_after
{
	my ($updates) = @_;
	my $told_at = time;

	Pnvs::Simulator::wait_until("$updates updates are told of", sub {
		# it is idle for ten seconds before it does so by itself, or has another message
		if (time > $told_at + 1.2)
		{
			send_all(6281700000000 + int(time), 1, 'FA2');
			$told_at = time;
		}
		$session->run('SELECT pg_stat_clear_snapshot()');
		return $session->value("SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = '$TABLE'") >= $updates;
	});
	return $session->value("SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = '$TABLE'");
}

# The messages of a service, from a number on; when all of them are settled.
sub send_all
{
	my ($first, $n, $service_sid) = @_;

	$session->run("SELECT enqueue_verification('SMS', ($first + n)::text, '$service_sid') FROM generate_series(1, $n) AS n");
	Pnvs::Simulator::wait_until("$n messages are settled",
		sub { $session->value("SELECT count(*) FROM verification_queue WHERE service_sid = '$service_sid' AND settled_at IS NULL") == 0 });
	return;
}

# this session reads by no index of the queue's
$session->run('SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off');
$holder->run('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class');
send_all(6281500000000, $MANY, 'FA1');
my $before = read_after(2 * $MANY);

send_all(6281600000000, $LOOKED_UP, 'sim-start:close');
my $after = read_after(2 * $MANY + 3 * $LOOKED_UP);
cmp_ok(($after - $before) / $LOOKED_UP, '<=', $READ_FOR_EACH,
	'messages that are looked up read little, however many were sent since the snapshot');
is($session->value("SELECT count(*) FROM verification_queue WHERE service_sid = 'sim-start:close' AND state = 'sent'"), $LOOKED_UP,
	'and each is found');
$holder->run('ROLLBACK');
$queue->stop;

done_testing();
