# What support sees of a phone number, and how a number is erased.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Test::More;

use Pnvs::Rows qw(insert_verification);
use Pnvs::Simulator;
use Pnvs::Verification;

my $service = Pnvs::Simulator->new;
my $queue = Pnvs::Verification->new($service, 'history', conf => <<'CONF');
pnvs.limits = 'number 3/1h, number VOICE 1/1h, tries 2/1h'
pnvs.request_timeout = 30000
pnvs.worker_idle_timeout = '1s'
CONF
my $session = $queue->session;
my $EVENT = q{concat_ws(' ', event, verification, channel, detail, count, purpose, requested_by)};

# The history of a number, a line an event.
sub history
{
	my ($number, $expression) = @_;

	return join "\n", map { $_ // '' } $session->run('SELECT ' . ($expression // $EVENT) . " AS line FROM verification_history('+$number')")->column('line');
}

# The hash of a number; a message of it is queued.
sub hash_of { return $session->value("SELECT recipient_hash FROM pnvs_internal.queue WHERE id = $_[0]"); }

sub verification
{
	my ($number, $hash, %param) = @_;

	return insert_verification($session, recipient => "'$number'", recipient_hash => $hash, %param);
}

my $me = $session->value('SELECT current_user');

# --- messages

{
	my $number = $queue->new_number;

	is(history($number), '', 'a number that nothing is known of has no history');
	my $sent = $queue->enqueue('FA1', undef, number => $number);
	is($queue->settled($sent)->{recipient}, substr($number, 0, 7) . '****' . substr($number, -2), 'a message is sent, and its number masked');
	my $later = $queue->enqueue('FA1', q{not_before => now() + interval '1 hour'}, number => $number);
	my $failed = $queue->enqueue('sim-start:BUSINESS_LIMIT_CONTROL', undef, number => $number);
	my $code = $queue->settled($failed)->{code};
	is(history($number), <<"END" =~ s/\n\z//r, 'a message has a line when it is queued and when it is settled, with the code of the service');
message_queued SMS $me
message_sent SMS OK $me
message_queued SMS $me
message_queued SMS $me
message_failed SMS $code $me
END
	is(history($number, q{coalesce(date_trunc('minute', until - at + interval '1 second')::text, '')}), "\n\n01:05:00\n\n", 'only one that waits says until when it may be sent');
	is(history($number, 'at > now() - interval $$1 minute$$ AND at <= clock_timestamp()'), join("\n", ('t') x 5), 'times are those of the rows');
	is($session->query('SELECT verification_history(NULL)')->sqlstate, '22023', 'it needs a number');
	is($session->query(q{SELECT * FROM verification_history('nobody')})->sqlstate, '22023', 'that can be one');

	my $other = $queue->new_number;
	$queue->settled($queue->enqueue('FA1', undef, number => $other));
	is(() = history($other) =~ /^message_queued/gm, 1, 'a number has no events of another');
	$session->run("UPDATE pnvs_internal.queue SET recipient_hash = (SELECT recipient_hash FROM pnvs_internal.queue WHERE id = $sent) WHERE recipient = left('$other', 7) || '****' || right('$other', 2)");
	is(() = history($number) =~ /^message_queued/gm, 3, 'not even if both had the same hash');
}

# --- while it is under way

{
	my $number = $queue->new_number;
	my $id = $queue->enqueue('sim-start:hang', undef, number => $number);

	$queue->in_state($id, 'sending');
	is(history($number), "message_queued SMS $me\nmessage_sending SMS $me", 'a message that is being sent says so');
	$session->run("UPDATE pnvs_internal.queue SET state = 'unknown', claimer = NULL, unknown_since = clock_timestamp(), not_before = now() + interval '1 hour', code = 'Local.Interrupted' WHERE id = $id");
	like(history($number), qr/^message_unknown SMS Local.Interrupted $me\z/m, 'and so does one of unknown fate');
}

# --- verifications

{
	my $number = $queue->new_number;
	my $first = $queue->enqueue('FA1', undef, number => $number);
	my $hash = hash_of($first);
	my $masked = q{'} . substr($number, 0, 7) . '****' . substr($number, -2) . q{'};
	my $time = sub { "now() - interval '$_[0] minutes'" };

	$session->run('CREATE ROLE web');
	verification($number, $hash, recipient => $masked, requested_by => q{'web'::regrole}, state => q{'used'}, purpose => q{'signup'}, begun_at => $time->(90), expires_at => $time->(80),
		tries => 1, wrong_at => 'ARRAY[' . $time->(89) . ']', approved_at => $time->(88), used_at => $time->(87), ended_at => $time->(87));
	verification($number, $hash, recipient => $masked, state => q{'refused'}, refused => q{'too_many'}, refused_count => 7, begun_at => $time->(70), expires_at => $time->(70), ended_at => $time->(70));
	verification($number, $hash, recipient => $masked, state => q{'canceled'}, begun_at => $time->(60), expires_at => $time->(50), ended_at => $time->(59));
	verification($number, $hash, recipient => $masked, state => q{'max_tries'}, begun_at => $time->(40), expires_at => $time->(30), ended_at => $time->(38), tries => 2,
		wrong_at => 'ARRAY[' . $time->(39) . ', ' . $time->(38) . ']');
	verification($number, $hash, begun_at => $time->(30), expires_at => $time->(20), is_decoy => 'true', channels => q{'{VOICE,SMS}'});
	verification($number, $hash, begun_at => $time->(15), expires_at => q{now() + interval '5 minutes'}, origin_database => 1);
	my $pending = verification($number, $hash, begun_at => $time->(10), expires_at => q{now() + interval '5 minutes'});
	$queue->settled($first);
	$session->run("UPDATE pnvs_internal.queue SET phone_verification = '$pending', created_at = created_at - interval '5 minutes' WHERE id = $first");
	is(history($number), <<"END" =~ s/\n\z//r, 'verifications have a line for each event, the oldest first');
begun 1 SMS signup web
wrong_code 1 signup web
approved 1 signup web
used 1 signup web
refused 2 SMS too_many 7 $me
begun 3 SMS $me
canceled 3 $me
begun 4 SMS $me
wrong_code 4 $me
wrong_code 4 $me
max_tries 4 2 $me
begun 5 VOICE send => false $me
expired 5 $me
begun 6 SMS $me
canceled 6 Local.ForeignOrigin $me
begun 7 SMS $me
message_queued 7 SMS $me
message_sent 7 SMS OK $me
END
	is(history($number, q{CASE WHEN event = 'begun' THEN date_trunc('minute', until - at + interval '1 second')::text END}) =~ tr/\n//dr, '00:10:00' x 4 . '00:20:00' . '00:15:00', 'the beginning says until when the code can be typed');
	unlike($session->value("SELECT string_agg(h::text, ' ') FROM verification_history('$number') h"), qr/[0-9a-f]{8}-|$number/, 'no line has the ID of a verification, or the number');
	$session->run('DROP OWNED BY web; DROP ROLE web');
	like(history($number), qr/^used 1 signup unknown /m, 'a role that has gone leaves its events');
}

# --- what blocks the number

{
	my $number = $queue->new_number;

	$queue->settled($queue->enqueue('FA1', undef, number => $number)) for 1 .. 2;
	unlike(history($number), qr/blocked/, 'with room under the limits nothing blocks a number');
	$queue->settled($queue->enqueue('FA1', undef, number => $number));
	like(history($number), qr/^blocked number\z/m, 'a limit that concerns all channels is one line');
	is(history($number, q{CASE WHEN event = 'blocked' THEN until BETWEEN now() + interval '59 minutes' AND now() + interval '60 minutes' END}) =~ tr/\n//dr, 't', 'which says until when');
	is($session->value(qq{SELECT event FROM verification_history('$number') WITH ORDINALITY ORDER BY ordinality DESC LIMIT 1}), 'blocked', 'it is the last line');
	$session->run("SELECT unblock_phone_number('$number')");
	unlike(history($number), qr/blocked/, 'after unblock_phone_number() it has gone');
	$session->run(qq{SELECT enqueue_verification('VOICE', '$number', 'FA1')});
	like(history($number), qr/^blocked VOICE number\z/m, 'a limit of a channel has a line for that');

	my $id = $session->value(qq{SELECT verification_id FROM start_verification('SMS', '$number', 'FA1')});
	$session->run("SELECT check_verification('000000', '$id', '$number')") for 1 .. 2;
	like(history($number), qr/^blocked VOICE number\nblocked tries\z/m, 'wrong codes have a line of their own, the last');
	my $calls = history($number);
	is(history($number), $calls, 'looking takes no place');

	$queue->reload('pnvs.channels' => 'SMS');
	unlike(history($number), qr/blocked VOICE|blocked WHATSAPP/, 'a channel that is not used at all is no news');
	$queue->reload('pnvs.channels' => undef, 'pnvs.countries' => 'SG');
	like(history($number), qr/^blocked country$/m, 'a country that is not allowed is said');
	is(history($number, q{CASE WHEN detail = 'country' THEN coalesce(until::text, 'for ever') END}) =~ tr/\n//dr, 'for ever', 'without an end');
	$queue->reload('pnvs.countries' => undef, 'pnvs.sending' => 'off');
	like(history($number), qr/^blocked off$/m, 'and so it is that nothing is sent');
	$queue->reload('pnvs.sending' => undef, 'pnvs.limits_mode' => 'observe');
	is(() = history($number) =~ /^blocked.*/gm, 1, 'in observe mode wrong codes alone block a number');
	$queue->reload('pnvs.limits_mode' => undef);
}

# --- by whom

{
	my $number = $queue->new_number;

	$session->run('CREATE ROLE support LOGIN; CREATE ROLE sender LOGIN; GRANT EXECUTE ON FUNCTION enqueue_verification TO sender');
	my $support = $queue->connect(user => 'support');
	my $sender = $queue->connect(user => 'sender');
	$queue->settled($queue->enqueue('FA1', undef, number => $number, session => $sender));
	is($sender->query("SELECT verification_history('$number')")->sqlstate, '42501', 'a sender has no history');
	is($sender->query("SELECT erase_phone_number('$number')")->sqlstate, '42501', 'and erases nothing');
	$session->run('GRANT EXECUTE ON FUNCTION verification_history, erase_phone_number TO support');
	is($support->value("SELECT string_agg(event || ' ' || requested_by, ' ') FROM verification_history('$number')"), 'message_queued sender message_sent sender',
		'support sees the messages of all roles');
	is($support->query('SELECT * FROM pnvs_internal.phone_verification')->sqlstate, '42501', 'and not the table');
	is($support->value("SET search_path = pg_temp; CREATE TEMP TABLE phone_verification (x int); SELECT count(*) FROM public.verification_history('$number')"), 2, 'whatever search_path is set');
	is($support->value("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT count(*) FROM public.verification_history('$number')"), 2, 'also in a read-only transaction');
	is($support->query("SELECT public.erase_phone_number('$number')")->sqlstate, '25006', 'which erases nothing');
	$support->run('ROLLBACK');
	is($support->value("SELECT public.erase_phone_number('$number')"), 1, 'support erases the messages of all roles');
	is($support->value("SELECT count(*) FROM public.verification_history('$number') WHERE event <> 'blocked'"), 0, 'whose history is gone then');
	$_->close for $support, $sender;
}

# --- erasure

{
	my $number = $queue->new_number;
	my $masked = substr($number, 0, 7) . '****' . substr($number, -2);
	my $other = $queue->enqueue('FA1', q{not_before => now() + interval '1 hour'});
	my %id;

	$queue->reload('pnvs.limits' => 'number 1000/1d');
	$id{sent} = $queue->enqueue('FA1', q{dedup_key => 'k', rate_key => '192.0.2.1'}, number => $number);
	$queue->settled($id{sent});
	$id{sending} = $queue->enqueue('sim-start:hang', undef, number => $number);
	$queue->in_state($id{sending}, 'sending');
	$id{unknown} = $queue->enqueue('sim-start:hang', undef, number => $number);
	$queue->in_state($id{unknown}, 'sending');
	$session->run("UPDATE pnvs_internal.queue SET state = 'unknown', claimer = NULL, unknown_since = now(), not_before = now() + interval '1 hour' WHERE id = $id{unknown}");
	$id{queued} = $queue->enqueue('FA1', q{not_before => now() + interval '1 hour', rate_key => '192.0.2.1'}, number => $number);
	my $hash = hash_of($id{queued});
	my $pending = verification($number, $hash, session_hash => 5, admission_key => 6, reference => q{'account 7'}, purpose => q{'login'});
	my $approved = verification($number, $hash, state => q{'approved'}, approved_at => 'now()', approved_code => 8);
	my $used = verification($number, $hash, recipient => "'$masked'", state => q{'used'}, used_at => 'now()', ended_at => 'now()');

	my $waiter = $queue->connect;
	$waiter->send("SELECT state FROM await_verification($id{queued}, '30 seconds')");
	$session->run('BEGIN');
	is($session->value("SELECT erase_phone_number('+$number')"), 7, 'it returns how many rows had the number');
	is($session->value("SELECT erase_phone_number('+$number')"), 0, 'none has it then');
	$session->run('ROLLBACK');
	is($queue->state($id{queued}), 'queued', 'ROLLBACK undoes it');
	is($session->value("SELECT erase_phone_number('+$number')"), 7, 'so that it can be repeated');
	is(join(' ', map { $queue->row($id{$_})->{state} } qw(sent sending unknown queued)), 'sent sending unknown canceled', 'what was queued is canceled');
	is($waiter->result->value, 'canceled', 'who waits for it hears so');
	is(join(' ', map { $queue->row($id{$_})->{recipient} } qw(sent unknown queued)), join(' ', ($masked) x 3), 'and masked, as are messages of unknown fate');
	is(join(' ', @{ $queue->row($id{unknown}) }{qw(code message)}) . (defined $queue->row($id{unknown})->{settled_at} ? ' settled' : ''), 'Local.Unreconciled its number was erased settled',
		'which cannot be looked up any more');
	is($session->value("SELECT count(*) FROM pnvs_internal.queue WHERE num_nonnulls(recipient_hash, admission_key, reference, dedup_key) > 0 AND id IN (" . join(', ', values %id) . ')'), 0,
		'no hash, key or reference is left');
	is($session->value("SELECT string_agg(concat_ws(' ', state, recipient, ended_at IS NOT NULL, purpose, num_nonnulls(recipient_hash, session_hash, admission_key, approved_code, reference)), ', ' ORDER BY state, purpose) "
			  . "FROM pnvs_internal.phone_verification WHERE id IN ('$pending', '$approved', '$used')"),
		"canceled $masked t login 0, canceled $masked t 0, used $masked t 0", 'verifications are canceled, unless they have ended, and masked');
	is($queue->state($other), 'queued', 'another number is left alone');
	is(history($number), '', 'the number has no history any more');
	my $sending = $queue->row($id{sending});
	is($sending->{recipient}, $number, 'a message that is being sent keeps its number');
	$session->run('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = $$pnvs worker$$');
	isnt($queue->settled($id{sending})->{recipient}, $number, 'until it is settled');
	is($session->query('SELECT erase_phone_number(NULL)')->sqlstate, '22023', 'it needs a number');
	$waiter->close;
}

# --- messages of verifications, which are found by these

{
	my $number = $queue->new_number;
	my $masked = substr($number, 0, 7) . '****' . substr($number, -2);
	my $later = q{now() - interval '1 second'};
	my $ids = sub { $session->run("SELECT id FROM pnvs_internal.queue WHERE phone_verification IN ('" . join(q{', '}, @_) . q{') ORDER BY id})->column('id') };
	my $make_resendable = sub { $session->run("UPDATE pnvs_internal.phone_verification SET resend_at = $later WHERE id = '$_[0]'") };

	$queue->reload('pnvs.limits' => '');
	my ($first, $second) = map { $queue->begin($number, reference => 'user 7', rate_key => '192.0.2.1', purpose => $_)->{id} } qw(first second);
	my $other = $queue->begin($queue->new_number)->{id};
	$queue->settled($_) for $ids->($first, $second, $other);
	for my $messages (2 .. 4)
	{
		$make_resendable->($first);
		is($queue->resend($first, channel => 'VOICE')->{refused}, undef, "message $messages of a verification");
		$queue->settled(($ids->($first))[-1]);
	}
	is(() = history($number) =~ /^message_queued 1 (SMS|VOICE) first/gm, 4, 'the history has all messages of a verification');
	is(() = history($number) =~ /^message_sent 2 SMS OK second/gm, 1, 'and of another');
	is(() = history($number) =~ /^message_queued/gm, 5, 'and no others');

	$queue->configure('pnvs.worker' => 'off');
	my $holder = $queue->connect;
	my $eraser = $queue->connect;
	$make_resendable->($first);
	$holder->run('BEGIN');
	is($queue->resend($first, session => $holder)->{refused}, undef, 'a fifth message, in a transaction that is open');
	$eraser->send("SELECT erase_phone_number('$number')");
	Pnvs::Simulator::wait_until('the erasure waits', sub { $session->value('SELECT wait_event_type FROM pg_stat_activity WHERE pid = ' . $eraser->pid) eq 'Lock' });
	my $third = $queue->begin($number, reference => 'user 7', rate_key => '192.0.2.1', purpose => 'third')->{id};
	$holder->run('COMMIT');
	is($eraser->result->value, 10, 'an erasure waits for it, and finds it and what was begun meanwhile: three verifications, seven messages');
	my @erased = $ids->($first, $second, $third);
	is(join(' ', map { "$_->{state} $_->{recipient}" } map { $queue->row($_) } @erased), join(' ', ("sent $masked") x 5, ("canceled $masked") x 2), 'they are masked, and what was queued is canceled');
	is($session->value('SELECT count(*) FROM pnvs_internal.queue WHERE num_nonnulls(recipient_hash, admission_key, reference, dedup_key) > 0 AND id IN (' . join(', ', @erased) . ')'), 0, 'no key or reference is left');
	is($session->value("SELECT erase_phone_number('$number')"), 0, 'nothing is found any more');
	is(history($number), '', 'nor told');
	unlike($session->value("SELECT recipient FROM pnvs_internal.phone_verification WHERE id = '$other'"), qr/\*/, 'another number is left alone');
	$queue->configure('pnvs.worker' => undef);
	$_->close for $holder, $eraser;
}

# --- two erasures, and what is begun meanwhile

{
	my $number = $queue->new_number;
	my ($holder, @eraser) = map { $queue->connect } 1 .. 3;
	my $waits = sub
	{
		my ($waiting) = @_;

		Pnvs::Simulator::wait_until('an erasure waits',
			sub { ($session->value('SELECT wait_event_type FROM pg_stat_activity WHERE pid = ' . $waiting->pid) // '') eq 'Lock' });
	};
	my $begin = sub
	{
		my $id = $queue->begin($number, send => 'false')->{id};

		$session->run("UPDATE pnvs_internal.phone_verification SET id = '$_[0]' WHERE id = '$id'");
		return;
	};

	$begin->('f0000000-0000-4000-8000-000000000000');
	$holder->run('BEGIN');
	$holder->run("SELECT FROM pnvs_internal.phone_verification WHERE id = 'f0000000-0000-4000-8000-000000000000' FOR UPDATE");
	$eraser[0]->send("SELECT erase_phone_number('$number')");
	$waits->($eraser[0]);
	$begin->('00000000-0000-4000-8000-000000000000');
	$eraser[1]->send("SELECT erase_phone_number('$number')");
	$waits->($eraser[1]);
	$holder->run('COMMIT');
	is(join(' ', map { my $result = $_->result; $result->failed ? $result->sqlstate : $result->value } @eraser), '2 0', 'two erasures do not wait for each other');
	$_->close for $holder, @eraser;
}

# --- a message of unknown fate whose verification does not lead to it any more

for my $gone (qw(phone_verification queue))
{
	my $number = $queue->new_number;

	$queue->configure('pnvs.worker' => 'off');
	my $verification = $queue->begin($number, reference => 'user 7', rate_key => '192.0.2.1')->{id};
	my $unknown = $session->value("SELECT last_message FROM pnvs_internal.phone_verification WHERE id = '$verification'");
	$session->run("UPDATE pnvs_internal.queue SET state = 'unknown', unknown_since = now(), not_before = now() + interval '1 hour' WHERE id = $unknown");
	$queue->let_resend($verification);
	is($queue->resend($verification)->{refused}, undef, 'a message of unknown fate, and another');
	# as when the retention is shorter than an outage, during which nobody can be asked
	$session->run("DELETE FROM pnvs_internal.queue WHERE phone_verification = '$verification' AND id <> $unknown");
	$session->run("DELETE FROM pnvs_internal.phone_verification WHERE id = '$verification'") if $gone eq 'phone_verification';
	like(history($number), qr/^message_unknown (?:1 )?SMS $me$/m, "a message of unknown fate is found without its $gone row");
	is($session->value("SELECT erase_phone_number('$number')"), $gone eq 'queue' ? 2 : 1, 'and erased');
	my $row = $queue->row($unknown);
	unlike($row->{recipient}, qr/$number/, 'it is masked');
	is(join(' ', map { $_ // '-' } @$row{qw(reference admission_key)}) . (defined $row->{settled_at} ? ' settled' : ''), '- - settled', 'and no key or reference is left');
	is($session->value("SELECT erase_phone_number('$number')"), 0, 'nothing is found any more');
	is(history($number), '', 'nor told');
	$queue->configure('pnvs.worker' => undef);
}

# --- a message that is being sent, and provably is not: it is not sent again

{
	my $number = $queue->new_number;
	my $id = $queue->enqueue('FA1', q{not_before => now() + interval '1 hour', send_within => '1 day'}, number => $number);

	$queue->configure('pnvs.worker' => 'off');
	$session->run("UPDATE pnvs_internal.queue SET state = 'sending', claimer = 1 WHERE id = $id");
	$session->run("SELECT erase_phone_number('$number')");
	$session->run("UPDATE pnvs_internal.queue SET state = 'queued', claimer = NULL, not_before = now() WHERE id = $id");
	$queue->configure('pnvs.worker' => undef);
	$service->mark;
	is($queue->settled($id)->{state}, 'expired', 'a message that was not sent is not tried again');
	is($queue->sent($id), 0, 'the service has not got it');
	unlike($queue->row($id)->{recipient}, qr/$number/, 'and its number is masked then');
}

# --- places under the limits

{
	my $number = $queue->new_number;

	$queue->reload('pnvs.limits' => 'number 2/1h');
	$queue->enqueue('FA1', q{not_before => now() + interval '10 minutes'}, number => $number) for 1 .. 2;
	is($session->query("SELECT enqueue_verification('SMS', '$number', 'FA1')")->sqlstate, '38V03', 'queued messages take their places');
	$session->run('BEGIN');
	$session->run("SELECT erase_phone_number('$number')");
	is($queue->connect->query("SELECT enqueue_verification('SMS', '$number', 'FA1')")->sqlstate, '38V03', 'which an erasure gives back');
	$session->run('COMMIT');
	my $admitted = $session->query("SELECT enqueue_verification('SMS', '$number', 'FA1')");
	is($admitted->sqlstate, '', 'at its commit');
	$queue->settled($admitted->value);
	$queue->settled($queue->enqueue('FA1', undef, number => $number));
	is($session->value("SELECT erase_phone_number('$number')"), 2, 'but if messages were sent');
	is($session->query("SELECT enqueue_verification('SMS', '$number', 'FA1')")->sqlstate, '38V03', 'an erasure does not lift a limit');
}

# --- among others

{
	my $number = $queue->new_number;

	$queue->reload('pnvs.limits' => '');
	my $id = $queue->enqueue('FA1', q{not_before => now() + interval '1 hour'}, number => $number);
	my ($one, $two) = map { $queue->connect } 1 .. 2;
	$one->run('BEGIN');
	$one->run("SELECT erase_phone_number('$number')");
	is($queue->settled($queue->enqueue('FA1'))->{state}, 'sent', 'an erasure that is not committed keeps no message from being sent');
	$two->send("SELECT erase_phone_number('$number')");
	Pnvs::Simulator::wait_until('the second waits', sub { $session->value('SELECT wait_event_type FROM pg_stat_activity WHERE pid = ' . $two->pid) eq 'Lock' });
	$one->run('COMMIT');
	is($two->result->value, 0, 'a second erasure waits for the first, and finds nothing');
	$id = $queue->enqueue('FA1', q{not_before => now() + interval '1 hour'}, number => $number);
	$one->run('BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ');
	$one->run('SELECT 1');
	my $new = $queue->enqueue('FA1', q{not_before => now() + interval '1 hour'}, number => $number, session => $two);
	is($one->value("SELECT erase_phone_number('$number')"), 2, 'in REPEATABLE READ what was committed since is erased, too');
	$one->run('COMMIT');
	is($queue->state($new), 'canceled', 'and canceled');
	$_->close for $one, $two;
}

# --- plans

{
	my $plan = sub { return join "\n", $session->run("EXPLAIN SELECT FROM $_[0]")->column('QUERY PLAN'); };

	$session->run('SET enable_seqscan = off; SET enable_bitmapscan = off');
	like($plan->("pnvs_internal.queue WHERE id = ANY (ARRAY(SELECT id FROM pnvs_internal.queue WHERE recipient_hash = 1 UNION ALL SELECT unnest('{1,2}'::bigint[]) "
			  . "UNION ALL SELECT id FROM pnvs_internal.queue WHERE settled_at IS NULL AND unknown_since IS NOT NULL AND recipient = '1')) AND origin_database >= '0'"),
		qr/Index (?:Only )?Scan using queue_id_idx.*Index Scan using queue_recipient_hash_idx.*Index Scan using queue_recipient_idx/s,
		'messages of a number are found by their hash, those of verifications by their IDs, and those of unknown fate by the number');
	like($plan->("pnvs_internal.phone_verification WHERE recipient_hash = 1 AND recipient IN ('1', '2')"), qr/Index Scan using phone_verification_recipient_idx/, 'and these by their hash');
}

$queue->stop;
done_testing();
