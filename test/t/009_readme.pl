# What the README says: every block of SQL runs, in its order, and gives what is
# shown; settings, columns, codes, wait events and messages are those of the code.
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

# By SET ROLE: what ALTER ROLE ... SET says does not count.
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
	check_privileges();
	check_trigger();
	check_job();
	check_lookup();
	check_sign_up_limits();
	check_sign_up_refusals();
	check_sign_up_doubts();
	return;
}

# The privileges are there, and do what the README says of each role.
sub check_privileges
{
	my ($watching) = $readme =~ /^### Watching it\n(.*?)^## /ms;
	my @query = grep { /verification_queue/ } $watching =~ /^(SELECT .*?;)$/msg;
	my $all = $node->safe_psql('readme', 'SELECT count(*) FROM verification_queue');
	my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';

	cmp_ok($all, '>', 0, 'there are rows of the queue');
	cmp_ok(scalar @query, '>=', 3, 'the README has queries to watch the queue');
	is((psql($_, 'monitor'))[1], '', 'the monitor may watch the queue') for @query;
	like((psql('SELECT recipient FROM verification_queue', 'monitor'))[1],
		qr/permission denied/, 'the monitor does not see numbers');
	like((psql('SELECT count(*) FROM verification_queue', 'support'))[0],
		qr/^ +$all$/m, 'support sees all rows of the queue');
	like((psql('SELECT count(*) FROM verification_queue', 'sender'))[0],
		qr/^ +0$/m, 'the sender does not see those of others');
	like((psql('SELECT id FROM verification_queue FOR UPDATE', 'support'))[1],
		qr/permission denied for view/, 'support changes nothing');
	like((psql('BEGIN; LOCK TABLE verification_queue IN ROW EXCLUSIVE MODE', 'support'))[1],
		qr/permission denied for view/, 'nor does it lock anything');
	like((psql('SELECT id FROM pnvs_internal.queue', 'support'))[1],
		qr/permission denied for schema/, 'and it does not reach the table');
	is((psql("SELECT count(*) FROM verification_queue WHERE requested_by = 'sender'", 'sender'))[1],
		'', 'a role can be asked for by its name');

	$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('readme') ], 'the database can be dumped');
	like(PostgreSQL::Test::Utils::slurp_file($dump), qr/GRANT SELECT ON TABLE pnvs_internal\.queue TO support/,
		'a dump has the privileges');
	return;
}

sub check_trigger
{
	$service->mark;
	is( $node->safe_psql('readme', <<'SQL'), "t\nt", 'RETURNING does not see what the trigger writes');
INSERT INTO member (phone) VALUES ('+62 811 000 0001'), ('+62 811 000 0002')
RETURNING verification_id IS NULL
SQL
	is($service->count('sent'), 2, 'the trigger sends a code to each new member');
	is($node->safe_psql('readme', 'SELECT count(verification_id) FROM member'),
		2, 'the trigger keeps the verification IDs');
	return;
}

# Runs the job with other settings, as its role; an error's text.
sub run_job
{
	my ($settings) = @_;
	my $job = $node->safe_psql('readme', 'SELECT command FROM cron.job');

	return (psql("$settings;\n$job", 'job'))[1];
}

# Has the job send to two numbers, the second of them as the service is set to
# answer; what becomes of the second.
sub failure_of
{
	my ($what, $service_sid, $number) = @_;

	$service->mark;
	$node->safe_psql('readme', "INSERT INTO waiting (phone) VALUES ('$number'), ('62811000009')");
	is(run_job("SET pnvs.service_sid = '$service_sid'"), '', "$what: the job goes on");
	return $node->safe_psql('readme',
		"SELECT failure FROM waiting WHERE phone = '$number' AND verification_id IS NULL");
}

