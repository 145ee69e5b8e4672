# The endpoint's name leads to another host for a while, by a mistake in DNS.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IO::Socket::INET;
use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Preload;
use Pnvs::Queue;
use Pnvs::Simulator;

my $scratch = PostgreSQL::Test::Utils::tempdir();

# At one stroke, so that nobody reads half of it.
sub lead_to
{
	my ($address) = @_;

	append_to_file("$scratch/next", $address);
	rename "$scratch/next", "$scratch/address" or die "rename: $!";
	return;
}

lead_to('127.0.0.2');
my $service = Pnvs::Simulator->new;
my ($port) = $service->endpoint =~ /:(\d+)$/;
my $queue = Pnvs::Queue->new($service, 'moved',
	environment => { LD_PRELOAD => Pnvs::Preload::build($scratch, 'address'), PNVS_ADDRESS_FILE => "$scratch/address" });

# Another host, with a certificate of its own.
PostgreSQL::Test::Utils::run_log([ 'openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', "$scratch/key.pem",
	'-out', "$scratch/certificate.pem", '-days', '1', '-subj', '/CN=other' ]) or BAIL_OUT('openssl made no certificate');
my $other = IPC::Run::start([ 'openssl', 's_server', '-quiet', '-accept', "127.0.0.2:$port", '-key', "$scratch/key.pem",
	'-cert', "$scratch/certificate.pem" ], '<', \'', '>', '/dev/null', '2>', '/dev/null');
Pnvs::Simulator::wait_until('the other host listens',
	sub { IO::Socket::INET->new(PeerAddr => '127.0.0.2', PeerPort => $port) });

my $session = $queue->connect;
$session->run("SET pnvs.endpoint = 'https://moved.names.test:$port'");

sub send_code { return $session->query(sprintf q{SELECT * FROM start_verification('SMS', '%s', 'FA1')}, Pnvs::Queue::new_number()); }

is(send_code()->sqlstate, '38V01', 'a host that is not the service gets no request');
lead_to('127.0.0.1');
is(send_code()->sqlstate // '', '', 'once the name leads to the service, the next call succeeds');

$other->kill_kill;
$queue->stop;
done_testing();
