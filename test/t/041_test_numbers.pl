# Test numbers: nothing is sent to them, their code is right, and nobody sees the list.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use POSIX qw(strftime);
use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Queue;
use Pnvs::Session;
use Pnvs::Simulator;

my $NUMBER = '6590000001';
my $CODE = '193746';
my $OTHER = '6590000002';
my $DAY_S = 86400;

sub day { my ($ahead) = @_; return strftime('%Y-%m-%d', gmtime(time + $ahead * $DAY_S)); }

my $TOMORROW = day(1);
my $LIST = "$NUMBER=$CODE until $TOMORROW, +65 9000-0003 = 5555 until $TOMORROW";

my $service = Pnvs::Simulator->new;
my $queue = Pnvs::Queue->new($service, 'numbers', conf => <<"CONF");
pnvs.service_sid = 'FA1'
log_min_messages = debug2
log_statement = none
CONF
my $session = $queue->session;

sub start { my ($number, $on) = @_; return ($on // $session)->query("SELECT * FROM start_verification('SMS', '$number')"); }

sub check
{
	my ($code, $id, $to) = @_;

	return $session->run("SELECT * FROM check_verification('$code', '$id'" . (defined $to ? ", '$to'" : '') . ')')->row;
}

$queue->reload('pnvs.test_numbers' => $LIST);
$service->mark;

# --- direct calls

my $row = start("+65 9000 0001")->row;
is($row->{success}, 't', 'a message to a test number is accepted');
is($row->{code}, 'OK', 'with the code of a success');
is($row->{message}, 'Local.TestNumber', 'and a message that tells it from others');
is($row->{status}, 'pending', 'its verification is pending');
like($row->{verification_id}, qr/\Atest-$NUMBER-[0-9a-f]{16}\z/, 'its ID has the number in it');
is($row->{$_}, undef, "there is no $_") for qw(request_id http_status verify_code);
my $id = $row->{verification_id};
isnt(start($NUMBER)->row->{verification_id}, $id, 'another message has another ID');
is(scalar(() = $session->value("SELECT count(DISTINCT verification_id) FROM (SELECT (start_verification('SMS', '$NUMBER')).* FROM generate_series(1, 3)) AS s")), 1,
	'one statement starts one verification');

for my $case (
	[ $CODE, $NUMBER, 't', 'the code of the list is right' ],
	[ $CODE, '+65 9000 0001', 't', 'however the number is written' ],
	[ $CODE, undef, 't', 'also without the number' ],
	[ "$CODE ", undef, 't', 'and typed with a space' ],
	[ '193747', $NUMBER, 'f', 'another code is wrong' ],
	[ '5555', $NUMBER, 'f', 'also if it is right for another test number' ],
	[ $CODE, $OTHER, 'f', 'and so is the right one for another number' ])
{
	my ($code, $to, $approved, $sentence) = @$case;

	$row = check($code, $id, $to);
	is($row->{approved}, $approved, $sentence);
	is("$row->{success} $row->{code} $row->{message}", 't OK Local.TestNumber', 'and the row says that it is a test');
}
$row = check($CODE, $id);
is($row->{status}, 'approved', 'the status is the one of the service');
is($row->{phone_number}, $NUMBER, 'the row has the number');
is(check('193747', $id)->{status}, 'pending', 'after a wrong code it is pending');
is($session->query("SET pnvs.on_failure = error; SELECT approved FROM check_verification('193747', '$id')")->value, 'f',
	'a wrong code is no error');
$session->run('RESET pnvs.on_failure');
is(start('6590000003')->row->{message}, 'Local.TestNumber', 'the second number of the list is one, too');
is($service->count('request'), 0, 'nothing has reached the service');

is(start($OTHER)->row->{message}, 'OK', 'another number is no test number');
is($service->count('sent', to => $OTHER), 1, 'and gets a message');
is($session->value("SELECT count(*) FROM search_verification(\"to\" => '$NUMBER')"), 0, 'a search asks the service, as ever');

# --- the queue

$service->mark;
my $queued = $queue->enqueue('FA1', undef, number => $NUMBER);
$row = $queue->settled($queued);
is($row->{state}, 'sent', 'a queued message is settled as sent');
is("$row->{code} $row->{message} $row->{status}", 'OK Local.TestNumber pending', 'with the same words');
like($row->{verification_id}, qr/\Atest-$NUMBER-/, 'and an ID that has the number in it');
is($row->{http_status}, undef, 'without a status of HTTP');
is($row->{attempts}, 1, 'at its first attempt');
is($session->value("SELECT approved FROM check_queued_verification('$CODE', $queued, '$NUMBER')"), 't', 'its code is right');
is($session->value("SELECT approved FROM check_queued_verification('$CODE', $queued)"), 't', 'also without the number');
is($session->value("SELECT approved FROM check_queued_verification('193747', $queued)"), 'f', 'and another one is wrong');
is($service->count('request'), 0, 'nothing of that has reached the service');

# By the procedure, too.
$queue->configure('pnvs.worker' => 'off');
$queued = $queue->enqueue('FA1', undef, number => $NUMBER);
$session->run('CALL process_verification_queue()');
is($queue->row($queued)->{message}, 'Local.TestNumber', 'the procedure knows test numbers');

# No limit has counted it, so it must not go out.
$service->mark;
$queued = $queue->enqueue('FA1', undef, number => $NUMBER);
$queue->reload('pnvs.test_numbers' => undef);
$session->run('CALL process_verification_queue()');
is($queue->row($queued)->{message}, 'Local.TestNumber', 'what was queued to a test number stays that when the number leaves the list');
is($service->count('sent'), 0, 'and is not sent');
$queue->reload('pnvs.test_numbers' => $LIST);
is($service->count('request'), 0, 'and asks for nothing, either');
$queue->reload('pnvs.worker' => undef);

# --- what else refuses messages lets them through

$queue->reload('pnvs.countries' => 'ID', 'pnvs.channels' => 'VOICE', 'pnvs.sending' => 'off');
is(start($NUMBER)->row->{message}, 'Local.TestNumber', 'neither country nor channel nor switch refuses a test number');
$queue->reload('pnvs.countries' => undef, 'pnvs.channels' => undef, 'pnvs.sending' => undef);

# --- limits let them through, but for tries

$queue->reload('pnvs.limits' => 'number 1/1h, total 1/1h, tries 3/1h');
is(scalar(grep { start($NUMBER)->sqlstate eq '' } 1 .. 3), 3, 'no limit counts messages to a test number');
is(start($OTHER)->sqlstate, '', 'so another number still has its place');
is(check('193740', "test-$NUMBER-$_")->{approved}, 'f', "try $_ of a wrong code, with an ID that was made up") for 1 .. 3;
my $refused = $session->query("SELECT * FROM check_verification('$CODE', 'test-$NUMBER-4')");
is($refused->sqlstate, '38V03', 'wrong codes are counted by the number, whatever the ID');
like($refused->detail, qr/\Asent=no limit=tries retry_after=\d+\z/, 'as for any other number');
is($refused->message, 'too many wrong codes', 'and the error says so');
like($refused->hint, qr/\AYou can try another code in (?:59:\d\d|1 hour)\.\z/, 'with a hint for the person');
$queue->reload('pnvs.limits' => undef);

# --- the last day

$queue->reload('pnvs.test_numbers' => "$NUMBER=$CODE until " . day(-1));
$service->mark;
is(start($NUMBER)->row->{message}, 'OK', 'when its last day is over, the number is like any other');
is($service->count('sent', to => $NUMBER), 1, 'and gets messages');
is(check($CODE, $id)->{approved}, 'f', 'and its code is no longer right');
my $late = $queue->enqueue('FA1', undef, number => $NUMBER);
is($queue->settled($late)->{message}, 'OK', 'a queued message goes out, too');
is($service->count('sent', to => $NUMBER), 2, 'to the phone');

# --- nobody sees it

$queue->reload('pnvs.test_numbers' => $LIST);
$session->run('CREATE ROLE plain LOGIN');
$session->run('CREATE ROLE watcher LOGIN IN ROLE pg_monitor, pg_read_all_settings');
for my $role (undef, 'plain', 'watcher')
{
	my $who = $role // 'a superuser';
	my $other = Pnvs::Session->new($queue->node, user => $role);

	is($other->value('SHOW pnvs.test_numbers'), '********', "$who sees that there is a list");
	is($other->value("SELECT count(*) FROM pg_settings WHERE pg_settings::text ~ '$NUMBER|$CODE|90000003|5555'"), 0,
		'and nothing of it in pg_settings');
	$other->close;
}
is($session->query("ALTER SYSTEM SET pnvs.test_numbers = '$LIST'")->failed, '1', 'it cannot be set by ALTER SYSTEM');
is($session->query("ALTER ROLE plain SET pnvs.test_numbers = '$LIST'")->failed, '1', 'nor for a role');
is($session->query("SET pnvs.test_numbers = '$LIST'")->failed, '1', 'nor in a session');

for my $bad ("$NUMBER=$CODE", "$NUMBER=$CODE until " . day(92), '(none)')
{
	$queue->reload('pnvs.test_numbers' => $bad);
	$refused = start($NUMBER);
	is($refused->sqlstate, '22023', 'a list that is not valid stops all calls');
	unlike($refused->detail, qr/$NUMBER|$CODE/, 'and the error does not quote it');
	is($session->value('SHOW pnvs.test_numbers'), '(not valid)', 'nor does SHOW');
}
$queue->reload('pnvs.test_numbers' => undef);
is($session->value('SHOW pnvs.test_numbers'), '(none)', 'without a list, SHOW says so');
$queue->reload('pnvs.test_numbers' => "$NUMBER=$CODE until " . day(90));
is(start($NUMBER)->row->{message}, 'Local.TestNumber', '90 days ahead is valid');
unlike(PostgreSQL::Test::Utils::slurp_file($queue->node->logfile), qr/$CODE|$NUMBER|9000-0003/, 'the log has nothing of the list');

# --- without preloading

my $lazy = $service->new_node('lazy', conf => "pnvs.service_sid = 'FA1'\n");
$lazy->append_conf('postgresql.conf', "pnvs.test_numbers = '$LIST'");
$lazy->stop('fast');
$lazy->start;
is(start($NUMBER, Pnvs::Session->new($lazy))->row->{message}, 'Local.TestNumber', 'they work without preloading');
$lazy->stop;
$queue->stop;
done_testing();
