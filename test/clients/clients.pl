# Clients in other languages: each script of this folder signs up, listens, sees what was
# not sent and what may have been sent, and cancels.  Its lines of TAP are counted here.
#
# test/clients/run installs what they need.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Script;
use Pnvs::Simulator;

my $SECONDS_TO_END = 10;

# Debian's Python, which has Debian's modules.
my $PYTHON = '/usr/bin/python3';
my @CLIENTS = (
	[ 'node-postgres', 'node_postgres.js', 'node' ],
	[ 'PostGraphile', 'postgraphile.js', 'node' ],
	[ 'psycopg', 'psycopg3.py', $PYTHON, '-B' ],
	[ 'Django', 'django_app.py', $PYTHON, '-B' ],
	[ 'the example for Django', 'django_example.py', $PYTHON, '-B' ],
	[ 'JDBC', 'Jdbc.java', 'java', '-cp', '/usr/share/java/postgresql.jar' ],
	[ 'pgbouncer', 'pgbouncer.py', $PYTHON, '-B' ]);

sub new_server
{
	my ($service) = @_;
	my $node = $service->new_node('clients',
		preload => 'shared_preload_libraries',
		schema => 'pnvs',
		init => [ '--encoding=UTF8', '--no-locale' ],
		conf => "listen_addresses = '127.0.0.1'\nphone.log = '$service->{ready}{log}'\n");

	$node->safe_psql('postgres', slurp_file("$FindBin::RealBin/setup.sql"));
	return $node;
}

# A pool in transaction mode with a single connection to the server: (its process, its port).
sub start_pool
{
	my ($node) = @_;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $server_port = $node->port;
	my $pool;

	append_to_file("$dir/users.txt", qq{"app" ""\n});
	append_to_file("$dir/pgbouncer.ini", <<"CONF");
[databases]
postgres = host=127.0.0.1 port=$server_port
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = trust
auth_file = $dir/users.txt
pool_mode = transaction
default_pool_size = 1
CONF
	$pool = IPC::Run::start([ 'pgbouncer', "$dir/pgbouncer.ini" ], '>&', "$dir/log");
	Pnvs::Simulator::wait_until('the pool listens',
		sub { IPC::Run::run([ 'psql', '-XAtc', 'SELECT', "host=127.0.0.1 port=$port user=app dbname=postgres" ],
				'>&', \my $output) });
	return ($pool, $port);
}

# --- main

my $service = Pnvs::Simulator->new;
my $node = new_server($service);
my ($pool, $pool_port) = start_pool($node);

{
	local @ENV{qw(PGHOST PGPORT PGUSER PGDATABASE PGBOUNCER_PORT UNREACHABLE)} =
	  ('127.0.0.1', $node->port, 'app', 'postgres', $pool_port, $service->endpoint('refused'));

	Pnvs::Script::run(@$_) for @CLIENTS;
}
$pool->kill_kill(grace => $SECONDS_TO_END);

done_testing();
