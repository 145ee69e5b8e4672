# A disk that is full, where the queue's table is, and where the WAL is, and a table
# whose file may not grow: what is under way is kept or looked up, nothing is sent that
# was not claimed, the log tells of it without end but not at every try, and all goes
# on by itself once there is room.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Pnvs::SmallDisk;

use List::Util qw(max min);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Pnvs::Batch;
use Pnvs::Server;
use Pnvs::Session;
use Pnvs::Simulator;

$PostgreSQL::Test::Utils::timeout_default = min($PostgreSQL::Test::Utils::timeout_default, 60);

# Pauses between tries get as long as 10 s.
my $SECONDS = 40;
my $FULL_S = 3;
my $WINDOW = 40;

my $NO_SPACE = 'No space left on device';

my $disk = Pnvs::SmallDisk->new;
my $service = Pnvs::Simulator->new;
my $server = Pnvs::Server->new($service, 'full_table',
	conf => "pnvs.max_in_flight = $WINDOW\npnvs.request_timeout = 30000\n");
my $session = $server->connect;
my $keeper = $server->connect;

# Until nothing is written any more.
sub fill
{
	my ($session) = @_;
	my $result;

	$disk->fill;
	for (1 .. 1000)
	{
		$result = $session->query("SELECT enqueue_verification('SMS', '6281499999999', 'FA1', not_before => now() + '1 day')");
		last if $result->failed;
	}
	return $result;
}

# What the log says while the disk stays full. A worker tells of it once a minute, and
# of the reason where it is new to it.
sub stay_full
{
	my ($what, $reason) = @_;
	my $until = time + $FULL_S;
	my (@line, %told);

	Pnvs::Simulator::wait_until('it was full for a while', sub { time > $until });
	@line = $server->logged =~ /^(.*pnvs could not write to its queue.*\n.*\n.*)$/mg;
	$told{$_}++ for map { /\[(\d+)\]/ } @line;
	cmp_ok(max(0, values %told), '<=', 1, "$what: the log tells of it once at the most, not at every try");
	diag(sprintf '%s: %d lines in %d s', $what, scalar @line, $FULL_S);
	return unless defined $reason;
	like("@line", qr/WARNING: +pnvs could not write to its queue: could not extend file .*: $reason/, "$what: and of the reason");
	like("@line", qr/HINT: +Nothing is lost meanwhile, and it is tried again/, "$what: and of what follows");
	unlike("@line", qr/\d{9}/, "$what: and holds no number");
	return;
}

# A session, after a crash. What space there is may have done for the recovery, or not.
sub come_back
{
	my $node = $server->node;
	my $session;

	Pnvs::Simulator::wait_until('the server is back', sub {
			if (!Pnvs::Server::is_running($node->{_pid}))
			{
				$node->{_pid} = undef;
				$node->start;
			}
			# until it has noticed that one has crashed, it lets others in
			elsif ($server->logged !~ /all server processes terminated; reinitializing/)
			{
				return 0;
			}
			$session = eval { Pnvs::Session->new($node) };
			return defined $session && !Pnvs::Server::is_lost($session);
	});
	return $session;
}

sub make_room
{
	my ($what, $then) = @_;
	my $started = time;

	$disk->make_room;
	$then->();
	cmp_ok(time - $started, '<', $SECONDS, "$what: soon after there is room");
	diag(sprintf '%s: %.1f s after there was room', $what, time - $started);
	is(Pnvs::Batch->enqueue($session, 'FA1', 3)->wait_for($session, 'sent=3'), 'sent=3', "$what: what is queued next is sent");
	return;
}

sub queued
{
	my ($batch) = @_;

	return $batch->states($session) =~ /\bqueued=(\d+)/ ? $1 : 0;
}

sub contents
{
	my ($batch) = @_;

	return $session->value('SELECT string_agg(q::text, chr(10) ORDER BY id) FROM verification_queue q WHERE ' . $batch->where);
}

$session->run("CREATE TABLESPACE small LOCATION '" . $disk->folder('table') . "'");
$session->run('ALTER TABLE pnvs_internal.queue SET TABLESPACE small');
# The space of rows that were changed is not to be used again.
$keeper->run('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');

my $settled = Pnvs::Batch->enqueue($session, 'FA1', 3);
my $later = Pnvs::Batch->enqueue($session, 'FA1', 3, "not_before => now() + '1 hour'");
$settled->wait_for($session, 'sent=3');
my %before = map { $_ => contents($_) } $settled, $later;

# --- while it settles

{
	my $batch = Pnvs::Batch->enqueue($session, 'sim:held:disk', $WINDOW);
	my $refused;

	$batch->wait_until_requested($service);
	$server->mark_log;
	$refused = fill($session);
	is($refused->sqlstate, '53100', 'a session that queues something gets to know that the disk is full');
	$service->release('disk');
	stay_full('settle', $NO_SPACE);
	like($batch->states($session), qr/\Asending=\d+(?: sent=\d+)?\z/, 'settle: the rows that find no space stay as they were claimed');
	make_room('settle', sub {
			is($batch->wait_for($session, "sent=$WINDOW"), "sent=$WINDOW", 'settle: what came back is settled');
	});
	is($batch->states($session, 'unknown_since IS NULL'), "true=$WINDOW", 'settle: as what it was, for the reply was kept');
	is($batch->arrived($service), "$WINDOW numbers, at most 1 each", 'settle: none is sent again');
}

# --- while it claims

