# Attacks on a sign-up and a log-in, through the functions of examples/postgrest.sql: what
# doc/security.md says stops them, and what it says does not.  The simulator's log says what
# has reached the service and the phones.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Document;
use Pnvs::PostgREST;
use Pnvs::Simulator;

my $MAX_TRIES = 5;
my $MAX_MESSAGES = 5;
my $LIMITS = Pnvs::Document->default_of('pnvs.limits');

my $service = Pnvs::Simulator->new;
my $node = $service->new_node('flow',
	preload => 'shared_preload_libraries',
	schema => 'pnvs',
	conf => "pnvs.service_sid = 'FA00000000000001'\npnvs.limits = '$LIMITS'\n");

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(slurp_file("$FindBin::RealBin/../../examples/postgrest.sql"));

my $api = Pnvs::PostgREST->new($node, anon => 'web_anon');
my $clients = 0;

# Somebody with an address and cookies of their own.
sub somebody { return $api->browser('203.0.113.' . ++$clients); }

# Each number in a range of its own.
my $numbers = 0;

sub new_number { return sprintf '+62812%03d0001', ++$numbers; }

sub limits_are
{
	my ($limits) = @_;

	sql("ALTER SYSTEM SET pnvs.limits = '$limits'; SELECT pg_reload_conf()");
	$node->poll_query_until('postgres', "SELECT current_setting('pnvs.limits') = '$limits'");
	return;
}

sub service_is
{
	my ($sid) = @_;

	sql("ALTER SYSTEM SET pnvs.service_sid = '$sid'; SELECT pg_reload_conf()");
	$node->poll_query_until('postgres', "SELECT current_setting('pnvs.service_sid') = '$sid'");
	return;
}

# What half a minute does for messages; wrong codes stay counted.
sub let_time_pass
{
	sql(q{SELECT pnvs.pnvs_guard_reset('number'); UPDATE pnvs_internal.phone_verification SET resend_at = clock_timestamp()});
	return;
}

