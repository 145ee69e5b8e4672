# confirm_verification() and direct checks of its messages, if something comes in between:
# lost answers, refusals, locks, cancels, errors.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Confirm;
use Pnvs::Simulator;

$PostgreSQL::Test::Utils::timeout_default = 20;

my $service = Pnvs::Simulator->new;
my $server = Pnvs::Confirm->new($service, 'main', conf => "pnvs.limits = ''\npnvs.breaker = ''\npnvs.scan_interval = '1h'\n");
my $session = $server->session;

sub wrong { return Pnvs::Confirm::wrong(@_); }
sub confirm { return $server->confirm(@_); }
sub check { return $server->check(@_); }
sub checks { return scalar $service->events('request', action => 'CheckVerification'); }
sub status { my ($v) = @_; return $session->value("SELECT state || ' ' || tries_left FROM phone_verification_status('$v->{id}')"); }
sub cancel { my ($v) = @_; $session->run("SELECT cancel_phone_verification('$v->{id}')"); return; }

# Another session that has a code checked.
sub confirming
{
	my ($v, $code) = @_;
	my $other = $server->connect;

	$other->send(Pnvs::Confirm::confirm_sql($v, $code));
	return $other;
}

# Waits until the service has been asked by it.
sub asked { my ($other) = @_; $service->wait_for('request', action => 'CheckVerification'); return $other; }

# Waits until it waits for something else.
sub waits
{
	my ($other) = @_;

	Pnvs::Simulator::wait_until('it waits',
		sub { $session->value('SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = \'Extension\' AND pid = ' . $other->pid) == 1 });
	return $other;
}

# --- messages of unknown fate, of which the service tells nothing

{
	# as long as all three look-ups would take
	local $PostgreSQL::Test::Utils::timeout_default = 60;
	my $v = $server->begin('sim-search:hang');

	$server->resend_sent($v) for 1 .. 2;
	$session->run("UPDATE pnvs_internal.queue SET state = 'unknown', unknown_since = now(), verification_id = NULL WHERE phone_verification = '$v->{id}'");
	$service->mark;
	is(confirm($v, $v->{code}), 'f pending 5 1', 'if the service does not answer, a message of unknown fate has no code checked');
	is($service->count('request', action => 'SearchVerification'), 1, 'and a person waits for one answer, not for one of each message');
}

# --- errors, and what they leave

{
	my $v = $server->begin('sim-check:first:1:close');

	is(confirm($v, wrong($v)), '38V02', 'a lost answer is an error');
	is($server->locks, 0, 'which leaves no lock');
	is(confirm($v, wrong($v)), 'f pending 3 -', 'the code is a try, and another when it is checked again');
}

{
	my $v = $server->begin('FA1');
	my $holder = $server->connect;

	$holder->run("BEGIN; SELECT FROM pnvs_internal.phone_verification WHERE id = '$v->{id}' FOR UPDATE");
	$session->run("SET lock_timeout = '200ms'");
	is(confirm($v, $v->{code}), '55P03', 'an approval whose row is locked is an error');
	$session->run('RESET lock_timeout');
	$holder->close;
	$service->mark;
	is(confirm($v, $v->{code}), 't approved 5 -', 'but it is not lost');
	is(checks(), 0, 'nor asked for again');
}

{
	my $v = $server->begin('sim-check:first:1:hang');
	my $other;

	$service->mark;
	$other = asked(confirming($v, $v->{code}));
	$session->run('SELECT pg_cancel_backend(' . $other->pid . ')');
	is($other->result->sqlstate, '57014', 'a check is canceled');
	is($server->locks, 0, 'which leaves no lock, either');
	is(confirm($v, $v->{code}), 't approved 4 -', 'the same code is approved if the service has approved it');
	is(checks(), 1, 'without a second check');
}

{
	my $v = $server->begin('FA1');

	$service->mark;
	is($session->query("BEGIN READ ONLY; SELECT * FROM confirm_verification('$v->{id}', '$v->{code}')")->sqlstate, '25006', 'READ ONLY is an error');
	$session->run('ROLLBACK');
	is(checks(), 0, 'before the service is asked');
}

{
	my $v = $server->begin('sim-check:first:2:close');

	is(confirm($v, $v->{code}), '38V02', 'the right code, whose answer is lost');
	$service->mark;
	is(confirm($v, wrong($v)), 'f pending 3 -', 'makes another code wrong');
	is(checks(), 0, 'without a check, for the service says that one was right');
	is(confirm($v, $v->{code}), 't approved 3 -', 'and is right when it comes again');
}

