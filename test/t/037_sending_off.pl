# pnvs.sending = off: nothing is sent, what is queued waits and expires, and codes can still
# be checked.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Test::More;

use Pnvs::Queue;
use Pnvs::Session;
use Pnvs::Simulator;

my $NUMBER = '6281355500001';

my $service = Pnvs::Simulator->new;
my $queue = Pnvs::Queue->new($service, 'off', conf => "pnvs.service_sid = 'FA1'\npnvs.scan_interval = 1\npnvs.reconcile_for = 2\n");
my $session = $queue->session;

sub start { return $session->query("SELECT * FROM start_verification('SMS', '$NUMBER')"); }
sub requests { return scalar grep { $_->{action} eq 'StartVerification' } $service->events('request'); }
sub told { return $queue->logged(qr/WARNING:  pnvs sends nothing while "pnvs\.sending" is off/, $_[0]); }

# A message from before, to be checked meanwhile; and a worker, so that more than a new one is tested.
my $before = start()->row;
my $code = ($service->events('sent', to => $NUMBER))[0]{code};
is($queue->settled($queue->enqueue('FA1'))->{state}, 'sent', 'a message is sent while it is on');

my $since = $queue->log_end;
$queue->reload('pnvs.sending' => 'off');
is($session->value('SHOW pnvs.sending'), 'off', 'it is switched off');
ok($queue->soon(sub { told($since) }), 'the log says that nothing is sent');
$service->mark;

# --- the queue

my $waits = $queue->enqueue('FA1', "send_within => '1 hour'");
my $short = $queue->enqueue('FA1', "send_within => '100 milliseconds'");
is($queue->soon_settled([$short]), 'expired', 'a queued message expires when its time is over');
is($queue->row($short)->{code}, 'Local.Expired', 'and its code says so');
is($queue->row($waits)->{state}, 'queued', 'another one waits');
is($queue->row($waits)->{attempts}, 0, 'and no attempt counts');
is($queue->row($waits)->{code}, undef, 'for it is not claimed');

my $call = $session->query('CALL process_verification_queue()');
is($call->sqlstate, '38V03', 'the procedure is refused');
is($call->detail, 'sent=no limit=off', 'and says why to programs');
is($queue->row($waits)->{state}, 'queued', 'the message still waits');

# --- checks and searches send nothing

is($session->value("SELECT approved FROM check_verification('$code', '$before->{verification_id}', '$NUMBER')"), 't',
	'a code can be checked meanwhile');
is($session->value("SELECT count(*) FROM search_verification(\"to\" => '$NUMBER')"), 1, 'and a message searched');
is(requests(), 0, 'no message was asked for');

$queue->reload('pnvs.sending' => undef);
is($queue->settled($waits)->{state}, 'sent', 'with a reload to on, the message is sent');
is($queue->row($waits)->{attempts}, 1, 'at its first attempt');

# --- what was under way

# Its first reply asks for another clock: by then it is off.
my $again = $queue->enqueue('sim-start:first:2:held-skew:clock', "send_within => '1 hour'");
Pnvs::Simulator::wait_until('the request is under way', sub { $queue->requests($again) });
my $lost = $queue->enqueue('sim-start:code:InternalError:500');
$queue->in_state($lost, 'unknown');
$queue->reload('pnvs.sending' => 'off');
$service->release('clock');
my $row = $queue->in_state($again, 'queued');
is($row->{attempts}, 0, 'a request that would have to be made again is not made, and no attempt counts');
is($row->{message}, '"pnvs.sending" is off', 'and its row says why');
is(scalar(my @request = $queue->requests($again)), 1, 'there was one request');
is($queue->settled($lost)->{code}, 'Local.NotFound', 'what may have been sent is still looked up');
$queue->reload('pnvs.sending' => undef);
is($queue->settled($again)->{state}, 'sent', 'it is sent when it is on again');
is($queue->sent($again), 1, 'once');

# --- at the start

$queue->reload('pnvs.sending' => 'off');
$session->close;
$queue->node->stop('fast');
$queue->node->start;
$session = $queue->{session} = Pnvs::Session->new($queue->node);
$service->mark;
$waits = $queue->enqueue('FA1', "send_within => '1 hour'");
$since = $queue->log_end;
Pnvs::Simulator::wait_until('a worker has looked at the queue', sub { $queue->workers });
is($queue->settled($queue->enqueue('FA1', "send_within => '100 milliseconds'"))->{state}, 'expired',
	'a server that starts with it off expires what is too late');
is($queue->row($waits)->{state}, 'queued', 'and sends nothing');
is($service->count('request'), 0, 'nor asks for anything');
$queue->reload('pnvs.sending' => undef);
is($queue->settled($waits)->{state}, 'sent', 'until it is on');

$queue->stop;
done_testing();
