# Many messages at once, from many sessions, with rollbacks, slow replies and
# crashes: exactly those that were committed arrive, once each; and verifications, of which
# each approval is used once. The numbers are those
# of an everyday run.
#
#   PNVS_SOAK_SEED   repeats a run (the seed is printed)

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(min sum0);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Pnvs::Batch;
use Pnvs::Server;
use Pnvs::Simulator;

$PostgreSQL::Test::Utils::timeout_default = min($PostgreSQL::Test::Utils::timeout_default, 90);

my $SESSIONS = 8;
my $MESSAGES = 2000;			# that are committed, in each of the two parts
my $WINDOW = 50;
my $RECONCILE_S = 3;
my $PEOPLE = 60;			# who verify their numbers
my $SERVED = 40;			# of them, before the first crash
my $MAX_TRIES = 5;
my @LATENCY = ('FA1', 'sim-start:slow:20', 'sim-start:slow:100', 'sim-start:slow:300');

my $seed = $ENV{PNVS_SOAK_SEED} // int(time * 1000) % 2**31;
my $next_number = 6281800000000;

srand($seed);
diag("PNVS_SOAK_SEED=$seed");

my $service = Pnvs::Simulator->new;
my $server = Pnvs::Server->new($service, 'soak',
	conf => "pnvs.max_in_flight = $WINDOW\npnvs.reconcile_for = $RECONCILE_S\npnvs.request_timeout = 60000\n");
my $node = $server->node;
my $session = $server->connect;

