# The queue on streaming standbys: it rests there, goes on after a promotion, and
# doubles nothing where replication is synchronous and the old primary is fenced.
# What an asynchronous standby can still do is shown, too.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(min);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Pnvs::Batch;
use Pnvs::Server;
use Pnvs::Simulator;

$PostgreSQL::Test::Utils::timeout_default = min($PostgreSQL::Test::Utils::timeout_default, 60);

my $WINDOW = 10;
my $RECONCILE_S = 3;
my $COMMON = "pnvs.max_in_flight = $WINDOW\npnvs.reconcile_for = $RECONCILE_S\npnvs.request_timeout = 30000\n"
  . "wal_sender_timeout = 10s\nwal_receiver_status_interval = 1s\n";

my $service = Pnvs::Simulator->new;

# A primary and its standby, which streams; the standby's settings come on top.
sub pair
{
	my ($name, %param) = @_;
	my $primary = $service->new_node($name,
		preload => 'shared_preload_libraries',
		streaming => 1,
		conf => $COMMON . ($param{conf} // ''));
	my $standby = PostgreSQL::Test::Cluster->new("${name}_standby");

	$primary->backup('base');
	$standby->init_from_backup($primary, 'base', has_streaming => 1);
	$standby->append_conf('postgresql.conf', $param{standby_conf}) if $param{standby_conf};
	$standby->start;
	return (Pnvs::Server->around($primary), Pnvs::Server->around($standby));
}

# How many of a batch have arrived by now.
sub arrived
{
	my ($batch) = @_;
	my $sent = $service->sent_numbers;

	return scalar(grep { $sent->{$_} } $batch->numbers);
}

# --- synchronous

{
	my ($primary, $standby) = pair('synchronous');
	my $session = $primary->connect;
	my ($watcher, $batch, $later, $settled, %count, $accepted);

	$primary->configure($session, synchronous_standby_names => '*');
	Pnvs::Simulator::wait_until('the standby is synchronous',
		sub { $session->value("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") });
	$settled = Pnvs::Batch->enqueue($session, 'FA1', 3);
	is($settled->wait_for($session, 'sent=3'), 'sent=3', 'synchronous: messages are sent');

	$watcher = $standby->connect;
	is($watcher->value("SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pnvs %'"), 0,
		'nothing of pnvs runs on a standby');
	like($watcher->query("SELECT enqueue_verification('SMS', '6281600000001', 'FA1')")->message, qr/read-only transaction/,
		'nothing can be queued on a standby');
	like($watcher->query('CALL process_verification_queue()')->message, qr/recovery|read-only/,
		'the procedure does not run on a standby');
	is($watcher->value('SELECT 1'), 1, 'and leaves its session as it was');

	$later = Pnvs::Batch->enqueue($session, 'FA1', 2, "not_before => now() + '1 hour'");
	$batch = Pnvs::Batch->enqueue($session, 'sim-start:slow:200', 150);
	Pnvs::Simulator::wait_until('some have arrived', sub { arrived($batch) >= 60 });
	$primary->fence;
	$accepted = arrived($batch);
	cmp_ok($accepted, '<', 150, 'synchronous: the primary is killed in the middle of sending');

	$standby->node->promote;
	$batch->wait_until_settled($watcher);
	%count = map { split /=/ } split / /, $batch->states($watcher);
	is($count{sent} + ($count{unknown} // 0), 150, 'synchronous: each is sent in the end, or its fate is unknown');
	cmp_ok($count{unknown} // 0, '<=', $WINDOW, 'synchronous: not more are unknown than were under way');
	is($batch->arrived($service), ($count{sent}) . ' numbers, at most 1 each', 'synchronous: none is doubled, and exactly those called sent have arrived');
	like($batch->states($watcher, 'unknown_since IS NOT NULL'), qr/true=/, 'synchronous: those that were under way were unknown before they were found');
	is($later->states($watcher), 'queued=2', 'synchronous: what is for later stays queued');
	is($settled->states($watcher), 'sent=3', 'synchronous: what was sent before stays as it was');
	is($settled->most_requests($service), 1, 'synchronous: and is not sent again');
	diag(sprintf 'synchronous: %d accepted before the end of the primary, %d unknown', $accepted, $count{unknown} // 0);
	is(Pnvs::Batch->enqueue($watcher, 'FA1', 2)->wait_for($watcher, 'sent=2'), 'sent=2', 'after a promotion what is queued anew is sent');
	$standby->node->stop('immediate');
}

# --- asynchronous: what the standby has not got

{
	my ($primary, $standby) = pair('asynchronous', conf => "pnvs.worker = off\n",
		standby_conf => "pnvs.worker = on\npnvs.after_promotion = hold\n");
	my $session = $primary->connect;
	my $watcher = $standby->connect;
	my ($sent, $unsent, $sent_later, $unsent_later, $new);

	# All are queued here and there; then the standby hears no more.
	$sent = Pnvs::Batch->enqueue($session, 'FA1', 4);
	$sent_later = Pnvs::Batch->enqueue($session, 'FA2', 4);
	$unsent = Pnvs::Batch->enqueue($session, 'FA1', 3, "not_before => now() + '1 hour'");
	$unsent_later = Pnvs::Batch->enqueue($session, 'FA2', 3, "not_before => now() + '1 hour'");
	$primary->node->wait_for_catchup($standby->node);
	$standby->configure($watcher, primary_conninfo => '');
	Pnvs::Simulator::wait_until('the standby hears no more', sub { !$watcher->value('SELECT count(*) FROM pg_stat_wal_receiver') });

	$service->mark;
	$primary->configure($session, 'pnvs.worker' => 'on');
	is($sent->wait_for($session, 'sent=4'), 'sent=4', 'asynchronous: the primary sends');
	$sent_later->wait_for($session, 'sent=4');
	is($sent->states($watcher), 'queued=4', 'asynchronous: the standby does not know');
	$primary->fence;
	$standby->node->promote;

	$new = Pnvs::Batch->enqueue($watcher, 'FA1', 2);
	is($new->wait_for($watcher, 'sent=2'), 'sent=2', 'hold: what is queued after the promotion is sent');
	$watcher->run("UPDATE pnvs_internal.queue SET not_before = now(), send_before = now() + '5 minutes' WHERE " . $unsent->where);
	$watcher->run("UPDATE pnvs_internal.queue SET not_before = now() + '1 hour', send_before = now() + '2 hours' WHERE " . $sent_later->where);
	is(Pnvs::Batch->enqueue($watcher, 'FA1', 1)->wait_for($watcher, 'sent=1'), 'sent=1', 'hold: the worker goes on');
	is($_->states($watcher), 'queued=' . scalar($_->ids), 'hold: what was queued before stays queued') for $sent, $unsent;
	is($unsent->requested($service), 0, 'hold: and is not sent');

	$standby->configure($watcher, 'pnvs.after_promotion' => 'verify');
	is($sent->wait_for($watcher, 'sent=4'), 'sent=4', 'verify: what the old primary has sent is settled as sent');
	is($sent->states($watcher, 'message'), 'found by a search=4', 'verify: it was found by a search');
	is($sent->arrived($service), '4 numbers, at most 1 each', 'verify: none is doubled');
	is($unsent->wait_for($watcher, 'sent=3'), 'sent=3', 'verify: what it had not sent is sent');
	is($unsent->requested($service, 'SearchVerification'), 3, 'verify: after each was looked up');
	is($unsent->arrived($service), '3 numbers, at most 1 each', 'verify: once each');

	$standby->configure($watcher, 'pnvs.after_promotion' => 'send');
	$watcher->run("UPDATE pnvs_internal.queue SET not_before = now(), send_before = now() + '5 minutes' WHERE "
		  . join(' OR ', map { $_->where } $sent_later, $unsent_later));
	is(Pnvs::Batch->enqueue($watcher, 'FA1', 1)->wait_for($watcher, 'sent=1'), 'sent=1', 'send: the worker goes on');
	$watcher->run('SELECT pg_terminate_backend(' . $standby->wait_for_worker($watcher) . ')');
	is($unsent_later->wait_for($watcher, 'sent=3'), 'sent=3', 'send: what was not sent is sent');
	is($unsent_later->requested($service, 'SearchVerification'), 0, 'send: and is not looked up');
	is($sent_later->wait_for($watcher, 'sent=4'), 'sent=4', 'send: what the old primary has sent is sent');
	is($sent_later->arrived($service), '4 numbers, at most 2 each', 'send: and so doubled, as is said of it');
	$standby->node->stop('immediate');
}

# --- a wait for a synchronous standby that is cut short

{
	my $server = Pnvs::Server->new($service, 'alone', streaming => 1, conf => "${COMMON}pnvs.worker = off\n");
	my $node = $server->node;
	my $session = $server->connect;
	my $caller = $server->connect;
	my $state = 'FROM pg_stat_activity WHERE pid = ' . $caller->pid;
	my $cancels = 0;
	my $last = '-infinity';
	my ($batch, $started, $took, $result);

	# Cancels what the caller waits for, once for each wait, until it has nothing
	# more to do; how often.
	my $cancel_waits = sub {
		my $before = $cancels;

		Pnvs::Simulator::wait_until('the caller ends by cancels', sub {
			my $ended = () = PostgreSQL::Test::Utils::slurp_file($node->logfile) =~ /canceling wait for synchronous/g;

			$cancels += $session->value("SELECT count(pg_cancel_backend(pid)) $state AND wait_event = 'SyncRep'")
			  if $ended == $cancels;
			# It may not have begun yet.
			return $session->value("SELECT count(*) $state AND state = 'idle' AND query_start > '$last'");
		});
		$result = $caller->result;
		$last = $session->value("SELECT query_start $state");
		return $cancels - $before;
	};

	# What is queued here does not wait itself.
	$session->run('SET synchronous_commit = local');
	$server->configure($session, synchronous_standby_names => 'absent');
	# It is another process that makes commits wait, when it has read the setting.
	Pnvs::Simulator::wait_until('commits wait for the standby', sub {
		$caller->send("SELECT pg_logical_emit_message(true, 'probe', '')");
		return $cancel_waits->();
	});
	$service->mark;
	$batch = Pnvs::Batch->enqueue($session, 'FA1', 3);
	$caller->send('CALL process_verification_queue()');
	cmp_ok($cancel_waits->(), '>=', 1, 'a claim waits for its synchronous standby, until it is cancelled');
	is($batch->requested($service), 0, 'what is not known to be replicated is not sent');
	is($batch->states($session, "state || ' ' || code"), 'unknown Local.NotReplicated=3', 'its fate is unknown, for another server may send it');
	is($caller->value('SELECT 1'), 1, 'the session goes on');

	# As a worker it waits for its own standby until it is told to end.  What it claims
	# first is there before it comes.
	$batch = Pnvs::Batch->enqueue($session, 'FA1', 3);
	$server->configure($session, 'pnvs.worker' => 'on');
	Pnvs::Simulator::wait_until('the worker waits for its standby',
		sub { $session->value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pnvs worker' AND wait_event = 'SyncRep'") });
	$session->run('SELECT pg_cancel_backend(' . $server->wait_for_worker($session) . ')');
	is($batch->requested($service), 0, 'a worker that waits for its standby sends nothing, also where it is cancelled');
	$started = time;
	$session->close;
	$caller->close;
	$node->stop('fast');
	$took = time - $started;
	cmp_ok($took, '<', 5, 'a fast shutdown does not wait for the standby');
	diag(sprintf 'fast shutdown while the worker waits for its standby: %.1f s', $took);

	$node->append_conf('postgresql.auto.conf', "synchronous_standby_names = ''\n");
	$node->start;
	$session = $server->connect;
	$batch->wait_until_settled($session);
	is($batch->states($session, "state || ' ' || code"), 'unknown Local.NotFound=3', 'after a restart without the standby what was claimed is looked up');
	is($batch->requested($service), 0, 'and not sent');
	$node->stop;
}

done_testing();