sub check_job
{
	$service->mark;
	psql("INSERT INTO waiting (phone) VALUES ('62811000003'), ('62811000004')");
	is(run_job("SET pnvs.service_sid = '$SERVICE'"), '', 'the job runs') for 1 .. 2;
	is($service->count('sent'), 2, 'the job sends one message for each waiting row');
	is($node->safe_psql('readme', 'SELECT count(verification_id) FROM waiting'),
		2, 'the job keeps the verification IDs');

	is(failure_of('a bad number', $SERVICE, '0811'), '22023: invalid phone number',
		'a bad number is kept as the failure of its row');
	is($service->count('sent'), 1, 'the row behind it is sent');
	like(failure_of('a refusal', 'sim:first:1:code:COUNTRY_BLACKLISTED:200', '62811000005'),
		qr/^38V04: .*COUNTRY_BLACKLISTED$/, 'a refusal is kept as the failure of its row');
	like(failure_of('a bad key', 'sim:first:1:code:Forbidden.RAM:403', '62811000006'),
		qr/^38V05: .*Forbidden\.RAM$/, 'a bad key is kept as the failure of its row');

	$node->safe_psql('readme', "INSERT INTO waiting (phone) VALUES ('62811000007')");
	psql("ALTER ROLE job SET pnvs.endpoint = '" . $service->endpoint('refused') . "'");
	is($node->psql('readme', 'CALL public.send_waiting()', extra_params => [ '-U', 'job' ]),
		0, 'an unreachable service: the job goes on');
	psql('ALTER ROLE job RESET pnvs.endpoint');
	like($node->safe_psql('readme', "SELECT failure FROM waiting WHERE phone = '62811000007'"),
		qr/^38V01: could not connect/, 'an unreachable service is kept as the failure of its row');
	return;
}

