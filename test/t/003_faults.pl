# Everything that can go wrong between here and the service: what the caller is
# told about it, how often the service was asked, and how long it took.
#
# The server of this test has proxies in its environment that nobody answers at,
# and a .netrc that blocks whoever opens it: so every call that succeeds here
# shows that both are ignored.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Pnvs::Preload;
use Pnvs::Session;
use Pnvs::Simulator;

my $SHORT_MS = 300;
my $LONG_MS = 20_000;

# What a call may take beyond its time-out, or where it has no reason to wait;
# wide, for the machine may be busy.
my $SLACK_S = 5;

my $home = PostgreSQL::Test::Utils::tempdir();
my $nobody = 'http://127.0.0.1:1';
my $service = Pnvs::Simulator->new;

POSIX::mkfifo("$home/.netrc", 0600) or die "mkfifo: $!";
my $node = $service->new_node('faults',
	environment => {
		HOME => $home,
		(map { $_ => $nobody, uc $_ => $nobody } qw(http_proxy https_proxy all_proxy)),
	});
my $session = Pnvs::Session->new($node);
my $next_number = 6281300000000;

my %CALL = (
	start => sub { return sprintf q{SELECT * FROM start_verification('SMS', '%s', '%s')}, $next_number++, $_[0] },
	check => sub { return "SELECT * FROM check_verification('123456', 'id/1+2', NULL, '$_[0]')" },
	search => sub { return "SELECT * FROM search_verification('$_[0]')" });

my $elapsed_s;
my $time_out_ms;

# Of calls that are made again: what they said of a request that the service has read.
my @untrue;

# Calls; the log begins anew, and $elapsed_s is what it took.
sub call
{
	my ($operation, $service_sid) = @_;
	my ($started, $result);

	$service->mark;
	$started = time;
	$result = $session->query($CALL{$operation}->($service_sid));
	$elapsed_s = time - $started;
	return $result;
}

sub requests { return $service->count('request'); }

# The first request since the last call began.
sub request
{
	my ($request) = $service->events('request');

	return $request // {};
}

sub set
{
	my (%value) = @_;

	$session->run("SET pnvs.$_ = '$value{$_}'") for keys %value;
	return;
}

# A new session, and with it a new connection to the service.
sub afresh
{
	$session->close;
	$session = Pnvs::Session->new($node);
	set_timeouts($LONG_MS, $LONG_MS);
	return $session;
}

sub call_afresh
{
	my ($operation, $service_sid, %setting) = @_;

	afresh();
	set(%setting);
	return call($operation, $service_sid);
}

sub set_timeouts
{
	my ($connect_ms, $request_ms) = @_;

	set(connect_timeout => $connect_ms, request_timeout => $request_ms);
	return;
}

# Calls with a short time-out, which "connect" or "request" names. On a busy machine
# that may end a call before it has got as far as it should: then it gets more.
sub call_until
{
	my ($which, $fate, @call) = @_;
	my $result;

	for my $times (1, 10)
	{
		$time_out_ms = $times * $SHORT_MS;
		set_timeouts($which eq 'connect' ? ($time_out_ms, $LONG_MS) : ($LONG_MS, $time_out_ms));
		$result = call(@call);
		last if $result->detail =~ /\A$fate/;
		diag("@call: " . $result->detail . " within $time_out_ms ms");
		push @untrue, "@call: " . $result->detail if $result->detail =~ /\Asent=no/ && requests() > 0;
	}
	return $result;
}

# An error has every field that it is promised to have, and the service has seen
# the request as often as it should. It may come to read one that was given up only
# after a while.
sub error_is
{
	my ($result, $sqlstate, $fate, $requests, $what) = @_;

	is($result->sqlstate, $sqlstate, "$what: SQLSTATE");
	like($result->detail, ref $fate ? qr/\A$fate(?:\z|:)/ : qr/\A\Q$fate\E(?:\z|:)/, "$what: DETAIL");
	isnt($result->hint, '', "$what: HINT");
	eval { $service->wait_for('request') } if $requests > 0 && $result->detail =~ /\Asent=maybe/;
	is(requests(), $requests, "$what: requests");
	return;
}

