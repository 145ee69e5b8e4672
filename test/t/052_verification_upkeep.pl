# What the worker takes out of the verifications' table: numbers, a day after a verification
# has expired, and old rows.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Test::More;

use Pnvs::Queue;
use Pnvs::Rows qw(insert_verification);
use Pnvs::Simulator;
use Pnvs::Verification;

my $service = Pnvs::Simulator->new;
my $queue = Pnvs::Verification->new($service, 'upkeep', conf => <<'CONF');
pnvs.worker_idle_timeout = '1s'
pnvs.limits = ''
CONF
my $session = $queue->session;

sub count_rows { return $session->value("SELECT count(*) FROM pnvs_internal.phone_verification WHERE $_[0]"); }

sub row { return $session->run("SELECT * FROM pnvs_internal.phone_verification WHERE id = '$_[0]'")->row; }

sub state_and_number { my ($row) = @_; return "$row->{state} $row->{recipient}"; }

# Has the worker purge: it does so when it starts, or, if it is there, when it reads its settings.
sub let_purge
{
	$session->run('SELECT pg_reload_conf()');
	$queue->settled($queue->enqueue('FA1'));
	return;
}

sub no_worker
{
	Pnvs::Simulator::wait_until('the worker has left', sub { !$queue->workers });
	return;
}

# --- what is masked, what is deleted

my %id = (
	running => insert_verification($session),
	expired => insert_verification($session, begun_at => q{now() - interval '24 hours'}, expires_at => q{now() - interval '23 hours'}),
	over => insert_verification($session, begun_at => q{now() - interval '26 hours'}, expires_at => q{now() - interval '25 hours'}),
	unused => insert_verification($session, state => q{'approved'}, expires_at => q{now() - interval '25 hours'}, approved_at => q{now() - interval '25 hours'}),
	long_over => insert_verification($session, expires_at => q{now() - interval '40 days'}),
	used => insert_verification($session, state => q{'used'}, recipient => q{'6281234****90'}, expires_at => q{now() - interval '29 days'}, ended_at => q{now() - interval '29 days'}),
	just_used => insert_verification($session, state => q{'used'}, recipient => q{'6281234****90'}, expires_at => q{now() - interval '26 hours'}, used_at => q{now() - interval '25 hours'}),
	old => insert_verification($session, state => q{'used'}, recipient => q{'6281234****90'}, expires_at => q{now() - interval '31 days'}, ended_at => q{now() - interval '31 days'}),
	refused => insert_verification($session, state => q{'refused'}, refused => q{'too_many'}, recipient => q{'6281234****90'}, expires_at => q{now() - interval '31 days'}, ended_at => q{now() - interval '31 days'}));
let_purge();
ok($queue->soon(sub { count_rows("recipient = '6281234567890'") == 2 }), 'numbers are masked');
is(state_and_number(row($id{running})), 'pending 6281234567890', 'but not that of a verification under way');
is(state_and_number(row($id{expired})), 'pending 6281234567890', 'nor that of a verification that has expired within a day');
is(state_and_number(row($id{over})), 'pending 6281234****90', 'a verification that expired longer ago keeps its row');
is(state_and_number(row($id{unused})), 'approved 6281234****90', 'and so does an approval that was not used');
is($session->value("SELECT ended_at = expires_at FROM pnvs_internal.phone_verification WHERE id = '$id{over}'"), 't',
	'its retention counts from when it expired');
is($session->value("SELECT ended_at = used_at FROM pnvs_internal.phone_verification WHERE id = '$id{just_used}' AND recipient = '6281234****90'"), 't',
	'that of a used one from its use');
no_worker();
let_purge();
ok($queue->soon(sub { count_rows("id = '$id{long_over}'") == 0 }), 'a row that has expired before the retention is deleted');
is(count_rows("id IN ('$id{old}', '$id{refused}')"), 0, 'and so are used and refused ones, by their end');
is(count_rows("id IN ('$id{running}', '$id{expired}', '$id{over}', '$id{unused}', '$id{used}')"), 5, 'no younger row is deleted');

# --- never before a day, whatever the retention

$queue->configure('pnvs.retention' => '1s');
my %ago = (ended => 23, messages => 24.5, long_ended => 25.5);
$id{$_} = insert_verification($session, state => q{'canceled'}, expires_at => "now() - $ago{$_} * interval '1 hour'", ended_at => "now() - $ago{$_} * interval '1 hour'") for keys %ago;
let_purge();
ok($queue->soon(sub { count_rows("id = '$id{used}'") == 0 }), 'a shorter retention is in force at once');
is(count_rows("id = '$id{ended}'"), 1, 'but a verification is kept for a day, however short it is');
is(count_rows("id = '$id{messages}'"), 1, 'and for an hour more, for its messages are found by it, and kept from when it would have expired');
is(count_rows("id = '$id{long_ended}'"), 0, 'but no longer');
$queue->configure('pnvs.retention' => undef);
no_worker();

# --- messages that are settled long after their verification has expired are not kept for longer than it

$queue->configure('pnvs.worker' => 'off', 'pnvs.retention' => '1d');
my %late = map { $_ => $queue->begin($queue->new_number)->{id} } qw(expired canceled erased);
my %message = map { $_ => $session->value("SELECT last_message FROM pnvs_internal.phone_verification WHERE id = '$late{$_}'") } keys %late;
$session->run(q{UPDATE pnvs_internal.queue SET created_at = now() - interval '2 days', send_before = now() - interval '2 days', retain_from = now() - interval '2 days' WHERE phone_verification IS NOT NULL});
$session->run("SELECT cancel_verification($message{canceled}), erase_phone_number((SELECT recipient FROM pnvs_internal.queue WHERE id = $message{erased}))");
is($session->value('SELECT count(*) FROM pnvs_internal.queue WHERE state = \'canceled\' AND phone_verification IS NOT NULL'), 2, 'messages are canceled after two days');
$session->run('CALL process_verification_queue()');
is($session->value('SELECT count(*) FROM pnvs_internal.queue WHERE phone_verification IS NOT NULL'), 0, 'and are deleted at once, as is one that is found expired then');
$queue->configure('pnvs.worker' => undef);
$queue->configure('pnvs.retention' => undef);
no_worker();

