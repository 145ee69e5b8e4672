# The examples: each of them runs, and does what it says.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::PostgREST;
use Pnvs::Session;
use Pnvs::Simulator;

my $EXAMPLES = "$FindBin::RealBin/../../examples";
my $service = Pnvs::Simulator->new;
my $node = $service->new_node('examples',
	preload => 'shared_preload_libraries',
	schema => 'pnvs',
	conf => "pnvs.service_sid = 'FA00000000000001'\npnvs.limits = ''\n");

# For what the test asks itself; the examples name the schema.
$node->safe_psql('postgres', 'ALTER DATABASE postgres SET search_path = public, pnvs');

# Runs an example as it stands.
sub example
{
	my ($name) = @_;
	my ($output, $error) = ('', '');

	is( $node->psql('postgres', slurp_file("$EXAMPLES/$name.sql"),
			stdout => \$output, stderr => \$error, on_error_stop => 1),
		0, "$name.sql runs");
	is($error, '', "$name.sql has nothing to complain of");
	return $output;
}

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub becomes
{
	my ($query, $sentence) = @_;

	ok($node->poll_query_until('postgres', $query), $sentence);
	return;
}

# --- PostgREST

# What the phone shows, when all that is queued is sent.
sub code_of
{
	my ($number) = @_;

	becomes('SELECT NOT EXISTS (SELECT FROM verification_queue WHERE settled_at IS NULL)', "$number has its code");
	return (grep { $_->{to} eq $number } $service->events('sent'))[-1]{code};
}