{
	my $v = $server->begin('sim-check:first:1:close');

	is(confirm($v, $v->{code}), '38V02', 'the right code, whose answer is lost');
	is(check($v, wrong($v), service_sid => 'sim-check:close'), '38V02', 'and a direct check of another, whose answer is lost, too');
	is(confirm($v, wrong($v)), 'f pending 2 -', 'that one is not approved, though the service says that one was right');
	$server->resend_sent($v);
	$session->run("UPDATE pnvs_internal.queue SET service_sid = 'FA1' WHERE phone_verification = '$v->{id}'");
	is(confirm($v, $v->{code}), 't approved 2 -', 'the code of the next message is');
}

{
	my $v = $server->begin('sim-check:first:1:close');

	is(confirm($v, wrong($v)), '38V02', 'a wrong code, whose answer is lost');
	is(check($v, wrong($v, 2), service_sid => 'sim-check:close'), '38V02', 'and a direct check of another');
	is(confirm($v, $v->{code}), 't approved 3 -', 'do not stand in the way of the right one');
}

{
	my $v = $server->begin('FA1');

	$session->run("UPDATE pnvs_internal.queue SET service_sid = 'sim-check:first:1:close' WHERE phone_verification = '$v->{id}'");
	is(confirm($v, $v->{code}), '38V02', 'the right code, whose answer is lost');
	$session->run("UPDATE pnvs_internal.queue SET service_sid = 'sim-search:code:SignatureNonceUsed:400' WHERE phone_verification = '$v->{id}'");
	$service->mark;
	is(confirm($v, $v->{code}), '38V02', 'if that answer is lost, too, it is an error');
	is(confirm($v, wrong($v)), '38V02', 'for another code, too');
	is(checks(), 0, 'before it is checked');
	is(status($v), 'pending 4', 'and no try');
	$session->run("UPDATE pnvs_internal.queue SET service_sid = 'sim-search:throttled:1000' WHERE phone_verification = '$v->{id}'");
	is(confirm($v, wrong($v)), 'f pending 4 1', 'a service that is overloaded is asked again later');
	is(checks(), 0, 'before the code is checked, too');
	$session->run("UPDATE pnvs_internal.queue SET service_sid = 'sim-search:code:Forbidden.RAM:403' WHERE phone_verification = '$v->{id}'");
	is(confirm($v, wrong($v)), 'f pending 3 -', 'one that may not be searched says nothing');
	$session->run("UPDATE pnvs_internal.queue SET service_sid = 'FA1' WHERE phone_verification = '$v->{id}'");
	is(confirm($v, $v->{code}), 't approved 3 -', 'once it tells, the code is approved');
}

# --- a verification that is canceled meanwhile

{
	my $v = $server->begin('FA1', wait => 0);
	my $other;

	$service->mark;
	$other = waits(confirming($v, '123456'));
	cancel($v);
	is($other->result->row->{state}, 'canceled', 'a verification that is canceled in its first second');
	is(checks(), 0, 'has no code checked');
}

{
	my $v = $server->begin('sim-check:held:canceled');
	my ($first, $second);

	$service->mark;
	$first = asked(confirming($v, wrong($v)));
	$second = waits(confirming($v, wrong($v, 2)));
	cancel($v);
	$service->release('canceled');
	is($second->result->row->{state}, 'canceled', 'nor one that is canceled while a session waits for another');
	$first->result;
	is(checks(), 1, 'but by the first');
}

{
	my $v = $server->begin('sim-check:held:checked');
	my $other;

	$service->mark;
	$other = asked(confirming($v, $v->{code}));
	cancel($v);
	$service->release('checked');
	is($other->result->row->{approved}, 'f', 'a verification that is canceled while its code is checked is not approved');
	is($server->verification($v)->{state}, 'canceled', 'and stays canceled');
}

# --- another message is queued meanwhile

{
	my $v = $server->begin('sim-check:held:resent');
	my $other;

	$server->configure('pnvs.worker' => 'off');
	$session->run("UPDATE pnvs_internal.phone_verification SET resend_at = now() WHERE id = '$v->{id}'");
	$service->mark;
	$other = asked(confirming($v, $v->{code}));
	$session->run("SELECT * FROM resend_verification('$v->{id}')");
	$service->release('resent');
	is($other->result->row->{approved}, 't', 'an approval while another message is queued');
	is($session->value("SELECT string_agg(state, ',' ORDER BY id) FROM pnvs_internal.queue WHERE phone_verification = '$v->{id}'"), 'sent,canceled', 'takes it back');
	$server->configure('pnvs.worker' => undef);
}

# --- tries that were rolled back

