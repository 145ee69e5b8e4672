# Calls where nothing can be written: in a read-only transaction, and on a standby,
# whose recovery may end them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use Test::More;

use Pnvs::Server;
use Pnvs::Session;
use Pnvs::Simulator;

my $CALL = "SELECT * FROM start_verification('SMS', '6281700000000', '%s')";

my $service = Pnvs::Simulator->new;
my $primary = $service->new_node('primary', conf => "wal_level = replica\nmax_wal_senders = 4\n");
$primary->safe_psql('postgres', 'CREATE TABLE churn (i integer)');
$primary->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'copy', has_streaming => 1);
$standby->append_conf('postgresql.conf',
	"max_standby_streaming_delay = 0\npnvs.connect_timeout = 60000\npnvs.request_timeout = 60000\n");
$standby->start;

my $session = Pnvs::Session->new($primary);
is($session->run('BEGIN READ ONLY; ' . sprintf($CALL, 'FA1') . '; COMMIT')->row->{success},
	't', 'a call works in a read-only transaction');
$session->close;

$session = Pnvs::Session->new($standby);
my $row = $session->run(sprintf $CALL, 'FA1')->row;
my ($sent) = $service->events('sent', verification_id => $row->{verification_id});
is($row->{success}, 't', 'a start works on a standby');
is($session->value("SELECT approved FROM check_verification('$sent->{code}', '$row->{verification_id}', '6281700000000')"),
	't', 'a check works on a standby');
is($session->value("SELECT count(*) FROM search_verification(verification_id => '$row->{verification_id}')"),
	1, 'a search works on a standby');

# Removes rows that the standby's snapshot may still see.
sub conflict
{
	$primary->safe_psql('postgres', 'INSERT INTO churn VALUES (1)');
	$primary->safe_psql('postgres', 'DELETE FROM churn');
	$primary->safe_psql('postgres', 'VACUUM churn');
	return $session->result;
}

# PostgreSQL ends the session, too, where recovery asks once more while the call's
# error is on its way.
sub go_on
{
	return unless Pnvs::Server::is_lost($session);
	diag('the session was ended by recovery');
	$session = Pnvs::Session->new($standby);
	return;
}

# Drivers repeat a statement that ended with 40001.
$service->mark;
$session->send(sprintf $CALL, 'sim:hang');
$service->wait_for('request', scenario => 'hang');
my $result = conflict();
like($result->message, qr/conflict with recovery/, 'recovery ends a call');
is($result->sqlstate, '38V02', 'a call that may have been sent does not invite to a repeat');
like($result->detail, qr/\Asent=maybe stage=reply/, 'its detail says how far it got');
like($result->hint, qr/search_verification/, 'its hint says to search');
like($result->context, qr/sent=maybe stage=reply/, 'so does its context');

go_on();
$session->run("SET pnvs.endpoint = '" . $service->endpoint('tls_stall') . "'");
$service->mark;
$session->send(sprintf $CALL, 'FA1');
$service->wait_for('accept', port => 'tls_stall');
$result = conflict();
is($result->sqlstate, '40001', 'a call that was not sent can be repeated');
like($result->context, qr/sent=no/, 'its context says so');

go_on();
$session->run('RESET pnvs.endpoint');
$service->mark;
is($session->run(sprintf $CALL, 'FA1')->row->{success}, 't', 'the session goes on');
is($service->count('sent'), 1, 'the next call sends one message');

$session->close;
$standby->stop;
$primary->stop;
done_testing();
