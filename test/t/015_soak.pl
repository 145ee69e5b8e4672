# Many messages at once, from many sessions, with rollbacks, slow replies and
# crashes: exactly those that were committed arrive, once each. The numbers are those
# of an everyday run.
#
#   PNVS_SOAK_SEED   repeats a run (the seed is printed)

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(min sum0);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Pnvs::Batch;
use Pnvs::Server;
use Pnvs::Session;
use Pnvs::Simulator;

$PostgreSQL::Test::Utils::timeout_default = min($PostgreSQL::Test::Utils::timeout_default, 90);

my $SESSIONS = 8;
my $MESSAGES = 2000;			# that are committed, in each of the two parts
my $WINDOW = 50;
my $RECONCILE_S = 3;
my @LATENCY = ('FA1', 'sim-start:slow:20', 'sim-start:slow:100', 'sim-start:slow:300');

my $seed = $ENV{PNVS_SOAK_SEED} // int(time * 1000) % 2**31;
my $next_number = 6281800000000;

srand($seed);
diag("PNVS_SOAK_SEED=$seed");

my $service = Pnvs::Simulator->new;
my $server = Pnvs::Server->new($service, 'soak',
	conf => "pnvs.max_in_flight = $WINDOW\npnvs.reconcile_for = $RECONCILE_S\npnvs.request_timeout = 60000\n");
my $node = $server->node;
my $session = $server->connect;

