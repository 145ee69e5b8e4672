# Direct calls under the limits of the guard: which of them take places, and keep them,
# whatever becomes of the call, its transaction and its session; and checks of codes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(min);
use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Guard;
use Pnvs::Server;
use Pnvs::Session;
use Pnvs::Simulator qw(wait_until);

$PostgreSQL::Test::Utils::timeout_default = min($PostgreSQL::Test::Utils::timeout_default, 60);

my $service = Pnvs::Simulator->new;
my $guard = Pnvs::Guard->new($service, 'guard', conf => <<'CONF');
pnvs.limits = 'number 3/1h'
pnvs.breaker = ''
pnvs.connect_timeout = 60000
pnvs.request_timeout = 60000
restart_after_crash = on
CONF
my $node = $guard->node;
my $session = $guard->session;
my $controller = $guard->connect;

# A direct call in a statement of one's own.
sub call { return 'SELECT * FROM ' . Pnvs::Guard::start_sql(@_); }

# Does something with a number of its own; how much room is left of 3.
sub room_after
{
	my ($do) = @_;
	my $number = $guard->new_number;

	$do->($number);
	return $guard->room($number);
}

# --- the limit, and what its error says

my $number = $guard->new_number;
is($guard->start($number)->row->{success}, 't', 'a message below the limit is sent') for 1 .. 3;
$session->run('SET client_min_messages = log');
my $result = $guard->start($number);
is($result->sqlstate, '38V03', 'the next is refused');
is(join(' ', map { $_->{M} } $result->notices), '', 'what the log says of it is not for the caller, who may ask for such messages');
ok($guard->logged(qr/LOG:  pnvs refuses messages by the rule "number 3\/1h"/) == 1, 'the log names the rule');
$session->run('RESET client_min_messages');
like($result->detail, qr/\Asent=no limit=number retry_after=(?:3[56]\d\d)\b/, 'the DETAIL has the scope, and the seconds to wait');
like($result->hint, qr/\bin (?:1 hour|59:\d\d)\b/, 'the HINT has them in words');
unlike(join(' ', $result->message, $result->detail, $result->hint, $result->context), qr/$number|15\d{4,}/, 'the error holds no number');
is($service->count('sent', to => $number), 3, 'the service sent three messages');
is($service->count('request'), 3, 'and was not asked for another');

# --- what keeps its place

is(room_after(sub { $session->run('BEGIN'); $session->run(call($_[0])); $session->run('ROLLBACK') }),
	2, 'a direct call keeps its place after ROLLBACK');
is(room_after(sub { $session->run('BEGIN; SAVEPOINT s'); $session->run(call($_[0])); $session->run('ROLLBACK TO s; COMMIT') }),
	2, 'and after ROLLBACK TO SAVEPOINT');
is(room_after(sub {
			$session->run(<<"SQL") }), 2, 'and in a block of PL/pgSQL that raises');
DO \$\$
BEGIN
	PERFORM FROM start_verification('SMS', '$_[0]', 'FA1');
	RAISE EXCEPTION 'x';
EXCEPTION WHEN raise_exception THEN
	NULL;
END
\$\$
SQL
is(room_after(sub {
			$session->run('BEGIN');
			$session->run("DECLARE c CURSOR FOR SELECT start_verification('SMS', '$_[0]', 'FA' || n) FROM generate_series(1, 3) n");
			$session->run('FETCH 2 FROM c');
			$session->run('ROLLBACK');
		}), 1, 'a cursor takes a place for each row that was fetched');
is(room_after(sub { $session->run('SELECT (' . Pnvs::Guard::start_sql($_[0]) . ').*') }),
	2, 'a call that one statement repeats takes one place');
is(room_after(sub { $session->query(call($_[0], service_sid => 'sim:close')) }),
	2, 'a call whose reply is lost keeps its place');
is(room_after(sub { $session->query(call($_[0], service_sid => 'sim:code-sent:InternalError:500')) }),
	2, 'and so does a message of which the service does not know itself');
is(room_after(sub {
			$session->run('SET pnvs.request_timeout = 500');
			is($session->query(call($_[0], service_sid => 'sim:hang'))->sqlstate, '38V02', 'a call times out after it was written');
			$session->run('RESET pnvs.request_timeout');
		}), 2, 'and keeps its place');

# --- what gives it back, once

sub with_setting
{
	my ($name, $value, $do) = @_;

	$session->run("SET $name = '$value'");
	$do->();
	$session->run("RESET $name");
	return;
}

