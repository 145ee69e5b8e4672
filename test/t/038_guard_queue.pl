# Queued messages under the limits of the guard: when they take their places, and what
# gives these back: ROLLBACK, and an end without having been sent.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(min);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Guard;
use Pnvs::Session;
use Pnvs::Simulator qw(wait_until);

$PostgreSQL::Test::Utils::timeout_default = min($PostgreSQL::Test::Utils::timeout_default, 60);

my $LATER = "not_before => now() + '30 minutes'";

my $service = Pnvs::Simulator->new;
my $guard = Pnvs::Guard->new($service, 'guard', streaming => 1, conf => <<'CONF');
pnvs.limits = 'number 3/1h'
pnvs.breaker = ''
pnvs.request_timeout = 60000
pnvs.max_attempts = 1
max_prepared_transactions = 5
CONF
my $session = $guard->session;

# Queues a message for a number; its ID.
sub enqueue
{
	my ($number, $more, $who) = @_;

	return ($who // $session)->value(Pnvs::Queue::enqueue_sql('FA1', $more, $number));
}

# Does something with a number of its own; how much room is left of 3.
sub room_after
{
	my ($do, %param) = @_;
	my $number = $guard->new_number;

	$do->($number);
	return $guard->room($number, %param);
}

# The admission's columns of a row.
sub admission
{
	my ($id) = @_;

	return $session->value("SELECT concat_ws(' ', admission_due = not_before, admission_key IS NOT NULL, admission_trusted) "
		  . "FROM pnvs_internal.queue WHERE id = $id");
}

# --- at the call

my $number = $guard->new_number;
my $id = enqueue($number, "$LATER, rate_key => '192.0.2.1'");
is(admission($id), 't t f', 'a row keeps when its message is due, and the hash of its key');
enqueue($number, $LATER) for 1 .. 2;
my $result = $session->query(Pnvs::Queue::enqueue_sql('FA1', undef, $number));
is($result->sqlstate, '38V03', 'a message is refused at the call, for all that are due later');
like($result->detail, qr/\Asent=no limit=number retry_after=\d+/, 'the DETAIL has the scope, and the seconds to wait');
is($guard->room($number), 0, 'direct calls and queued messages share the limit');
is($session->value("SELECT count(*) FROM verification_queue"), 3, 'a refused message leaves no row');

$number = $guard->new_number;
enqueue($number, "$LATER, dedup_key => 'k'") for 1 .. 5;
is($guard->room($number), 2, 'a repeat of a deduplication key takes no place');
$number = $guard->new_number;
$guard->room($number);
enqueue($number, "dedup_key => 'k'");
pass('nor is it refused');

is(admission(enqueue($guard->new_number, "$LATER, trusted => true")), 't f t', 'and whether it is trusted');
unlike($session->value("SELECT string_agg(q::text, '') FROM pnvs_internal.queue q"), qr/192\.0\.2\.1/, 'the key itself is kept nowhere');

# The limit is judged for the time at which a message is due.
$guard->reload('pnvs.limits' => 'number 1/10min');
$number = $guard->new_number;
enqueue($number, $LATER);
is($guard->room($number), 1, 'a message that is due after the interval leaves room now');
is($session->query(Pnvs::Queue::enqueue_sql('FA1', "not_before => now() + '25 minutes'", $number))->sqlstate,
	'38V03', 'and none near to it');
$guard->reload('pnvs.limits' => 'number 3/1h');

# --- transactions

is(room_after(sub { enqueue($_[0]) }), 2, 'a message that is committed keeps its place');
is(room_after(sub { $session->run('BEGIN'); enqueue($_[0]); $session->run('ROLLBACK') }), 3, 'ROLLBACK gives it back');
is(room_after(sub { $session->run('BEGIN; SAVEPOINT s'); enqueue($_[0]); $session->run('ROLLBACK TO s; COMMIT') }),
	3, 'so does ROLLBACK TO SAVEPOINT');
is(room_after(sub {
			$session->run('BEGIN');
			enqueue($_[0]);
			$session->run('SAVEPOINT s');
			enqueue($_[0]);
			$session->run('ROLLBACK TO s');
			enqueue($_[0]);
			$session->run('RELEASE s; COMMIT');
		}), 1, 'for its own messages alone');
is(room_after(sub {
			$session->run('BEGIN; SAVEPOINT a; SAVEPOINT b');
			enqueue($_[0]);
			$session->run('RELEASE b; ROLLBACK TO a; COMMIT');
		}), 3, 'and for those of released savepoints in it');
is(room_after(sub {
			$session->run('BEGIN; SAVEPOINT s');
			enqueue($_[0]);
			$session->run('RELEASE s; ROLLBACK');
		}), 3, 'ROLLBACK reaches released savepoints, too');
is(room_after(sub {
			$session->run(<<"SQL") }), 2, 'a block of PL/pgSQL that raises gives its places back, and its handler keeps its own');
DO \$\$
BEGIN
	PERFORM enqueue_verification('SMS', '$_[0]', 'FA1');
	PERFORM enqueue_verification('SMS', '$_[0]', 'FA1');
	RAISE EXCEPTION 'x';
EXCEPTION WHEN raise_exception THEN
	PERFORM enqueue_verification('SMS', '$_[0]', 'FA1');
END
\$\$
SQL
is(room_after(sub {
			$session->run('BEGIN');
			$session->run("DECLARE c CURSOR FOR SELECT enqueue_verification('SMS', '$_[0]', 'FA1') FROM generate_series(1, 3)");
			$session->run('FETCH FROM c; SAVEPOINT s; FETCH FROM c; ROLLBACK TO s; COMMIT');
		}), 2, 'of a cursor the rows count that were fetched and not rolled back');
is(room_after(sub {
			is($session->query("SELECT enqueue_verification('SMS', '$_[0]', 'FA1') FROM generate_series(1, 5)")->sqlstate,
				'38V03', 'a statement that passes the limit fails');
		}), 3, 'and leaves all places free');
is(room_after(sub {
			my $victim = $guard->connect;

			$victim->run('BEGIN');
			enqueue($_[0], undef, $victim);
			$session->run("SELECT pg_terminate_backend(@{[$victim->pid]})");
			wait_until('the backend has ended', sub { !$session->value("SELECT count(*) FROM pg_stat_activity WHERE pid = @{[$victim->pid]}") });
		}), 3, 'a session that is terminated gives the places of its transaction back');
for my $end ('COMMIT', 'ROLLBACK')
{
	is(room_after(sub {
				$session->run('BEGIN');
				enqueue($_[0], $LATER);
				$session->run("PREPARE TRANSACTION 'p'");
				$session->run("$end PREPARED 'p'");
			}), 2, "PREPARE TRANSACTION keeps them, $end PREPARED or not");
}

# --- taken back

is(room_after(sub { is($session->value("SELECT cancel_verification(@{[enqueue($_[0], $LATER)]})"), 't', 'a message is canceled') }),
	3, 'a canceled message gives its place back');
is(room_after(sub {
			my $id = enqueue($_[0], $LATER);

			$session->run('BEGIN');
			$session->run("SELECT cancel_verification($id)");
			is($guard->room($_[0], session => $guard->connect), 2, 'not before the transaction that cancels it ends');
			$session->run('COMMIT');
		}), 1, 'but then');
is(room_after(sub {
			my $id = enqueue($_[0], $LATER);

			$session->run("BEGIN; SELECT cancel_verification($id); ROLLBACK");
		}), 2, 'a cancel that is rolled back gives nothing back');
is(room_after(sub {
			my $id = enqueue($_[0], $LATER);

			$session->run("BEGIN; SAVEPOINT s; SELECT cancel_verification($id); ROLLBACK TO s; COMMIT");
		}), 2, 'nor does one that is rolled back to a savepoint');
is(room_after(sub {
			my $id = enqueue($_[0], $LATER);

			$session->run("SELECT cancel_verification($id), cancel_verification($id)");
			$session->run("SELECT cancel_verification($id)");
			enqueue($_[0], $LATER);
		}), 2, 'a message gives one place back, however often it is canceled');
for my $end ([ 'COMMIT', 3 ], [ 'ROLLBACK', 3 ])
{
	is(room_after(sub {
				$session->run('BEGIN');
				$session->run("SELECT cancel_verification(@{[enqueue($_[0], $LATER)]})");
				$session->run($end->[0]);
			}), $end->[1], "queued and canceled in one transaction: its place is free after $end->[0]");
}
is(room_after(sub {
			$session->run('BEGIN');
			my $id = enqueue($_[0], $LATER);

			$session->run("SAVEPOINT s; SELECT cancel_verification($id); ROLLBACK TO s; COMMIT");
		}), 2, 'unless the cancel is rolled back');
is(room_after(sub {
			my $id = enqueue($_[0], $LATER);

			$session->run("BEGIN; SELECT cancel_verification($id); PREPARE TRANSACTION 'p'");
			$session->run("COMMIT PREPARED 'p'");
		}), 2, 'a cancel of a prepared transaction gives nothing back');

# --- settled by the worker

# Queues a message, and waits for its end; the room that is left of 3.
sub room_once_settled
{
	my ($state, $service_sid, $more) = @_;

	return room_after(sub {
			my $id = $session->value(Pnvs::Queue::enqueue_sql($service_sid, $more, $_[0]));

			is($guard->settled($id)->{state}, $state, "a message with $service_sid" . ($more ? " and $more" : '') . " ends as $state");
		});
}

is(room_once_settled('sent', 'FA1'), 2, 'a message that was sent keeps its place');
is(room_once_settled('failed', 'sim:code:INVALID_PARAMETERS:200'), 3, 'a refused message gives its place back');
is(room_once_settled('failed', 'sim:code-sent:Undocumented.Code:400'), 2, 'but not if nobody knows what its code means');
is(room_once_settled('failed', 'sim:throttled:1'), 3, 'and so does a message that was tried often enough');
is(room_once_settled('expired', 'FA1', "send_within => '1 microsecond'"), 3, 'and a message that came too late');
is(room_once_settled('sent', 'sim-start:close'), 2, 'a message of unknown fate that is found keeps its place');
$guard->reload('pnvs.reconcile_for' => '1s');
is(room_once_settled('unknown', 'sim:code:InternalError:500'), 2, 'and so does a message that is not found');
$guard->reload('pnvs.reconcile_for' => undef);

# Nothing is sent for a while, and then it is too late.
$guard->reload('pnvs.sending' => 'off', 'pnvs.scan_interval' => '1s');
is(room_after(sub {
			my $id = enqueue($_[0], "send_within => '1 second'");

			is($guard->settled($id)->{state}, 'expired', 'a message is queued while nothing is sent, and expires');
			$guard->reload('pnvs.sending' => undef, 'pnvs.scan_interval' => undef);
		}), 3, 'and gives its place back');

# The procedure, in a session of its own.
$guard->configure('pnvs.worker' => 'off');
is(room_after(sub {
			my @id = (enqueue($_[0], "send_within => '1 microsecond'"), enqueue($_[0]));

			$session->run('CALL process_verification_queue()');
			is(join(' ', map { $guard->state($_) } @id), 'expired sent', 'the procedure settles messages');
		}), 2, 'and gives the places back of what it has not sent');
$guard->configure('pnvs.worker' => undef);

# --- the breaker, of messages that are due too late for it at the call

$guard->reload('pnvs.limits' => '', 'pnvs.breaker' => 'country 50/1h 20% 1h', 'pnvs.scan_interval' => '1s');

# What the breaker has counted: numbers, and those approved.
sub figures
{
	return $session->value("SELECT numbers || ' ' || approved FROM pnvs_breakers WHERE country = 'ID'") // '0 0';
}

# Queues messages for so many minutes ahead; their IDs.
sub enqueue_ahead
{
	my ($minutes, $numbers, $more) = @_;

	return map { enqueue($_, "not_before => now() + '$minutes minutes', send_within => '1 hour'" . ($more ? ", $more" : '')) } @$numbers;
}

# So many minutes pass for messages: it is as if they had been queued that much sooner.
sub pass_minutes
{
	my ($minutes, @id) = @_;
	my $ids = join ', ', @id;
	my $columns = join ', ', map { "$_ = $_ - interval '$minutes minutes'" } qw(created_at not_before send_before retain_from admission_due);

	$session->run("UPDATE pnvs_internal.queue SET $columns WHERE id IN ($ids)");
	wait_until('the messages are settled',
		sub { $session->value("SELECT bool_and(settled_at IS NOT NULL) FROM pnvs_internal.queue WHERE id IN ($ids)") eq 't' });
	return $session->value("SELECT string_agg(DISTINCT state, ' ') FROM pnvs_internal.queue WHERE id IN ($ids)");
}

is(pass_minutes(30, enqueue_ahead(30, [ $guard->new_number ])), 'sent', 'a message is sent half an hour after its call');
is(figures(), '0 0', 'before the first approval the breaker counts none that is sent later');

$number = $guard->new_number;
my $verification = $guard->start($number)->row->{verification_id};
my $right_code = ($service->events('sent', to => $number))[-1]{code};
is($session->value("SELECT approved FROM check_verification('$right_code', '$verification', '$number', 'FA1')"), 't', 'a code is approved');
$session->run(q{SELECT pnvs_guard_reset('country')});

$number = $guard->new_number;
my @ahead = enqueue_ahead(30, [ ($number) x 2 ]);
is(figures(), '0 0', 'the breaker does not count a message that is due in half an hour');
is(pass_minutes(30, $ahead[0]), 'sent', 'it is sent');
is(figures(), '1 0', 'and counted then');
is(pass_minutes(30, $ahead[1]), 'sent', 'another one to the same number');
is(figures(), '1 0', 'is not counted again');
my $late_code = ($service->events('sent', to => $number))[-1]{code};
$verification = $session->value("SELECT verification_id FROM verification_queue WHERE id = $ahead[1]");
is($session->value("SELECT approved FROM check_verification('$late_code', '$verification', '$number', 'FA1')"), 't', 'its code is right');
is(figures(), '1 1', 'and the breaker counts the approval');

is(pass_minutes(30, enqueue_ahead(30, [ $guard->new_number ], 'trusted => true')), 'sent', 'a trusted message is sent');
is(figures(), '1 1', 'and is not counted then, either');
($id) = enqueue_ahead(30, [ $guard->new_number ]);
$session->run("SELECT cancel_verification($id)");
is(figures(), '1 1', 'nor is a canceled message');

$guard->reload('pnvs.reconcile_for' => '1s');
$session->run("UPDATE pnvs_internal.queue SET service_sid = 'sim:code:InternalError:500' WHERE id = @{[($id) = enqueue_ahead(30, [ $guard->new_number ])]}");
is(pass_minutes(30, $id), 'unknown', 'a message may have been sent');
is(figures(), '2 1', 'and is counted');
$session->run("UPDATE pnvs_internal.queue SET service_sid = 'sim:code:INVALID_PARAMETERS:200' WHERE id = @{[($id) = enqueue_ahead(30, [ $guard->new_number ])]}");
is(pass_minutes(30, $id), 'failed', 'a message is refused');
is(figures(), '2 1', 'and is not counted');
$guard->reload('pnvs.reconcile_for' => undef);

# The attack: nobody answers, and all is queued far ahead.
is(pass_minutes(40, enqueue_ahead(30, [ map { $guard->new_number } 1 .. 50 ])), 'sent', 'fifty messages are sent that were queued half an hour before');
$result = $session->query(Pnvs::Queue::enqueue_sql('FA1', $LATER, $guard->new_number));
is($result->sqlstate, '38V03', 'after that the breaker is open');
like($result->detail, qr/\Asent=no limit=breaker /, 'also to what is queued half an hour ahead');
$session->run(q{SELECT pnvs_guard_reset('country')});
$guard->reload('pnvs.limits' => 'number 3/1h', 'pnvs.breaker' => '', 'pnvs.scan_interval' => undef);

# --- a copy of a database has no places

$session->run('CREATE DATABASE original');
my $original = $guard->connect(dbname => 'original');
$original->run('CREATE EXTENSION pnvs');
$number = $guard->new_number;
my @copied = map { enqueue($number, $LATER, $original) } 1 .. 2;
$original->close;
wait_until('the copy is made', sub { !$session->query('CREATE DATABASE copy TEMPLATE original')->failed });
my $copy = $guard->connect(dbname => 'copy');
is($copy->value("SELECT cancel_verification($copied[0])"), 't', 'the row of a copy is canceled by hand');
$copy->run("UPDATE pnvs_internal.queue SET not_before = now() WHERE id = $copied[1]");
$copy->run("SELECT enqueue_verification('SMS', '@{[$guard->new_number]}', 'FA1')");
is($guard->settled($copied[1], $copy)->{code}, 'Local.ForeignOrigin', 'another one by the worker');
is($guard->room($number), 1, 'the original of a copied database keeps its places');

# Nor has a standby: it counts what is sent from it, also after its promotion.
my $standby = PostgreSQL::Test::Cluster->new('standby');
my $due = $session->value("SELECT now() + '30 minutes'");
$number = $guard->new_number;
$guard->node->backup('base');
$standby->init_from_backup($guard->node, 'base', has_streaming => 1);
$standby->start;
$id = enqueue($number, "not_before => '$due'");
$guard->node->wait_for_catchup($standby);
my $there = Pnvs::Session->new($standby);
is($guard->room($guard->new_number, session => $there), 3, 'direct calls of a standby have places');
$standby->promote;
enqueue($number, "not_before => '$due'", $there) for 1 .. 3;
is($there->value("SELECT cancel_verification($id)"), 't', 'a message that was queued before the promotion is canceled after it');
is($guard->room($number, session => $there), 0, 'and gives back no place of a message that was queued since');
is($guard->room($number), 2, 'the old primary keeps its place');
$there->close;
$standby->stop('immediate');

# --- the trigger

$session->run('CREATE TABLE member (id integer PRIMARY KEY, phone text)');
$session->run(q{CREATE TRIGGER verify AFTER INSERT ON member FOR EACH ROW
	EXECUTE FUNCTION enqueue_verification_trigger('SMS', 'phone', 'FA1', 'id')});
$session->run(q{CREATE TABLE caller (id integer PRIMARY KEY, phone text)});
$session->run(q{CREATE TRIGGER verify AFTER INSERT ON caller FOR EACH ROW
	EXECUTE FUNCTION enqueue_verification_trigger('VOICE', 'phone', 'FA1', 'id')});

# The row of a message that the trigger has queued for a table's row.
sub message_of
{
	my ($reference) = @_;

	return $session->run("SELECT * FROM pnvs_internal.queue WHERE reference = '$reference'")->row;
}

$number = $guard->new_number;
$service->mark;
ok(!$session->query("INSERT INTO member SELECT n, '$number' FROM generate_series(1, 5) n")->failed,
	'a limit never refuses the row of a table');
is($session->value('SELECT count(*) FROM member'), 5, 'all rows are there');
wait_until('the messages are settled',
	sub { $session->value('SELECT count(*) FROM verification_queue WHERE settled_at IS NOT NULL AND reference::integer <= 5') == 5 });
is(join(' ', map { message_of($_)->{state} } 1 .. 5), 'sent sent sent failed failed', 'those beyond the limit are kept as failed');
is($service->count('sent', to => $number), 3, 'and are not sent');
my $row = message_of(4);
is($row->{code}, 'Local.RateLimited', 'their code says why');
like($row->{message}, qr/\A[a-z].*limit/, 'and the message in words');
is($row->{recipient}, '6281500****' . substr($number, -2), 'the number of a refused message is masked');
is($row->{attempts}, 0, 'there was no attempt');
is($row->{settled_at}, $row->{created_at}, 'they are settled at once');
is($row->{admission_due}, undef, 'they have no places');
is($session->run("SELECT * FROM await_verification($row->{id})")->row->{state}, 'failed', 'nobody waits for them');
is($session->value("SELECT cancel_verification($row->{id})"), 'f', 'and nobody takes them back');
is($guard->room($number), 0, 'nor a place of the others with them');
is(room_after(sub { $session->run("BEGIN; INSERT INTO member VALUES (6, '$_[0]'), (7, '$_[0]'); ROLLBACK") }),
	3, 'a rolled back INSERT gives the places back');

$guard->reload('pnvs.channels' => 'SMS');
$session->run("INSERT INTO caller VALUES (11, '$number')");
is(message_of(11)->{code}, 'Local.ChannelNotAllowed', 'a channel that may not be used has its code');
is($session->query("SELECT enqueue_verification('VOICE', '$number', 'FA1')")->sqlstate, '38V03', 'for enqueue_verification it is an error');
$guard->reload('pnvs.channels' => undef, 'pnvs.countries' => 'SG');
$session->run("INSERT INTO caller VALUES (12, '$number')");
is(message_of(12)->{code}, 'Local.CountryNotAllowed', 'and so has a country');
is($session->query("SELECT enqueue_verification('VOICE', '$number', 'FA1')")->sqlstate, '38V03', 'for enqueue_verification it is an error');
$guard->reload('pnvs.countries' => undef);

# A row that is settled from the beginning is deleted like others.
$guard->reload('pnvs.retention' => '1s', 'pnvs.reconcile_for' => '1s');
$session->run("INSERT INTO member VALUES (13, '$number')");
is(message_of(13)->{state}, 'failed', 'a message is refused');
wait_until('its retention is over', sub { $session->value("SELECT clock_timestamp() > '" . message_of(13)->{settled_at} . "'::timestamptz + interval '1 s'") eq 't' });
# a worker deletes when it comes
$guard->configure;
$guard->settled($guard->enqueue('FA1'));
wait_until('it is deleted', sub { !defined message_of(13)->{state} });
pass('a refused message is deleted after its retention');
$guard->reload('pnvs.retention' => undef, 'pnvs.reconcile_for' => undef);

# --- checks of queued messages

# Queues a message that is sent at once; its ID and its code.
sub queue_and_learn
{
	my ($number, $channel) = @_;
	my $id = $session->value("SELECT enqueue_verification('$channel', '$number', 'FA1')");
	my $row = $guard->settled($id);

	$service->unmark;
	return ($id, $service->wait_for('sent', verification_id => $row->{verification_id})->{code});
}

$guard->reload('pnvs.limits' => 'number SMS unapproved 1/1h, number VOICE unapproved 1/1h, tries 3/1h');
for my $to ('"to"', undef)
{
	$number = $guard->new_number;
	my ($first, $code) = queue_and_learn($number, 'SMS');
	queue_and_learn($number, 'VOICE');
	my $argument = $to ? ", '$number'" : '';
	is($session->value("SELECT approved FROM check_queued_verification('$code', $first$argument)"), 't',
		'a queued message is approved, ' . ($to ? 'with "to"' : 'without "to"'));
	is($guard->room($number, channel => 'SMS'), 1, 'and gives its own place back');
	is($guard->room($number, channel => 'VOICE'), 0, 'not that of the latest message');
}
my ($queued) = queue_and_learn($number = $guard->new_number, 'SMS');
$service->mark;
$session->query("SELECT check_queued_verification('000000', $queued, '$number')") for 1 .. 5;
is($service->count('request', action => 'CheckVerification'), 3, 'wrong codes of queued messages are tries, too');
is($session->query("SELECT check_verification('000000', 'VE1', '$number', 'FA1')")->sqlstate, '38V03', 'of the number, as in direct checks');
$service->mark;
$session->query("SELECT check_queued_verification('000000', $queued)") for 1 .. 5;
is($service->count('request', action => 'CheckVerification'), 3, 'without "to" they are the verification\'s');

$guard->stop;
done_testing();
