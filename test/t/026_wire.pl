# What the other side can do to a call by what it sends: never end, flood, drip, and put
# foreign words into its reply; and what stands around a call: environment, clocks,
# authorities, versions of libcurl.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(min);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Pnvs::Preload;
use Pnvs::Queue;
use Pnvs::Session;
use Pnvs::Simulator qw(wait_until);

# What hangs here hangs for good; nothing is waited for longer than this.
$PostgreSQL::Test::Utils::timeout_default = min($PostgreSQL::Test::Utils::timeout_default, 30);

# What is promised on a quiet machine, and what must hold on a busy one.
my $PROMISED_S = 0.150;
my $LIMIT_S = 5;
my $MAX_TRIES = 5;
my $SHORT_MS = 200;
my $LONG_MS = 60_000;

my $scratch = PostgreSQL::Test::Utils::tempdir();
my $service = Pnvs::Simulator->new;

# The server's environment wants the keys of TLS sessions written down, trusts the
# simulator, and wants no proxy: none of it counts.
my $key_log = "$scratch/keys";
my $queue = Pnvs::Queue->new($service, 'wire',
	conf => "pnvs.connect_timeout = $LONG_MS\npnvs.request_timeout = $LONG_MS\n",
	environment => {
		LD_PRELOAD => Pnvs::Preload::build($scratch, 'clock'),
		PNVS_CLOCK_MONOTONIC => "$scratch/ahead",
		SSLKEYLOGFILE => $key_log,
		(map { $_ => $service->ca_file } qw(SSL_CERT_FILE CURL_CA_BUNDLE)),
		(map { $_ => '*' } qw(no_proxy NO_PROXY)),
	});
my $controller = $queue->session;
my $session = $queue->connect;
# A sanitizer takes that long for a handshake alone.
$SHORT_MS *= 5 if PostgreSQL::Test::Utils::slurp_file('/proc/' . $session->pid . '/maps') =~ /libasan/;

sub call
{
	my ($service_sid) = @_;

	return sprintf q{SELECT * FROM start_verification('SMS', '%s', '%s')}, Pnvs::Queue::new_number(), $service_sid // 'FA1';
}

sub set
{
	my (%value) = @_;

	$session->run("SET pnvs.$_ = '$value{$_}'") for sort keys %value;
	return;
}

# Whatever happened, the session goes on.
sub goes_on
{
	my ($what) = @_;

	set(endpoint => $service->endpoint, proxy => '', connect_timeout => $LONG_MS, request_timeout => $LONG_MS);
	is($session->run(call())->row->{success}, 't', "$what: the next call succeeds");
	return;
}

# --- floods: no call of libcurl may last

# By port, or by scenario: the event that shows that it has begun, and whether that is a proxy.
my %flood = (
	(map { $_ => [ 'proxied', 1 ] } qw(proxy_chunks proxy_length proxy_drip proxy_headers tls_proxy_chunks)),
	tls_hellos => [ 'accept', 0 ],
	(map { $_ => [ 'request', 0 ] } qw(sim:extensionflood sim:trailerflood)));

sub route_to
{
	my ($flood) = @_;
	my $address;

	return (proxy => '', endpoint => $service->endpoint) if $flood =~ /^sim:/;
	$address = ($flood =~ /^tls/ ? 'https' : 'http') . '://127.0.0.1:' . $service->fault_port($flood);
	return $flood{$flood}[1] ? (proxy => $address, endpoint => $service->endpoint) : (proxy => '', endpoint => $address);
}

# The result of a statement that was sent, or nothing where the session hangs: that one is left.
sub result
{
	my ($what) = @_;
	my $result = eval { $session->result($SHORT_MS / 1000 + $LIMIT_S) };

	ok($result, "$what: the session does not hang");
	$session = $queue->connect unless $result;
	return $result;
}

