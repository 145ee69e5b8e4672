# Messages of unknown fate are looked up at the service, and what is settled goes
# when its time is over.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(min uniq);
use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Queue;
use Pnvs::Simulator;

$PostgreSQL::Test::Utils::timeout_default = min($PostgreSQL::Test::Utils::timeout_default, 60);

my $RECONCILE_FOR_S = 3;

my $service = Pnvs::Simulator->new;
my $queue = Pnvs::Queue->new($service, 'reconciliation', conf => <<"CONF");
pnvs.request_timeout = 1000
pnvs.reconcile_for = $RECONCILE_FOR_S
pnvs.scan_interval = 1
CONF
my $session = $queue->session;

# A second server, whose worker does not stay.
my $idle = Pnvs::Queue->new($service, 'retention', conf => <<'CONF');
pnvs.retention = 2
pnvs.reconcile_for = 2
pnvs.scan_interval = 1
pnvs.worker_idle_timeout = 0
CONF

# A third one, whose worker has found nothing to delete, and stays.
my $resident = Pnvs::Queue->new($service, 'resident', conf => "pnvs.retention = 2\npnvs.reconcile_for = 2\n");
my $passing = $resident->enqueue('FA1');
$resident->in_state($passing, 'sent');

# unknown(SERVICE_SID, NUMBER, [channel, ago, due_ago]): a row of unknown fate that was
# dispatched so many seconds ago, and was to be looked up so many ago; its ID.
sub unknown
{
	my ($service_sid, $number, %param) = @_;
	my $channel = $param{channel} // 'SMS';
	my $ago = $param{ago} // 0;
	my $due_ago = $param{due_ago} // 0;
	my $id = $session->value(<<"SQL");
INSERT INTO pnvs_internal.queue (id, channel, recipient, service_sid, state, not_before, send_before, attempts,
		created_at, retain_from, requested_by, dispatched_at, unknown_since, origin_system, origin_database, origin_timeline)
	SELECT nextval('pnvs_internal.queue_id_seq'), '$channel', '$number', '$service_sid', 'unknown', now() - '$due_ago seconds'::interval, now() + '1 minute', 1,
		at, at, CURRENT_USER::regrole, at, at, system_identifier, d.oid, timeline_id
	FROM (SELECT now() - '$ago seconds'::interval) AS t (at), pg_control_system(), pg_control_checkpoint(), pg_database d
	WHERE datname = current_database()
	RETURNING id
SQL

	$queue->{number}{$id} = $number;
	return $id;
}

sub searches { return $queue->requests($_[0], 'SearchVerification'); }

# The one message that went out to the number of a row.
sub message { return ($service->events('sent', to => $queue->number($_[0])))[0]; }

# Begun first, for it takes its time: not there, and not to be looked up.
my $lost = $queue->enqueue('sim-start:code:InternalError:500');
my $unsearchable = $queue->enqueue('sim:code:InternalError:500');
my $unanswered = $queue->enqueue('sim:close');

# --- found

for my $service_sid (qw(close reset code-sent:InternalError:500 code-sent:SMS_SYSTEM_ERROR:200
		code-sent:SignatureNonceUsed:400 status:502 notjson hang))
{
	my $id = $queue->enqueue("sim-start:$service_sid");
	my $row = $queue->settled($id);

	is($row->{state}, 'sent', "$service_sid: a message that is found is sent");
	is($row->{verification_id}, message($id)->{verification_id}, "$service_sid: its row has the verification ID");
	is($row->{code}, 'OK', "$service_sid: and the code of success");
	is($row->{status}, 'pending', "$service_sid: and the status");
	unlike($row->{recipient}, qr/\A[0-9]+\z/, "$service_sid: its number is masked");
	is($queue->sent($id), 1, "$service_sid: one message went out");
	is($session->run("SELECT approved FROM check_queued_verification('" . message($id)->{code} . "', ${id}::bigint)")->value,
		't', "$service_sid: its code is approved");
}

# --- of the same number

# One of three has been sent.
my $number = $queue->new_number;
my $found = $queue->enqueue('sim-start:close', undef, number => $number);
my @siblings = ($found, map { unknown('sim-start:close', $number, ago => 1) } 1 .. 2);

# The service's record is that of another row.
my $taken = $queue->enqueue('FA1');
$queue->settled($taken);
my $envious = unknown('FA1', $queue->number($taken));

