# The tables of the documents against the code: settings with their limits, SQLSTATEs,
# columns, codes, wait events and messages.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Document;
use Pnvs::Simulator;

my $ROOT = "$FindBin::RealBin/../..";
my $SERVICE = 'FA00000000000001';

my $service = Pnvs::Simulator->new;
my $node = $service->new_node('reference',
	preload => 'shared_preload_libraries',
	conf => "pnvs.service_sid = '$SERVICE'\n");

# A default as the table writes it, from what pg_settings has.
sub shown_default
{
	my ($value, $name) = @_;

	return 'empty' if $value eq '' || $name =~ /access_key|security_token/;
	return "$1 $2" if $value =~ /\A(\d+)([a-zA-Z]+)\z/;
	return $value eq 'off' ? $value : "`$value`";
}

# The neighbours of a bound, as values: the last that is taken and the first that is not, in
# the direction +1 or -1.
sub neighbours
{
	my ($bound, $step) = @_;
	my %seconds = (s => 1, min => 60, day => 86400);
	my %kilobytes = (MB => 1024, GB => 1024 * 1024);
	my ($number, $unit) = $bound =~ /\A(\d+) ?([a-zA-Z]*)\z/;

	return ("'2147483647s'", "'2147483648s'") if $bound eq '68 years';
	return map { "'$_$unit'" } $number, $number + $step if $unit eq '' || $unit eq 'ms';
	return map { "'${_}kB'" } $number * $kilobytes{$unit}, $number * $kilobytes{$unit} + $step if $kilobytes{$unit};
	return map { "'${_}s'" } $number * $seconds{$unit}, $number * $seconds{$unit} + $step;
}

# Whether ALTER SYSTEM takes and refuses what is just within and beyond two bounds.
sub has_bounds
{
	my ($name, $least, $most) = @_;
	my @value = (neighbours($least, -1), neighbours($most, 1));
	my @told = map { $_->{psql_error} }
	  map { my %r; $node->psql('postgres', "LOAD 'pnvs'; ALTER SYSTEM SET $name = $_", stderr => \$r{psql_error}); \%r } @value;

	$node->safe_psql('postgres', "LOAD 'pnvs'; ALTER SYSTEM RESET $name");
	return join ' ', map { /invalid value for parameter/ ? 'refused' : 'taken' } @told;
}

