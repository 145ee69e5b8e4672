# confirm_verification(): what each typed code comes to, for the page and for the next code.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Pnvs::Confirm;
use Pnvs::Session;
use Pnvs::Simulator;

my $service = Pnvs::Simulator->new;
my $server = Pnvs::Confirm->new($service, 'main',
	conf => "pnvs.limits = ''\npnvs.breaker = ''\npnvs.scan_interval = '1s'\nmax_prepared_transactions = 5\n");
my $node = $server->node;
my $session = $server->session;

sub wrong { return Pnvs::Confirm::wrong(@_); }
sub confirm { return $server->confirm(@_); }
sub query { my ($sql) = @_; my $result = $session->query($sql); return $result->failed ? $result->sqlstate : join ' ', map { $result->row->{$_} // '-' } $result->columns; }

# The requests for a check since the mark.
sub checks { return scalar $service->events('request', action => 'CheckVerification'); }

# --- right and wrong codes

{
	my $v = $server->begin('FA1');

	$service->mark;
	is(confirm($v, wrong($v)), 'f pending 4 -', 'a wrong code is a row, with the tries that are left');
	is(checks(), 1, 'the service was asked once');
	is(join(',', @{ $server->verification($v) }{qw(state tries)}), 'pending,1', 'the row counts it');
	is(confirm($v, $v->{code}), 't approved 4 -', 'the right code is approved, and gives its try back');
	is(join(',', @{ $server->verification($v) }{qw(state tries)}), 'approved,1', 'so says the row');
	$service->mark;
	is(confirm($v, $v->{code}), 't approved 4 -', 'the same code is approved again');
	is(checks(), 0, 'without a request');
	is(confirm($v, wrong($v, 2)), 'f approved 3 -', 'another one is wrong, and a try');
	is(checks(), 0, 'without a request, too');
	is(confirm($v, wrong($v, $_)), 'f approved ' . (5 - $_) . ' -', 'as often as there are tries') for 3 .. 5;
	is(confirm($v, wrong($v, 6)), 'f approved 0 -', 'after that nothing is counted');
	is(confirm($v, $v->{code}), 't approved 0 -', 'the right code is still approved');
}

{
	my $v = $server->begin('FA1');
	my $masked = $v->{number} =~ s/\A(\d{7})\d{4}(\d\d)\z/$1****$2/r;

	$service->mark;
	is(confirm($v, wrong($v, $_)), 'f ' . ($_ < 5 ? 'pending' : 'max_tries') . ' ' . (5 - $_) . ' -', "wrong code $_ of 5") for 1 .. 5;
	is(confirm($v, wrong($v, 6)), 'f max_tries 0 -', 'there is no sixth');
	is(confirm($v, $v->{code}), 'f max_tries 0 -', 'and the right code comes too late');
	is(checks(), 5, 'the service was asked five times');
	is($server->verification($v)->{state}, 'max_tries', 'the row says why');
	is($session->value("SELECT cardinality(wrong_at) FROM pnvs_internal.phone_verification WHERE id = '$v->{id}'"), 5, 'and when each code was typed');
	is($server->verification($v)->{recipient}, $masked, 'and has the number no more');
}

# --- what is no try

{
	my $v = $server->begin('FA1');
	my $stranger = Pnvs::Session->new($node);

	$session->run('CREATE ROLE stranger LOGIN; GRANT USAGE ON SCHEMA public TO stranger');
	$session->run('GRANT EXECUTE ON FUNCTION confirm_verification(uuid, text) TO stranger');
	$stranger->run('SET SESSION AUTHORIZATION stranger');
	$service->mark;
	is(query("SELECT * FROM confirm_verification(NULL, '123456')"), 'f - - -', 'no ID is as an unknown one');
	is(query("SELECT * FROM confirm_verification(gen_random_uuid(), '123456')"), 'f - - -', 'an unknown ID is a row without a state');
	is(confirm($v, $v->{code}, session => $stranger), 'f - - -', 'so is that of another role');
	is(confirm($v, $_), 'f pending 5 -', "'$_' is no code, and no try") for '', '  ', 'abc/def+ghi', '12345678901234567';
	is(query("SELECT * FROM confirm_verification('$v->{id}', NULL)"), 'f pending 5 -', 'nor is NULL');
	is(checks(), 0, 'the service was not asked');
	is(confirm($v, " $v->{code}\xe2\x80\x8b "), 't approved 5 -', 'blanks around a code are not part of it');
	$stranger->close;
}

# --- one statement, one try

{
	my $v = $server->begin('FA1');
	my $wrong = wrong($v);

	$service->mark;
	is(query("SELECT (confirm_verification('$v->{id}', '$wrong')).*"), 'f pending 4 -', 'all columns of a call are of one try');
	is(checks(), 1, 'and one request');
	is(query("SELECT count(*) FROM generate_series(1, 3), confirm_verification('$v->{id}', '$wrong')"), 3, 'a row for each row');
	is(query("DO \$\$ BEGIN PERFORM confirm_verification('$v->{id}', '$wrong'); PERFORM confirm_verification('$v->{id}', '$wrong'); END \$\$"), '', 'two statements');
	is(confirm($v, $v->{code}), 't approved 1 -', 'are two tries');
}

# --- transactions

{
	my $v = $server->begin('FA1');
	my $wrong = wrong($v);

	$session->run('BEGIN');
	is(confirm($v, $wrong), 'f pending 4 -', 'a wrong code in a transaction');
	is($server->locks, 0, 'keeps no lock until its end');
	$session->run('ROLLBACK');
	is($server->verification($v)->{tries}, 0, 'the row forgets it by ROLLBACK');
	is(confirm($v, wrong($v, 2)), 'f pending 3 -', 'and the server does not');
	is($server->verification($v)->{tries}, 2, 'the row catches up');
	$session->run('BEGIN');
	is(confirm($v, $v->{code}), 't approved 3 -', 'an approval in a transaction');
	$session->run('ROLLBACK');
	is($server->verification($v)->{state}, 'pending', 'is rolled back');
	$service->mark;
	is(confirm($v, wrong($v, 3)), 'f pending 2 -', 'another code is wrong');
	is(confirm($v, $v->{code}), 't approved 2 -', 'the same code is approved again');
	is(checks(), 0, 'both without a request');
	is($server->verification($v)->{state}, 'approved', 'and the row says so now');
}

{
	my $v = $server->begin('FA1');

	$session->run('BEGIN; SAVEPOINT s');
	is(confirm($v, $v->{code}), 't approved 5 -', 'an approval in a savepoint');
	$session->run('ROLLBACK TO s');
	is(confirm($v, $v->{code}), 't approved 5 -', 'is there again after ROLLBACK TO');
	$session->run('COMMIT');
	is($server->verification($v)->{state}, 'approved', 'and committed');
}

# A cursor outlives the ROLLBACK of what it has done.
{
	my $v = $server->begin('FA1');
	my $wrong = wrong($v);

	$service->mark;
	$session->run("BEGIN; DECLARE c CURSOR FOR SELECT (confirm_verification('$v->{id}', code)).*
		FROM unnest('{$wrong,$wrong,$v->{code},$v->{code}}'::text[]) code");
	for my $row ('f pending 4 -', 'f pending 4 -', 't approved 4 -')
	{
		$session->run('SAVEPOINT s');
		is(query('FETCH c'), $row, "a cursor: $row");
		$session->run('ROLLBACK TO s');
	}
	is(query('FETCH c'), 't approved 4 -', 'and the same code again');
	$session->run('COMMIT');
	is(checks(), 2, 'each code was checked once');
	is($server->verification($v)->{state}, 'approved', 'an approval that was rolled back is written again');
}

{
	my $v = $server->begin('FA1');

	is(query("BEGIN READ ONLY; SELECT * FROM confirm_verification('$v->{id}', '$v->{code}')"), '25006', 'a read-only transaction cannot confirm');
	$session->run('ROLLBACK');
	$service->mark;
	$session->run('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
	is(confirm($v, wrong($v), session => $server->connect), 'f pending 4 -', 'another session tries a code after a transaction has its snapshot');
	is(confirm($v, wrong($v, 2)), 'f pending 3 -', 'also in REPEATABLE READ the row is as it is by now');
	is(confirm($v, $v->{code}), 't approved 3 -', 'and can be approved');
	$session->run('COMMIT');
	is($server->verification($v)->{state}, 'approved', 'and is committed');
}

# --- nothing to check yet

{
	my $v;

	$service->mark;
	$session->run('BEGIN');
	$v = $server->begin('FA1', wait => 0);
	is(confirm($v, '123456'), 'f pending 5 1', 'before the message is sent there is nothing to check, and no try');
	$session->run('COMMIT');
	is(checks(), 0, 'and no request');
	$server->wait_sent($v);
	is(confirm($v, $v->{code}), 't approved 5 -', 'a moment later there is');
}

# --- several messages

{
	my $v = $server->begin('FA1');
	my $first = $v->{code};

	$server->resend_sent($v);
	$service->mark;
	is(confirm($v, wrong($v)), 'f pending 4 -', 'with two messages a code is one try');
	is(checks(), 2, 'and two requests');
	is(confirm($v, $first), 't approved 4 -', 'the first code is right, too');
}

{
	my $v = $server->begin('FA1');

	$session->run('BEGIN');
	is(confirm($v, $v->{code}), 't approved 5 -', 'an approval that is rolled back');
	$session->run('ROLLBACK');
	my $first = $v->{code};
	$server->resend_sent($v);
	is(confirm($v, $v->{code}), 't approved 5 -', 'does not stand in the way of the code of a later message');
	is(confirm($v, $first), 'f approved 4 -', 'and then the first is another one');
}

{
	my $v = $server->begin('FA1');
	my $first = $v->{code};

	$server->resend_sent($v) for 1 .. 3;
	$service->mark;
	is(confirm($v, $first), 'f pending 4 -', 'of four messages the oldest is not asked about');
	is(checks(), 3, 'for three requests are the most');
}

# --- a message of unknown fate

{
	my $v = $server->begin('sim-start:close', wait => 0);

	Pnvs::Simulator::wait_until('the answer is lost', sub { $session->value("SELECT count(*) FROM pnvs_internal.queue WHERE phone_verification = '$v->{id}' AND code IS NOT NULL") == 1 });
	$server->wait_sent($v);
	is(confirm($v, $v->{code}), 't approved 5 -', 'a code that came with a message of unknown fate is approved');
}

{
	my $sender = $server->connect;
	my $v;

	$server->configure('pnvs.worker' => 'off');
	$service->mark;
	$v = $server->begin('sim-start:hang', wait => 0);
	$sender->send('CALL process_verification_queue()');
	$service->wait_for('sent', to => $v->{number});
	is(confirm($v, '123456'), 'f pending 5 1', 'a message that is being sent has nothing to check yet');
	$session->run('SELECT pg_terminate_backend(' . $sender->pid . ')');
	Pnvs::Simulator::wait_until('the sender is gone', sub { $session->value('SELECT count(*) FROM pg_stat_activity WHERE pid = ' . $sender->pid) == 0 });
	$v->{code} = ($service->events('sent', to => $v->{number}))[0]{code};

	# a record of the number may be of another message, which is being sent
	my $reader = $server->connect;
	$reader->run('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
	my $sending = $session->value(<<"SQL");
INSERT INTO pnvs_internal.queue
	SELECT (jsonb_populate_record(q, jsonb_build_object('id', id + 1000000, 'phone_verification', NULL))).*
	FROM pnvs_internal.queue q WHERE phone_verification = '$v->{id}' RETURNING id
SQL
	is(confirm($v, $v->{code}, session => $reader), 'f pending 5 1', 'another message to the number that is being sent is seen, also in REPEATABLE READ');
	$reader->run('ROLLBACK');
	$reader->close;
	$session->run("DELETE FROM pnvs_internal.queue WHERE id = $sending");

	is(confirm($v, wrong($v)), 'f pending 4 -', 'if its sender has died, it is looked up first');
	is(confirm($v, $v->{code}), 't approved 4 -', 'and its code is right');
	is($session->value("SELECT verification_id IS NULL FROM pnvs_internal.queue WHERE phone_verification = '$v->{id}'"), 't', 'though its row does not say so');
	$server->configure('pnvs.worker' => undef);
}

# --- the service does not answer

{
	my $v = $server->begin('sim-check:first:1:close');

	is(confirm($v, $v->{code}), '38V02', 'a lost answer is an error');
	$service->mark;
	is(confirm($v, $v->{code}), 't approved 4 -', 'the same code is approved if the service says that it has approved it');
	is(checks(), 0, 'without a second check');
}

{
	my $v = $server->begin('FA1');

	$session->run("SET pnvs.endpoint = '" . $service->endpoint('refused') . "'");
	is(confirm($v, $v->{code}), '38V01', 'a service that is not there is an error');
	$session->run('RESET pnvs.endpoint');
	is(confirm($v, wrong($v)), 'f pending 4 -', 'and no try');
}

for my $send ('true', 'false')
{
	my $v = $server->begin('sim-check:code:InvalidAccessKeyId.NotFound:404', send => $send, wait => $send eq 'true');

	$session->run("UPDATE pnvs_internal.phone_verification SET begun_at = begun_at - interval '1 s' WHERE id = '$v->{id}'");
	is(confirm($v, '123456'), '38V05', "refused credentials are an error, whether messages are sent or not: $send");
	is($session->value("SELECT tries_left FROM phone_verification_status('$v->{id}')"), 5, 'and no try');
}

{
	my $v = $server->begin('sim-check:first:1:throttled:1000');

	is(confirm($v, $v->{code}), 'f pending 5 1', 'a service that is overloaded is asked again later');
	is(confirm($v, $v->{code}), 't approved 5 -', 'and no try is lost');
}

{
	my $v = $server->begin('sim-check:slow:300');

	$session->run("SET pnvs.request_timeout = '10ms'; SET pnvs.connect_timeout = '10ms'");
	is(confirm($v, $v->{code}), 't approved 5 -', 'no caller shortens the time for the answer');
	$session->run("SET pnvs.connect_timeout = '10ms'; SET pnvs.endpoint = '" . $service->endpoint('connect_stall') . "'");
	$v = $server->begin('FA1');
	my $begun = time;
	is(confirm($v, $v->{code}), '38V01', 'a service that cannot be connected to');
	cmp_ok(time - $begun, '>', 2.5, 'is waited for as long as by default, whatever the caller has set');
	$session->run('RESET ALL');
}

# --- no setting of the limits lifts the tries

{
	my $v = $server->begin('FA1');

	$server->reload('pnvs.limits' => 'number 1/1h, tries 100/1h', 'pnvs.limits_mode' => 'observe');
	confirm($v, wrong($v, $_)) for 1 .. 5;
	is(confirm($v, $v->{code}), 'f max_tries 0 -', 'in observe mode, too, a verification has five tries');
	$server->reload('pnvs.limits' => '', 'pnvs.limits_mode' => undef);
}

{
	my $v = $server->begin('sim-check:code:INVALID_PARAMETERS:200');
	my $decoy = $server->begin('sim-check:code:INVALID_PARAMETERS:200', send => 'false', wait => 0);

	is(confirm($v, '1'), 'f pending 4 -', 'a code that the service refuses to check is a try: it may call wrong ones so');
	$session->run("UPDATE pnvs_internal.phone_verification SET begun_at = begun_at - interval '1 s' WHERE id = '$decoy->{id}'");
	is(confirm($decoy, '1'), 'f pending 4 -', 'decoy: a code that is refused is a try');
	is(confirm($decoy, '2'), 'f pending 3 -', 'of a decoy, too');
	check($v, '2', service_sid => 'sim-check:code:INVALID_PARAMETERS:200');
	is(confirm($v, '3'), 'f pending 2 -', 'and so is one that is checked directly');
	like(PostgreSQL::Test::Utils::slurp_file($server->node->logfile), qr/refused to check codes: INVALID_PARAMETERS/, 'the log says so');
}

# With the last try the verification ends: nothing more is sent for it.
{
	my $v = $server->begin('FA1');

	$server->configure('pnvs.worker' => 'off');
	$server->let_resend($v->{id});
	$server->resend($v->{id});
	confirm($v, wrong($v, $_)) for 1 .. 5;
	is($server->messages($v->{id}), 'SMS:sent SMS:canceled', 'after the last try what is queued is not sent any more');
	$server->configure('pnvs.worker' => undef);
}

# --- another session

{
	my $v = $server->begin('sim-check:held:code');
	my $other = $server->connect;

	$service->mark;
	$other->send(Pnvs::Confirm::confirm_sql($v, wrong($v)));
	$service->wait_for('request', action => 'CheckVerification');
	is(confirm($v, $v->{code}), 'f pending 4 1', 'while another session waits for the answer, one does not wait for long');
	is($server->locks, 1, 'it has a lock for that');
	$service->release('code');
	$other->result;
	is($server->locks, 0, 'which is gone afterwards');
	is(confirm($v, $v->{code}), 't approved 4 -', 'then the code is approved');
	$other->close;
}

# --- what ends a verification

{
	my $v = $server->begin('FA1');

	$session->run("UPDATE pnvs_internal.phone_verification SET expires_at = now() WHERE id = '$v->{id}'");
	$service->mark;
	is(confirm($v, $v->{code}), 'f expired 5 -', 'an expired one is confirmed no more');
	$v = $server->begin('FA1');
	$session->run("SELECT cancel_phone_verification('$v->{id}')");
	is(confirm($v, $v->{code}), 'f canceled 5 -', 'nor is one that was canceled');
	$v = $server->begin('FA1');
	$session->run("UPDATE pnvs_internal.phone_verification SET origin_database = 1 WHERE id = '$v->{id}'");
	is(confirm($v, $v->{code}), 'f canceled 5 -', 'nor a copy');
	is(checks(), 0, 'the service was asked about none');
}

# --- nobody's message

{
	my %v = (decoy => $server->begin('FA1', send => 'false', wait => 0), real => $server->begin('FA1', wait => 0));
	my $v = $v{decoy};

	for my $kind (sort keys %v)
	{
		my $begun = time;

		$service->mark;
		is(confirm($v{$kind}, '111111'), 'f pending 4 -', "$kind: a code that comes at once is judged");
		is(checks(), 1, "$kind: by the service");
		is($session->value("SELECT clock_timestamp() >= begun_at + interval '1 s' FROM pnvs_internal.phone_verification WHERE id = '$v{$kind}{id}'"),
			't', "$kind: when the verification is a second old");
		cmp_ok(time - $begun, '<', 10, "$kind: and not much later");
	}
	is(confirm($v, '222222'), 'f pending 3 -', 'its tries count');
	is(confirm($v, "33333$_"), 'f ' . ($_ < 3 ? 'pending' : 'max_tries') . ' ' . (3 - $_) . ' -', 'down to the last') for 1 .. 3;
}

# --- a message that the service has refused: a log-in does not tell

{
	my $v = $server->begin('sim-start:code:MOBILE_NUMBER_ILLEGAL:200', wait => 0);

	Pnvs::Simulator::wait_until('the message has failed', sub { $session->value("SELECT state FROM phone_verification_status('$v->{id}')") eq 'failed' });
	$service->mark;
	is(confirm($v, "11111$_"), 'f ' . ($_ < 5 ? 'failed' : 'max_tries') . ' ' . (5 - $_) . ' -', 'where no message was sent codes are tries, as of a decoy') for 1 .. 5;
	is(confirm($v, '222222'), 'f max_tries 0 -', 'of which there are as many');
	is(checks(), 5, 'and the service is asked about as many');
}

{
	my $v = $server->begin('sim:approved');

	$session->run("UPDATE pnvs_internal.queue SET state = 'failed' WHERE phone_verification = '$v->{id}'");
	is(confirm($v, '111111'), 'f failed 4 -', 'but none is right, whatever the service says');
	$session->run("UPDATE pnvs_internal.phone_verification SET expires_at = now() WHERE id = '$v->{id}'");
	is(confirm($v, '111111'), 'f expired 4 -', 'and it expires');
}

# --- what is queued is taken back

{
	my $v = $server->begin('FA1');

	$server->let_resend($v->{id});
	$session->run('BEGIN');
	$server->resend($v->{id});
	is(confirm($v, $v->{code}), 't approved 5 -', 'an approval');
	$session->run('COMMIT');
	is($server->messages($v->{id}), 'SMS:sent SMS:canceled', 'takes back what is still queued');
}

# --- limits of the number

{
	$server->reload('pnvs.limits' => 'tries 2/1h');
	my $v = $server->begin('FA1');

	confirm($v, wrong($v, $_)) for 1 .. 2;
	like(confirm($v, $v->{code}), qr/\Af pending 3 \d+\z/, 'without a try of the number there is a time to wait');
	like(confirm($v, $v->{code}), qr/\Af pending 3 /, 'and no try of the verification is taken');
	$server->reload('pnvs.limits' => '');
}

# --- test numbers

{
	$server->reload('pnvs.test_numbers' => "6590000001=123456 until " . $session->value('SELECT (now() + interval \'30 days\')::date::text'));
	my $v = $server->begin('FA1', number => '6590000001');

	$service->mark;
	is(confirm($v, '654321'), 'f pending 4 -', 'a wrong code of a test number');
	is(confirm($v, '123456'), 't approved 4 -', 'and its right one');
	is(checks(), 0, 'need no service');
}

# --- direct checks of its messages

sub check { return $server->check(@_); }

{
	my $v = $server->begin('FA1');

	is(check($v, wrong($v, $_), $_ == 1 ? (to => $v->{number}) : ()), 'f', 'a direct check of its message') for 1 .. 2;
	is(confirm($v, wrong($v, 3)), 'f pending 2 -', 'takes tries of the verification');
	is(check($v, $v->{code}), 't', 'the right code gives its try back');
	$service->mark;
	is(confirm($v, $v->{code}), 't approved 2 -', 'and is right for the verification');
	is(checks(), 0, 'which asks no more');
}

{
	my $v = $server->begin('FA1');

	confirm($v, wrong($v, $_)) for 1 .. 4;
	is(check($v, wrong($v, 5)), 'f', 'the last try can be a direct check');
	is(check($v, $v->{code}), '38V03', 'after that none is made');
	is(confirm($v, $v->{code}), 'f max_tries 0 -', 'nor is a code confirmed');
}

# --- secrets

unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/confirm_verification\('/, 'no statement with a code is logged');

$session->close;
$node->stop('fast');

# --- without shared memory

{
	my $alone = $service->new_node('alone');
	my $there = Pnvs::Session->new($alone);

	is($there->query("SELECT confirm_verification(gen_random_uuid(), '123456')")->sqlstate, 'F0000', 'without shared memory nothing is confirmed');
	$there->close;
	$alone->stop('fast');
}

done_testing();
