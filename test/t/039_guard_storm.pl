# Limits under a storm: eight sessions and a trigger send and queue under one limit, with
# rollbacks, savepoints, cancels, refusals, lost replies and a clean restart in the middle.
# Exactly as many messages as the limit allows reach the service. After a crash, too, but
# for what was admitted in the last seconds before it.
#
# SEED=N repeats a run.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(min);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Pnvs::Guard;
use Pnvs::Server;
use Pnvs::Simulator qw(wait_until);

$PostgreSQL::Test::Utils::timeout_default = min($PostgreSQL::Test::Utils::timeout_default, 60);

my $SESSIONS = 8;
my $STEPS = 600;
my $LIMIT = 30;

# The memory is written this often, and a busy machine may be late.
my $FORGOTTEN_S = 10;
my $LATE_S = 5;

# What a statement of the storm may end with; '' is success.
my %EXPECTED = map { $_ => 1 } '', qw(38V01 38V02 38V03 57014);

my $seed = $ENV{SEED} // time ^ $$;
srand $seed;
diag("SEED=$seed");

my $service = Pnvs::Simulator->new;
my $guard = Pnvs::Guard->new($service, 'storm', conf => <<'CONF');
pnvs.breaker = ''
pnvs.reconcile_for = 3
restart_after_crash = on
max_prepared_transactions = 10
CONF
my $node = $guard->node;
my $server = Pnvs::Server->around($node);

$guard->session->run('CREATE TABLE person (phone text)');
$guard->session->run(q{CREATE TRIGGER verify AFTER INSERT ON person FOR EACH ROW
	EXECUTE FUNCTION enqueue_verification_trigger('SMS', 'phone', 'FA1')});

my (@session, @later, %ended);

sub any { return $_[ rand @_ ]; }

sub reconnect
{
	@session = map { $server->connect } 1 .. $SESSIONS;
	$guard->{session} = $server->connect;
	return;
}

# --- what the sessions do: each returns SQL; "open" leaves its transaction open