# --- many

$session->run('TRUNCATE pnvs_internal.phone_verification');
insert_verification($session, count => 12000, messages => 'n', recipient => q{(6281200000000 + n)::text}, expires_at => q{now() - interval '2 days' + n * interval '1 second'});
insert_verification($session, count => 12000, state => q{'used'}, expires_at => q{now() - interval '60 days'}, ended_at => q{now() - interval '60 days' + n * interval '1 second'});
let_purge();
ok($queue->soon(sub { count_rows(q{position('*' in recipient) > 0 AND ended_at = expires_at}) == 12000 && count_rows(q{state = 'used'}) == 0 }), 'however many there are');
is(count_rows(q{recipient <> left((6281200000000 + messages)::text, 7) || '****' || right((6281200000000 + messages)::text, 2)}), 0,
	'each with its own number masked');
Pnvs::Simulator::wait_until('the worker has told what it has written',
	sub { $session->value(q{SELECT n_tup_upd >= 12000 AND n_tup_del >= 12000 FROM pg_stat_all_tables WHERE relid = 'pnvs_internal.phone_verification'::regclass}) eq 't' });
pass('autovacuum knows what has changed');
no_worker();

# --- a row that somebody has locked

my $holder = $queue->connect;
$session->run('TRUNCATE pnvs_internal.phone_verification');
insert_verification($session, count => 3, expires_at => q{now() - interval '2 days' + n * interval '1 second'});
$holder->run('BEGIN; SELECT FROM pnvs_internal.phone_verification ORDER BY expires_at LIMIT 1 FOR UPDATE');
let_purge();
ok($queue->soon(sub { count_rows('ended_at IS NOT NULL') == 2 }), 'a row that somebody has locked keeps no others waiting');
is($queue->settled($queue->enqueue('FA1'))->{state}, 'sent', 'nor messages');
$holder->run('ROLLBACK');
no_worker();
let_purge();
ok($queue->soon(sub { count_rows('ended_at IS NOT NULL') == 3 }), 'and is masked later itself');
no_worker();
$session->run('TRUNCATE pnvs_internal.phone_verification, pnvs_internal.queue');
insert_verification($session, expires_at => q{'-infinity'});
$holder->run('BEGIN; SELECT FROM pnvs_internal.phone_verification FOR UPDATE');
let_purge();
no_worker();
$holder->run('ROLLBACK');
ok($queue->soon(sub { count_rows('true') == 0 }), 'the launcher starts a worker for a row that expired before all time');
no_worker();
$holder->run('BEGIN; LOCK pnvs_internal.phone_verification');
is($queue->settled($queue->enqueue('FA1'))->{state}, 'sent', 'a locked table keeps no message from being sent');
$holder->run('ROLLBACK');
no_worker();

# --- a foreign key, whose triggers would run

$session->run('TRUNCATE pnvs_internal.phone_verification');
$id{referred} = insert_verification($session, state => q{'used'}, ended_at => q{now() - interval '40 days'});
$id{over} = insert_verification($session, expires_at => q{now() - interval '2 days'});
$session->run(<<"SQL");
CREATE TABLE referring (verification uuid REFERENCES pnvs_internal.phone_verification ON DELETE CASCADE);
INSERT INTO referring VALUES ('$id{referred}');
SQL
let_purge();
ok($queue->soon(sub { count_rows("id = '$id{over}' AND ended_at IS NOT NULL") == 1 }), 'with a foreign key to the table, numbers are masked');
is(count_rows("id = '$id{referred}'"), 1, 'but nothing is deleted');
$session->run('DROP TABLE referring');
no_worker();

# --- by CALL, and by a worker that nothing else wakes

$queue->configure('pnvs.worker' => 'off');
$session->run('CALL process_verification_queue()');
is(count_rows("id = '$id{referred}'"), 0, 'a CALL deletes, too');
$queue->configure('pnvs.worker' => undef);
$session->run('TRUNCATE pnvs_internal.phone_verification; TRUNCATE pnvs_internal.queue');
$id{soon} = insert_verification($session, expires_at => q{now() - interval '24 hours' + interval '4 seconds'});
let_purge();
no_worker();
is(count_rows(q{ended_at IS NOT NULL AND expires_at > clock_timestamp() - interval '24 hours'}), 0, 'what is not over yet is left');
ok($queue->soon(sub { count_rows('ended_at IS NOT NULL') == 1 }), 'the launcher starts a worker when it is, with no message queued');

# --- a database with refused verifications alone, for which no message wakes a worker

my $refusing = Pnvs::Queue->new($service, 'refusing', conf => "pnvs.channels = 'VOICE'\n");
is($refusing->session->value(q{SELECT state FROM begin_verification('+6281234567890', service_sid => 'FA1')}), 'refused', 'a verification is refused');
$refusing->session->run(q{UPDATE pnvs_internal.phone_verification SET begun_at = now() - interval '31 days', ended_at = now() - interval '31 days'});
# the next look is not as late as the old setting says
$refusing->reload('pnvs.scan_interval' => '1s');
ok($refusing->soon(sub { $refusing->session->value('SELECT count(*) FROM pnvs_internal.phone_verification') == 0 }),
	'refused verifications are deleted in a database that has never had a message');
$refusing->stop;

$queue->stop;
done_testing();