# In a fresh session, so that the connection is new.
sub flood
{
	my ($flood, %setting) = @_;

	$session->close if $session;
	$session = $queue->connect;
	set(route_to($flood));
	$session->run("SET $_ = $setting{$_}") for keys %setting;
	$service->mark;
	$session->send(call($flood =~ /^sim:/ ? $flood : 'FA1'));
	return;
}

for my $flood (sort keys %flood)
{
	my ($asked, $result, @took);

	for my $try (1 .. $MAX_TRIES)
	{
		flood($flood);
		$service->wait_for($flood{$flood}[0]);
		$asked = time;
		$controller->run('SELECT pg_cancel_backend(' . $session->pid . ')');
		$result = result("$flood, cancelled") or last;
		push @took, ($result->error_time // time) - $asked;
		last if $took[-1] < $PROMISED_S;
	}
	next unless $result;
	like($result->sqlstate, qr/\A(?:57014|38V0[12])\z/, "$flood: a call is cancelled, or has ended before");
	cmp_ok(min(@took), '<', $PROMISED_S, "$flood: that takes 100 ms at the most");
	goes_on("$flood, cancelled");

	flood($flood, statement_timeout => $SHORT_MS);
	$result = result("$flood and statement_timeout") or next;
	like($result->sqlstate, qr/\A(?:57014|38V0[12])\z/, "$flood: statement_timeout ends a call");

	flood($flood, 'pnvs.request_timeout' => $SHORT_MS);
	$result = result("$flood and request_timeout") or next;
	like($result->sqlstate, qr/\A38V0[12]\z/, "$flood: request_timeout ends a call");
	like($result->fate, $flood =~ /^sim:/ ? qr/sent=maybe stage=reply/ : qr/sent=no/, "$flood: it says whether the request was sent");
	goes_on($flood);
}

# What comes where nothing was asked ends a kept connection.
goes_on('before bytes that nobody asked for');
$service->mark;
is($session->run(call('sim:flood-after'))->row->{success}, 't', 'an answer that is followed by a flood is one');
# what comes while the next request is sent would be its answer
$service->wait_for('flood');
goes_on('after bytes that nobody asked for');

# --- the same in a worker, which has other messages to send

for my $flood (qw(proxy_chunks tls_hellos))
{
	my %route = route_to($flood);
	my ($under_way, $flooded, $other, $started);

	$queue->configure;
	$under_way = $queue->enqueue('sim:slow:700');
	wait_until('a request is under way', sub { $queue->requests($under_way) });
	$service->mark;
	$queue->reload(map { ("pnvs.$_" => $route{$_}) } keys %route);
	$flooded = $queue->enqueue('FA1');
	$service->wait_for($flood{$flood}[0]);
	$queue->reload('pnvs.proxy' => undef, 'pnvs.endpoint' => undef);
	$other = $queue->enqueue('FA1');
	is($queue->soon_settled([ $other, $under_way ]), 'sent sent', "$flood in a worker: other messages go on");
	is($queue->sent($other), 1, "$flood in a worker: the other one is sent once");

	$started = time;
	ok(eval { $controller->run('CREATE DATABASE other'); $controller->run('DROP DATABASE other'); 1 },
		"$flood in a worker: DROP DATABASE is not held up");
	cmp_ok(time - $started, '<', $LIMIT_S, "$flood in a worker: nor does it take long");
	is($queue->workers ? 1 : 0, 1, "$flood in a worker: the worker goes on");
	# Its sender leaves, and the next one sends it by the right way.
	$queue->configure;
	is($queue->soon_settled([$flooded]), 'sent', "$flood in a worker: the flooded message is sent in the end");
	is($queue->sent($flooded), 1, "$flood in a worker: once");
}

# --- connections and TLS sessions last for minutes, and no longer than their authorities

# Time goes on for this side.
{
	my $ahead_s = 0;

	sub pass_s
	{
		my ($s) = @_;

		$ahead_s += $s;
		append_to_file("$scratch/next", $ahead_s);
		rename "$scratch/next", "$scratch/ahead" or die "rename: $!";
		return;
	}
}

# A fresh session; the log begins with it.
sub fresh
{
	my ($ca_file) = @_;

	$session->close;
	$session = $queue->connect;
	set(ca_file => $ca_file) if $ca_file;
	$service->mark;
	return;
}

# Of each handshake so far, whether it resumed a session.
sub handshakes { return join ' ', map { $_->{resumed} ? 'resumed' : 'full' } $service->events('tls'); }

sub call_succeeds
{
	my ($what, $service_sid) = @_;

	is($session->query(call($service_sid))->row->{success} // 'no', 't', "$what: the call succeeds");
	return;
}

$queue->reload('pnvs.worker' => 'off');
wait_until('the worker has left', sub { !$queue->workers });
fresh();
call_succeeds('a connection that ends', 'sim:last');
call_succeeds('after a connection that has ended');
is(handshakes(), 'full resumed', 'at once a TLS session is resumed');

fresh();
for my $time (1 .. 30)
{
	call_succeeds("under steady traffic ($time)");
	pass_s(8);
}
is(handshakes(), 'full full', 'under steady traffic a connection is used for two minutes, and the next one resumes nothing');

{
	my $other = Pnvs::Simulator->new;
	my $ours = PostgreSQL::Test::Utils::slurp_file($service->ca_file);
	my $theirs = PostgreSQL::Test::Utils::slurp_file($other->ca_file);
	my $ca_file = "$scratch/authorities.pem";

	sub trust
	{
		my (@authority) = @_;

		append_to_file("$ca_file.next", join '', @authority);
		rename "$ca_file.next", $ca_file or die "rename: $!";
		return;
	}

	for my $kept (0, 1)
	{
		my $what = $kept ? 'an authority that is taken away while a connection is kept' : 'an authority that is taken away';

		trust($ours, $theirs);
		fresh($ca_file);
		call_succeeds("before $what", $kept ? 'FA1' : 'sim:last');
		trust($theirs);
		pass_s(3) if $kept;
		is($session->query(call())->sqlstate, '38V01', "$what vouches for nobody");
		trust($theirs, $ours);
		call_succeeds("after $what is back");
	}

	# A host that fails leaves the others as they are.
	fresh();
	call_succeeds('before another host');
	for my $endpoint ($other->endpoint, map { $service->endpoint($_) } qw(tls_wronghost tls_alert))
	{
		set(endpoint => $endpoint);
		is($session->query(call())->fate, 'sent=no stage=tls', "TLS with $endpoint fails") for 1 .. 2;
		set(endpoint => $service->endpoint);
		call_succeeds("after $endpoint");
	}
	is($service->count('accept', port => 'main'), 1, 'the connection to a host is kept though TLS fails with others');
	call_succeeds('a connection that ends after TLS has failed with others', 'sim:last');
	call_succeeds('after a connection that has ended');
	my ($last) = (reverse $service->events('accept', port => 'main'))[0];
	ok(!$service->wait_for('tls', connection => $last->{connection})->{resumed}, 'once TLS has failed, the next connection resumes nothing');
}
fresh();
$queue->reload('pnvs.worker' => undef);

# --- what a call waits for

{
	my $SLOW_MS = 100;

	# The times of the session's next call, by their names.
	sub stage_times
	{
		my ($service_sid) = @_;
		my ($message) = grep { /us: name/ } map { $_->{M} } $session->run(call($service_sid))->notices;

		like($message, qr/\Apnvs: StartVerification took \d+ us: name \d+, connection \d+, TLS \d+, first byte \d+\z/, 'a call says what it has waited for, and no more');
		return $message =~ /(took|name|connection|TLS|first byte) (\d+)/g;
	}

	fresh();
	$session->run('SET client_min_messages = debug1');
	my %new = stage_times();
	my %kept = stage_times("sim:slow:$SLOW_MS");
	my @order = @new{qw(name connection TLS), 'first byte', 'took'};

	cmp_ok($order[0], '>', 0, 'the times of a new connection begin with the name');
	is_deeply(\@order, [ sort { $a <=> $b } @order ], 'they are in the order of the stages');
	cmp_ok($new{TLS}, '>', $new{connection}, 'and TLS takes its time');
	is($kept{TLS}, 0, 'a kept connection needs no TLS');
	cmp_ok($kept{'first byte'}, '>=', $SLOW_MS * 1000, 'the wait for a slow service is that for its first byte');
	fresh();
}

# --- the environment

goes_on('before the environment');
ok(!-e $key_log, 'no key of a TLS session is written down, whatever the environment says');
$service->mark;
set(proxy => 'http://127.0.0.1:' . $service->fault_port('proxy'));
is($session->run(call())->row->{success}, 't', 'a call goes through the proxy of the settings');
is($service->count('proxied'), 1, 'though the environment wants none');
set(proxy => '', ca_file => '');
is($session->query(call())->sqlstate, '38V01', 'no authority of the environment is trusted');
$session->run('RESET pnvs.ca_file');

# --- the service's clock

for my $skew (90_000, -90_000, 2_000_000_000)
{
	my $since = $queue->log_end;
	my $fresh = $queue->connect;

	for my $time (1, 2)
	{
		$service->mark;
		is($fresh->run(call("sim:skew:$skew"))->row->{code}, 'InvalidTimeStamp.Expired', "a clock that is $skew s off is not followed (call $time)");
		is($service->count('request'), 1, "it costs no request more (call $time)");
	}
	$service->mark;
	is($fresh->run(call())->row->{success}, 't', "after a clock that is $skew s off the next call succeeds");
	is($service->count('request'), 1, 'for its request is signed by the right time');
	is($queue->logged(qr/does not follow the clock/, $since), 1, "the log says once that a clock that is $skew s off is not followed");
	$fresh->run('SET pnvs.on_failure = error');
	like($fresh->query(call("sim:skew:$skew"))->hint, qr/up to a day/, 'the hint says how far one is');
	$fresh->close;
}

# --- the service's words: cut, and without what they quote

{
	my $KEY_ID = 'testid';
	my $number = Pnvs::Queue::new_number();
	my $TYPED = 'Tangerine';
	my %most = (request_id => 64, code => 64, message => 1024, status => 64, channel => 64);
	my @echo = (1000, 100_000);

	# Of each place: the row, and what must not be in it.
	sub words_are_fit
	{
		my ($row, $what, @secret) = @_;

		for my $column (grep { defined $row->{$_} } qw(request_id code message status channel))
		{
			cmp_ok(length $row->{$column}, '<=', $most{$column}, "$what: $column is cut");
			unlike($row->{$column}, qr/\Q$_\E/, "$what: $column does not quote the request") for @secret;
		}
		return;
	}

	goes_on('before words of the service');
	for my $length (@echo)
	{
		my $echo = "sim:echo:$length";
		my $row = $session->run("SELECT * FROM start_verification('SMS', '$number', '$echo')")->row;
		my $id;

		words_are_fit($row, "a start, $length bytes", $KEY_ID, $number);
		like($row->{message}, qr/\A\*{6} \*{13} +x+\z/, "a start, $length bytes: what it says else is kept");
		is($row->{verification_id}, $service->wait_for('sent', to => $number, service_sid => $echo)->{verification_id},
			"a start, $length bytes: the verification ID is whole");
		$row = $session->run("SELECT * FROM check_verification('$TYPED', '$row->{verification_id}', '$number', '$echo')")->row;
		words_are_fit($row, "a check, $length bytes", $KEY_ID, $number, $TYPED);
		$row = $session->run("SELECT * FROM search_verification('$echo', '$number')")->row;
		words_are_fit($row, "a search, $length bytes", $KEY_ID, $number);
		is($row->{to}, $number, "a search, $length bytes: it says for which number it is");

		$id = $queue->enqueue($echo);
		$row = $queue->settled($id);
		is($row->{state}, 'sent', "a message of the queue, $length bytes: it is sent");
		words_are_fit($row, "a message of the queue, $length bytes", $KEY_ID, $queue->number($id));
	}
	is($session->run("SELECT * FROM start_verification('SMS', '$number', 'sim:longid:256')")->row->{verification_id} =~ tr/a-zA-Z//, 256,
		'a verification ID of 256 characters is whole');
	is($session->run("SELECT * FROM start_verification('SMS', '$number', 'sim:longid:257')")->row->{verification_id}, undef,
		'a longer one, which no check would take, is none');
	is($session->run("SELECT * FROM start_verification('SMS', '$number', 'sim:code:" . 'x' x 61 . "$number:400')")->row->{code}, 'x' x 61 . '***',
		'a number at the cut is hidden, too');
	like($session->run(call())->row->{request_id}, qr/\A[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\z/,
		'a request ID that is a UUID is whole, whatever its digits');

	# What was typed is compared in the encoding in which it comes back.
	my ($typed, $latin1);

	$controller->run(q{CREATE DATABASE latin1 ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0});
	$queue->node->safe_psql('latin1', 'CREATE EXTENSION pnvs');
	$latin1 = $queue->connect(dbname => 'latin1', encoding => 'LATIN1');
	$typed = "ma\xF1ana\xE9";
	my $message = $latin1->run("SELECT * FROM check_verification('$typed', 'x/y', '$number', 'sim:echo:100')")->row->{message};
	like($message, qr/\A\*{6} \*{13} \*{9} *x/, 'in a LATIN1 database what was typed is hidden, too');
	$latin1->close;
}

# --- the end of the server, while one is flooded

{
	my %route = route_to('tls_hellos');
	my $started;

	$queue->reload(map { ("pnvs.$_" => $route{$_}) } keys %route);
	$service->mark;
	$queue->enqueue('FA1');
	$service->wait_for('accept', port => 'tls_hellos');
	$session->close;
	$controller->close;
	$started = time;
	ok(eval { $queue->node->stop('fast', timeout => 10); 1 }, 'a fast shutdown ends while a worker is flooded');
	cmp_ok(time - $started, '<', $LIMIT_S, 'and promptly');
}

# --- a libcurl that lacks an option, and that something else has initialised before

{
	my $lacks = "$scratch/lacks";
	my $node = $service->new_node('lacking', environment => {
			LD_PRELOAD => Pnvs::Preload::build($scratch, 'curl'),
			PNVS_CURL_LACKS => $lacks,
			SSLKEYLOGFILE => "$scratch/shared_keys",
		});

	$session = Pnvs::Session->new($node);
	is($session->run(call())->row->{success}, 't', 'a call by a libcurl that was initialised before succeeds');
	is(-s "$scratch/shared_keys", 0, 'it has opened a file for keys, which gets none of ours');
	$session->close;
	for my $option ([ 20312, 'CURLOPT_PREREQFUNCTION' ], [ 10266, 'CURLOPT_REQUEST_TARGET' ], [ 10247, 'CURLOPT_PROXY_CAPATH' ],
		[ 6, 'CURLMOPT_MAXCONNECTS' ])
	{
		my ($number, $name) = @$option;
		my $result;

		append_to_file("$lacks.next", $number);
		rename "$lacks.next", $lacks or die "rename: $!";
		$session = Pnvs::Session->new($node);
		$result = $session->query(call());
		is($result->sqlstate, '38V01', "without $name a call is an error");
		like($result->detail, qr/\Asent=no stage=resolve: $name is not taken by libcurl [0-9.]+: .*[Uu]nknown option/, "the DETAIL names $name");
		like($result->hint, qr/\ABuild pnvs/, 'the HINT says what to do');
		unlink $lacks;
		is($session->run(call())->row->{success}, 't', "once $name is there the session goes on");
		$session->close;
	}
	$node->stop;
}
done_testing();