{
	# More than fit where something was written in vain before, which can be used again.
	my $count = 10 * $WINDOW;
	my $batch = Pnvs::Batch->enqueue($session, 'FA1', $count, "not_before => now() + '3 seconds'");

	$server->mark_log;
	fill($session);
	stay_full('claim');
	like($batch->states($session), qr/\bqueued=/, 'claim: rows that find no space stay queued');
	cmp_ok($batch->requested($service), '<=', $count - queued($batch), 'claim: and none is sent without its claim');
	make_room('claim', sub {
			is($batch->wait_for($session, "sent=$count"), "sent=$count", 'claim: all are sent');
	});
	is($batch->arrived($service), "$count numbers, at most 1 each", 'claim: once each');
}

# --- while a worker ends, and another one finds what it has left

{
	my $batch = Pnvs::Batch->enqueue($session, 'sim-start:hang', $WINDOW);
	my $pid;

	$batch->wait_until_requested($service);
	$pid = $server->wait_for_worker($session);
	$server->mark_log;
	fill($session);
	$session->run("SELECT pg_terminate_backend($pid)");
	Pnvs::Simulator::wait_until('another worker tells of it',
		sub { grep { $_ != $pid } $server->logged =~ /\[(\d+)\] WARNING: +pnvs could not write to its queue/g });
	stay_full('end', $NO_SPACE);
	is(scalar(my @worker = $server->background($session, 'pnvs worker', 'postgres')), 1, 'end: a worker that could not recover them stays');
	like($batch->states($session), qr/\bsending=/, 'end: the rows that find no space stay as they were claimed');
	make_room('end', sub {
			is($batch->wait_for($session, "true=$WINDOW", 'unknown_since IS NOT NULL'), "true=$WINDOW", 'end: what was under way becomes unknown');
	});
	is($batch->wait_for($session, "sent=$WINDOW"), "sent=$WINDOW", 'end: and is found by a search');
	is($batch->most_requests($service), 1, 'end: none is sent again');
}

is_deeply({ map { $_ => contents($_) } $settled, $later }, \%before, 'settled rows and those for later are not touched');
$keeper->close;
$server->node->stop;

# --- where the file may not grow

# A segment of the WAL is as large as a file may be for the worker, and the table is
# larger.
{
	my $size = 1024 * 1024;
	my ($batch, $pid);

	$server = Pnvs::Server->new($service, 'full_file', init => [ '--wal-segsize', '1' ], conf => "pnvs.max_in_flight = $WINDOW\n");
	$session = $server->connect;
	Pnvs::Batch->enqueue($session, 'FA1', 10000, "not_before => now() + '1 day'");
	cmp_ok($session->value("SELECT pg_relation_size('pnvs_internal.queue')"), '>', $size, 'file: the table is large');
	Pnvs::Batch->enqueue($session, 'FA1', 1)->wait_for($session, 'sent=1');
	$keeper = $server->connect;
	$keeper->run('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
	$pid = $server->wait_for_worker($session);
	$server->mark_log;
	system_or_bail('prlimit', '--pid', $pid, "--fsize=$size:");
	$batch = Pnvs::Batch->enqueue($session, 'FA1', 3 * $WINDOW);
	stay_full('file', 'File too large');
	like($batch->states($session), qr/\bqueued=/, 'file: rows that find no place stay queued');
	is($batch->requested($service), 3 * $WINDOW - queued($batch), 'file: and none is sent without its claim');
	system_or_bail('prlimit', '--pid', $pid, '--fsize=unlimited:');
	is($batch->wait_for($session, 'sent=' . 3 * $WINDOW), 'sent=' . 3 * $WINDOW, 'file: all are sent when it may grow');
	is($batch->arrived($service), 3 * $WINDOW . ' numbers, at most 1 each', 'file: once each');
	is($server->wait_for_worker($session), $pid, 'file: by the same worker');
	$keeper->close;
	$server->node->stop;
}

# --- where the WAL is: PostgreSQL crashes

{
	my $wal = $disk->folder('wal');
	my ($under_way, $waiting, $done);

	$server = Pnvs::Server->new($service, 'full_wal',
		init => [ '--waldir', "$wal/pg_wal", '--wal-segsize', '1' ],
		conf => "pnvs.max_in_flight = $WINDOW\npnvs.request_timeout = 30000\nmax_wal_size = 1GB\n");
	$session = $server->connect;
	$done = Pnvs::Batch->enqueue($session, 'FA1', 3);
	$done->wait_for($session, 'sent=3');
	$before{done} = contents($done);
	$under_way = Pnvs::Batch->enqueue($session, 'sim-start:hang', $WINDOW);
	$under_way->wait_until_requested($service);
	$waiting = Pnvs::Batch->enqueue($session, 'FA1', 5);

	$disk->fill;
	$session->run('CREATE TABLE much (word text)');
	for (1 .. 200)
	{
		last unless eval { !$session->query("INSERT INTO much SELECT repeat('x', 1000) FROM generate_series(1, 500)")->lost };
	}
	like($server->logged, qr/PANIC: +could not write to file "pg_wal.*No space left/, 'WAL: PostgreSQL crashes where it is full');
	$disk->make_room;
	$session = come_back();
	is($under_way->wait_for($session, "true=$WINDOW", 'unknown_since IS NOT NULL'), "true=$WINDOW", 'WAL: what was under way becomes unknown');
	is($waiting->wait_for($session, 'sent=5'), 'sent=5', 'WAL: what was queued is sent');
	is($under_way->wait_for($session, "sent=$WINDOW"), "sent=$WINDOW", 'WAL: what was under way is found by a search');
	is($under_way->most_requests($service), 1, 'WAL: and is not sent again');
	is($waiting->arrived($service), '5 numbers, at most 1 each', 'WAL: nor is what was queued');
	is(contents($done), $before{done}, 'WAL: what was settled is not touched');
	$server->node->stop;
}

done_testing();
