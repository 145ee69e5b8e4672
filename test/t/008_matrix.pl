# The fault matrix: each stage of a call against each fault, and what is promised
# for it. What a cell's replies look like in detail, and the other operations, are
# in 003_faults.pl; here it is that no cell is forgotten, and that each leaves a
# session that goes on.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl", "$FindBin::RealBin/../soak";

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Pnvs::Session;
use Pnvs::Simulator;
use Shortage;

my @STAGES = ('resolve', 'connect', 'TLS', 'request', 'status line', 'headers', 'body');
my @FAULTS = (
	'refuse', 'reset', 'stall', 'close', 'garbage', 'drip', 'oversized', 'wrong host', 'expired', 'not yet valid',
	'self-signed', 'TLS 1.0', '1xx flood', 'odd headers', 'bad chunk', 'gzip bomb', 'closed idle', 'dies unread', 'HTTP/2');

# What a row does:
#   name N      the endpoint's host is N, which test/preload/resolver.c looks up
#   port P      the endpoint is that fault port of test/simulator
#   write W     writing the request fails, by test/preload/shortage.c
#   sim:S       the service's scenario S
#   after S     the service's scenario S, then the call in question
# all but the first two on a connection of its own ("new"), on one that has served
# a call ("kept"), or on each in turn ("both").
#
# What is promised, as a regular expression: an error's SQLSTATE, "sent" and stage,
# or the column "success" of a row; when the call ends ("connect" and "request" are those time-outs, of
# $SHORT_MS, or more where the machine is too busy for that; a number is the least time in ms); how many
# requests the service read, and how many messages it sent.
my @MATRIX = (
	[ 'resolve', 'refuse', 'name noname.test', 'both', '38V01 no resolve', 'at once', 0, 0 ],
	[ 'resolve', 'reset', 'name again.test', 'new', '38V01 no resolve', 'at once', 0, 0 ],
	[ 'resolve', 'garbage', 'name fail.test', 'new', '38V01 no resolve', 'at once', 0, 0 ],
	[ 'resolve', 'stall', 'name stall.test', 'both', '38V01 no resolve', 'connect', 0, 0 ],
	[ 'resolve', 'stall', 'name stall.test', 'new', '38V01 no resolve', 'request', 0, 0 ],
	[ 'resolve', 'drip', 'name slow-150.names.test', 'both', 'row t', 150, 1, 1 ],
	[ 'resolve', 'drip', 'name slow-900.names.test', 'both', '38V01 no resolve', 'connect', 0, 0 ],

	[ 'connect', 'refuse', 'port refused', 'both', '38V01 no connect', 'at once', 0, 0 ],
	# the reset may be there before or after the connection is seen to be
	[ 'connect', 'reset', 'port accept_reset', 'both', '38V01 no (?:connect|tls)', 'at once', 0, 0 ],
	[ 'connect', 'stall', 'port connect_stall', 'both', '38V01 no connect', 'connect', 0, 0 ],
	[ 'connect', 'stall', 'port connect_stall', 'new', '38V01 no connect', 'request', 0, 0 ],

	[ 'TLS', 'refuse', 'port tls_alert', 'both', '38V01 no tls', 'at once', 0, 0 ],
	[ 'TLS', 'reset', 'port tls_reset', 'both', '38V01 no tls', 'at once', 0, 0 ],
	[ 'TLS', 'stall', 'port tls_stall', 'both', '38V01 no tls', 'connect', 0, 0 ],
	[ 'TLS', 'stall', 'port tls_half', 'new', '38V01 no tls', 'connect', 0, 0 ],
	[ 'TLS', 'stall', 'port tls_stall', 'new', '38V01 no tls', 'request', 0, 0 ],
	[ 'TLS', 'close', 'port accept_close', 'both', '38V01 no tls', 'at once', 0, 0 ],
	[ 'TLS', 'close', 'port tls_cut', 'new', '38V01 no tls', 'at once', 0, 0 ],
	[ 'TLS', 'garbage', 'port tls_garbage', 'both', '38V01 no tls', 'at once', 0, 0 ],
	[ 'TLS', 'drip', 'port tls_drip', 'both', '38V01 no tls', 'connect', 0, 0 ],
	[ 'TLS', 'oversized', 'port tls_oversize', 'both', '38V01 no tls', 'at once', 0, 0 ],
	[ 'TLS', 'wrong host', 'port tls_wronghost', 'both', '38V01 no tls', 'at once', 0, 0 ],
	[ 'TLS', 'expired', 'port tls_expired', 'both', '38V01 no tls', 'at once', 0, 0 ],
	[ 'TLS', 'not yet valid', 'port tls_notyet', 'both', '38V01 no tls', 'at once', 0, 0 ],
	[ 'TLS', 'self-signed', 'port tls_selfsigned', 'both', '38V01 no tls', 'at once', 0, 0 ],
	[ 'TLS', 'TLS 1.0', 'port tls_old', 'both', '38V01 no tls', 'at once', 0, 0 ],
	# it would take HTTP/2 if that were offered
	[ 'TLS', 'HTTP/2', 'port tls_h2', 'both', 'row t', 'at once', 1, 1 ],

	# A request that nobody reads has left all the same.
	[ 'request', 'stall', 'port tls_mute', 'both', '38V02 maybe reply', 'request', 0, 0 ],
	[ 'request', 'stall', 'port tls_full', 'both', '38V02 maybe reply', 'request', 0, 0 ],
	[ 'request', 'stall', 'write stalls', 'both', '38V02 maybe request', 'request', 0, 0 ],
	[ 'request', 'stall', 'write cut stalls', 'both', '38V02 maybe request', 'request', 0, 0 ],
	# Part of a TLS record is worth nothing to whoever gets it.
	[ 'request', 'close', 'write cut', 'new', '38V01 no request', 'at once', 0, 0 ],
	[ 'request', 'reset', 'write reset', 'new', '38V01 no request', 'at once', 0, 0 ],
	# Of a kept connection that is found dead nothing has left: libcurl may use another.
	[ 'request', 'close', 'write cut', 'kept', 'row t', 'at once', 1, 1 ],
	[ 'request', 'reset', 'write reset', 'kept', 'row t', 'at once', 1, 1 ],
	[ 'request', 'dies unread', 'port tls_unread', 'both', '38V02 maybe reply', 'at once', 0, 0 ],
	[ 'request', 'dies unread', 'after unread-after', 'new', '38V02 maybe reply', 'at once', 0, 0 ],
	[ 'request', 'closed idle', 'after close-after', 'new', 'row t', 'at once', 1, 1 ],
	[ 'request', 'closed idle', 'after reset-after', 'new', 'row t', 'at once', 1, 1 ],

	[ 'status line', 'refuse', 'sim:status:503', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'status line', 'refuse', 'sim:status:403', 'both', '38V02 maybe reply', 'at once', 1, 0 ],
	[ 'status line', 'reset', 'sim:reset', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'status line', 'reset', 'sim:reset-at:status', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'status line', 'stall', 'sim:hang', 'both', '38V02 maybe reply', 'request', 1, 1 ],
	[ 'status line', 'stall', 'sim:stall-at:status', 'both', '38V02 maybe reply', 'request', 1, 1 ],
	[ 'status line', 'close', 'sim:close', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'status line', 'close', 'sim:close-at:status', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'status line', 'garbage', 'sim:garbage', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'status line', 'garbage', 'sim:garbage-at:status', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'status line', 'garbage', 'sim:http09', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'status line', 'drip', 'sim:drip-headers:50', 'both', '38V02 maybe reply', 'request', 1, 1 ],
	[ 'status line', 'drip', 'sim:drip-headers:1', 'both', 'row t', 'at once', 1, 1 ],
	[ 'status line', 'oversized', 'sim:bigstatus', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'status line', '1xx flood', 'sim:1xxflood', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'status line', '1xx flood', 'sim:interim', 'both', 'row t', 'at once', 1, 1 ],
	[ 'status line', 'HTTP/2', 'sim:http2:goaway', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'status line', 'HTTP/2', 'sim:http2:rst_stream', 'both', '38V02 maybe reply', 'at once', 1, 1 ],

	[ 'headers', 'reset', 'sim:reset-at:line', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'headers', 'reset', 'sim:reset-at:headers', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'headers', 'stall', 'sim:stall-at:line', 'both', '38V02 maybe reply', 'request', 1, 1 ],
	[ 'headers', 'stall', 'sim:stall-at:headers', 'both', '38V02 maybe reply', 'request', 1, 1 ],
	[ 'headers', 'close', 'sim:close-at:line', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'headers', 'close', 'sim:close-at:headers', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'headers', 'garbage', 'sim:garbage-at:line', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'headers', 'drip', 'sim:drip-from:line:50', 'both', '38V02 maybe reply', 'request', 1, 1 ],
	[ 'headers', 'oversized', 'sim:bigheader', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'headers', 'oversized', 'sim:headerflood', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'headers', 'odd headers', 'sim:folded', 'both', 'row t', 'at once', 1, 1 ],
	[ 'headers', 'odd headers', 'sim:lengths', 'both', '38V02 maybe reply', 'at once', 1, 1 ],

	[ 'body', 'refuse', 'sim:code:COUNTRY_BLACKLISTED:200', 'both', 'row f', 'at once', 1, 0 ],
	[ 'body', 'reset', 'sim:reset-at:head', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'body', 'reset', 'sim:reset-at:body', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'body', 'stall', 'sim:stall-at:head', 'both', '38V02 maybe reply', 'request', 1, 1 ],
	[ 'body', 'stall', 'sim:stall-at:body', 'both', '38V02 maybe reply', 'request', 1, 1 ],
	[ 'body', 'close', 'sim:close-at:head', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'body', 'close', 'sim:truncate', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'body', 'close', 'sim:truncate-chunked', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'body', 'garbage', 'sim:garbage-at:head', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'body', 'garbage', 'sim:garbage-at:body', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'body', 'drip', 'sim:drip:50', 'both', '38V02 maybe reply', 'request', 1, 1 ],
	[ 'body', 'drip', 'sim:drip:1', 'both', 'row t', 'at once', 1, 1 ],
	[ 'body', 'oversized', 'sim:oversize', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'body', 'oversized', 'sim:oversize-chunked', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'body', 'bad chunk', 'sim:badchunk', 'both', '38V02 maybe reply', 'at once', 1, 1 ],
	[ 'body', 'gzip bomb', 'sim:gzip', 'both', '38V02 maybe reply', 'at once', 1, 1 ]);

