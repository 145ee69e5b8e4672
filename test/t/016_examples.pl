# The examples: each of them runs, and does what it says.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Session;
use Pnvs::Simulator;

my $EXAMPLES = "$FindBin::RealBin/../../examples";
my $service = Pnvs::Simulator->new;
my $node = $service->new_node('examples',
	preload => 'shared_preload_libraries',
	schema => 'pnvs',
	conf => "pnvs.service_sid = 'FA00000000000001'\npnvs.reconcile_for = '1s'\n");

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

sub limit_by
{
	my ($limits) = @_;

	$node->append_conf('postgresql.conf', "pnvs.limits = '$limits'");
	$node->reload;
	becomes("SELECT current_setting('pnvs.limits') = '$limits'", "the limits are '$limits'");
	return;
}

# The code of the newest message to a number.
sub code_of
{
	my ($number) = @_;

	return (grep { $_->{to} eq $number } $service->events('sent'))[-1]{code};
}

# --- sign-up

example('signup_trigger');
sql(q{INSERT INTO member (phone) VALUES ('+62 812-1000-0001')});
becomes(q{SELECT state = 'sent' FROM verification_queue WHERE reference = '1'},
	'a new member gets a code');
is(sql(q{SELECT confirm_member(1, 'x')}), 'f', 'a wrong code does not confirm a member');
is(sql(q{SELECT confirm_member(1, '} . code_of('6281210000001') . q{')}),
	't', 'the right code confirms a member');
is(sql(q{SELECT verified_at IS NOT NULL FROM member}), 't', 'the member is marked');
sql(q{UPDATE member SET phone = '+6281210000001'});
is(sql(q{SELECT verified_at IS NOT NULL FROM member}), 't', 'the member stays verified where the number is written in another way');
sql(q{UPDATE member SET phone = '+62 812-1000-0011'});
is(sql(q{SELECT verified_at IS NULL FROM member}), 't', 'another number is not verified');
becomes(q{SELECT count(*) = 2 FROM verification_queue WHERE reference = '1' AND state = 'sent'},
	'the other number gets a code of its own');
is(sql(q{SELECT confirm_member(1, '} . code_of('6281210000001') . q{')}), 'f', 'the code of the first number does not confirm it');
is(sql(q{SELECT confirm_member(1, '} . code_of('6281210000011') . q{')}), 't', 'its own code does');
is(sql(q{SELECT confirm_member(2, 'x')}), 'f', 'somebody without a message is not confirmed');

# --- send again

