# What becomes of a queued message by what the service answers: its state, how
# often it was tried, and what its row and the server's log say afterwards.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(min);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Pnvs::Queue;
use Pnvs::Simulator;

$PostgreSQL::Test::Utils::timeout_default = min($PostgreSQL::Test::Utils::timeout_default, 60);

my $REQUEST_TIMEOUT_MS = 1500;

my $service = Pnvs::Simulator->new;
my $queue = Pnvs::Queue->new($service, 'outcomes', conf => "pnvs.request_timeout = $REQUEST_TIMEOUT_MS\n");
my $session = $queue->session;

sub requests { return scalar(my @request = $queue->requests(@_)); }

# --- accepted, refused

my @refused = (
	map({ [ "sim:code:$_:200", $_, 200 ] }
		qw(INVALID_PARAMETERS Invalid.Parameters MOBILE_NUMBER_ILLEGAL NOT_SUPPORTED_CHANNEL COUNTRY_BLACKLISTED
		  SECURITY_INTERCEPTED isp.VERIFY_SCHEME_NOT_EXIST Something.Nobody.Knows)),
	map({ [ "sim:code:$_:400", $_, 400 ] }
		qw(MissingParameter MissingTo InvalidParameter)));
my %id = map { $_->[0] => $queue->enqueue($_->[0]) } @refused;

for my $case (@refused)
{
	my ($service_sid, $code, $status) = @$case;
	my $id = $id{$service_sid};
	my $row = $queue->settled($id);

	is($row->{state}, 'failed', "$service_sid: a refused message has failed");
	is($row->{code}, $code, "$service_sid: its row has the code");
	is($row->{http_status}, $status, "$service_sid: and the HTTP status");
	is($row->{attempts}, 1, "$service_sid: it was tried once");
	is(requests($id), 1, "$service_sid: the service was asked once");
	unlike($row->{recipient}, qr/\A[0-9]+\z/, "$service_sid: its number is masked");
}

# --- an outage: the message waits, and that was no attempt

my @everybodys = (
	map({ [ "sim:code:$_:200", $_, 200 ] } qw(BIZ_NOT_OPEN_STATUS RESOURCE_NOT_ENOUGH InsufficientBalance)),
	map({ [ "sim:code:$_:400", $_, 400 ] }
		qw(InvalidProtocol.NeedSsl InvalidSecurityToken.Expired InvalidSecurityToken.MismatchWithAccessKey
		  MissingSecurityToken SignatureDoesNotMatch IncompleteSignature InvalidTimeStamp.Format)),
	map({ [ "sim:code:$_:404", $_, 404 ] }
		qw(InvalidApi.NotFound InvalidProduct.NotFound InvalidAccessKeyId.NotFound)),
	map({ [ "sim:code:$_:403", $_, 403 ] }
		qw(InvalidAccessKeyId.Inactive Forbidden.RAM Forbidden.RiskControl)));
# Together, for once some are refused the others would be tried one at a time.
$session->run('BEGIN');
%id = map { $_->[0] => $queue->enqueue($_->[0]) } @everybodys;
$session->run('COMMIT');

for my $case (@everybodys)
{
	my ($service_sid, $code, $status) = @$case;
	my $id = $id{$service_sid};
	my $row = $queue->wait_row($id, 'was tried', sub { defined $_[0]{code} && $_[0]{state} eq 'queued' });

	is($row->{code}, $code, "$service_sid: the row of a message that waits has the code");
	is($row->{http_status}, $status, "$service_sid: and the HTTP status");
	is($row->{attempts}, 0, "$service_sid: it was no attempt");
	is($row->{recipient}, $queue->number($id), "$service_sid: its number is still there");
	$session->run("SELECT cancel_verification($id)");
}

# --- the clock

