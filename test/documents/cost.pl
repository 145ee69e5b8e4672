# doc/cost.md: its SQL runs, and the guard with its default limits does what the page says.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run ();
use Test::More;

use Pnvs::Document;

my $REFUSED = qr/^ERROR:  38V03: .*^DETAIL:  sent=no limit=number retry_after=(\d+)/ms;
my $FOR_THE_PERSON = qr/^(?:HINT:  |ERROR:  PT429: )You can ask for another code in \d+:\d\d\. A code you already have still works\.$/m;

my $page = Pnvs::Document->read('doc/cost.md');

# What a caller is told.
sub error_of
{
	my ($sql, $role) = @_;

	return ($page->psql("\\set VERBOSITY verbose\n$sql", $role))[1];
}

sub check_refusal
{
	my $call = q{SELECT pnvs.start_verification('SMS', '+62 812 0000 0001')};

	$page->{service}->mark;
	is(error_of($call), '', 'the first message is sent');
	like(error_of($call), $REFUSED, 'the second is refused, with the DETAIL that programs read');
	like(error_of($call), $FOR_THE_PERSON, 'and the HINT for the person');
	is($page->{service}->count('sent'), 1, 'the service gets the first alone');
	return;
}

# The function for PostgREST.
sub check_status
{
	my $call = q{SET request.headers = '{"x-real-ip": "203.0.113.8"}'; SELECT send_code('+62 812 0000 0002')};

	is(error_of($call), '', 'the function queues a message');
	like(error_of($call), $FOR_THE_PERSON, 'and has the words for the person as the message of a 429');
	return;
}

# Ten clients' worth of numbers from one address, in SQL.
sub check_key
{
	my $error = error_of(<<'SQL');
DO $$
BEGIN
	FOR i IN 1 .. 11 LOOP
		PERFORM pnvs.start_verification('SMS', '62813' || 10000000 + i * 10000, rate_key => '203.0.113.9');
	END LOOP;
END
$$
SQL

	like($error, qr/^DETAIL:  sent=no limit=key /m, 'an address gets ten unapproved messages in ten minutes');
	return;
}

sub check_support
{
	my $call = q{SELECT pnvs.start_verification('SMS', '+62 812 0000 0001')};

	like(error_of($call), $REFUSED, 'the number is still blocked');
	is(error_of(q{SELECT pnvs.unblock_phone_number('+62 812 0000 0001')}, 'help_desk'), '', 'the help desk unblocks it');
	is(error_of($call), '', 'and a code can be sent');
	like(error_of('SELECT pnvs.pnvs_guard_reset()', 'help_desk'), qr/42501: /, 'the help desk resets nothing else');
	return;
}

sub check_columns
{
	my @documented = map { $_->[0] =~ tr/`//dr } Pnvs::Document->table_rows('column of pnvs_stat_guard | ');

	is_deeply(\@documented, [ split /\n/, $page->sql(<<'SQL') ], 'the columns of pnvs_stat_guard are those that the page lists');
SELECT attname FROM pg_attribute WHERE attrelid = 'pnvs.pnvs_stat_guard'::regclass AND attnum > 0 ORDER BY attnum
SQL
	return;
}

# The figures of the simulated attack are those of today's code.
sub check_simulation
{
	my ($printed, $error);

	ok(IPC::Run::run(["$FindBin::RealBin/../bench/attack/run"], '>', \$printed, '2>', \$error), 'the simulation runs');
	is($error, '', 'and has nothing to complain of');
	my @row = grep { !/no guard/ } $printed =~ /^(\| .*)$/mg;
	cmp_ok(scalar @row, '>', 15, 'it prints tables');
	is_deeply([ grep { index($page->{text}, "$_\n") < 0 } @row ], [], 'the page has each of their rows');
	return;
}

check_simulation();
$page->start(limits => Pnvs::Document->default_of('pnvs.limits'));
$page->run_blocks;
check_refusal();
check_status();
check_key();
check_support();
check_columns();
done_testing();
