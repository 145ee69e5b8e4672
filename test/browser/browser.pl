# The page of examples/web in a browser: page.js is the person, its lines of TAP are counted
# here.  Beside it: what the database then holds, and what the logs do not.
#
# test/browser/run installs what it needs.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use HTTP::Tiny;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Script;
use Pnvs::Simulator;

my $EXAMPLE = "$FindBin::RealBin/../../examples/web";
my $SECONDS_TO_END = 10;

# Of the rules that a fresh installation has, those that the walk meets.
my $LIMITS = 'number 4/1d, key 20/1d';

# start_page(NODE, NAME => VALUE of its environment...): (its process, its origin, its log).
sub start_page
{
	my ($node, %environment) = @_;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $log = PostgreSQL::Test::Utils::tempdir() . '/page.log';
	local @ENV{qw(PGHOST PGPORT PGUSER PGDATABASE PORT), keys %environment} =
	  ('127.0.0.1', $node->port, 'web_app', 'postgres', $port, values %environment);
	my $server = IPC::Run::start([ 'node', "$EXAMPLE/server.js" ], '>&', $log);

	Pnvs::Simulator::wait_until('the page is there', sub { -e $log && slurp_file($log) =~ /^The page is (.*)$/m });
	return ($server, "http://127.0.0.1:$port", $log);
}

# --- main

my $service = Pnvs::Simulator->new;
my $node = $service->new_node('browser',
	preload => 'shared_preload_libraries',
	schema => 'pnvs',
	init => [ '--encoding=UTF8', '--no-locale' ],
	conf => <<"CONF");
listen_addresses = '127.0.0.1'
pnvs.service_sid = 'FA00000000000001'
pnvs.limits = '$LIMITS'
pnvs.countries = 'ID'
log_min_messages = info
log_min_error_statement = error
CONF

is($node->psql('postgres', slurp_file("$EXAMPLE/schema.sql"), on_error_stop => 1), 0, 'schema.sql runs');

my ($page, $origin, $log) = start_page($node);
my ($proxied_page, $proxied_origin, $proxied_log) = start_page($node, TRUST_PROXY => 'loopback', ORIGIN => 'https://shop.example');

{
	local @ENV{qw(ORIGIN PROXIED_ORIGIN SIMULATOR_LOG PGHOST PGPORT PGUSER PGDATABASE)} =
	  ($origin, $proxied_origin, $service->{ready}{log}, $node->host, $node->port, scalar getpwuid($<), 'postgres');

	Pnvs::Script::run('page', 'page.js', 'node');
}

is($node->safe_psql('postgres', 'SELECT string_agg(phone, $$,$$) FROM member'), '+6281234567890',
	'the table has the member who signed up, and nobody else');
is($node->safe_psql('postgres', "SELECT count(*) FROM session WHERE length(key) <> 32"), 0,
	'the table has hashes of the keys that the cookies have');

# --- a mistake in the configuration is not the person's

{
	my $id = $node->safe_psql('postgres', "SET ROLE web_app; SELECT id FROM pnvs.begin_verification('+62 812-3456-7555')");

	$node->append_conf('postgresql.conf', "pnvs.breaker = 'nonsense'");
	$node->reload;
	$node->poll_query_until('postgres', "SELECT current_setting('pnvs.breaker') = '(not valid)'") or die 'the setting is valid';
	my $answer = HTTP::Tiny->new->post("$origin/api/confirm", {
		headers => { Origin => $origin, Cookie => "session=somebody; verification=$id", 'Content-Type' => 'application/json' },
		content => '{"code": "x", "phone": "+62 812-3456-7555"}' });
	is("$answer->{status} $answer->{content}", '503 {"refused":"try_later"}', 'a code while a setting is not valid is HTTP 503');
}

for ([ $page, $log ], [ $proxied_page, $proxied_log ])
{
	$_->[0]->kill_kill(grace => $SECONDS_TO_END);
	unlike(slurp_file($_->[1]) =~ s/\Q$origin\E|\Q$proxied_origin\E//gr, qr/\d{6}/, 'the log of the page has no number and no code');
}
unlike(slurp_file($node->logfile), qr/812.?3456.?7890/, 'the log of the database has no number');

done_testing();