# A row whose message may have been sent, and what finds it.
sub check_lookup
{
	my ($lookup) = $readme =~ /^(SELECT w\.id,.*?;)$/ms;
	my $claimed = "phone = '62811000008' AND claimed_at IS NOT NULL";

	$node->safe_psql('readme', "INSERT INTO waiting (phone) VALUES ('62811000008')");
	like(run_job("SET pnvs.service_sid = 'sim-start:close'"),
		qr/lost the connection/, 'a lost reply ends the job');
	is($node->safe_psql('readme', "SELECT count(*) FROM waiting
			WHERE $claimed AND verification_id IS NULL AND failure IS NULL"),
		1, 'a row whose message may have been sent stays claimed');
	$service->mark;
	is(run_job("SET pnvs.service_sid = '$SERVICE'"), '', 'the next run goes on');
	is($service->count('sent'), 0, 'the next run does not send it again');

	$node->safe_psql('readme', "UPDATE waiting SET claimed_at = claimed_at - interval '61 seconds'
		WHERE $claimed; UPDATE waiting SET claimed_at = claimed_at - interval '2 minutes'
		WHERE phone <> '62811000008'");
	like($node->safe_psql('readme', "SET pnvs.service_sid = 'sim-start:close'; $lookup"),
		qr/\A\d+\|[^|]+\|pending\|[^\n]+\z/, 'the look-up finds that row, its message and no other');
	return;
}

sub check_sign_up_limits
{
	like((psql("SELECT signup.start('+62 812-3456-7890')", 'web'))[1],
		qr/wait a minute/, 'sign-up sends one message a minute to a number');
	like((psql('TABLE signup.attempt', 'web'))[1],
		qr/permission denied/, 'the web role cannot read the table of sign-up');
	like((psql("SELECT pnvs.start_verification('SMS', '6281234567890')", 'web'))[1],
		qr/permission denied/, 'the web role cannot send by itself');
	return;
}

# A service that refuses must not lock anybody out.
sub check_sign_up_refusals
{
	my ($attempt, $code);
	my $checks = sub { $node->safe_psql('readme', "SELECT checks FROM signup.attempt WHERE id = '$attempt'") };
	my $confirm = sub {
		my ($service_sid, $typed) = @_;

		return psql("SET pnvs.service_sid = '$service_sid'; \\t on\n"
			  . "SELECT signup.confirm('$attempt', '$typed')", 'web');
	};

	($attempt) = (psql("SELECT signup.start('62812000001')", 'web'))[0] =~ /($UUID)/;
	$code = ($service->events('sent'))[-1]{code};
	for my $refusal ('throttled:1000', 'code:SignatureDoesNotMatch:400', 'code:InternalError:500')
	{
		like(($confirm->("sim-check:$refusal", $code))[1],
			qr/refused CheckVerification/, "$refusal: a refusal is an ERROR of sign-up");
	}
	is($checks->(), 0, 'a refusal is no attempt');
	like(($confirm->($SERVICE, 'x'))[0], qr/^ f$/m, 'a wrong code is false');
	is($checks->(), 1, 'a wrong code counts');
	like(($confirm->($SERVICE, 'a/b'))[0], qr/^ f$/m, 'what cannot be a code is false');
	is($checks->(), 2, 'what cannot be a code counts, too');
	like(($confirm->($SERVICE, $code))[0], qr/^ t$/m, 'the right code is taken after refusals');

	return;
}

# What may have been sent counts, however it ended, and nothing is sent again soon.
sub check_sign_up_doubts
{
	my $start = sub {
		my ($service_sid, $phone) = @_;

		return psql("\\pset null none\nSET pnvs.service_sid = '$service_sid'; SET pnvs.request_timeout = '500ms';"
			  . "SELECT signup.start('$phone')", 'web');
	};
	my %phone = ('sim-start:slow:1000' => '62812000002', 'sim-start:close' => '62812000003', 'sim-start:nomodel' => '62812000004');

	for my $service_sid (sort keys %phone)
	{
		$service->mark;
		like(($start->($service_sid, $phone{$service_sid}))[0], qr/^ none$/m, "$service_sid: sign-up gives nothing to confirm");
		like(($start->($service_sid, $phone{$service_sid}))[1], qr/wait a minute/, "$service_sid: and sends no second message soon");
		is($service->count('request'), 1, "$service_sid: the service gets one request");
		is($node->safe_psql('readme', "SELECT signup.confirm(id, 'x') FROM signup.attempt WHERE phone = '$phone{$service_sid}'"), 'f',
			"$service_sid: no code fits");
	}
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
	my ($value, $name) = @_;

	return 'empty' if $value eq '' || $name =~ /access_key|security_token/;
	return "$1 $2" if $value =~ /\A(\d+)([a-z]+)\z/;
	return $value eq 'off' ? $value : "`$value`";
}

# The neighbours of a bound, as values: the last that is taken and the first that is not, in
# the direction +1 or -1.
sub neighbours
{
	my ($bound, $step) = @_;
	my %seconds = (s => 1, min => 60, day => 86400);
	my ($number, $unit) = $bound =~ /\A(\d+) ?([a-z]*)\z/;

	return ("'2147483647s'", "'2147483648s'") if $bound eq '68 years';
	return map { "'$_$unit'" } $number, $number + $step if $unit eq '' || $unit eq 'ms';
	return map { "'${_}s'" } $number * $seconds{$unit}, $number * $seconds{$unit} + $step;
}

# Whether ALTER SYSTEM takes and refuses what is just within and beyond two bounds.
sub has_bounds
{
	my ($name, $least, $most) = @_;
	my @value = (neighbours($least, -1), neighbours($most, 1));
	my @told = map { $_->{psql_error} }
	  map { my %r; $node->psql('readme', "LOAD 'pnvs'; ALTER SYSTEM SET $name = $_", stderr => \$r{psql_error}); \%r } @value;

	$node->safe_psql('readme', "LOAD 'pnvs'; ALTER SYSTEM RESET $name");
	return join ' ', map { /invalid value for parameter/ ? 'refused' : 'taken' } @told;
}

sub check_settings
{
	my %setter = (user => 'anyone', superuser => 'superuser', sighup => 'reload', postmaster => 'restart');
	my @real = map { [ split /\|/, $_, -1 ] } split /\n/, $node->safe_psql('readme',
		"LOAD 'pnvs'; SELECT name, boot_val, context FROM pg_settings WHERE name LIKE 'pnvs.%'");
	my %documented = map { $_->[0] => "$_->[1], $_->[2]" } table_rows('name | default');
	my %actual = map { ("`$_->[0]`" => shown_default(@$_[1, 0]) . ", $setter{$_->[2]}") } @real;

	is_deeply(\%documented, \%actual, 'the settings are those of the table');

	my %meaning = map { ($_->[0] =~ tr/`//dr) => $_->[3] } table_rows('name | default');
	my @limited = map { [ split /\|/, $_, -1 ] } split /\n/, $node->safe_psql('readme',
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
	my @documented = grep { /^38V/ } map { $_->[0] } table_rows('SQLSTATE');

	is("@documented", "@real", "pnvs' own SQLSTATEs are those of the table");
	return;
}

sub check_columns
{
	for my $type (qw(start_verification_result check_verification_result search_verification_record
		verification_queue))
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

# PostgreSQL's own messages that the README explains, and what brings them about.
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
		my (undef, $error) = psql($POSTGRESQL{$message});

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
	return join '', map { PostgreSQL::Test::Utils::slurp_file($_) } glob("$ROOT/src/*.c $ROOT/src/*/*.c $ROOT/src/*/*/*.c");
}

# The names in a table's first column are those that the code has.
sub check_names
{
	my ($head, $pattern) = @_;
	my %documented = map { $_ => 1 } map { $_->[0] =~ /`(.*?)`/g } table_rows($head);
	my %real = map { $_ => 1 } source() =~ /$pattern/g;

	cmp_ok(scalar keys %real, '>', 3, "$head: the code has some");
	is_deeply([ sort keys %documented ], [ sort keys %real ], "$head: those of the table are those of the code");
	return;
}

# The README explains every message that is a literal of an error's.
sub check_every_message
{
	my %explained = map { $_ => 1 } map { $_->[0] =~ /`(.*?)`/g } table_rows('message | what to do');
	my @unexplained;

	for my $literals (source() =~ /\b(?:errmsg|misuse|refuse)\(\s*((?:"(?:[^"\\]|\\.)*"\s*)+)/g)
	{
		my $message = join('', $literals =~ /"((?:[^"\\]|\\.)*)"/g) =~ s/\\"/"/gr;
		my $shown = $message =~ s/%(?:[sdm]|ld)/.../gr;

		push @unexplained, $message
		  if $message ne '%s' && !$explained{$shown} && !$explained{ $shown =~ s/\d+/.../gr };
	}
	is_deeply([ sort @unexplained ], [], 'every message is explained');
	return;
}

# Every message that the README explains is one of the code's, or PostgreSQL's.
sub check_messages
{
	my $source = source();
	my @row = table_rows('message | what to do');

	cmp_ok(scalar @row, '>', 20, 'the README explains messages');
	for my $message (map { $_->[0] =~ /`(.*?)`/g } @row)
	{
		my $pattern = quotemeta $message;

		next if $POSTGRESQL{$message} || $message eq $UNREADABLE;
		$pattern =~ s/\\\.\\\.\\\./(?:%(?:[sd]|ld)|\\\\"%s\\\\"|"%s")/g;
		$pattern =~ s/\\"/\\\\?"/g;
		ok($source =~ /"$pattern"/, "there is a message: $message");
	}
	return;
}

# pg_cron's function, as far as the example needs it.
# The path is for what the test asks itself; the README names the schema.
$node->safe_psql('postgres', 'CREATE DATABASE readme; ALTER DATABASE readme SET search_path = public, pnvs');
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
check_sqlstates();
check_columns();
check_names('code of pnvs', qr/"(Local\.[A-Za-z.]+)"/);
check_names('wait event', qr/pnvs_name_wait_event\(&\w+, "(\w+)"/);
check_messages();
check_every_message();
check_postgresql_messages();

$node->stop;
check_unreadable_file();
done_testing();
