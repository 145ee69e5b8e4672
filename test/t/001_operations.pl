# The three operations as callers see them: what they return, what they ask of
# the service, and how often.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Test::More;
use Time::HiRes;

use Pnvs::Session;
use Pnvs::Simulator;

my $SERVICE = 'FA00000000000001';
my $service = Pnvs::Simulator->new;
my $node = $service->new_node('operations');
my $session = Pnvs::Session->new($node);
my $next_number = 6281200000000;

# A number that no test has used, so that each finds only what is its own.
sub new_number { return $next_number++; }

# Runs a statement that must succeed; the simulator's log begins anew with it.
sub run
{
	my ($sql) = @_;

	$service->mark;
	return $session->run($sql);
}

sub sent { return $service->count('sent'); }
sub requests { return $service->count('request'); }

sub last_request { return ($service->events('request'))[-1]; }

# Starts a verification; its row, and the code that the service sent.
sub start
{
	my ($to, $sid) = @_;
	my ($row, $sent);

	$sid //= $SERVICE;
	$row = run("SELECT * FROM start_verification('SMS', '$to', '$sid')")->row;
	($sent) = $service->events('sent');
	return ($row, $sent && $sent->{code});
}

sub check
{
	my ($arguments) = @_;

	return run("SELECT * FROM check_verification($arguments)")->row;
}

# --- start

my $number = new_number();
my ($started, $code) = start("+62 812-" . substr($number, 5));

is($started->{success}, 't', 'a start succeeds');
is($started->{code}, 'OK', 'a start returns the code of the service');
is($started->{message}, 'OK', 'a start returns the message of the service');
is($started->{http_status}, 200, 'a start returns the HTTP status');
is($started->{status}, 'pending', 'a start returns the status');
like($started->{request_id}, qr/\A[0-9A-F-]{36}\z/, 'a start returns the request ID');
like($started->{verification_id}, qr{/.*\+}, 'a start returns the verification ID as it is');
is($started->{verify_code}, undef, 'a start does not hand out the code');
is(sent(), 1, 'a start sends one message');
is(requests(), 1, 'a start makes one request');

my $request = last_request();
is($request->{action}, 'StartVerification', 'a start asks for StartVerification');
is_deeply(
	$request->{params},
	{ Channel => 'SMS', To => $number, ServiceSid => $SERVICE },
	'a start sends its parameters, the number as digits, and no others');
ok($request->{signature_ok}, 'the request is signed');
is($request->{method}, 'POST', 'the request is a POST');
is($request->{path}, '/', 'the path is /');
is($request->{headers}{'content-length'}, 0, 'the request has no body');
ok(!exists $request->{headers}{'content-type'}, 'the request has no content type');
ok(!exists $request->{headers}{expect}, 'the request expects nothing');
ok(!exists $request->{headers}{'accept-encoding'}, 'the request asks for no compression');
ok(!exists $request->{headers}{cookie}, 'the request has no cookie');

for my $channel (qw(sms Voice WhatsApp))
{
	run("SELECT * FROM start_verification('$channel', '" . new_number() . "', '$SERVICE')");
	is(last_request()->{params}{Channel}, uc $channel, "the channel $channel is sent in upper case");
}

run(sprintf q{SELECT * FROM start_verification("to" => '%s', service_sid => '%s', channel => 'SMS')},
	new_number(), $SERVICE);
is(sent(), 1, 'arguments can be named');

$service->mark;
my $prepared = $session->prepared('SELECT * FROM start_verification($1, $2, $3)',
	[ 'SMS', new_number(), $SERVICE ]);
is($prepared->row->{success}, 't', 'arguments can be parameters');

run("SET pnvs.service_sid = 'FB1'");
run("SELECT * FROM start_verification('SMS', '" . new_number() . "')");
is(last_request()->{params}{ServiceSid}, 'FB1', 'the service is that of the setting');
run("SELECT * FROM start_verification('SMS', '" . new_number() . "', '$SERVICE')");
is(last_request()->{params}{ServiceSid}, $SERVICE, 'an argument comes before the setting');
run('RESET pnvs.service_sid');