sub ends_at_once
{
	my ($what) = @_;

	cmp_ok($elapsed_s, '<', $SLACK_S, "$what: ends at once");
	return;
}

sub ends_by_time_out
{
	my ($what) = @_;

	cmp_ok($elapsed_s, '>=', $time_out_ms / 1000 * 0.9, "$what: waits for the time-out");
	cmp_ok($elapsed_s, '<', $time_out_ms / 1000 + $SLACK_S, "$what: ends at the time-out");
	return;
}

# Whatever happened, the session goes on, and by one request a call.
sub goes_on
{
	my ($what) = @_;

	set(endpoint => $service->endpoint);
	set_timeouts($LONG_MS, $LONG_MS);
	is(call('start', 'FA1')->row->{success}, 't', "$what: the next call succeeds");
	is(requests(), 1, "$what: the next call makes one request");
	return;
}

# --- before the request: port, DETAIL, whether a time-out ends it, message

my @before = (
	[ 'refused', 'sent=no stage=connect', 0, qr/could not connect/ ],
	[ 'connect_stall', 'sent=no stage=connect', 1, qr/timed out while connecting/ ],
	[ 'accept_close', 'sent=no stage=tls', 0, qr/secure connection/ ],
	# the reset may be there before or after the connection is seen to be
	[ 'accept_reset', qr/sent=no stage=(?:connect|tls)/, 0, qr/could not/ ],
	[ 'tls_stall', 'sent=no stage=tls', 1, qr/timed out in the TLS handshake/ ],
	[ 'tls_half', 'sent=no stage=tls', 1, qr/timed out in the TLS handshake/ ],
	[ 'tls_garbage', 'sent=no stage=tls', 0, qr/secure connection/ ],
	[ 'tls_reset', 'sent=no stage=tls', 0, qr/secure connection/ ],
	[ 'tls_expired', 'sent=no stage=tls', 0, qr/certificate/ ],
	[ 'tls_notyet', 'sent=no stage=tls', 0, qr/certificate/ ],
	[ 'tls_selfsigned', 'sent=no stage=tls', 0, qr/certificate/ ],
	[ 'tls_wronghost', 'sent=no stage=tls', 0, qr/certificate/ ],
	[ 'tls_old', 'sent=no stage=tls', 0, qr/secure connection/ ]);

for my $row (@before)
{
	my ($port, $fate, $times_out, $message) = @$row;

	for my $operation (qw(start search))
	{
		my $what = "$operation, port $port";
		my $result;

		set(endpoint => $service->endpoint($port));
		set_timeouts($LONG_MS, $LONG_MS);
		$result = $times_out ? call_until('connect', $fate, $operation, 'FA1') : call($operation, 'FA1');
		error_is($result, '38V01', $fate, 0, $what);
		like($result->message, $message, "$what: message");
		$times_out ? ends_by_time_out($what) : ends_at_once($what);
		is($service->count('sent'), 0, "$what: no message goes out");
		goes_on($what);
	}
}

# The time for the whole request counts here, too.
for my $row ([ 'connect_stall', 'connect' ], [ 'tls_stall', 'tls' ])
{
	my ($port, $stage) = @$row;

	set(endpoint => $service->endpoint($port));
	error_is(call_until('request', "sent=no stage=$stage", 'start', 'FA1'),
		'38V01', "sent=no stage=$stage", 0, "$port and request_timeout");
	ends_by_time_out("$port and request_timeout");

	# For the same place, another setting counts for the next call.
	call_until('connect', "sent=no stage=$stage", 'start', 'FA1');
	$time_out_ms *= 2;
	set_timeouts($time_out_ms, $LONG_MS);
	error_is(call('start', 'FA1'), '38V01', "sent=no stage=$stage", 0, "$port and a longer connect_timeout");
	ends_by_time_out("$port and a longer connect_timeout");
}

# Here the request is written, but nobody reads it.
set(endpoint => $service->endpoint('tls_mute'));
error_is(call_until('request', 'sent=maybe', 'start', 'FA1'), '38V02', 'sent=maybe stage=reply', 0, 'port tls_mute');
ends_by_time_out('port tls_mute');
goes_on('port tls_mute');

