# Codes are guessed from forty sessions at once, with rollbacks, cancels, time-outs and ends
# of sessions, over resends and beside by direct checks: the service never sees more
# different codes for a verification than it has tries, and no session keeps a lock.
#
# SEED=N repeats a run.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Test::More;
use Time::HiRes qw(time);

use Pnvs::Confirm;
use Pnvs::Session;
use Pnvs::Simulator;

my $SESSIONS = 40;
my $ROUNDS = 4;
my $MAX_TRIES = 5;

my $seed = $ENV{SEED} // time ^ $$;
srand $seed;
diag("SEED=$seed");

my $service = Pnvs::Simulator->new;
my $server = Pnvs::Confirm->new($service, 'attacked',
	conf => "pnvs.limits = ''\npnvs.breaker = ''\nmax_connections = 200\npnvs.max_tries = $MAX_TRIES\n");
my $node = $server->node;
my $session = $server->session;
my $next_guess = 0;

# Another wrong code each time.
sub guess { my ($v) = @_; return Pnvs::Confirm::wrong($v, ++$next_guess); }

sub any { return $_[ rand @_ ]; }

# The different codes that the service has seen since the mark.
sub seen { my %code = map { $_->{params}{Code} => 1 } $service->events('request', action => 'CheckVerification'); return scalar keys %code; }

sub service_id
{
	my ($v) = @_;

	return $session->value("SELECT verification_id FROM pnvs_internal.queue WHERE phone_verification = '$v->{id}' AND verification_id IS NOT NULL LIMIT 1") // 'none';
}

# --- what an attacker's session does; each returns SQL

sub confirm { my ($v) = @_; return "SELECT confirm_verification('$v->{id}', '" . guess($v) . "')"; }

sub check { my ($v) = @_; return "SELECT check_verification('" . guess($v) . "', '$v->{service_id}'" . any('', ", '$v->{number}'") . ')'; }

