# What gets in the queue's way, and what it keeps nobody waiting for: locks, commits that
# wait, sessions that die, one place for two workers.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(min);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Pnvs::Queue;
use Pnvs::Simulator qw(wait_until);

$PostgreSQL::Test::Utils::timeout_default = min($PostgreSQL::Test::Utils::timeout_default, 60);

# How long a session's own statements do not give up at least.
my $PATIENCE_S = 1.3;

# How seldom a process tries to notify others while somebody holds that up.
my $SILENCE_S = 5;

my $RECONCILE_FOR_S = 3;
my $COULD_NOT_NOTIFY = qr/pnvs could not notify others of settled messages/;
my $COULD_NOT_WRITE = qr/pnvs could not write to its queue/;
my $WAITS_TO_NOTIFY = qr/still waiting for AccessExclusiveLock on object 0 of class 1262/;

my $service = Pnvs::Simulator->new;
my $queue = Pnvs::Queue->new($service, 'obstacles', streaming => 1, conf => <<"CONF");
max_prepared_transactions = 5
pnvs.scan_interval = 1h
pnvs.reconcile_for = $RECONCILE_FOR_S
CONF
my $node = $queue->node;
my $session = $queue->session;

sub create_database
{
	my ($name, $on) = @_;

	$on //= $queue;
	$on->node->safe_psql('postgres', "CREATE DATABASE $name");
	$on->node->safe_psql($name, 'CREATE EXTENSION pnvs');
	return $on->connect(dbname => $name);
}

# Whether a session waits for an event of a type.
sub waits
{
	my ($backend, $type, $event) = @_;
	my $where = $event ? " AND wait_event = '$event'" : '';

	return $session->value('SELECT count(*) FROM pg_stat_activity WHERE pid = ' . $backend->pid . " AND wait_event_type = '$type'$where");
}

is($queue->settled($queue->enqueue('FA1'))->{state}, 'sent', 'messages are sent');

# --- a database's first message

{
	my $there = create_database('prepared');
	my $id;

	$there->run('BEGIN');
	$id = $queue->enqueue('FA1', undef, session => $there);
	$there->run("PREPARE TRANSACTION 'first'");
	$there->run("COMMIT PREPARED 'first'");
	is($queue->soon_settled([$id], $there), 'sent', 'the first message of a database is sent soon, also where its transaction was prepared');
	$there->close;
}

# --- who keeps a worker out, and dies