sub check_settings
{
	my %setter = (user => 'anyone', superuser => 'superuser', sighup => 'reload', postmaster => 'restart');
	my @real = map { [ split /\|/, $_, -1 ] } split /\n/, $node->safe_psql('postgres',
		"LOAD 'pnvs'; SELECT name, boot_val, context FROM pg_settings WHERE name LIKE 'pnvs.%'");
	my %documented = map { $_->[0] => "$_->[1], $_->[2]" } Pnvs::Document->table_rows('name | default');
	my %actual = map { ("`$_->[0]`" => shown_default(@$_[1, 0]) . ", $setter{$_->[2]}") } @real;

	is_deeply(\%documented, \%actual, 'the settings are those of the table');

	my %meaning = map { ($_->[0] =~ tr/`//dr) => $_->[3] } Pnvs::Document->table_rows('name | default');
	my @limited = map { [ split /\|/, $_, -1 ] } split /\n/, $node->safe_psql('postgres',
		"LOAD 'pnvs'; SELECT name, extra_desc FROM pg_settings WHERE name LIKE 'pnvs.%' AND extra_desc ~ ' from .* to '");
	cmp_ok(scalar @limited, '>', 5, 'some settings have limits');
	for my $setting (@limited)
	{
		my ($name, $rule) = @$setting;
		my ($least, $most) = $rule =~ / from (.+) to (.+)\.\z/;

		like($meaning{$name}, qr/; \Q$least to $most\E(?:\.|$)/, "the limits of $name are those of the table");
		is(has_bounds($name, $least, $most), 'taken refused taken refused', 'and of the setting');
	}
	return;
}

sub check_sqlstates
{
	my $header = slurp_file("$FindBin::RealBin/../../src/errcodes.h");
	my @real = map { tr/', //dr } $header =~ /MAKE_SQLSTATE\(([^)]+)\)/g;
	my @documented = grep { /^38V/ } map { $_->[0] } Pnvs::Document->table_rows('SQLSTATE');

	is("@documented", "@real", "pnvs' own SQLSTATEs are those of the table");
	return;
}

sub check_columns
{
	for my $type (qw(start_verification_result check_verification_result search_verification_record
		verification_history_record begin_verification_result phone_verification_status_result verification_queue))
	{
		my $documented = join "\n", map { ($_->[0] =~ tr/`//dr) . " $_->[1]" } Pnvs::Document->table_rows("column of $type");
		my $actual = $node->safe_psql('postgres', <<"SQL");
SELECT attname || ' ' || CASE atttypid WHEN 'timestamptz'::regtype THEN 'timestamptz'
	ELSE format_type(atttypid, NULL) END
FROM pg_attribute WHERE attrelid = '$type'::regclass AND attnum > 0 ORDER BY attnum
SQL
		is($documented, $actual, "the columns of $type are those of the table");
	}
	return;
}

# PostgreSQL's own messages that the documents explain, and what brings them about.
my %POSTGRESQL = (
	'schema "pnvs_internal" already exists' => 'CREATE SCHEMA pnvs_internal',
	'extension "pnvs" is not available' => 'CREATE EXTENSION nopnvs',
	'could not access file "pnvs"' => "LOAD 'nopnvs'",
	'function start_verification(unknown, bigint) does not exist' =>
	  "SELECT start_verification('SMS', 6281234567890)",
	'function start_verification(unknown, unknown) does not exist' =>
	  "SET search_path = ''; SELECT start_verification('SMS', '6281234567890')",
	'permission denied for schema ...' =>
	  "CREATE SCHEMA closed; SET ROLE web; SELECT closed.start_verification('SMS', '6281234567890')",
	'permission denied for function start_verification' =>
	  "SET ROLE web; SELECT start_verification('SMS', '6281234567890')",
	'cannot execute ... in a read-only transaction' =>
	  "SET default_transaction_read_only = on; SELECT begin_verification('+6281234567890')",
	'permission denied for type ...' =>
	  "SET ROLE web; CREATE FUNCTION pg_temp.mine() RETURNS begin_verification_result LANGUAGE sql AS 'SELECT NULL::begin_verification_result'",
	'malformed array literal: "SMS"' => "SELECT begin_verification('+6281234567890', 'SMS')",
	'invalid input syntax for type uuid: "..."' => "SELECT confirm_verification('x', '123456')",
	'ON CONFLICT does not support deferrable unique constraints/exclusion constraints as arbiters' =>
	  'CREATE TABLE late (phone text UNIQUE DEFERRABLE); INSERT INTO late VALUES (NULL) ON CONFLICT (phone) DO NOTHING',
	'permission denied to set parameter "..."' => "SET ROLE web; SET pnvs.endpoint = 'https://127.0.0.1'",
	'parameter "pnvs.access_key_secret" cannot be changed' => "LOAD 'pnvs'; ALTER SYSTEM SET pnvs.access_key_secret = ''",
	'syntax error at or near "to"' => "SELECT * FROM search_verification(to => '6281234567890')",
);

# The one that a server says that does not start; it is in the log.
my $UNREADABLE = 'could not open configuration file "...": Permission denied';

sub check_postgresql_messages
{
	for my $message (sort keys %POSTGRESQL)
	{
		my $pattern = quotemeta($message) =~ s/\\\.\\\.\\\./.*/gr;
		my $error = '';

		$node->psql('postgres', $POSTGRESQL{$message}, stderr => \$error);
		like($error =~ s/nopnvs/pnvs/gr, qr/ERROR:  $pattern/, "PostgreSQL has a message: $message");
	}
	return;
}

# The server stands still, and cannot be started afterwards.
sub check_unreadable_file
{
	my $file = $node->data_dir . '/pnvs.conf';
	my $pattern = quotemeta($UNREADABLE) =~ s/\\\.\\\.\\\./.*/r;

	PostgreSQL::Test::Utils::append_to_file($file, "pnvs.service_sid = '$SERVICE'\n");
	chmod 0, $file or die "could not change the mode of $file: $!";
	$node->append_conf('postgresql.conf', "include = 'pnvs.conf'");
	is($node->start(fail_ok => 1), 0, 'a server that cannot read an included file does not start');
	like(PostgreSQL::Test::Utils::slurp_file($node->logfile),
		qr/$pattern/, "PostgreSQL has a message: $UNREADABLE");
	return;
}

sub source
{
	return join '', map { PostgreSQL::Test::Utils::slurp_file($_) } glob("$ROOT/src/*.[ch] $ROOT/src/*/*.[ch] $ROOT/src/*/*/*.[ch]");
}

# The names in a table's first column are those that the code has.
sub check_names
{
	my ($head, $pattern) = @_;
	my %documented = map { $_ => 1 } map { $_->[0] =~ /`(.*?)`/g } Pnvs::Document->table_rows($head);
	my %real = map { $_ => 1 } source() =~ /$pattern/g;

	cmp_ok(scalar keys %real, '>', 3, "$head: the code has some");
	is_deeply([ sort keys %documented ], [ sort keys %real ], "$head: those of the table are those of the code");
	return;
}

# The tutorial says what the person reads for each word that a verification answers with.
sub check_answers
{
	my %answer = map { $_ => 1 } map { $_->[0] =~ /`(\w+)`/g } Pnvs::Document->table_rows('answer | meaning');
	my @word = map { $_->[0] =~ /`(\w+)`/ } map { Pnvs::Document->table_rows($_) } 'state of a verification', 'refused | meaning';

	cmp_ok(scalar @word, '>', 10, 'a verification answers with some words');
	is_deeply([ grep { !$answer{$_} } @word ], [], 'the tutorial says for each what the person reads');
	return;
}

# The documents explain every message that is a literal of an error's.
sub check_every_message
{
	my %explained = map { $_ => 1 } map { $_->[0] =~ /`(.*?)`/g } Pnvs::Document->table_rows('message | what to do');
	my @unexplained;

	for my $literals (source() =~ /\b(?:errmsg|gettext_noop|misuse|refuse)\(\s*((?:"(?:[^"\\]|\\.)*"\s*)+)/g)
	{
		my $message = join('', $literals =~ /"((?:[^"\\]|\\.)*)"/g) =~ s/\\"/"/gr;
		my $shown = $message =~ s/%(?:[sm]|l*d)/.../gr;

		push @unexplained, $message
		  if $message ne '%s' && !$explained{$shown} && !$explained{ $shown =~ s/\d+/.../gr };
	}
	is_deeply([ sort @unexplained ], [], 'every message is explained');
	return;
}

# Every message that the documents explain is one of the code's, or PostgreSQL's.
sub check_messages
{
	my $source = source();
	my @row = Pnvs::Document->table_rows('message | what to do');

	cmp_ok(scalar @row, '>', 20, 'the documents explain messages');
	for my $message (map { $_->[0] =~ /`(.*?)`/g } @row)
	{
		my $pattern = quotemeta $message;

		next if $POSTGRESQL{$message} || $message eq $UNREADABLE;
		$pattern =~ s/\\\.\\\.\\\./(?:%(?:[sm]|l*d)|\\\\"%s\\\\"|"%s")/g;
		$pattern =~ s/\\"/\\\\?"/g;
		ok($source =~ /"$pattern"/, "there is a message: $message");
	}
	return;
}

$node->safe_psql('postgres', 'CREATE ROLE web');
check_settings();
check_sqlstates();
check_columns();
# Local.TestNumber is a message.
check_names('code of pnvs', qr/(?<!_MESSAGE )"(Local\.[A-Za-z.]+)"/);
check_names('wait event', qr/pnvs_name_wait_event\(&\w+, "(\w+)"/);
check_names('state of a verification', qr/\[PNVS_VERIFICATION_\w+\] = "(\w+)"/);
check_names('refused | meaning', qr/(?:define PNVS_TOO_MANY|begun->refused =|return) "((?:not|too|try)_\w+)"/);
check_answers();
check_messages();
check_every_message();
check_postgresql_messages();

$node->stop;
check_unreadable_file();
done_testing();