my $id = $queue->enqueue('sim-start:skew:3600');
my $row = $queue->settled($id);
is($row->{state}, 'sent', 'a message is signed anew by the clock of the service');
is(requests($id), 2, 'that takes two requests');
is($row->{attempts}, 1, 'which are one attempt');
$queue->configure;		# whoever comes next goes by our clock again

for my $case (
	[ 'sim-start:skewalways', 2, 'anew only once' ],
	[ 'sim-start:nodate', 1, 'not anew where the service does not tell its time' ],
	[ 'sim-start:baddate', 1, 'nor where it tells none that can be read' ])
{
	my ($service_sid, $requests, $what) = @$case;
	my $id = $queue->enqueue($service_sid);
	my $row = $queue->wait_row($id, 'was tried', sub { defined $_[0]{code} && $_[0]{state} eq 'queued' });

	is("$row->{code} $row->{attempts}", 'InvalidTimeStamp.Expired 0', "a message waits for the clock to be set ($service_sid)");
	$session->run("SELECT cancel_verification($id)");
	is($queue->in_state($id, 'canceled')->{attempts}, 0, "it can be taken back meanwhile ($service_sid)");
	is(requests($id) % $requests, 0, "it is signed $what ($service_sid)");
	$queue->configure;
}

# --- throttled

%id = map { $_ => $queue->enqueue("sim:first:1:code:$_") }
  qw(Throttling:400 Throttling.User:400 Throttling.Api:429 SENTINEL_BLOCK_EXCEPTION:429);
for my $throttled (sort keys %id)
{
	my $row = $queue->settled($id{$throttled});

	is($row->{state}, 'sent', "$throttled: a throttled message is sent later");
	is($row->{attempts}, 2, "$throttled: at its second attempt");
	is($row->{code}, 'OK', "$throttled: the code is that of the last");
	is(requests($id{$throttled}), 2, "$throttled: the service was asked twice");
	is($queue->sent($id{$throttled}), 1, "$throttled: one message went out");
}

my $waits = $queue->enqueue('sim:first:1:throttled:1200');
$row = $queue->in_state($waits, 'queued');
$row = $queue->wait_row($waits, 'was tried', sub { $_[0]{attempts} == 1 && $_[0]{state} eq 'queued' });
is($row->{code}, 'Throttling.User', 'while a message waits for another attempt its row says why');
is($row->{http_status}, 429, 'and has the HTTP status');
is($row->{recipient}, $queue->number($waits), 'and keeps the number');
is($row->{settled_at}, undef, 'and is not settled');
is($queue->settled($waits)->{state}, 'sent', 'a message waits for as long as the service says');
my ($first, $second) = $queue->requests($waits);
cmp_ok($second->{t} - $first->{t}, '>=', 1.2, 'and no less');
cmp_ok($second->{t} - $first->{t}, '<', 1.2 + 1 + 1.5, 'and not much longer');

# --- too late

$id = $queue->enqueue('sim:throttled:100', "send_within => '1200 ms'");
$row = $queue->settled($id);
is($row->{state}, 'expired', 'a message that is throttled for too long expires');
is($row->{code}, 'Throttling.User', 'its row says what kept it');
is($row->{attempts}, requests($id), 'its row counts the requests');
cmp_ok($row->{attempts}, '>=', 1, 'of which there was one at least');
is($session->value("SELECT settled_at < send_before + '2 seconds' FROM verification_queue WHERE id = $id"),
	't', 'it is settled when there is no hope any more');
is($queue->sent($id), 0, 'nothing was sent');

$id = $queue->enqueue('sim:throttled:60000', "send_within => '30 seconds'");
$row = $queue->settled($id);
is($row->{state}, 'expired', 'a message that the service wants too late expires at once');
is($row->{attempts}, 1, 'after one attempt');

