# What many calls leave behind, which is nothing; and calls for which there is too
# little of something: descriptors, memory, and time for all who call at once.
#
# PNVS_FULL=1 in the environment asks for 10,000 calls of each sort, for every allocation
# and for minutes of idleness; see run.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl", "$FindBin::RealBin/../soak";

use List::Util qw(max min sum0);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Pnvs::Session;
use Pnvs::Simulator;
use Shortage;

my $FULL = $ENV{PNVS_FULL};

# Of each, good calls and failing ones.
my $CALLS = $FULL ? 10_000 : 2_000;
my $ROUNDS = 10;

# How long a connection is kept is 10 s (MAX_IDLE_S in src/remote/http_transfer.c).
my $IDLE_S = $FULL ? 180 : 12;

my $SESSIONS = 64;
my $LONG_MS = 20_000;

# What may grow: libraries and PostgreSQL fill caches by and by. A leak of 16 bytes a
# call would pass this.
my $MAX_GROWTH = 32 * 1024;

# The kernel's count is in pages, and of what malloc keeps for the next time.
my $MAX_RSS_GROWTH = 1024 * 1024;

my $service = Pnvs::Simulator->new;
my $shortage = Shortage->new;
my $node = $service->new_node('flatness',
	environment => $shortage->environment,
	conf => "max_connections = 100\npnvs.connect_timeout = $LONG_MS\npnvs.request_timeout = $LONG_MS\n");
my $controller = Pnvs::Session->new($node);
my $session = Pnvs::Session->new($node);
my $next_number = 6281600000000;

sub set
{
	my (%value) = @_;

	$session->run("SET pnvs.$_ = '$value{$_}'") for keys %value;
	return;
}

sub start
{
	my ($service_sid) = @_;

	return sprintf q{SELECT * FROM start_verification('SMS', '%s', '%s')}, $next_number++, $service_sid // 'FA1';
}

# Calls; the log begins anew with it.
sub call
{
	my ($service_sid) = @_;

	$service->mark;
	return $session->query(start($service_sid));
}

