# Clones with the original's system identifier, beside the original that goes on: a
# backup that is recovered to a point in time, and one that is just started. Each is
# shown as the documents say of it, also where that is no good news.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(min);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Batch;
use Pnvs::Document;
use Pnvs::Server;
use Pnvs::Simulator;

$PostgreSQL::Test::Utils::timeout_default = min($PostgreSQL::Test::Utils::timeout_default, 60);

my $LATER = "not_before => now() + '1 hour'";
my $DUE_LATER = "not_before => now() + '20 minutes', send_within => '1 hour'";

my $service = Pnvs::Simulator->new;
my $take_back =
  Pnvs::Document->captured(qr/^(SELECT pnvs\.cancel_verification\(id::bigint\) FROM pnvs\.verification_queue WHERE state = 'queued';)$/m);

# Here the extension is in another schema than there.
$take_back =~ s/\bpnvs\./public./g;

my $original = Pnvs::Server->around($service->new_node('original',
		preload => 'shared_preload_libraries',
		streaming => 1,
		archiving => 1,
		conf => "restart_after_crash = on\npnvs.request_timeout = 30000\npnvs.worker = off\n"));
my $session = $original->connect;
my %batch;

# Makes rows due now.
sub fall_due
{
	my ($there, @batch) = @_;

	$there->run('UPDATE pnvs_internal.queue SET not_before = now() WHERE ' . $_->where) for @batch;
	return;
}

# Stops the worker, and changes settings.
sub rest
{
	my ($server, $there, %setting) = @_;

	$server->configure($there, %setting, 'pnvs.worker' => 'off');
	Pnvs::Simulator::wait_until('the worker has left', sub { !$server->background($there, 'pnvs worker') });
	return;
}

# Makes rows due while no worker is there; the next one looks at everything.
sub let_fall_due
{
	my ($server, $there, @batch) = @_;

	rest($server, $there);
	fall_due($there, @batch);
	$server->configure($there, 'pnvs.worker' => 'on');
	return;
}

# A clone of a base backup, not yet started; of a point in time where one is given.
sub clone
{
	my ($name, %param) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init_from_backup($original->node, $param{backup}, has_restoring => $param{point} ? 1 : 0, standby => 0);
	$node->append_conf('postgresql.conf', "archive_mode = off\npnvs.worker = off\n");
	$node->append_conf('postgresql.conf', "recovery_target_time = '$param{point}'\nrecovery_target_action = promote\n")
	  if $param{point};
	return Pnvs::Server->around($node);
}

# Starts a clone; a session, once it is no longer in recovery.
sub start
{
	my ($clone) = @_;
	my $there;

	$clone->node->start;
	$there = $clone->connect;
	Pnvs::Simulator::wait_until('the clone is promoted', sub { $there->value('SELECT pg_is_in_recovery()') eq 'f' });
	return $there;
}

sub identity
{
	my ($there) = @_;

	return $there->value("SELECT concat_ws(' ', (SELECT system_identifier FROM pg_control_system()), "
		  . "(SELECT oid FROM pg_database WHERE datname = current_database()))");
}

sub timeline
{
	my ($there) = @_;

	# Of the WAL that is written now.
	return hex substr $there->value('SELECT pg_walfile_name(pg_current_wal_insert_lsn())'), 0, 8;
}

# --- the original, up to the point in time

# What the original has sent by now, what it will send, what it has under way, and
# what nobody knows the fate of.
{
	my $caller = $original->connect;

	$original->node->backup('base');
	for my $setting (qw(verify send hold))
	{
		$batch{$setting}{sent} = Pnvs::Batch->enqueue($session, 'FA1', 2, $DUE_LATER);
		$batch{$setting}{unsent} = Pnvs::Batch->enqueue($session, 'FA2', 2, $DUE_LATER);
	}
	$batch{later} = Pnvs::Batch->enqueue($session, 'FA1', 2, $LATER);
	$batch{unknown} = Pnvs::Batch->enqueue($session, 'sim-start:hang', 2);
	$caller->send('CALL process_verification_queue()');
	$batch{unknown}->wait_until_requested($service);
	$session->run('SELECT pg_cancel_backend(' . $caller->pid . ')');
	$caller->result;
	$session->run("UPDATE pnvs_internal.queue SET state = 'unknown', claimer = NULL, unknown_since = now(), "
		  . "not_before = now() + '1 hour', code = 'Local.Interrupted' WHERE " . $batch{unknown}->where);
	$batch{sending} = Pnvs::Batch->enqueue($session, 'sim-start:hang', 2);
	$caller->send('CALL process_verification_queue()');
	$batch{sending}->wait_until_requested($service);
}

my $point = $session->value('SELECT clock_timestamp()');

# What comes after the point in time: the original sends some of what was queued.
{
	my @sent = map { $batch{$_}{sent} } qw(verify send hold);

	$batch{after} = Pnvs::Batch->enqueue($session, 'FA1', 1);
	fall_due($session, @sent);
	$original->configure($session, 'pnvs.worker' => 'on');
	is($_->wait_for($session, 'sent=2'), 'sent=2', 'the original sends what is due') for @sent;
	is($batch{after}->wait_for($session, 'sent=1'), 'sent=1', 'and what was queued after the point in time');
	# The worker may write into the next file meanwhile, which is not archived.
	my $file = $session->value('SELECT pg_walfile_name(pg_switch_wal())');
	$original->node->poll_query_until('postgres', "SELECT last_archived_wal >= '$file' FROM pg_stat_archiver")
	  or die 'the WAL was not archived';
}

# --- a clone of a point in time