$service->mark;
my $result = $session->query("SELECT * FROM start_verification('SMS', '" . new_number() . "')");
is($result->sqlstate, '22023', 'a start without a service is an error');
is(requests(), 0, 'a start without a service asks nothing');

# What is wrong is an error before a byte goes out, and never quotes its argument.
for my $bad (
	[ 'a channel that is none', "'FAX', '6281234567890', 'FA1'" ],
	[ 'a channel that is null', "NULL, '6281234567890', 'FA1'" ],
	[ 'a channel that is empty', "'', '6281234567890', 'FA1'" ],
	[ 'a number that is null', "'SMS', NULL, 'FA1'" ],
	[ 'a number that is empty', "'SMS', '', 'FA1'" ],
	[ 'a number that is too short', "'SMS', '628123', 'FA1'" ],
	[ 'a number that is too long', "'SMS', '6281234567890123', 'FA1'" ],
	[ 'a number with a letter', "'SMS', '62812345678x0', 'FA1'" ],
	[ 'a number without calling code', "'SMS', '081234567890', 'FA1'" ],
	[ 'a service that is empty', "'SMS', '6281234567890', ''" ],
	[ 'a service with a space', "'SMS', '6281234567890', 'F A'" ],
	[ 'a service that is too long', "'SMS', '6281234567890', '" . 'F' x 129 . "'" ])
{
	my ($what, $arguments) = @$bad;

	$service->mark;
	$result = $session->query("SELECT * FROM start_verification($arguments)");
	is($result->sqlstate, '22023', "$what is refused");
	unlike(join(' ', values %{ $result->{error} }), qr/6281234|08123/, "$what is not quoted");
	is(requests(), 0, "$what asks nothing of the service");
}

# --- check

my $id = $started->{verification_id};
my $wrong_code = sprintf '%06d', ($code + 1) % 1000000;
my $checked = check("'$wrong_code', '$id', '$number'");

is($checked->{approved}, 'f', 'a wrong code is not approved');
is($checked->{success}, 't', 'a wrong code is a successful check');
is($checked->{status}, 'pending', 'a wrong code leaves the status');

run("SET pnvs.on_failure = 'error'");
$checked = check("'$wrong_code', '$id', '$number'");
is($checked->{approved}, 'f', 'a wrong code is no error with on_failure = error');
run('RESET pnvs.on_failure');

$checked = check("'$code', '$id', '$number'");
is($checked->{approved}, 't', 'a right code is approved');
is($checked->{code}, 'OK', 'the code in the result is that of the service');
is($checked->{verification_id}, $id, 'a check returns the verification ID');
is($checked->{phone_number}, $number, 'a check returns the number');
is($checked->{channel}, 'SMS', 'a check returns the channel');
is($checked->{status}, 'approved', 'a check returns the status');
is($checked->{http_status}, 200, 'a check returns the HTTP status');
is_deeply(
	last_request()->{params},
	{ Code => $code, VerificationId => $id, To => $number },
	'a check leaves the service out where none is named');

check("'$code', '$id'");
ok(!exists last_request()->{params}{To}, 'a check leaves the number out where none is given');
$checked = check("code => '$code', verification_id => '$id', service_sid => 'FA1'");
is($checked->{approved}, 't', 'a check without number is approved by the code alone');
is(last_request()->{params}{ServiceSid}, 'FA1', 'a check sends the service where one is named');

my $other = new_number();
$checked = check("'$code', '$id', '$other'");
is($checked->{approved}, 'f', 'a right code for another number is not approved');
is($checked->{success}, 'f', 'the refusal of the service is a row');
is($checked->{code}, 'INVALID_PARAMETERS', 'the row has the code of the refusal');

for my $bad (
	[ 'a code that is null', "NULL, '$id'" ],
	[ 'a code that is empty', "'', '$id'" ],
	[ 'an ID that is null', "'123456', NULL" ],
	[ 'an ID that is empty', "'123456', ''" ],
	[ 'a code and an ID in the wrong order', "'$id', '$code'" ],
	[ 'a code of 17 characters', "'12345678901234567', '$id'" ],
	[ 'a code with a slash', "'12/456', '$id'" ],
	[ 'a code with a plus sign', "'12+456', '$id'" ],
	[ 'a number that is none', "'123456', '$id', '12'" ])
{
	my ($what, $arguments) = @$bad;

	$service->mark;
	$result = $session->query("SELECT * FROM check_verification($arguments)");
	is($result->sqlstate, '22023', "$what is refused");
	is(requests(), 0, "$what asks nothing of the service");
}
is(check("'1234567890123456', '$id'")->{approved}, 'f', 'a code of 16 characters is asked for');