# RFC 6761, section 6.4: a name that never exists. What looks it up may be slow.
set(endpoint => 'https://nowhere.invalid');
set_timeouts($SHORT_MS, $LONG_MS);
error_is(call('start', 'FA1'), '38V01', 'sent=no stage=resolve', 0, 'a host that does not exist');
cmp_ok($elapsed_s, '<', $SHORT_MS / 1000 + $SLACK_S, 'a host that does not exist: ends at the time-out');
goes_on('a host that does not exist');

# --- certificates

append_to_file("$home/empty.pem", '');
append_to_file("$home/unreadable.pem", PostgreSQL::Test::Utils::slurp_file($service->ca_file));
chmod 0, "$home/unreadable.pem";
append_to_file("$home/text.pem", "no certificate\n");

for my $row (
	[ '', qr/could not verify the certificate/, 'no ca_file' ],
	[ "$home/missing.pem", qr/could not read the trusted certificates/, 'a ca_file that is missing' ],
	[ "$home/empty.pem", qr/could not/, 'a ca_file that is empty' ],
	[ "$home/unreadable.pem", qr/could not read the trusted certificates/, 'a ca_file that cannot be read' ],
	[ "$home/text.pem", qr/could not/, 'a ca_file that is no certificate' ])
{
	my ($ca_file, $message, $what) = @$row;
	my $result;

	# The connection that is open under another ca_file is none for this one.
	goes_on("before $what");
	set(ca_file => $ca_file);
	$result = call('start', 'FA1');
	error_is($result, '38V01', 'sent=no stage=tls', 0, $what);
	like($result->message, $message, "$what: message");
	like($result->hint, qr/pnvs\.ca_file/, "$what: the hint names the setting");
	ends_at_once($what);
	$session->run('RESET pnvs.ca_file');
	goes_on($what);
}

# Some versions of libcurl keep what they have read of such a file, but not beyond a failure.
{
	my $other = Pnvs::Simulator->new;
	my $what = 'a ca_file of another authority';

	append_to_file("$home/authorities.pem", PostgreSQL::Test::Utils::slurp_file($other->ca_file));
	goes_on("before $what");
	set(ca_file => "$home/authorities.pem");
	error_is(call('start', 'FA1'), '38V01', 'sent=no stage=tls', 0, $what);
	append_to_file("$home/authorities.pem", PostgreSQL::Test::Utils::slurp_file($service->ca_file));
	is(call('start', 'FA1')->row->{success}, 't', "$what: one that is added counts at the next call");
	$session->run('RESET pnvs.ca_file');
	goes_on($what);
}

# --- an address that is none, which only libcurl finds out

set(endpoint => 'https://[1:2:3]');
my $no_address = call('start', 'FA1');
error_is($no_address, '38V01', 'sent=no stage=resolve', 0, 'an address that is none');
like($no_address->detail, qr/URL/, 'an address that is none: DETAIL says so');
like($no_address->hint, qr/pnvs\.endpoint/, 'an address that is none: HINT names the setting');

# --- plain HTTP, on loopback

set(endpoint => $service->endpoint('http'));
is(call('start', 'FA1')->row->{success}, 't', 'plain HTTP on loopback works');
is(requests(), 1, 'plain HTTP makes one request');
is($service->count('tls'), 0, 'plain HTTP has no handshake');
error_is(call('start', 'sim:close'), '38V02', 'sent=maybe stage=reply', 1, 'plain HTTP that is closed');

# It waits for the end of what it takes for a header.
set(endpoint => 'https://127.0.0.1:' . $service->fault_port('http'));
error_is(call_until('connect', 'sent=no stage=tls', 'start', 'FA1'),
	'38V01', 'sent=no stage=tls', 0, 'HTTPS where plain HTTP is spoken');
goes_on('HTTPS where plain HTTP is spoken');

# --- proxies

sub proxy { return 'http://127.0.0.1:' . $service->fault_port($_[0]); }

set(proxy => proxy('proxy'));
is(call('start', 'FA1')->row->{success}, 't', 'a call goes through the proxy of the settings');
is_deeply([ map { $_->{target} } $service->events('proxied') ], [ '127.0.0.1:' . $service->port ], 'the proxy is asked for a tunnel');
is(requests(), 1, 'a call through a proxy makes one request');
is(call('start', 'FA1')->row->{success}, 't', 'another call goes through the proxy');
is($service->count('proxied'), 0, 'the tunnel is kept');
error_is(call('start', 'sim:close'), '38V02', 'sent=maybe stage=reply', 1, 'a request that is closed behind a proxy');