for my $refusal ('sim:code-sent:Undocumented.Code:400', 'sim:code-sent:Undocumented.Code:200', 'sim:successfalse')
{
	is(room_after(sub { $session->run(call($_[0], service_sid => $refusal)) }),
		2, "what the service refuses by $refusal may have been sent, and keeps its place");
}
for my $refusal ('sim:code:INVALID_PARAMETERS:200', 'sim:throttled:1000', 'sim:skewalways')
{
	is(room_after(sub { $session->run(call($_[0], service_sid => $refusal)) }),
		3, "what the service refuses by $refusal gives its place back");
}
is(room_after(sub {
			my ($number) = @_;

			with_setting('pnvs.on_failure', 'error',
				sub { is($session->query(call($number, service_sid => 'sim:code:INVALID_PARAMETERS:200'))->sqlstate, '38V04', 'a refusal is an ERROR') });
		}), 3, 'and gives its place back');
for my $fault (qw(refused tls_alert tls_expired))
{
	is(room_after(sub {
				my ($number) = @_;

				with_setting('pnvs.endpoint', $service->endpoint($fault),
					sub { is($session->query(call($number))->sqlstate, '38V01', "a call fails at the port $fault") });
			}), 3, 'and gives its place back');
}
is(room_after(sub {
			my ($number) = @_;

			with_setting('pnvs.access_key_id', '', sub { is($session->query(call($number))->sqlstate, 'F0000', 'a call has no credentials') });
		}), 3, 'a call without credentials takes no place');
is(room_after(sub {
			$guard->start($_[0]);
			$session->run(call($_[0], service_sid => 'sim:code:INVALID_PARAMETERS:200')) for 1 .. 5;
		}), 2, 'a place is given back by the call that took it, and no other');

# --- calls that are ended from outside

# Lets a call of a session hang, and ends it; the room that is left.
my %stage = (
	connect => { endpoint => $service->endpoint('connect_stall'), service_sid => 'FA1', left => 3 },
	tls => { endpoint => $service->endpoint('tls_stall'), service_sid => 'FA1', left => 3 },
	reply => { endpoint => $service->endpoint, service_sid => 'sim:hang', left => 2 },
	body => { endpoint => $service->endpoint, service_sid => 'sim:drip:20', left => 2 });

sub hang_at
{
	my ($stage, $number) = @_;
	my $victim = $guard->connect;

	$service->mark;
	$victim->run("SET pnvs.endpoint = '$stage{$stage}{endpoint}'");
	$victim->send(call($number, service_sid => $stage{$stage}{service_sid}));
	wait_until("a call hangs at $stage", sub {
			$controller->value("SELECT count(*) FROM pg_stat_activity WHERE pid = @{[$victim->pid]} AND state = 'active' "
				  . "AND wait_event_type = 'Extension'") == 1
			  && ($stage{$stage}{left} == 3 || $service->count('request', action => 'StartVerification'));
		});
	return $victim;
}

for my $stage (sort keys %stage)
{
	for my $end (qw(cancel terminate))
	{
		is(room_after(sub {
					my ($number) = @_;
					my $victim = hang_at($stage, $number);

					$controller->run("SELECT pg_${end}_backend(@{[$victim->pid]})");
					is($victim->result->sqlstate, $end eq 'cancel' ? '57014' : '57P01', "$end at $stage ends the call");
				}), $stage{$stage}{left}, "$end at $stage: the place is " . ($stage{$stage}{left} == 3 ? 'given back' : 'kept'));
	}
	is(room_after(sub {
				my ($number) = @_;

				with_setting('pnvs.endpoint', $stage{$stage}{endpoint}, sub {
						$session->run('SET statement_timeout = 400');
						is($session->query(call($number, service_sid => $stage{$stage}{service_sid}))->sqlstate,
							'57014', "statement_timeout at $stage ends the call");
						$session->run('RESET statement_timeout');
					});
			}), $stage{$stage}{left}, "statement_timeout at $stage: the place is " . ($stage{$stage}{left} == 3 ? 'given back' : 'kept'));
}

# A trapped cancel leaves the transaction, and so nothing else would give it back.
is(room_after(sub {
			my ($number) = @_;

			with_setting('pnvs.endpoint', $service->endpoint('connect_stall'), sub {
					$session->run('SET statement_timeout = 400');
					$session->run(<<"SQL");
DO \$\$
BEGIN
	PERFORM FROM start_verification('SMS', '$number', 'FA1');
EXCEPTION WHEN query_canceled THEN
	NULL;
END
\$\$
SQL
					$session->run('RESET statement_timeout');
				});
		}), 3, 'a cancel that PL/pgSQL traps gives the place back');

# --- who shares a limit

