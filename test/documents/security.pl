# doc/security.md: its SQL runs, and each role can do what the page says, and no more.
# The queries of doc/operations.md are the monitor's.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Document;

my $QUEUE = 'pnvs.verification_queue';

my $page = Pnvs::Document->read('doc/security.md');

# What a role is told, or what it gets, for a statement.
sub answer
{
	my ($role, $sql) = @_;
	my ($output, $error) = $page->psql("\\t on\n\\pset format unaligned\n$sql", $role);

	return $error =~ /^ERROR:  ([^\n]*)/ ? $1 : $output;
}

sub check_monitor
{
	my @query = grep { /FROM \Q$QUEUE\E/ } Pnvs::Document->read('doc/operations.md')->blocks;

	cmp_ok(scalar @query, '>=', 4, 'doc/operations.md has queries to watch the queue');
	is(($page->psql($_, 'monitor'))[1], '', 'the monitor may watch the queue') for @query;
	like(answer('monitor', "SELECT recipient FROM $QUEUE"), qr/^permission denied for view/,
		'the monitor does not see numbers');
	return;
}

sub check_support
{
	is(answer('support', "SELECT count(*) FROM $QUEUE"), 2, 'support sees the rows of all roles');
	like(answer('support', "SELECT id FROM $QUEUE FOR UPDATE"), qr/^permission denied for view/,
		'support changes nothing');
	like(answer('support', "BEGIN; LOCK TABLE $QUEUE IN ROW EXCLUSIVE MODE"), qr/^permission denied for view/,
		'nor does it lock anything');
	like(answer('support', 'SELECT id FROM pnvs_internal.queue'), qr/^permission denied for schema/,
		'and it does not reach the table');
	return;
}

sub check_sender
{
	is(answer('sender', "SELECT count(*) FROM $QUEUE"), 1, 'the sender sees its own rows alone');
	is(answer('sender', "SELECT count(*) FROM $QUEUE WHERE requested_by = 'sender'"), 1,
		'a role can be asked for by its name');
	like(answer('sender', "SELECT pnvs.check_verification('1234', 'a/b')"), qr/^permission denied for function/,
		'the sender does not check');
	return;
}

sub check_others
{
	like(answer('checker', "SELECT pnvs.start_verification('SMS', '6281234567890')"),
		qr/^permission denied for function/, 'the checker does not send');
	is(answer('scheduler', 'CALL pnvs.process_verification_queue()'), '', 'the scheduler needs nothing else for the CALL');
	is(answer('table_owner', "CREATE TEMP TABLE t (phone text, r pnvs.start_verification_result);
		CREATE TRIGGER t AFTER INSERT ON t FOR EACH ROW
		EXECUTE FUNCTION pnvs.enqueue_verification_trigger('SMS', 'phone')"), '',
		'the owner of tables creates a trigger and a column of a type');
	is(answer('shop', "SELECT success FROM pnvs.start_verification('SMS', '6281234567890')"), 't',
		'a member of the groups may send');
	return;
}

# Of the functions that it is granted, one whose first argument is a number, and those of an ID.
sub check_server
{
	my $id = 'gen_random_uuid()';

	is(answer('server', "SELECT state FROM pnvs.begin_verification('6281234567895')"), 'pending', 'the server begins verifications');
	is(answer('server', "SELECT count(*) FROM pnvs.resend_verification($id), pnvs.confirm_verification($id, '123456'), pnvs.use_verification($id), "
			  . "pnvs.phone_verification_status($id), pnvs.cancel_phone_verification($id)"), 1, 'and goes on with them');
	like(answer('server', "SELECT pnvs.start_verification('SMS', '6281234567895')"), qr/^permission denied for function/, 'and sends by nothing else');
	like(answer('server', "SELECT pnvs.verification_history('6281234567895')"), qr/^permission denied for function/, 'nor sees a history');
	return;
}

# Each attack of the table names its test, and each attack on the flow is in the table.
sub check_attacks
{
	my $flow = PostgreSQL::Test::Utils::slurp_file("$FindBin::RealBin/../t/052_flow_attacks.pl");
	my %attack = map { s/\\//gr => 1 } $flow =~ /^subtest '((?:[^'\\]|\\.)+)' =>/mg;
	my @named = map { split /; /, $_->[2] } Pnvs::Document->table_rows('attack | what stops it, and what does not | test');
	my ($files, $names) = ([ grep { /\]\(/ } @named ], [ grep { !/\]\(/ } @named ]);

	is_deeply([ sort @$names ], [ sort keys %attack ], 'the table of attacks names the tests of 052_flow_attacks.pl');
	ok(-e "$FindBin::RealBin/../../doc/$_", "it names a file: $_") for map { /\]\(([^)]+)\)/ } @$files;
	return;
}

sub check_dump
{
	my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';

	$page->{node}->command_ok([ 'pg_dump', '-f', $dump, $page->{node}->connstr('page') ], 'the database can be dumped');
	like(PostgreSQL::Test::Utils::slurp_file($dump), qr/GRANT SELECT ON TABLE pnvs_internal\.queue TO support/,
		'a dump has the privileges');
	return;
}

$page->start;
$page->run_blocks;
$page->psql("SELECT pnvs.enqueue_verification('SMS', '6281234567890')", $_) for undef, 'sender';
check_monitor();
check_support();
check_sender();
check_others();
check_server();
check_attacks();
check_dump();
$page->stop;
done_testing();
