# The tutorial: every block of SQL runs, in its order, and gives the output that is shown;
# and what it builds keeps its promises.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Test::More;

use Pnvs::Document;

my $page = Pnvs::Document->read('doc/tutorial.md');

# What a role is told, or what it gets, for a statement.
sub answer
{
	my ($role, $sql) = @_;
	my ($output, $error) = $page->psql("\\t on\n\\pset format unaligned\n$sql", $role);

	return $error =~ /^ERROR:  ([^\n]*)/ ? $1 : $output;
}

# A new verification of a number; its ID.
sub begun
{
	my ($phone, $purpose) = @_;

	return answer('web', "SELECT id FROM pnvs.begin_verification('$phone', purpose => '$purpose')");
}

# The ID of an approved verification.
sub approved
{
	my ($phone, $purpose) = @_;
	my $id = begun($phone, $purpose);

	is(answer('web', "SELECT approved FROM pnvs.confirm_verification('$id', '" . $page->code_on_the_phone . "')"),
		't', "$phone is verified for $purpose");
	return $id;
}

# As the server runs it, with what the person has typed and the ID of the cookie.
sub sign_up
{
	my ($phone, $id) = @_;

	return answer('web', "INSERT INTO member (phone, verification) VALUES ('$phone', '$id') RETURNING phone");
}

sub check_sign_up
{
	my $refused = qr/violates verification constraint "phone_is_verified"/;
	my $id = approved('+62 812-3456-7801', 'sign-up');

	like(sign_up('+6281234567802', $id), $refused, 'another number than the verified one is refused');
	is(sign_up('+6281234567801', $id), '+6281234567801', 'the verified one is a member');
	$page->sql("DELETE FROM member WHERE phone = '+6281234567801'");
	like(sign_up('+6281234567801', $id), $refused, 'and cannot sign up by the same code again');
	like(sign_up('+6281234567803', approved('+62 812-3456-7803', 'log-in')), $refused, 'a log-in is no sign-up');
	like(sign_up('+6281234567804', begun('+62 812-3456-7804', 'sign-up')), $refused, 'nor is a code that nobody has typed');
	like(answer('web', "INSERT INTO member (phone, verification) VALUES ('+6281234567805', gen_random_uuid())"),
		$refused, 'nor an ID that somebody made up');
	return;
}

sub check_privileges
{
	like(answer('web', "SELECT pnvs.start_verification('SMS', '6281234567890')"),
		qr/permission denied/, 'the web role sends by nothing else');
	like(answer('web', 'TABLE pnvs_internal.phone_verification'), qr/permission denied/, 'it reads no verifications');
	like(answer('sketch_anon', "SELECT pnvs.begin_verification('6281234567890')"), qr/permission denied/,
		'a stranger does not write the arguments of begin_verification');
	is(answer('sketch_anon', "SELECT state FROM sketch.begin('+62 812-3456-7806')"), 'pending', 'but begins by the wrapper');
	like(answer('sketch_anon', "INSERT INTO member (phone, verification) VALUES ('+6281234567806', gen_random_uuid())"),
		qr/permission denied/, 'and writes no member');
	like(answer('support', "SELECT pnvs.begin_verification('6281234567890')"), qr/permission denied/, 'support sends nothing');
	return;
}

# The texts of the tutorial are those that the page of the examples shows.
sub check_texts
{
	my %text = map { $_->[2] => 1 } Pnvs::Document->table_rows('answer | meaning | what the person reads');
	my $messages = Pnvs::Document->read('doc/messages.md')->{text};

	delete $text{''};
	cmp_ok(scalar keys %text, '>', 8, 'the tutorial has texts for the person');
	is_deeply([ grep { index($messages, $_) < 0 } sort keys %text ], [], 'which are those of doc/messages.md');
	return;
}

sub check_test_number
{
	my ($setting) = $page->{text} =~ /^(pnvs\.test_numbers = .*)$/m;

	$setting =~ s/YYYY-MM-DD/$page->sql("SELECT current_date + 30")/e;
	$page->{node}->append_conf('postgresql.conf', $setting);
	$page->{node}->reload;
	$page->{node}->poll_query_until('page', "SELECT current_setting('pnvs.test_numbers') <> ''");
	$page->{service}->mark;
	my $id = begun('+65 9000 0001', 'sign-up');
	is(answer('web', "SELECT approved FROM pnvs.confirm_verification('$id', '123456')"), 't', 'the reviewer\'s code is right');
	is(sign_up('+6590000001', $id), '+6590000001', 'and the reviewer is a member');
	is($page->{service}->count('request'), 0, 'without a message');
	return;
}

$page->start(limits => Pnvs::Document->default_of('pnvs.limits'));
$page->run_blocks;
check_sign_up();
check_privileges();
check_texts();
check_test_number();
done_testing();
