# What the server remembers of the checks of verifications, by its C interface
# (test/verification): the time is an argument there, so that nothing waits for an expiry.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Pnvs::Probe;
use Pnvs::Server;
use Pnvs::Simulator;

my $PROBE = 'test/verification/checks_probe';
my $FILE = 'pg_stat/pnvs_guard.stat';
my $SESSIONS = 40;
my $VALID_S = 600;

# A snapshot is written every 8 s.
my $KEPT_S = 10;

my $libraries = Pnvs::Probe::build($PROBE);
my $service = Pnvs::Simulator->new;
my $node = $service->init_node('main', preload => 'shared_preload_libraries',
	conf => "dynamic_library_path = '$libraries:\$libdir'\nrestart_after_crash = on\npnvs.guard_memory = '1MB'\n");
my $server = Pnvs::Server->around($node);

$node->start;
Pnvs::Probe::install($node, $PROBE);
$node->safe_psql('postgres', 'CREATE DATABASE other');
Pnvs::Probe::install($node, $PROBE, 'other');

my $session = $server->connect;
my $t0 = $session->value('SELECT now()');

# A time, by the seconds since the server was made.
sub at { my ($s) = @_; return "'$t0'::timestamptz + '$s s'"; }

sub new_id { return $session->value('SELECT gen_random_uuid()'); }

