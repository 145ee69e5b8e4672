# What the guard counts, by its C interface (test/guard): the time is an argument there, so
# that nothing waits for an interval to end.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Pnvs::Probe;
use Pnvs::Server;
use Pnvs::Session;
use Pnvs::Simulator;

my $PROBE = 'test/guard/guard_probe';
my $FILE = 'pg_stat/pnvs_guard.stat';
my $SPRAYED = 1_000_000;
my $QUEUED = 900_000;
my $SESSIONS = 8;

# A snapshot is written every 8 s.
my $KEPT_S = 10;

my $libraries = Pnvs::Probe::build($PROBE);
my $service = Pnvs::Simulator->new;

# --- a server, and what is asked of it

my ($node, $server, $session, $t0);

# start(NAME, [setting => value...]): a new server, and a session there.
sub start
{
	my ($name, %setting) = @_;
	my $conf = join '', map { "$_ = '$setting{$_}'\n" } sort keys %setting;

	$node = $service->init_node($name, preload => 'shared_preload_libraries', streaming => 1,
		conf => "dynamic_library_path = '$libraries:\$libdir'\nmax_prepared_transactions = 5\nrestart_after_crash = on\n$conf");
	$node->start;
	$server = Pnvs::Server->around($node);
	Pnvs::Probe::install($node, $PROBE);
	connect_again();
	$t0 = $session->value('SELECT now()');
	return;
}

sub connect_again
{
	$session = $server->connect;
	return;
}

# A time, by the seconds since the server was made, or has forgotten everything.
sub at
{
	my ($s) = @_;

	return "'$t0'::timestamptz + '$s s'";
}

# Everything, and what was admitted until now gives nothing back.
sub forget_all
{
	$session->run('SELECT guard_reset(NULL)');
	$t0 = $session->value('SELECT clock_timestamp()');
	return;
}

sub limits
{
	my (%setting) = @_;

	$server->configure($session, map { ("pnvs.$_" => $setting{$_}) } keys %setting);
	return;
}