# Why a cell is empty: of a fault that one stage alone can have, by fault; else by
# stage and fault.
my %ONLY = (
	'wrong host' => 'a certificate is shown in the TLS handshake alone',
	'expired' => 'a certificate is shown in the TLS handshake alone',
	'not yet valid' => 'a certificate is shown in the TLS handshake alone',
	'self-signed' => 'a certificate is shown in the TLS handshake alone',
	'TLS 1.0' => 'the version is agreed on in the TLS handshake alone',
	'1xx flood' => 'an interim reply is a status line where the final one should be',
	'odd headers' => 'only headers can be folded, or come twice',
	'bad chunk' => 'only a body is chunked',
	'gzip bomb' => 'only a body is compressed',
	'closed idle' => 'what became of a kept connection shows when a request is to be written',
	'dies unread' => 'what is not read is the request',
	'HTTP/2' => 'pnvs offers HTTP/1.1 alone: GOAWAY and RST_STREAM can only stand where a status line should be');
my %EMPTY = (
	'resolve' => {
		'close' => 'libc hides how a name server failed: it asks again, then says that it failed',
		'oversized' => 'libc hides it: it asks again by TCP',
	},
	'connect' => {
		'close' => 'a connection that is closed stands already: TLS',
		'garbage' => 'the kernel drops what is not TCP: a stall',
		'drip' => 'a connection is one packet, which comes or is late: a stall',
		'oversized' => 'the kernel drops what is not TCP: a stall',
	},
	'request' => {
		'refuse' => 'a service can refuse only what it has read: the status line',
		'garbage' => 'pnvs writes it',
		'drip' => 'it is one write into the kernel, whatever the service reads of it',
		'oversized' => 'pnvs writes it, and bounds it',
	},
	'headers' => {
		'refuse' => 'a refusal is a status or a body',
	});