# It is of another channel, or another service, or another time.
my $other_channel = unknown('FA1', $queue->number($taken), channel => 'VOICE');
my $other_service = unknown('FA2', $queue->number($taken));
my $record_number = $queue->new_number;
$session->run("SELECT start_verification('SMS', '$record_number', 'FA1')");
my $other_time = unknown('FA1', $record_number, ago => 3600);

for my $id ($envious, $other_channel, $other_service, $other_time)
{
	my $row = $queue->settled($id);

	is($row->{state}, 'unknown', 'a message stays unknown where every record is of another');
	is($row->{code}, 'Local.NotFound', 'its code says so');
	is($row->{verification_id}, undef, 'it has no verification');
}
is($queue->row($taken)->{verification_id}, message($taken)->{verification_id}, 'the other row keeps its own');

my @row = map { $queue->settled($_) } @siblings;
is(scalar(grep { $_->{state} eq 'sent' } @row), 1, 'of several messages to one number, one has the record');
is(scalar(grep { $_->{code} eq 'Local.NotFound' } @row), 2, 'and the others have none');
is($row[0]{state}, 'sent', 'the record is that of the message that was dispatched when it was made');

# All have been sent, at the same moment.
$number = $queue->new_number;
$session->run('BEGIN');
my @twin = map { $queue->enqueue('sim-start:close', undef, number => $number) } 1 .. 4;
$session->run('COMMIT');
@row = map { $queue->settled($_) } @twin;
is_deeply([ map { $_->{state} } @row ], [ ('sent') x 4 ], 'several messages to one number are all found');
is(scalar(uniq(map { $_->{verification_id} } @row)), 4, 'each has a record of its own');
is_deeply([ sort map { $_->{verification_id} } @row ],
	[ sort map { $_->{verification_id} } $service->events('sent', to => $number) ], 'and the service knows them all');

# Another message to the number is being sent: the record may be its own.
my $other = $queue->enqueue('sim-start:slow:600');
Pnvs::Simulator::wait_until('it is under way', sub { $queue->requests($other) });
my $patient = unknown('sim-start:slow:600', $queue->number($other), ago => $RECONCILE_FOR_S - 1);
my $busy_row = $queue->settled($other);
is($busy_row->{state}, 'sent', 'a message that is under way beside an unknown one is sent');
is($busy_row->{verification_id}, message($other)->{verification_id}, 'and has its own record');
my $patient_row = $queue->settled($patient);
is($patient_row->{state}, 'unknown', 'the unknown one stays unknown');
is($patient_row->{verification_id}, undef, 'and does not take that record');

# --- long lists

my $paged = unknown('sim-search:pages:250', $queue->new_number, ago => 60);
is($queue->settled($paged)->{code}, 'Local.NotFound', 'a message that is in none of many records is not found');
is_deeply([ map { $_->{params}{CurrentPage} } searches($paged) ], [ 1, 2, 3 ], 'all pages are read for it');
my $endless = unknown('sim-search:endless', $queue->new_number, ago => 60);
ok(defined $queue->settled($endless)->{settled_at}, 'pages without end have one');
cmp_ok(scalar(my @search = searches($endless)), '<=', 20, 'after 20 of them');

# --- after a time without a server

my $ago = $RECONCILE_FOR_S + 1;
my $late = unknown('sim-search:first:1:code:InternalError:500', $queue->new_number, ago => $ago, due_ago => $ago);
is($queue->settled($late)->{code}, 'Local.NotFound', 'a look that comes late and fails is followed by another one');
$late = unknown('sim-search:code:InternalError:500', $queue->new_number, ago => $ago, due_ago => $ago);
is($queue->settled($late)->{code}, 'Local.Unreconciled', 'which is the last');
is(scalar(@search = searches($late)), 2, 'and there is no third');

# Of two to one number, one has been looked up since, and the other has not.
$number = $queue->new_number;
$session->run('BEGIN');
$late = unknown('sim-search:code:InternalError:500', $number, ago => $ago, due_ago => $ago);
my $later = unknown('sim-search:code:InternalError:500', $number, ago => $ago);
$session->run('COMMIT');
is($queue->settled($_)->{code}, 'Local.Unreconciled', 'both messages to one number are given up') for $late, $later;
is($session->value("SELECT count(*) FROM verification_queue a, verification_queue b WHERE a.id = $later AND b.id = $late "
			. "AND a.settled_at < b.settled_at"), 1, 'each by the time of its own look');