$session->run('BEGIN');
$id = $queue->enqueue('FA1', "send_within => '1 ms'");
$session->run("SELECT pg_sleep(0.01)");
$session->run('COMMIT');
$row = $queue->settled($id);
is($row->{state}, 'expired', 'a message that is too late when it is committed expires');
is($row->{code}, 'Local.Expired', 'its row says so');
is($row->{attempts}, 0, 'it was not tried');
is(requests($id), 0, 'and the service was not asked');

# --- often enough

$queue->configure('pnvs.max_attempts' => 2);
$id = $queue->enqueue('sim:throttled:0');
$row = $queue->settled($id);
is($row->{state}, 'failed', 'a message that was tried often enough has failed');
is($row->{code}, 'Throttling.User', 'its row says why');
is($row->{attempts}, 2, 'pnvs.max_attempts is the number of attempts');
is(requests($id), 2, 'and of requests');

# --- provably unsent

for my $case (
	[ $service->endpoint('refused'), qr/\ALocal\.Unsent\.Connect\z/, 'a connection that is refused' ],
	[ $service->endpoint('accept_reset'), qr/\ALocal\.Unsent\.(?:Connect|Tls)\z/, 'a connection that is reset' ],
	[ $service->endpoint('tls_selfsigned'), qr/\ALocal\.Unsent\.Tls\z/, 'a certificate that nobody vouches for' ],
	[ $service->endpoint('tls_garbage'), qr/\ALocal\.Unsent\.Tls\z/, 'somebody who does not speak TLS' ])
{
	my ($endpoint, $code, $what) = @$case;

	$queue->configure('pnvs.endpoint' => $endpoint, 'pnvs.max_attempts' => undef);
	$id = $queue->enqueue('FA1');
	$row = $queue->wait_row($id, 'was tried', sub { defined $_[0]{code} && $_[0]{state} eq 'queued' });
	is($row->{attempts}, 0, "$what is no attempt");
	like($row->{code}, $code, "$what is a reason to try again");
	isnt($row->{message}, undef, 'its row tells more');
	is(requests($id), 0, 'nothing was sent');
	$queue->configure('pnvs.endpoint' => undef);
	$row = $queue->settled($id);
	is($row->{state}, 'sent', "after $what the message is sent");
	is($row->{attempts}, 1, 'at its first attempt');
	is($queue->sent($id), 1, 'once');
}