{
	my $v = $server->begin('FA1');

	$session->run('BEGIN');
	confirm($v, wrong($v, $_)) for 1 .. 4;
	$session->run('ROLLBACK');
	is(status($v), 'pending 1', 'the status counts tries that were rolled back');
	$server->resend_sent($v);
	is(status($v), 'pending 1', 'another message gives none back');
	$session->run('BEGIN');
	confirm($v, wrong($v));
	$session->run('ROLLBACK');
	$server->let_resend($v->{id});
	is($server->resend($v->{id})->{state}, 'max_tries', 'after the last no other message is sent');
	is($server->messages($v->{id}), 'SMS:sent SMS:sent', 'nor queued');
}

# --- several messages

{
	my $v = $server->resend_sent($server->begin('FA1'));

	$service->mark;
	is(confirm($v, $v->{code}), 't approved 5 -', 'the code of the newest message is right');
	is(checks(), 1, 'by one request, for the newest is checked first');
}

# One of two messages is checked by another service.
sub two_messages
{
	my ($which, $service_sid) = @_;
	my $v = $server->begin('FA1');

	$v->{code_before} = $v->{code};
	$server->resend_sent($v);
	$session->run("UPDATE pnvs_internal.queue SET service_sid = '$service_sid' WHERE id = (SELECT $which(id) FROM pnvs_internal.queue WHERE phone_verification = '$v->{id}')");
	return $v;
}

{
	my $v = two_messages('min', 'sim-check:throttled:1000');

	is(confirm($v, wrong($v)), 'f pending 4 1', 'a code that was checked for the newest message alone is a try, and is to be typed again');
}

{
	my $v = two_messages('min', 'sim-check:first:1:throttled:1000');

	is(confirm($v, $v->{code_before}), 'f pending 4 1', 'for it may be that of the older');
	is(confirm($v, $v->{code_before}), 't approved 4 -', 'as it turns out');
	$v = two_messages('min', 'sim-check:throttled:1000');
	confirm($v, wrong($v, $_)) for 1 .. 4;
	is(confirm($v, wrong($v, 5)), 'f max_tries 0 -', 'with the last try it ends all the same');
}

{
	my $v = two_messages('max', 'sim-check:first:1:throttled:1000');

	is(confirm($v, $v->{code}), 'f pending 5 1', 'a code that could not be checked for the newest message is not called wrong');
	is(confirm($v, $v->{code}), 't approved 5 -', 'and is approved when it comes again');
}

# --- a message of unknown fate

{
	my $v = $server->begin('FA1');

	$server->configure('pnvs.worker' => 'off');
	$session->run("UPDATE pnvs_internal.queue SET state = 'unknown', verification_id = NULL, settled_at = NULL, unknown_since = now() WHERE phone_verification = '$v->{id}'");
	is(confirm($v, $v->{code}), 't approved 5 -', 'a message of unknown fate is looked up, without a worker');
	$server->configure('pnvs.worker' => undef);
}

# --- one of unknown fate, beside one that was sent

# changes: of the row whose fate nobody knows.
sub unknown_beside_sent
{
	my ($service_sid, $changes) = (@_, 'unknown_since = now()');
	my $v = $server->begin($service_sid);

	$server->resend_sent($v);
	$session->run("UPDATE pnvs_internal.queue SET state = 'unknown', verification_id = NULL, settled_at = NULL, $changes"
		  . " WHERE phone_verification = '$v->{id}' AND previous IS NOT NULL");
	return $v;
}

{
	my $v = unknown_beside_sent('sim-search:first:1:throttled:1000');

	is(confirm($v, $v->{code}), 'f pending 4 1', 'a code is to be typed again if a message could not be looked up that it may have come with');
	is(confirm($v, $v->{code}), 't approved 4 -', 'as it has');
}

{
	my $v = unknown_beside_sent('sim-search:throttled:1000');

	confirm($v, wrong($v, $_)) for 1 .. 4;
	is(confirm($v, wrong($v, 5)), 'f max_tries 0 -', 'with the last try it ends all the same');
}

{
	my $v = unknown_beside_sent('sim-search:code:Undocumented.Code:400');

	is(confirm($v, wrong($v)), 'f pending 4 1', 'of a search that is refused by a Code that nobody knows nothing is certain');
}

{
	my $v = unknown_beside_sent('sim-search:code:Forbidden.RAM:403');

	is(confirm($v, wrong($v)), 'f pending 4 -', 'if nobody may search, a wrong code is wrong');
	$v = unknown_beside_sent('FA1', "dispatched_at = now() + interval '1 minute', unknown_since = now() + interval '1 minute'");
	is(confirm($v, wrong($v)), 'f pending 4 -', 'and if the message never arrived');
}

# --- limits of the number