# A table for each latency, whose trigger queues a message for each row. A message's
# number is masked once it is settled; as its reference it stays.
for my $i (0 .. $#LATENCY)
{
	$session->run("CREATE TABLE signup_$i (phone text)");
	$session->run("CREATE TRIGGER verify AFTER INSERT ON signup_$i FOR EACH ROW "
		  . "EXECUTE FUNCTION enqueue_verification_trigger('SMS', 'phone', '$LATENCY[$i]', 'phone')");
}

# An INSERT of some numbers, which are added to the list.
sub insert
{
	my ($list, $count) = @_;
	my $first = $next_number;
	my $last = ($next_number += $count) - 1;

	push @$list, $first .. $last;
	return sprintf 'INSERT INTO signup_%d SELECT n::text FROM generate_series(%d, %d) AS n; ', int rand @LATENCY, $first, $last;
}

# A transaction of which half is rolled back, in one of several ways; at most $most
# rows are committed.
sub transaction
{
	my ($committed, $rolled_back, $most) = @_;
	my $count = min($most, 1 + int rand 12);
	my $way = int rand 3;

	if ($way == 0)
	{
		return 'BEGIN; ' . insert($rolled_back, $count) . 'ROLLBACK; BEGIN; ' . insert($committed, $count) . 'COMMIT';
	}
	if ($way == 1)
	{
		return 'BEGIN; ' . insert($committed, $count) . 'SAVEPOINT s; ' . insert($rolled_back, $count) . 'ROLLBACK TO s; COMMIT';
	}
	return 'BEGIN; SAVEPOINT s; ' . insert($rolled_back, $count) . 'ROLLBACK TO s; RELEASE s; ' . insert($committed, $count) . 'COMMIT';
}

# Lets all sessions work at once until enough is committed. Returns the numbers that
# were committed and those that were not.
sub sign_up
{
	my @caller = map { $server->connect } 1 .. $SESSIONS;
	my (@committed, @rolled_back);

	while (@committed < $MESSAGES)
	{
		my @busy;

		for my $caller (@caller)
		{
			last if @committed >= $MESSAGES;
			$caller->send(transaction(\@committed, \@rolled_back, $MESSAGES - @committed));
			push @busy, $caller;
		}
		for my $caller (@busy)
		{
			my $result = $caller->result;

			die 'a transaction failed: ' . $result->message . "\n" if $result->failed;
		}
	}
	$_->close for @caller;
	return (\@committed, \@rolled_back);
}

# How many of some numbers have arrived.
sub arrived
{
	my ($numbers) = @_;
	my $sent = $service->sent_numbers;

	return scalar(grep { $sent->{$_} } @$numbers);
}

sub unsettled { return $session->value('SELECT count(*) FROM verification_queue WHERE settled_at IS NULL'); }

# What became of the committed numbers, as a table.
sub account
{
	my ($title, $committed) = @_;
	my %accepted = %{ $service->sent_numbers };
	my %wanted = map { $_ => 1 } @$committed;
	my %count = (committed => scalar @$committed, sent => 0, failed => 0, expired => 0, canceled => 0, unknown => 0, open => 0);
	my %sum = ('sent without acceptance' => 0, 'unknown though accepted' => 0, 'unknown and never seen' => 0);

	for my $row ($session->run('SELECT reference, state, settled_at FROM verification_queue')->rows)
	{
		my $number = $row->{reference} // '';
		my $arrived = $accepted{$number} // 0;

		next unless $wanted{$number};
		$count{ defined $row->{settled_at} ? $row->{state} : 'open' }++;
		$sum{'sent without acceptance'}++ if $row->{state} eq 'sent' && !$arrived;
		next unless $row->{state} eq 'unknown';
		$sum{ $arrived ? 'unknown though accepted' : 'unknown and never seen' }++;
	}
	$count{accepted} = sum0(map { $accepted{$_} // 0 } @$committed);
	$sum{lost} = $count{committed} - sum0(@count{qw(sent failed expired canceled unknown)});
	$sum{doubled} = sum0(map { ($accepted{$_} // 0) > 1 ? $accepted{$_} - 1 : 0 } @$committed);
	diag($title);
	diag(sprintf '  %-25s %6d', $_, $count{$_}) for qw(committed accepted sent failed expired canceled unknown open);
	diag(sprintf '  %-25s %6d', $_, $sum{$_}) for 'lost', 'doubled', 'sent without acceptance', 'unknown though accepted', 'unknown and never seen';
	return { %count, %sum };
}

# --- from many sessions, with rollbacks, beside a call that hangs

{
	my $hanging = Pnvs::Batch->enqueue($session, 'sim:hang', 1);
	my ($committed, $rolled_back, $started, $account);

	$hanging->wait_until_requested($service);
	$started = time;
	($committed, $rolled_back) = sign_up();
	diag(sprintf '%d queued by %d sessions in %.1f s', scalar @$committed, $SESSIONS, time - $started);
	Pnvs::Simulator::wait_until('all but the hanging one are settled', sub { unsettled() == 1 });
	diag(sprintf 'drained after %.1f s', time - $started);
	is($hanging->states($session), 'sending=1', 'one call hangs all the while, and holds up nobody');
	$account = account('from many sessions', $committed);
	is($account->{$_}, $MESSAGES, "of $MESSAGES committed messages all are $_") for qw(accepted sent);
	is($account->{$_}, 0, "$_: none") for qw(lost doubled open);
	is(arrived($rolled_back), 0, 'of ' . @$rolled_back . ' that were rolled back none has arrived');
	is($session->value("SELECT count(*) FROM verification_queue WHERE state = 'sent' AND attempts <> 1"), 0, 'each took one attempt');
	$session->run('TRUNCATE pnvs_internal.queue');
}

# --- with crashes in between

{
	my ($committed, $rolled_back, $started, $account, $already);
	my @crash = map { int $MESSAGES * ($_ + rand 0.2) } 0.2, 0.6;

	$started = time;
	($committed, $rolled_back) = sign_up();
	diag(sprintf '%d queued by %d sessions in %.1f s', scalar @$committed, $SESSIONS, time - $started);
	$already = arrived($committed);
	for my $crash (@crash)
	{
		Pnvs::Simulator::wait_until("$crash have arrived", sub { arrived($committed) >= $crash });

		if ($crash == $crash[0])
		{
			kill KILL => $server->wait_for_worker($session);
			Pnvs::Simulator::wait_until('the sessions have ended', sub { Pnvs::Server::is_lost($session) });
		}
		else
		{
			$node->stop('immediate');
			$node->start;
		}
		diag('a crash after ' . arrived($committed) . ' have arrived');
		$session = $server->connect;
		cmp_ok(unsettled(), '>', 0, 'a crash comes in the middle');
	}
	Pnvs::Simulator::wait_until('all are settled', sub { !unsettled() });
	$account = account("with kill -9 of the worker and an immediate restart ($already had arrived when all were queued)", $committed);
	is($account->{$_}, 0, "$_: none") for 'lost', 'doubled', 'open', 'failed', 'expired', 'canceled', 'sent without acceptance', 'unknown though accepted';
	cmp_ok($account->{unknown}, '<=', $WINDOW * @crash, 'not more are unknown than were under way at the crashes');
	is($account->{accepted}, $account->{sent}, 'what arrived is sent, and the other way round');
	is(arrived($rolled_back), 0, 'what was rolled back has not arrived');
}
$node->stop;

done_testing();
