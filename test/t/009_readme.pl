# What the README says: every block of SQL runs, in its order, and gives what is
# shown; settings, columns and messages are those of the code.
#
# A block fenced as "sql" is run by psql. A block without a language right after
# it is its output; IDs, codes, times and the widths of columns may differ. What
# was an ID in an output shown stands for the real one in the blocks that
# follow, and so does a code that "The phone shows". Comments in the README
# steer: "<!-- test: as ROLE -->" and "<!-- test: roles NAME... -->" (to be
# created) go with the next block.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Simulator;

my $ROOT = "$FindBin::RealBin/../..";
my $SERVICE = 'FA00000000000001';

my $UUID = qr/[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}/;
my $VERIFICATION_ID = qr{[A-Za-z0-9+/]{6}/[A-Za-z0-9+/]{6}\+[A-Za-z0-9+/]{8}};
my $ID = qr/$UUID|$VERIFICATION_ID/;
my $TIME = qr/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?\+00/;

my $readme = PostgreSQL::Test::Utils::slurp_file("$ROOT/README.md");
my $service = Pnvs::Simulator->new;
my $node = $service->new_node('readme',
	preload => 'shared_preload_libraries',
	conf => "pnvs.service_sid = '$SERVICE'\n");
my %real;					# what a text of the README stands for

# --- running the blocks

# The README as a list of [what, text]: sql, output, role, roles, code.
sub pieces
{
	my ($text) = @_;
	my @piece;

	while ($text =~ m{
			^```(?<language>\w*)\n(?<block>.*?)^```$ |
			<!--\ test:\ as\ (?<role>\w+)\ --> |
			<!--\ test:\ roles\ (?<roles>[\w\ ]+)\ --> |
			[Tt]he\ phone\ shows\ (?<code>\d+)
		}gmsx)
	{
		my %found = %+;

		if (!defined $found{block})
		{
			push @piece, map { [ $_, $found{$_} ] } grep { defined $found{$_} } qw(role roles code);
		}
		elsif ($found{language} eq 'sql') { push @piece, [ 'sql', $found{block} ]; }
		elsif ($found{language} eq '') { push @piece, [ 'output', $found{block} ]; }
	}
	return @piece;
}

# A text as it is compared: without what differs from run to run.
sub normal
{
	my ($text) = @_;

	$text =~ s/$ID/ID/g;
	$text =~ s/$TIME/TIME/g;
	$text =~ s/-{2,}/--/g;
	$text =~ s/ +/ /g;
	$text =~ s/ $//gm;
	$text =~ s/\n+\z//;
	return $text;
}

# Notes what the IDs of an output shown are in the real one.
sub learn
{
	my ($shown, $output) = @_;
	my @shown = $shown =~ /($ID)/g;
	my @real = $output =~ /($ID)/g;

	@real{@shown} = @real if @shown && @shown == @real;
	return;
}

sub in_reality
{
	my ($sql) = @_;

	$sql =~ s/\Q$_\E/$real{$_}/g for sort keys %real;
	return $sql;
}

sub psql
{
	my ($sql, $role) = @_;
	my ($output, $error) = ('', '');

	$sql = "SET ROLE $role;\n$sql" if defined $role;
	$node->psql('readme', "\\set VERBOSITY terse\n\\pset footer on\n\\pset border 1\n"
		  . "\\pset format aligned\n\\pset tuples_only off\n$sql",
		stdout => \$output, stderr => \$error, on_error_stop => 1);
	return ($output, $error);
}

sub run_blocks
{
	my ($role, $output, $error);
	my $number = 0;

	for my $piece (pieces($readme))
	{
		my ($what, $text) = @$piece;

		if ($what eq 'role') { $role = $text; }
		elsif ($what eq 'roles') { psql(join '', map { "CREATE ROLE $_;\n" } split ' ', $text); }
		elsif ($what eq 'code') { $real{$text} = ($service->events('sent'))[-1]{code}; }
		elsif ($what eq 'output')
		{
			is(normal($output), normal($text), "block $number gives what is shown");
			learn($text, $output);
		}
		else
		{
			my ($first) = $text =~ /\A([^\n]*)/;

			$number++;
			before_drop() if $text =~ /DROP EXTENSION/;
			($output, $error) = psql(in_reality($text), $role);
			is($error, '', "block $number runs: $first");
			undef $role;
		}
	}
	cmp_ok($number, '>=', 10, 'the README has blocks of SQL');
	return;
}

# --- what the examples are for; called while the extension is still there