$session->run('CREATE DATABASE elsewhere');
$session->run('CREATE ROLE shop LOGIN; GRANT EXECUTE ON FUNCTION start_verification, check_verification TO shop');
my $shop = $guard->connect(user => 'shop');
my $elsewhere = $guard->connect(dbname => 'elsewhere');
$elsewhere->run('CREATE EXTENSION pnvs');

$number = $guard->new_number;
$guard->start($number);
$guard->start($number, session => $shop);
$guard->start($number, session => $elsewhere);
is($guard->room($number, session => $_->[1]), 0, "a number's limit is the whole server's: $_->[0] finds none left")
  for [ 'the same session', $session ], [ 'another role', $shop ], [ 'another database', $elsewhere ];

$guard->reload('pnvs.limits' => 'key 2/1h');
my $key = "rate_key => '192.0.2.1'";
is(scalar(grep { !$guard->start($guard->new_number, more => $key)->failed } 1 .. 4), 2, 'a key has places of its own');
like($guard->start($guard->new_number, more => $key)->detail, qr/\Asent=no limit=key /, 'the DETAIL names the scope');
is(scalar(grep { !$guard->start($guard->new_number, more => $key, session => $shop)->failed } 1 .. 4),
	2, 'another role has the same key for itself');
is(scalar(grep { !$guard->start($guard->new_number, more => $key, session => $elsewhere)->failed } 1 .. 4),
	2, 'and so has another database');
is(scalar(grep { !$guard->start($guard->new_number)->failed } 1 .. 4), 4, 'a message without a key is not counted');
is(scalar(grep { !$guard->start($guard->new_number, more => "rate_key => '2001:db8:1:2::$_'")->failed } 1 .. 4),
	2, 'of an IPv6 address its /64 counts');
is(scalar(grep { !$guard->start($guard->new_number, more => "rate_key => '2001:db8:1:$_\::1'")->failed } 3 .. 6),
	4, 'and others are others');

# Both have the same last four digits before theirs.
$guard->reload('pnvs.limits' => 'number 2/1h, prefix 3/1h');
my @neighbour = map { "62817777000$_" } 1 .. 5;
is(join(' ', map { $guard->start($_)->sqlstate || 'sent' } @neighbour), 'sent sent sent 38V03 38V03', 'numbers of one prefix share its places');
like($guard->start($neighbour[4])->detail, qr/\Asent=no limit=prefix /, 'the DETAIL names the scope');
is($guard->room($neighbour[4], more => 'trusted => true'), 2, 'a trusted message is let through, as far as its number goes');
is($guard->room($neighbour[3], more => 'trusted => NULL'), 0, 'a message of which nobody knows is not trusted');
$number = $guard->new_number;
is($guard->room($number), 2, 'a number has places');
is($guard->room($number, more => 'trusted => true'), 2, 'and as many again for trusted messages');

# All scopes are judged before any is taken.
$number = '6281788880001';
$guard->reload('pnvs.limits' => 'number 1/1h, prefix 2/1h');
is($guard->room($number), 1, 'a number is used up');
$guard->start($number) for 1 .. 5;
is($guard->room('6281788880002'), 1, 'what the number refuses takes no place of its prefix');

# --- what is no limit

$guard->reload('pnvs.channels' => 'SMS', 'pnvs.limits' => 'number 3/1h');
$result = $guard->start($guard->new_number, channel => 'VOICE');
is($result->sqlstate, '38V03', 'a channel that may not be used is refused');
like($result->detail, qr/\Asent=no limit=channel\s*\z/, 'for good');
$guard->reload('pnvs.channels' => undef, 'pnvs.countries' => 'SG');
$result = $guard->start($guard->new_number);
is($result->sqlstate, '38V03', 'a country that may not be sent to is refused');
like($result->detail, qr/\Asent=no limit=country\s*\z/, 'for good');
$guard->reload('pnvs.countries' => undef, 'pnvs.sending' => 'off');
$result = $guard->start($number = $guard->new_number);
is($result->sqlstate, '38V03', 'a direct call is refused while nothing is sent');
like($result->detail, qr/\Asent=no limit=off\s*\z/, 'and says so');
$guard->reload('pnvs.sending' => undef);
is($guard->room($number), 3, 'none of these takes a place');

# --- observe

$guard->reload('pnvs.limits_mode' => 'observe');
$number = $guard->new_number;
is(scalar(grep { !$guard->start($number)->failed } 1 .. 5), 5, 'in the mode observe a limit refuses nothing');
$guard->reload('pnvs.limits_mode' => undef, 'pnvs.limits' => 'number 5/1h');
is($guard->room($number), 2, 'and what it would have refused has taken no place');

# --- approvals

