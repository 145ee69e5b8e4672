# The messages of a verification, by the C interface that it has to the queue (test/queue):
# queued for another role, with the hash of a key, for appearance only, refused without an
# error; read; and taken back.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Test::More;

use Pnvs::Probe;
use Pnvs::Queue;
use Pnvs::Simulator qw(wait_until);

my $PROBE = 'test/queue/messages_probe';
my $LATER = "clock_timestamp() + '30 minutes'";

my $service = Pnvs::Simulator->new;
my $queue = Pnvs::Queue->new($service, 'messages', install => Pnvs::Probe::installation($PROBE));
my $session = $queue->session;

Pnvs::Probe::install($queue->node, $PROBE);

sub new_verification { return $session->value('SELECT gen_random_uuid()'); }

# The last message of a verification.
my %last;

# Queues a message of a verification; options: number, requester, key, retain, decoy,
# not_before, in (another session).  Its ID, or why it is refused.
sub enqueue
{
	my ($verification, %option) = @_;
	my $number = $option{number} // Pnvs::Queue::new_number();
	my $id = ($option{in} // $session)->value("SELECT messages_enqueue('$number', '$verification', " . ($option{requester} // "'0'")
		  . ', ' . ($option{key} // 0) . ', ' . ($option{retain} // "'-infinity'") . ', ' . ($option{decoy} // 'false') . ', '
		  . ($option{not_before} // 'clock_timestamp()') . ', ' . ($last{$verification} // 0) . ')');

	$last{$verification} = $id if $id =~ /^\d+$/;
	$queue->{number}{$id} = $number;
	return $id;
}

# Both from the last message of the verification on, or of another.
sub cancel_of
{
	my ($verification, $who, $of) = @_;

	return ($who // $session)->value("SELECT messages_cancel_of('$verification', " . ($last{$of // $verification} // 0) . ')');
}

sub messages_of
{
	my ($verification, $who, $of) = @_;

	return map { [ split /\|/ ] } split /\n/, ($who // $session)->value("SELECT messages_of('$verification', " . ($last{$of // $verification} // 0) . ')');
}

sub row { my ($id) = @_; return $queue->row($id); }

# --- queued

my $verification = new_verification();
my $id = enqueue($verification);
is(row($id)->{phone_verification}, $verification, 'a message has the verification that it is of');
is($queue->settled($id)->{state}, 'sent', 'and is sent');
is($session->value("SELECT phone_verification FROM verification_queue WHERE id = $id"), $verification, 'its requester sees that');

$session->run('CREATE ROLE one LOGIN');
$id = enqueue($verification, requester => "'one'::regrole");
is($session->value("SELECT requested_by FROM verification_queue WHERE id = $id"), 'one', 'it can be queued for another role');

$id = enqueue($verification, retain => "now() + '1 day'");
is($session->value("SELECT retain_from > now() + '23 hours' FROM pnvs_internal.queue WHERE id = $id"), 't', 'and be kept for longer');
$queue->settled($id);
is($session->value("SELECT retain_from > now() + '23 hours' FROM pnvs_internal.queue WHERE id = $id"), 't', 'also when it is settled');
$id = enqueue($verification, retain => "now() - interval '1 day'", not_before => $LATER);
is($session->value("SELECT retain_from = created_at FROM pnvs_internal.queue WHERE id = $id"), 't', 'but not for a shorter time');

# --- the hash of a key

$queue->reload('pnvs.limits' => 'key 2/1h');
my $keyed = $session->value("SELECT enqueue_verification('SMS', '" . Pnvs::Queue::new_number() . "', 'FA1', rate_key => '192.0.2.1')");
my $key = row($keyed)->{admission_key};
$id = enqueue($verification, key => $key);
is(row($id)->{admission_key}, $key, 'a message can be queued with the hash of a rate_key');
is(enqueue($verification, key => $key), 'Local.RateLimited 1', 'which counts with those that have the key');
like(enqueue($verification), qr/^\d+$/, 'without a key rules for keys do not apply');

# --- a refusal

my $before = $session->value('SELECT count(*) FROM pnvs_internal.queue');
$session->run('BEGIN');
is(enqueue($verification, key => $key), 'Local.RateLimited 1', 'a refusal is returned');
is($session->value('SELECT count(*) FROM pnvs_internal.queue'), $before, 'nothing is queued then');
$session->run('COMMIT');
$queue->reload('pnvs.limits' => 'number 1/1h', 'pnvs.countries' => '-GB');
is(enqueue($verification, number => '447700900123'), 'Local.CountryNotAllowed 0', 'so is that of a country');

# --- for appearance only

my $never = Pnvs::Queue::new_number();
my $number = Pnvs::Queue::new_number();
$id = enqueue($verification, number => $never, decoy => 'true');
my $decoy = row($id);
is("$decoy->{state} $decoy->{code}", 'canceled Local.NotNeeded', 'a message for appearance is canceled from the beginning');
is($decoy->{message}, 'no message was needed', 'and says why');
ok(defined $decoy->{settled_at} && $decoy->{recipient} =~ /\*/, 'settled, and masked');
is(enqueue($verification, number => $never), 'Local.RateLimited 1', 'it has taken its place under the limits');
$session->run('BEGIN');
enqueue($verification, number => $number, decoy => 'true');
$session->run('ROLLBACK');
$id = enqueue($verification, number => $number);
like($id, qr/^\d+$/, 'which ROLLBACK gives back');
$queue->settled($id);
is(join(' ', map { scalar $service->count('sent', to => $_) } $never, $number), '0 1', 'it is never sent');
is(enqueue($verification, number => $number, decoy => 'true'), 'Local.RateLimited 1', 'a limit refuses it as any other');

# --- read

$queue->reload('pnvs.limits' => '', 'pnvs.countries' => undef);
$verification = new_verification();
my $other = new_verification();
my @id = map { enqueue($verification) } 1 .. 3;
enqueue($other);
$queue->settled($_) for @id;
my $waiting = enqueue($verification, not_before => $LATER);
my @message = messages_of($verification);
is(join(' ', map { $_->[0] } @message), join(' ', $waiting, reverse @id), 'the messages of a verification are read, the newest first');
is(join(' ', map { $_->[0] } messages_of(new_verification())), '', 'of an unknown one there are none');
is(join(' ', map { $_->[0] } messages_of(new_verification(), undef, $verification)), '', 'nor by the message of another');
my $sent = row($id[0]);
is(join(' ', @{ $message[3] }[ 0 .. 6 ]), "$id[0] sent 1 SMS FA1 $sent->{verification_id} $sent->{recipient}", 'with what is known of them');
is($session->value("SELECT created_at::text || dispatched_at::text FROM pnvs_internal.queue WHERE id = $id[0]"),
	$session->value("SELECT '$message[3][7]'::timestamptz::text || '$message[3][8]'::timestamptz::text"), 'and when they were sent');
is(join(' ', @{ $message[0] }[ 1 .. 6, 8, 9 ]), "queued 0 SMS FA1 - " . $queue->number($waiting) . ' - -',
	'of a queued message the number, and nothing of an attempt');
$session->run("UPDATE pnvs_internal.queue SET unknown_since = created_at WHERE id = $waiting");
isnt((messages_of($verification))[0][9], '-', 'of a message of unknown fate since when');

my $last = (map { enqueue($other, not_before => $LATER) } 1 .. 11)[-1];
is(scalar(messages_of($other)), 10, 'ten of them at the most');
$session->run("UPDATE pnvs_internal.queue SET previous = id WHERE id = $last");
is(scalar(messages_of($other)), 10, 'also if somebody has made a circle');

# --- taken back

$queue->reload('pnvs.limits' => 'number 3/1h');

# How many more messages a number has room for, of three; they are canceled again.
sub room
{
	my ($number) = @_;
	my $probe = new_verification();
	my $room = grep { /^\d+$/ } map { enqueue($probe, number => $number, not_before => $LATER) } 1 .. 3;

	cancel_of($probe);
	return $room;
}

$verification = new_verification();
$number = Pnvs::Queue::new_number();
is(room($number), 3, 'a number has room for three');
is(room($number), 3, 'also after these were taken back');
$id = enqueue($verification, number => $number);
$queue->settled($id);
@id = (enqueue($verification, number => $number, not_before => $LATER),
	enqueue($verification, number => $number, not_before => $LATER, requester => "'one'::regrole"));
my $others = enqueue($other, number => Pnvs::Queue::new_number(), not_before => $LATER);
is(cancel_of($verification), 2, "what is queued of a verification is taken back, whoever's it is");
is(join(' ', map { my $row = row($_); "$row->{state} $row->{code}" } @id), 'canceled Local.NotNeeded canceled Local.NotNeeded', 'with the reason');
is(row($id[0])->{message}, 'no message was needed', 'in words, too');
is(row($id)->{state}, 'sent', 'what was sent stays');
is(row($others)->{state}, 'queued', "so does another verification's");
is(room($number), 2, 'the places are given back');
is(cancel_of($verification), 0, 'a second time there is nothing');
is(cancel_of(new_verification()), 0, 'nor is there of an unknown one');
is(cancel_of(new_verification(), undef, $other), 0, 'nor by the message of another');
is(row($others)->{state}, 'queued', 'which stays queued');

# A message that is claimed is being sent.
$verification = new_verification();
$session->run('BEGIN');
$id = enqueue($verification);
$session->run("UPDATE pnvs_internal.queue SET service_sid = 'sim-start:hang' WHERE id = $id; COMMIT");
$queue->in_state($id, 'sending');
is(cancel_of($verification), 0, 'a message that is being sent is not taken back');
is(row($id)->{state}, 'sending', 'and stays as it is');

# transactions
$verification = new_verification();
$number = Pnvs::Queue::new_number();
$session->run('BEGIN');
$id = enqueue($verification, number => $number);
is(cancel_of($verification), 1, 'a message of the same transaction is taken back');
$session->run('COMMIT');
is(row($id)->{state}, 'canceled', 'and never sent');
is(room($number), 3, 'and has no place');

$id = enqueue($verification, number => $number, not_before => $LATER);
$session->run('BEGIN');
is(cancel_of($verification), 1, 'a message is taken back in a transaction');
$session->run('ROLLBACK');
is(row($id)->{state}, 'queued', 'ROLLBACK leaves it queued');
is(room($number), 2, 'with its place');
$session->run('BEGIN; SAVEPOINT s');
cancel_of($verification);
$session->run('ROLLBACK TO s; COMMIT');
is(row($id)->{state}, 'queued', 'so does ROLLBACK TO SAVEPOINT');
is(room($number), 2, 'with its place, too');

# A worker that meets a locked row tries again a second later, unless it is woken.
ok($queue->at_once(sub {
			$session->run('BEGIN');
			$verification = new_verification();
			$id = enqueue($verification, not_before => "clock_timestamp() + '500 ms'");
			$session->run('COMMIT; BEGIN');
			is(cancel_of($verification), 1, 'a message that will be due is taken back');
			wait_until('it is due', sub { $session->value("SELECT clock_timestamp() > not_before + '200 ms' FROM pnvs_internal.queue WHERE id = $id") eq 't' });
			$session->run('ROLLBACK');
			my $free_at = $session->value('SELECT clock_timestamp()');
			$queue->settled($id);
			return $session->value("SELECT extract(epoch FROM dispatched_at - '$free_at') FROM pnvs_internal.queue WHERE id = $id");
	}), 'and is sent at once when that is rolled back');

# what others have committed since
my $reader = $queue->connect;
for my $level ('READ COMMITTED', 'REPEATABLE READ')
{
	$verification = new_verification();
	$reader->run("BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM pnvs_internal.queue");
	$id = enqueue($verification, not_before => $LATER);
	is(scalar(messages_of($verification, $reader)), 1, "$level: a message that was committed since is read");
	is(cancel_of($verification, $reader), 1, "$level: and taken back");
	$reader->run('COMMIT');
	is(row($id)->{state}, 'canceled', "$level: for good");
	$reader->run("BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM pnvs_internal.queue");
	$id = $queue->enqueue('FA1', $LATER);
	is($reader->value("SELECT cancel_verification($id)"), 't', "$level: cancel_verification does so, too");
	$reader->run('COMMIT');
}

# who waits for it hears of it
ok($queue->at_once(sub {
			my $id2 = enqueue($verification, not_before => $LATER);

			$reader->send("SELECT state, code, extract(epoch FROM clock_timestamp() - settled_at) AS late FROM await_verification($id2, '20 s')");
			wait_until('it waits', sub { $session->value("SELECT count(*) FROM pg_stat_activity WHERE pid = @{[$reader->pid]} "
					  . "AND wait_event IS NOT NULL AND state = 'active'") });
			cancel_of($verification);
			my ($awaited) = $reader->result->rows;
			is("$awaited->{state} $awaited->{code}", 'canceled Local.NotNeeded', 'who waits for a message hears that it was taken back');
			return $awaited->{late};
	}), 'at once');

# --- among many

# What a transaction has read of the queue, in the table and its indexes.
sub has_read
{
	my ($what) = @_;

	return qq{SELECT sum(pg_stat_get_xact_$what(oid)) FROM (SELECT 'pnvs_internal.queue'::regclass AS oid UNION ALL }
	  . q{SELECT indexrelid FROM pg_index WHERE indrelid = 'pnvs_internal.queue'::regclass) AS relation};
}

# The blocks that a session of its own reads to find the messages.
sub reads
{
	my ($sentence) = @_;
	my $who = $queue->connect;

	$who->run('BEGIN');
	my $before = $who->value(has_read('blocks_fetched'));
	is(scalar(messages_of($verification, $who)), 3, $sentence);
	return $who->value(has_read('blocks_fetched')) - $before;
}

$queue->configure('pnvs.worker' => 'off');
$verification = new_verification();
$session->run("SELECT messages_enqueue((6281700000003 + n)::text, gen_random_uuid(), '0', 0, '-infinity', false, $LATER, 0) FROM generate_series(1, 2000) AS n");
enqueue($verification, number => 6281700000000 + $_, not_before => $LATER, in => $session) for 1 .. 3;
$session->run('BEGIN');
$before = $session->value(has_read('tuples_returned'));
$session->run("SELECT messages_cancel_of('$verification', $last{$verification})");
cmp_ok($session->value(has_read('tuples_returned')) - $before, '<', 50, 'what is queued of a verification is found by an index');
$session->run('ROLLBACK');
cmp_ok(reads('the messages of a verification'), '<', 20, 'are found by an index, too');

# --- whatever becomes of the index

for my $change (
	'DROP INDEX pnvs_internal.queue_id_idx',
	"CREATE INDEX partial ON pnvs_internal.queue (id) WHERE state = 'sent'",
	'CREATE INDEX other_way_round ON pnvs_internal.queue (phone_verification, id)',
	'CREATE INDEX hashed ON pnvs_internal.queue USING hash (id)')
{
	$session->run($change);
	is(scalar(messages_of($verification)), 3, "the messages of a verification are found ($change)");
}
$session->run('CREATE INDEX whole ON pnvs_internal.queue (id DESC) WHERE id IS NOT NULL');
$session->run("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'pnvs_internal.whole'::regclass");
cmp_ok(reads('with an index that is not valid'), '>', 40, 'and not by it');
$session->run("UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'pnvs_internal.whole'::regclass");
cmp_ok(reads('with another that has them all'), '<', 20, 'and by it');

$queue->stop;
done_testing();