set(endpoint => $service->endpoint('refused'));
error_is(call('start', 'FA1'), '38V01', 'sent=no stage=connect', 0, 'a proxy that cannot connect');
set(endpoint => $service->endpoint('tls_stall'));
error_is(call_until('connect', 'sent=no stage=tls', 'start', 'FA1'),
	'38V01', 'sent=no stage=tls', 0, 'a handshake that stalls behind a proxy');
set_timeouts($LONG_MS, $LONG_MS);
set(endpoint => $service->endpoint);
for my $row (
	[ 'proxy_refuse', 'sent=no stage=connect', 0, 'a proxy that wants a password' ],
	[ 'proxy_hang', 'sent=no stage=connect', 1, 'a proxy that hangs' ],
	[ 'refused', 'sent=no stage=connect', 0, 'a proxy that is not there' ],
	[ 'connect_stall', 'sent=no stage=connect', 1, 'a proxy that does not answer' ])
{
	my ($port, $fate, $times_out, $what) = @$row;

	set(proxy => proxy($port));
	set_timeouts($LONG_MS, $LONG_MS);
	error_is($times_out ? call_until('connect', $fate, 'start', 'FA1') : call('start', 'FA1'), '38V01', $fate, 0, $what);
	$times_out ? ends_by_time_out($what) : ends_at_once($what);
}
$session->run('RESET pnvs.proxy');
goes_on('without the proxy');
is($service->count('proxied'), 0, 'without the proxy there is no tunnel');

# A proxy may be asked by TLS, and is trusted like the service.
set(proxy => 'https://127.0.0.1:' . $service->fault_port('tls_proxy'));
is(call('start', 'FA1')->row->{success}, 't', 'a call goes through a proxy that speaks TLS');
is($service->count('proxied'), 1, 'that proxy is asked for a tunnel');

# What is not encrypted stays on this machine.
set(proxy => proxy('proxy'), endpoint => $service->endpoint('http'));
is(call('start', 'FA1')->row->{success}, 't', 'a call by plain HTTP passes the proxy by');
is($service->count('proxied'), 0, 'the proxy does not see it');
$session->run('RESET pnvs.proxy');
set(endpoint => $service->endpoint);

# --- after the request: service ID, whether a time-out ends it, message

my @after = (
	[ 'sim:hang', 1, qr/timed out while waiting for the reply/ ],
	[ 'sim:slow:9000', 1, qr/timed out while waiting for the reply/ ],
	[ 'sim:drip:30', 1, qr/timed out/ ],
	[ 'sim:drip-headers:30', 1, qr/timed out/ ],
	[ 'sim:close', 0, qr/connection/ ],
	[ 'sim:reset', 0, qr/connection/ ],
	[ 'sim:close-early', 0, qr/connection/ ],
	[ 'sim:truncate', 0, qr/connection/ ],
	[ 'sim:truncate-chunked', 0, qr/connection/ ],
	[ 'sim:badchunk', 0, qr/reply/ ],
	[ 'sim:oversize', 0, qr/too large/ ],
	[ 'sim:oversize-chunked', 0, qr/too large/ ],
	[ 'sim:bigheader', 0, qr/too large|does not fit/ ],
	[ 'sim:headerflood', 0, qr/too large/ ],
	[ 'sim:1xxflood', 0, qr/too large/ ],
	[ 'sim:gzip', 0, qr/no usable reply/ ],
	[ 'sim:http09', 0, qr/reply/ ],
	[ 'sim:garbage', 0, qr/reply/ ],
	(map { [ "sim:redirect:$_", 0, qr/redirect/ ] } qw(301 302 303 307 308)),
	(map { [ "sim:html:$_", 0, qr/HTML/ ] } qw(200 403 407 502 504)),
	(map { [ "sim:xml:$_", 0, qr/XML/ ] } qw(200 400 503)),
	(map { [ "sim:status:$_", 0, qr/empty/ ] } qw(200 204 404 500 503)),
	[ 'sim:empty', 0, qr/empty/ ],
	[ 'sim:notjson', 0, qr/not JSON/ ],
	[ 'sim:halfjson', 0, qr/not JSON/ ],
	[ 'sim:jsonarray', 0, qr/no usable reply/ ],
	[ 'sim:jsonscalar', 0, qr/no usable reply/ ],
	[ 'sim:nothing', 0, qr/neither a code nor/ ],
	[ 'sim:deep', 0, qr/nested too deeply/ ],
	[ 'sim:deepish:1000', 0, qr/nested too deeply/ ],
	[ 'sim:badutf8', 0, qr/not UTF-8/ ],
	[ 'sim:rawnul', 0, qr/no usable reply/ ]);

