# Databases in other encodings than UTF-8: arguments arrive at the service as
# UTF-8, and what comes back is always a row, with escapes where the encoding has
# no character.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Session;
use Pnvs::Simulator;

my $service = Pnvs::Simulator->new;
my $node = $service->new_node('encoding', init => [ '--locale=C', '--encoding=UTF8' ]);

# Of each encoding: what becomes of the message of sim:emoji, which is an emoji
# twice, three Chinese characters and "cafe" with an accent; a letter as the
# encoding has it, and as the service should get it.
my $EMOJI = "\xF0\x9F\x98\x80 \xF0\x9F\x98\x80";
my $CHINESE = "\xE9\xAA\x8C\xE8\xAF\x81\xE7\xA0\x81";
my $ESCAPED_EMOJI = '\ud83d\ude00 \ud83d\ude00';
my $ESCAPED_CHINESE = '\u9a8c\u8bc1\u7801';
my @encodings = (
	[ 'UTF8', "$EMOJI $CHINESE caf\xC3\xA9", "\xC3\xA9", "\x{E9}" ],
	[ 'SQL_ASCII', "$EMOJI $CHINESE caf\xC3\xA9", "\xC3\xA9", "\x{E9}" ],
	[ 'LATIN1', "$ESCAPED_EMOJI $ESCAPED_CHINESE caf\xE9", "\xE9", "\x{E9}" ],
	[ 'LATIN2', "$ESCAPED_EMOJI $ESCAPED_CHINESE caf\xE9", "\xB1", "\x{105}" ],
	[ 'KOI8R', "$ESCAPED_EMOJI $ESCAPED_CHINESE caf\\u00e9", "\xC6", "\x{444}" ],
	[ 'EUC_JP', "$ESCAPED_EMOJI $ESCAPED_CHINESE caf\x8F\xAB\xB1", "\xA4\xA2", "\x{3042}" ],
	[ 'EUC_CN', "$ESCAPED_EMOJI \xD1\xE9\xD6\xA4\xC2\xEB caf\xA8\xA6", "\xD1\xE9", "\x{9A8C}" ]);

my ($session, $encoding);

# Statements are bytes in the database's encoding, and so are rows.
sub run
{
	my ($sql) = @_;

	$service->mark;
	return $session->query($sql);
}

sub requests { return $service->count('request'); }

sub last_parameter
{
	my ($name) = @_;

	return (map { $_->{params}{$name} } $service->events('request'))[-1];
}

sub start
{
	my ($service_sid) = @_;
	my $row = run("SELECT * FROM start_verification('SMS', '6281234567890', '$service_sid')")->row;

	is($row->{success}, 't', "$encoding: $service_sid is a row");
	is($row->{verification_id}, ($service->events('sent'))[0]{verification_id}, "$encoding: $service_sid has its verification ID");
	return $row;
}

