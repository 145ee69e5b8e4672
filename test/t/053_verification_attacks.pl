# What an attacker tries with verifications: to learn who is a member, or somebody's number
# or code, to fill the server's memory, and to write a row without an approval.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use POSIX qw(strftime);
use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Approval;
use Pnvs::Confirm;
use Pnvs::Session;
use Pnvs::Simulator;

$PostgreSQL::Test::Utils::timeout_default = 20;

my $service = Pnvs::Simulator->new;
my $last_day = strftime('%Y-%m-%d', gmtime(time + 86400));
my $server = Pnvs::Confirm->new($service, 'attacked', conf => <<"CONF");
pnvs.limits = 'tries 10/1h'
pnvs.breaker = ''
pnvs.guard_memory = '1MB'
pnvs.test_numbers = '6590000001=123456 until $last_day'
log_min_error_statement = 'error'
log_lock_waits = on
deadlock_timeout = '50ms'
CONF
my $node = $server->node;
my $session = $server->session;

sub confirm { return $server->confirm(@_); }
sub checks { return scalar $service->events('request', action => 'CheckVerification'); }
sub logged { return PostgreSQL::Test::Utils::slurp_file($node->logfile, $_[0]); }

# The row as words, or the SQLSTATE.
sub row
{
	my ($by, $sql) = @_;
	my $result = $by->query($sql);

	return $result->failed ? $result->sqlstate : join ' ', map { $result->row->{$_} // '-' } $result->columns;
}

# --- who is a member: a verification without a message looks like any other

# The requests for a wrong code after so many messages.
sub checks_after_resends
{
	my ($send, $resends) = @_;
	my $v = $server->begin('FA1', send => $send, wait => $send eq 'true');

	Pnvs::Simulator::wait_until('there is something to check', sub { confirm($v, '999999') eq 'f pending 4 -' });
	$server->resend_sent($v) for 1 .. $resends;
	$service->mark;
	confirm($v, '999998');
	return checks();
}

is(checks_after_resends('false', $_), checks_after_resends('true', $_), "after $_ resends a wrong code takes as many requests, whether messages are sent or not") for 0 .. 3;

# The searches for a code that comes again after its answer was lost.
sub searches_after_loss
{
	my ($send) = @_;
	my $v = $server->begin('sim-check:first:1:close', send => $send, wait => $send eq 'true');

	Pnvs::Simulator::wait_until('there is something to check', sub { confirm($v, '999999') eq '38V02' });
	$service->mark;
	confirm($v, '999999');
	return scalar $service->events('request', action => 'SearchVerification');
}

is(searches_after_loss('true'), 1, 'a code whose answer was lost is asked for when it comes again');
is(searches_after_loss('false'), 1, 'whether messages are sent or not');

{
	my $key = "session_key => 'an-unguessable-key'";
	my $number = Pnvs::Queue::new_number();
	my $begin = "SELECT * FROM begin_verification('$number', service_sid => 'FA1', $key";
	my $sent = $session->run("$begin)")->row;
	my $unsent;

	$server->wait_sent({ id => $sent->{id}, number => $number });
	$server->let_resend($sent->{id});
	$service->mark;
	$unsent = $session->run("$begin, send => false)")->row;
	isnt($unsent->{id}, $sent->{id}, 'send => false does not go on with a verification that sends');
	is($session->value("SELECT state FROM phone_verification_status('$sent->{id}')"), 'canceled', 'which it cancels');
	is($session->value("SELECT bool_and(state = 'canceled') FROM pnvs_internal.queue WHERE phone_verification = '$unsent->{id}'"), 't', 'so no message goes out');
	is($session->run("$begin, send => false)")->row->{id}, $unsent->{id}, 'it goes on with one that does not send');
}

# Whether another session can begin for a number that a session has begun for and given up
# before its message went out.
sub begins_after_giving_up
{
	my ($send, $give_up) = @_;
	my $number = Pnvs::Queue::new_number();
	my $key = "session_key => 'session of $number'";
	my $id = $session->value("SELECT id FROM begin_verification('$number', service_sid => 'FA1', send => $send, $key)");

	is($session->value("SELECT state FROM phone_verification_status('$id')"), 'pending', 'a session begins');
	$session->run($give_up->($id, $key));
	is($session->value("SELECT state FROM phone_verification_status('$id')"), 'canceled', 'and gives up');
	return row($session, "SELECT state, refused FROM begin_verification('$number', service_sid => 'FA1', send => $send)");
}

$server->configure('pnvs.worker' => 'off', 'pnvs.limits' => 'number 1/30s');
for my $way (
	[ 'by another number', sub { "SELECT begin_verification('@{[Pnvs::Queue::new_number()]}', service_sid => 'FA1', $_[1])" } ],
	[ 'by a cancel', sub { "SELECT cancel_phone_verification('$_[0]')" } ])
{
	my ($how, $give_up) = @$way;

	is(begins_after_giving_up('false', $give_up), 'refused too_many', "given up $how: another session has to wait");
	is(begins_after_giving_up('true', $give_up), 'refused too_many', 'whether messages are sent or not');
}
$server->configure('pnvs.worker' => undef, 'pnvs.limits' => undef);

# The same, if its codes are used up before another message went out.
for my $send ('false', 'true')
{
	my $v = $server->begin('FA1', send => $send, wait => $send eq 'true');
	my $code = sub { return Pnvs::Confirm::wrong($v, $_[0]) };

	Pnvs::Simulator::wait_until('there is something to check', sub { confirm($v, $code->(1)) eq 'f pending 4 -' });
	$server->configure('pnvs.worker' => 'off', 'pnvs.limits' => 'number 1/30s');
	$server->let_resend($v->{id});
	$server->resend($v->{id});
	confirm($v, $code->($_)) for 2 .. 5;
	is($session->value("SELECT state FROM phone_verification_status('$v->{id}')"), 'max_tries', 'a session guesses beside a second message');
	is(row($session, "SELECT state, refused FROM begin_verification('$v->{number}', service_sid => 'FA1', send => $send)"), 'refused too_many',
		"and another has to wait (send => $send)");
	$server->configure('pnvs.worker' => undef, 'pnvs.limits' => undef);
}

# --- half an ID is not in pg_locks, which everybody may read

{
	my $v = $server->begin('sim-check:held:code');
	my $other = $server->connect;
	my ($half) = $v->{id} =~ /\A(.{8})-/;
	my $reversed = join '', reverse $half =~ /../g;

	$other->send("SELECT confirm_verification('$v->{id}', '999999')");
	Pnvs::Simulator::wait_until('a code is being checked', sub { $server->locks == 1 });
	is($session->value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND lpad(to_hex(classid::bigint), 8, '0') IN ('$half', '$reversed')"), 0,
		'the lock of a check tells nothing of the ID');
	$service->release('code');
	$other->result;
}

# --- a decoy of a test number asks the service no more than another does

{
	my @of = map { $server->begin('FA1', number => '6590000001', send => $_, wait => $_ eq 'true') } qw(true false);

	Pnvs::Simulator::wait_until('both are a second old', sub { !grep { confirm($_, '000000') ne 'f pending 4 -' } @of[1, 0] });
	$service->mark;
	is(join(' ', map { confirm($_, '000001') } @of), 'f pending 3 - f pending 3 -', 'the answers are alike');
	is(scalar $service->events('request', action => 'CheckVerification'), 0, 'without a request');
	$session->run("SELECT unblock_phone_number('6590000001')");
}

# --- memory is not filled by codes that are not checked

{
	my $number = '6590000001';

	# the number has no try left; there is room for 4096 verifications
	confirm($server->begin('FA1', number => $number), '000000') for 1 .. 10;
	$session->run("CREATE TABLE begun AS SELECT (begin_verification('$number', service_sid => 'FA1', reference => i::text)).id FROM generate_series(1, 5000) i");
	Pnvs::Simulator::wait_until('the messages are sent', sub { $session->value("SELECT count(*) FROM pnvs_internal.queue WHERE settled_at IS NULL") == 0 });
	is($session->value('SELECT count(retry_after) FROM (SELECT (confirm_verification(id, \'000000\')).* FROM begun) c'), 5000, 'a number without a try has no code checked');
	my $v = $server->begin('FA1');
	is(confirm($v, $v->{code}), 't approved 5 -', 'codes that were not checked take no memory from others');
}

# --- nothing gets into the log: PostgreSQL's own errors and lines while a session waits

{
	my $holder = $server->connect;
	my $waiter = $server->connect;
	my $end = -s $node->logfile;
	my $number = Pnvs::Queue::new_number();
	my $begin = "SELECT begin_verification('$number', session_key => 'a-secret-of-the-session', service_sid => 'FA1')";
	my $enqueue = "SELECT enqueue_verification('SMS', '$number', 'FA1', dedup_key => 'a-secret-of-the-session')";
	my $v = $server->begin('FA1');
	my $resend = "SELECT resend_verification('$v->{id}')";
	my $cancel = "SELECT cancel_phone_verification('$v->{id}')";
	my $erase = "SELECT erase_phone_number('$v->{number}')";

	$session->run("SELECT 1");
	$holder->run("BEGIN; $begin; $enqueue; $resend");
	$holder->run("SELECT id FROM pnvs_internal.phone_verification WHERE id = '$v->{id}' FOR UPDATE");
	$waiter->run("SET lock_timeout = '200ms'");
	is($waiter->query($_)->sqlstate, '55P03', 'a wait ends by lock_timeout: ' . (/(\w+)\(/)[0]) for $begin, $enqueue, $resend, $cancel, $erase;
	$holder->run('ROLLBACK');
	like(logged($end), qr/lock timeout/, 'the log says so');
	unlike(logged($end), qr/a-secret-of-the-session/, 'without a key of a session');
	unlike(logged($end), qr/$number|$v->{number}/, 'a number');
	unlike(logged($end), qr/$v->{id}/, 'or an ID');
}

{
	my $holder = $server->connect;
	my $waiter = $server->connect;
	my $end = -s $node->logfile;

	$holder->run('BEGIN; LOCK pnvs_internal.queue, pnvs_internal.phone_verification');
	$waiter->run("SET lock_timeout = '200ms'");
	is($waiter->query($_)->sqlstate, '55P03', 'a direct check waits no longer: ' . (/(\w+)\(/)[0])
	  for "SELECT check_queued_verification('284413', 1, '+6281555555555')", "SELECT check_verification('284413', 'id/of+the/service', '+6281555555555')";
	$holder->run('ROLLBACK');
	like(logged($end), qr/lock timeout/, 'the log says so, too');
	unlike(logged($end), qr/284413|81555555555|id.of.the.service/, 'without code, number or ID');
}

# A deadlock's DETAIL for the log has the statements of all who wait.
{
	my @session = map { $server->connect } 1, 2;
	my $end = -s $node->logfile;
	my $begin = sub { "SELECT begin_verification('" . Pnvs::Queue::new_number() . "', session_key => 'secret-of-session-$_[0]', service_sid => 'FA1')" };

	$session[$_]->run('BEGIN; ' . $begin->($_)) for 0, 1;
	$session[$_]->send($begin->(1 - $_)) for 0, 1;
	is(join(' ', sort map { $_->result->sqlstate } @session), ' 40P01', 'of two that wait for each other one ends');
	$_->close for @session;
	like(logged($end), qr/deadlock detected/, 'the log says so');
	unlike(logged($end), qr/secret-of-session/, 'without the statements');
}

{
	my @session = map { $server->connect } 0, 1;
	my @v = map { $server->begin('FA1') } 0, 1;
	my $end = -s $node->logfile;
	my $confirm = sub { "SELECT confirm_verification('$v[$_[0]]{id}', '88888$_[1]')" };

	$session[$_]->run('BEGIN; ' . $confirm->($_, 0)) for 0, 1;
	$session[$_]->send($confirm->(1 - $_, 1)) for 0, 1;
	is(join(' ', sort map { $_->result->sqlstate } @session), ' 40P01', 'so do two that confirm');
	$_->close for @session;
	like(logged($end), qr/deadlock detected/, 'which the log says');
	unlike(logged($end), qr/88888|$v[0]{id}|$v[1]{id}/, 'without codes and IDs');
}

# --- rows without an approval

{
	my $approval = Pnvs::Approval->new($session);
	my $number = Pnvs::Approval::new_number();
	my $id = $approval->approve($number, state => 'pending');

	$session->run('CREATE TABLE members (phone text, verification_id uuid, name text)');
	$session->run('CREATE CONSTRAINT TRIGGER verified AFTER INSERT OR UPDATE OR DELETE ON members DEFERRABLE FOR EACH ROW'
		  . " EXECUTE FUNCTION require_verification('phone', 'verification_id')");
	$session->run('CREATE ROLE writer LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON members TO writer');
	my ($code, $out, $err) = $node->psql('postgres', <<"SQL", extra_params => [ '-U', 'writer' ]);
\\set ON_ERROR_STOP on
\\set VERBOSITY sqlstate
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
TRUNCATE members;
COPY members FROM STDIN (FREEZE);
$number	$id	x
\\.
UPDATE members SET name = 'y';
COMMIT;
SQL
	like($err, qr/23514/, 'a frozen row of the same transaction is checked as any other');
	is($session->value('SELECT count(*) FROM members'), 0, 'so it is not there');
}

# --- an approval is not hidden by wrong codes that come too late

{
	my $v = $server->begin('FA1');

	confirm($v, $v->{code});
	$session->run("UPDATE pnvs_internal.phone_verification SET expires_at = now() WHERE id = '$v->{id}'");
	is(confirm($v, Pnvs::Confirm::wrong($v)), 'f approved 5 -', 'after the expiry a wrong code does not say that the approval has expired');
	is($session->value("SELECT use_verification('$v->{id}')"), "+$v->{number}", 'for it can be used');
}

# --- a service that says yes in another way than it should

for my $yes (qw(approved-other approved-nophone status-upper success-false-approved redirect:307 nomodel dup successstring echo:600))
{
	my $v = $server->begin("sim-check:$yes");
	my $result = confirm($v, Pnvs::Confirm::wrong($v));

	unlike($result, qr/\At/, "$yes approves no code");
	is($server->verification($v)->{state}, 'pending', 'nor does the row say so');
	is($session->value("SELECT use_verification('$v->{id}')"), undef, 'and there is nothing to use');
}

{
	my @v = map { $server->begin($_, wait => 0) } 'sim-start:longid:100000', 'FA1';

	$server->wait_sent($v[1]);
	is(confirm($v[1], $v[1]{code}), 't approved 5 -', 'an ID of 100,000 characters does not hold up the messages of others');
	$server->wait_sent($v[0]);
	unlike(confirm($v[0], '999999'), qr/\At/, 'and approves nothing');
}

# --- arguments that a stranger chooses

{
	my $v = $server->begin('FA1');
	my $long = "repeat('1', 1000000)";
	my $there = $session->pid;
	my $ascii;

	is(row($session, "SELECT refused FROM begin_verification($long, service_sid => 'FA1')"), 'not_a_number', 'a number of a million digits is none');
	is(row($session, "SELECT * FROM confirm_verification('$v->{id}', $long)"), 'f pending 5 -', 'such a code is no try');
	is(row($session, "SELECT state FROM begin_verification('$v->{number}1', session_key => $long, service_sid => 'FA1')"), '22023', 'such a cookie is an error');
	is(row($session, "SELECT use_verification('$v->{id}', $long)"), '-', 'such a purpose is another');
	is(row($session, "SELECT * FROM resend_verification('$v->{id}', $long)"), '22023', 'such a channel is an error');
	is(row($session, "SELECT state FROM begin_verification('$v->{number}1', $_, service_sid => 'FA1')"), '22023', "no channels: $_")
	  for "'{}'", "'{NULL}'", "array_fill('SMS'::text, '{100,100}')", "'{{SMS,SMS}}'", 'ARRAY[]::text[]';
	is(row($session, "SELECT * FROM confirm_verification('$_', '123456')"), 'f - - -', "$_ is unknown") for map { join '-', map { $_ } substr($_ x 8, 0, 8), $_ x 4, $_ x 4, $_ x 4, $_ x 12 } 0, 'f';
	is(row($session, 'SELECT pg_backend_pid()'), $there, 'the server lives');

	$session->run("CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'");
	$ascii = Pnvs::Session->new($node, dbname => 'ascii');
	$ascii->run('CREATE EXTENSION pnvs');
	is(row($ascii, "SELECT refused FROM begin_verification(E'+62\\xff\\xfe812345678', service_sid => 'FA1')"), 'not_a_number', 'bytes of no encoding are no number');
	my $id = $ascii->value("SELECT id FROM begin_verification('$v->{number}', service_sid => 'FA1', purpose => E'\\xff', session_key => E'\\xff0123456789abcdef')");
	is(row($ascii, "SELECT * FROM confirm_verification('$id', E'\\xff\\xfe12')"), 'f pending 5 -', 'and no code');
	is(row($ascii, "SELECT use_verification('$id', E'\\xff')"), '-', 'nor is anything approved');
	like(row($ascii, "SELECT count(*) FROM verification_history('$v->{number}')"), qr/\A[1-9]/, 'the history shows them');
	$ascii->close;
}

# --- memory that is full, of which there is none for those that come later

{
	my $v = $server->begin('FA1');

	$server->reload('pnvs.limits' => '');
	$session->run("SELECT confirm_verification(id, '000000') FROM begun");
	$service->mark;
	is(confirm($v, $v->{code}), 'f pending 5 60', 'a code that could not be counted is not checked');
	is(checks(), 0, 'nor is the service asked');
}

$session->close;
$node->stop('fast');
done_testing();