# What the phone shows when all that is queued is sent, or undef.
sub code_of
{
	my ($number) = @_;

	$node->poll_query_until('postgres', 'SELECT NOT EXISTS (SELECT FROM pnvs_internal.queue WHERE settled_at IS NULL)');
	# a code is not checked before the verification is a second old
	sql(q{UPDATE pnvs_internal.phone_verification SET begun_at = begun_at - interval '1 s'});
	my ($newest) = reverse $service->events('sent', to => $number =~ s/\+//r);
	return $newest && $newest->{code};
}

sub messages_to { my ($number) = @_; return $service->count('sent', to => $number =~ s/\+//r); }

sub checks { return $service->count('request', action => 'CheckVerification'); }

# Another code of that length.
sub wrong { my ($code, $n) = @_; return sprintf '%0*d', length $code, ($code + $n) % 10**length $code; }

# Begins for a purpose; the code.
sub begin
{
	my ($browser, $number, $purpose) = @_;

	$browser->post('begin', phone => $number, purpose => $purpose // 'sign-up');
	return code_of($number);
}

sub confirm { my ($browser, $code) = @_; return $browser->post('confirm', code => $code)->{body}; }

# A browser with an approved verification.
sub approved
{
	my ($number, $purpose) = @_;
	my $browser = somebody();

	ok(confirm($browser, begin($browser, $number, $purpose))->{approved}, "$number is verified for $purpose");
	return $browser;
}

# A member, and the browser that has signed up.
sub member
{
	my $number = new_number();
	my $browser = approved($number, 'sign-up');

	is($browser->post('sign_up', phone => $number)->{status}, 200, "$number is a member's");
	let_time_pass();
	return ($number, $browser);
}

# A thief of what is in the cookies.
sub thief_of
{
	my ($browser) = @_;
	my $thief = somebody();

	%{ $thief->cookies } = %{ $browser->cookies };
	return $thief;
}

# What requests that were sent at the same time are answered, in the order in which that comes:
# until the transaction of one has ended, another can wait for its row.
sub answers_of
{
	my @waiting = @_;
	my @answer;

	Pnvs::Simulator::wait_until('all requests are answered', sub {
		@waiting = grep { !$_->has_answer || !push @answer, $_->answer } @waiting;
		return !@waiting;
	});
	return @answer;
}

subtest 'guess' => sub {
	my ($browser, $number) = (somebody(), new_number());
	my $code = begin($browser, $number);

	$service->mark;
	is(confirm($browser, wrong($code, $_))->{approved}, JSON::PP::false, "guess $_ is wrong") for 1 .. $MAX_TRIES + 3;
	is(checks(), $MAX_TRIES, 'the service was asked for five codes');
	is(confirm($browser, $code)->{state}, 'max_tries', 'the right code comes too late');
	let_time_pass();
	is($browser->post('resend')->{body}{state}, 'max_tries', 'another code gives no tries');

	begin($browser, $number) // fail('another verification begins');
	confirm($browser, wrong($code, 10 + $_)) for 1 .. $MAX_TRIES;
	let_time_pass();
	begin($browser, $number) // fail('a third verification begins');
	my $answer = $browser->post('confirm', code => wrong($code, 20));
	is($answer->{status}, 429, 'after ten wrong codes for the number nothing is checked');
	ok($answer->{headers}{'Retry-After'} > 0, 'and the answer says how long');
	is(checks(), 10, 'the service was asked for ten codes');
};

subtest 'guess in parallel' => sub {
	my ($browser, $number) = (somebody(), new_number());
	my $code = begin($browser, $number);
	my @thief = map { thief_of($browser) } 1 .. 20;

	$service->mark;
	$thief[$_]->send('POST', 'confirm', code => wrong($code, 1 + $_)) for 0 .. $#thief;
	my @answer = answers_of(@thief);
	is_deeply([ grep { $_->{body}{approved} } @answer ], [], 'nobody has guessed the code');
	cmp_ok(checks(), '<=', $MAX_TRIES, 'the service was asked for five codes at the most');
};

subtest 'replay' => sub {
	my ($number, $browser) = (new_number(), somebody());
	my $code = begin($browser, $number);

	ok(confirm($browser, $code)->{approved}, 'the right code is approved');
	ok(confirm($browser, $code)->{approved}, 'once more, while the approval is not used');
	$browser->post('sign_up', phone => $number);
	is_deeply([ @{ confirm($browser, $code) }{qw(approved state)} ], [ JSON::PP::false, 'used' ], 'not after it was used');
	let_time_pass();
	my $thief = somebody();
	begin($thief, $number, 'log-in');
	ok(!confirm($thief, $code)->{approved}, 'nor for another verification of the number');
};

subtest 'ID of another' => sub {
	my ($number, $browser) = (new_number(), somebody());
	my $code = begin($browser, $number);
	my $id = $browser->cookies->{'__Host-verification'};
	my $stranger = somebody();

	$stranger->cookies->{'__Host-verification'} = sql('SELECT gen_random_uuid()');
	is_deeply(confirm($stranger, $code), { approved => JSON::PP::false, state => undef, tries_left => undef, retry_after => undef },
		'an ID that somebody has guessed is unknown');
	sql('CREATE ROLE stranger; GRANT USAGE ON SCHEMA pnvs TO stranger; GRANT EXECUTE ON FUNCTION pnvs.confirm_verification, '
		  . 'pnvs.use_verification, pnvs.phone_verification_status, pnvs.cancel_phone_verification, pnvs.resend_verification TO stranger');
	is(sql("SET ROLE stranger; SELECT state IS NULL FROM pnvs.confirm_verification('$id', '$code')"), 't',
		'another role is told the same of an ID that exists');
	is(sql("SET ROLE stranger; SELECT state IS NULL FROM pnvs.resend_verification('$id')"), 't', 'and cannot resend');
	is(sql("SET ROLE stranger; SELECT pnvs.cancel_phone_verification('$id')"), 'f', 'nor cancel');
	ok(confirm(thief_of($browser), $code)->{approved}, 'who has the ID goes on with it, as the page says');
	is(sql("SET ROLE stranger; SELECT pnvs.use_verification('$id', 'sign-up') IS NULL"), 't', 'another role cannot use it');
};

subtest 'race' => sub {
	my ($number) = member();
	my $browser = approved($number, 'log-in');
	my $thief = thief_of($browser);

	$_->send('POST', 'log_in') for $browser, $thief;
	is_deeply([ sort map { $_->{status} } answers_of($browser, $thief) ], [ 200, 403 ], 'of two requests with one approval one logs in');
};

subtest 'second use' => sub {
	my ($number, $browser) = member();

	is($browser->post('sign_up', phone => $number)->{body}{code}, 23514, 'an approval makes an account once');
	is($browser->post('sign_up', phone => new_number())->{body}{code}, 23514, 'and its approval makes no other');
	is($browser->post('log_in')->{status}, 403, 'nor does it log in');
	is(sql(qq{DELETE FROM app.member WHERE phone = '$number'; SELECT 'gone'}), 'gone', 'the account is deleted');
	is($browser->post('sign_up', phone => $number)->{body}{code}, 23514, 'the approval does not make it again');
};

subtest 'another number at log-in' => sub {
	my ($victim) = member();
	my ($number, $attacker) = member();

	$attacker = approved($number, 'log-in');
	is($attacker->post('log_in', phone => $victim)->{status}, 404, 'log-in takes no number');
	is($attacker->post('log_in')->{body}{member}, sql("SELECT id FROM app.member WHERE phone = '$number'"),
		'it is that of the verification');
};

subtest 'number changed after' => sub {
	my ($victim) = member();
	my ($number, $attacker) = member();
	my $other = new_number();

	is($attacker->post('change_number', phone => $other)->{body}{code}, 23514, 'a number is not changed without a verification');
	confirm($attacker, begin($attacker, $other, 'new number'));
	is($attacker->post('change_number', phone => $victim)->{body}{code}, 23514, 'nor to somebody else\'s');
	is($attacker->post('change_number', phone => new_number())->{body}{code}, 23514, 'nor to another than the verified one');
	is($attacker->post('change_number', phone => $other)->{status}, 200, 'but to the verified one');
	my ($status, undef, $error) = $node->psql('postgres', "UPDATE app.member SET phone = '" . new_number() . "' WHERE phone = '$victim'");
	like($error, qr/violates verification constraint "phone_is_verified"/, 'not even a superuser changes it alone');
};

subtest 'resend flood' => sub {
	my ($number, $browser) = (new_number(), somebody());

	begin($browser, $number);
	is_deeply([ map { $browser->post($_)->{status} } ('resend') x 20 ], [ (429) x 20 ], 'twenty presses at once are refused');
	is($browser->post('begin', phone => $number, purpose => 'sign-up')->{body}{state}, 'pending', 'another begin is the same verification');
	is(messages_to($number), 1, 'and one message was sent');
	for (1 .. $MAX_MESSAGES + 3)
	{
		let_time_pass();
		$browser->post('resend');
		code_of($number);
	}
	is(messages_to($number), $MAX_MESSAGES, 'a verification has five messages');
};

subtest 'bombing' => sub {
	my $victim = new_number();

	limits_are('number unapproved 10/1d, tries 10/1h');
	$service->mark;
	somebody()->post('begin', phone => $victim, purpose => 'sign-up') for 1 .. 30;
	code_of($victim);
	is(messages_to($victim), 10, 'thirty sessions of thirty addresses send ten messages a day to a phone');
	limits_are($LIMITS);
};

subtest 'lock-out' => sub {
	my ($victim, $browser) = member();

	limits_are('number unapproved 3/1d');
	ok(confirm($browser, begin($browser, $victim, 'log-in'))->{approved}, 'who types the codes in can log in often') for 1 .. 5;
	somebody()->post('begin', phone => $victim, purpose => 'log-in') for 1 .. 5;
	is(somebody()->post('begin', phone => $victim, purpose => 'log-in')->{status}, 429, 'strangers make the owner wait');
	is(sql("SET ROLE api_owner; SELECT state FROM pnvs.begin_verification('$victim', trusted => true)"), 'pending',
		'but not if the server knows the browser');
	sql("SELECT pnvs.unblock_phone_number('$victim')");
	is(somebody()->post('begin', phone => $victim, purpose => 'log-in')->{status}, 200, 'nor if support has helped');
	limits_are($LIMITS);
};

subtest 'lock-out by wrong codes' => sub {
	my ($number) = member();
	my $attacker = somebody();
	my $code = begin($attacker, $number, 'log-in');

	confirm($attacker, wrong($code, $_)) for 1 .. $MAX_TRIES + 5;
	let_time_pass();
	my $owner = somebody();
	ok(confirm($owner, begin($owner, $number, 'log-in'))->{approved}, 'the tries of a stranger are not those of the owner');
};

# The answer to a code, when a message can have been sent.
sub checked
{
	my ($browser, $code) = @_;
	my $answer;

	Pnvs::Simulator::wait_until('the code is checked',
		sub { $answer = $browser->post('confirm', code => $code); return $answer->{status} != 429 });
	return $answer;
}

# Everything that a log-in of this number is answered, and how often the service was asked for a code.
sub log_in_answers
{
	my ($number) = @_;
	my ($browser, $another) = (somebody(), somebody());
	my @answer = ($browser->post('begin', phone => $number, purpose => 'log-in'));

	$node->poll_query_until('postgres', 'SELECT NOT EXISTS (SELECT FROM pnvs_internal.queue WHERE settled_at IS NULL)');
	$service->mark;
	push @answer, $browser->post('status'), $browser->post('resend'), $another->post('begin', phone => $number, purpose => 'log-in'),
	  map { checked($browser, sprintf 'x%05d', $_) } 1 .. $MAX_TRIES + 1;
	push @answer, $browser->post('log_in'), $browser->post('resend'), $browser->post('status');
	# times differ, but not whether there is one
	for my $body (map { $_->{body} } @answer)
	{
		$_ = defined ? 'a time' : undef for @$body{ grep { exists $body->{$_} } qw(resend_at expires_at retry_after) };
	}
	return { answers => [ map { [ @$_{qw(status body)} ] } @answer ], checks => checks() };
}

subtest 'enumeration' => sub {
	my ($member, $nobody) = ((member())[0], new_number());

	is_deeply(log_in_answers($nobody), log_in_answers($member), 'the answers are those for a member, and so are the requests to the service');
	is(messages_to($nobody), 0, 'but nobody gets a message');
	# what still tells, says doc/verification.md: the places of a refused message are free again
	limits_are('');
	for my $refusal ('MOBILE_NUMBER_ILLEGAL', 'NOT_SUPPORTED_CHANNEL')
	{
		my $another_member = (member())[0];

		service_is("sim-start:code:$refusal:200");
		is_deeply(log_in_answers(new_number()), log_in_answers($another_member), "also if the service refuses messages: $refusal");
		service_is('FA00000000000001');
	}
	limits_are($LIMITS);

	my %number = (member => $member, nobody => $nobody);
	my %taken = map { $_ => somebody()->post('sign_up', phone => $number{$_})->{body} } keys %number;
	is_deeply($taken{nobody}, $taken{member}, 'without a verification a sign-up does not tell either');
	my $attacker = approved(new_number(), 'sign-up');
	%taken = map { $_ => $attacker->post('sign_up', phone => $number{$_})->{body} } keys %number;
	is_deeply($taken{nobody}, $taken{member}, 'nor with a verification of another number');
	let_time_pass();
	is(approved($member, 'sign-up')->post('sign_up', phone => $member)->{body}{code}, 23505, 'only the owner of the number is told');
};

subtest 'session of another' => sub {
	my ($number, $victim) = (new_number(), somebody());
	my $code = begin($victim, $number);
	my $attacker = somebody();

	let_time_pass();
	begin($attacker, $number);
	isnt($attacker->cookies->{'__Host-verification'}, $victim->cookies->{'__Host-verification'}, 'the same number in another session is another verification');
	ok(confirm($victim, $code)->{approved}, 'the victim\'s own goes on');
	ok(!confirm($attacker, $code)->{approved}, 'and does not approve the attacker\'s');

	# a browser takes such a cookie from this host alone, and only if it is so
	is(join(' ', sort keys %{ $victim->cookies }), '__Host-session __Host-verification', 'no other host can plant a cookie');
	my $planted = somebody();
	$planted->cookies->{'__Host-session'} = $attacker->cookies->{'__Host-session'};
	my ($member) = member();
	confirm($planted, begin($planted, $member, 'log-in'));
	is($planted->post('log_in')->{status}, 200, 'somebody logs in with a session that an attacker has planted');
	isnt($planted->cookies->{'__Host-session'}, $attacker->cookies->{'__Host-session'}, 'and has another one from then on');
	is($attacker->post('change_number', phone => new_number())->{status}, 401, 'the attacker\'s is not logged in');
};

subtest 'tampered purpose' => sub {
	my ($number) = member();

	is(approved(new_number(), 'new number')->post('log_in')->{status}, 403, 'a change of number is no log-in');
	my $log_in = approved($number, 'log-in');
	sql("DELETE FROM app.member WHERE phone = '$number'");
	is($log_in->post('sign_up', phone => $number)->{body}{code}, 23514, 'a log-in is no sign-up');
};

subtest 'the wrapper\'s arguments' => sub {
	for my $argument (qw(trusted send channels rate_key session_key service_sid valid_for))
	{
		is(somebody()->post('begin', phone => new_number(), purpose => 'sign-up', $argument => 'true')->{status}, 404,
			"a stranger cannot pass $argument");
	}
	my @answer = map { $api->browser->post('begin', phone => new_number(), purpose => 'sign-up') } 1 .. 11;
	is($answer[9]{status}, 200, 'ten begin without a proxy\'s header');
	is($answer[10]{status}, 429, 'but count as one client');
};

done_testing();
