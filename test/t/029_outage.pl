# An outage costs no message its attempts; a request that is to be made again keeps what is
# known of it if it is given up; and a look-up takes no record of another message.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(min);
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
	my ($columns, $values) = $TABLE eq 'verification_queue' ? ('', '')
	  : (', id, retain_from', ", nextval('pnvs_internal.queue_id_seq'), at");
	my $id = $session->value(<<"SQL");
INSERT INTO $TABLE (channel, recipient, service_sid, state, not_before, send_before, attempts,
		created_at, requested_by, dispatched_at, unknown_since, origin_system, origin_database, origin_timeline$columns)
	SELECT 'SMS', '$number', '$service_sid', 'unknown', now(), now() + '1 minute', 1,
		at, CURRENT_USER::regrole, at, at, system_identifier, d.oid, timeline_id$values
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

# --- a dead key

my $WINDOW = 50;
my $BACKLOG = 400;
my $WARNING = qr/WARNING: +messages wait in the queue of pnvs: (.*)\n.*DETAIL: +Code "(.*)"; requests since the last such line: (\d+)\./;
my $OVER = qr/LOG: +the service takes requests of pnvs again, after \d+ s/;
my $mark = $queue->log_end;

sub log_since { return slurp_file($queue->node->logfile, $_[0]); }

# Whether an event of the simulator is a request that was let in, or not.
sub refused { return $service->count('request', error => qr/\A(?!null)./); }

$queue->reload('pnvs.access_key_secret' => 'wrong');
$service->mark;
my $backlog = Pnvs::Batch->enqueue($session, 'FA1', $BACKLOG);
my $late = Pnvs::Batch->enqueue($session, 'FA1', 3, "send_within => '2 seconds'");
my $searched = unknown('FA1', Pnvs::Queue::new_number());
my $since = time;

is($late->wait_for($session, 'expired Local.Expired 0=3', "state || ' ' || code || ' ' || attempts"), 'expired Local.Expired 0=3',
	'a message whose time is over expires also while none can be sent');
Pnvs::Simulator::wait_until('it was searched for again after the time for that', sub {
		grep { $_->{t} > $since + 3 } $queue->requests($searched, 'SearchVerification');
});
is($backlog->states($session), "queued=$BACKLOG", 'a backlog waits where the service refuses the credentials');
is($backlog->states($session, 'attempts'), "0=$BACKLOG", 'and no attempt is counted');
cmp_ok($service->count('request', action => 'StartVerification'), '<=', $WINDOW + 12,
	'beside those that were under way one at a time is tried, at growing intervals');
is($session->value("SELECT settled_at IS NULL FROM verification_queue WHERE id = $searched"), 't',
	'what could not be looked up for that reason is not given up');
my %probed;
my @probe = map { $_->{params}{To} } $service->events('request', action => 'StartVerification');
$probed{$_}++ for @probe;
cmp_ok(scalar(keys %probed), '>=', min($WINDOW, scalar @probe) , 'each time it is another message');
my @line = log_since($mark) =~ /$WARNING/g;
is("@line[0, 1]", 'the service refuses the credentials SignatureDoesNotMatch', 'the log warns of it, with the code');
cmp_ok(scalar @line, '<=', 3, 'once a minute');
like(log_since($mark), qr/HINT: +Check "pnvs\.access_key_id"/, 'and says what to do');
unlike(log_since($mark), $OVER, 'and not that it is over');
unlike(log_since($mark), qr/62816\d{8}|62815\d{8}|testid|testsecret/, 'without a number or a key');

$queue->reload('pnvs.access_key_secret' => undef);
my $fixed = time;
is($backlog->wait_for($session, "sent 1=$BACKLOG", "state || ' ' || attempts"), "sent 1=$BACKLOG",
	'with other credentials all are sent, at their first attempt');