# Of two to one number, the look at one fails, and the last look at the other is still
# to come.
$number = $queue->new_number;
$session->run('BEGIN');
$late = unknown('sim-search:first:1:code:InternalError:500', $number, ago => $ago);
$later = unknown('sim-search:first:1:code:InternalError:500', $number, ago => $ago, due_ago => -4);
$session->run('COMMIT');
is($queue->settled($late)->{code}, 'Local.Unreconciled', 'a message is given up after a failed look');
is($queue->settled($later)->{code}, 'Local.NotFound', 'which is none at the other message to its number');

# --- behind a backlog

# There is always another one to be sent, and room for one only.
$queue->reload('pnvs.max_in_flight' => 1);
my @backlog = map { $queue->enqueue('sim-start:slow:60') } 1 .. 60;
my $overtaken = unknown('FA1', $queue->new_number);
Pnvs::Simulator::wait_until('it is looked up', sub { searches($overtaken) });
cmp_ok($session->value("SELECT count(*) FROM verification_queue WHERE state = 'queued'"), '>', 0,
	'a message of unknown fate is looked up though others are waiting to be sent');
is($queue->settled($backlog[-1])->{state}, 'sent', 'and they go on being sent');
$queue->reload('pnvs.max_in_flight' => undef);

# --- given up

for my $case (
	[ $lost, 'Local.NotFound', 'a message that the service does not know' ],
	[ $unsearchable, 'Local.Unreconciled', 'a message that the service does not say about' ],
	[ $unanswered, 'Local.Unreconciled', 'a message whose search gets no reply' ])
{
	my ($id, $code, $what) = @$case;
	my $row = $session->run("SELECT * FROM await_verification($id)")->row;

	is($row->{state}, 'unknown', "$what stays unknown");
	is($row->{code}, $code, "$what: the code says why ($id)");
	isnt($row->{message}, undef, "$what: and a message, in words ($id)");
	unlike($row->{recipient}, qr/\A[0-9]+\z/, "$what: its number is masked ($id)");
	cmp_ok($session->value("SELECT extract(epoch FROM settled_at - unknown_since) FROM pnvs_internal.queue WHERE id = $id"),
		'>=', $RECONCILE_FOR_S, "$what is looked for as long as pnvs.reconcile_for ($id)");
	cmp_ok(scalar(my @asked = searches($id)), '>=', 2, "$what is looked for more than once ($id)");
	cmp_ok(scalar(@asked), '<=', 6, "$what is not looked for all the time ($id)");
	is(scalar(my @started = $queue->requests($id)), 1, "$what is not sent again ($id)");
}
my $asked = (searches($unsearchable))[0]{params};
is($asked->{To}, $queue->number($unsearchable), 'a search is for the number');
is($asked->{ServiceSid}, 'sim:code:InternalError:500', 'and for the service');

# --- retention

my $old = $idle->session;
my $kept_queued = $idle->enqueue('FA1', "clock_timestamp() + '1 day'");
my $kept_unknown = $idle->enqueue('sim:code:InternalError:500');
my $gone = $idle->enqueue('FA1');
$idle->in_state($kept_unknown, 'unknown');
$old->run("UPDATE pnvs_internal.queue SET unknown_since = now() + interval '1 hour' WHERE id = $kept_unknown");
$idle->wait_row($gone, 'is settled or gone', sub { !%{ $_[0] } || defined $_[0]{settled_at} });
$old->run(<<'SQL');
INSERT INTO pnvs_internal.queue (id, attempts, channel, recipient, service_sid, state, not_before, send_before, created_at,
		settled_at, retain_from, requested_by, origin_system, origin_database, origin_timeline)
	SELECT nextval('pnvs_internal.queue_id_seq'), 1, 'SMS', '6281****00', 'FA1', s.state, t, t, t, t, t, CURRENT_USER::regrole, 1, 1, 1
	FROM (SELECT now() - '1 minute'::interval) AS old (t), generate_series(1, 700),
		unnest('{sent,failed,unknown,expired,canceled}'::text[]) AS s (state)
SQL
Pnvs::Simulator::wait_until('settled rows go', sub { $old->value('SELECT count(*) FROM verification_queue WHERE settled_at IS NOT NULL') == 0 });
pass('settled rows go when pnvs.retention is over, though nothing is queued any more');
is($idle->state($gone), 'gone', 'a message that was sent is among them');
is($idle->state($kept_queued), 'queued', 'a queued message does not go');
is($idle->state($kept_unknown), 'unknown', 'nor does an unknown one that is still looked for');

Pnvs::Simulator::wait_until('a settled row goes while the worker stays', sub { $resident->state($passing) eq 'gone' });
pass('settled rows go beside a worker that stays');

$resident->stop;
$idle->stop;
$queue->stop;
done_testing();