# A table for each latency, whose trigger queues a message for each row. A message's
# number is masked once it is settled; as its reference it stays.
for my $i (0 .. $#LATENCY)
{
	$session->run("CREATE TABLE signup_$i (phone text)");
	$session->run("CREATE TRIGGER verify AFTER INSERT ON signup_$i FOR EACH ROW "
		  . "EXECUTE FUNCTION enqueue_verification_trigger('SMS', 'phone', '$LATENCY[$i]', 'phone')");
}

# An INSERT of some numbers, which are added to the list.
sub insert
{
	my ($list, $count) = @_;
	my $first = $next_number;
	my $last = ($next_number += $count) - 1;

	push @$list, $first .. $last;
	return sprintf 'INSERT INTO signup_%d SELECT n::text FROM generate_series(%d, %d) AS n; ', int rand @LATENCY, $first, $last;
}

# A transaction of which half is rolled back, in one of several ways; at most $most
# rows are committed.
sub transaction
{
	my ($committed, $rolled_back, $most) = @_;
	my $count = min($most, 1 + int rand 12);
	my $way = int rand 3;

	if ($way == 0)
	{
		return 'BEGIN; ' . insert($rolled_back, $count) . 'ROLLBACK; BEGIN; ' . insert($committed, $count) . 'COMMIT';
	}
	if ($way == 1)
	{
		return 'BEGIN; ' . insert($committed, $count) . 'SAVEPOINT s; ' . insert($rolled_back, $count) . 'ROLLBACK TO s; COMMIT';
	}
	return 'BEGIN; SAVEPOINT s; ' . insert($rolled_back, $count) . 'ROLLBACK TO s; RELEASE s; ' . insert($committed, $count) . 'COMMIT';
}

# Lets all sessions work at once until enough is committed. Returns the numbers that
# were committed and those that were not.
sub sign_up
{
	my @caller = map { $server->connect } 1 .. $SESSIONS;
	my (@committed, @rolled_back);

	while (@committed < $MESSAGES)
	{
		my @busy;

		for my $caller (@caller)
		{
			last if @committed >= $MESSAGES;
			$caller->send(transaction(\@committed, \@rolled_back, $MESSAGES - @committed));
			push @busy, $caller;
		}
		for my $caller (@busy)
		{
			my $result = $caller->result;

			die 'a transaction failed: ' . $result->message . "\n" if $result->failed;
		}
	}
	$_->close for @caller;
	return (\@committed, \@rolled_back);
}

# How many of some numbers have arrived.
sub arrived
{
	my ($numbers) = @_;
	my $sent = $service->sent_numbers;

	return scalar(grep { $sent->{$_} } @$numbers);
}

sub unsettled { return $session->value('SELECT count(*) FROM verification_queue WHERE settled_at IS NULL'); }

# What became of the committed numbers, as a table.
sub account
{
	my ($title, $committed) = @_;
	my %accepted = %{ $service->sent_numbers };
	my %wanted = map { $_ => 1 } @$committed;
	my %count = (committed => scalar @$committed, sent => 0, failed => 0, expired => 0, canceled => 0, unknown => 0, open => 0);
	my %sum = ('sent without acceptance' => 0, 'unknown though accepted' => 0, 'unknown and never seen' => 0);

	for my $row ($session->run('SELECT reference, state, settled_at FROM verification_queue')->rows)
	{
		my $number = $row->{reference} // '';
		my $arrived = $accepted{$number} // 0;

		next unless $wanted{$number};
		$count{ defined $row->{settled_at} ? $row->{state} : 'open' }++;
		$sum{'sent without acceptance'}++ if $row->{state} eq 'sent' && !$arrived;
		next unless $row->{state} eq 'unknown';
		$sum{ $arrived ? 'unknown though accepted' : 'unknown and never seen' }++;
	}
	$count{accepted} = sum0(map { $accepted{$_} // 0 } @$committed);
	$sum{lost} = $count{committed} - sum0(@count{qw(sent failed expired canceled unknown)});
	$sum{doubled} = sum0(map { ($accepted{$_} // 0) > 1 ? $accepted{$_} - 1 : 0 } @$committed);
	diag($title);
	diag(sprintf '  %-25s %6d', $_, $count{$_}) for qw(committed accepted sent failed expired canceled unknown open);
	diag(sprintf '  %-25s %6d', $_, $sum{$_}) for 'lost', 'doubled', 'sent without acceptance', 'unknown though accepted', 'unknown and never seen';
	return { %count, %sum };
}

# --- people who verify their numbers, with crashes in between

# Statements for some numbers, by all sessions at once; how each ends is drawn.
sub by_all
{
	my ($caller, $numbers, $statement, @end) = @_;
	my @left = @$numbers;

	while (@left)
	{
		my @busy = map { [ $_, shift @left ] } @$caller[ 0 .. min($#$caller, $#left) ];

		$_->[0]->send('BEGIN; ' . $statement->($_->[1]) . '; ' . $end[ rand @end ]) for @busy;
		for my $busy (@busy)
		{
			$busy->[0]->run('ROLLBACK') if $busy->[0]->result->failed;
		}
	}
	return;
}

sub confirm_sql
{
	my ($number, $code) = @_;

	return "INSERT INTO confirmed SELECT b.number, '$code', c.approved FROM begun b, confirm_verification(b.id, '$code') c WHERE b.number = $number";
}

# The codes that came with the messages, by number.
sub codes
{
	my ($numbers) = @_;
	my %wanted = map { $_ => 1 } @$numbers;

	return map { $_->{to} => $_->{code} } grep { $wanted{ $_->{to} } } $service->events('sent');
}

# Those that the service was asked about, as a hash by number.
sub wrong_codes
{
	my ($right) = @_;
	my %wrong;

	for my $request ($service->events('request', action => 'CheckVerification'))
	{
		my ($to, $code) = @{ $request->{params} }{ 'To', 'Code' };

		$wrong{$to}{$code}++ if $code ne ($right->{$to} // '');
	}
	return \%wrong;
}

# All sessions anew.
sub crash
{
	my ($way) = @_;

	if ($way eq 'kill')
	{
		kill KILL => $server->wait_for_worker($session);
		Pnvs::Simulator::wait_until('the sessions have ended', sub { Pnvs::Server::is_lost($session) });
	}
	else
	{
		$node->stop('immediate');
		$node->start;
	}
	$session = $server->connect;
	return map { $server->connect } 1 .. $SESSIONS;
}

{
	my @caller = map { $server->connect } 1 .. $SESSIONS;
	my (@number, @undone, %code, %guessed);

	push @number, $next_number++ for 1 .. $PEOPLE;
	push @undone, $next_number++ for 1 .. $SESSIONS;
	$session->run('CREATE TABLE begun (id uuid, number bigint)');
	$session->run('CREATE TABLE confirmed (number bigint, code text, approved boolean)');
	$session->run('CREATE TABLE used (id uuid, number text)');
	$session->run('CREATE TABLE member (phone text, verification uuid)');
	$session->run('CREATE CONSTRAINT TRIGGER verified AFTER INSERT OR UPDATE ON member FOR EACH ROW '
		  . q{EXECUTE FUNCTION require_verification('phone', 'verification')});
	my $begin = sub { "INSERT INTO begun SELECT id, $_[0] FROM begin_verification('$_[0]', session_key => 'session of $_[0]', service_sid => 'FA1')" };
	my $use = sub { "INSERT INTO used SELECT b.id, n FROM begun b, use_verification(b.id) n WHERE b.number = $_[0] AND n IS NOT NULL" };
	my $join = sub { "INSERT INTO member SELECT '+' || number, id FROM begun WHERE number = $_[0]" };

	by_all(\@caller, \@undone, $begin, 'ROLLBACK');
	by_all(\@caller, [ @number[ 0 .. $SERVED - 1 ] ], $begin, 'COMMIT');
	Pnvs::Simulator::wait_until('some messages have arrived', sub { !unsettled() });
	by_all(\@caller, [ @number[ $SERVED .. $#number ] ], $begin, 'COMMIT');
	@caller = crash('kill');
	# whoever was not served comes again; whoever was clicks twice
	by_all(\@caller, \@number, $begin, 'COMMIT');
	Pnvs::Simulator::wait_until('each message has arrived', sub { !unsettled() });
	$session->run('DELETE FROM begun b USING begun other WHERE b.number = other.number AND b.id = other.id AND b.ctid > other.ctid');
	is($session->value('SELECT count(*) FROM begun'), $PEOPLE, 'a second click does not begin a second verification');
	%code = codes(\@number);

	my @guesser = @number[ 0 .. 9 ];
	my @person = grep { $code{$_} } @number[ 10 .. $#number ];
	my $guess = sub { confirm_sql($_[0], sprintf '%06d', ($code{ $_[0] } // 0) + 1 + $guessed{ $_[0] }++) };

	cmp_ok(scalar @person, '>=', $SERVED - @guesser, 'whoever was served before the crash has a code');
	by_all(\@caller, \@guesser, $guess, 'COMMIT', 'ROLLBACK') for 1 .. 2 * $MAX_TRIES;
	by_all(\@caller, \@person, sub { confirm_sql($_[0], $code{ $_[0] }) }, 'COMMIT', 'ROLLBACK');
	by_all(\@caller, [ @person[ 0 .. $#person / 2 ] ], $_, 'COMMIT', 'ROLLBACK') for $use, $join;
	is(scalar(grep { keys %$_ > $MAX_TRIES } values %{ wrong_codes(\%code) }), 0, 'no number has more guesses than max_tries');
	@caller = crash('restart');
	by_all(\@caller, \@person, sub { confirm_sql($_[0], $code{ $_[0] }) }, 'COMMIT');
	by_all(\@caller, \@person, $_, 'COMMIT') for $use, $join;
	by_all(\@caller, \@guesser, $guess, 'COMMIT') for 1 .. $MAX_TRIES;
	$_->close for @caller;

	my %wrong = %{ wrong_codes(\%code) };
	my $uses = '(SELECT id, number FROM used UNION ALL SELECT verification, phone FROM member) u';

	is($session->value("SELECT count(*) FROM (SELECT id FROM $uses GROUP BY id HAVING count(*) > 1) t"), 0, 'no approval is used twice');
	is($session->value("SELECT count(DISTINCT id) FROM $uses"), scalar @person, 'every person uses an approval');
	is($session->value("SELECT count(*) FROM $uses JOIN begun b USING (id) WHERE u.number <> '+' || b.number"), 0, 'nobody by another number');
	is(join(' ', grep { keys %{ $wrong{$_} } < $MAX_TRIES } grep { $code{$_} } @guesser), '', 'guessers have had their tries');
	# of a transaction that was rolled back, a crash may forget the tries of the last ten seconds
	cmp_ok(sum0(map { keys %{ $wrong{$_} } > $MAX_TRIES ? keys(%{ $wrong{$_} }) - $MAX_TRIES : 0 } keys %wrong), '<=',
		$MAX_TRIES * @guesser, 'no more guesses are forgotten than a number has');
	is($session->value(q{SELECT count(*) FROM confirmed c JOIN begun b USING (number) WHERE c.approved
			AND (phone_verification_status(b.id)).state NOT IN ('approved', 'used')}), 0, 'no approval that was committed is lost');
	is($session->value(q{SELECT count(*) FROM begun b WHERE (phone_verification_status(b.id)).state = 'pending'
			AND EXISTS (SELECT FROM pnvs_internal.queue q WHERE q.phone_verification = b.id AND q.state = 'sent')
			AND b.number NOT IN (} . join(',', @guesser) . ')'), 0, 'nobody is left waiting');
	is(scalar(grep { ($service->sent_numbers->{$_} // 0) > 1 } @number), 0, 'no message is doubled');
	is(arrived(\@undone), 0, 'of a begin that was rolled back none has arrived');
	$session->run('TRUNCATE pnvs_internal.queue');
}

# --- from many sessions, with rollbacks, beside a call that hangs

{
	my $hanging = Pnvs::Batch->enqueue($session, 'sim:hang', 1);
	my ($committed, $rolled_back, $started, $account);

	$hanging->wait_until_requested($service);
	$started = time;
	($committed, $rolled_back) = sign_up();
	diag(sprintf '%d queued by %d sessions in %.1f s', scalar @$committed, $SESSIONS, time - $started);
	Pnvs::Simulator::wait_until('all but the hanging one are settled', sub { unsettled() == 1 });
	diag(sprintf 'drained after %.1f s', time - $started);
	is($hanging->states($session), 'sending=1', 'one call hangs all the while, and holds up nobody');
	$account = account('from many sessions', $committed);
	is($account->{$_}, $MESSAGES, "of $MESSAGES committed messages all are $_") for qw(accepted sent);
	is($account->{$_}, 0, "$_: none") for qw(lost doubled open);
	is(arrived($rolled_back), 0, 'of ' . @$rolled_back . ' that were rolled back none has arrived');
	is($session->value("SELECT count(*) FROM verification_queue WHERE state = 'sent' AND attempts <> 1"), 0, 'each took one attempt');
	$session->run('TRUNCATE pnvs_internal.queue');
}

# --- with crashes in between

{
	my ($committed, $rolled_back, $started, $account, $already);
	my @crash = map { int $MESSAGES * ($_ + rand 0.2) } 0.2, 0.6;

	$started = time;
	($committed, $rolled_back) = sign_up();
	diag(sprintf '%d queued by %d sessions in %.1f s', scalar @$committed, $SESSIONS, time - $started);
	$already = arrived($committed);
	for my $crash (@crash)
	{
		Pnvs::Simulator::wait_until("$crash have arrived", sub { arrived($committed) >= $crash });

		if ($crash == $crash[0])
		{
			kill KILL => $server->wait_for_worker($session);
			Pnvs::Simulator::wait_until('the sessions have ended', sub { Pnvs::Server::is_lost($session) });
		}
		else
		{
			$node->stop('immediate');
			$node->start;
		}
		diag('a crash after ' . arrived($committed) . ' have arrived');
		$session = $server->connect;
		cmp_ok(unsettled(), '>', 0, 'a crash comes in the middle');
	}
	Pnvs::Simulator::wait_until('all are settled', sub { !unsettled() });
	$account = account("with kill -9 of the worker and an immediate restart ($already had arrived when all were queued)", $committed);
	is($account->{$_}, 0, "$_: none") for 'lost', 'doubled', 'open', 'failed', 'expired', 'canceled', 'sent without acceptance', 'unknown though accepted';
	cmp_ok($account->{unknown}, '<=', $WINDOW * @crash, 'not more are unknown than were under way at the crashes');
	is($account->{accepted}, $account->{sent}, 'what arrived is sent, and the other way round');
	is(arrived($rolled_back), 0, 'what was rolled back has not arrived');
}
$node->stop;

done_testing();