my $SHORT_MS = 250;
my $LONG_MS = 20_000;

# What a call may take where it has no reason to wait, or beyond its time-out;
# wide, for the machine may be busy. What most of them take is another matter.
my $SLACK_S = 5;
my $USUAL_SLACK_S = 0.1;

my $service = Pnvs::Simulator->new;
my $shortage = Shortage->new;
my $node = $service->new_node('matrix', environment => $shortage->environment);
my $session = Pnvs::Session->new($node);
my $next_number = 6281500000000;
my $elapsed_s;
my $time_out_ms;
my %late_s;
my @usual_s;
my $write_faults;

# Of calls that are made again: what they said of a request that the service has read.
my @untrue;

sub set
{
	my (%value) = @_;

	$session->run("SET pnvs.$_ = '$value{$_}'") for keys %value;
	return;
}

# Calls; the log begins anew, and $elapsed_s is what it took.
sub call
{
	my ($service_sid) = @_;
	my ($started, $result);

	$service->mark;
	$started = time;
	$result = $session->query(sprintf q{SELECT * FROM start_verification('SMS', '%s', '%s')},
		$next_number++, $service_sid);
	$elapsed_s = time - $started;
	return $result;
}

# What these scenarios answer is read in full before the service closes the connection:
# a call right then would cross with that.
my $CLOSES = qr/\A(?:folded|drip(?:-headers)?:1)\z/;

