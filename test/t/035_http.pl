# Requests of any method, with and without a body, and those that may be repeated: by a
# function of this test's own (test/probe), which is linked with the files of src/remote.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IO::Socket::INET;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Session;
use Pnvs::Simulator;

my $ROOT = "$FindBin::RealBin/../..";
my $scratch = PostgreSQL::Test::Utils::tempdir();
my $log = "$scratch/requests";

# A request by its method, target, headers that matter and body; nothing at the end.
sub read_request
{
	my ($connection) = @_;
	my ($head, $body, $length) = ('', '', 0);

	while ($head !~ /\r\n\r\n\z/)
	{
		my $line = <$connection> // return;
		$head .= $line;
	}
	($length) = $head =~ /^Content-Length: (\d+)/mi;
	read $connection, $body, $length if $length;
	return { line => $head =~ /\A(\S+ \S+) HTTP/, length => $length, probe => $head =~ /^X-Probe: yes\r$/m ? 1 : 0, body => $body };
}

# Answers each request with its body, and closes the connection without an answer where the
# target says so and has not said so before.
sub serve
{
	my ($listener) = @_;
	my %dropped;

	while (my $connection = $listener->accept)
	{
		while (my $request = read_request($connection))
		{
			my $length = $request->{length} // 'none';

			append_to_file($log, "$request->{line} $length $request->{probe}\n");
			last if $request->{line} =~ m{/drop} && !$dropped{ $request->{line} }++;
			printf $connection "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", length $request->{body}, $request->{body};
			$connection->flush;
		}
		close $connection;
	}
	return;
}

my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5) or die "listen: $!";
my $origin = 'http://127.0.0.1:' . $listener->sockport;
my $server;

$server = fork // die "fork: $!";

if ($server == 0)
{
	# PostgreSQL's modules make a Perl exception of it, which would run this test's end here.
	$SIG{TERM} = 'DEFAULT';
	serve($listener);
	POSIX::_exit(0);
}
close $listener;

my ($includes, $libraries) = map { chomp; $_ } `pg_config --includedir-server`, `pkg-config --libs libcurl openssl`;
PostgreSQL::Test::Utils::system_or_bail($ENV{CC} // 'cc', '-shared', '-fPIC', '-O2', '-Wall', '-Werror', "-I$includes", "-I$ROOT/src",
	'-o', "$scratch/http_probe.so", "$ROOT/test/probe/http_probe.c", (glob "$ROOT/src/remote/http*.o"), "$ROOT/src/remote/poll_set.o",
	"$ROOT/src/core/header.o", split ' ', $libraries);

my $node = Pnvs::Simulator->new->new_node('http');
my $session = Pnvs::Session->new($node);

$session->run(qq{CREATE FUNCTION http_probe(text, text, text, text, boolean) RETURNS text AS '$scratch/http_probe.so' LANGUAGE C});

# The answer to a request, and the lines that the server has read meanwhile.
sub probe
{
	my ($method, $target, $body, $may_repeat) = @_;
	my $begin = -s $log // 0;
	my $quoted = defined $body ? "'$body'" : 'NULL';
	my $answer = $session->value("SELECT http_probe('$origin', '$method', '$target', $quoted, " . ($may_repeat ? 'true' : 'false') . ')');

	return [ $answer, split /\n/, substr slurp_file($log), $begin ];
}

for my $time (1, 2)
{
	is_deeply(probe('GET', '/a?b=c', undef, 1), [ '200 maybe ', 'GET /a?b=c none 1' ], "a GET has no body ($time)");
	is_deeply(probe('PUT', '/token', '', 1), [ '200 maybe ', 'PUT /token 0 1' ], "a PUT can have an empty body ($time)");
	is_deeply(probe('POST', '/', 'a=b&c=d', 0), [ '200 maybe a=b&c=d', 'POST / 7 1' ], "a POST can have a body ($time)");
}
is_deeply(probe('GET', '/drop/1', undef, 1), [ '200 maybe ', ('GET /drop/1 none 1') x 2 ],
	'a request that may be repeated is sent again if a kept connection ends');
is_deeply(probe('POST', '/drop/2', 'x', 1), [ '200 maybe x', ('POST /drop/2 1 1') x 2 ], 'so is its body');
is_deeply(probe('POST', '/drop/3', 'x', 0), [ '0 maybe ', 'POST /drop/3 1 1' ], 'another request is not');
is_deeply(probe('GET', '/', undef, 0), [ '200 maybe ', 'GET / none 1' ], 'the session goes on');

done_testing();

END
{
	my $status = $?;

	if ($server)
	{
		kill TERM => $server;
		waitpid $server, 0;
	}
	$? = $status;
}
