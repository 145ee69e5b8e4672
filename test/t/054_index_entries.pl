# Every row has its entry in every index, once, whatever happens to the indexes meanwhile:
# sessions queue, begin, confirm and cancel, the worker settles, savepoints are rolled back,
# while another session makes, remakes and drops indexes and rewrites the tables.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use POSIX qw(strftime);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Pnvs::Session;
use Pnvs::Simulator;
use Pnvs::Verification;

$PostgreSQL::Test::Utils::timeout_default = 60;

my $WRITERS = 3;
my $SECONDS = 6;
my $CODE = '123456';
my $QUEUE = 'pnvs_internal.queue';
my $VERIFICATIONS = 'pnvs_internal.phone_verification';

my @number = map { '659000000' . $_ } 1 .. $WRITERS;
my $until = strftime('%F', gmtime(time + 30 * 24 * 60 * 60));
my $test_numbers = join ', ', map { "$_=$CODE until $until" } @number;
my $service = Pnvs::Simulator->new;
my $pv = Pnvs::Verification->new($service, 'entries', conf => <<"CONF");
pnvs.service_sid = 'FA1'
pnvs.limits = ''
pnvs.breaker = ''
pnvs.test_numbers = '$test_numbers'
autovacuum = off
CONF
my $session = $pv->session;

$session->run('CREATE EXTENSION amcheck');

# --- kinds of indexes that an owner can add

# Kinds that amcheck does not know, or whose conditions it does not check, are asked for rows.
my %of_owner = (
	hash => [ 'look_hash', "$QUEUE USING hash (channel)", "channel = 'SMS'" ],
	brin => [ 'look_brin', "$QUEUE USING brin (created_at) WITH (pages_per_range = 1)", "created_at >= '%s'" ],
	gin => [ 'look_gin', "$VERIFICATIONS USING gin (channels)", "channels @> '{VOICE}'" ],
	partial => [ 'look_partial', "$VERIFICATIONS (begun_at) WHERE state = 'approved'", "state = 'approved' AND begun_at >= '2000-01-01'" ],
	covering => [ 'look_covering', "$QUEUE (settled_at) INCLUDE (state)", "settled_at >= '2000-01-01'" ],
	unique => [ 'look_unique', "$VERIFICATIONS (id, state)" ]);

# The statement that makes it.
sub create
{
	my ($kind) = @_;
	my ($name, $definition) = @{ $of_owner{$kind} };
	my $unique = $kind eq 'unique' ? 'UNIQUE' : '';

	return "CREATE $unique INDEX CONCURRENTLY $name ON $definition";
}

# --- who writes, and who makes indexes