sub is_closed
{
	my ($connection) = @_;

	Pnvs::Simulator::wait_until('the end of the connection has arrived', sub { !$service->is_open($connection) });
	return;
}

sub threads { return scalar(my @task = glob '/proc/' . $session->pid . '/task/*'); }

# --- what a row does

my %DO = (
	name => sub { set(endpoint => "https://$_[0]:" . $service->port); return call('FA1') },
	port => sub { set(endpoint => $service->endpoint($_[0])); return call('FA1') },
	sim => sub { return call("sim:$_[0]") },
	after => sub {
		call("sim:$_[0]");
		my ($dead) = map { $_->{connection} } $service->events('request');
		is_closed($dead) unless $_[0] =~ /unread/;
		return call('FA1');
	},
	write => sub {
		my $result;

		$shortage->order($session->pid, write => $_[0]);
		$result = call('FA1');
		$shortage->relieve;
		$write_faults = $shortage->report->{write_faults};
		return $result;
	});

# A new session, and with it no connection to the service; then one to it where
# that is wanted, whose number in the log is returned.
sub prepare
{
	my ($connection) = @_;

	$session->close;
	$session = Pnvs::Session->new($node);
	set(connect_timeout => $LONG_MS, request_timeout => $LONG_MS);
	return undef if $connection eq 'new';
	is(call('FA1')->row->{success}, 't', 'a call before succeeds');
	return ($service->events('request'))[0]{connection};
}

# --- whether its promise is kept

