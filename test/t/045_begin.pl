# begin_verification(), resend_verification(), cancel_phone_verification() and
# phone_verification_status(): what they queue, refuse and show, and to whom.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(min);
use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Simulator qw(wait_until);
use Pnvs::Verification;

$PostgreSQL::Test::Utils::timeout_default = min($PostgreSQL::Test::Utils::timeout_default, 60);

my $KEY = 'a key that nobody can guess';
my $UUID = qr/\A[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\z/;

my $service = Pnvs::Simulator->new;

# Messages stay queued until the worker is let loose.
my $pv = Pnvs::Verification->new($service, 'begin', conf => <<'CONF');
pnvs.worker = off
pnvs.limits = 'number 20/1h'
pnvs.breaker = ''
pnvs.scan_interval = 1
pnvs.reconcile_for = 60
CONF
my $session = $pv->session;

# The columns of a row, without its ID and its times.
sub words
{
	my ($row) = @_;

	return join ' ', map { $_ // '-' } @{$row}{qw(state channel refused retry_after)};
}

# How many seconds there are between two times.
sub seconds
{
	my ($from, $to) = @_;

	return $session->value("SELECT round(extract(epoch FROM '$to'::timestamptz - '$from'::timestamptz))");
}

sub count_rows { return $session->value('SELECT count(*) FROM pnvs_internal.phone_verification'); }

# How many places the rules have taken since they are counted.
sub admitted { return $session->value("SELECT sum(admitted) FROM pnvs_stat_guard"); }

sub refused_by { return $session->query('SELECT ' . Pnvs::Verification::begin_sql(@_)); }

sub test_row
{
	my $number = $pv->new_number;
	my $begun = $pv->begin($number, purpose => 'sign-up', reference => 'user 7', rate_key => '192.0.2.1');
	my $stored = $pv->stored($begun->{id});
	my ($message) = $session->run("SELECT * FROM pnvs_internal.queue WHERE phone_verification = '$begun->{id}'")->rows;

	is(join(' ', $session->run('SELECT * FROM ' . Pnvs::Verification::begin_sql('x'))->columns),
		'id state channel refused retry_after resend_at expires_at', 'the columns of a verification that begins');
	is(words($begun), 'pending SMS - -', 'a verification begins with a message');
	like($begun->{id}, $UUID, 'its ID is random in all its bits');
	is(seconds($stored->{begun_at}, $begun->{expires_at}), 600, 'it lives for ten minutes');
	is(seconds($stored->{begun_at}, $begun->{resend_at}), 30, 'another message may be sent after half a minute');
	is(join(' ', @{$message}{qw(id channel recipient service_sid state reference)}),
		"$stored->{last_message} SMS $number FA1 queued user 7", 'the message is a row of the queue');
	is(seconds($message->{created_at}, $message->{send_before}), 300, 'which is pointless after five minutes');
	is($message->{retain_from}, $begun->{expires_at}, 'and is kept until the verification expires');
	ok($stored->{recipient_hash}, 'the verification has the hash of the number');
	is($message->{recipient_hash}, undef, 'and its message has not: it is found by the verification');
	is($message->{admission_key}, $stored->{admission_key}, 'and that of the rate_key');
	ok($stored->{admission_key}, 'which is there');
	is($stored->{requested_by}, $session->value('SELECT current_user::regrole::oid'), 'it is known who has begun it');
	is($pv->status($begun->{id})->{purpose}, 'sign-up', 'the status says what it is for');
	is(join(' ', map { $stored->{$_} // '-' } qw(state recipient purpose reference session_hash channels channel_position messages
			is_decoy trusted refused_count tries approved_at used_at ended_at)),
		"pending $number sign-up user 7 - {SMS} 0 1 f f 0 0 - - -", 'the row of the table');
	is($session->value("SELECT origin_system = system_identifier AND origin_database = d.oid
		FROM pnvs_internal.phone_verification v, pg_control_system(), pg_database d
		WHERE id = '$begun->{id}' AND datname = current_database()"), 't', 'it is of this database');

	my $status = $pv->status($begun->{id});

	is_deeply({ map { $_ => $status->{$_} } keys %$begun }, $begun, 'the status shows the same');
	is("$status->{approved} $status->{tries_left}", 'f 5', 'and what there is to confirm');
	return;
}

sub test_times
{
	my $short = $pv->begin($pv->new_number, valid_for => '2 minutes');
	my ($message) = $session->run("SELECT * FROM pnvs_internal.queue WHERE phone_verification = '$short->{id}'")->rows;

	is($message->{send_before}, $short->{expires_at}, 'no message goes out for a verification that has expired');
	$pv->reload('pnvs.limits' => 'number 1/1h');
	is(seconds($pv->stored($_->{id})->{begun_at}, $_->{resend_at}), 3600, 'another message may be sent when the limits have room')
	  for $pv->begin($pv->new_number);
	$pv->reload('pnvs.limits' => 'number 20/1h, number VOICE 1/2h');
	{
		my $number = $pv->new_number;
		my $voice = $pv->begin($number, channels => '{voice}');
		my $sms = $pv->begin($number, channels => '{SMS,VOICE}');

		is(seconds($pv->stored($voice->{id})->{begun_at}, $sms->{resend_at}), 7200, 'by the channel that comes next');
	}
	$pv->reload('pnvs.limits' => undef, 'pnvs.channels' => 'SMS');
	is($pv->begin($pv->new_number, channels => '{SMS,VOICE}')->{resend_at}, undef, 'or never');
	$pv->reload('pnvs.channels' => undef);
	return;
}

sub test_arguments
{
	my $number = $pv->new_number;
	my $rows = count_rows();
	my %bad = (
		'no number' => [undef],
		'no channels' => [ $number, channels => undef ],
		'an empty list of channels' => [ $number, channels => '{}' ],
		'an unknown channel' => [ $number, channels => '{SMS,FAX}' ],
		'a channel twice' => [ $number, channels => '{SMS,sms}' ],
		'a channel that is null' => [ $number, channels => '{SMS,NULL}' ],
		'a channel in two dimensions too many' => [ $number, channels => '{{SMS,VOICE},{WHATSAPP,SMS}}' ],
		'an empty purpose' => [ $number, purpose => '' ],
		'a purpose that is too long' => [ $number, purpose => 'x' x 513 ],
		'an empty reference' => [ $number, reference => '' ],
		'a reference that is too long' => [ $number, reference => 'x' x 513 ],
		'a session_key that can be guessed' => [ $number, session_key => 'x' x 15 ],
		'a session_key that is too long' => [ $number, session_key => 'x' x 513 ],
		'a blank rate_key' => [ $number, rate_key => ' ' ],
		'no word on sending' => [ $number, send => undef ],
		'no time to live' => [ $number, valid_for => undef ],
		'less than a minute' => [ $number, valid_for => '59 seconds' ],
		'more than an hour' => [ $number, valid_for => '61 minutes' ],
		'an empty service_sid' => [ $number, service_sid => '' ],
	);

	is(refused_by(@{ $bad{$_} })->sqlstate, '22023', "an error of the developer: $_") for sort keys %bad;
	like(refused_by(@{ $bad{'a session_key that can be guessed'} })->hint, qr/16 bytes/, 'the hint says what to pass as session_key');
	is($session->query($_)->sqlstate, '22023', "an error: $_")
	  for 'SELECT resend_verification(NULL)', 'SELECT cancel_phone_verification(NULL)', 'SELECT phone_verification_status(NULL)',
	  "SELECT resend_verification(gen_random_uuid(), 'FAX')";
	is(words($pv->begin($number, channels => '{whatsApp,SMS,Voice}', valid_for => '1 minute', purpose => 'x' x 512,
				session_key => 'x' x 512, reference => 'x' x 512)), 'pending WHATSAPP - -', 'the longest that is taken');
	is(count_rows(), $rows + 1, 'errors leave no row');
	return;
}

sub test_refusals
{
	my $rows = count_rows();
	my $number = $pv->new_number;

	for my $typed ('', 'abc', '+62', '+62 812 345', '+1 900 555 0100', '0812 3456 7890', "+62 812 3456 7890 1234")
	{
		my $begun = $pv->begin($typed);

		is(($begun->{id} // '-') . ' ' . words($begun), '- refused - not_a_number -', "\"$typed\" is no number");
	}
	is(count_rows(), $rows, 'and nothing is kept of it');
	$session->run('BEGIN');
	$pv->begin('abc');
	is($session->value('SELECT pg_current_xact_id_if_assigned()') // '-', '-', 'not even a transaction ID is taken for it');
	$session->run('COMMIT');

	$pv->reload('pnvs.limits' => 'number 1/1h');
	$pv->begin($number);
	{
		my $refused = $pv->begin($number, purpose => 'sign-up');
		my $again = $pv->begin($number, purpose => 'sign-up');
		my $stored = $pv->stored($refused->{id});

		is(join(' ', map { $refused->{$_} // '-' } qw(state channel refused resend_at expires_at)), 'refused - too_many - -',
			'a limit refuses with a row');
		ok($refused->{retry_after} > 3500 && $refused->{retry_after} <= 3600, 'which says how many seconds to wait');
		# a minute may have begun between the two
		is($again->{id}, $refused->{id}, 'a repeat is counted in the same row') or $refused = $pv->begin($number, purpose => 'sign-up');
		is($stored->{refused_count}, 2, 'by a number');
		like($stored->{recipient}, qr/\A62815\d\d\*{4}\d\d\z/, 'the number is masked');
		is($stored->{last_message} // '-', '-', 'it has no message');
		isnt($pv->begin($number, purpose => 'log-in')->{id}, $refused->{id}, 'another purpose has a row of its own');
		isnt($pv->begin($number, purpose => 'sign-up', rate_key => '192.0.2.7')->{id}, $refused->{id}, 'and so has another rate_key');
		my $resent = $pv->resend($refused->{id});

		is(join(' ', @$resent{qw(state refused)}), 'refused too_many', 'no message of it can be sent again');
		ok($resent->{retry_after} > 3500 && $resent->{retry_after} <= 3600, 'the seconds to wait are told again');
		is($pv->cancel($refused->{id}), 'f', 'and there is nothing to cancel');
		like($pv->status($refused->{id})->{retry_after}, qr/\A3[56]\d\d\z/, 'the status counts the seconds down');
	}

	my %setting = (
		'pnvs.countries' => [ 'SG', 'not_available_here' ],
		'pnvs.channels' => [ 'VOICE', 'not_available_here' ],
		'pnvs.sending' => [ 'off', 'try_later' ],
		'pnvs.access_key_secret' => [ '', 'try_later' ],
	);

	for my $name (sort keys %setting)
	{
		my ($value, $refused) = @{ $setting{$name} };

		$pv->reload('pnvs.limits' => undef, $name => $value);
		is(words($pv->begin($pv->new_number)), "refused - $refused -", "$name = '$value' refuses without a reason");
		$pv->reload($name => undef);
	}
	$pv->reload('pnvs.sending' => 'off', 'pnvs.test_numbers' => '6590000001=123456 until '
		  . $session->value("SELECT (now() + interval '3 days')::date"));
	is(words($pv->begin('6590000001')), 'pending SMS - -', 'a test number needs no sending');
	$pv->reload('pnvs.sending' => undef, 'pnvs.test_numbers' => undef);
	is(words($pv->begin($pv->new_number, service_sid => undef)), 'refused - try_later -', 'and so does a service that is not named');
	return;
}

# Another transaction has counted a refusal, and is open.
sub test_no_wait
{
	my $other = $pv->connect;
	my $number = $pv->new_number;

	$pv->reload('pnvs.limits' => 'number 1/1h');
	$pv->begin($number) for 1 .. 2;
	$other->run('BEGIN');
	$pv->begin($number, session => $other);
	$session->run("SET lock_timeout = '5s'");
	is($session->query('SELECT * FROM ' . Pnvs::Verification::begin_sql($number, service_sid => 'FA1'))->message, '',
		'nobody waits for a transaction that has counted a refusal');
	$other->run('COMMIT');
	$session->run('RESET lock_timeout');
	$pv->reload('pnvs.limits' => undef);
	$other->close;
	return;
}

sub test_session
{
	my $number = $pv->new_number;
	my %key = (session_key => $KEY, purpose => 'log-in');
	my $first = $pv->begin($number, %key);
	my $admitted = admitted();

	is_deeply($pv->begin("+$number", %key), $first, 'a session that begins twice has one verification');
	is(admitted(), $admitted, 'which takes no place');
	is($pv->messages($first->{id}), 'SMS:queued', 'and has one message');
	isnt($pv->begin($number, purpose => 'log-in')->{id}, $first->{id}, 'without a key it is another');
	isnt($pv->begin($number, purpose => 'log-in', session_key => "$KEY.")->{id}, $first->{id}, 'with another key, too');
	isnt($pv->begin($number, purpose => 'sign-up', session_key => $KEY)->{id}, $first->{id}, 'and for another purpose');
	isnt($pv->begin($number, session_key => $KEY)->{id}, $first->{id}, 'and without one');
	unlike(join(' ', map { $_ // '' } %{ $pv->stored($first->{id}) }), qr/guess/, 'the key is not kept');

	$pv->let_resend($first->{id});
	my $second = $pv->begin($number, %key);

	is("$second->{id} " . words($second), "$first->{id} pending SMS - -", 'later it is the same verification');
	is($pv->messages($first->{id}), 'SMS:canceled SMS:queued', 'with another message');
	is($second->{expires_at}, $first->{expires_at}, 'that lives no longer');

	my $other = $pv->begin($pv->new_number, %key);

	isnt($other->{id}, $first->{id}, 'another number of the session is another verification');
	is($pv->status($first->{id})->{state}, 'canceled', 'and cancels the first');
	is($pv->messages($first->{id}), 'SMS:canceled SMS:canceled', 'with its messages');
	is($pv->begin('abc', %key)->{refused}, 'not_a_number', 'what is no number');
	is($pv->status($other->{id})->{state}, 'pending', 'cancels nothing');
	$session->run("UPDATE pnvs_internal.phone_verification SET expires_at = now() WHERE id = '$other->{id}'");
	isnt($pv->begin($number, %key)->{id}, $other->{id}, 'an expired verification does not go on');
	return;
}

# Two clicks at the same time, and one that is undone.
sub test_double_click
{
	my $number = $pv->new_number;
	my $other = $pv->connect;
	my $sql = 'SELECT * FROM ' . Pnvs::Verification::begin_sql($number, session_key => "$KEY twice", service_sid => 'FA1');
	my ($first, $second);

	$session->run('BEGIN');
	$first = $session->run($sql)->row;
	$other->send($sql);
	ok($pv->soon(sub { $session->value('SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = ' . $other->pid) }),
		'the second of two clicks waits for the first');
	$session->run('COMMIT');
	$second = $other->result->row;
	is_deeply($second, $first, 'two clicks at the same time are one verification');
	is($pv->messages($first->{id}), 'SMS:queued', 'with one message');

	$sql =~ s/twice/again/;
	$session->run('BEGIN');
	$first = $session->run($sql)->row;
	$other->send($sql);
	wait_until('the second waits', sub { $session->value('SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = ' . $other->pid) });
	$session->run('ROLLBACK');
	$second = $other->result->row;
	isnt($second->{id}, $first->{id}, 'of a click that is rolled back nothing is left');
	is($pv->messages($second->{id}), 'SMS:queued', 'the other has its message');

	$pv->let_resend($second->{id});
	$session->run('BEGIN');
	is($pv->cancel($second->{id}), 't', 'one session cancels');
	$other->send($sql);
	wait_until('a click waits for it', sub { $session->value('SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = ' . $other->pid) });
	$session->run('COMMIT');
	$first = $other->result->row;
	is($first->{state}, 'pending', 'a click that waited for it begins');
	isnt($first->{id}, $second->{id}, 'another verification');

	$sql =~ s/again/late/;
	$session->run('BEGIN');
	$session->run($sql);
	$other->send($sql =~ s/\*/extract(epoch FROM expires_at - clock_timestamp()) AS seconds/r);
	wait_until('the second waits', sub { $session->value('SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = ' . $other->pid) });
	$session->run("SELECT pg_sleep(3)");
	$session->run('ROLLBACK');
	cmp_ok($other->result->row->{seconds}, '>', 598, 'the time for a code begins after the wait');
	$other->close;
	return;
}

sub test_resend
{
	my $begun = $pv->begin($pv->new_number, channels => '{WHATSAPP,SMS}');
	my $id = $begun->{id};
	my $early = $pv->resend($id);

	is("$early->{state} $early->{channel} $early->{refused}", 'pending WHATSAPP too_many', 'another message is refused before its time');
	ok($early->{retry_after} > 25 && $early->{retry_after} <= 30, 'with the seconds to wait');
	is($early->{resend_at}, $begun->{resend_at}, 'and the time');
	is($pv->messages($id), 'WHATSAPP:queued', 'nothing is queued');
	$pv->let_resend($id);
	is(words($pv->resend($id)), 'pending SMS - -', 'then it goes by the next channel');
	is($pv->messages($id), 'WHATSAPP:canceled SMS:queued', 'and replaces what is still queued');
	is($pv->resend($id)->{refused}, 'too_many', 'it counts its time anew');
	$pv->let_resend($id);
	is(words($pv->resend($id)), 'pending SMS - -', 'the last channel stays');
	$pv->let_resend($id);
	is(words($pv->resend($id, channel => 'voice')), 'pending VOICE - -', 'or by the one that is named, such as a call');
	$pv->let_resend($id);
	my $last = $pv->resend($id);

	is(words($last), 'pending SMS - -', 'and by its own channels after that');
	is($last->{resend_at} // '-', '-', 'the fifth message is the last');
	$pv->let_resend($id);
	my $sixth = $pv->resend($id);

	is("$sixth->{state} $sixth->{refused}", 'pending too_many', 'a sixth is refused');
	ok($sixth->{retry_after} > 500, 'until the verification has expired');
	is($pv->stored($id)->{messages}, 5, 'five were queued');
	return;
}

sub test_resend_at_once
{
	my $id = $pv->begin($pv->new_number)->{id};
	my $other = $pv->connect;

	$pv->let_resend($id);
	$session->run('BEGIN');
	is($pv->resend($id)->{state}, 'pending', 'another message is queued');
	$other->send("SELECT refused FROM resend_verification('$id')");
	wait_until('the second waits', sub { $session->value('SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = ' . $other->pid) });
	$session->run('COMMIT');
	is($other->result->value, 'too_many', 'of two requests for another message at the same time the second is refused');
	is($pv->messages($id), 'SMS:canceled SMS:queued', 'and queues nothing');
	$other->close;
	return;
}

sub test_resend_refused
{
	my $begun = $pv->begin($pv->new_number);
	my $id = $begun->{id};

	$pv->let_resend($id);
	$pv->reload('pnvs.limits' => 'number 1/1h');
	my $refused = $pv->resend($id);

	is("$refused->{state} $refused->{channel} $refused->{refused}", 'pending SMS too_many', 'a limit refuses another message');
	ok($refused->{retry_after} > 3500, 'and says how long');
	is($pv->messages($id), 'SMS:queued', 'the message before stays queued');
	$pv->reload('pnvs.limits' => undef, 'pnvs.sending' => 'off');
	is(words($pv->resend($id)), 'pending SMS try_later -', 'and so does the switch');
	$pv->reload('pnvs.sending' => undef);
	is(words($pv->resend($id)), 'pending SMS - -', 'the verification goes on after that');

	$session->run("UPDATE pnvs_internal.phone_verification SET tries = 5 WHERE id = '$id'");
	$pv->let_resend($id);
	is(words($pv->resend($id)), 'max_tries SMS - -', 'who has no try left gets no other message');
	is($pv->status($id)->{tries_left}, 0, 'the status says so, too');
	return;
}

# Somebody looks who has read the verification's row, and comes to its message late.
sub test_resend_meanwhile
{
	my $id = $pv->begin($pv->new_number)->{id};
	my $other = $pv->connect;

	$pv->let_resend($id);
	$session->run('BEGIN; LOCK TABLE pnvs_internal.queue');
	$other->send("SELECT state FROM phone_verification_status('$id')");
	wait_until('the other waits', sub { $session->value('SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = ' . $other->pid) });
	$pv->resend($id);
	$session->run('COMMIT');
	is($other->result->value, 'pending', 'who looks while a message is replaced does not take the verification for failed');
	$other->close;
	return;
}

# The owner has emptied the queue, and IDs are given again.
sub test_resend_same_id
{
	my $id = $pv->begin($pv->new_number)->{id};
	my $last = $pv->stored($id)->{last_message};

	$session->run("TRUNCATE pnvs_internal.queue; SELECT setval('pnvs_internal.queue_id_seq', $last, false)");
	$pv->let_resend($id);
	is(words($pv->resend($id)), 'pending SMS - -', 'a message can get the ID of one that is gone');
	is($pv->stored($id)->{last_message}, $last, 'of the one before it, too');
	is($pv->messages($id), 'SMS:queued', 'and stays queued');
	$pv->let_resend($id);
	$pv->resend($id);
	$session->run('TRUNCATE pnvs_internal.queue RESTART IDENTITY');
	for my $messages ('SMS:queued', 'SMS:canceled SMS:queued')
	{
		$pv->let_resend($id);
		$pv->resend($id);
		is($pv->messages($id), $messages, "messages that get the IDs of earlier ones: $messages");
	}
	is($session->value("SELECT count(*) FROM pnvs_internal.queue WHERE previous >= id"), 0, 'none comes before itself');
	return;
}

# The same key and trusted count for resends.
sub test_counts_under
{
	my $begun = $pv->begin($pv->new_number, rate_key => 'device 1', trusted => \'true');

	$pv->let_resend($begun->{id});
	$pv->resend($begun->{id});
	is($session->value("SELECT count(DISTINCT (admission_key, admission_trusted)) || ' ' || bool_and(admission_trusted) FROM pnvs_internal.queue WHERE phone_verification = '$begun->{id}'"),
		'1 true', 'a resend counts under the rate_key, and as the same customer');
	return;
}

sub test_cancel
{
	my $number = $pv->new_number;
	my $begun = $pv->begin($number);

	is($pv->cancel($begun->{id}), 't', 'a pending verification can be canceled');
	is(words($pv->status($begun->{id})), 'canceled SMS - -', 'and is that then');
	is($pv->messages($begun->{id}), 'SMS:canceled', 'with its message');
	like($pv->stored($begun->{id})->{recipient}, qr/\*{4}/, 'its number is masked');
	is($pv->cancel($begun->{id}), 'f', 'once');
	is(words($pv->resend($begun->{id})), 'canceled SMS - -', 'nothing is sent any more');

	$pv->reload('pnvs.limits' => 'number 1/1h');
	$begun = $pv->begin($pv->new_number);
	$pv->cancel($begun->{id});
	is(words($pv->begin($pv->new_number)), 'pending SMS - -', 'its place is free again');
	$pv->reload('pnvs.limits' => undef);

	$begun = $pv->begin($pv->new_number);
	$session->run("UPDATE pnvs_internal.phone_verification SET state = 'approved', approved_at = now() WHERE id = '$begun->{id}'");
	is("$_->{state} $_->{approved}", 'approved t', 'the status of an approved one') for $pv->status($begun->{id});
	is($pv->cancel($begun->{id}), 't', 'which can be canceled before it is used');
	return;
}

sub test_states
{
	my $id = $pv->begin($pv->new_number)->{id};

	$session->run("UPDATE pnvs_internal.queue SET state = 'failed', settled_at = now(), code = 'MOBILE_NUMBER_ILLEGAL' WHERE phone_verification = '$id'");
	is($pv->status($id)->{state}, 'failed', 'a verification fails if none of its messages could be sent');
	$pv->let_resend($id);
	is($pv->resend($id)->{state}, 'pending', 'another message brings it back');
	$session->run("UPDATE pnvs_internal.phone_verification SET origin_system = 7 WHERE id = '$id'");
	is($pv->status($id)->{state}, 'canceled', 'it is canceled in a copy of the database');
	$session->run("UPDATE pnvs_internal.phone_verification SET origin_system = (SELECT system_identifier FROM pg_control_system()), expires_at = now() WHERE id = '$id'");
	is(words($pv->status($id)), 'expired SMS - -', 'it expires');
	is(words($pv->resend($id)), 'expired SMS - -', 'and gets no message then');
	is($pv->cancel($id), 'f', 'and there is nothing to cancel');
	return;
}

sub test_roles
{
	my $number = $pv->new_number;
	my $id;

	$session->run("CREATE ROLE $_ LOGIN") for 'web', 'stranger';
	$session->run("GRANT EXECUTE ON FUNCTION begin_verification, resend_verification, cancel_phone_verification, phone_verification_status TO web, stranger");
	my $web = $pv->connect(user => 'web');
	my $stranger = $pv->connect(user => 'stranger');
	my $missing = $session->value('SELECT gen_random_uuid()');

	$id = $pv->begin($number, session => $web, session_key => $KEY)->{id};
	is(words($pv->status($id, $web)), 'pending SMS - -', 'who has begun a verification sees it');
	is(words($pv->status($id)), 'pending SMS - -', 'and so does the owner');
	for my $what ('resend_verification', 'phone_verification_status')
	{
		my $row = $stranger->run("SELECT * FROM $what('$id')")->row;

		is_deeply($row, $stranger->run("SELECT * FROM $what('$missing')")->row, "$what(): another role is told the same as of an unknown ID");
		is(join(' ', grep { defined } values %$row), '', 'which is nothing');
	}
	is($pv->cancel($id, $stranger), 'f', 'it cannot cancel it');
	isnt($pv->begin($number, session => $stranger, session_key => $KEY)->{id}, $id, "another role's session with the same key is another session");
	is($pv->begin($number, session => $web, session_key => $KEY)->{id}, $id, 'and does not take its place');

	$web->run('BEGIN');
	$web->run("SELECT cancel_phone_verification('$id')");
	$stranger->run("SET lock_timeout = '5s'");
	is(words($pv->resend($id, session => $stranger)), '- - - -', 'it never waits for a row that it may not see');
	$web->run('ROLLBACK');

	$pv->let_resend($id);
	is(words($pv->resend($id)), 'pending SMS - -', 'the owner can send another message');
	is($session->value("SELECT string_agg(DISTINCT requested_by::regrole::text, ' ') FROM pnvs_internal.queue WHERE phone_verification = '$id'"), 'web',
		'which belongs to the requester, too');
	is($stranger->query("SELECT * FROM pnvs_internal.phone_verification")->sqlstate, '42501', 'nobody reads the table');
	$_->close for $web, $stranger;
	return;
}

# Whoever refers to a row keeps nobody from it, and nothing is read in parallel.
sub test_neighbours
{
	my $number = $pv->new_number;
	my $id = $pv->begin($number)->{id};
	my $other = $pv->connect;

	$pv->let_resend($id);
	$session->run('CREATE TABLE refers (id uuid REFERENCES pnvs_internal.phone_verification)');
	$other->run("BEGIN; INSERT INTO refers VALUES ('$id')");
	$session->run("SET lock_timeout = '5s'");
	is(words($pv->resend($id)), 'pending SMS - -', 'a resend does not wait for a row that refers to the verification');
	$other->run('COMMIT; TRUNCATE refers; DROP TABLE refers');

	$session->run(<<'SQL');
SET lock_timeout = 0;
CREATE FUNCTION status_of(uuid) RETURNS text LANGUAGE plpgsql PARALLEL RESTRICTED AS
	'BEGIN RETURN (phone_verification_status($1)).state; END';
CREATE TABLE big AS SELECT n FROM generate_series(1, 10000) AS n;
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
SQL
	my $result = $session->query("SELECT status_of('$id'), count(*) FROM big");
	is($result->sqlstate, '25000', 'in a parallel plan nothing is read');
	like($result->message, qr/parallel operation/, 'which the error says');
	$session->run('DROP TABLE big; DROP FUNCTION status_of; RESET ALL');
	$other->close;
	return;
}

sub test_rollback
{
	my $number = $pv->new_number;
	my $rows = count_rows();

	$pv->reload('pnvs.limits' => 'number 1/1h');
	$session->run('BEGIN');
	is($pv->begin($number)->{state}, 'pending', 'a verification begins in a transaction');
	$session->run('ROLLBACK');
	is(count_rows(), $rows, 'ROLLBACK undoes it');
	$session->run('BEGIN');
	$session->run('SAVEPOINT s');
	is($pv->begin($number)->{state}, 'pending', 'and gives its place back');
	$session->run('ROLLBACK TO s');
	my $begun = $pv->begin($number);

	is($begun->{state}, 'pending', 'and so does ROLLBACK TO SAVEPOINT');
	is($pv->status($begun->{id})->{state}, 'pending', 'the transaction sees its own');
	is($pv->begin($number)->{refused}, 'too_many', 'a refusal is a row in it');
	$session->run('COMMIT');
	is($session->value("SELECT count(*) FROM pnvs_internal.queue WHERE recipient = '$number'"), 1, 'one message is left');
	$pv->reload('pnvs.limits' => undef);
	return;
}

sub test_isolation
{
	my $number = $pv->new_number;
	my $other = $pv->connect;
	my %key = (session_key => "$KEY of isolation");
	my $first;

	for my $isolation ('REPEATABLE READ', 'SERIALIZABLE')
	{
		$session->run("BEGIN ISOLATION LEVEL $isolation");
		$session->run('SELECT count(*) FROM pg_class');
		$first = $pv->begin($number, %key, session => $other);
		is_deeply($pv->begin($number, %key), $first, "$isolation: the session's verification is found that was begun since");
		is($pv->resend($first->{id})->{refused}, 'too_many', "$isolation: and locked");
		is($pv->status($first->{id})->{state}, 'pending', "$isolation: and shown");
		is($pv->cancel($first->{id}), 't', "$isolation: and canceled");
		$session->run('COMMIT');
	}
	$session->run('BEGIN READ ONLY');
	is(refused_by($number)->sqlstate, '25006', 'READ ONLY is an error');
	$session->run('ROLLBACK');
	for my $call ('resend_verification(gen_random_uuid())', 'cancel_phone_verification(gen_random_uuid())',
		"begin_verification(NULL)")
	{
		$session->run('BEGIN READ ONLY');
		is($session->query("SELECT $call")->sqlstate, '25006', "$call: before anything else");
		$session->run('ROLLBACK');
	}
	$other->close;
	return;
}

sub test_one_call
{
	my $number = $pv->new_number;
	my $admitted = admitted();
	my $row = $session->run('SELECT (' . Pnvs::Verification::begin_sql($number, service_sid => 'FA1') . ').*')->row;

	is(admitted() - $admitted, 1, 'SELECT (begin_verification(...)).* begins one verification');
	is($pv->messages($row->{id}), 'SMS:queued', 'with one message');
	$pv->let_resend($row->{id});
	is(words($session->run("SELECT (resend_verification('$row->{id}')).*")->row), 'pending SMS - -', 'and resends once');
	is($pv->stored($row->{id})->{messages}, 2, 'by one message');
	is($session->value("SELECT count(DISTINCT id) FROM (SELECT (" . Pnvs::Verification::begin_sql($number, service_sid => 'FA1', purpose => \'p')
			  . ").id FROM (VALUES ('a'), ('b'), ('a')) AS v (p)) AS s"), 2, 'another argument is another call');
	return;
}

# A cursor outlives the ROLLBACK of what it has done.
sub test_cursor
{
	my $id = $pv->begin($pv->new_number)->{id};
	my $begin = Pnvs::Verification::begin_sql($pv->new_number, service_sid => 'FA1');
	my $begun = fetch_twice("($begin).id");

	is($pv->status($begun->[1])->{state}, 'pending', 'a cursor that goes on after a ROLLBACK TO SAVEPOINT begins another verification');
	$begun = fetch_twice("($begin).id", 'RELEASE');
	is($begun->[1], $begun->[0], 'and the same after a RELEASE SAVEPOINT');
	$pv->let_resend($id);
	fetch_twice("(resend_verification('$id')).state");
	is($pv->messages($id), 'SMS:canceled SMS:queued', 'it resends once more, too');

	my $again = Pnvs::Verification::begin_sql($pv->new_number, service_sid => 'FA1', session_key => "$KEY of a cursor");

	$session->run("BEGIN; DECLARE c CURSOR FOR SELECT ($again).id FROM generate_series(1, 2); SAVEPOINT s; SELECT $again; SAVEPOINT t; FETCH c; ROLLBACK TO s");
	$id = $session->value('FETCH c');
	$session->run('COMMIT');
	is($pv->status($id)->{state}, 'pending', "it goes on with no session's verification that was rolled back");
	return;
}

# Two rows of a cursor, and a savepoint around the first.
sub fetch_twice
{
	my ($call, $end) = @_;
	my @value;

	$session->run("BEGIN; DECLARE c CURSOR FOR SELECT $call FROM generate_series(1, 2); SAVEPOINT s");
	push @value, $session->value('FETCH c');
	$session->run(($end // 'ROLLBACK TO') . ' SAVEPOINT s');
	push @value, $session->value('FETCH c');
	$session->run('COMMIT');
	return \@value;
}

# What is not to be sent looks like what is.
sub test_decoys
{
	my %row;

	for my $kind ('true', 'false')
	{
		my $number = $pv->new_number;
		my $admitted = admitted();
		my $begun = $pv->begin($number, channels => '{SMS,VOICE}', send => \$kind, session_key => "$KEY of $kind");
		my @row = ($begun, $pv->begin($number, send => \$kind, session_key => "$KEY of $kind"), $pv->resend($begun->{id}), $pv->status($begun->{id}));

		$pv->let_resend($begun->{id});
		push @row, $pv->resend($begun->{id}), $pv->status($begun->{id});
		$pv->cancel($begun->{id}) if $kind eq 'true';
		$row{$kind} = join "\n", map { my $row = $_; join ' ', map { $row->{$_} // '-' } grep { !/\A(?:id|.*_at)\z/ } sort keys %$row } @row;
		$row{$kind} .= "\n" . seconds($pv->stored($begun->{id})->{begun_at}, $begun->{resend_at}) . ' ' . (admitted() - $admitted);
		next if $kind eq 'true';
		is($session->value("SELECT string_agg(concat_ws(' ', state, code, recipient LIKE '%****%', admission_due IS NOT NULL), ', ' ORDER BY id)
				FROM pnvs_internal.queue WHERE phone_verification = '$begun->{id}'"),
			'canceled Local.NotNeeded t t, canceled Local.NotNeeded t t', 'the messages of a decoy are settled from the beginning, with places');
		is($session->value("SELECT bool_and(NOT approved) FROM phone_verification_status('$begun->{id}')"), 't', 'it is not approved');
	}
	is($row{false}, $row{true}, 'a decoy looks and counts like any other verification');
	$pv->reload('pnvs.limits' => 'number 1/1h');
	my $number = $pv->new_number;

	is(words($pv->begin($number, send => \'false')), 'pending SMS - -', 'a decoy begins under a limit');
	is($pv->begin($number, send => \'false')->{refused}, 'too_many', 'and is refused by it');
	$pv->reload('pnvs.limits' => undef);
	return;
}

sub test_sent
{
	my $number = $pv->new_number;
	my $gone = $pv->new_number;
	my $decoy = $pv->new_number;
	my $begun;

	$pv->configure('pnvs.worker' => 'on');
	$session->run('BEGIN');
	$pv->begin($gone);
	$session->run('ROLLBACK');
	$pv->begin($decoy, send => \'false');
	$begun = $pv->begin($number);
	is($pv->settled_messages($begun->{id}), 'SMS:sent', 'the message goes out after the commit');
	is($service->count('sent', to => $number), 1, 'once');
	is($service->count('sent', to => $gone), 0, 'none goes out for what was rolled back');
	is($service->count('sent', to => $decoy), 0, 'or for a decoy');
	is($pv->status($begun->{id})->{state}, 'pending', 'the verification waits for its code');
	unlike(slurp_file($pv->node->logfile), qr/62815\d{8}|$KEY/, 'the log shows no number and no key');
	return;
}

# PostgreSQL's own errors would log the statement, with a number, a key or an ID.
sub test_log
{
	my $other = $pv->connect;
	my $number = $pv->new_number;
	my $id = $pv->begin($number)->{id};
	my $begin = 'SELECT ' . Pnvs::Verification::begin_sql($number, session_key => $KEY, service_sid => 'FA1');
	my $enqueue = "SELECT enqueue_verification('SMS', '$number', 'FA1', dedup_key => '$KEY')";

	$other->run('BEGIN');
	$pv->begin($pv->new_number, session => $other, session_key => $KEY);
	$pv->cancel($id, $other);
	$other->run($enqueue);
	$session->run("SET lock_timeout = '100ms'");
	for my $statement ($begin, $enqueue, "SELECT resend_verification('$id')", "SELECT cancel_phone_verification('$id')", "SELECT erase_phone_number('$number')")
	{
		is($session->query($statement)->sqlstate, '55P03', ($statement =~ /(\w+)\(/)[0] . '() waits for no longer than lock_timeout');
	}
	$other->run('ROLLBACK');
	$session->run('RESET lock_timeout');
	$session->run('BEGIN READ ONLY');
	is($session->query("SELECT erase_phone_number('$number')")->sqlstate, '25006', 'a read-only transaction erases nothing');
	$session->run('ROLLBACK');
	unlike(slurp_file($pv->node->logfile), qr/$number|$KEY|$id/, "PostgreSQL's own errors bring no number, key or ID into the log");
	$other->close;
	return;
}

# The owner of the table may add indexes.
sub test_indexes
{
	my $query = "SELECT count(*) FROM pnvs_internal.phone_verification WHERE purpose = 'indexed'";

	$session->run("CREATE INDEX of_purpose ON pnvs_internal.phone_verification (begun_at) WHERE purpose = 'indexed'");
	$pv->begin($pv->new_number, purpose => $_) for qw(indexed other);
	$session->run('SET enable_seqscan = off');
	like(join(' ', $session->run("EXPLAIN $query")->column('QUERY PLAN')), qr/of_purpose/, "an index of somebody's is used");
	is($session->value($query), 1, 'it has the rows that it is for, and no others');
	$session->run('RESET enable_seqscan');
	$session->run('DROP INDEX pnvs_internal.of_purpose');
	is($pv->begin($pv->new_number, purpose => 'indexed')->{state}, 'pending', 'without it, a verification begins as before');
	return;
}

sub test_without_memory
{
	my $node = $service->new_node('alone');
	my $alone = Pnvs::Session->new($node);

	for my $call ("begin_verification('+6281234567890')", 'resend_verification(gen_random_uuid())')
	{
		my $result = $alone->query("SELECT $call");

		is($result->sqlstate, 'F0000', "$call needs the library to be preloaded");
		like($result->hint, qr/shared_preload_libraries/, 'as the hint says');
	}
	is($alone->query('SELECT cancel_phone_verification(gen_random_uuid())')->value, 'f', 'to cancel needs no memory');
	$alone->close;
	$node->stop;
	return;
}

test_row();
test_times();
test_arguments();
test_refusals();
test_no_wait();
test_session();
test_double_click();
test_resend();
test_neighbours();
test_resend_at_once();
test_resend_refused();
test_resend_same_id();
test_resend_meanwhile();
test_counts_under();
test_cancel();
test_states();
test_roles();
test_rollback();
test_isolation();
test_one_call();
test_cursor();
test_decoys();
test_sent();
test_log();
test_indexes();
test_without_memory();
$pv->stop;
done_testing;