for my $row (
	[ 'approved', 't', 'approved for this number' ],
	[ 'approved-plus', 't', 'approved for this number, written for people' ],
	[ 'approved-other', 'f', 'approved for another number' ],
	[ 'approved-nophone', 'f', 'approved for no number' ],
	[ 'status-upper', 'f', 'a status in upper case' ],
	[ 'success-false-approved', 'f', 'approved without success' ])
{
	my ($scenario, $approved, $what) = @$row;

	$checked = check("'000000', '$id', '$number', 'sim:$scenario'");
	is($checked->{approved}, $approved, "$what is " . ($approved eq 't' ? '' : 'not ') . 'approved');
}
for my $scenario (qw(approved approved-plus approved-other approved-nophone))
{
	is(check("'000000', '$id', NULL, 'sim:$scenario'")->{approved},
		't', "$scenario is approved where no number is given");
}
is(check("'000000', '$id', '$number', 'sim:status-upper'")->{status},
	'APPROVED', 'an unknown status is kept as it is');

# --- search

sub search
{
	my ($arguments) = @_;

	return run("SELECT * FROM search_verification($arguments)");
}

my $searched_number = new_number();
my ($first) = start($searched_number, 'FC1');
Pnvs::Simulator::wait_until('another millisecond', sub { Time::HiRes::time() > ($service->events('sent'))[0]{t} + 0.002 });
my $between = $session->value('SELECT clock_timestamp()');
my ($second, $second_code) = start($searched_number, 'FC2');
my ($first_id, $second_id) = ($first->{verification_id}, $second->{verification_id});

for my $row (
	[ qq{"to" => '+$searched_number'}, [ $second_id, $first_id ], 'by number' ],
	[ qq{'FC1', '$searched_number'}, [$first_id], 'by service and number' ],
	[ q{'FC2'}, [$second_id], 'by service' ],
	[ "verification_id => '$first_id'", [$first_id], 'by verification ID' ],
	[ qq{code => '$second_code', "to" => '$searched_number'}, [$second_id], 'by code' ],
	[ qq{"to" => '$searched_number', send_date => '$between'}, [$second_id], 'by time' ],
	[ q{"to" => '6281999999999'}, [], 'for what is not there' ])
{
	my ($arguments, $found, $what) = @$row;

	is_deeply([ search($arguments)->column('verification_id') ],
		$found, "a search finds what is asked for $what");
}

my $record = search("verification_id => '$second_id'")->row;
is_deeply(
	[ @$record{qw(to channel service_sid status)} ],
	[ $searched_number, 'SMS', 'FC2', 'pending' ],
	'a record has its columns');
is( $session->value("SELECT '$record->{send_date}'::timestamptz"
		  . " BETWEEN date_trunc('milliseconds', '$between'::timestamptz) AND clock_timestamp()"),
	't', 'a record has the time at which it was sent');
is_deeply(
	last_request()->{params},
	{ VerificationId => $second_id, PageSize => 20, CurrentPage => 1 },
	'a search leaves out what it is not asked for');

run("SET pnvs.service_sid = 'FC1'");
is_deeply([ search(qq{"to" => '$searched_number'})->column('verification_id') ],
	[$first_id], 'a search takes the service of the setting');
run('RESET pnvs.service_sid');

for my $bad ('page_size => 0', 'page_size => 1001', 'page_size => NULL', 'max_records => 0',
	'max_records => 100001', "\"to\" => '12'", "send_date => 'infinity'",
	"send_date => now() - interval '32 days'", "send_date => 'tomorrow'")
{
	$service->mark;
	$result = $session->query("SELECT * FROM search_verification($bad)");
	is($result->sqlstate, '22023', "a search with $bad is refused");
	is(requests(), 0, "a search with $bad asks nothing of the service");
}