# "38V01 no tls" or "row t", as the rows have it.
sub outcome
{
	my ($result) = @_;

	return 'row ' . ($result->row->{success} // '?') unless $result->failed;
	return $result->sqlstate . ' ' . ($result->fate =~ /\Asent=(\w+) stage=(\w+)\z/ ? "$1 $2" : '? ?');
}

sub is_in_time
{
	my ($ends, $what) = @_;
	my $least_s = ($ends eq 'at once' ? 0 : $ends =~ /\A\d+\z/ ? $ends : $time_out_ms * 0.9) / 1000;

	cmp_ok($elapsed_s, '>=', $least_s, "$what: not before its time") if $least_s > 0;
	cmp_ok($elapsed_s, '<', $least_s + $SLACK_S, "$what: in time");
	push @{ $late_s{$ends} }, $elapsed_s - ($ends eq 'at once' ? 0 : $time_out_ms / 1000) unless $ends =~ /\A\d+\z/;
	return;
}

# Half of the calls at least must not have been late at all, beside what good calls take.
sub is_usually_in_time
{
	my ($ends) = @_;
	my @sorted = sort { $a <=> $b } @{ $late_s{$ends} };
	my @usual = sort { $a <=> $b } @usual_s;
	my $median_s = $sorted[ $#sorted / 2 ];
	my $good_s = $usual[ $#usual / 2 ];

	cmp_ok($median_s, '<', $good_s + $USUAL_SLACK_S, sprintf "%s: %d calls are in time", $ends, scalar @sorted);
	note(sprintf '%s: late by %d ms in the median, %d ms at the most; a good call takes %d ms',
		$ends, $median_s * 1000, $sorted[-1] * 1000, $good_s * 1000);
	return;
}

sub goes_on
{
	my ($what) = @_;
	my $base = $service->endpoint;

	set(endpoint => $base, connect_timeout => $LONG_MS, request_timeout => $LONG_MS);
	my $result = call('FA1');
	push @usual_s, $elapsed_s;
	is(outcome($result), 'row t', "$what: the next call succeeds") or diag($result->message . ' ' . $result->detail);
	is($service->count('request'), 1, "$what: the next call makes one request");
	is($service->count('sent'), 1, "$what: the next call sends one message");
	return;
}

# What the service has read and sent, once it has done all that it should: it may come to
# read a request that was given up only after a while.
sub has_served
{
	my ($requests, $messages) = @_;

	return unless $requests || $messages;
	eval {
		Pnvs::Simulator::wait_until('the service has done its part',
			sub { $service->count('request') >= $requests && $service->count('sent') >= $messages });
	};
	return;
}

# Does what a row says, on a connection of its own or a kept one; the number of that, and
# the result.
sub attempt
{
	my ($row, $connection) = @_;
	my ($ends, $verb, $argument) = ($row->[5], split /[ :]/, $row->[2], 2);
	my $kept = prepare($connection);

	set("${ends}_timeout" => $time_out_ms) if $ends eq 'connect' || $ends eq 'request';
	# a name that is found too late
	set(connect_timeout => $SHORT_MS) if $verb eq 'name' && $ends eq 'connect';
	return ($kept, $DO{$verb}->($argument));
}

sub try_row
{
	my ($row, $connection) = @_;
	my ($stage, $fault, $how, undef, $promise, $ends, $requests, $messages) = @$row;
	my ($verb, $argument) = split /[ :]/, $how, 2;
	my $what = "$stage, $fault: $how, $connection connection";
	my ($kept, $result);

	$time_out_ms = $SHORT_MS;
	($kept, $result) = attempt($row, $connection);
	if ($ends =~ /\A(?:connect|request)\z/ && outcome($result) !~ /\A$promise\z/)
	{
		diag("$what: " . outcome($result) . " within $time_out_ms ms");
		push @untrue, "$what: " . outcome($result) if outcome($result) =~ /\A38V01/ && $service->count('request');
		$time_out_ms = 10 * $SHORT_MS unless $verb eq 'name';
		($kept, $result) = attempt($row, $connection);
	}
	has_served($requests, $messages) if $result->failed;
	cmp_ok($write_faults, '>', 0, "$what: it happens") if $verb eq 'write';

	like(outcome($result), qr/\A$promise\z/, "$what: what is promised")
	  or diag($result->message . "\n" . $result->detail);
	is_in_time($ends, $what);
	isnt($result->hint, '', "$what: it has a hint") if $result->failed;
	is($service->count('request'), $requests, "$what: requests");
	is($service->count('sent'), $messages, "$what: messages");
	is(($service->events('request'))[0]{connection}, $kept, "$what: it is on the kept connection")
	  if $kept && $verb eq 'sim';
	note(sprintf '%-11s | %-13s | %-32s | %-4s | %-19s | %d, %d | %4d ms',
		$stage, $fault, $how, $connection, outcome($result), $requests, $messages, $elapsed_s * 1000);
	is_closed((($service->events('request'))[0]{connection})) if $argument =~ $CLOSES;
	goes_on($what);
	return;
}

# --- the matrix

note('stage       | fault         | what is done                     | conn | outcome             | requests, messages | time');
for my $row (@MATRIX)
{
	try_row($row, $_) for $row->[3] eq 'both' ? qw(new kept) : $row->[3];
}

is_usually_in_time($_) for 'at once', 'connect', 'request';

# --- the cells that are empty

for my $stage (@STAGES)
{
	for my $fault (@FAULTS)
	{
		my $filled = grep { $_->[0] eq $stage && $_->[1] eq $fault } @MATRIX;
		my $elsewhere = $ONLY{$fault} && grep { $_->[1] eq $fault } @MATRIX;
		my $reason = $EMPTY{$stage}{$fault} // ($filled ? undef : $elsewhere && $ONLY{$fault});

		ok($filled ? !$reason : $reason, "$stage, $fault: the cell is filled, or it is said why not");
		note("$stage, $fault: cannot happen: $reason") if $reason;
	}
}
for my $row (@MATRIX)
{
	ok((grep { $_ eq $row->[0] } @STAGES) && (grep { $_ eq $row->[1] } @FAULTS), "$row->[2] is in a cell of the matrix");
}

# --- what a row cannot say

# Of what the client offers, a service that prefers HTTP/2 gets HTTP/1.1.
prepare('new');
set(endpoint => $service->endpoint('tls_h2'));
call('FA1');
is(($service->events('tls'))[0]{alpn}, 'http/1.1', 'a service that prefers HTTP/2 gets HTTP/1.1');

# A name that is found when the call has long ended leaves nothing behind, and nothing
# of it is sent then.
prepare('new');
set(endpoint => 'https://slow-600.names.test:' . $service->port, connect_timeout => $SHORT_MS);
is(outcome(call('FA1')), '38V01 no resolve', 'a name that comes too late is an error');
cmp_ok(threads(), '>', 1, 'it is still being looked up');
Pnvs::Simulator::wait_until('the look-up ends', sub { threads() == 1 });
is($service->count('accept'), 0, 'a name that comes too late opens no connection');
goes_on('a name that came too late');

# The request that "tls_full" has no room for is in the kernel, not all of it with
# the service: what was not read cannot be known to be unsent.
prepare('new');
set(endpoint => $service->endpoint('tls_full'), request_timeout => $LONG_MS, security_token => 'x' x 4000);
$session->send(q{SELECT * FROM start_verification('SMS', '6281599999999', 'FA1')});
my $remote = sprintf '0100007F:%04X', $service->fault_port('tls_full');
Pnvs::Simulator::wait_until('a part of the request waits for room',
	sub { PostgreSQL::Test::Utils::slurp_file('/proc/net/tcp') =~ /\s$remote 01 (\w+):/ && hex $1 > 0 });
ok(!$session->has_answer, 'a request that there is no room for is waited for');
$node->safe_psql('postgres', 'SELECT pg_cancel_backend(' . $session->pid . ')');
my $result = $session->result;
is($result->sqlstate, '57014', 'it can be cancelled');
is($result->fate, 'sent=maybe stage=reply', 'it may have been sent');
$session->run('RESET pnvs.security_token');
goes_on('a request that there was no room for');

# Memory that runs out once the service has answered: PostgreSQL's own words would say
# nothing of the message, and drivers repeat a statement that ended with them. The reply
# is large, so that each text of it, and the row, is an allocation of its own. A sanitizer
# has an allocator of its own, which cannot be made to fail.
if (PostgreSQL::Test::Utils::slurp_file('/proc/' . $session->pid . '/maps') !~ /libasan/)
{
	my $message_len = 100_000;
	my $ENOUGH_WELL = 3;
	my (%seen, @unclean, @untrue);

	prepare('new');
	is(outcome(call("sim:bigmessage:$message_len")), 'row t', 'a large reply is a row');
	for (my ($from, $well) = (1, 0); $well < $ENOUGH_WELL; $from++)
	{
		# so that it is on a kept connection, where what is read comes soon
		call('FA1');
		$shortage->order($session->pid, scope => 'call', fail_from => $from);
		my $got = outcome(call("sim:bigmessage:$message_len"));
		$shortage->relieve;
		$well = $shortage->report->{failed} ? 0 : $well + 1;
		next if $well;

		# what the service reads, it logs by and by
		$service->wait_for('request') if $got =~ /\Arow|maybe reply/;
		$seen{$got}++;
		push @unclean, "$from: $got" unless $got =~ /\A(?:row [tf]|38V01 no \w+|38V02 maybe \w+|53200 \? \?)\z/;
		push @untrue, "$from: $got" if $got =~ /\A(?:38V01|53200)/ && $service->count('sent');
	}
	is_deeply(\@unclean, [], 'whatever allocation fails, the call ends cleanly');
	is_deeply(\@untrue, [], 'whatever allocation fails, what is said to be unsent is');
	note(join ', ', map { "$_: $seen{$_}" } sort keys %seen);
	cmp_ok($seen{'38V02 maybe reply'}, '>=', 4, 'a reply for which there is no memory may have been sent');
	goes_on('a reply for which there was no memory');
}

is_deeply(\@untrue, [], 'a call that is made again was not said to be unsent when it was read');
$session->close;
$node->stop;
done_testing();