{
	my $clone = clone('recovered', backup => 'base', point => $point);
	my $there = start($clone);

	is(identity($there), identity($session), 'recovered: it has the original\'s system identifier and database');
	cmp_ok(timeline($there), '>', timeline($session), 'recovered: on a later timeline');
	is($batch{after}->states($there), 'gone', 'recovered: what came after the point in time is not there');
	is($batch{verify}{sent}->states($there), 'queued=2', 'recovered: what the original has sent since is queued');
	is($batch{unknown}->states($there), 'unknown=2', 'recovered: what was of unknown fate is so here');
	is($batch{sending}->states($there), 'sending=2', 'recovered: what was under way is so here');
	$service->mark;
	is(Pnvs::Batch->enqueue($there, 'FA1', 1)->states($there), 'queued=1', 'recovered: without a worker all rests');
	is($service->count('request'), 0, 'recovered: and nothing is sent');
	$service->unmark;

	fall_due($there, @{ $batch{verify} }{qw(sent unsent)}, $batch{unknown});
	$clone->configure($there, 'pnvs.worker' => 'on');
	is($batch{verify}{sent}->wait_for($there, 'sent=2'), 'sent=2', 'verify: what the original has sent since is settled');
	is($batch{verify}{sent}->states($there, 'message'), 'found by a search=2', 'verify: it was found by a search');
	is($batch{verify}{sent}->most_requests($service), 1, 'verify: and is not sent again');
	is($batch{verify}{unsent}->wait_for($there, 'sent=2'), 'sent=2', 'verify: what the original has not sent yet is sent');
	for my $kind (qw(unknown sending))
	{
		is($batch{$kind}->wait_for($there, 'sent=2'), 'sent=2', "what was $kind is found by a search");
		is($batch{$kind}->states($there, 'unknown_since IS NOT NULL'), 'true=2', "$kind: it was unknown before");
		is($batch{$kind}->most_requests($service), 1, "$kind: and is not sent again");
	}

	rest($clone, $there, 'pnvs.after_promotion' => 'send');
	let_fall_due($clone, $there, @{ $batch{send} }{qw(sent unsent)});
	is($batch{send}{$_}->wait_for($there, 'sent=2'), 'sent=2', "send: all is sent ($_)") for qw(sent unsent);
	is($batch{send}{sent}->most_requests($service), 2, 'send: what the original has sent goes out twice, as is said of it');

	rest($clone, $there, 'pnvs.after_promotion' => 'hold');
	let_fall_due($clone, $there, @{ $batch{hold} }{qw(sent unsent)});
	is(Pnvs::Batch->enqueue($there, 'FA1', 1)->wait_for($there, 'sent=1'), 'sent=1', 'hold: the clone sends what is its own');
	is($batch{hold}{$_}->states($there), 'queued=2', "hold: what is older stays queued ($_)") for qw(sent unsent);
	is($batch{hold}{unsent}->requested($service), 0, 'hold: and is not sent');

	$there->run($take_back);
	is($batch{hold}{$_}->states($there), 'canceled=2', "what the documents say takes it back ($_)") for qw(sent unsent);
	is($batch{later}->states($there), 'canceled=2', 'and what is for later');
	$there->close;
	$clone->node->stop;

	# The original does not look anything up: it is on its own timeline.
	let_fall_due($original, $session, map { $batch{$_}{unsent} } qw(verify send hold));
	is($batch{$_}{unsent}->wait_for($session, 'sent=2'), 'sent=2', "the original goes on ($_)") for qw(verify send hold);
	is($batch{verify}{unsent}->most_requests($service), 2, 'verify: what the original sends after the clone goes out twice, as is said of it');
	is($batch{hold}{unsent}->most_requests($service), 1, 'hold: what is sent once the clone is told is sent once');
	is($batch{later}->states($session), 'queued=2', 'what the clone has taken back is queued in the original');
}

# --- a clone that is just started

{
	my $caller = $original->connect;
	my ($clone, $there, $sending, $due, $taken_back);

	rest($original, $session);
	$sending = Pnvs::Batch->enqueue($session, 'sim-start:hang', 2);
	$caller->send('CALL process_verification_queue()');
	$sending->wait_until_requested($service);
	$due = Pnvs::Batch->enqueue($session, 'FA1', 2, $DUE_LATER);
	$taken_back = Pnvs::Batch->enqueue($session, 'FA1', 2, $DUE_LATER);
	$original->node->backup('late');
	$clone = clone('started', backup => 'late');
	$there = start($clone);
	is(identity($there) . ' ' . timeline($there), identity($session) . ' ' . timeline($session),
		'started: nothing tells it from the original');
	is($clone->background($there, 'pnvs worker'), 0, 'started: where its configuration switches the worker off, it rests');

	let_fall_due($original, $session, $due);
	is($due->wait_for($session, 'sent=2'), 'sent=2', 'started: the original sends');
	let_fall_due($clone, $there, $due);
	is($due->wait_for($there, 'sent=2'), 'sent=2', 'started: the clone sends, too');
	is($due->arrived($service), '2 numbers, at most 2 each', 'started: what was queued goes out twice, as is said of it');
	is($sending->wait_for($there, 'sent=2'), 'sent=2', 'started: what was under way is found by a search');
	is($sending->states($there, 'unknown_since IS NOT NULL'), 'true=2', 'started: it was unknown before');
	is($sending->most_requests($service), 1, 'started: and is not sent again');

	$there->run($take_back);
	is($taken_back->states($there), 'canceled=2', 'started: what is taken back in time');
	let_fall_due($original, $session, $taken_back);
	is($taken_back->wait_for($session, 'sent=2'), 'sent=2', 'started: is sent by the original');
	is($taken_back->most_requests($service), 1, 'started: and by nobody else');
	$there->close;
	$clone->node->stop;
}

$session->close;
$original->node->stop;

done_testing();