my %deed = (
	confirmed => \&confirm,
	rolled_back => sub { 'BEGIN; ' . confirm(@_) . '; ROLLBACK' },
	in_savepoint => sub { 'BEGIN; SAVEPOINT s; ' . confirm(@_) . '; ROLLBACK TO s; COMMIT' },
	trapped => sub { my ($v) = @_; "DO \$\$ BEGIN PERFORM confirm_verification('$v->{id}', '" . guess($v) . "'); RAISE division_by_zero; EXCEPTION WHEN OTHERS THEN NULL; END \$\$" },
	repeatable => sub { 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; ' . confirm(@_) . '; COMMIT' },
	cut_short => sub { "BEGIN; SET LOCAL statement_timeout = '" . int(1 + rand 60) . "ms'; " . confirm(@_) . '; COMMIT' },
	impatient => sub { "BEGIN; SET LOCAL pnvs.request_timeout = '10ms'; SET LOCAL pnvs.connect_timeout = '10ms'; " . confirm(@_) . '; COMMIT' },
	direct => \&check,
	direct_rolled_back => sub { 'BEGIN; ' . check(@_) . '; ROLLBACK' },
	direct_impatient => sub { "BEGIN; SET LOCAL pnvs.request_timeout = '10ms'; " . check(@_) . '; COMMIT' },
);

# Forty sessions at once, some of which are canceled, or whose clients or backends end.
sub attack
{
	my ($v, $rounds, @name) = @_;
	my @attacker = map { $server->connect } 1 .. $SESSIONS;

	for my $round (1 .. $rounds)
	{
		for my $attacker (@attacker)
		{
			# the end of a session may not have been noticed yet
			$attacker = $server->connect unless eval { !$attacker->query('ROLLBACK')->lost };
			eval { $attacker->send($deed{ any(@name) }->($v)) };
		}
		for my $attacker (@attacker[ map { int rand @attacker } 1 .. 6 ])
		{
			$session->run('SELECT ' . any(qw(pg_cancel_backend pg_cancel_backend pg_terminate_backend)) . '(' . $attacker->pid . ')');
		}
		close $attacker[-1]{socket};
		for my $i (0 .. $#attacker - 1)
		{
			eval { $attacker[$i]->result(60) };
		}
	}
	eval { $_->close } for @attacker;
	return;
}

sub ended { Pnvs::Simulator::wait_until('all sessions have ended', sub { $session->value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'") == 1 }); return; }

# --- a verification whose message has arrived

{
	my $v = $server->begin('sim-check:slow:20');

	$v->{service_id} = service_id($v);
	$service->mark;
	attack($v, $ROUNDS, sort keys %deed);
	ended();
	cmp_ok(seen($v), '<=', $MAX_TRIES, 'in a storm the service has seen no more codes than there are tries');
	cmp_ok(seen($v), '>', 0, 'but some');
	is($server->locks, 0, 'and nobody holds a lock');
	is($session->value('SELECT pg_try_advisory_lock(1)'), 't', 'other advisory locks are not concerned');
	$session->run('SELECT pg_advisory_unlock_all()');
	like($server->confirm($v, $v->{code}), qr/\Af (?:max_tries|pending) 0 -\z/, 'the right code comes too late');
	cmp_ok(seen($v), '<=', $MAX_TRIES, 'and is not sent');
}

# --- each way by itself

for my $name (sort keys %deed)
{
	my $v = $server->begin('FA1');

	$v->{service_id} = service_id($v);
	$service->mark;
	attack($v, 1, $name);
	ended();
	cmp_ok(seen($v), '<=', $MAX_TRIES, "$name: no more codes than there are tries");
	is($server->locks, 0, 'and no lock is left');
}

# --- guesses before the message has arrived

{
	my $v;

	$server->configure('pnvs.worker' => 'off');
	$v = $server->begin('FA1', wait => 0);
	$service->mark;
	attack($v, 1, qw(confirmed rolled_back impatient));
	ended();
	is(seen($v), 0, 'before a message has arrived the service sees no code');
	$server->configure('pnvs.worker' => undef);
	$server->wait_sent($v);
	is($server->confirm($v, $v->{code}), 't approved 5 -', 'and no try is lost');

	# --- after the approval
	$v->{service_id} = service_id($v);
	$service->mark;
	attack($v, 1, sort keys %deed);
	ended();
	cmp_ok(seen($v), '<=', $MAX_TRIES, 'after an approval the service sees no more codes than there are tries');
	is($server->verification($v)->{state}, 'approved', 'and the approval stands');
	# many attackers are told to come back on a busy machine
	like($server->confirm($v, $v->{code}), qr/\At approved [0-5] -\z/, 'for the code that was approved');
}

# --- an approval that is rolled back, in a storm

{
	my $v = $server->begin('FA1');

	$v->{service_id} = service_id($v);
	$service->mark;
	$session->run("BEGIN; SELECT confirm_verification('$v->{id}', '$v->{code}'); ROLLBACK");
	attack($v, 1, qw(confirmed rolled_back in_savepoint cut_short));
	ended();
	is(seen($v), 1, 'after an approval that was rolled back the service sees no other code');
	$v = $server->begin('FA1');
	$session->run("BEGIN; SELECT confirm_verification('$v->{id}', '$v->{code}'); ROLLBACK");
	is($server->confirm($v, $v->{code}), 't approved 5 -', 'and the code that was approved still is');
}

# --- over resends

{
	my $v = $server->begin('FA1');
	my @sent;

	$service->mark;
	for (1 .. 4)
	{
		$session->run(confirm($v)) for 1 .. 2;
		$server->resend_sent($v);
		$v->{service_id} = service_id($v);
		$session->query(check($v));
	}
	attack($v, 1, sort keys %deed);
	ended();
	# a try whose request was cut short counts, though the service may not have seen it
	cmp_ok(seen($v), '<=', $MAX_TRIES, 'a resend restores no try');
}

# --- direct checks of a message whose ID only the service knows

my %uncertain = (
	'is unknown' => "state = 'unknown', settled_at = NULL, unknown_since = now()",
	'was given up' => "state = 'unknown', unknown_since = now()",
	'is being sent' => "state = 'sending', settled_at = NULL, claimer = 1",
);

# A verification whose message was sent, which the queue does not know.
sub uncertain
{
	my ($what, %param) = @_;
	my $v = $server->begin(delete $param{service_sid} // 'FA1', %param);

	$v->{service_id} = service_id($v);
	$server->configure('pnvs.worker' => 'off');
	$session->run("UPDATE pnvs_internal.queue SET verification_id = NULL, $uncertain{$what} WHERE phone_verification = '$v->{id}'");
	return $v;
}

# The ID of a message to another number, which is not in the queue.
sub direct_message { return $session->value("SELECT verification_id FROM start_verification('SMS', '" . Pnvs::Queue::new_number() . "', 'FA1')"); }

# The queue learns of it.
sub learn
{
	my ($v) = @_;

	$session->run("UPDATE pnvs_internal.queue SET state = 'sent', claimer = NULL, verification_id = '$v->{service_id}', settled_at = now() WHERE phone_verification = '$v->{id}'");
	$server->configure('pnvs.worker' => undef);
	return;
}

for my $what (sort keys %uncertain)
{
	my $v = uncertain($what);

	$service->mark;
	$session->query(check($v)) for 1 .. $MAX_TRIES + 3;
	learn($v);
	$session->query(confirm($v)) for 1 .. $MAX_TRIES + 3;
	is(seen(), $MAX_TRIES, "if a message $what, direct checks of it are counted, too");
}

for my $start ('sim-start:held:attacked', 'sim-start:first:1:close')
{
	my $v = $server->begin($start, wait => 0);

	$v->{service_id} = $service->wait_for('sent', to => $v->{number})->{verification_id};
	$service->mark;
	attack($v, 1, sort keys %deed);
	ended();
	cmp_ok(seen(), '>', 0, "a message of $start is attacked by direct checks while it is sent");
	$service->release('attacked');
	$server->wait_sent($v);
	attack($v, 1, sort keys %deed);
	ended();
	cmp_ok(seen(), '<=', $MAX_TRIES, 'and after it: no more codes than there are tries');
}

{
	my $v = uncertain('is unknown');
	my $other = direct_message();

	is($session->value("SELECT success FROM check_verification('123456', '$other')"), 't', "another number's message is checked");
	is($session->value("SELECT tries_left FROM phone_verification_status('$v->{id}')"), $MAX_TRIES, 'which is no try of the verification');
	is($session->value("SELECT approved FROM check_verification('$v->{code}', '$v->{service_id}')"), 't', 'a direct check approves the right code');
	learn($v);
	$service->mark;
	is($server->confirm($v, $v->{code}), 't approved 5 -', 'which is right for the verification, too');
	is(seen(), 0, 'without a second check');
}

{
	my $v = uncertain('is unknown');
	my $other = direct_message();

	$server->reload('pnvs.limits' => 'tries 1/1h');
	$service->mark;
	$session->query("SELECT check_verification('12345', '$other')") for 1 .. 3;
	is($service->count('request', action => 'SearchVerification'), 1, 'a check that the limits refuse is not looked up');
	$server->reload('pnvs.limits' => '');
	learn($v);
}

{
	my $v = uncertain('is unknown');
	my $second;

	$server->configure('pnvs.worker' => undef);
	$second = uncertain('was given up', number => $v->{number});
	is($session->query(check($v))->sqlstate, '38V03', 'if two verifications of the number have such a message, it is not checked');
	learn($_) for $v, $second;
}

# The service may not tell now whose message it is, or not at all: then what the caller says could be false.
for my $search ('code:Throttling.User:400', 'code:Undocumented.Code:400', 'close', 'one:hidden')
{
	my $v = uncertain('is unknown', service_sid => "sim-search:$search");
	my @state;

	$service->mark;
	push @state, $session->query("SELECT check_verification('" . guess($v) . "', '$v->{service_id}', '" . Pnvs::Queue::new_number() . "')")->sqlstate
		for 1 .. $MAX_TRIES + 1;
	is_deeply(\@state, [ ('38V03') x ($MAX_TRIES + 1) ], "sim-search:$search: another number is not believed");
	is(seen(), 0, 'and the service sees no code');
	learn($v);
}

{
	my $v = uncertain('is unknown');

	$session->run("SET pnvs.endpoint = '" . $service->endpoint('refused') . "'");
	is($session->query(check($v))->sqlstate, '38V01', 'if the service cannot be reached, that is said');
	$session->run('RESET pnvs.endpoint');
	learn($v);
}

{
	my $v = uncertain('is unknown', service_sid => 'sim-search:one:masked');

	$service->mark;
	$session->query("SELECT check_verification('" . guess($v) . "', '$v->{service_id}', '" . Pnvs::Queue::new_number() . "')") for 1 .. $MAX_TRIES + 3;
	is(seen(), $MAX_TRIES, 'a number that the service shows masked is told from others');
	learn($v);
}

# If the service certainly tells nothing, nobody can have the ID from it, and the caller's number
# counts; and another message of the number is known by its time.
{
	my $v = uncertain('is unknown', service_sid => 'sim-search:code:Forbidden.RAM:403');

	$service->mark;
	$session->query("SELECT check_verification('" . guess($v) . "', '$v->{service_id}', '$v->{number}')") for 1 .. $MAX_TRIES + 3;
	is(seen(), $MAX_TRIES, "if the service does not tell the number, the caller's counts");
	my $refused = $session->query("SELECT check_verification('" . guess($v) . "', '$v->{service_id}')");
	is($refused->sqlstate, '38V03', 'without one it is not checked');
	like($refused->message, qr/not known yet which verification/, 'for nobody knows whose it is');
	is(seen(), $MAX_TRIES, 'and the service sees no more codes');
	learn($v);
}

{
	my $number = Pnvs::Queue::new_number();
	my $earlier = $session->value("SELECT verification_id FROM start_verification('SMS', '$number', 'FA1')");
	my $v = uncertain('is unknown', number => $number);

	$session->run("UPDATE pnvs_internal.queue SET dispatched_at = now() + interval '1 minute', unknown_since = now() + interval '1 minute' WHERE phone_verification = '$v->{id}'");
	$session->query("SELECT check_verification('" . guess($v) . "', '$earlier', '$number')");
	is($session->value("SELECT tries_left FROM phone_verification_status('$v->{id}')"), $MAX_TRIES, 'a direct check of an earlier message to the number is no try');
	learn($v);
}

# --- what the queue learns during a search, and IDs that are written otherwise

{
	my $v = uncertain('is being sent', service_sid => 'sim-search:held:race');
	my @other = map { $server->connect } 1 .. $MAX_TRIES;
	my $second;

	$server->configure('pnvs.worker' => undef);
	$second = uncertain('was given up', number => $v->{number});
	$service->mark;
	$_->send("SELECT check_verification('" . guess($v) . "', '$v->{service_id}')") for @other;
	Pnvs::Simulator::wait_until('all search', sub { $service->count('request', action => 'SearchVerification') == @other });
	learn($v);
	$service->release('race');
	$_->result for @other;
	$session->query(check($v)) for 1 .. $MAX_TRIES;
	is(seen(), $MAX_TRIES, 'what the queue learns during a search goes before what that says');
	$_->close for @other;
	learn($second);
}

{
	my $v = $server->begin('FA1');
	my $id = service_id($v);

	$service->mark;
	$session->query("SELECT check_verification('" . guess($v) . "', E'\\n $id\\t')") for 1 .. $MAX_TRIES + 3;
	is(seen(), $MAX_TRIES, 'a check of an ID with blanks around it is counted, too');
}

# --- after the expiry

{
	my $v = $server->begin('FA1');

	$v->{service_id} = service_id($v);
	$service->mark;
	$session->run(confirm($v)) for 1 .. 2;
	$session->run("UPDATE pnvs_internal.phone_verification SET expires_at = now() WHERE id = '$v->{id}'");
	attack($v, 1, sort keys %deed);
	ended();
	is(seen($v), 2, 'after the expiry the service sees no code any more');
}

# --- a restart in the middle

{
	my $v = $server->begin('FA1');

	$service->mark;
	$session->run('BEGIN; ' . confirm($v) . '; ROLLBACK') for 1 .. 3;
	$session->run(confirm($v));
	$session->close;
	$node->stop('fast');
	$node->start;
	$session = $server->{session} = Pnvs::Session->new($node);
	is($server->confirm($v, guess($v), session => $session), 'f max_tries 0 -', 'a restart of the server restores no try');
	is($server->confirm($v, $v->{code}, session => $session), 'f max_tries 0 -', 'after it none is left');
	is(seen($v), $MAX_TRIES, 'and the service has seen five codes');
}

# --- without the file, as after a failover, the row alone is known

{
	my $v = $server->begin('FA1', session => $session);

	$session->run(confirm($v)) for 1 .. 3;
	$session->close;
	$node->stop('fast');
	unlink $node->data_dir . '/pg_stat/pnvs_guard.stat' or die "there is no snapshot: $!";
	$node->start;
	$session = $server->{session} = Pnvs::Session->new($node);
	is($server->confirm($v, guess($v), session => $session), 'f pending 1 -', 'without what the server remembers the row counts');
}

$session->close;
$node->stop('fast');
done_testing();