# "38V01 no tls", "row t", or an SQLSTATE alone.
sub outcome
{
	my ($result) = @_;

	return 'lost' if $result->lost;
	return 'row ' . ($result->row->{success} // '?') unless $result->failed;
	return join ' ', $result->sqlstate, $result->fate =~ /\Asent=(\w+) stage=(\w+)\z/;
}

# --- a session that idles while the rest is done

my $idler = Pnvs::Session->new($node);
my $authorities = PostgreSQL::Test::Utils::tempdir() . '/authorities.pem';
my $idle_since;

sub trust
{
	my ($simulator) = @_;

	open(my $file, '>', $authorities) or die "could not open $authorities: $!";
	print {$file} PostgreSQL::Test::Utils::slurp_file($simulator->ca_file);
	close $file;
	return;
}

trust($service);
$idler->run("SET pnvs.ca_file = '$authorities'");
$service->mark;
is($idler->run(start())->row->{success}, 't', 'the session that is going to idle calls');
my $idle_connection = ($service->events('request'))[0]{connection};
$idle_since = time;

# --- what a process holds

sub held
{
	my $pid = $session->pid;
	my $status = PostgreSQL::Test::Utils::slurp_file("/proc/$pid/status");
	my ($contexts) = $session->run(<<'SQL')->rows;
SELECT sum(total_bytes) AS total, sum(total_bytes) FILTER (WHERE name = 'TopMemoryContext') AS top
FROM pg_backend_memory_contexts
SQL

	return {
		# a table that has grown to some pages has a map of its free space, and PostgreSQL opens that
		descriptors => scalar(my @fd = grep { (readlink($_) // '') !~ /_fsm\z/ } glob "/proc/$pid/fd/*"),
		threads => scalar(my @task = glob "/proc/$pid/task/*"),
		contexts => $contexts->{total},
		'TopMemoryContext' => $contexts->{top},
		malloc => $shortage->report->{live_bytes},
		RSS => 1024 * ($status =~ /^RssAnon:\s+(\d+) kB/m)[0],
	};
}
my @HELD = ('descriptors', 'threads', 'contexts', 'TopMemoryContext', 'malloc', 'RSS');

# A sanitizer or valgrind has rules of its own for memory, and needs descriptors itself.
my $instrumented = PostgreSQL::Test::Utils::slurp_file('/proc/' . $session->pid . '/maps') =~ /libasan|vgpreload/;

# --- kinds of calls: what they are, how many of a thousand, their settings, the call,
# and its outcome as a regular expression

sub cancelled
{
	$service->mark;
	$session->send(start('sim:hang'));
	$service->wait_for('request');
	$controller->run('SELECT pg_cancel_backend(' . $session->pid . ')');
	return $session->result;
}

my @GOOD = (
	[ 'a start', 600, {}, sub { call() }, 'row t' ],
	[ 'a check', 200, {}, sub { $session->query("SELECT * FROM check_verification('123456', 'id', NULL, 'sim:approved')") }, 'row t' ],
	[ 'a search', 100, {}, sub { $session->query("SELECT true AS success FROM search_verification('sim:pages:3')") }, 'row t' ],
	[ 'a reconnect', 100, {}, sub { call('sim:last') }, 'row t' ]);
my @FAILING = (
	[ 'a name that does not exist', 50, { endpoint => 'https://noname.test' }, sub { call() }, '38V01 no resolve' ],
	[ 'a name that comes too late', 10,
		{ endpoint => 'https://slow-200.names.test', connect_timeout => 20 }, sub { call() }, '38V01 no resolve' ],
	[ 'refused', 310, { endpoint => $service->endpoint('refused') }, sub { call() }, '38V01 no connect' ],
	[ 'a connection that stalls', 20,
		{ endpoint => $service->endpoint('connect_stall'), connect_timeout => 10 }, sub { call() }, '38V01 no connect' ],
	[ 'a certificate that is not trusted', 100,
		{ endpoint => $service->endpoint('tls_selfsigned') }, sub { call() }, '38V01 no tls' ],
	[ 'a handshake that breaks', 60, { endpoint => $service->endpoint('tls_garbage') }, sub { call() }, '38V01 no tls' ],
	[ 'a call that times out', 20, { request_timeout => 40 },
		sub { call('sim:hang') }, '38V02 maybe reply|38V01 no \w+' ],
	[ 'an unreadable reply', 250, {}, sub { call('sim:notjson') }, '38V02 maybe reply' ],
	[ 'a reply that is too large', 10, {}, sub { call('sim:oversize') }, '38V02 maybe reply' ],
	[ 'a reply that ends early', 50, {}, sub { call('sim:truncate') }, '38V02 maybe reply' ],
	[ 'a refusal that is an error', 60, { on_failure => 'error' }, sub { call('sim:code:COUNTRY_BLACKLISTED:200') }, '38V04 no reply' ],
	[ 'cancelled', 60, {}, \&cancelled, '57014 maybe reply' ]);

my (%unexpected, %took_s);

# Makes so many calls of a kind.
sub make_calls
{
	my ($kind, $count) = @_;
	my ($name, undef, $setting, $make, $outcome) = @$kind;

	my $started = time;

	set(%$setting);
	for (1 .. $count)
	{
		my $got = outcome($make->());

		$unexpected{"$name: $got"}++ if $got !~ /\A(?:$outcome)\z/;
	}
	$session->run("RESET pnvs.$_") for keys %$setting;
	$took_s{$name} += time - $started;
	return;
}

# A thousandth of $CALLS for each of a kind's share, in rounds; what is held after the
# first, and after the last.
sub soak
{
	my ($what, @kinds) = @_;
	my ($first, $last, $started);

	%unexpected = ();
	%took_s = ();
	make_calls($_, max(1, $_->[1] * $CALLS / 1000 / $ROUNDS)) for @kinds;
	settle();
	$first = held();
	$started = time;
	for my $round (1 .. $ROUNDS)
	{
		make_calls($_, max(1, $_->[1] * $CALLS / 1000 / $ROUNDS)) for @kinds;
	}
	note(sprintf '%s: %d in %.1f s: %s', $what, sum0(map { $_->[1] * $CALLS / 1000 } @kinds), time - $started,
		join(', ', map { sprintf '%s %.1f s', $_->[0], $took_s{ $_->[0] } } @kinds));
	settle();
	$last = held();
	is_deeply(\%unexpected, {}, "$what: every call ends as it should");
	return ($first, $last);
}

# What goes on after a call: look-ups that nobody waits for any longer. Then the same
# connection is there each time.
sub settle
{
	my @task = glob '/proc/' . $session->pid . '/task/*';

	Pnvs::Simulator::wait_until('every look-up ends', sub { (@task = glob '/proc/' . $session->pid . '/task/*') == 1 });
	is(outcome(call()), 'row t', 'a call in between succeeds');
	return;
}

sub is_flat
{
	my ($what, $first, $last) = @_;

	for my $name (@HELD)
	{
		my $growth = $last->{$name} - $first->{$name};

		note(sprintf '%s: %s: %d at first, %+d', $what, $name, $first->{$name}, $growth);
		next if $instrumented && $name =~ /malloc|RSS/;
		if ($name eq 'RSS') { cmp_ok($growth, '<=', $MAX_RSS_GROWTH, "$what: resident memory does not grow"); }
		elsif ($name eq 'malloc') { cmp_ok($growth, '<=', $MAX_GROWTH, "$what: malloc'ed memory does not grow"); }
		else { cmp_ok($growth, '<=', 0, "$what: $name do not grow"); }
	}
	return;
}

sub shares { return sum0(map { $_->[1] } @_); }

is(shares(@GOOD), 1000, 'the shares of good calls add up');
is(shares(@FAILING), 1000, 'the shares of failing calls add up');
# Before it is looked at what is held, everything has happened.
make_calls($_, 5) for @GOOD, @FAILING;
$shortage->order($session->pid);
is_flat('good calls', soak('good calls', @GOOD));
is_flat('failing calls', soak('failing calls', @FAILING));
$shortage->relieve;

# --- verifications from beginning to end

# Begun, confirmed by a wrong code and by the right one, and used up.
sub verify
{
	my $number = $next_number++;

	$service->mark;
	my $id = $session->value("SELECT id FROM begin_verification('$number', service_sid => 'FA1')");
	my $sent = "SELECT count(*) FROM verification_queue WHERE phone_verification = '$id' AND state = 'sent'";

	Pnvs::Simulator::wait_until('the message is sent', sub { $session->value($sent) });
	my $code = $service->wait_for('sent', to => $number)->{code};
	$session->run("SELECT * FROM confirm_verification('$id', '$_')") for sprintf('%06d', ($code + 1) % 1_000_000), $code;
	return $session->query("SELECT use_verification('$id') IS NOT NULL AS success");
}

{
	my $other = $service->new_node('verifications', environment => $shortage->environment, preload => 'shared_preload_libraries',
		conf => "pnvs.connect_timeout = $LONG_MS\npnvs.request_timeout = $LONG_MS\n");
	my @kind = ([ 'a verification', 50, {}, \&verify, 'row t' ]);
	my $before = $session;

	$session = Pnvs::Session->new($other);
	make_calls($_, 30) for @kind;
	$shortage->order($session->pid);
	is_flat('verifications', soak('verifications', @kind));
	$shortage->relieve;
	is($session->value(q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()}), 0, 'verifications leave no lock');
	$session->close;
	$session = $before;
	$other->stop;
}

# --- too few descriptors

# The lowest limit under which a process can open so many more.
sub limit_for
{
	my ($pid, $spare) = @_;
	my %open = map { m{(\d+)\z} => 1 } glob "/proc/$pid/fd/*";
	my $limit = 0;

	until ($spare < 0)
	{
		$spare-- unless $open{$limit};
		$limit++;
	}
	return $limit - 1;
}

sub limit_descriptors
{
	my ($pid, $limit) = @_;

	PostgreSQL::Test::Utils::system_or_bail('prlimit', '--pid', $pid, "--nofile=$limit:");
	return;
}

# A session that has called the function, so that it needs nothing more for that
# from PostgreSQL, but not the service.
sub new_session
{
	$session->close;
	$session = Pnvs::Session->new($node);
	$session->query(q{SELECT * FROM start_verification('SMS', '1', 'FA1')})->sqlstate eq '22023'
	  or die 'a bad number was not refused';
	return;
}

# A session without a connection to the service.
sub disconnect { return $session->run(start('sim:last')); }

# The same, and its next call reads the authorities, from the other one of two files.
sub trust_another_file
{
	my $now = $session->value('SHOW pnvs.ca_file');

	disconnect();
	set(ca_file => $now eq $authorities ? $service->ca_file : $authorities);
	return;
}

sub descriptors_run_out
{
	my ($state, $prepare) = @_;
	my (%seen, $usual);

	for my $spare (0 .. 9)
	{
		my ($result, $what);

		$prepare->();
		$usual //= (PostgreSQL::Test::Utils::slurp_file('/proc/' . $session->pid . '/limits') =~ /^Max open files\s+(\d+)/m)[0];
		limit_descriptors($session->pid, limit_for($session->pid, $spare));
		$result = call();
		limit_descriptors($session->pid, $usual);
		$what = "$state, $spare descriptors left";
		$seen{ outcome($result) }++;
		note("$what: " . outcome($result) . ' ' . $result->message . ' ' . $result->detail);
		like(outcome($result), qr/\A(?:row t|38V01 no \w+)\z/, "$what: the call succeeds or is unsent");
		is($service->count('sent'), $result->failed ? 0 : 1, "$what: messages");
		is(outcome(call()), 'row t', "$what: the next call succeeds");
		is($service->count('request'), 1, "$what: by one request");
	}
	ok($seen{'row t'}, "$state: with enough descriptors the call succeeds");
	return %seen;
}

if (!$instrumented)
{
	my %seen = descriptors_run_out('a first call', \&new_session);

	ok((grep { /38V01/ } keys %seen), 'a first call without descriptors is unsent');
	new_session();
	%seen = descriptors_run_out('a reconnect', \&disconnect);
	ok((grep { /38V01/ } keys %seen), 'a reconnect without descriptors is unsent');
	descriptors_run_out('a kept connection', sub { call() });
}

# --- too little memory

# A call that loses its way must end by its time-out.
my $MEMORY_MS = 2000;
my $HANGS_S = 10;

# By number: how many requests and messages the service has seen since the mark. It
# may read a request, and say so, when the call that made it has ended.
sub seen_by_number
{
	my (%requests, %messages);

	Pnvs::Simulator::wait_until('the service is done with all but the last connection',
		sub {
			my %open = map { $_->{connection} => 1 } $service->events('accept');

			delete $open{ $_->{connection} } for $service->events('close');
			return keys %open <= 1;
		});
	$requests{ $_->{params}{To} }++ for $service->events('request');
	$messages{ $_->{to} }++ for $service->events('sent');
	return (\%requests, \%messages);
}

# What is wrong with how a call ended for which an allocation failed; nothing, if all
# is right.
sub judge
{
	my ($result, $requests, $messages) = @_;
	my $outcome = outcome($result);

	return () if $outcome eq 'row t' && $requests == 1 && $messages == 1;
	return () if $outcome =~ /\A38V02 maybe \w+\z/ && $requests <= 1 && $messages <= 1;
	return () if $outcome =~ /\A(?:38V01 no \w+|53200)\z/ && $requests == 0;

	# libcurl has left out a header for which it had no memory, and said nothing of it
	return () if $outcome eq 'row f' && $messages == 0 && $result->row->{code} =~ /\A(?:Missing|Incomplete|Signature)/;
	return join ', ', $outcome, "$requests requests", "$messages messages", $result->message, $result->detail;
}

# Calls, and cancels a call that does not end.
sub call_in_time
{
	my ($hangs) = @_;
	my $number = $next_number;
	my $result;

	$session->send(start());
	$$hangs = !eval { $result = $session->result($HANGS_S) };
	if ($$hangs)
	{
		$controller->run('SELECT pg_cancel_backend(' . $session->pid . ')');
		$result = $session->result;
	}
	return ($number, $result);
}

# Where a call begins to connect, counted in allocations: libcurl enters the socket into
# its tables there, and leaves them half done where it runs out of memory.
my $CONNECTING = 20;

sub connecting_from
{
	my ($prepare, %order) = @_;

	$prepare->();
	$shortage->order($session->pid, %order, fail_from => $Shortage::FOR_EVER);
	call();
	$shortage->relieve;
	return $shortage->report->{opened_at};
}

# Has an allocation of a call fail, or all from it on; each, or every $step-th, and, of
# those that fail alone, each where a call begins to connect. Then the session must call
# again as if nothing had happened, or, where it is not going to be used again, at least be
# right about it.
sub memory_runs_out
{
	my ($what, $prepare, $step, %order) = @_;
	my $is_last = $prepare == \&new_session;
	my (%count, @wrong, @calls, $useless);
	my $from = 1;
	my $connecting = $order{fail_times} ? 0 : connecting_from($prepare, %order);

	set(request_timeout => $MEMORY_MS);
	$service->mark;
	for (;; $from = next_allocation($from, $step, $connecting))
	{
		my ($number, $result, $hangs);

		if (!eval { $prepare->(); 1 })
		{
			push @wrong, "before allocation $from: $@";
			last;
		}
		set(request_timeout => $MEMORY_MS);
		$shortage->order($session->pid, %order, fail_from => $from);
		($number, $result) = call_in_time(\$hangs);
		$shortage->relieve;
		last unless $shortage->report->{failed} || $result->lost;
		$count{ outcome($result) }++;
		push @wrong, "allocation $from: the call hangs" if $hangs;
		push @wrong, "allocation $from: the backend has died" if $result->lost;
		last if $result->lost;
		push @calls, [ "allocation $from", $number, $result ];

		($number, $result) = call_in_time(\$hangs);
		$useless++ if $result->failed;
		push @wrong, "after allocation $from: " . outcome($result) . ', ' . $result->message . ', ' . $result->detail
		  if $hangs || ($result->failed && !$is_last);
		push @calls, [ "after allocation $from", $number, $result ];
	}
	my ($requests, $messages) = seen_by_number();
	for my $call (@calls)
	{
		my ($when, $number, $result) = @$call;

		push @wrong, map { "$when: $_" } judge($result, $requests->{$number} // 0, $messages->{$number} // 0);
	}
	note(sprintf '%s: %d of %d allocations: %s', $what, @calls / 2, $from - 1, join ', ', map { "$count{$_} $_" } sort keys %count);
	note("$what: $useless sessions were of no use afterwards") if $useless;
	cmp_ok(scalar @calls, '>', 0, "$what: allocations fail");
	is_deeply(\@wrong, [], "$what: every call ends cleanly, and the session goes on");
	return;
}

# The next that fails: none where a call begins to connect is left out.
sub next_allocation
{
	my ($from, $step, $connecting) = @_;
	my $next = $from + $step;

	return $next if !$connecting || $from > $connecting + $CONNECTING || $next < $connecting;
	return max($from + 1, min($next, $connecting));
}

# Has the service be at another port for whoever comes next.
sub move_to
{
	my ($endpoint) = @_;

	$node->append_conf('postgresql.conf', "pnvs.endpoint = '$endpoint'");
	$node->reload;
	Pnvs::Simulator::wait_until('the configuration is read', sub { $controller->value('SHOW pnvs.endpoint') eq $endpoint });
	return;
}

# Two things are the libraries' own. A session whose first call runs out of memory while
# OpenSSL sets itself up, once in a process, may be of no use for the rest of its life,
# for OpenSSL does not try again. And libcurl 7.88 frees memory twice after it had none
# to keep a TLS session (Curl_ssl_addsessionid), so here the service gives it none.
if (!$instrumented)
{
	my $for_ever = $Shortage::FOR_EVER;

	move_to($service->endpoint('tls_noticket'));
	new_session();
	call();
	memory_runs_out('a kept connection', sub { }, 1);
	memory_runs_out('a kept connection, from then on', sub { }, 1, fail_times => $for_ever);
	memory_runs_out('a kept connection, PostgreSQL too', sub { }, 1, scope => 'call');
	memory_runs_out('a reconnect', \&disconnect, $FULL ? 1 : 29);
	memory_runs_out('a reconnect, from then on', \&disconnect, $FULL ? 1 : 61, fail_times => $for_ever);
	memory_runs_out('a reconnect, PostgreSQL too', \&disconnect, $FULL ? 1 : 59, scope => 'call');
	memory_runs_out('another file of authorities', \&trust_another_file, $FULL ? 1 : 31);
	memory_runs_out('a first call', \&new_session, $FULL ? 1 : 151);
	memory_runs_out('a first call, from then on', \&new_session, $FULL ? 1 : 199, fail_times => $for_ever);
	memory_runs_out('a first call, PostgreSQL too', \&new_session, $FULL ? 1 : 197, scope => 'call');
}

move_to($service->endpoint);

# --- many at once

{
	my @sessions = map { Pnvs::Session->new($node) } 1 .. $SESSIONS;
	my %outcomes;
	my $started = time;

	$service->mark;
	for my $round (1 .. 3)
	{
		$_->send(start('sim:slow:50')) for @sessions;
		$outcomes{ outcome($_->result) }++ for @sessions;
	}
	note(sprintf '%d sessions, 3 calls each: %.1f s', $SESSIONS, time - $started);
	is_deeply(\%outcomes, { 'row t' => 3 * $SESSIONS }, "$SESSIONS sessions that call at once all succeed");
	is($service->count('request'), 3 * $SESSIONS, 'there are as many requests');
	is($service->count('sent'), 3 * $SESSIONS, 'there are as many messages');
	is(scalar(keys %{ { map { $_->{to} => 1 } $service->events('sent') } }), 3 * $SESSIONS, 'each to its own number');
	is($service->count('accept'), $SESSIONS, 'each session has one connection');
	$_->close for @sessions;
}

# --- the session that idles

sleep(max(0, $idle_since + $IDLE_S - time));
$service->mark;
is($idler->run(start())->row->{success}, 't', 'a session calls that was idle for long');
is($service->count('request'), 1, 'it makes one request');
is($service->count('sent'), 1, 'it sends one message');
isnt(($service->events('request'))[0]{connection}, $idle_connection, 'it does so on a new connection');
note(sprintf 'it was idle for %d s', time - $idle_since);

# What it has read of that file is a minute old now (CA_CACHE_S, see there).
if ($FULL)
{
	my $other = Pnvs::Simulator->new;

	trust($other);
	sleep 61;
	$idler->run("SET pnvs.endpoint = '" . $other->endpoint . "'");
	is($idler->run(start())->row->{success}, 't', 'an authority that was put into the file of authorities is trusted');
	$idler->run("SET pnvs.endpoint = 'https://localhost:" . $service->port . "'");
	is(outcome($idler->query(start())), '38V01 no tls', 'and one that was taken out of it is not');
}

$_->close for $idler, $session, $controller;
$node->stop;
done_testing();