sub before_drop
{
	my $job;

	$service->mark;
	psql("INSERT INTO member (phone) VALUES ('+62 811 000 0001'), ('+62 811 000 0002')");
	is($service->count('sent'), 2, 'the trigger sends a code to each new member');
	is($node->safe_psql('readme', 'SELECT count(verification_id) FROM member'),
		2, 'the trigger keeps the verification IDs');

	$service->mark;
	psql("INSERT INTO waiting (phone) VALUES ('62811000003'), ('62811000004')");
	$job = $node->safe_psql('readme', 'SELECT command FROM cron.job');
	psql($job, 'job') for 1 .. 2;
	is($service->count('sent'), 2, 'the job sends one message for each waiting row');
	is($node->safe_psql('readme', 'SELECT count(verification_id) FROM waiting'),
		2, 'the job keeps the verification IDs');

	like((psql("SELECT signup.start('+62 812-3456-7890')", 'web'))[1],
		qr/wait a minute/, 'sign-up sends one message a minute to a number');
	like((psql('TABLE signup.attempt', 'web'))[1],
		qr/permission denied/, 'the web role cannot read the table of sign-up');
	like((psql("SELECT public.start_verification('SMS', '6281234567890')", 'web'))[1],
		qr/permission denied/, 'the web role cannot send by itself');
	return;
}

# --- tables of the README against the code

# The rows of the table whose head begins so, as lists of cells.
sub table_rows
{
	my ($head) = @_;
	my ($body) = $readme =~ /^\|\ *\Q$head\E[^\n]*\n\|[-|]+\n((?:\|[^\n]*\n)+)/m;

	return map { [ map { s/^\s+|\s+$//gr } split /\|/, substr($_, 1) ] } split /\n/, $body // '';
}

# A default as the README writes it, from what pg_settings has.
sub shown_default
{
	my ($value, $unit, $name) = @_;

	return 'empty' if $value eq '' || $name =~ /access_key|security_token/;
	return $value / 1000 . ' s' if $unit eq 'ms';
	return $value eq 'off' ? $value : "`$value`";
}

sub check_settings
{
	my %setter = (user => 'anyone', superuser => 'superuser');
	my @real = map { [ split /\|/, $_, -1 ] } split /\n/, $node->safe_psql('readme',
		"LOAD 'pnvs'; SELECT name, boot_val, unit, context FROM pg_settings WHERE name LIKE 'pnvs.%'");
	my %documented = map { $_->[0] => "$_->[1], $_->[2]" } table_rows('name | default');
	my %actual = map { ("`$_->[0]`" => shown_default(@$_[1, 2, 0]) . ", $setter{$_->[3]}") } @real;

	is_deeply(\%documented, \%actual, 'the settings are those of the table');
	return;
}

sub check_columns
{
	for my $type (qw(start_verification_result check_verification_result search_verification_record))
	{
		my $documented = join "\n", map { ($_->[0] =~ tr/`//dr) . " $_->[1]" } table_rows("column of $type");
		my $actual = $node->safe_psql('readme', <<"SQL");
SELECT attname || ' ' || CASE atttypid WHEN 'timestamptz'::regtype THEN 'timestamptz'
	ELSE format_type(atttypid, NULL) END
FROM pg_attribute WHERE attrelid = '$type'::regclass AND attnum > 0 ORDER BY attnum
SQL
		is($documented, $actual, "the columns of $type are those of the table");
	}
	return;
}

# Every message that the README explains is one of the code's, or PostgreSQL's.
sub check_messages
{
	my $source = join '', map { PostgreSQL::Test::Utils::slurp_file($_) }
	  glob("$ROOT/src/*.c $ROOT/src/*/*.c");
	my @row = table_rows('message | what to do');

	cmp_ok(scalar @row, '>', 20, 'the README explains messages');
	for my $message (map { $_->[0] =~ /`(.*?)`/g } @row)
	{
		my $pattern = quotemeta $message;

		next if $message =~ /^permission denied/;
		$pattern =~ s/\\\.\\\.\\\./(?:%[sd]|\\\\"%s\\\\"|"%s")/g;
		$pattern =~ s/\\"/\\\\?"/g;
		ok($source =~ /"$pattern"/, "there is a message: $message");
	}
	return;
}

# pg_cron's function, as far as the example needs it.
$node->safe_psql('postgres', 'CREATE DATABASE readme');
$node->safe_psql('readme', <<'SQL');
CREATE SCHEMA cron;
CREATE TABLE cron.job (job_name text, schedule text, command text);
GRANT INSERT ON cron.job TO PUBLIC;
CREATE FUNCTION cron.schedule(job_name text, schedule text, command text) RETURNS void
LANGUAGE sql AS $$ INSERT INTO cron.job VALUES (job_name, schedule, command) $$;
SQL

run_blocks();
$node->safe_psql('readme', 'CREATE EXTENSION pnvs');
check_settings();
check_columns();
check_messages();

$node->stop;
done_testing();