my @writer = map { Pnvs::Session->new($pv->node) } @number;
my $end = $session->value("SELECT clock_timestamp() + '$SECONDS s'");
for my $i (0 .. $#writer)
{
	$writer[$i]->send(<<"SQL");
DO \$\$
DECLARE
	message bigint;
	last_message bigint = 0;
	begun uuid;
	old uuid;
	answer record;
BEGIN
	WHILE clock_timestamp() < '$end' LOOP
		message := enqueue_verification('SMS', '$number[$i]', not_before => clock_timestamp() + '1 hour');
		PERFORM enqueue_verification('SMS', '$number[$i]');
		SELECT id INTO begun FROM begin_verification('$number[$i]', channels => '{SMS,VOICE}');
		IF random() < 0.3 THEN
			PERFORM cancel_phone_verification(begun);
		END IF;
		BEGIN
			PERFORM enqueue_verification('SMS', '$number[$i]'), cancel_verification(message);
			PERFORM begin_verification('$number[$i]');
			RAISE no_data_found;
		EXCEPTION WHEN no_data_found THEN
			IF random() < 0.5 THEN
				PERFORM cancel_verification(last_message);
			END IF;
		END;
		last_message := message;
		COMMIT;
		SELECT id INTO old FROM $VERIFICATIONS
			WHERE state = 'pending' AND recipient = '$number[$i]' AND begun_at < clock_timestamp() - '1.2 s'::interval LIMIT 1;
		IF FOUND THEN
			PERFORM confirm_verification(old, '000000');
			SELECT * INTO answer FROM confirm_verification(old, '$CODE');
			IF answer.approved AND random() < 0.5 THEN
				PERFORM use_verification(old);
			END IF;
			COMMIT;
		END IF;
	END LOOP;
END \$\$
SQL
}

my $indexer = Pnvs::Session->new($pv->node);
my %failed;
my $rounds = 0;
my @steps = ((map { create($_) } sort keys %of_owner),
	"SELECT brin_summarize_new_values('look_brin')",
	"REINDEX TABLE CONCURRENTLY $QUEUE",
	"VACUUM $QUEUE, $VERIFICATIONS",
	"REINDEX TABLE CONCURRENTLY $VERIFICATIONS",
	"VACUUM FULL $QUEUE, $VERIFICATIONS",
	'DROP INDEX CONCURRENTLY pnvs_internal.look_unique',
	'DROP INDEX CONCURRENTLY pnvs_internal.look_hash',
	create('hash'),
	create('unique'),
	"CLUSTER $VERIFICATIONS USING phone_verification_pkey",
	"REINDEX TABLE $QUEUE");
my $middle;
$indexer->run('SET search_path = public, pnvs_internal');
while (!grep { $_->has_answer } @writer)
{
	for my $step (@steps)
	{
		my $result = $indexer->query($step);
		$failed{$step} = $result->message if $result->failed;
		$middle //= $session->value('SELECT clock_timestamp()') if $step =~ /brin_summarize/;
	}
	$rounds++;
	@steps = grep { !/^CREATE/ } @steps if $rounds == 1;
	push @steps, create('hash'), create('unique') if $rounds == 1;
}
is_deeply(\%failed, {}, "indexes were made and remade, and the tables rewritten ($rounds rounds)");
is($_->result->message // '', '', 'meanwhile a session wrote') for @writer;
Pnvs::Simulator::wait_until('the worker has settled what is due', sub {
		$session->value("SELECT count(*) FROM $QUEUE WHERE settled_at IS NULL AND not_before < clock_timestamp()") == 0;
});
for my $state ('approved', 'used', 'canceled')
{
	cmp_ok($session->value("SELECT count(*) FROM $VERIFICATIONS WHERE state = '$state'"), '>', 5, "many verifications are $state");
}
cmp_ok($session->value("SELECT count(*) FROM $QUEUE WHERE state = '$_'"), '>', 20, "many messages are $_") for 'queued', 'sent', 'canceled';

# --- what the indexes hold

# rows also from after the last was remade
$pv->begin($_) for @number;

my $indexes = $session->run(<<"SQL");
SELECT i.indexrelid::regclass::text AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid IN ('$QUEUE'::regclass, '$VERIFICATIONS'::regclass) AND c.relam = (SELECT oid FROM pg_am WHERE amname = 'btree')
SQL
my @btree = map { $_->{name} } @{ $indexes->{rows} };
cmp_ok(scalar @btree, '>=', 18, 'there are the indexes that pnvs has, and those of the owner');
for my $index (@btree)
{
	is($session->query("SELECT bt_index_check('$index', heapallindexed => true)")->message // '', '', "$index: every row has its entry");
}

for my $kind (grep { $of_owner{$_}[2] } sort keys %of_owner)
{
	my ($name, $definition, $condition) = @{ $of_owner{$kind} };
	my ($table) = $definition =~ /^(\S+)/;
	my $query = "SELECT count(*) FROM $table WHERE " . sprintf $condition, $middle;
	my $by_table;

	$session->run('SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off');
	$by_table = $session->value($query);
	$session->run('SET enable_seqscan = off; RESET enable_indexscan; RESET enable_indexonlyscan; RESET enable_bitmapscan');
	like($session->run("EXPLAIN (FORMAT json) $query")->value, qr/"$name"/, "$kind: rows are looked for by this index");
	is($session->value($query), $by_table, "$kind: as many are found as without it");
	$session->run('RESET enable_seqscan');
	cmp_ok($by_table, '>', 5, "$kind: these are many");
}

done_testing();