# A message, by the seconds at which it is asked for; options: channel, due (seconds), key,
# trusted, in (another session).
sub admit
{
	my ($number, $s, %option) = @_;
	my $key = defined $option{key} ? "'$option{key}'" : 'NULL';

	return ($option{in} // $session)->value("SELECT guard_admit('$number', '" . ($option{channel} // 'SMS') . "', " . at($s) . ', '
		  . at($option{due} // $s) . ", $key, " . ($option{trusted} ? 'true' : 'false') . ')');
}

# Whether it is admitted; its place stays taken.
sub is_admitted
{
	my (@message) = @_;

	return admit(@message) =~ /\A\d+\z/ ? 1 : 0;
}

sub give_back
{
	my ($handle, $s) = @_;

	$session->run("SELECT guard_give_back($handle, " . at($s) . ')');
	return;
}

# What has happened under a rule, in words.
sub rule
{
	my ($text) = @_;
	my @name = qw(admitted refused observed approved keys forgotten shared);
	my ($line) = $session->value('SELECT guard_rules()') =~ /^\Q$text\E: (.*)$/m;
	my %value;

	die "there is no rule \"$text\"" unless defined $line;
	@value{@name} = split ' ', $line;
	return \%value;
}

# --- what a rule counts

start('main', 'pnvs.limits' => '', 'pnvs.breaker' => '');
limits(limits => 'number 2/1min, number VOICE 1/10min');
is(join(' ', map { is_admitted('6281200000001', $_) } 0, 1, 2), '1 1 0', 'the third of two messages a minute is refused');
is(admit('6281200000001', 3), 'Local.RateLimited number 57', 'the refusal says the scope and how long to wait');
is(join(' ', map { is_admitted('6281200000001', $_) } 59, 60, 60, 61), '0 1 0 1', 'an interval later there is room again, for each');
is(join(' ', map { is_admitted('6281200000002', $_, channel => 'VOICE') } 0, 61, 599, 600), '1 0 0 1', 'a rule for a channel counts that channel');
is(is_admitted('6281200000002', 70), 1, 'and no other');
is(join(' ', map { is_admitted('6281200000003', 0, due => $_) } 100, 110, 105, 60, 50, 0), '1 1 0 0 1 1', 'a message counts when it is due');
is(join(' ', map { is_admitted('6281200000004', 0, trusted => $_) } 0, 0, 1, 0, 1, 1), '1 1 1 0 1 0', 'trusted messages to a number are counted apart');
limits(limits => 'prefix 2/1h, key 2/1h, country 3/1h, total 5/1h');
is(join(' ', map { is_admitted("6281300000$_", 0) } 100, 200, 300), '1 1 0', 'numbers with the same prefix count together');
is(join(' ', map { is_admitted("6281300000$_", 0, trusted => 1) } 100, 200), '1 1', 'trusted messages do not');
is(join(' ', map { is_admitted("62814${_}0000000", 0) } 1, 2), '1 0', 'numbers of a country count together');
is(join(' ', map { is_admitted("65900000$_", 0) } '01'), '0', 'all of them count for the total');
limits(limits => 'key 2/1h');
is(join(' ', map { is_admitted("4479110000$_", 0, key => $_ % 2 ? '192.0.2.1' : '192.0.2.1/32') } 10, 11, 12), '1 1 0', 'an address is a key, however it is written');
is(join(' ', map { is_admitted("4479110000$_->[0]", 0, key => $_->[1]) } [ 20, '2001:db8::1' ], [ 21, '2001:0DB8:0:0:9::7' ], [ 22, '2001:db8::2%eth0' ], [ 23, '2001:db8:0:1::2' ]), '1 1 0 1', 'of an IPv6 address the network counts');
is(join(' ', map { is_admitted("4479110000$_->[0]", 0, key => $_->[1]) } [ 30, '::ffff:192.0.2.1' ], [ 31, 'device 1' ], [ 32, 'device 1' ], [ 33, 'device 1' ], [ 34, undef ]), '0 1 1 0 1', 'an IPv4 address counts as such; other texts are keys, too; without a key the rules do not apply');
{
	my $role = $session->value('SELECT current_user');

	$session->run('CREATE ROLE another SUPERUSER; SET ROLE another');
	is(is_admitted('447911000040', 0, key => 'device 1'), 1, 'another role has keys of its own');
	$session->run('RESET ROLE');
}

# --- given back

limits(limits => 'number 1/1h, total 1000/1h');
{
	my $handle = admit('6281500000001', 0);

	is(is_admitted('6281500000001', 1), 0, 'while a message has its place, another is refused');
	give_back($handle, 1);
	is(is_admitted('6281500000001', 2), 1, 'a place that is given back is free');
	is(is_admitted('6281500000001', 3), 0, 'for one message');
}

limits(limits => 'prefix 2/1h');
{
	my ($first) = map { admit($_, 0) } '6281500000002', '6281500000003';

	give_back($first, 1);
	is(join(' ', map { is_admitted($_, 1) } '6281500000004', '6281500000005'), '1 0', 'a place is given back once');
}
limits(limits => 'number 1/1h, total 1000/1h');

# What a transaction leaves: whether the number has its place still.
sub is_taken_after
{
	my ($number, @statement) = @_;

	$session->run($_) for @statement;
	return is_admitted($number, 5) ? 0 : 1;
}

# Statements that take a place, which is given back at the abort.
sub queued
{
	my ($number) = @_;

	return "SELECT guard_at_abort(guard_admit('$number', 'SMS', " . at(0) . ', ' . at(0) . ')::integer)';
}

is(is_taken_after('6281510000001', 'BEGIN', queued('6281510000001'), 'COMMIT'), 1, 'COMMIT keeps a place');
is(is_taken_after('6281510000002', 'BEGIN', queued('6281510000002'), 'ROLLBACK'), 0, 'ROLLBACK gives it back');
is(is_taken_after('6281510000003', 'BEGIN', 'SAVEPOINT s', queued('6281510000003'), 'ROLLBACK TO s', 'COMMIT'), 0, 'ROLLBACK TO gives it back');
is(is_taken_after('6281510000004', 'BEGIN', 'SAVEPOINT s', queued('6281510000004'), 'RELEASE s', 'ROLLBACK'), 0, 'so does ROLLBACK after RELEASE');
is(is_taken_after('6281510000005', 'BEGIN', 'SAVEPOINT s', queued('6281510000005'), 'SAVEPOINT u', 'ROLLBACK TO u', 'COMMIT'), 1, 'a savepoint after it does not');
is(is_taken_after('6281510000006', 'BEGIN', 'SAVEPOINT s', 'SAVEPOINT t', queued('6281510000006'), 'RELEASE t', 'SAVEPOINT u', 'RELEASE u', 'ROLLBACK TO s', 'COMMIT'), 0, 'nested savepoints give it back');
is(is_taken_after('6281510000007', 'BEGIN', queued('6281510000007'), "PREPARE TRANSACTION 'p'", "ROLLBACK PREPARED 'p'"), 1, 'PREPARE TRANSACTION makes it final');
is(is_taken_after('6281510000008', "DO \$\$ BEGIN BEGIN PERFORM guard_at_abort(guard_admit('6281510000008', 'SMS', " . at(0) . ', ' . at(0)
		  . ")::integer); RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END; END \$\$"), 0, 'an exception block of PL/pgSQL gives it back');
is(is_taken_after('6281510000009', 'BEGIN', "SELECT guard_admit('6281510000009', 'SMS', " . at(0) . ', ' . at(0) . ')', 'ROLLBACK'), 1, 'a place that nobody asked to give back survives ROLLBACK');
{
	my $other = Pnvs::Session->new($node);

	$other->run($_) for 'BEGIN', queued('6281510000010');
	$session->run('SELECT pg_terminate_backend(' . $other->pid . ')');
	Pnvs::Simulator::wait_until('the place of a session that was ended is free', sub { is_admitted('6281510000010', 5) });
	pass('the end of a session by FATAL gives it back');
}

# A row that is settled: its place is given back at COMMIT.
sub settled
{
	my ($number, @statement) = @_;
	my $handle = admit($number, 0);
	my @with = map { s/SETTLE/SELECT guard_at_commit($handle)/r } @statement;

	return is_taken_after($number, @with);
}

is(settled('6281520000001', 'BEGIN', 'SETTLE', 'COMMIT'), 0, 'the place of a row that is settled is given back at COMMIT');
is(settled('6281520000002', 'BEGIN', 'SETTLE', 'ROLLBACK'), 1, 'not if that is rolled back');
is(settled('6281520000003', 'BEGIN', 'SAVEPOINT s', 'SETTLE', 'ROLLBACK TO s', 'COMMIT'), 1, 'nor if its subtransaction is');
is(settled('6281520000004', 'BEGIN', 'SAVEPOINT s', 'SETTLE', 'RELEASE s', 'COMMIT'), 0, 'a subtransaction that is kept gives it back');
is(settled('6281520000005', 'BEGIN', 'SETTLE', "PREPARE TRANSACTION 'q'", "COMMIT PREPARED 'q'"), 1, 'a prepared transaction gives nothing back');

# Many messages in one transaction; above 32 a limit is a little too strict.
limits(limits => 'total 1000000/1h');
{
	my $used = sub { $session->value("SELECT sum(used_bytes) FROM pg_backend_memory_contexts") };
	my $before = $used->();
	my $grown;

	$session->run('BEGIN');
	is($session->value("SELECT guard_queue($QUEUED, 6285000000000)"), $QUEUED, "a transaction queues $QUEUED messages");
	$grown = $used->() - $before;
	cmp_ok($grown, '<', 40 * $QUEUED, 'which takes at most 40 bytes each');
	note('a message takes ' . $grown / $QUEUED . ' bytes');
	$session->run('ROLLBACK');
	is(is_admitted('6285000000000', 0), 1, 'and its end gives all places back');
}

# --- several sessions

limits(limits => 'number 3/1h, prefix 40/1h, total 90/1h');
forget_all();
{
	my @session = map { Pnvs::Session->new($node) } 1 .. $SESSIONS;
	my $now = at(0);
	my $admitted = 0;

	# Each session sends to the same numbers of three prefixes; some of it is rolled back.
	$session->run(<<~"SQL");
		CREATE FUNCTION sends() RETURNS integer LANGUAGE plpgsql AS
		\$\$
		DECLARE
			taken integer := 0;
			handle text;
		BEGIN
			FOR i IN 1 .. 3000 LOOP
				handle := guard_admit('62816' || (i % 3) || '000' || lpad((i % 50)::text, 4, '0'), 'SMS', $now, $now);
				CONTINUE WHEN handle ~ '[^0-9]';
				IF i % 2 = 0 THEN
					PERFORM guard_give_back(handle::integer, $now);
				ELSE
					taken := taken + 1;
				END IF;
			END LOOP;
			RETURN taken;
		END
		\$\$
		SQL
	$_->send('SELECT sends()') for @session;
	$admitted += $_->result->value for @session;
	is($admitted, 90, "$SESSIONS sessions at once get exactly what the total admits");
	is(rule('total 90/1h')->{admitted} >= 90 ? 1 : 0, 1, 'the counters agree');
	is(is_admitted('6581600000', 1), 0, 'and nobody gets more');
	$_->close for @session;
}

# --- changed rules

forget_all();
limits(limits => 'number 1/1h');
is_admitted('6281700000001', 0);
limits(limits => 'number 2/1h');
is(join(' ', map { is_admitted('6281700000001', $_) } 1, 2), '1 0', 'a raised limit begins with what is remembered');
limits(limits => 'number 3/2h');
is(join(' ', map { is_admitted('6281700000001', $_) } 3, 4), '1 0', 'so does another interval');
limits(limits => 'number 1/1h');
is(is_admitted('6281700000001', 5), 0, 'and a limit that is lower again');
is(rule('number 1/1h')->{admitted}, 1, 'a rule that comes back has its counters');
limits(limits => '');
is(is_admitted('6281700000001', 6), 1, 'without rules everything is admitted');

# --- approvals

limits(limits => 'number unapproved 2/1h');
{
	my ($first, $second);

	$first = admit('6281800000001', 0);
	$second = admit('6281800000001', 1);
	is(is_admitted('6281800000001', 2), 0, 'two messages that nobody has approved block a number');
	$session->run("SELECT guard_approve_latest('6281800000001', " . at(3) . ')') for 1 .. 2;
	is(join(' ', map { is_admitted('6281800000001', $_) } 4, 5), '1 0', 'an approval makes room for one, however often it comes');
	$session->run("SELECT guard_approve($first, " . at(6) . ')') for 1 .. 2;
	is(join(' ', map { is_admitted('6281800000001', $_) } 7, 8), '1 0', 'so does that of an earlier message');
}

# A rule for the number that is over by now says nothing of an earlier message.
forget_all();
limits(limits => 'number 1/30s, total unapproved 2/1h');
{
	my ($first, $second) = map { admit('6281800000002', $_) } 0, 31;

	is(is_admitted('6281800000003', 62), 0, 'two messages that nobody has approved fill the total');
	$session->run("SELECT guard_approve($_, " . at(63) . ')') for $second, $first;
	is(join(' ', map { is_admitted("628180000000$_", 64) } 4, 5, 6), '1 1 0', 'the approval of an earlier one makes room there, whatever the number\'s rules');
}

# Places of one time are kept as one item.
forget_all();
limits(limits => 'total unapproved 200/1h');
$session->run('SELECT guard_spray(200, 6281810000000, 1, ' . at(0) . ', 0)');
$session->run("SELECT guard_approve_latest('6281810000007', " . at(1) . ')') for 1 .. 3;
is(join(' ', map { is_admitted("628182000000$_", 2) } 1, 2), '1 0', 'a second approval of a message approves no other one');

# --- observing

forget_all();
limits(limits => 'number 1/1h', limits_mode => 'observe');
is(join(' ', map { is_admitted('6281900000001', $_) } 0, 1, 2), '1 1 1', 'observe mode refuses nothing');
is(rule('number 1/1h')->{observed}, 2, 'it counts what would have been refused');
$session->run("SELECT guard_approve_latest('6281900000001', " . at(3) . ')');
is(rule('number 1/1h')->{approved}, 1, 'and which of it was approved later');
limits(limits_mode => 'enforce');
is(join(' ', map { is_admitted('6281900000001', $_) } 4, 3600, 3601), '0 1 0', 'what was only observed has taken no place');

# --- wrong codes

sub try_code
{
	my ($number, $id, $s) = @_;

	return $session->value('SELECT guard_try(' . (defined $number ? "'$number'" : 'NULL') . ", '$id', " . at($s) . ')');
}

limits(limits => 'tries 2/1h', limits_mode => 'observe');
is(join(' ', map { try_code('6281900000002', "v$_", $_) =~ /\A\d+\z/ ? 1 : 0 } 0, 1, 2), '1 1 0', 'a number has so many tries, whatever its verifications, also in observe mode');
is(try_code('6281900000002', 'v', 2), 'Local.RateLimited tries 3598', 'the refusal says how long to wait');
{
	my $try = try_code(undef, 'verification', 0);

	is(join(' ', map { try_code(undef, 'verification', $_) =~ /\A\d+\z/ ? 1 : 0 } 1, 2), '1 0', 'without a number the verification has them');
	$session->run("SELECT guard_give_back_try($try, " . at(3) . ')');
	is(join(' ', map { try_code(undef, 'verification', $_) =~ /\A\d+\z/ ? 1 : 0 } 4, 5), '1 0', 'a try that is given back can be used again, once');
}
limits(limits_mode => 'enforce');

# --- unblocked, reset

limits(limits => 'number 1/1h, prefix 3/1h, tries 1/1h');
forget_all();
is_admitted('6282000000001', 0);
try_code('6282000000001', 'v', 0);
$session->run("SELECT guard_unblock('6282000000001')");
is(is_admitted('6282000000001', 1), 1, 'a number that is unblocked can be sent to');
like(try_code('6282000000001', 'v', 1), qr/\A\d+\z/, 'and its code be tried');
is_admitted('6282000000002', 2);
is(is_admitted('6282000000003', 3), 0, 'its prefix is not unblocked');
$session->run("SELECT guard_reset('prefix')");
is(is_admitted('6282000000003', 4), 1, 'a scope that is reset has forgotten everything');
is(is_admitted('6282000000001', 5), 0, 'other scopes have not');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/62820000000/, 'no number is logged');

# --- the breaker

sub breaker
{
	my ($country) = @_;
	my ($line) = $session->value('SELECT guard_breakers()') =~ /^\Q$country\E: (.*)$/m;

	return $line;
}

# What a breaker has counted until now: numbers approved, and sent to.
sub figures
{
	my ($country) = @_;

	return (breaker($country) // '') =~ m{ (\d+/\d+) \d+ \d+\z} ? $1 : 'none';
}

# A message is settled as sent.
sub sent
{
	my ($handle, $s) = @_;

	$session->run("SELECT guard_sent($handle, " . at($s) . ')');
	return;
}

# A message that is due half an hour after its call, and its end.
my @AHEAD = (-1860, due => -60);
my $END = -59;

sub spray
{
	my ($n, $first, $s) = @_;

	return $session->value("SELECT guard_spray($n, $first, 1, " . at($s) . ', 1000)');
}

limits(limits => '', breaker => 'country 50/1h 20% 30min');
is(spray(200, 6283000000000, 0), 200, 'a breaker that is not armed refuses nothing');
is(spray(1, 6283000009999, 600), 1, 'not later either');
sent(admit('6283000009998', @AHEAD), $END);
is(figures('ID'), '0/0', 'nor does it count a message that is sent later than it reaches');
is(is_admitted('4915100000001', 601), 1, 'a message to another country');
$session->run("SELECT guard_approve_latest('4915100000001', " . at(602) . ')');
like(breaker('DE'), qr/\Aarmed closed /, 'the first approval arms the breakers');
is(is_admitted('6283000020000', 900), 1, 'what was sent before that opens no breaker');
is(spray(60, 6283000030000, 1000), 60, 'messages that nobody can have answered yet open none either');
is(admit('6283000040000', 1300), 'Local.BreakerOpen - 1800', 'a country where too few numbers are approved is shut');
like(breaker('ID'), qr{\Aarmed open 0/6\d }, 'the figures on which it opened are known');
is(is_admitted('6283000040000', 1301, trusted => 1), 1, 'trusted messages pass');
is(is_admitted('4915100000002', 1302), 1, 'other countries are open');
is(admit('6283000040000', 1310, due => 90000), 'Local.BreakerOpen - 1790', 'so is a message that is due too late to be counted at the call, until the country is open');
is(is_admitted('6283000040000', 2500, due => 3200), 1, 'another that is due when the country is open passes');
is(is_admitted('6283000040001', 3200), 1, 'after its time the country is open again');
{
	my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);

	is(scalar(() = $log =~ /the breakers of pnvs are armed/g), 1, 'the log has one line when breakers are armed');
	is(scalar(() = $log =~ /the breaker of pnvs for ID has opened/g), 1, 'another when one opens');
	is(scalar(() = $log =~ /the breaker of pnvs for ID is closed again/g), 1, 'and when it closes');
}
{
	my $handle = admit('3361200000000', 4000);
	my $other = admit('3361200000000', 4001);

	give_back($handle, 4002);
	give_back($other, 4003);
	is(spray(60, 3361200001000, 4010), 60, 'a country again');
	$session->run("SELECT guard_approve_latest('336120000' || n, " . at(4100) . ') FROM generate_series(1000, 1019) n');
	is(is_admitted('3361200002000', 4500), 1, 'a country where enough numbers are approved stays open');
}
forget_all();
{
	my $handle = admit('3361200005000', @AHEAD);

	is(figures('FR'), '0/0', 'a message that is due later than a breaker reaches is not counted at the call');
	sent($handle, $END) for 1 .. 2;
	is(figures('FR'), '0/1', 'but when it was sent, as one number');
	sent(admit('3361200005001', @AHEAD, trusted => 1), $END);
	is(figures('FR'), '0/1', 'unless it is trusted');
}

# The transaction that settles a message.
for my $case ([ 'BEGIN; SETTLE; ROLLBACK', '0/1' ], [ 'BEGIN; SAVEPOINT s; SETTLE; ROLLBACK TO s; COMMIT', '0/1' ], [ 'BEGIN; SETTLE; COMMIT', '0/2' ])
{
	my ($statements, $figures) = @$case;
	my $settle = 'SELECT guard_sent_at_commit(' . admit('3361200005002', @AHEAD) . ')';

	$session->run($_) for split /; /, $statements =~ s/SETTLE/$settle/r;
	is(figures('FR'), $figures, "a settle that ends by: $statements");
}

# Approvals of such messages.
forget_all();
limits(limits => 'number unapproved 1/10min');
{
	my $handle = admit('3361200006000', @AHEAD);

	$session->run("SELECT guard_approve_latest('3361200006000', " . at(-59.5) . ')');
	sent($handle, $END);
	is(figures('FR'), '1/1', 'a code that is approved before its message is settled is counted then');
	is_admitted('3361200006001', -9000);
	sent(admit('3361200006001', @AHEAD), $END);
	$session->run("SELECT guard_approve_latest('3361200006001', " . at(-50) . ')');
	is(figures('FR'), '2/2', "once it was sent, it is its number's latest message");
	is_admitted('3361200006002', 0);
	sent(admit('3361200006002', 100, due => 1960), 1961);
	$session->run("SELECT guard_approve_latest('3361200006002', " . at(1970) . ')');
	is(is_admitted('3361200006002', 1971), 1, 'and an approval makes room');
}
limits(limits => '', limits_mode => 'observe');
is(spray(60, 8490000000000, 5000), 60, 'in observe mode');
is(is_admitted('8490000000100', 5400), 1, 'an open breaker refuses nothing');
like(breaker('VN'), qr{ 0 1\z}, 'and counts what it would have refused');
limits(limits_mode => 'enforce');

# --- restarts

sub restart
{
	my (%setting) = @_;

	$node->append_conf('postgresql.conf', "$_ = '$setting{$_}'\n") for sort keys %setting;
	$node->stop($setting{mode} // 'fast');
	$node->start;
	connect_again();
	return;
}

limits(limits => 'number 1/1h, total 1000/1h', breaker => '');
forget_all();
is_admitted("628400000000$_", 0) for 1 .. 3;
restart();
is(join(' ', map { is_admitted("628400000000$_", 1) } 1 .. 4), '0 0 0 1', 'a restart forgets nothing');
is(rule('number 1/1h')->{admitted}, 4, 'nor the counters');
is(sprintf('%04o', (stat $node->data_dir . "/$FILE")[2] & 07777), '0600', 'the file is for nobody else');
restart('pnvs.guard_memory' => '1MB');
is(join(' ', map { is_admitted("628400000000$_", 2) } 1 .. 5), '0 0 0 0 1', 'nor with less memory');
restart('pnvs.guard_memory' => '20MB');
is(join(' ', map { is_admitted("628400000000$_", 3) } 1 .. 6), '0 0 0 0 0 1', 'nor with more');

# The file, changed by a function.
sub with_file
{
	my ($change) = @_;
	my $name = $node->data_dir . "/$FILE";
	my $contents;

	$node->stop;
	$contents = PostgreSQL::Test::Utils::slurp_file($name);
	$change->($contents) for $contents;
	open(my $file, '>:raw', $name) or die "$name: $!";
	print $file $contents;
	close $file;
	$server->mark_log;
	$node->start;
	connect_again();
	return $server->logged =~ /LOG:  (pnvs cannot use file .*)/ ? $1 : '';
}

like(with_file(sub { substr($_[0], 4, 1, "\xff") }), qr/another version/, 'the log names a file of another version');
is(is_admitted('6284000000001', 4), 1, 'and limits begin anew');
like(with_file(sub { substr($_[0], 300, 1) =~ tr/\0-\xff/\x01-\xff\0/ }), qr/damaged/, 'the log names a file that is damaged');
is(is_admitted('6284000000001', 4), 1, 'and limits begin anew');
like(with_file(sub { $_[0] = substr($_[0], 0, length($_[0]) - 8) }), qr/incomplete/, 'or cut off');
like(with_file(sub { $_[0] = '' }), qr/incomplete/, 'or empty');
is(with_file(sub { }), '', 'a file that is as it was is used');

# Ends a backend as a crash does, and waits until the server is back.
sub crash
{
	my $pid = $session->pid;

	kill KILL => $pid;
	Pnvs::Simulator::wait_until('the session is gone', sub { Pnvs::Server::is_lost($session) });
	connect_again();
	return;
}

# Whether a snapshot is written within the time that is promised.
sub written_since
{
	my ($begun) = @_;

	while (time < $begun + $KEPT_S)
	{
		return 1 if ((Time::HiRes::stat($node->data_dir . "/$FILE"))[9] // 0) >= $begun;
		sleep 0.05;
	}
	return 0;
}

{
	my $begun;

	forget_all();
	is_admitted('6284100000001', 0);
	$begun = time;
	ok(written_since($begun), "a snapshot is written within $KEPT_S s while the server runs");
	crash();
	is(is_admitted('6284100000001', 1), 0, 'a crash forgets nothing that is older than that');
}

# Sessions read the clock before they wait for a lock. What one of them forgets by its time
# must not be missing to another that has read the clock before.
{
	my $number = '6284300000001';

	limits(limits => 'number 2/30s');
	forget_all();
	is_admitted($number, $_) for 0, 10;
	give_back(admit($number, 30.000005), 30.000005);
	is(is_admitted($number, 29.999999), 1, 'the session that comes later is admitted');
	is(is_admitted($number, 45), 1, 'and another, once a place is free');
	is(is_admitted($number, 60.000001), 0, 'its place is of the later time');
	is(is_admitted($number, 60.000005), 1, 'and free an interval after that');
	limits(limits => 'number 1/1h, total 1000/1h');
}

# Rows of the queue that were admitted before a restart, and while there was no memory.
{
	my $early = $session->value('SELECT clock_timestamp()');
	my ($written, $gave_back);

	is_admitted('6284200000001', 100);
	restart();
	$written = (Time::HiRes::stat($node->data_dir . "/$FILE"))[9];
	$gave_back = sub {
		my ($taken_at) = @_;

		$session->run("SELECT guard_give_back(guard_of_row('6284200000001', 'SMS', " . at(100) . ", $taken_at), " . at(101) . ')');
		return is_admitted('6284200000001', 101);
	};
	is($gave_back->('to_timestamp(' . ($written + 0.005) . ')'), 0, 'a message that was admitted after the snapshot gives nothing back');
	is($gave_back->("'1999-01-01'"), 0, 'nor does one from before the memory was made');
	is($gave_back->("'$early'"), 1, 'one that is remembered does');
}

# --- memory that is full

restart('pnvs.guard_memory' => '1MB', 'pnvs.limits' => 'number 1/1h, tries 2/1h');
$session->run('ALTER SYSTEM RESET ALL');
$session->run('SELECT pg_reload_conf()');
forget_all();
limits(limits => 'number 1/1h, tries 2/1h', breaker => '');
{
	my $filled = spray(20000, 6285000000000, 0);
	my $rule = rule('number 1/1h');
	my @shared = map { "62851000000$_" } 10 .. 49;
	my @admitted;

	cmp_ok($rule->{keys}, '<', 10000, 'memory has room for so many numbers');
	is($filled, $rule->{keys} + $rule->{shared}, 'numbers beyond that share buckets, each of which admits what one number is admitted');
	is(scalar(grep { is_admitted($_, 60) } @shared), 0, 'so new numbers are refused while the buckets are taken');
	like($server->logged, qr/the memory of pnvs for limits is full/, 'the log says so');

	forget_all();
	spray(10000, 6285000000000, 0);
	is(is_admitted('6285000000000', 3599), 0, 'what has a list of its own keeps it');
	is_admitted($_, 3700) for @shared;
	cmp_ok(rule('number 1/1h')->{forgotten}, '>', 0, 'what no longer counts makes room');

	# What fills the memory stops to count sooner than what got into buckets.
	limits(limits => 'number SMS 1/1h, number VOICE 1/10min');
	forget_all();
	$session->run("SELECT count(guard_admit((6285000000000 + n)::text, 'VOICE', " . at(0) . ', ' . at(0) . ')) FROM generate_series(1, 6000) n');
	@admitted = grep { is_admitted($_, 60) } @shared;
	is(rule('number SMS 1/1h')->{keys}, 0, 'numbers that come later have no lists of their own');
	cmp_ok(scalar @admitted, '>', 0, 'but places in buckets');
	is(scalar(grep { is_admitted($_, 700) } @admitted, @admitted), 0, 'and get no more of them when memory is free again');
	is(is_admitted('6285200000000', 701, channel => 'VOICE'), 1, 'as it is');
	cmp_ok(rule('number VOICE 1/10min')->{forgotten}, '>', 0, 'by then');
}

# If a number has no note, nothing but the time of its message tells whether it was counted.
limits(limits => '', breaker => 'country 50/1h 20% 30min');
forget_all();
{
	my $near;

	$session->run("SELECT guard_approve_latest('4915100000001', " . at(0) . ')');
	spray(20000, 6285000000000, 0);
	$near = admit('3361200007000', -120, due => -60);
	admit('3361200007000', -120, due => -60);
	is(figures('FR'), '0/2', 'while the memory is full, a breaker counts each message');
	sent($near, $END);
	is(figures('FR'), '0/2', 'and none of them again when it is sent');
	sent(admit('3361200007000', @AHEAD), $END);
	is(figures('FR'), '0/3', 'unless it was due later than the breaker reaches');
}
limits(breaker => '');

# --- an attack

restart('pnvs.guard_memory' => '8MB');
limits(limits => 'number 2/1h, tries 3/1h');
forget_all();
{
	my $resident = sub { (split ' ', PostgreSQL::Test::Utils::slurp_file('/proc/' . $session->pid . '/statm'))[1] };
	my ($before, $after);

	is_admitted('6286000000001', $_), try_code('6286000000001', 'v', $_) for 0, 1, 2;
	spray(100000, 6287000000000, 3);
	$before = $resident->();
	$session->run("SELECT guard_spray($SPRAYED, 6287000000000, 1, " . at(4) . ', 1)');
	$session->run("SELECT guard_spray_tries($SPRAYED, " . at(4) . ', 1)');
	$after = $resident->();
	is(is_admitted('6286000000001', 6), 0, "the limit of a number holds after $SPRAYED others");
	like(try_code('6286000000001', 'v', 6), qr/tries/, 'so do its tries');
	# A sanitizer keeps for a while what is freed.
	cmp_ok(($after - $before) * 4, '<', 12 * 1024, 'and a process has not grown by more than the shared memory that it has seen')
	  if PostgreSQL::Test::Utils::slurp_file('/proc/' . $session->pid . '/maps') !~ /libasan/;
	note('a server remembers ' . rule('number 2/1h')->{keys} . ' numbers and ' . rule('tries 3/1h')->{keys} . ' tries in 8 MB');
}

# --- a standby

{
	my $primary = $node;
	my $begun = time;
	my $from_primary;

	limits(limits => 'number 1/1h');
	forget_all();
	$from_primary = $session->value('SELECT clock_timestamp()');
	is_admitted('6288000000001', 0);
	$begun = time;
	ok(written_since($begun), 'the primary has written what it has counted');
	$primary->backup('copy');
	$node = PostgreSQL::Test::Cluster->new('standby');
	$node->init_from_backup($primary, 'copy', has_streaming => 1);
	$node->start;
	$primary->wait_for_catchup($node);
	$server = Pnvs::Server->around($node);
	connect_again();
	is(is_admitted('6288000000001', 0), 1, 'a standby counts for itself');
	is(is_admitted('6288000000001', 1), 0, 'by the same rules');
	$begun = time;
	ok(written_since($begun), 'it writes snapshots, too');
	crash();
	is(is_admitted('6288000000001', 2), 0, 'it remembers that after a crash');
	$node->promote;
	Pnvs::Simulator::wait_until('it is promoted', sub { $session->value('SELECT pg_is_in_recovery()') eq 'f' });
	my $row = $session->value("SELECT guard_of_row('6288000000001', 'SMS', " . at(0) . ", '$from_primary')");
	is(is_admitted('6288000000001', 3), 0, 'and after its promotion');
	$session->run("SELECT guard_give_back($row, " . at(4) . ')');
	is(is_admitted('6288000000001', 4), 0, 'what another server has admitted gives nothing back');
	$node->stop;
	$primary->stop;
}

done_testing();