sub status_of { return "$_[0]{status} " . ($_[0]{body}{state} // $_[0]{body}{member} // $_[0]{body}{code} // ''); }

# A row that lacks a number must not be shown in an error: it has the ID.
sub without_number
{
	my ($browser, $function) = @_;
	my $answer = $browser->post($function, phone => undef);

	is(status_of($answer), '400 22023', "$function: NULL is no number");
	unlike(JSON::PP::encode_json($answer->{body}), qr/\Q$browser->{cookies}{'__Host-verification'}\E/, 'and the answer does not have the ID');
	return;
}

example('postgrest');
my $api = Pnvs::PostgREST->new($node, anon => 'web_anon');
my $browser = $api->browser('203.0.113.7');

my $answer = $browser->post('begin', phone => '+62 812-1000-0001', purpose => 'sign-up');
is(status_of($answer), '200 pending', 'a sign-up begins');
my $id = $browser->cookies->{'__Host-verification'};
like($id, qr/\A[0-9a-f-]{36}\z/, 'the ID is in a cookie');
unlike(JSON::PP::encode_json($answer->{body}), qr/\Q$id\E/, 'and not in the answer');
$answer = $browser->post('begin', phone => '+62 812-1000-0001', purpose => 'sign-up');
is($browser->cookies->{'__Host-verification'}, $id, 'a second click is the same verification');

$answer = $browser->post('resend', channel => 'VOICE');
is(status_of($answer), '429 pending', 'who wants a call at once has to wait');
like($answer->{headers}{'Retry-After'}, qr/\A(?:[12]?\d|30)\z/, 'for so many seconds');

my $code = code_of('6281210000001');
is($service->count('sent', to => '6281210000001'), 1, 'one message was sent');
is($browser->post('confirm', code => 'x')->{body}{tries_left}, 4, 'a wrong code is a try');
is(status_of($browser->post('sign_up', phone => '+62 812-1000-0001')), '400 23514', 'nobody signs up before the right code');
without_number($browser, 'sign_up');
is($browser->post('confirm', code => $code)->{body}{approved}, JSON::PP::true, 'the right code is approved');
is(status_of($browser->post('sign_up', phone => '+62 812-1000-0001')), '200 2', 'and makes a member');

for my $call ([ 'begin', phone => '+62 812-1000-0002', purpose => 'sign-up' ], ['resend'], [ 'confirm', code => 'x' ])
{
	is($browser->get(@$call)->{status}, 405, "a GET of $call->[0] is refused");
}
is($api->browser->post('begin', phone => '123', purpose => 'sign-up')->{status}, 422, 'what is no number is 422');
is($api->browser->post('begin', phone => '123', purpose => 'log-in')->{status}, 422, 'for a log-in, too');
is($api->browser->post('begin', phone => '+62 812-1000-0003', purpose => 'anything')->{status}, 400, 'another purpose is 400');
is($api->browser->post('confirm', code => 'x')->{status}, 200, 'a code without a verification is a wrong one');
is($api->browser->post('change_number', phone => $_)->{status}, 401, 'who is not logged in changes no number: ' . ($_ // 'NULL')) for '+62 812-1000-0003', undef;
my $other = $api->browser;
$other->cookies->{'__Host-verification'} = '-' x 36;
is($other->post('confirm', code => 'x')->{status}, 200, 'a cookie that is no ID is like none');

my $phone = $api->browser('203.0.113.8');
$phone->post('begin', phone => '+62 812-1000-0001', purpose => 'log-in');
$phone->post('confirm', code => code_of('6281210000001'));
is(status_of($phone->post('log_in')), '200 2', 'a member logs in');
is($phone->post('log_in')->{status}, 403, 'a code logs in once');

$phone->post('begin', phone => '+62 812-1000-0004', purpose => 'new number');
without_number($phone, 'change_number');
$code = code_of('6281210000004');
{
	my $session = Pnvs::Session->new($node);
	my $logged = -s $node->logfile;

	Pnvs::Simulator::change_settings($node, $session, 'pnvs.endpoint' => $service->endpoint('refused'));
	$answer = $phone->post('confirm', code => $code);
	is("$answer->{status} " . ($answer->{body}{refused} // $answer->{body}{code} // ''), '503 try_later', 'a service that does not answer is 503');
	like(slurp_file($node->logfile, $logged), qr/WARNING:  .*verification service/, 'and a line in the log');
	Pnvs::Simulator::change_settings($node, $session, 'pnvs.endpoint' => undef);
	for ([ 'pnvs.access_key_id', '', 'F0000' ], [ 'pnvs.test_numbers', 'nonsense', '22023' ])
	{
		my ($setting, $value, $error) = @$_;

		Pnvs::Simulator::change_settings($node, $session, $setting => $value);
		$answer = $phone->post('confirm', code => $code);
		is("$answer->{status} " . ($answer->{body}{refused} // $answer->{body}{code} // ''), '503 try_later', "so is $error: $setting is wrong");
		Pnvs::Simulator::change_settings($node, $session, $setting => undef);
	}
	$session->close;
}
$phone->post('confirm', code => $code);
is(status_of($phone->post('change_number', phone => '+62 812-1000-0004')), '200 2', 'a member changes the number');
is(sql('SELECT phone FROM app.member'), '+6281210000004', 'which the table has');
{
	my $session = Pnvs::Session->new($node);

	$session->run('BEGIN; DELETE FROM app.member');
	$phone->send('POST', 'change_number', phone => '+62 812-1000-0004');
	becomes(q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename = 'authenticator' AND wait_event_type = 'Lock')}, 'it waits for another change');
	$session->run('COMMIT');
	is($phone->answer->{status}, 401, 'a member who is deleted meanwhile changes nothing');
	$session->close;
}

for my $sql ('TABLE app.member', 'TABLE app.session', "SELECT app.enter(1)", q{SELECT pnvs.begin_verification('6281210000005')})
{
	my ($status, undef, $error) = $node->psql('postgres', "SET ROLE web_anon; $sql");

	like($error, qr/permission denied/, "the role of strangers cannot: $sql");
}
sql(q{ALTER SYSTEM SET pnvs.sending = 'off'; SELECT pg_reload_conf()});
becomes(q{SELECT current_setting('pnvs.sending') = 'off'}, 'nothing is sent now');
is($api->browser->post('begin', phone => '+62 812-1000-0006', purpose => 'sign-up')->{status}, 503, 'which is 503');
sql(q{ALTER SYSTEM RESET pnvs.sending; SELECT pg_reload_conf()});
becomes(q{SELECT current_setting('pnvs.sending') = 'on'}, 'messages are sent again');

# --- the listener

my $listener = Pnvs::Session->new($node);
$listener->run(slurp_file("$EXAMPLES/listen.sql"));
$id = sql(q{SELECT enqueue_verification('SMS', '6281210000006')});
my @told;
Pnvs::Simulator::wait_until('a notification comes',
	sub { push @told, grep { /"id":$id,/ } $listener->run('SELECT 1')->notifications('pnvs_verification') });
is("@told", qq({"id":$id,"state":"sent"}), 'the listener is told');
my ($look) = slurp_file("$EXAMPLES/listen.sql") =~ /^(SELECT .*)/ms;
like(sql($look), qr/^$id\|sent\|OK$/m, 'the row that it then looks at says the same');

done_testing();