for my $row (@after)
{
	my ($service_sid, $times_out, $message) = @$row;

	for my $operation (qw(start check search))
	{
		my $what = "$operation, $service_sid";
		my $result;

		set_timeouts($LONG_MS, $LONG_MS);
		$result = $times_out ? call_until('request', 'sent=maybe', $operation, $service_sid) : call($operation, $service_sid);
		error_is($result, '38V02', 'sent=maybe stage=reply', 1, $what);
		like($result->message, $message, "$what: message");
		$times_out ? ends_by_time_out($what) : ends_at_once($what);
		is($service->count('redirected'), 0, "$what: no redirect is followed");
		like($result->hint, $operation eq 'start' ? qr/search_verification/ : qr/can be repeated/, "$what: the hint says what to do");
		goes_on($what) if $operation eq 'start';
	}
}

# --- replies that are odd, but say what happened

my @odd = (
	'sim:slow:20', 'sim:drip:1', 'sim:drip-headers:1', 'sim:folded', 'sim:setcookie', 'sim:deepish:10', 'sim:nul',
	'sim:surrogate', 'sim:emoji', 'sim:dup', 'sim:unknownfields', 'sim:nomodel', 'sim:nullmodel',
	'sim:emptymodel', 'sim:strmodel', 'sim:arrmodel', 'sim:successstring', 'sim:nosuccess', 'sim:nocode',
	'sim:bom', 'sim:latin1', 'sim:whitespace');
my %no_model = map { ("sim:$_" => 1) } qw(nomodel nullmodel emptymodel strmodel arrmodel);
my %message = (
	'sim:nul' => 'before\u0000after',
	'sim:surrogate' => 'before\ud83dafter',
	'sim:emoji' => "\xF0\x9F\x98\x80 \xF0\x9F\x98\x80 \xE9\xAA\x8C\xE8\xAF\x81\xE7\xA0\x81 caf\xC3\xA9",
	'sim:latin1' => "caf\xC3\xA9",
	'sim:whitespace' => 'OK');

