# What the guard remembers through faults: settings that are wrong, and messages that fail.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils ();
use Test::More;

use Pnvs::Guard;
use Pnvs::Preload;
use Pnvs::Session;
use Pnvs::Simulator;

my $service = Pnvs::Simulator->new;
my $guard = Pnvs::Guard->new($service, 'faults', streaming => 1, conf => <<'CONF');
pnvs.limits = 'number SMS 2/1h, number VOICE unapproved 2/1h'
pnvs.breaker = 'country 3/1h 50% 1h'
CONF
my $session = $guard->session;

# --- the breaker, and a message that failed after another

# Sends, and returns the verification_id.
sub verification_of
{
	my ($number) = @_;

	return $guard->start($number)->row->{verification_id};
}

sub check
{
	my ($number, $id) = @_;
	my @sent = $service->events('sent', to => $number);

	return $session->value("SELECT approved FROM check_verification('$sent[-1]{code}', '$id')");
}

my $first = $guard->new_number;
is(check($first, verification_of($first)), 't', 'the first approval arms the breaker');
my $number = $guard->new_number;
my $id = verification_of($number);
is($guard->start($number, service_sid => 'sim:code:INVALID_PARAMETERS:200')->row->{success}, 'f', 'another message is refused by the service');
is(check($number, $id), 't', 'the code of the first is right');
is(join(' ', @{ $session->query('SELECT * FROM pnvs_breakers')->row }{qw(numbers approved)}), '1 1', 'the breaker knows of the approval');

# --- places of messages that were approved, and of messages that failed

# How much room is left of 2 after a message, another that comes to nothing, and the approval of the first.
sub room_after_failure
{
	my ($fail) = @_;
	my $number = $guard->new_number;
	my $id = $guard->start($number, channel => 'VOICE')->row->{verification_id};

	$fail->($number);
	check($number, $id) eq 't' or die 'the code is wrong';
	return $guard->room($number, channel => 'VOICE');
}

is(room_after_failure(sub { }), 2, 'an approval gives the place back');
is(room_after_failure(sub { $guard->start($_[0], channel => 'VOICE', service_sid => 'sim:code:INVALID_PARAMETERS:200') }),
	2, 'and so if a later message was refused by the service');
is(room_after_failure(sub { $guard->start($_[0], channel => 'SMS', service_sid => 'sim:code:INVALID_PARAMETERS:200') }),
	2, 'or was to go another way');
is(room_after_failure(sub {
			my ($number) = @_;

			$session->run("SELECT cancel_verification(enqueue_verification('VOICE', '$number', 'FA1', not_before => now() + '30 s'))");
		}), 2, 'or was canceled');
is(room_after_failure(sub {
			my ($number) = @_;

			$session->run('BEGIN');
			$session->run("SELECT enqueue_verification('VOICE', '$number', 'FA1')");
			$session->run('ROLLBACK');
		}), 2, 'or was rolled back');

# --- a message that many rules refuse

sub refusals_logged { return scalar(() = PostgreSQL::Test::Utils::slurp_file($guard->node->logfile) =~ /pnvs refuses messages by the rule "number WHATSAPP/g); }

$guard->reload('pnvs.limits' => 'number WHATSAPP ' . join ' ', map { "1/${_}h" } 1 .. 32);
{
	my $number = $guard->new_number;

	$guard->start($number, channel => 'WHATSAPP') for 1 .. 4;
}
is(refusals_logged(), 32, 'each of as many rules as there can be has a line in the log, and no second one in the same minute');
$guard->reload('pnvs.limits' => undef);

# --- a setting that is invalid when the server starts

my $limited = $guard->new_number;
$guard->start($limited) for 1 .. 2;
is($guard->start($limited)->sqlstate, '38V03', 'a number has used up its limit');
$guard->node->append_conf('postgresql.conf', "pnvs.limits = 'number SMS 2/1h, number 2 0/1d'");
$guard->node->stop('fast');
$guard->node->start;
$guard->node->append_conf('postgresql.conf', "pnvs.limits = 'number SMS 2/1h'");
$guard->node->stop('fast');
$guard->node->start;
$session = $guard->connect;
is($guard->start($limited, session => $session)->sqlstate, '38V03', 'and has so after restarts with a limit that is invalid, and mended');

# --- a standby that was restarted, and promoted

my $node = $guard->node;
$node->stop;
$node->set_standby_mode;
$node->start;
$node->stop;
$node->start;
$node->promote;
$session = $guard->connect;
my $canceled = $guard->new_number;
$session->run("SELECT cancel_verification(enqueue_verification('SMS', '$canceled', 'FA1', not_before => now() + '1 min'))") for 1 .. 2;
is($guard->room($canceled, session => $session), 2, 'after the promotion of a standby that was restarted, places are given back');

# --- without shared memory

my $late = $service->new_node('late', conf => "pnvs.breaker = 'country 3/1h 50% 1h'\n");
my $refused = $guard->start($guard->new_number, session => Pnvs::Session->new($late));
is($refused->sqlstate, 'F0000', 'a breaker that somebody has set is not ignored if the library is not preloaded');
like($refused->hint, qr/, or set "pnvs\.breaker" to ''\.\z/, 'the hint says which setting needs that');

# --- a clock that is set back by a day

my $folder = PostgreSQL::Test::Utils::tempdir();
my $skewed = Pnvs::Guard->new($service, 'skewed', conf => "pnvs.limits = 'number 1/1h'\n",
	environment => {
		LD_PRELOAD => Pnvs::Preload::build($folder, 'clock'),
		PNVS_CLOCK_FILE => "$folder/ahead",
		PNVS_CLOCK_MONOTONIC => "$folder/monotonic"
	});

# A number uses up its limit, and asks once more.
sub exceed_skewed
{
	my $number = $skewed->new_number;

	return join ' ', map { $skewed->start($number)->sqlstate || 'sent' } 1 .. 2;
}

is(exceed_skewed(), 'sent 38V03', 'a limit refuses a message');
PostgreSQL::Test::Utils::append_to_file("$folder/ahead", '-86400');
PostgreSQL::Test::Utils::append_to_file("$folder/monotonic", '61');
is(exceed_skewed(), 'sent 38V03', 'and so it does for another number after the clock was set back');
is(scalar(() = PostgreSQL::Test::Utils::slurp_file($skewed->node->logfile) =~ /pnvs refuses messages by the rule/g), 2, 'a minute later the log says so again');

done_testing;