sub direct { my ($s, $service_sid) = @_; return "SELECT start_verification('SMS', '@{[$s->{number}->()]}', '" . ($service_sid // 'FA1') . "'$s->{more})"; }

sub queue
{
	my ($s, $service_sid, $more) = @_;

	return "SELECT enqueue_verification('SMS', '@{[$s->{number}->()]}', '" . ($service_sid // 'FA1') . "'" . ($more // '') . "$s->{more})";
}

sub insert { my ($s) = @_; return "INSERT INTO person VALUES ('@{[$s->{number}->()]}')"; }

# A call that ends before its request: the port is refused, or does not answer.
sub unsent
{
	my ($s, $port, $timeout) = @_;

	return "BEGIN; SET LOCAL pnvs.endpoint = '" . $service->endpoint($port) . "'; SET LOCAL statement_timeout = '$timeout'; " . direct($s) . '; ROLLBACK';
}

my %deed = (
	direct => \&direct,
	direct_rolled_back => sub { 'BEGIN; ' . direct(@_) . '; ROLLBACK' },
	direct_in_savepoint => sub { 'BEGIN; SAVEPOINT s; ' . direct(@_) . '; ROLLBACK TO s; COMMIT' },
	direct_refused => sub { direct($_[0], 'sim:code:INVALID_PARAMETERS:200') },
	direct_lost => sub { direct($_[0], 'sim:close') },
	direct_hung => sub { direct($_[0], 'sim:hang') },
	direct_unsent => sub { unsent($_[0], 'refused', '10s') },
	direct_canceled => sub { unsent($_[0], 'connect_stall', '20ms') },
	queue => \&queue,
	queue_rolled_back => sub { 'BEGIN; ' . queue(@_) . '; ' . queue(@_) . '; ROLLBACK' },
	queue_in_savepoint => sub { 'BEGIN; SAVEPOINT s; ' . queue(@_) . '; ROLLBACK TO s; ' . queue(@_) . '; COMMIT' },
	queue_trapped => sub {
		my ($s) = @_;

		(my $queue = queue($s)) =~ s/^SELECT/PERFORM/;
		return "DO \$\$ BEGIN $queue; RAISE EXCEPTION 'x'; EXCEPTION WHEN raise_exception THEN END \$\$";
	},
	queue_refused => sub { queue($_[0], 'sim:code:INVALID_PARAMETERS:200') },
	queue_expired => sub { queue($_[0], 'FA1', ", send_within => '1 microsecond'") },
	queue_taken_back => sub { 'WITH q AS MATERIALIZED (' . queue($_[0], 'FA1', ", not_before => now() + '10 minutes'") . ' AS id) SELECT cancel_verification(id) FROM q' },
	later => sub { queue($_[0], 'FA1', ", not_before => now() + '10 minutes'") },
	cancel => sub { my $id = shift @later // 0; "SELECT cancel_verification($id)" },
	cancel_rolled_back => sub { my $id = $later[0] // 0; "BEGIN; SELECT cancel_verification($id); ROLLBACK" },
	queue_open => sub { 'BEGIN; ' . queue(@_) },
	insert => \&insert,
	insert_rolled_back => sub { 'BEGIN; ' . insert(@_) . '; ROLLBACK' },
	insert_open => sub { 'BEGIN; ' . insert(@_) });

# One step of a session, whose last one has ended.
sub step
{
	my ($s, $session) = @_;
	my $name = any(sort grep { $s->{trigger} || !/^insert/ } keys %deed);
	my $sql = $deed{$name}->($s);

	$session->{deed} = $name;
	$session->{canceled} = 0;
	$session->send(($session->in_transaction ? any('COMMIT; ', 'ROLLBACK; ') : '') . $sql);
	return;
}

# What has come of it.
sub learn
{
	my ($session) = @_;
	my $result = $session->result;

	$ended{ $session->{deed} . ' ' . $result->sqlstate }++ unless $EXPECTED{ $result->sqlstate } && !$result->lost;
	$session->{deed} = '' if $session->{deed} eq 'direct_hung';
	push @later, $result->value if $session->{deed} eq 'later' && !$result->failed;
	return;
}

# Calls that the service never answers are canceled once their requests have arrived.
my $canceled = 0;

sub hung { return grep { ($_->{deed} // '') eq 'direct_hung' && !$_->{canceled} && !$_->has_answer } @session; }

sub arrived
{
	my (@hung) = @_;

	return @hung && $service->count('request', scenario => 'hang') >= $canceled + @hung;
}

sub cancel
{
	my (@hung) = @_;

	$guard->session->run("SELECT pg_cancel_backend(@{[$_->pid]})") for @hung;
	$_->{canceled} = 1 for @hung;
	$canceled += @hung;
	return;
}

# So many steps of all sessions together.
sub storm
{
	my ($s, $steps) = @_;
	my %busy;

	while ($steps > 0 || %busy)
	{
		for my $session (@session)
		{
			if ($busy{$session})
			{
				next unless $session->has_answer;
				learn($session);
				delete $busy{$session};
			}
			next unless $steps > 0;
			step($s, $session);
			$busy{$session} = 1;
			$steps--;
		}
		wait_until('a session can go on',
			sub { !%busy || arrived(hung()) || grep { $busy{$_} ? $_->has_answer : $steps > 0 } @session });
		cancel(hung()) if arrived(hung());
	}
	return;
}

# Ends what is open, and uses up what is left.
sub calm
{
	my ($s) = @_;

	$_->query('ROLLBACK') for @session;
	$guard->session->run("SELECT cancel_verification($_)") for splice @later;
	wait_until('every message is settled',
		sub { !$guard->session->value('SELECT count(*) FROM verification_queue WHERE settled_at IS NULL') });
	for my $session (@session)
	{
		for (1 .. $LIMIT + 1)
		{
			last if $session->query(direct($s))->sqlstate eq '38V03';
		}
	}
	return;
}

sub sent { my ($s) = @_; return $service->count('sent', to => $s->{to}); }

# --- the limits

my $number = $guard->new_number;
my $next = 6281900000000;
my @scenario = (
	{
		name => 'one number',
		limits => "number $LIMIT/1h",
		number => sub { $number },
		to => $number,
		more => '',
		trigger => 1,
	},
	{
		name => 'one prefix',
		limits => "prefix $LIMIT/1h",
		number => sub { sprintf '628161111%04d', rand 10000 },
		to => qr/\A628161111/,
		more => '',
		trigger => 1,
	},
	{
		name => 'one key',
		limits => "key $LIMIT/1h",
		number => sub { $next++ },
		to => qr/\A62819/,
		more => ", rate_key => '192.0.2.1'",
		trigger => 0,
	});

for my $s (@scenario)
{
	$guard->reload('pnvs.limits' => $s->{limits});
	@session = map { $guard->connect } 1 .. $SESSIONS;
	%ended = ();
	storm($s, $STEPS / 2);
	cmp_ok(sent($s), '<=', $LIMIT, "$s->{name}: no more messages than the limit are sent");

	# open transactions end with the server; a request under way might be cut off
	wait_until('nothing is being sent',
		sub { !$guard->session->value("SELECT count(*) FROM verification_queue WHERE settled_at IS NULL AND not_before <= now()") });
	$guard->session->close;
	$node->stop('fast');
	$node->start;
	reconnect();
	cmp_ok(sent($s), '<=', $LIMIT, "$s->{name}: nor with a restart");
	storm($s, $STEPS / 2);
	calm($s);
	is(sent($s), $LIMIT, "$s->{name}: in the end there are exactly as many");
	is(join(', ', sort keys %ended), '', "$s->{name}: no statement ended in another way");
	$_->close for @session;
}

# Every place belongs to a message that was sent, and ends with its interval.
$guard->reload('pnvs.limits' => "number $LIMIT/1s");
wait_until('the interval is over', sub { !$guard->start($number)->failed });
pass('no place is held for ever');

# --- crashes

# Forgotten are at most the messages that were admitted shortly before.
my $crashed = { %{ $scenario[0] }, name => 'crashes' };
$number = $crashed->{to} = $guard->new_number;
$guard->reload('pnvs.limits' => $crashed->{limits});
my $forgotten = 0;
for my $crash (1 .. 3)
{
	my @recent;

	reconnect();
	storm($crashed, $STEPS / 10);
	kill KILL => any(@session)->pid;
	my $then = time;
	wait_until('the server goes down', sub { Pnvs::Server::is_lost($guard->session) });
	@later = ();
	@recent = grep { $_->{t} >= $then - $FORGOTTEN_S - $LATE_S } $service->events('sent', to => $number);
	$forgotten += @recent;
}
reconnect();
storm($crashed, $STEPS / 10);
$guard->session->run("SELECT cancel_verification(id) FROM verification_queue WHERE state = 'queued'");
calm($crashed);
cmp_ok(sent($crashed), '<=', $LIMIT + $forgotten, 'a crash forgets at most what was admitted in the seconds before it');

# Once it is written, nothing is forgotten.
my $kept = { %$crashed };
$number = $kept->{to} = $guard->new_number;
for (1 .. $LIMIT) { $guard->session->run(direct($kept)); }
my $written = time;
wait_until('the memory is written', sub { ((stat $node->data_dir . '/pg_stat/pnvs_guard.stat')[9] // 0) > $written });
kill KILL => $session[0]->pid;
wait_until('the server goes down', sub { Pnvs::Server::is_lost($guard->session) });
reconnect();
is($guard->room($number), 0, 'a crash forgets nothing that was written before');

# A place that a crash may have forgotten is not taken from others when its message is canceled.
$guard->reload('pnvs.limits' => 'number 3/1h');
$number = $guard->new_number;
my $id = $guard->session->value(Pnvs::Queue::enqueue_sql('FA1', "not_before => now() + '10 minutes'", $number));
kill KILL => $session[0]->pid;
wait_until('the server goes down', sub { Pnvs::Server::is_lost($guard->session) });
reconnect();
my $room = $guard->room($number);
$guard->session->run("SELECT cancel_verification($id)");
is($room + $guard->room($number), 3, 'a message of before a crash takes no place of another message with it');

done_testing();
