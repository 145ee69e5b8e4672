# Numbers and codes as people write and paste them: what they are taken for in every
# function and in the trigger, in any encoding, and that what is doubtful goes to nobody.

use strict;
use warnings;
use utf8;

use Encode;
use FindBin;
use lib "$FindBin::RealBin/../perl";

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Session;
use Pnvs::Simulator;

my $ROOT = "$FindBin::RealBin/../..";
my $NUMBER = '6281234567890';

# What the hint says of each fault of the table of spellings.
my %HINT = (
	BAD_CHARACTER => qr/\AOnly digits/,
	MISPLACED_PLUS => qr/\AA plus sign/,
	EXTENSION => qr/extension/,
	DECIMAL => qr/decimal number/,
	TRUNK_PREFIX => qr/"\(0\)"/,
	TRUNK_ZERO => qr/zero behind the country calling code/,
	INTERNATIONAL_PREFIX => qr/\+ instead of the leading 00/,
	LEADING_ZERO => qr/begin with the country calling code/,
	TOO_SHORT => qr/at least/,
	TOO_LONG => qr/at the most/);

my @SPELLING = @{ JSON::PP->new->utf8->decode(slurp_file("$ROOT/test/vectors/spellings.json"))->{spellings} };
my $service = Pnvs::Simulator->new;
my $node = $service->new_node('numbers', init => [ '--locale=C', '--encoding=UTF8' ], conf => "pnvs.service_sid = 'FA1'\n");
my $session = Pnvs::Session->new($node);

# What goes to a session is bytes in its encoding.
sub bytes { return encode('UTF-8', $_[0]); }

sub call
{
	my ($function, @argument) = @_;
	my $places = join ', ', map { "\$$_" } 1 .. @argument;

	$service->mark;
	return $session->prepared("SELECT * FROM $function($places)", [ map { defined $_ ? bytes($_) : undef } @argument ]);
}

sub sent_to { return join ' ', map { $_->{to} } $service->events('sent'); }

# An error about an argument, with a hint, and with nothing of the argument; no request.
sub refused
{
	my ($result, $hint, $secret, $what) = @_;
	my $shown = join ' ', map { $result->$_ } qw(message detail hint context);

	is($result->sqlstate, '22023', "$what is refused");
	like($result->hint, $hint, "$what: the hint says why");
	unlike($shown, $secret, "$what: the error does not show it");
	is($service->count('request'), 0, "$what: nothing is sent");
	return;
}

# --- every spelling, in every function