# Pages: total, size and limit; then the rows and the requests that they take.
for my $row (
	[ 45, 20, 1000, 45, 3 ],
	[ 40, 20, 1000, 40, 2 ],
	[ 1, 20, 1000, 1, 1 ],
	[ 0, 20, 1000, 0, 1 ],
	[ 45, 10, 1000, 45, 5 ],
	[ 45, 20, 25, 25, 2 ],
	[ 45, 20, 20, 20, 1 ],
	[ 45, 20, 5, 5, 1 ],
	[ 2500, 1000, 100000, 2500, 3 ])
{
	my ($total, $page_size, $max_records, $rows, $requests) = @$row;
	my $what = "$total records by $page_size up to $max_records";
	my @id = search("'sim:pages:$total', page_size => $page_size, max_records => $max_records")
	  ->column('verification_id');
	my %different = map { $_ => 1 } @id;

	is(scalar @id, $rows, "$what are $rows rows");
	is(scalar keys %different, $rows, "$what are all different");
	is(requests(), $requests, "$what take $requests requests");
	is_deeply(
		[ map { $_->{params}{CurrentPage} } $service->events('request') ],
		[ 1 .. $requests ],
		"$what are asked for page by page");
}

# Pages that cannot be right.
for my $row (
	[ 'repeatpage', 2, 'the first page again', 'another page than the one asked for' ],
	[ 'repeatpage2', 2, 'the first page under the number of the second', 'the same page twice' ],
	[ 'cycle', 3, 'pages in a circle', 'the same page twice' ],
	[ 'shrinking', 7, 'more pages than the first one promised', 'pages without end' ])
{
	my ($scenario, $requests, $what, $words) = @$row;

	$service->mark;
	$result = $session->query("SELECT * FROM search_verification('sim:$scenario', page_size => 20, max_records => 100)");
	is($result->sqlstate, '38V02', "$what is an error");
	like($result->message, qr/\Q$words\E\z/, "$what: the message says so");
	like($result->detail, qr/\Asent=maybe stage=reply/, "$what has been asked for");
	isnt($result->hint, '', "$what has a hint");
	is(requests(), $requests, "$what is noticed after $requests requests");
}
for my $row ([ 'endless', 100, 5 ], [ 'endless1', 30, 30 ])
{
	my ($scenario, $rows, $requests) = @$row;

	is(scalar(search("'sim:$scenario', max_records => $rows")->rows),
		$rows, "pages without end ($scenario) end at max_records");
	is(requests(), $requests, "pages without end ($scenario) are read as far as they are needed");
}
is(scalar(search("'sim:emptypage'")->rows), 20, 'an empty page is the last');
is(requests(), 2, 'nothing is asked for after an empty page');
is(scalar(search("'sim:nototal'")->rows), 50, 'without a total, pages are read until one is not full');
is(requests(), 3, 'without a total, a page that is not full is the last');
is(scalar(search("'sim:manyrecords'")->rows), 1000, 'a page with too many records is cut at max_records');
is(scalar(search("'sim:manyrecords', max_records => 5000")->rows),
	3000, 'a page with more records than were asked for is read whole');

# Records that are odd.
my @odd = search("'sim:oddrecords'")->rows;
my $sent_at = $session->value("SELECT '2026-01-01 00:00:00+00'::timestamptz");
cmp_ok(scalar @odd, '>=', 17, 'odd records are rows');
is($odd[0]{send_date}, $sent_at, 'a date that is a text of digits is read');
is_deeply([ map { $odd[$_]{send_date} } 1 .. 5 ],
	[ (undef) x 5 ], 'a date that no clock gives is null');
