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
	conf => "pnvs.service_sid = 'FA00000000000001'\npnvs.reconcile_for = '1s'\n");

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
is(sql(q{SELECT confirm_member(2, 'x')}), 'f', 'somebody without a message is not confirmed');

# --- send again

example('resend');
$service->mark;
my $first = sql(q{SELECT send_again('+62 812-1000-0002')});
is(sql(q{SELECT send_again('+62 812-1000-0002')}), $first, 'a second press is the first message');
is(sql("SELECT what_became_of($first)"), 'The code is on its way.', 'the person is told of it');
is($service->count('sent'), 1, 'one message was sent');

my $lost = sql(q{SET pnvs.service_sid = 'sim-start:code:SMS_SYSTEM_ERROR:200';
	SELECT send_again('+62 812-1000-0003')});
is(sql("SELECT what_became_of($lost)"),
	'The code may have been sent. You can ask for another.', 'nobody knows of a lost one');
isnt(sql(q{SELECT send_again('+62 812-1000-0003')}),
	$lost, 'what the service does not know of is sent again');

# --- log-in

example('login');
sql(q{INSERT INTO login.person VALUES ('6281210000004')});
my $attempt = sql(q{SET ROLE web; SELECT login.start('+62 812-1000-0004')});
becomes(q{SELECT state = 'sent' FROM verification_queue WHERE dedup_key = 'login 6281210000004'},
	'a person with this number gets a code');
is(sql("SET ROLE web; SELECT login.finish('$attempt', 'x')"), 'f', 'a wrong code does not log in');
is( sql("SET ROLE web; SELECT login.finish('$attempt', '" . code_of('6281210000004') . "')"),
	't', 'the right code logs in');

$service->mark;
my $nobody = sql(q{SET ROLE web; SELECT login.start('+62 812-1000-0005')});
is(sql("SET ROLE web; SELECT login.finish('$nobody', '123456')"), 'f', 'nobody logs in');
is($service->count('sent'), 0, 'a number that nobody has gets no message');
sql(q{SET ROLE web; SELECT login.start('+62 812-1000-0004')}) for 1 .. 4;
my (undef, undef, $error) = $node->psql('postgres', q{SET ROLE web; SELECT login.start('+62 812-1000-0004')});
like($error, qr/too many codes/, 'the limit is told in words for the person');
(undef, undef, $error) = $node->psql('postgres', 'SET ROLE web; TABLE login.attempt');
like($error, qr/permission denied/, 'the web role cannot read the attempts');

# --- the listener

my $listener = Pnvs::Session->new($node);
$listener->run(slurp_file("$EXAMPLES/listen.sql"));
my $id = sql(q{SELECT enqueue_verification('SMS', '6281210000006')});
my @told;
for (1 .. 100)
{
	@told = grep { /"id":$id,/ } $listener->run('SELECT pg_sleep(0.05)')->notifications('pnvs_verification');
	last if @told;
}
is("@told", qq({"id":$id,"state":"sent"}), 'the listener is told');

done_testing();