{
	my $number = Pnvs::Queue::new_number();
	my @v = map { $server->begin('FA1', number => $number) } 1 .. 3;

	$server->reload('pnvs.limits' => 'tries 1/1h');
	$session->run("SET pnvs.endpoint = '" . $service->endpoint('refused') . "'");
	is(confirm($v[0], $v[0]{code}), '38V01', 'a code that does not reach the service');
	is(check($v[0], $v[0]{code}), '38V01', 'nor by a direct check');
	$session->run('RESET pnvs.endpoint');
	is(status($v[0]), 'pending 5', 'is no try');
	is(confirm($v[0], $v[0]{code}), 't approved 5 -', 'nor one of the number');
	is(confirm($v[1], wrong($v[1])), 'f pending 4 -', 'and an approval gives the number its try back');
	like(confirm($v[1], wrong($v[1])), qr/\Af pending 4 \d+\z/, 'the next is refused');
	is(check($v[2], wrong($v[2]), to => $v[2]{number}), '38V03', 'a direct check, too');
	is(status($v[2]), 'pending 5', 'which takes no try of the verification');
	$server->reload('pnvs.limits' => '');
}

{
	my $number = Pnvs::Queue::new_number();
	my @v = map { $server->begin('FA1', number => $number) } 1 .. 2;

	$server->reload('pnvs.limits' => 'tries 6/1h');
	is(check($v[0], wrong($v[0], $_), to => $number), $_ > 5 ? '38V03' : 'f', "direct check $_ of one of two verifications") for 1 .. 7;
	is(check($v[1], wrong($v[1]), to => $number), 'f', 'those that are refused take no try of the number');
	$server->reload('pnvs.limits' => '');
}

{
	my $v = $server->begin('FA1');

	$server->reload('pnvs.limits' => 'number unapproved 1/1h');
	$v = $server->begin('FA1');
	confirm($v, $v->{code});
	is($session->value("SELECT state FROM begin_verification('$v->{number}', service_sid => 'FA1')"), 'pending', 'an approval makes room among what is not approved');
	$server->reload('pnvs.limits' => '');
}

# Whoever has asked for another code, or a call, has answered all of them.
{
	my $state = sub { return $session->value("SELECT state FROM begin_verification('$_[0]', service_sid => 'FA1')") };
	my $v;

	$server->reload('pnvs.limits' => 'number unapproved 2/1h');
	$v = $server->begin('FA1');
	$server->resend_sent($v);
	is($state->($v->{number}), 'refused', 'two messages that nobody has answered block a number');
	confirm($v, $v->{code});
	is(join(' ', map { $state->($v->{number}) } 1 .. 3), 'pending pending refused', 'an approval gives back the places of all messages of its verification');
	$server->reload('pnvs.limits' => '');
}

# --- direct checks of its messages

{
	my $v = $server->begin('FA1');

	is(check($v, $v->{code}, service_sid => 'sim-check:close'), '38V02', 'the answer to a direct check is lost');
	$service->mark;
	is(confirm($v, $v->{code}), 't approved 4 -', 'the code is right if the service says that it has approved it');
	is(checks(), 0, 'without a second check');
}

# A look-up shows that a message was approved, and not by which code.
{
	my $v = $server->begin('FA1');
	my $before = $server->check_sql($v, $v->{code});

	$server->resend_sent($v);
	$session->run('BEGIN');
	is(confirm($v, $v->{code}), 't approved 5 -', 'the code of the newest message is approved');
	$session->run('ROLLBACK');
	is($session->value($before), 't', 'and then that of the one before, by a direct check');
	is(check($v, wrong($v), service_sid => 'sim-check:close'), '38V02', 'a wrong code of the newest, whose answer is lost,');
	is(confirm($v, wrong($v)), 'f pending 3 -', 'is not taken for the one that the service has approved');
}

{
	my $v = $server->begin('FA1');
	my $other = $server->connect;

	$service->mark;
	$other->send($server->check_sql($v, $v->{code}, service_sid => 'sim-check:hang'));
	asked($other);
	$session->run('SELECT pg_cancel_backend(' . $other->pid . ')');
	is($other->result->sqlstate, '57014', 'a direct check is canceled');
	is(confirm($v, $v->{code}), 't approved 4 -', 'its code is right, too');
	is(checks(), 1, 'without a second check');
}

{
	my $v = $server->begin('FA1');

	check($v, wrong($v), service_sid => 'sim-check:approved-other');
	is(confirm($v, wrong($v)), 'f pending 4 -', 'a direct check that approves another number approves no verification');
}

# --- nobody's message

{
	my $v = $server->begin('sim-check:approved', send => 'false', wait => 0);

	is(confirm($v, '123456'), 'f pending 4 -', 'without a message no code is right, even if the service says so');
}

$session->close;
$server->node->stop('fast');
done_testing();