is($odd[6]{updated_date}, undef, 'a date that is an object is null');
is($odd[7]{channel}, undef, 'a channel that is null is null');
is($odd[9]{to}, '6281234567890', 'a number that is a JSON number is a text');
is($odd[10]{to}, undef, 'a number that is an array is null');
is($odd[14]{status}, undef, 'a status that is an object is null');
is($odd[15]{status}, "\xE4\xB8\x8D\xE6\x98\x8E", 'a status in another script is kept');
is((grep { ($_->{to} // '') eq 'evil' } @odd), 0, 'an unknown field inside a record is passed over');

# --- one statement, one message

my $call = sub {
	return "start_verification('SMS', '" . ($_[0] // new_number()) . "', '$SERVICE')";
};

run('SELECT (' . $call->() . ').*');
is(sent(), 1, 'all columns of one call send one message');

$result = run('SELECT (v).* FROM (SELECT ' . $call->() . ' AS v OFFSET 0) AS s');
is(sent(), 1, 'all columns of a subquery send one message');
is($result->row->{success}, 't', 'all columns of a subquery are returned');

my $same = new_number();
$result = run("SELECT (@{[$call->($same)]}).verification_id AS a, (@{[$call->(qq{+$same})]}).verification_id AS b");
is(sent(), 1, 'the same number written in two ways gets one message in a statement');
is($result->row->{a}, $result->row->{b}, 'a repeat in a statement returns the first row');

run('SELECT ' . $call->($same) . " FROM generate_series(1, 5)");
is(sent(), 1, 'a number that a statement names five times gets one message');

run('SELECT ' . $call->($same) . ", start_verification('VOICE', '$same', '$SERVICE'), start_verification('SMS', '$same', 'FB9')");
is(sent(), 3, 'another channel or another service is another message');

run('SELECT ' . $call->($same) . '; SELECT ' . $call->($same));
is(sent(), 2, 'two statements send two messages');

run('BEGIN; SELECT ' . $call->($same) . '; SELECT ' . $call->($same) . '; COMMIT');
is(sent(), 2, 'two statements of one transaction send two messages');

run('PREPARE p AS SELECT (' . $call->($same) . ').*; EXECUTE p; EXECUTE p; DEALLOCATE p');
is(sent(), 2, 'a prepared statement sends one message each time that it runs');

run('SELECT * FROM ' . $call->($same) . ' AS a, ' . $call->($same) . ' AS b');
is(sent(), 1, 'two calls in FROM send one message');

$session->run('CREATE TABLE people (id integer PRIMARY KEY, phone text, note text)');
$session->run("INSERT INTO people SELECT i, '6285500000' || lpad((i % 4)::text, 3, '0') FROM generate_series(1, 8) AS i");
$result = run("SELECT p.id, v.* FROM people AS p, LATERAL start_verification('SMS', p.phone, '$SERVICE') AS v");
is(sent(), 4, 'a LATERAL call sends one message for each number of a table');
is(scalar($result->rows), 8, 'a LATERAL call returns a row for each row of the table');

run("SELECT (start_verification('SMS', phone, '$SERVICE')).* FROM people WHERE id <= 4");
is(sent(), 4, 'all columns of a call over a table send one message for each number');

run("SELECT id FROM people WHERE (start_verification('SMS', phone, '$SERVICE')).success AND id = 3");
is(sent(), 1, 'a call in WHERE is made after every other condition');

run("WITH v AS (INSERT INTO people SELECT 100, (" . $call->() . ").verification_id RETURNING *) SELECT * FROM v");
is(sent(), 1, 'a data-modifying WITH sends one message');
run("WITH v AS (INSERT INTO people SELECT 101, (s).verification_id, (s).status FROM (SELECT "
	. $call->() . ' AS s) AS t) SELECT 1');
is(sent(), 1, 'a data-modifying WITH that nobody reads sends one message');
is($session->value('SELECT note FROM people WHERE id = 101'), 'pending', 'its row is written');
run("INSERT INTO people SELECT 102 RETURNING (" . $call->() . ').*');
is(sent(), 1, 'RETURNING all columns sends one message');
run('CREATE TABLE kept AS SELECT (' . $call->() . ').*');
is(sent(), 1, 'CREATE TABLE AS all columns sends one message');
run('EXPLAIN (ANALYZE, COSTS off) SELECT (' . $call->() . ').*');
is(sent(), 1, 'EXPLAIN ANALYZE of all columns sends one message');
run('EXPLAIN SELECT (' . $call->() . ').*');
is(sent(), 0, 'EXPLAIN sends no message');

# Pieces of one execution are still one execution.
run("BEGIN; DECLARE c CURSOR FOR SELECT i, (start_verification('SMS', '$same', '$SERVICE')).* FROM generate_series(1, 3) AS i");
for my $i (1 .. 3)
{
	is($session->run('FETCH 1 FROM c')->row->{i}, $i, "a cursor returns row $i");
}
run('CLOSE c; COMMIT');
$service->mark;
$session->run("BEGIN; DECLARE c CURSOR FOR SELECT (start_verification('SMS', '$same', '$SERVICE')).* FROM generate_series(1, 3)");
is(requests(), 0, 'a cursor that is only declared sends nothing');
$session->run('FETCH 1 FROM c') for 1 .. 3;
$session->run('COMMIT');
is(sent(), 1, 'a cursor that is fetched from in pieces sends one message');

$service->mark;
$result = $session->prepared('SELECT (start_verification($1, $2, $3)).* FROM generate_series(1, 6)',
	[ 'SMS', $same, $SERVICE ], 2);
is(scalar($result->rows), 6, 'a portal that is fetched from in pieces returns every row');
is(sent(), 1, 'a portal that is fetched from in pieces sends one message');

# A row that somebody else has changed meanwhile is computed anew, by another
# executor state of the same statement.
{
	my $blocker = Pnvs::Session->new($node);

	$blocker->run("BEGIN; UPDATE people SET note = 'theirs' WHERE id = 1");
	$service->mark;
	$session->send("UPDATE people SET note = (" . $call->($same) . ").verification_id WHERE id = 1 RETURNING note");
	$service->wait_for('reply');
	Pnvs::Simulator::wait_until('the update waits for the row',
		sub { $blocker->value("SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = @{[$session->pid]}") });
	$blocker->run('COMMIT');
	ok(!$session->result->failed, 'an update of a row that was changed meanwhile succeeds');
	is(sent(), 1, 'an update of a row that was changed meanwhile sends one message');
	$blocker->close;
}

# A check is made once in a statement, too.
($started, $code) = start($same);
$result = run("SELECT (check_verification('$code', '$started->{verification_id}', '$same')).*");
is($result->row->{approved}, 't', 'all columns of a check are returned');
is(requests(), 1, 'all columns of a check make one request');

# --- PL/pgSQL

sub in_plpgsql
{
	my ($declarations, $body) = @_;

	return run("DO \$\$ DECLARE $declarations BEGIN $body END \$\$");
}

in_plpgsql('r start_verification_result;',
	'r := ' . $call->($same) . '; r := ' . $call->($same) . '; IF NOT r.success THEN RAISE EXCEPTION \'%\', r; END IF;');
is(sent(), 2, 'two assignments of one transaction send two messages');

in_plpgsql('r start_verification_result;', 'FOR i IN 1 .. 3 LOOP r := ' . $call->($same) . '; END LOOP;');
is(sent(), 3, 'an assignment in a loop sends each time');

in_plpgsql('r record;', 'FOR i IN 1 .. 3 LOOP SELECT (' . $call->($same) . ').* INTO r; END LOOP;');
is(sent(), 3, 'SELECT all columns INTO a variable in a loop sends one message each time');

in_plpgsql('r record;', 'FOR i IN 1 .. 2 LOOP SELECT * INTO STRICT r FROM ' . $call->($same) . '; END LOOP;');
is(sent(), 2, 'SELECT INTO from a call in a loop sends one message each time');

in_plpgsql('n integer := 0;', 'FOR i IN 1 .. 2 LOOP PERFORM ' . $call->($same) . '; END LOOP;');
is(sent(), 2, 'PERFORM in a loop sends each time');

in_plpgsql('r record;',
	'FOR r IN SELECT (' . $call->($same) . ').* FROM generate_series(1, 100) LOOP NULL; END LOOP;');
is(sent(), 1, 'a loop over a query, which fetches in pieces, sends one message');

in_plpgsql('n integer := 0;',
	'WHILE (' . $call->($same) . ').success LOOP n := n + 1; EXIT WHEN n = 3; END LOOP;');
is(sent(), 3, 'a condition sends each time that it is tested');

in_plpgsql('r record;', 'FOR i IN 1 .. 2 LOOP EXECUTE \'SELECT (start_verification($1, $2, $3)).*\' INTO r '
	. "USING 'SMS', '$same', '$SERVICE'; END LOOP;");
is(sent(), 2, 'EXECUTE in a loop sends one message each time');

in_plpgsql('r start_verification_result;',
	'BEGIN r := ' . $call->($same) . '; RAISE EXCEPTION \'x\'; EXCEPTION WHEN raise_exception THEN r := '
	. $call->($same) . '; END;');
is(sent(), 2, 'a call in an exception handler sends');

$session->run(<<"SQL");
CREATE FUNCTION invite(phone text) RETURNS text LANGUAGE plpgsql AS
\$\$ BEGIN RETURN (start_verification('SMS', phone, '$SERVICE')).verification_id; END \$\$;
CREATE FUNCTION invite_sql(phone text) RETURNS start_verification_result LANGUAGE sql AS
\$\$ SELECT start_verification('SMS', phone, '$SERVICE') \$\$;
CREATE FUNCTION invite_row() RETURNS trigger LANGUAGE plpgsql AS
\$\$ BEGIN NEW.note := (start_verification('SMS', NEW.phone, '$SERVICE')).verification_id; RETURN NEW; END \$\$;
SQL
run("SELECT invite('$same'), invite('$same') FROM generate_series(1, 2)");
is(sent(), 4, 'a function that sends does so each time that a query calls it');
run("SELECT (invite_sql('$same')).*");
is(sent(), 1, 'an SQL function is part of the statement that calls it');

$session->run('CREATE TRIGGER invite BEFORE INSERT OR UPDATE OF phone ON people FOR EACH ROW EXECUTE FUNCTION invite_row()');
run("INSERT INTO people SELECT 200 + i, '628560000000' || i FROM generate_series(0, 2) AS i");
is(sent(), 3, 'a trigger sends one message for each row');
run("UPDATE people SET note = NULL WHERE id = 200");
is(sent(), 0, 'a trigger that is not fired sends nothing');
is($session->value('SELECT count(DISTINCT note) FROM people WHERE id BETWEEN 200 AND 202'),
	2, 'a trigger keeps the verification ID');
$session->run('DROP TRIGGER invite ON people');

# Where the stack runs out, it does so before the message is sent: afterwards
# nobody would know its verification ID.
$session->run(<<"SQL");
CREATE FUNCTION send_from_depth(depth integer) RETURNS text LANGUAGE plpgsql AS
\$\$ BEGIN
	IF depth = 0 THEN RETURN (start_verification('SMS', '$same', '$SERVICE')).verification_id; END IF;
	RETURN send_from_depth(depth - 1);
END \$\$;
CREATE FUNCTION count_to_the_end_of_the_stack() RETURNS integer LANGUAGE plpgsql AS
\$\$ BEGIN
	FOR depth IN 0 .. 1000 LOOP
		BEGIN
			PERFORM send_from_depth(depth);
		EXCEPTION WHEN statement_too_complex THEN
			RETURN depth;
		END;
	END LOOP;
END \$\$;
SQL
for my $kb (100 .. 103)
{
	$session->run("SET max_stack_depth = '${kb}kB'");
	is(run('SELECT count_to_the_end_of_the_stack()')->value,
		sent(), "with a stack of $kb kB each message that is sent returns its row");
}
$session->run('RESET max_stack_depth');

# --- settings

run('SET pnvs.expose_verify_code = on');
$result = run('SELECT (' . $call->() . ').*');
is($result->row->{verify_code}, ($service->events('sent'))[0]{code},
	'expose_verify_code hands out the code');
run('RESET pnvs.expose_verify_code');
is(run('SELECT (' . $call->() . ').*')->row->{verify_code}, undef, 'without it there is no code');

run("SET pnvs.on_failure = 'error'");
is(run('SELECT (' . $call->() . ').*')->row->{success}, 't', 'success is a row with on_failure = error');
is($session->query("SELECT start_verification('SMS', '6281234567890', 'sim:code:MOBILE_NUMBER_ILLEGAL:200')")->sqlstate,
	'38V04', 'a refusal is an error with on_failure = error');
run('RESET pnvs.on_failure');

# --- the statement that loads the library

{
	my $fresh = Pnvs::Session->new($node, options => '-c session_preload_libraries=');
	my ($first, $second) = map { $call->() } 1 .. 2;

	$service->mark;
	$result = $fresh->run("SELECT * FROM (VALUES (($first).*), (($second).*)) AS v");
	is(scalar($result->rows), 2, 'rows of VALUES that load the library are there');
	is($service->count('sent'), 2, 'they send one message each');
	$service->mark;
	$fresh->close;
	$fresh = Pnvs::Session->new($node, options => '-c session_preload_libraries=');
	$first = $call->();
	$fresh->run("DO \$\$ DECLARE got text; BEGIN FOR i IN 1 .. 2 LOOP got := ($first).status; END LOOP; END \$\$");
	is($service->count('sent'), 2, 'a PL/pgSQL line that loads the library, and is run again, sends again');
	$fresh->close;
}

# --- connections

{
	my $fresh = Pnvs::Session->new($node);
	my (@request, %connection);

	$service->mark;
	$fresh->run('SELECT ' . $call->()) for 1 .. 3;
	$fresh->run("SELECT * FROM search_verification('$SERVICE', max_records => 1)");
	@request = $service->events('request');
	%connection = map { $_->{connection} => 1 } @request;
	is(scalar keys %connection, 1, 'a session keeps its connection');
	is($service->count('accept'), 1, 'a session opens no other connection');
	is_deeply([ map { $_->{nth} } @request ], [ 1 .. 4 ], 'a session reuses its connection');
	is(scalar(keys %{ { map { $_->{nonce} => 1 } @request } }), 4, 'no nonce is used twice');

	# A connection that is closed after its answer; the next one is a new one.
	$service->mark;
	$fresh->run("SELECT start_verification('SMS', '" . new_number() . "', 'sim:last')");
	$fresh->run('SELECT ' . $call->());
	is_deeply([ map { $_->{resumed} ? 1 : 0 } $service->events('tls') ],
		[1], 'a session resumes its TLS session on a new connection');

	@request = $service->events('request');
	$fresh->close;
	is($service->wait_for('close', connection => $request[-1]{connection})->{how},
		'peer', 'the end of the session closes the connection');
}

# --- temporary credentials

{
	my $temporary = Pnvs::Simulator->new(
		access_key_id => 'STS.sim',
		access_key_secret => 'temporarysecret',
		security_token => 'CAIS+token/with=signs');

	$session->run("SET pnvs.endpoint = '" . $temporary->endpoint . "'");
	$session->run("SET pnvs.ca_file = '" . $temporary->ca_file . "'");
	$session->run("SET pnvs.access_key_id = 'STS.sim'");
	$session->run("SET pnvs.access_key_secret = 'temporarysecret'");
	$result = $session->run('SELECT * FROM ' . $call->());
	is($result->row->{code}, 'InvalidSecurityToken.MismatchWithAccessKey',
		'a temporary key without its token is refused');

	$session->run("SET pnvs.security_token = 'CAIS+token/with=signs'");
	$temporary->mark;
	is($session->run('SELECT * FROM ' . $call->())->row->{success},
		't', 'a temporary key with its token is accepted');
	ok(($temporary->events('request'))[0]{signature_ok}, 'the token is signed');

	$session->run("SET pnvs.access_key_secret = 'othersecret'");
	is($session->run('SELECT * FROM ' . $call->())->row->{code},
		'SignatureDoesNotMatch', 'a wrong secret is refused');
	$session->run('RESET ALL');
	is($session->run('SELECT * FROM ' . $call->())->row->{success},
		't', 'the settings go back to those of the server');
}

$session->run("SET pnvs.access_key_secret = ''");
$service->mark;
$result = $session->query('SELECT ' . $call->());
is($result->sqlstate, 'F0000', 'a call without credentials is an error of the configuration');
isnt($result->hint, '', 'it has a hint');
is(requests(), 0, 'a call without credentials asks nothing');
$session->run('RESET pnvs.access_key_secret');

$session->close;
$node->stop;
done_testing();
