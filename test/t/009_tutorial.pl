# The tutorial: every block of SQL runs, in its order, and gives the output that is shown;
# and the sign-up that it builds keeps its limits.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Test::More;

use Pnvs::Document;

my $SERVICE = 'FA00000000000001';
my $UUID = qr/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/;

my $page = Pnvs::Document->read('doc/tutorial.md');

# Output and error of a start.
sub start_as_web
{
	my ($phone) = @_;

	return join '', $page->psql("SELECT signup.start('$phone')", 'web');
}

sub check_sign_up_limits
{
	like(start_as_web('+62 812-3456-7899'), qr/$UUID/, 'sign-up sends a code');
	is(($page->psql("\\set VERBOSITY sqlstate\nSELECT signup.start('+62 812-3456-7899')", 'web'))[1],
		'ERROR:  38V03', 'and no other soon');
	like(($page->psql('TABLE signup.attempt', 'web'))[1],
		qr/permission denied/, 'the web role cannot read the table of sign-up');
	like(($page->psql("SELECT pnvs.start_verification('SMS', '6281234567890')", 'web'))[1],
		qr/permission denied/, 'the web role cannot send by itself');
	return;
}

# PostgREST runs a GET so.
sub check_read_only
{
	$page->{service}->mark;
	like(($page->psql("BEGIN READ ONLY; SELECT signup.start('62812000005')", 'web'))[1],
		qr/read-only transaction/, 'sign-up fails in a read-only transaction');
	is($page->{service}->count('request'), 0, 'and sends nothing that no row counts');
	return;
}

# A service that refuses must not lock anybody out.
sub check_sign_up_refusals
{
	my ($attempt, $code);
	my $confirm = sub {
		my ($service_sid, $typed) = @_;

		return $page->psql("SET pnvs.service_sid = '$service_sid'; \\t on\n"
			  . "SELECT signup.confirm('$attempt', '$typed')", 'web');
	};

	($attempt) = ($page->psql("SELECT signup.start('62812000001')", 'web'))[0] =~ /($UUID)/;
	$code = ($page->{service}->events('sent'))[-1]{code};
	for my $refusal ('throttled:1000', 'code:SignatureDoesNotMatch:400', 'code:InternalError:500')
	{
		like(($confirm->("sim-check:$refusal", $code))[1],
			qr/refused CheckVerification/, "$refusal: a refusal is an ERROR of sign-up");
	}
	like(($confirm->($SERVICE, 'a/b'))[0], qr/^ f$/m, 'what cannot be a code is false');
	like(($confirm->($SERVICE, 'x'))[0], qr/^ f$/m, 'a wrong code is false') for 1 .. 8;
	like(($confirm->($SERVICE, $code))[0], qr/^ t$/m, 'the right code is taken after refusals and eight wrong ones');

	($attempt) = start_as_web('62812000006') =~ /($UUID)/;
	$code = ($page->{service}->events('sent'))[-1]{code};
	$confirm->($SERVICE, 'x') for 1 .. 10;
	like(($confirm->($SERVICE, $code))[1], qr/too many wrong codes/, 'after ten wrong codes the right one comes too late');

	return;
}

# What may have been sent counts, however it ended, and nothing is sent again soon.
sub check_sign_up_doubts
{
	my $start = sub {
		my ($service_sid, $phone) = @_;

		return $page->psql("\\pset null none\nSET pnvs.service_sid = '$service_sid'; SET pnvs.request_timeout = '500ms';"
			  . "SELECT signup.start('$phone')", 'web');
	};
	my %phone = ('sim-start:slow:1000' => '62812000002', 'sim-start:close' => '62812000003', 'sim-start:nomodel' => '62812000004');

	for my $service_sid (sort keys %phone)
	{
		$page->{service}->mark;
		like(($start->($service_sid, $phone{$service_sid}))[0], qr/^ none$/m, "$service_sid: sign-up gives nothing to confirm");
		like(($start->($service_sid, $phone{$service_sid}))[1], qr/too many messages/, "$service_sid: and sends no second message soon");
		is($page->{service}->count('request'), 1, "$service_sid: the service gets one request");
		is($page->sql("SELECT signup.confirm(id, 'x') FROM signup.attempt WHERE phone = '$phone{$service_sid}'"), 'f',
			"$service_sid: no code fits");
	}
	return;
}

# A number belongs to one member, and a verification to one number.
sub check_members
{
	my $number_of = sub { $page->sql("SELECT phone FROM signup.member WHERE id = $_[0]") };
	my $attempt = $page->sql("SELECT id FROM signup.attempt WHERE phone = '62812000001'");

	is($page->sql("SELECT signup.change_number(1, '$attempt')"), 't', 'a verified number becomes a member\'s');
	is($number_of->(1), '62812000001', 'the member has it');
	is($page->sql("SELECT signup.change_number(1, '$attempt')"), 'f', 'an attempt is used once');
	is($page->sql("SELECT signup.register('$attempt') IS NULL"), 't', 'for a new member, too');
	$attempt = $page->sql("SELECT id FROM signup.attempt WHERE phone = '62812000003'");
	is($page->sql("SELECT signup.change_number(1, '$attempt')"), 'f', 'an attempt that is not verified changes nothing');
	is($number_of->(1), '62812000001', 'the member keeps the number');
	like(($page->psql("SELECT signup.change_number(1, gen_random_uuid())", 'web'))[1],
		qr/permission denied/, 'the web role cannot change anybody\'s number');
	is(($page->psql("INSERT INTO person (phone, verified_phone) VALUES ('1', '1'), ('2', NULL)"))[1], '', 'there are persons');
	is($page->sql("UPDATE person SET phone = '3' WHERE id = 1; SELECT count(*) FROM person WHERE is_verified"),
		0, 'a number that was changed is not verified');
	return;
}

$page->start(limits => Pnvs::Document->default_of('pnvs.limits'));
$page->run_blocks;
check_sign_up_limits();
check_read_only();
check_sign_up_refusals();
check_sign_up_doubts();
check_members();
done_testing();