for my $spelling (@SPELLING)
{
	my ($what, $text, $expected) = @$spelling;
	my $normal = call('normalize_phone_number', $text);
	my $start = call('start_verification', 'SMS', $text);

	if ($expected =~ /\A\d+\z/)
	{
		is($normal->value, "+$expected", "$what is a number");
		is(sent_to(), $expected, "$what: the code goes to that number");
	}
	else
	{
		my ($digits) = ($text =~ tr/0-9//cdr) =~ /(\d{5,})/;

		refused($start, $HINT{$expected}, defined $digits ? qr/$digits/ : qr/\0/, $what);
		is($normal->sqlstate . $normal->hint, $start->sqlstate . $start->hint, "$what is no number to normalize_phone_number()");
	}
}

# --- the two functions for columns, indexes and CHECKs

is(call('normalize_phone_number', undef)->value, undef, 'a null is a null');
my %country = (
	'+1 415 555 0100' => 'US', '+1 416 555 0100' => 'CA', '+1 876 555 0100' => 'JM', '+7 701 123 45 67' => 'KZ',
	'+44 7911 123456' => 'GG', '+44 20 7946 0958' => 'GB', '+39 06 69812345' => 'VA', '62 812-3456-7890' => 'ID',
	'٦٢٨١٢٣٤٥٦٧٨٩٠' => 'ID', '+882 1234 5678' => undef, '+1 211 555 0100' => undef, '0812 3456 7890' => undef, 'none' => undef,
	'' => undef);
for my $number (sort keys %country)
{
	is(call('phone_number_country', $number)->value, $country{$number}, bytes("the country of \"$number\""));
}
is($session->query(<<'SQL')->value, 't', 'both are IMMUTABLE, STRICT and PARALLEL SAFE');
SELECT count(*) = 2 AND bool_and(provolatile = 'i' AND proisstrict AND proparallel = 's') FROM pg_proc
WHERE proname IN ('normalize_phone_number', 'phone_number_country')
SQL
$session->run('CREATE ROLE somebody');
$session->run('SET ROLE somebody');
is(call('normalize_phone_number', "+$NUMBER")->value, "+$NUMBER", 'everybody may normalise a number');
is(call('phone_number_country', "+$NUMBER")->value, 'ID', 'everybody may ask for its country');
is(call('start_verification', 'SMS', $NUMBER)->sqlstate, '42501', 'and may send nothing');
$session->run('RESET ROLE');
$session->query(<<'SQL');
CREATE TABLE contact (phone text CHECK (phone = normalize_phone_number(phone)),
	country text GENERATED ALWAYS AS (phone_number_country(phone)) STORED);
CREATE UNIQUE INDEX ON contact (normalize_phone_number(phone));
SQL
$session->query("INSERT INTO contact VALUES ('+6591234567')");
is($session->query('SELECT country FROM contact')->value, 'SG', 'a column can be generated');
is($session->query("INSERT INTO contact VALUES ('6591234567')")->sqlstate, '23514', 'a CHECK can ask for the one form');
is($session->query("SELECT (normalize_phone_number('+$NUMBER') = '+$NUMBER')::text FROM set_config('search_path', '', true)")->sqlstate,
	'', 'neither looks at search_path');

# Settings of the session must not get in the way of its parallel workers.
$session->run($_) for 'CREATE TABLE many AS SELECT \'+628123\' || 1000000 + i AS phone FROM generate_series(1, 20000) AS i', 'ANALYZE many',
  'SET parallel_setup_cost = 0', 'SET parallel_tuple_cost = 0', 'SET min_parallel_table_scan_size = 0', "SET pnvs.service_sid = 'FA2'";
my $counted = 'SELECT count(*) FROM many WHERE phone_number_country(phone) = \'ID\' AND normalize_phone_number(phone) = phone';
like(join(' ', $session->query("EXPLAIN (ANALYZE, COSTS off, TIMING off) $counted")->column('QUERY PLAN')),
	qr/Workers Launched: [1-9]/, 'parallel workers can call both');
is($session->query($counted)->value, 20000, 'and come to the same');
$session->run('RESET ALL');

# --- numbers that are no text

for my $type ('numeric(20,1)', 'numeric(30,8)', 'double precision')
{
	my $fraction = $type eq 'double precision' ? '6281700000011.5' : '6281700000011';

	$session->run("CREATE TABLE imported (phone $type)");
	$session->run('CREATE TRIGGER send AFTER INSERT OR UPDATE ON imported FOR EACH ROW'
		  . " EXECUTE FUNCTION enqueue_verification_trigger('SMS', 'phone')");
	$service->mark;
	refused($session->query("INSERT INTO imported VALUES ($fraction)"), $HINT{DECIMAL}, qr/62817/, "a column of type $type");
	refused($session->query("SELECT * FROM start_verification('SMS', $fraction\::$type\::text)"),
		$HINT{DECIMAL}, qr/62817/, "an argument of type $type");
	refused($session->query("SELECT * FROM start_verification('SMS', '62817000000110000000'::$type\::text)"),
		$HINT{DECIMAL}, qr/62817/, "a large argument of type $type") if $type eq 'double precision';
	$session->run('DROP TABLE imported');
}
is($session->query('SELECT count(*) FROM verification_queue')->value, 0, 'none of them is a message');

# --- the trigger: what is a change of the number

$session->run('CREATE TABLE customer (id integer PRIMARY KEY, phone text)');
$session->run('CREATE TRIGGER send AFTER INSERT OR UPDATE ON customer FOR EACH ROW'
	  . " EXECUTE FUNCTION enqueue_verification_trigger('SMS', 'phone', '', 'id')");

# What is queued by a statement: numbers, or the SQLSTATE of its error. A settled row has no
# whole number any more, and so what is there is left queued.
sub queued
{
	my ($sql) = @_;
	my $last = $session->value('SELECT coalesce(max(id), 0) FROM verification_queue');
	my $result = $session->query(bytes($sql));

	return $result->sqlstate if $result->failed;
	return join ' ', $session->run("SELECT recipient FROM verification_queue WHERE id > $last ORDER BY id")->column('recipient');
}

is(queued("INSERT INTO customer SELECT i, '+62 812-3456-78' || i FROM generate_series(10, 14) AS i"),
	join(' ', map { "62812345678$_" } 10 .. 14), 'each new row is a message');
is(queued("UPDATE customer SET phone = translate(phone, '+ -', '')"), '', 'to write all numbers as digits sends nothing');
is(queued("UPDATE customer SET phone = normalize_phone_number(phone)"), '', 'to write all numbers as E.164 sends nothing');
my @notation = (
	'+62 812 3456 7810', '62-812-3456-7810', '(62) 812.3456.7810', "+62\x{a0}812\x{a0}3456\x{a0}7810", "\x{202a}+62 812\x{2010}3456\x{2010}7810\x{202c}",
	'６２８１２３４５６７８１０', '+٦٢٨١٢٣٤٥٦٧٨١٠', 'tel:+62-812-3456-7810', "+6281234567810\n");
for my $notation (@notation)
{
	is(queued("UPDATE customer SET phone = '$notation' WHERE id = 10"), '', bytes("rewriting a number as \"$notation\" sends nothing"));
}
is(queued("UPDATE customer SET phone = '+62 812-3456-7819' WHERE id = 10"), '6281234567819', 'another number is a message');
is(queued('UPDATE customer SET id = 110 WHERE id = 10'), '', 'another column is none');
is(queued("UPDATE customer SET phone = 'unknown' WHERE id = 11"), '22023', 'what is no number is refused');
is(queued('UPDATE customer SET phone = NULL WHERE id = 11'), '', 'a null is no message');
is(queued("UPDATE customer SET phone = '+6281234567811' WHERE id = 11"), '6281234567811', 'a number after a null is one');
for my $blank ('', '   ', "\x{a0}\x{3000}", "\x{200b}\x{202a}\x{feff}", "\t\r\n")
{
	my $what = sprintf 'white space and marks (%d)', length $blank;

	is(queued("UPDATE customer SET phone = '$blank' WHERE id = 12"), '', "a number that becomes $what is no message");
	is(queued("INSERT INTO customer VALUES (200, '$blank')"), '', "a row with $what is no message");
	is(queued("UPDATE customer SET phone = '+6281234567812' WHERE id = 12"), '6281234567812', "a number after $what is one");
	$session->run('DELETE FROM customer WHERE id = 200');
}

# Rows from before there was a trigger.
$session->run('ALTER TABLE customer DISABLE TRIGGER send');
$session->run(bytes("INSERT INTO customer VALUES (300, 'unknown'), (301, '0812-3456-7831'), (302, 'n/a'), (303, '6281234567833.0')"));
$session->run('ALTER TABLE customer ENABLE TRIGGER send');
is(queued("UPDATE customer SET phone = '+6281234567830' WHERE id = 300"), '6281234567830', 'a number in place of none at all is a message');
is(queued("UPDATE customer SET phone = '08123456-7831' WHERE id = 301"), '', 'what was no number and is written anew is none');
is(queued("UPDATE customer SET phone = '+6281234567831' WHERE id = 301"), '6281234567831', 'a number in place of a national one is a message');
is(queued("UPDATE customer SET phone = '-' WHERE id = 302"), '', 'nothing in place of nothing is none');
is(queued("UPDATE customer SET phone = '6281234567833' WHERE id = 303"), '6281234567833', 'a number in place of a decimal one is a message');
is(queued("UPDATE customer SET phone = '6281234567833.0' WHERE id = 303"), '22023', 'a decimal one in place of it is refused');

# --- typed codes

my %typed = (
	'spaces around and within' => sub { return " $_[0] " =~ s/(...)(...)/$1 $2/r },
	'a line break' => sub { return "$_[0]\r\n" },
	'a tab' => sub { return "\t$_[0]" },
	'no-break spaces' => sub { return "$_[0]\x{202f}" =~ s/(...)(...)/$1\x{a0}$2/r },
	'a full-width space' => sub { return "$_[0]\x{3000}" },
	'marks of direction' => sub { return "\x{202a}$_[0]\x{202c}\x{200e}" },
	'a space without a width' => sub { return $_[0] =~ s/(...)(...)/$1\x{200b}$2/r },
	'a byte order mark' => sub { return "\x{feff}$_[0]" },
	'full-width digits' => sub { return $_[0] =~ tr/0-9/０-９/r },
	'Arabic-Indic digits' => sub { return $_[0] =~ tr/0-9/٠-٩/r },
	'Persian digits' => sub { return $_[0] =~ tr/0-9/۰-۹/r },
	'Devanagari digits' => sub { return $_[0] =~ tr/0-9/०-९/r },
	'many spaces' => sub { return join("\x{2003} ", split //, $_[0]) . ' ' x 40 });
my $code;

sub arrived { return (map { $_->{params}{Code} } $service->events('request'))[-1]; }

for my $what (sort keys %typed)
{
	my $started = call('start_verification', 'SMS', $NUMBER)->row;

	$code = ($service->events('sent'))[0]{code};
	is(call('check_verification', $typed{$what}->($code), $started->{verification_id}, $NUMBER)->row->{approved},
		't', "a right code with $what is right");
	is(arrived(), $code, "a code with $what arrives as its digits");
}
call('search_verification', undef, '6281234567890', " \x{ff11}\x{ff12}\x{ff13}456\n");
is(arrived(), '123456', 'a search takes codes as checks do');
call('check_verification', "\x{e9} -a", 'id');
is(arrived(), "\x{e9}-a", 'letters and hyphens stay');

for my $wrong ([ 'nothing', '', qr/person typed/ ], [ 'white space', " \x{a0}\n", qr/person typed/ ], [ 'marks', "\x{200e}\x{feff}", qr/person typed/ ],
	[ '17 characters', '7' x 17, qr/16 characters/ ], [ '17 full-width digits', '７' x 17, qr/16 characters/ ],
	[ 'a slash', '777/777', qr/verification ID/ ], [ 'a plus sign', '777 +777', qr/verification ID/ ])
{
	refused(call('check_verification', $wrong->[1], 'id', $NUMBER), $wrong->[2], qr/777|７/, "a code of $wrong->[0]");
}
call('check_verification', ' 7 ' x 16, 'id', $NUMBER);
is(arrived(), '7' x 16, 'sixteen characters and spaces are a code');
for my $id ('123456', ' 123 456 ', '１２３４５６', "\x{202a}123456\x{202c}", '٤٢')
{
	refused(call('check_verification', '77', $id, $NUMBER), qr/code comes first/, qr/123|１２/, bytes("a verification_id of digits alone, \"$id\","));
	refused(call('search_verification', undef, undef, undef, $id), qr/code comes first/, qr/123|１２/, bytes("\"$id\" in a search"));
}

# --- a check by the queue's ID, whatever types a driver sends

my $id = $session->value("SELECT enqueue_verification('SMS', '6281234567899')");
my $early = call('check_queued_verification', '123456', $id);
is($early->sqlstate, '22023', 'a message that has not been sent cannot be checked');
like($early->hint, qr/"queued"/, 'the hint says its state');
$service->mark;
$session->run('CALL process_verification_queue()');
$code = (map { $_->{code} } $service->events('sent', to => '6281234567899'))[0] // '';
is(call('check_queued_verification', sprintf('%06d', ($code + 1) % 1_000_000), $id)->row->{approved}, 'f', 'a wrong code is wrong');
is(call('check_queued_verification', $code, $id, '+62 812-3456-7899')->row->{approved}, 't',
	"a right code is right by the queue's ID, in parameters without a type");
$id = $session->value("SELECT enqueue_verification('SMS', '6281234567898')");
$service->mark;
$session->run('CALL process_verification_queue()');
$code = (map { $_->{code} } $service->events('sent', to => '6281234567898'))[0] // '';
$session->query('PREPARE checked AS SELECT approved FROM check_queued_verification($1, $2)');
is($session->query("EXECUTE checked('$code', $id)")->value, 't', 'and by a statement that is prepared without types');
$service->mark;
refused(call('check_verification', '777777', $id), qr/check_queued_verification\(\)/, qr/777777/, "the queue's ID in check_verification()");
is($session->value("SELECT count(*) FROM pg_proc WHERE proname = 'check_verification'"), 1, 'check_verification has one meaning');

# --- other encodings: bytes that are a no-break space, digits or nothing there

my %encoding = (
	LATIN1 => [ "+62\xa0812\xa03456\xad7890", "12\xa03456" ],
	WIN1252 => [ "+62\xa0812\x963456\x967890", "12\xa03456" ],
	SQL_ASCII => [ bytes("+62\x{a0}812\x{2010}3456\x{2010}7890"), bytes("12\x{a0}3456") ],
	EUC_JP => [ encode('euc-jp', '＋６２　８１２（３４５６）７８９０'), encode('euc-jp', '１２　３４５６') ],
	EUC_KR => [ encode('euc-kr', '＋６２　８１２（３４５６）７８９０'), encode('euc-kr', '１２　３４５６') ]);
for my $name (sort keys %encoding)
{
	my ($number, $typed) = @{ $encoding{$name} };
	my $value = sub { return $session->query($_[0])->value };

	$node->safe_psql('postgres', "CREATE DATABASE db_\L$name\E ENCODING '$name' LOCALE 'C' TEMPLATE template0");
	$node->safe_psql("db_\L$name", 'CREATE EXTENSION pnvs');
	$session = Pnvs::Session->new($node, dbname => "db_\L$name", encoding => $name);
	is($value->("SELECT normalize_phone_number('$number')"), "+$NUMBER", "$name: a number is normalised");
	is($value->("SELECT phone_number_country('$number')"), 'ID', "$name: a number has a country");
	$service->mark;
	$session->query("SELECT * FROM start_verification('SMS', '$number')");
	is(sent_to(), $NUMBER, "$name: a code goes to it");
	$session->query("SELECT * FROM check_verification('$typed', 'id')");
	is(arrived(), '123456', "$name: a code arrives as its digits");

	$session->run('CREATE TABLE customer (phone text)');
	$session->run('CREATE TRIGGER send AFTER INSERT OR UPDATE ON customer FOR EACH ROW'
		  . " EXECUTE FUNCTION enqueue_verification_trigger('SMS', 'phone')");
	$session->query("INSERT INTO customer VALUES ('$number')");
	is($value->('SELECT recipient FROM verification_queue'), $NUMBER, "$name: the trigger reads it");
	$session->query("UPDATE customer SET phone = '$NUMBER'");
	is($value->('SELECT count(*) FROM verification_queue'), 1, "$name: to write it anew sends nothing");
	next unless $name eq 'SQL_ASCII';

	$service->mark;
	refused($session->query("SELECT normalize_phone_number(E'628123456\\xff')"), qr/UTF-8/, qr/628123/, "$name: what is not UTF-8");
	is($value->("SELECT phone_number_country(E'628123456\\xff')"), undef, "$name: and has no country");
	refused($session->query("UPDATE customer SET phone = E'628123456\\xff'"), qr/UTF-8/, qr/628123/, "$name: nor in the trigger");
	$session->run("ALTER TABLE customer DISABLE TRIGGER send; UPDATE customer SET phone = E'\\xff'; ALTER TABLE customer ENABLE TRIGGER send");
	is($session->query("UPDATE customer SET phone = '$NUMBER'")->sqlstate, '', "$name: what was not UTF-8 is in nobody's way");
	is($value->('SELECT count(*) FROM verification_queue'), 2, "$name: a number in place of it is a message");
}

# --- nothing of it in the log

my @shown = grep { /62812345|62817000|777777|７|６２/ } split /\n/, slurp_file($node->logfile);
is(scalar @shown, 0, 'no number and no code is in the log') or diag(join "\n", @shown[ 0 .. ($#shown < 4 ? $#shown : 4) ]);

$node->stop;
done_testing();