for my $case (@encodings)
{
	my ($message, $bytes, $letter, $database);

	($encoding, $message, $bytes, $letter) = @$case;
	$database = lc "db_$encoding";
	$node->safe_psql('postgres', "CREATE DATABASE $database ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
	$node->safe_psql($database, 'CREATE EXTENSION pnvs');
	$session = Pnvs::Session->new($node, dbname => $database, encoding => $encoding);

	# Replies.
	is(start('sim:emoji')->{message}, $message, "$encoding: what the encoding does not have is escaped");
	is(start('sim:nul')->{message}, 'before\u0000after', "$encoding: a NUL is escaped");
	is(start('sim:surrogate')->{message}, 'before\ud83dafter', "$encoding: half a surrogate pair is escaped");
	like(start('sim:latin1')->{message}, qr/\Acaf/, "$encoding: a wrong charset is passed over");
	is(start($_)->{message}, 'OK', "$encoding: $_ has its message")
	  for qw(sim:bom sim:dup sim:unknownfields sim:whitespace);
	is(run("SELECT * FROM search_verification('sim:oddrecords')")->sqlstate, '', "$encoding: odd records are rows");
	is(run("SELECT * FROM start_verification('SMS', '6281234567890', 'sim:badutf8')")->sqlstate,
		'38V02', "$encoding: what is no UTF-8 is no reply");

	# The row can be kept, and read in UTF-8.
	is(run("CREATE TABLE kept AS SELECT * FROM start_verification('SMS', '6281234567890', 'sim:emoji')")->sqlstate,
		'', "$encoding: the row can be stored");
	is(run('SELECT message FROM kept')->value, $message, "$encoding: the row can be read again");
	run("SET client_encoding = 'UTF8'");
	is(run('SELECT message FROM kept')->sqlstate, '', "$encoding: the row can be read in UTF-8");
	run("SET client_encoding = '$encoding'");

	# Arguments.
	is(run("SELECT approved FROM check_verification('${bytes}1', 'id/$bytes')")->value,
		'f', "$encoding: a code beyond ASCII is asked for");
	is(last_parameter('Code'), "${letter}1", "$encoding: a code arrives as UTF-8");
	is(last_parameter('VerificationId'), "id/$letter", "$encoding: a verification ID arrives as UTF-8");
	ok(($service->events('request'))[0]{signature_ok}, "$encoding: UTF-8 is signed rightly");

	is(run("SELECT approved FROM check_verification('" . $bytes x 16 . "', 'id')")->value,
		'f', "$encoding: 16 characters are a code");
	is(run("SELECT approved FROM check_verification('" . $bytes x 17 . "', 'id')")->sqlstate,
		'22023', "$encoding: 17 characters are none");
	is(requests(), 0, "$encoding: 17 characters are not asked for");
	is(run("SELECT * FROM start_verification('SMS', '628123456789$bytes', 'FA1')")->sqlstate,
		'22023', "$encoding: a letter is no digit");
	is(run("SELECT * FROM start_verification('SM$bytes', '6281234567890', 'FA1')")->sqlstate,
		'22023', "$encoding: a letter is no channel");
	is(run("SELECT * FROM start_verification('SMS', '6281234567890', 'F$bytes')")->sqlstate,
		'22023', "$encoding: a letter is no service");
	is(run("SET pnvs.service_sid = 'F$bytes'")->sqlstate, '22023', "$encoding: a letter is no service in the settings");
	$session->close;
}

# Nothing converts to and from this one, and version 19 has it no more; ASCII is the same
# in all.
if ($node->safe_psql('postgres', 'SHOW server_version_num') < 190000)
{
	$encoding = 'MULE_INTERNAL';
	$node->safe_psql('postgres', "CREATE DATABASE db_mule ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
	$node->safe_psql('db_mule', 'CREATE EXTENSION pnvs');
	$session = Pnvs::Session->new($node, dbname => 'db_mule', encoding => 'SQL_ASCII');
	is(start('FA1')->{message}, 'OK', "$encoding: ASCII goes there and back");
	is(start('sim:emoji')->{message}, "$ESCAPED_EMOJI $ESCAPED_CHINESE caf\\u00e9", "$encoding: everything else is escaped");
	is(run("SELECT approved FROM check_verification(E'\\x81\\xe9', 'id')")->sqlstate, '22023', "$encoding: an argument cannot be");
	$session->close;
}

# In SQL_ASCII a text can be anything, and other encodings have characters that
# Unicode lacks. What does not become UTF-8 cannot be sent: a bad argument like any
# other, without a trace of it.
$node->safe_psql('postgres', "CREATE DATABASE db_win1252 ENCODING 'WIN1252' LOCALE 'C' TEMPLATE template0");
$node->safe_psql('db_win1252', 'CREATE EXTENSION pnvs');
for my $case ([ 'SQL_ASCII', '\xe9' ], [ 'WIN1252', '\x81' ])
{
	my $byte;

	($encoding, $byte) = @$case;
	$session = Pnvs::Session->new($node, dbname => lc "db_$encoding", encoding => $encoding);
	for my $call (
		"start_verification('SMS', E'6281234567777$byte', 'FA1')",
		"start_verification(E'SMS$byte', '6281234567777', 'FA1')",
		"start_verification('SMS', '6281234567777', E'FA1$byte')",
		"check_verification(E'${byte}777777', 'id', '6281234567777')",
		"check_verification('777777', E'id$byte', '6281234567777')",
		"search_verification(code => E'777777$byte')")
	{
		my $result = run("SELECT * FROM $call");

		is($result->sqlstate, '22023', "$encoding: what is not UTF-8 is a bad argument");
		unlike($result->message . $result->detail, qr/0x/, "$encoding: its bytes are not shown");
		is(requests(), 0, "$encoding: it is not sent");
	}
	$session->close;
}
my @logged = grep { /777777|6281234567777/ } split /\n/, PostgreSQL::Test::Utils::slurp_file($node->logfile);
is(scalar @logged, 0, 'it is not logged');

$node->stop;
done_testing();