# Presses the button of a customer's, with the service as it is set to answer.
sub press
{
	my ($customer, $service_sid) = @_;

	return sql("SET pnvs.service_sid = '" . ($service_sid // 'FA00000000000001')
		  . "'; SELECT send_again($customer)");
}

sub settled { return becomes('SELECT count(*) = 0 FROM verification_queue WHERE settled_at IS NULL', $_[0]); }

example('resend');
sql(q{INSERT INTO customer (phone) VALUES ('+62 812-1000-0002'), ('+62 812-1000-0003'), ('+62 812-1000-0007'),
	('+62 812-1000-0008')});
$service->mark;
my $first = press(1);
is(press(1), $first, 'a second press is the first message');
is(sql("SELECT what_became_of($first)"), 'The code is on its way.', 'the person is told of it');
is($service->count('sent'), 1, 'one message was sent');
is(sql(q{SELECT count(*) FROM verification_queue WHERE dedup_key ~ '[0-9]{5}'}), 0, 'no key holds a number');

my $lost = press(2, 'sim-start:code:SMS_SYSTEM_ERROR:200');
settled('what became of a message that nobody knows of is known in the end');
is(sql("SELECT what_became_of($lost)"),
	'The code was probably not sent. You can ask for another.', 'the person is told that it is lost');
$service->mark;
my $second = press(2);
isnt($second, $lost, 'what the service does not know of is sent again');
is(press(2), $second, 'a further press is the second message');
settled('the second message is settled');
is(press(2), $second, 'and so is one after it was sent');
is($service->count('sent'), 1, 'one message was sent in its place');

$service->mark;
my $unsent = press(3, 'sim-start:code:MOBILE_NUMBER_ILLEGAL:200');
is(sql("SELECT what_became_of($unsent)"), 'The code could not be sent.', 'the person is told of a failure');
isnt(press(3), $unsent, 'after a failure another goes out at once');
settled('the other one is settled');

my $slow = press(4, 'sim-start:slow:8000');
is(sql("SELECT what_became_of($slow)"),
	'The code is not on its way yet. Wait a moment.', 'the person is told to wait');

# --- log-in

# What the web role gets from a call, a value or an error's text, and nothing more.
sub web
{
	my ($call, $service_sid) = @_;
	my ($status, $output, $error) = $node->psql('postgres', "\\set VERBOSITY terse\nSET ROLE web; "
		  . 'SET pnvs.service_sid = ' . "'" . ($service_sid // 'FA00000000000001') . "'; SELECT $call");

	return $status == 0 ? $output : $error =~ s/.*?ERROR:\s+//sr;
}

example('login');
sql(q{INSERT INTO login.person (phone) VALUES ('6281210000004'), ('6281210000009')});
my $attempt = web(q{login.start('+62 812-1000-0004')});
becomes(q{SELECT state = 'sent' FROM verification_queue WHERE dedup_key = 'login 1'},
	'a person with this number gets a code');
my $nobody = web(q{login.start('+62 812-1000-0005')});
for my $typed (qw(x a/b 12345678901234567890))
{
	is(web("login.finish('$attempt', '$typed')"), 'f', "\"$typed\" does not log in");
	is(web("login.finish('$nobody', '$typed')"), 'f', "\"$typed\": the same answer where nobody has the number");
}
my $code = code_of('6281210000004');
is(web("login.finish('$attempt', '$code')"), 't', 'the right code logs in');
is(web("login.finish('$attempt', '$code')"), 'f', 'a code logs in once');
is($service->count('sent', to => '6281210000005'), 0, 'a number that nobody has gets no message');

my $tried = web(q{login.start('6281210000009')});
settled('the next person gets a code');
$code = code_of('6281210000009');
for my $outage (qw(close throttled:1000 code:InternalError:500 code:Forbidden.RAM:403))
{
	sql("UPDATE pnvs_internal.queue SET service_sid = 'sim-check:$outage' WHERE dedup_key = 'login 2'");
	like(web("login.finish('$tried', '$code')"),
		qr/\Acodes cannot be checked now, try again later/, "$outage: it is told in words for the person");
}
sql(q{UPDATE pnvs_internal.queue SET service_sid = 'FA00000000000001' WHERE dedup_key = 'login 2'});

# The guard counts only numbers that somebody has, so its refusals are not told.
limit_by('number 1/1d, tries 3/1h');
is(web("login.finish('$tried', 'x')"), 'f', 'a wrong code is refused') for 1 .. 3;
is(web("login.finish('$tried', '$code')"), 'f', 'after three wrong codes the right one comes too late');
sql(q{INSERT INTO login.person (phone) VALUES ('6281210000010'); SELECT start_verification('SMS', '6281210000010')});
like(web(q{login.start('6281210000010')}), qr/^[0-9a-f-]{36}$/, 'who has had too many messages gets an attempt like anybody');
is(sql(q{SELECT count(*) FROM login.attempt WHERE phone = '6281210000010' AND message_id IS NULL}), 1, 'without a message');
limit_by('');
like(web('* FROM login.attempt'), qr/permission denied/, 'the web role cannot read the attempts');
like(web(q{pnvs.enqueue_verification('SMS', '6281210000004')}), qr/permission denied/, 'the web role cannot send by itself');

# --- the listener

my $listener = Pnvs::Session->new($node);
$listener->run(slurp_file("$EXAMPLES/listen.sql"));
my $id = sql(q{SELECT enqueue_verification('SMS', '6281210000006')});
my @told;
Pnvs::Simulator::wait_until('a notification comes',
	sub { push @told, grep { /"id":$id,/ } $listener->run('SELECT 1')->notifications('pnvs_verification') });
is("@told", qq({"id":$id,"state":"sent"}), 'the listener is told');
my ($look) = slurp_file("$EXAMPLES/listen.sql") =~ /^(SELECT .*)/ms;
like(sql($look), qr/^$id\|sent\|OK$/m, 'the row that it then looks at says the same');

done_testing();