cmp_ok(time - $fixed, '<', 10, 'at once');
is($backlog->arrived($service), "$BACKLOG numbers, at most 1 each", 'and once');
is($late->arrived($service), '0 numbers, at most 0 each', 'but for those whose time was over');
is($queue->settled($searched)->{code}, 'Local.NotFound', 'and what is to be looked up is');
like(log_since($mark), $OVER, 'the log says that it is over');

# --- one number's trouble

# As many numbers at once that the service forbids.
{
	$queue->settled($queue->enqueue('FA1'));
	my @forbidden = $session->run("SELECT enqueue_verification('SMS', '62816' || (10000000 + n), 'sim-start:code:Forbidden.RiskControl:403') FROM generate_series(1, 20) AS n")->rows;
	Pnvs::Simulator::wait_until('all were refused', sub { $session->value("SELECT count(*) FROM $TABLE WHERE code = 'Forbidden.RiskControl'") == @forbidden });
	my $begun = time;

	is($queue->soon_settled([ $queue->enqueue('FA1') ]), 'sent', 'many numbers that the service forbids do not stop the others');
	cmp_ok(time - $begun, '<', 10, 'not for long');
	$session->run("SELECT cancel_verification(id) FROM $TABLE WHERE code = 'Forbidden.RiskControl'");
}

my $risky = $queue->enqueue('sim-start:code:Forbidden.RiskControl:403', "send_within => '6 seconds'");
my $others = Pnvs::Batch->enqueue($session, 'FA1', 20);
$queue->wait_row($risky, 'was tried', sub { ($_[0]{code} // '') eq 'Forbidden.RiskControl' && $_[0]{state} eq 'queued' });
$others->wait_for($session, 'sent=20');
pass('where one number is refused others are sent');
my $nslow = 0;
for (1 .. 5)
{
	my $begun = time;

	$queue->settled($queue->enqueue('FA1'));
	$nslow++ if time - $begun > 0.9;
}
cmp_ok($nslow, '<=', 1, 'and nobody waits for that number');
my $row = $queue->settled($risky);
is("$row->{state} $row->{code} $row->{attempts}", 'expired Local.Expired 0', 'it waits until its time is over');
cmp_ok(requests($risky), '<=', 20, 'and is tried ever more seldom');

# --- no connection

$queue->configure('pnvs.endpoint' => $service->endpoint('refused'));
$mark = $queue->log_end;
$backlog = Pnvs::Batch->enqueue($session, 'FA1', $BACKLOG);
Pnvs::Simulator::wait_until('the log warns', sub { log_since($mark) =~ $WARNING });
@line = log_since($mark) =~ /$WARNING/;
is("@line[0, 1]", 'the endpoint could not be reached Local.Unsent.Connect', 'the log warns where the endpoint refuses connections');
$queue->reload('pnvs.endpoint' => undef);
is($backlog->wait_for($session, "sent 1=$BACKLOG", "state || ' ' || attempts"), "sent 1=$BACKLOG",
	'a backlog loses no attempt to connections that were refused');

# --- the procedure

$queue->reload('pnvs.worker' => 'off');
Pnvs::Simulator::wait_until('no worker is there', sub { !$queue->workers });
$queue->reload('pnvs.access_key_id' => '');
$backlog = Pnvs::Batch->enqueue($session, 'FA1', 60);
my $begun = time;
my $call = $session->run('CALL process_verification_queue(1000)');
cmp_ok(time - $begun, '<', 15, 'a CALL ends where nothing can be sent');
is($backlog->states($session, "state || ' ' || attempts"), 'queued 0=60', 'what is queued waits, also without any credentials');
like(join('', map { $_->{M} } $call->notices), qr/no credentials for the verification service are configured/, 'its caller is told why');
$queue->reload('pnvs.access_key_id' => undef);
$session->run('CALL process_verification_queue(1000)');
is($backlog->states($session, "state || ' ' || attempts"), 'sent 1=60', 'the next CALL sends it');

$queue->stop;
done_testing();