set_timeouts($LONG_MS, $LONG_MS);
for my $service_sid (@odd)
{
	my ($row, $id);

	# Some of these close the connection after their reply: each call has its own.
	$row = call_afresh('start', $service_sid)->row;
	$id = ($service->events('sent'))[0]{verification_id};
	is($row->{success}, 't', "$service_sid: a start succeeds");
	is($row->{http_status}, 200, "$service_sid: the status is kept");
	is($row->{verification_id}, $no_model{$service_sid} ? undef : $id, "$service_sid: the verification ID");
	is($row->{status}, $no_model{$service_sid} ? undef : 'pending', "$service_sid: the status");
	is($row->{code}, $service_sid eq 'sim:nocode' ? undef : 'OK', "$service_sid: the code");
	like($row->{request_id}, qr/\A[0-9A-F-]{36}\z/, "$service_sid: the request ID");
	is($row->{message}, $message{$service_sid} // 'OK', "$service_sid: the message");
	is(requests(), 1, "$service_sid: one request");
	is($service->count('sent'), 1, "$service_sid: one message");

	is(call_afresh('start', $service_sid, on_failure => 'error')->sqlstate,
		'', "$service_sid: no error with on_failure = error");

	# The verification exists by now, and is pending.
	next if !defined $row->{verification_id};
	$row = afresh()->run("SELECT * FROM check_verification('-', '$id', NULL, '$service_sid')")->row;
	is($row->{success}, 't', "$service_sid: a check succeeds");
	is($row->{approved}, 'f', "$service_sid: a check of a wrong code is not approved");
	is($row->{verification_id}, $id, "$service_sid: a check has its verification ID");
	is(afresh()->value("SELECT verification_id FROM search_verification('$service_sid', verification_id => '$id')"),
		$id, "$service_sid: a search finds it");
}

# Numbers and objects where texts are expected: kept where there is a text for them.
my $numbers = call('start', 'sim:numbers')->row;
is($numbers->{code}, '200', 'a code that is a number is kept');
is($numbers->{success}, 'f', 'a success that is a number is none');
is($numbers->{request_id}, '*****', 'a request ID that is a number is hidden');
is($numbers->{http_status}, 200, 'a reply of numbers keeps its status');

# --- what the service must not be able to leave behind

call('start', 'sim:setcookie');
call('start', 'sim:setcookie');
ok(!exists(request()->{headers}{cookie}), 'a cookie is not sent back');
is(request()->{nth} > 1 ? 1 : 0, 1, 'not even on the same connection');

# --- connections that die

# A warm connection whose service reads the request and closes: libcurl would
# repeat it by itself.
for my $scenario (qw(close reset))
{
	my ($result, $warm);

	goes_on("before a warm $scenario");
	$warm = request()->{connection};
	$result = call('start', "sim:$scenario");
	error_is($result, '38V02', 'sent=maybe stage=reply', 1, "a warm $scenario");
	is(request()->{connection}, $warm, "a warm $scenario is on the connection of the call before");
	is($service->count('sent'), 1, "a warm $scenario sends one message");
	goes_on("a warm $scenario");
}

# One that the service has closed while it was idle: nothing was written to it.
# "folded" answers in full, and then closes.
for my $try (1 .. 3)
{
	my ($dead, $result);

	call('start', 'sim:folded');
	$dead = request()->{connection};
	Pnvs::Simulator::wait_until('the end of the connection has arrived', sub { !$service->is_open($dead) });
	$result = call('start', 'FA1');
	is($result->row->{success}, 't', "a call after an idle connection was closed succeeds ($try)");
	is(requests(), 1, "a call after an idle connection was closed makes one request ($try)");
	is($service->count('sent'), 1, "a call after an idle connection was closed sends one message ($try)");
	isnt(request()->{connection}, $dead, "it is made on a new connection ($try)");
}

# --- other users of the session's descriptors

# A program that the session has started does not hold the connection, and what
# becomes of that leaves the descriptors of others alone.
my $inherited = q{ls -l /proc/self/fd | sed -n "s/.*socket:.\\([0-9]*\\).*/\\1/p" }
  . q{| while read inode; do grep " $inode " /proc/net/tcp; done; true};
my $other = Pnvs::Session->new($node);
$other->run('CREATE TEMP TABLE line (line text)');
$other->run($CALL{start}->('FA1'));
$other->run("COPY line FROM PROGRAM '$inherited'");
is($other->value('SELECT count(*) FROM line'), 0, 'a program inherits no connection to the service');
$other->run(q{COPY line FROM PROGRAM 'sleep 30 >/dev/null 2>&1 & echo 1'});
$other->run("SET pnvs.request_timeout = $SHORT_MS");
is($other->query($CALL{start}->('sim:hang'))->sqlstate, '38V02', 'a call times out while the program lives');
$other->run('RESET pnvs.request_timeout');
is($other->run($CALL{start}->('FA1'))->row->{success}, 't', "call $_ while the program lives succeeds") for 1 .. 3;
$other->close;

$session->close;
$node->stop;

# --- a libcurl that does not use OpenSSL

$node = $service->new_node('gnutls', environment => { LD_PRELOAD => Pnvs::Preload::build($home, 'gnutls') });
$session = Pnvs::Session->new($node);
my $result = call('start', 'FA1');
error_is($result, '38V01', 'sent=no stage=resolve', 0, 'a libcurl without OpenSSL');
like($result->detail, qr/CURLOPT_SSL_CTX_FUNCTION is not taken/, 'a libcurl without OpenSSL: the detail');
like($result->hint, qr/OpenSSL/, 'a libcurl without OpenSSL: the hint');
$session->close;
is_deeply(\@untrue, [], 'a call that is made again was not said to be unsent when it was read');
$node->stop;
done_testing();