my ($id, $code);

# The verification of the number's last message, and its code.
sub last_sent
{
	my ($number) = @_;
	my @sent = $service->events('sent', to => $number);

	return @{ $sent[-1] }{qw(verification_id code)};
}

sub check
{
	my ($number, $code, $id, %param) = @_;
	my $to = $param{to} // "'$number'";
	my $service_sid = $param{service_sid} // 'FA1';

	return ($param{session} // $session)->query("SELECT * FROM check_verification('$code', '$id', $to, '$service_sid')");
}

my $armed = qr/the breakers of pnvs are armed/;
my $TEST_NUMBER = '6590000001';
my $until = $session->value("SELECT (CURRENT_DATE + 10)::text");
$service->unmark;
$guard->reload(
	'pnvs.limits' => 'number unapproved 2/1h',
	'pnvs.breaker' => 'country 50/1h 20% 1h',
	'pnvs.test_numbers' => "$TEST_NUMBER=123456 until $until");
$id = $guard->start($TEST_NUMBER)->row->{verification_id};
is(check($TEST_NUMBER, '123456', $id)->row->{approved}, 't', 'the code of a test number is approved');
is($guard->logged($armed), 0, 'and arms no breaker: the service has approved nothing');
$guard->reload('pnvs.test_numbers' => undef);
for my $way ([ 'with "to"' ], [ 'without "to"', to => 'NULL' ])
{
	my ($what, %param) = @$way;

	$number = $guard->new_number;
	$guard->start($number);
	$result = check($number, reverse(last_sent($number)), %param);
	is($result->row->{approved}, 't', "a check $what approves");
	is($guard->room($number), 2, 'and gives the place of the number\'s message back');
}
$number = $guard->new_number;
$guard->start($number);
$session->run('BEGIN');
check($number, reverse last_sent($number));
$session->run('ROLLBACK');
is($guard->room($number), 2, 'so does a check that is rolled back');
is($guard->logged($armed), 1, 'the service has approved a code, so the breakers are armed');
$number = $guard->new_number;
$guard->start($number) for 1 .. 2;
check($number, reverse last_sent($number));
check($number, reverse last_sent($number));
is($guard->room($number), 1, 'an approval is one message\'s, however often it is repeated');
for my $scenario (qw(approved-other approved-nophone))
{
	$number = $guard->new_number;
	$guard->start($number);
	is(check($number, '123456', 'VE1', service_sid => "sim:$scenario")->row->{approved}, 'f', "$scenario is not approved");
	is($guard->room($number), 1, 'and gives no place back');
}
$number = $guard->new_number;
$guard->start($number);
is(check($number, '123456', 'VE1', service_sid => 'sim:approved-nophone', to => 'NULL')->row->{approved}, 't', 'the service names no number');
is($guard->room($number), 1, 'and gives no number its place back');

# --- tries

$guard->reload('pnvs.limits' => 'tries 3/1h');

# A message's verification, with the code.
sub verification
{
	my ($number) = @_;

	$guard->start($number);
	$service->unmark;
	return last_sent($number);
}

# How many wrong codes of a verification the service is asked about, of five.
sub tries_left
{
	my ($number, %param) = @_;
	my $id = $param{id} // (verification($number))[0];

	$service->mark;
	check($number, '000000', $id, %param) for 1 .. 5;
	return $service->count('request', action => 'CheckVerification');
}

$number = $guard->new_number;
($id, $code) = verification($number);
is(tries_left($number, id => $id), 3, 'three wrong codes for a number are checked');
$result = check($number, $code, $id);
is($result->sqlstate, '38V03', 'then none is, not even a right one');
like($result->detail, qr/\Asent=no limit=tries retry_after=\d+/, 'the DETAIL says for how long');
is(tries_left($number), 0, 'nor one of another verification of the number');
is(check($number, '000000', $id, session => $_->[1])->sqlstate, '38V03', "nor in $_->[0]")
  for [ 'another role', $shop ], [ 'another database', $elsewhere ];
is(tries_left($number, id => $id, to => 'NULL'), 3, 'without "to" the verification has tries of its own');
is(tries_left($number, to => 'NULL'), 3, 'each verification for itself');

$number = $guard->new_number;
is(tries_left($number, service_sid => 'sim-check:code:INVALID_PARAMETERS:200'), 3, 'a code that the service refuses by another name is a try, too');

# A search with a code tells whether that is right.
{
	my $number = $guard->new_number;
	my ($id, $code) = verification($number);
	my $search = sub { $session->query("SELECT * FROM search_verification($_[0])") };

	is($search->(qq("to" => '$number', code => '00000$_'))->sqlstate, $_ <= 3 ? '' : '38V03', "search $_ with a code is a try of the number") for 1 .. 4;
	is(check($number, $code, $id)->sqlstate, '38V03', 'so is a check after it');
	is($search->(qq("to" => '$number'))->sqlstate, '', 'a search without a code is none');
	is($search->(qq(verification_id => '$id', code => '00000$_'))->sqlstate, $_ <= 3 ? '' : '38V03', "search $_ by ID is a try of the ID") for 1 .. 4;
	is($search->(qq(code => '$code'))->sqlstate, '22023', 'a search of all numbers by a code is refused');
}

# Something happens to a check of a number; how many wrong codes are left of 3.
sub tries_after
{
	my ($do) = @_;
	my $number = $guard->new_number;
	my ($id, $code) = verification($number);

	$do->($number, $id, $code);
	return tries_left($number);
}

is(tries_after(sub { my ($number, $id, $code) = @_; check($number, $code, $id) for 1 .. 5 }), 3, 'a right code is no wrong one');
for my $scenario ('code:InvalidAccessKeyId.NotFound:403', 'throttled:1000')
{
	is(tries_after(sub { check($_[0], '000000', $_[1], service_sid => "sim:$scenario") for 1 .. 5 }),
		3, "nor is a code that the service has not judged ($scenario)");
}
is(tries_after(sub {
			my ($number, $id) = @_;

			with_setting('pnvs.endpoint', $service->endpoint('refused'), sub { check($number, '000000', $id) for 1 .. 5 });
		}), 3, 'nor is a code that was not sent');
is(tries_after(sub { check($_[0], '000000', $_[1], service_sid => "sim:code:$_") }), 2, "a refusal that may mean a wrong code is a try ($_)")
  for 'Undocumented.Code:400', 'MOBILE_NUMBER_ILLEGAL:200';
is(tries_after(sub { check($_[0], '000000', 'VE1') }), 2, 'and so is a code of a verification that the service does not know');
is(tries_after(sub { check($_[0], '000000', $_[1], service_sid => 'sim:close') }), 2, 'and so is a check without a reply');
is(tries_after(sub { check($_[0], '000000', $_[1], service_sid => 'sim:approved-other') }), 2, 'and a code of another number');
is(tries_after(sub {
			$session->run('BEGIN');
			check($_[0], '000000', $_[1]);
			$session->run('ROLLBACK');
		}), 2, 'ROLLBACK restores no try');
is(tries_after(sub { $session->run("SELECT (check_verification('000000', '$_[1]', '$_[0]', 'FA1')).*") }),
	2, 'a check that one statement repeats is one try');
$guard->reload('pnvs.limits_mode' => 'observe');
is(tries_after(sub { }), 3, 'tries are limited in the mode observe, too');
$guard->reload('pnvs.limits_mode' => undef);

# --- without preloading there is no memory to count in

sub unshared
{
	my ($name, $conf) = @_;

	return Pnvs::Session->new($service->new_node($name, conf => $conf));
}

my $unshared = unshared('unshared', "pnvs.limits = 'number 3/1h, tries 3/1h'\n");
$number = $guard->new_number;
for my $statement (call($number), "SELECT check_verification('000000', 'VE1', '$number', 'FA1')",
	"SELECT enqueue_verification('SMS', '$number', 'FA1')")
{
	$result = $unshared->query($statement);
	is($result->sqlstate, 'F0000', "$statement: limits that somebody has set need preloading");
	like($result->hint, qr/shared_preload_libraries/, 'and the HINT says so');
}
$unshared->run('CREATE TABLE member (phone text)');
$unshared->run(q{CREATE TRIGGER verify AFTER INSERT ON member FOR EACH ROW
	EXECUTE FUNCTION enqueue_verification_trigger('SMS', 'phone', 'FA1')});
is($unshared->query("INSERT INTO member VALUES ('$number')")->sqlstate, 'F0000', 'a trigger does not ignore them, either');
is($service->count('sent', to => $number), 0, 'and nothing is sent');
is($guard->connect->run('SELECT 1 AS one')->value, 1, 'the server with a memory is still there');

# --- a crash

my $server = Pnvs::Server->around($node);
$guard->reload('pnvs.limits' => 'number 3/1h');
$number = $guard->new_number;
my $victim = hang_at('reply', $number);
kill KILL => $victim->pid;
wait_until('the server goes down', sub { Pnvs::Server::is_lost($session) });
$session = $server->connect;
$guard->{session} = $session;
my $left = $guard->room($number);
ok($left == 2 || $left == 3, "a crash forgets the last seconds at most: $left of 3 are left");

done_testing();