$queue->configure('pnvs.access_key_id' => '');
$id = $queue->enqueue('FA1');
$row = $queue->wait_row($id, 'was tried', sub { ($_[0]{code} // '') =~ /Local/ && $_[0]{state} eq 'queued' });
is($row->{code}, 'Local.Unsent.Start', 'without credentials a message waits');
is($row->{attempts}, 0, 'which is no attempt');
is(requests($id), 0, 'and nothing is asked');
$queue->reload('pnvs.access_key_id' => undef);
$row = $queue->settled($id);
is($row->{state}, 'sent', 'once they are configured it is sent');
is($queue->sent($id), 1, 'once');

# --- nobody knows: until it is looked up, which fails here, too

my @ambiguous = (
	map({ [ "sim:code:$_:200", $_ ] } qw(SMS_SYSTEM_ERROR VOICE_SYSTEM_ERROR WHATSAPP_SYSTEM_ERROR)),
	[ 'sim:code:InternalError:500', 'InternalError' ],
	[ 'sim:code:ServiceUnavailable:503', 'ServiceUnavailable' ],
	[ 'sim:code:SignatureNonceUsed:400', 'SignatureNonceUsed' ],
	[ 'sim:code:Something.Nobody.Knows:500', 'Something.Nobody.Knows' ],
	map({ [ "sim:$_", 'Local.NoReply' ] }
		qw(close reset close-early truncate badchunk garbage http09 status:500 html:200 empty notjson halfjson
		  jsonarray deep badutf8 oversize hang stall-at:body)));
%id = map { $_->[0] => $queue->enqueue($_->[0]) } @ambiguous;
for my $case (@ambiguous)
{
	my ($service_sid, $code) = @$case;
	my $id = $id{$service_sid};
	my $row = $queue->in_state($id, 'unknown');

	is($row->{code}, $code, "$service_sid: an ambiguous message is unknown, with a code");
	is($row->{settled_at}, undef, "$service_sid: it is not settled");
	is($row->{recipient}, $queue->number($id), "$service_sid: its number is still there");
	is($row->{attempts}, 1, "$service_sid: it was tried once");
}
for my $case (@ambiguous)
{
	my $id = $id{ $case->[0] };

	Pnvs::Simulator::wait_until('it was looked up twice', sub { requests($id, 'SearchVerification') >= 2 });
	is(requests($id), 1, "$case->[0]: it is never sent again");
	is($queue->state($id), 'unknown', "$case->[0]: and stays unknown");
}

# --- what is not to be read afterwards

my $NUMBER = '6281357924680';
my $quoted = $queue->enqueue("sim:code:$NUMBER.testid:400");
$row = $queue->settled($quoted);
unlike($row->{message}, qr/[0-9]{4}/, 'no number is kept in a message of the service');
unlike($row->{message}, qr/testid/, 'nor the ID of the access key');
is($row->{code}, '*' x length($NUMBER) . '.' . '*' x length('testid'), 'nor in a code of the service');
$row = $queue->settled($queue->enqueue('sim:code:isv.LIMIT_15_MINUTES:400'));
is($row->{code}, 'isv.LIMIT_15_MINUTES', 'a code without them is kept as it is');

my $key_secret = 'secrecySecretTwo';
my $secret_service = Pnvs::Simulator->new(access_key_id => 'LTAIqueueKeyId', access_key_secret => $key_secret);
my $secret = Pnvs::Queue->new($secret_service, 'secret', conf => <<"CONF");
pnvs.access_key_id = 'LTAIqueueKeyId'
pnvs.access_key_secret = '$key_secret'
log_min_messages = debug5
log_error_verbosity = verbose
CONF
my $quiet = $secret->connect;
$quiet->run('SET log_min_error_statement = panic');
my @secret = map { $secret->enqueue($_, undef, session => $quiet, number => $NUMBER) }
  ('FA1', 'sim:code:MOBILE_NUMBER_ILLEGAL:200', 'sim:first:1:throttled:0', 'sim-start:close');
$secret->settled($_, $quiet) for @secret;
# What fails names the row that it is for.
my $held = $secret->enqueue('sim:held:row', undef, session => $quiet, number => $NUMBER);
$secret->in_state($held, 'sending', $quiet);
my $holder = $secret->connect;
$holder->run("BEGIN; SELECT FROM pnvs_internal.queue WHERE id = $held FOR UPDATE");
$secret_service->release('row');
Pnvs::Simulator::wait_until('the worker has failed with it', sub { $secret->logged(qr/could not write to its queue/) });
is($secret->state($held), 'sending', 'a message whose row cannot be written stays as it was');
$holder->close;
is($secret->settled($held, $quiet)->{state}, 'sent', 'and is settled later');
my $log = PostgreSQL::Test::Utils::slurp_file($secret->node->logfile);
my $code = ($secret_service->events('sent'))[0]{code};
like($log, qr/could not write to its queue: canceling statement due to lock timeout/, 'the log has the reason');
for my $hidden (
	[ $NUMBER, 'the number' ],
	[ substr($NUMBER, 4), 'the end of the number' ],
	[ $key_secret, 'the secret' ],
	[ 'LTAIqueueKeyId', 'the ID of the access key' ])
{
	my @line = grep { index($_, $hidden->[0]) >= 0 } split /\n/, $log;

	is(scalar @line, 0, "at debug5 the log does not hold $hidden->[1]");
	diag($_) for @line[ 0 .. min($#line, 2) ];
}
unlike($log, qr/\b$code\b/, 'at debug5 the log does not hold the code');
$quiet->close;
$secret->stop;

$queue->stop;
done_testing();