# Takes a try; options: row (its tries), max, expires (seconds), in (another session).
sub take
{
	my ($id, $s, %option) = @_;

	return ($option{in} // $session)->value("SELECT checks_take('$id', " . ($option{row} // 0) . ', ' . ($option{max} // 5) . ', '
		  . at($option{expires} // $VALID_S) . ', ' . at($s) . ')');
}

sub give_back { my ($id, $s) = @_; $session->run("SELECT checks_give_back('$id', " . at($s) . ')'); return; }

sub tries { my ($id, $s, $row) = @_; return $session->value("SELECT checks_tries('$id', " . ($row // 0) . ', ' . at($s) . ')'); }

sub approve
{
	my ($id, $code, $message, $s) = @_;

	$session->run("SELECT checks_approve('$id', $code, $message, " . at($s) . ')');
	return;
}

sub note_ambiguous { my ($id, $code, $s) = @_; $session->run("SELECT checks_note_ambiguous('$id', $code, " . at($s) . ')'); return; }

sub known { my ($id, $code, $s) = @_; return $session->value("SELECT checks_known('$id', $code, " . at($s) . ')'); }

# Takes a try of so many new verifications; how many have got one.
sub spray
{
	my ($n, $s, $expires) = @_;

	return $session->value("SELECT count(*) FROM generate_series(1, $n)
		WHERE checks_take(gen_random_uuid(), 0, 5, " . at($expires) . ', ' . at($s) . ") = 'taken 1'");
}

sub restart
{
	my (%setting) = @_;

	$node->append_conf('postgresql.conf', "$_ = '$setting{$_}'\n") for sort keys %setting;
	$node->stop('fast');
	$server->mark_log;
	$node->start;
	$session = $server->connect;
	return;
}

# --- tries

{
	my $id = new_id();
	my $other = new_id();

	is(join(', ', map { take($id, $_) } 0 .. 5), 'taken 1, taken 2, taken 3, taken 4, taken 5, too many 5', 'five tries are taken, and not a sixth');
	is(take($other, 6), 'taken 1', 'those of another verification count apart');
	is(take($id, 6, max => 7), 'taken 6', 'there are more if the setting is raised');
	is(take($id, 7, max => 3), 'too many 6', 'and none if it is lowered');
	give_back($id, 8);
	is(join(', ', map { take($id, $_, max => 6) } 9, 10), 'taken 6, too many 6', 'a try that is given back can be taken again, once');
	is(tries($id, 11), 6, 'the tries can be read');
	is(take($id, 11, max => 9, row => 8), 'taken 9', "if the row has more, the row's count");
	is(take($other, 12, row => 1), 'taken 2', 'if it has as many, they count once');
	is(tries($other, 13, 4), 4, 'of both numbers the larger is read');
	is(join(', ', map { take($other, $_, row => 4) } 14, 15), 'taken 5, too many 5', 'and continued');
	is(tries(new_id(), 13, 2), 2, "of a verification without an entry the row's are read");
	is(take(new_id(), 16, row => 5), 'too many 5', 'and judged');

	my $there = $server->connect('other');

	is(take($id, 20, in => $there), 'taken 1', 'a verification of another database is another, whatever its ID');
	$there->close;
}

# --- the approved code, and the one without an answer

{
	my $id = new_id();

	is(known($id, 11, 0), '0', 'of a verification without an entry no code is known');
	take($id, 0);
	is(known($id, 11, 1), '0', 'nor is one before the service was asked');
	note_ambiguous($id, 11, 2);
	is(known($id, 11, 3), 'ambiguous 0', 'a code whose answer was lost is known');
	is(known($id, 12, 3), '0', 'and no other');
	approve($id, 12, 7, 4);
	is(known($id, 12, 5), 'approved 0', 'an approved code is known');
	is(known($id, 11, 5), 'ambiguous 7', 'of another code is known with which message the approved one was sent');
	approve($id, 13, 8, 6);
	is(known($id, 12, 7), '8', 'a later approval takes its place');
	approve($id, 14, 6, 7);
	is(known($id, 14, 7), 'approved 0', 'also one of an older message');
	is(known($id, 13, 7), '8', 'but the newest that was approved is known');
	is(tries($id, 8), 1, 'an approval gives back no try by itself');
	is(known(new_id(), 13, 8), '0', 'nothing of it is known of another verification');
}

# --- expiry

{
	my $id = new_id();

	take($id, 0, expires => 100) for 1 .. 5;
	approve($id, 15, 1, 1);
	is(take($id, 99.999999, expires => 100), 'too many 5', 'the tries count until the verification expires');
	is(take($id, 100, expires => 100), 'expired 0', 'after that no try is taken, and the entry is forgotten');
	is(known($id, 15, 101), '0', 'with its approval');
	give_back($id, 101);
	is(take($id, 99, expires => 100), 'expired 0', 'a session that has read the clock before cannot begin anew');
	is(take($id, 80, expires => 100), 'taken 1', 'but for a clock that was set back');
}

# --- memory that is full: 16 partitions of 256 entries each

restart();
{
	my $kept = new_id();
	my $filled;

	take($kept, 0, expires => 1000);
	$filled = spray(20000, 0, 1000);
	cmp_ok($filled, '>', 4096 - 256, 'memory has room for so many verifications');
	cmp_ok($filled, '<', 4096, 'and no more');
	is(take(new_id(), 1), 'no room 0', 'no code of another one is checked then');
	is(take($kept, 2, expires => 1000), 'taken 2', 'one that has an entry is not concerned');
	approve($kept, 16, 1, 3);
	is(known($kept, 16, 3), 'approved 0', 'its approval neither');
	like($server->logged, qr/WARNING:  the memory of pnvs for verifications is full/, 'the log warns');
	is(scalar(() = $server->logged =~ /memory of pnvs for verifications/g), 1, 'once a minute');
	is(take($kept, 999.9, expires => 1000), 'taken 3', 'nothing is forgotten that counts');
	is(spray(3000, 1000, 2000), 3000, 'what has expired makes room');
	is(take($kept, 1000, expires => 1000), 'expired 0', 'and is forgotten');
	is($session->query("SET client_min_messages = debug1; SELECT checks_take(gen_random_uuid(), 0, 5, 'infinity', now())")->notices, 0,
		'no caller hears of it');
}

# --- restarts

restart('pnvs.guard_memory' => '2MB');
{
	my $id = new_id();
	my $begun;

	# Nothing may have expired by the server's own clock.
	$t0 = $session->value('SELECT now()');
	take($id, 0) for 1 .. 3;
	approve($id, 17, 9, 0);
	note_ambiguous($id, 18, 0);
	restart();
	is(take($id, 1), 'taken 4', 'a restart forgets no try');
	is(known($id, 17, 1), 'approved 0', 'nor an approval');
	is(known($id, 18, 1), 'ambiguous 9', 'nor a code whose answer was lost');

	$begun = time;
	take($id, 1);
	ok( eval {
			local $PostgreSQL::Test::Utils::timeout_default = $KEPT_S;
			Pnvs::Simulator::wait_until('a snapshot is written', sub { ((Time::HiRes::stat($node->data_dir . "/$FILE"))[9] // 0) >= $begun });
			1;
		}, "a snapshot is written within $KEPT_S s while the server runs");
	kill KILL => $session->pid;
	Pnvs::Simulator::wait_until('the session is gone', sub { Pnvs::Server::is_lost($session) });
	$session = $server->connect;
	is(take($id, 1), 'too many 5', 'a crash forgets nothing that is older than that');

	# More than there is room for after the next restart.
	cmp_ok(spray(3500, 1, 1000) + spray(1500, 1, 2000), '>', 4500, 'with twice the memory there is room for more');
	restart('pnvs.guard_memory' => '1MB');
	is(take($id, 2), 'too many 5', 'after a restart with less memory what has room is remembered');
	is(spray(500, 1000, 3000), 0, 'and what has none is not taken for new, even if there is room again');
	is(spray(500, 2000, 3000), 500, 'until it has expired');
}

# --- many at once

restart('pnvs.guard_memory' => '8MB');
{
	my $id = new_id();
	my @session = map { $server->connect } 1 .. $SESSIONS;
	my $GATE = 'SELECT pg_advisory_lock_shared(1)';
	my @taken;

	# All begin when the gate opens.
	my $all_at_once = sub {
		my ($sql) = @_;

		$session->run('SELECT pg_advisory_lock(1)');
		$_->send("$GATE; SELECT pg_advisory_unlock_shared(1); $sql") for @session;
		Pnvs::Simulator::wait_until('all wait', sub {
				$session->value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == $SESSIONS;
		});
		$session->run('SELECT pg_advisory_unlock(1)');
		return map { my $result = $_->result; die $result->message if $result->failed; ($result->rows)[-1]{result} } @session;
	};

	@taken = $all_at_once->("SELECT count(*) AS result FROM generate_series(1, 200) WHERE checks_take('$id', 0, 20, 'infinity', now()) LIKE 'taken%'");
	my $sum = 0;

	$sum += $_ for @taken;
	is($sum, 20, "$SESSIONS processes that take at once get as many tries as there are");

	$id = new_id();
	$session->run(q{CREATE FUNCTION take_and_give_back(id uuid, n integer) RETURNS integer LANGUAGE plpgsql AS $$
		DECLARE
			most integer := 0;
			taken text;
		BEGIN
			FOR i IN 1 .. n LOOP
				taken := checks_take(id, 0, 20, 'infinity', now());
				most := greatest(most, split_part(taken, ' ', -1)::integer);
				IF taken LIKE 'taken%' THEN
					PERFORM checks_give_back(id, now());
				END IF;
			END LOOP;
			RETURN most;
		END $$});
	@taken = $all_at_once->("SELECT take_and_give_back('$id', 20000) AS result");
	is(tries($id, 0), 0, 'none is lost, nor one too many, however many are given back meanwhile');
	cmp_ok((sort { $b <=> $a } @taken)[0], '<=', 20, 'and never are there more');
	$_->close for @session;
}

$session->close;
$node->stop;
done_testing();