# The launcher wakes for each snapshot of the guard, too: right after one it sleeps for 8 s.
sub written_at { return (Time::HiRes::stat($node->data_dir . '/pg_stat/pnvs_guard.stat'))[9] // 0; }

{
	my $there = create_database('kept');
	my ($renaming, $id, $snapshot);

	for (;;)
	{
		$snapshot = written_at();
		$queue->settled($queue->enqueue('FA1', undef, session => $there), $there);
		wait_until('a snapshot is written', sub { written_at() > $snapshot });
		$snapshot = written_at();

		# It waits some seconds for that session to go.
		$renaming = $queue->connect;
		$renaming->send('ALTER DATABASE kept RENAME TO renamed');
		wait_until('the worker has left', sub { !$queue->workers('kept') });
		$id = $queue->enqueue('FA1', undef, session => $there);
		# The launcher hears of the worker's end, and of the message, and sees that it is kept out.
		my $until = time + 0.5;
		wait_until('some time passes', sub { time > $until });
		last unless $renaming->has_answer || time > $snapshot + 4;
		$renaming->close;
		$queue->settled($id, $there);
	}
	$session->run("SELECT pg_terminate_backend(@{[$renaming->pid]})");
	ok($renaming->result->lost, 'a session that keeps a worker out dies');
	is($queue->settled($id, $there)->{state}, 'sent', 'what was queued meanwhile is sent');
	cmp_ok(time - $snapshot, '<', 7, 'soon after');
	$there->close;
}

# --- locks on rows

{
	my ($locker, $referrer) = map { $queue->connect } 1 .. 2;
	my ($id, $waiting);

	# The worker comes for it when the reference is there.
	$session->run('CREATE TABLE reference (requester oid, message bigint, FOREIGN KEY (requester, message) REFERENCES pnvs_internal.queue)');
	$session->run('BEGIN');
	$id = $queue->enqueue('FA1');
	$locker->send('BEGIN; LOCK TABLE pnvs_internal.queue IN SHARE MODE');
	$waiting = 'SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = ' . $locker->pid;
	wait_until('it waits for the table', sub { $session->value($waiting) });
	$session->run('COMMIT');
	$locker->result;
	$referrer->run("BEGIN; INSERT INTO reference SELECT requested_by, id FROM pnvs_internal.queue WHERE id = $id");
	is($queue->state($id), 'queued', 'a queued message is referred to by a foreign key');
	$locker->run('COMMIT');
	is($queue->soon_settled([$id]), 'sent', 'it is sent while the transaction that refers to it is open');
	$referrer->run('COMMIT');
	$session->run('DROP TABLE reference');
	$_->close for $locker, $referrer;
}

{
	my $canceler = $queue->connect;
	my $id;

	# Locked before it is due.
	for my $delay_s (1, 5, 25)
	{
		$id = $queue->enqueue('FA1', "clock_timestamp() + '$delay_s seconds'");
		$canceler->run('BEGIN; SAVEPOINT before');
		last if $canceler->value("SELECT cancel_verification($id)") eq 't';
		$canceler->run('ROLLBACK');
	}
	wait_until('it is due', sub { $session->value("SELECT not_before < clock_timestamp() FROM verification_queue WHERE id = $id") eq 't' });
	$queue->settled($queue->enqueue('FA1'));
	is($queue->state($id), 'queued', 'a message that somebody has locked is left alone');
	$canceler->run('ROLLBACK TO before');
	is($queue->soon_settled([$id]), 'sent', 'and sent soon after, though that transaction stays open');
	$canceler->run('COMMIT');
	$canceler->close;
}

# --- a locked table

{
	my ($locker, @waiting) = map { $queue->connect } 1 .. 3;
	my $id = $queue->enqueue('FA1', "now() + interval '1 hour'");
	my $number = $queue->new_number;
	my $patient = 'SELECT count(*) FROM pg_stat_activity WHERE pid IN (' . join(', ', map { $_->pid } @waiting) . ') '
	  . "AND wait_event_type = 'Lock' AND clock_timestamp() - query_start > '$PATIENCE_S seconds'";
	my ($enqueued, $canceled);

	# from 19 on PostgreSQL itself logs a statement that waits, with what stands in it
	$_->run('SET log_lock_waits = off') for @waiting;
	$locker->run('BEGIN; LOCK TABLE pnvs_internal.queue');
	$waiting[0]->send("SELECT enqueue_verification('SMS', '$number', 'FA1', dedup_key => 'key')");
	$waiting[1]->send("SELECT cancel_verification($id)");
	wait_until('they have waited, or given up', sub { $session->value($patient) + (grep { $_->has_answer } @waiting) == 2 });
	$locker->run('ROLLBACK');
	($enqueued, $canceled) = map { $_->result } @waiting;
	is($enqueued->message, '', 'who queues by a key waits for a locked table for as long as it takes');
	is($queue->settled($enqueued->value)->{state}, 'sent', 'and the message is sent');
	is($canceled->message, '', 'who cancels waits, too');
	is($canceled->value, 't', 'and the message is canceled');
	is($queue->logged(qr/$number|@{[$queue->number($id)]}/), 0, 'no number gets into the log');
	$_->close for $locker, @waiting;
}

# --- an ID that fits no index

{
	my $id = $queue->enqueue('sim-start:longid:6000');
	my $unknown;

	is($queue->soon_settled([$id]), 'sent', 'a message whose verification ID is out of all measure is sent');
	is($queue->row($id)->{verification_id}, undef, 'it has none then');
	isnt($queue->row($id)->{request_id}, undef, 'and what else the service said');

	# A row that was dispatched just before the only message of its number.
	$id = $queue->enqueue('sim-search:longid:6000');
	isnt($queue->settled($id)->{verification_id}, undef, 'a message has its ID, and a search tells another one');
	$unknown = $session->value(<<"SQL");
INSERT INTO pnvs_internal.queue (id, channel, recipient, service_sid, state, not_before, send_before, attempts, created_at,
		retain_from, requested_by, dispatched_at, unknown_since, origin_system, origin_database, origin_timeline)
	SELECT nextval('pnvs_internal.queue_id_seq'), channel, '@{[$queue->number($id)]}', service_sid, 'unknown', now(), send_before, 1, created_at,
		created_at, requested_by,
		dispatched_at - interval '$RECONCILE_FOR_S seconds', now() - interval '$RECONCILE_FOR_S seconds',
		origin_system, origin_database, origin_timeline
	FROM pnvs_internal.queue WHERE id = $id
	RETURNING id
SQL
	$queue->{number}{$unknown} = $queue->number($id);
	$session->run('SELECT pg_reload_conf()');
	is($queue->soon_settled([$unknown]), 'unknown', 'a message of unknown fate is looked up');
	is($queue->row($unknown)->{code}, 'Local.NotFound', 'an ID out of all measure that a search finds is not taken for its own');
	is($queue->logged($COULD_NOT_WRITE), 0, 'all of that could be written');
}

# --- rows that somebody has locked while they were under way

# Locks them in another session; that session.
sub hold
{
	my $holder = $queue->connect;

	$holder->run('BEGIN; SELECT FROM pnvs_internal.queue WHERE id IN (' . join(', ', @_) . ') FOR UPDATE');
	return $holder;
}

{
	my $since = $queue->log_end;
	my $nslow = 0;
	my (@held, @good, $holder, $until);

	$queue->reload('pnvs.max_in_flight' => 4);
	@held = map { $queue->enqueue("sim-start:held:$_") } qw(first first first second);
	wait_until('they are under way', sub { !grep { !$queue->requests($_) } @held });
	$holder = hold(@held);
	$service->release('first');
	wait_until('they cannot be settled', sub { $queue->logged($COULD_NOT_WRITE, $since) });
	$service->release('second');
	# past some of their next tries, one of which was by itself
	$until = time + 5.5;
	while (time < $until)
	{
		my $begun = time;

		push @good, $queue->enqueue('FA1');
		$queue->settled($good[-1]);
		$nslow++ if time - $begun > 0.9;
	}
	is((grep { $queue->state($_) ne 'sent' } @good), 0, 'a window full of messages whose rows are locked keeps no others from being sent');
	# a wait takes a second
	cmp_ok($nslow, '<=', 1, 'nor does it make them wait time and again');
	is($queue->logged($COULD_NOT_WRITE, $since), 1, 'the log tells of it once');
	is(join(' ', map { $queue->state($_) } @held), 'sending sending sending sending', 'they are left as they were');
	$holder->close;
	is($queue->soon_settled(\@held), 'sent sent sent sent', 'and are settled when they can be');
	is((grep { $queue->sent($_) != 1 || defined $queue->row($_)->{unknown_since} } @held), 0, 'by their replies, sent once each');
	diag(scalar(@good) . ' others in 5.5 s');
	$queue->reload('pnvs.max_in_flight' => undef);
}

# As many as there are places for.
{
	my $places = 1000;
	my $since = $queue->log_end;
	my (@held, $holder, $until);

	$queue->reload('pnvs.max_in_flight' => $places);
	@held = $session->run("SELECT enqueue_verification('SMS', (6281600000000 + n)::text, 'sim-start:held:all') AS id FROM generate_series(1, $places) AS n")->column('id');
	wait_until('they are under way', sub { $session->value("SELECT count(*) FROM verification_queue WHERE state = 'sending'") == $places });
	$holder = hold(@held);
	$service->release('all');
	$session->run("SELECT enqueue_verification('SMS', (6281700000000 + n)::text, 'FA1') FROM generate_series(1, 300) AS n");
	# which the log has had for less than a minute
	wait_until('they cannot be settled', sub {
		$session->value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pnvs worker' AND wait_event_type = 'Lock'") > 0
	});
	# past the end of that wait, and the next try
	$until = time + 1.5;
	wait_until('some time passes', sub { time > $until });
	is($session->value("SELECT count(*) FROM verification_queue WHERE state = 'queued'"), 300, 'where all places are those of locked rows no more is claimed');
	$holder->close;
	wait_until('all are settled', sub { $session->value('SELECT count(*) FROM verification_queue WHERE settled_at IS NULL') == 0 });
	is($session->value("SELECT count(*) FROM verification_queue WHERE state <> 'sent' AND id >= $held[0]"), 0, 'and all is sent when they are free');
	$queue->reload('pnvs.max_in_flight' => undef);
}

# A search for one row tells of another one of the same number, too.
{
	my $number = $queue->new_number;
	my $sibling = $queue->enqueue('sim-start:hang', "now() + interval '1 hour'", number => $number);
	my ($id, $holder);

	$session->run("UPDATE pnvs_internal.queue SET state = 'unknown', dispatched_at = now(), unknown_since = now() WHERE id = $sibling");
	$holder = hold($sibling);
	$id = $queue->enqueue('sim-start:hang', undef, number => $number);
	wait_until('it is under way', sub { $queue->requests($id) });
	$session->run('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = $$pnvs worker$$ AND datname = current_database()');
	is($queue->soon_settled([$id]), 'sent', 'a locked row keeps no other one of its number from being looked up');
	is($queue->soon_settled([ $queue->enqueue('FA1') ]), 'sent', 'nor others from being sent');
	$holder->close;
	$session->run("UPDATE pnvs_internal.queue SET not_before = now() WHERE id = $sibling");
	$session->run('SELECT pg_reload_conf()');
	is($queue->soon_settled([$sibling]), 'unknown', 'it is looked up itself, too');
}

# --- commits that wait for a standby

# Makes them wait for one that there is not, all but the session's; another session,
# which waits in a NOTIFY.
sub lose_standby
{
	my $waiting = $queue->connect;

	$session->run('SET synchronous_commit = local');
	$queue->reload(synchronous_standby_names => 'absent');

	# It is another process that makes commits wait, when it has read the setting.
	for (;;)
	{
		$waiting->send("BEGIN; SELECT pg_logical_emit_message(true, 'probe', ''); NOTIFY probe; COMMIT");
		wait_until('its commit waits, or is over', sub { waits($waiting, 'IPC', 'SyncRep') || $waiting->has_answer });
		return $waiting if waits($waiting, 'IPC', 'SyncRep');
		$waiting->result;
	}
	return;
}

# send_before passes while the claim's commit waits; on a busy machine it may do so before.
for my $within_s (1, 4, 16)
{
	my $waiting = lose_standby();
	my $id = $queue->enqueue('FA1', "send_within => '$within_s seconds'");
	my $row;

	wait_until('its time is over', sub { $session->value("SELECT send_before < clock_timestamp() FROM verification_queue WHERE id = $id") eq 't' });
	$queue->reload(synchronous_standby_names => undef);
	$waiting->result;
	$waiting->close;
	$row = $queue->settled($id);
	next if $row->{attempts} == 0 && $within_s < 16;
	is("$row->{attempts} $row->{state} " . ($row->{code} // ''), '1 expired Local.Expired', 'a message whose claim was committed after send_before is expired');
	is(scalar(my @request = $queue->requests($id)), 0, 'it is not sent any more');
	last;
}

# A session holds the lock that NOTIFY takes, for all databases: it is stopped in its
# commit, which nobody else has to wait in any more.
{
	my $stopped = lose_standby();
	my ($since, $begun, @id, @slow);

	Pnvs::Simulator::suspend($stopped->pid);
	$queue->reload(synchronous_standby_names => undef, log_lock_waits => 'on', deadlock_timeout => '20ms');
	$since = $queue->log_end;
	$begun = time;
	$queue->settled(push(@id, $queue->enqueue('FA1')) && $id[-1]) for 1 .. 20;
	is((grep { $queue->state($_) ne 'sent' } @id), 0, 'messages are sent while a session holds up NOTIFY');
	is($queue->logged($COULD_NOT_NOTIFY, $since), 1, 'the log tells once that others are not notified');
	# PostgreSQL tells of one wait again where the next message wakes who waits
	cmp_ok($queue->logged($WAITS_TO_NOTIFY, $since), '<=', 5 + (time - $begun) / $SILENCE_S, 'nor is that waited for time and again');
	is($queue->logged($COULD_NOT_WRITE, $since), 0, 'and nothing else went wrong');

	$queue->configure('pnvs.worker' => 'off');
	$since = $queue->log_end;
	@slow = map { $queue->enqueue("sim-start:slow:$_") } 0, 0, 300, 400, 500;
	is($session->query('CALL process_verification_queue()')->message, '', 'a CALL goes on while a session holds up NOTIFY');
	is(join(' ', map { $queue->state($_) } @slow), 'sent sent sent sent sent', 'and leaves nothing behind');
	is($queue->logged($COULD_NOT_NOTIFY, $since), 1, 'the log tells of it, once');
	is($queue->logged($COULD_NOT_WRITE, $since), 0, 'and of nothing else');

	kill CONT => $stopped->pid;
	$stopped->result;
	$stopped->close;
	$queue->reload(log_lock_waits => undef, deadlock_timeout => undef);
	$session->run('RESET synchronous_commit');
}

# --- the procedure

{
	my $caller = $queue->connect;
	my $id = $queue->enqueue('sim-start:hang');

	$caller->send('CALL process_verification_queue()');
	wait_until('the request is under way', sub { $queue->requests($id) });

	# A worker that has looked at everything, and has nothing to do.
	$queue->reload('pnvs.worker' => undef);
	$queue->settled($queue->enqueue('FA1'));
	is($queue->state($id), 'sending', 'a worker leaves alone what a CALL has under way');
	$session->run("SELECT pg_cancel_backend(@{[$caller->pid]})");
	is($caller->result->sqlstate, '57014', 'that CALL is canceled');
	is($queue->soon_settled([$id]), 'sent', 'what it had under way is looked up soon after');
	is($queue->sent($id), 1, 'and is not sent again');
	$caller->close;
}

$queue->stop;

# --- one place for two workers

{
	my $crowded = Pnvs::Queue->new($service, 'crowded', conf => <<'CONF');
max_worker_processes = 2
max_logical_replication_workers = 0
max_parallel_workers = 0
pnvs.scan_interval = 1h
CONF
	my %in = (one => $crowded->session, other => create_database('other', $crowded));

	$crowded->settled($crowded->enqueue('FA1', undef, session => $in{one}), $in{one});
	for my $waiting (qw(other one))
	{
		my ($busy) = grep { $_ ne $waiting } keys %in;
		my ($id, $begun, $sent, @id, @open);

		# Some are under way at any time, and come back one by one: the worker is never idle.
		my $keep_busy = sub {
			@open = grep { !defined $crowded->row($_, $in{$busy})->{settled_at} } @open;
			while (@open < 3)
			{
				push @id, $crowded->enqueue('sim-start:slow:' . (300, 370, 440)[ @id % 3 ], undef, session => $in{$busy});
				push @open, $id[-1];
			}
			return;
		};

		$keep_busy->();
		wait_until('they are under way', sub { $crowded->requests($id[0]) });
		$id = $crowded->enqueue('FA1', undef, session => $in{$waiting});
		$begun = time;
		$sent = $queue->soon(sub { $keep_busy->(); return defined $crowded->row($id, $in{$waiting})->{settled_at} });
		ok($sent, "a database gets the only place while another one keeps sending ($waiting)");
		is((grep { $crowded->settled($_, $in{$busy})->{state} ne 'sent' } @id), 0, "which is not kept from sending ($busy)");
		is((grep { $crowded->sent($_) != 1 || defined $crowded->row($_, $in{$busy})->{unknown_since} } @id), 0,
			"nothing that it had under way is given up ($busy)");
		diag(sprintf '%s: after %.1f s, beside %d messages', $waiting, time - $begun, scalar @id);
	}
	$in{other}->close;
	$crowded->stop;
}

done_testing();
