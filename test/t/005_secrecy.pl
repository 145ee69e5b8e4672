# What must not be seen: numbers, codes, keys and tokens, in the server's log and
# in what clients are told, at the highest level of detail.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Session;
use Pnvs::Simulator;

# Each is unique, so that finding it is proof.
my $NUMBER = '6281357924680';
my $WRITTEN_NUMBER = '+62 813-5792-4680';
my $TYPED = '918273';
my $TYPED_WORD = 'Tangerine';
my $ID = 'LTAIsecrecyKeyId';
my $SECRET = 'secrecySecretOne';
my $TOKEN = 'secrecyTokenOne';
my %FORBIDDEN = (
	'the number' => $NUMBER,
	'the number as it was written' => $WRITTEN_NUMBER,
	'the middle of the number' => '57924680',
	'a typed code' => $TYPED,
	'a typed word' => $TYPED_WORD,
	'the ID of the access key' => $ID,
	'the access key secret' => $SECRET,
	'the security token' => $TOKEN);

my $DETAILED = <<'CONF';
log_min_messages = debug5
log_error_verbosity = verbose
log_min_error_statement = error
CONF
my $CREDENTIALS = <<"CONF";
pnvs.access_key_id = '$ID'
pnvs.access_key_secret = '$SECRET'
pnvs.security_token = '$TOKEN'
CONF

my $service = Pnvs::Simulator->new(
	access_key_id => $ID,
	access_key_secret => $SECRET,
	security_token => $TOKEN);
my $node = $service->new_node('secrecy', conf => $DETAILED . $CREDENTIALS);
my $controller = Pnvs::Session->new($node);
my $session;
my @told;

sub open_session
{
	$session = Pnvs::Session->new($node, options => '-c client_min_messages=debug5');
	push @told, $session->startup_notices;
	return;
}

# Runs a statement and keeps all that the client is told beside its rows.
sub run
{
	my ($sql) = @_;

	return keep($session->query($sql));
}

sub keep
{
	my ($result) = @_;

	push @told, $result->notices, $result->failed ? $result->{error} : ();
	return $result;
}

sub log_of { return PostgreSQL::Test::Utils::slurp_file($_[0]->logfile); }

sub nothing_in
{
	my ($text, $where, %needle) = @_;

	for my $what (sort keys %needle)
	{
		my @line = grep { index($_, $needle{$what}) >= 0 } split /\n/, $text;

		is(scalar @line, 0, "$where does not hold $what");
		diag("$where: $_") for @line[ 0 .. ($#line < 2 ? $#line : 2) ];
	}
	return;
}

# --- good calls

open_session();
my $row = run("SELECT * FROM start_verification('SMS', '$WRITTEN_NUMBER', 'FA1')")->row;
my $code = ($service->events('sent'))[0]{code};
my $id = $row->{verification_id};

is($row->{success}, 't', 'a call succeeds');
is(run("SELECT approved FROM check_verification('$TYPED_WORD', '$id', '$NUMBER')")->value, 'f', 'a wrong code is refused');
is(run("SELECT approved FROM check_verification('$code', '$id', '$NUMBER')")->value, 't', 'a right code is approved');
is(run("SELECT count(*) FROM search_verification('FA1', '$NUMBER', '$code')")->value, 1, 'a search finds it');
is( keep($session->prepared('SELECT success FROM start_verification($1, $2, $3)', [ 'SMS', $WRITTEN_NUMBER, 'FA2' ]))
	  ->value,
	't', 'a call with parameters succeeds');
run('SET pnvs.expose_verify_code = on');
$row = run("SELECT * FROM start_verification('SMS', '$NUMBER', 'FA3')")->row;
my $exposed = $row->{verify_code};
is($exposed, ($service->events('sent', service_sid => 'FA3'))[0]{code}, 'a code is handed out');
run('RESET pnvs.expose_verify_code');

# --- bad arguments

for my $call (
	"start_verification('FAX', '$NUMBER', 'FA1')",
	"start_verification('SMS', '${NUMBER}x', 'FA1')",
	"start_verification('SMS', '${NUMBER}12345', 'FA1')",
	"start_verification('SMS', '+62 (0)${NUMBER}', 'FA1')",
	"start_verification('SMS', '0$NUMBER', 'FA1')",
	"start_verification('SMS', '$NUMBER', 'FA 1')",
	"start_verification('SMS', '$NUMBER', NULL)",
	"start_verification(NULL, '$NUMBER', 'FA1')",
	"check_verification('$id', '$TYPED', '$NUMBER')",
	"check_verification('$TYPED/', '$id', '$NUMBER')",
	"check_verification('$TYPED$TYPED$TYPED', '$id', '$NUMBER')",
	"check_verification('$TYPED', NULL, '$NUMBER')",
	"check_verification('$TYPED', '$id', '12')",
	"search_verification(\"to\" => '${NUMBER}x')",
	"search_verification(\"to\" => '$NUMBER', code => '+$TYPED')",
	"search_verification(\"to\" => '$NUMBER', page_size => 0)",
	"search_verification(\"to\" => '$NUMBER', send_date => '-infinity')")
{
	is(run("SELECT * FROM $call")->sqlstate, '22023', 'a bad argument is an error');
}
is( keep($session->prepared('SELECT * FROM check_verification($1, $2, $3)', [ "$TYPED/", $id, $NUMBER ]))->sqlstate,
	'22023', 'a bad parameter is an error');

# --- calls that fail

sub each_call
{
	my ($service_sid) = @_;

	return ("start_verification('SMS', '$WRITTEN_NUMBER', '$service_sid')",
		"check_verification('$TYPED', '$id', '$NUMBER', '$service_sid')",
		"search_verification('$service_sid', '$NUMBER', '$TYPED')");
}

run("SET pnvs.on_failure = 'error'");
run('SET pnvs.request_timeout = 200');
for my $service_sid (
	'sim:code:MOBILE_NUMBER_ILLEGAL:200', 'sim:code:SignatureDoesNotMatch:400', 'sim:code:InternalError:500',
	"sim:code:$NUMBER:400", "sim:code:to-$TYPED:503", 'sim:throttled:1000', 'sim:skewalways', 'sim:close',
	'sim:hang', 'sim:truncate', 'sim:notjson', 'sim:halfjson', 'sim:html:502', 'sim:redirect:302', 'sim:badutf8',
	'sim:oversize')
{
	for my $call (each_call($service_sid))
	{
		my $result = run("SELECT * FROM $call");

		# only a search cannot return what may mean a wrong code
		next if $call =~ /\Acheck/ && $service_sid =~ /\Asim:code:\d/;
		like($result->sqlstate, qr/\A38V0/, "$service_sid is an error");
	}
}

run('RESET pnvs.request_timeout');

# A refusal that quotes what was typed, though it is no number, or the token.
for my $quoted ($TYPED_WORD, $TOKEN, "$TYPED_WORD$TYPED", "$NUMBER$TYPED_WORD")
{
	my $service_sid = "sim:code:Forbidden.$quoted:400";

	for my $call (
		"check_verification('$TYPED_WORD', '$id', '$NUMBER', '$service_sid')",
		"search_verification('$service_sid', '$NUMBER', '$TYPED_WORD')")
	{
		my $result = run("SELECT * FROM $call");

		is($result->sqlstate, '38V05', 'a refusal that quotes the request is an error');
		like($result->message, qr/: Forbidden\.\*+\z/, 'what it quotes is hidden');
	}
}
run('SET pnvs.connect_timeout = 200');
for my $port (qw(refused accept_reset tls_stall tls_wronghost tls_garbage))
{
	run("SET pnvs.endpoint = '" . $service->endpoint($port) . "'");
	is(run("SELECT * FROM $_")->sqlstate, '38V01', "port $port is an error") for each_call('FA1');
}
run('RESET pnvs.endpoint');
run('RESET pnvs.connect_timeout');
run("SET pnvs.ca_file = ''");
is(run("SELECT * FROM $_")->sqlstate, '38V01', 'an untrusted certificate is an error') for each_call('FA1');
run('RESET pnvs.ca_file');

# What the service repeats of the request in its refusal: here, the string to sign.
run("SET pnvs.access_key_secret = 'wrong$SECRET'");
is(run("SELECT * FROM $_")->sqlstate, '38V05', 'a wrong secret is an error') for each_call('FA1');
run("SET pnvs.access_key_secret = ''");
is(run("SELECT * FROM $_")->sqlstate, 'F0000', 'a missing secret is an error') for each_call('FA1');
run('RESET pnvs.access_key_secret');

# --- calls that are ended from outside

for my $end ('pg_cancel_backend', 'pg_terminate_backend')
{
	for my $call (each_call('sim:hang'))
	{
		$service->mark;
		$session->send("SELECT * FROM $call");
		$service->wait_for('request', scenario => 'hang');
		$controller->run("SELECT $end(" . $session->pid . ')');
		like(keep($session->result)->sqlstate, qr/\A57/, "$end ends a call");
		open_session() if $end eq 'pg_terminate_backend';
	}
}
run('SET statement_timeout = 200');
is(run("SELECT * FROM $_")->sqlstate, '57014', 'statement_timeout ends a call') for each_call('sim:hang');

run("SET pnvs.on_failure = 'error'");

# PL/pgSQL quotes the statement in its context: for its caller, not for the log.
for my $service_sid ('sim:hang', 'sim:close', 'sim:notjson', 'sim:code:MOBILE_NUMBER_ILLEGAL:200', 'F A')
{
	my $result = $session->query("DO \$\$ BEGIN PERFORM start_verification('SMS', '$NUMBER', '$service_sid'); END \$\$");

	ok($result->failed, "a call from PL/pgSQL fails with $service_sid");
}
run('RESET statement_timeout');
run('RESET pnvs.on_failure');

# --- settings

for my $name (qw(access_key_id access_key_secret security_token))
{
	run("SET pnvs.$name = 'other$SECRET'");
	is(run("SHOW pnvs.$name")->value, '********', "$name is not shown");
	is(run("SELECT current_setting('pnvs.$name')")->value, '********', "$name is not shown by current_setting()");
	is( run("SELECT array_to_string(ARRAY[setting, boot_val, reset_val], ' ') FROM pg_settings WHERE name = 'pnvs.$name'")
		  ->value =~ /\A[* ]*\z/ ? 1 : 0,
		1, "$name is not shown by pg_settings");
	is(run("SET pnvs.$name = 'with a space $SECRET'")->sqlstate, '22023', "$name with a space is refused");
	is(run("ALTER ROLE CURRENT_USER SET pnvs.$name = '$SECRET'")->sqlstate,
		'22023', "ALTER ROLE cannot set $name");
	is(run("ALTER DATABASE postgres SET pnvs.$name = '$SECRET'")->sqlstate,
		'22023', "ALTER DATABASE cannot set $name");
	is(run("CREATE FUNCTION f() RETURNS integer LANGUAGE sql SET pnvs.$name = '$SECRET' AS 'SELECT 1'")->sqlstate,
		'22023', "CREATE FUNCTION cannot set $name");
	run("RESET pnvs.$name");
}
is($session->value('SELECT count(*) FROM pg_db_role_setting'), 0, 'no secret is in the catalogs');
for my $name (qw(endpoint proxy))
{
	is(run("SET pnvs.$name = 'https://user:$SECRET\@example.com'")->sqlstate,
		'22023', "$name with a password is refused");
}

# --- nothing of all that is anywhere

$FORBIDDEN{'the code that was sent'} = $code;
$FORBIDDEN{'the code that was handed out'} = $exposed;
nothing_in(log_of($node), 'the log', %FORBIDDEN);
nothing_in(join("\n", map { values %$_ } @told), 'what the client was told', %FORBIDDEN);

# The same words in a statement that fails for another reason: this is what the
# tests above would have found.
run("SELECT 'control needle'::integer");
like(log_of($node), qr/STATEMENT: .*control needle/, 'the log holds the statements of other errors');
like(log_of($node), qr/DEBUG: /, 'the log is as detailed as it gets');
like(join("\n", map { values %$_ } @told), qr/DEBUG/, 'the client is told as much as there is');

# --- files that change

sub change_secret
{
	my ($changing, $from, $to) = @_;
	my $file = $changing->data_dir . '/postgresql.conf';
	my $text = PostgreSQL::Test::Utils::slurp_file($file);

	$text =~ s/\Q$from\E/$to/g or die "there is no $from";
	open(my $out, '>', $file) or die "$file: $!";
	print $out "$text\n";
	close($out);
	$changing->reload;
	return;
}

# Waits until a session signs with the new secret.
sub uses
{
	my ($user, $code) = @_;

	Pnvs::Simulator::wait_until('the reload has reached the session',
		sub { ($user->query("SELECT code FROM start_verification('SMS', '6281300000001', 'FA1')")->value // '') eq $code });
	return 1;
}

# The postmaster knows the settings here, and their mask.
my $preloaded = $service->new_node('preloaded',
	preload => 'shared_preload_libraries',
	conf => $DETAILED . $CREDENTIALS);
my $user = Pnvs::Session->new($preloaded);

ok(uses($user, 'OK'), 'the secret of the file is used');
change_secret($preloaded, $SECRET, 'secrecySecretTwo');
ok(uses($user, 'SignatureDoesNotMatch'), 'a reload changes the secret of a session');
change_secret($preloaded, 'secrecySecretTwo', 'with space');
change_secret($preloaded, 'with space', $SECRET);
ok(uses($user, 'OK'), 'a reload brings the secret back');
change_secret($preloaded, $TOKEN, 'secrecyTokenTwo');
ok(uses($user, 'InvalidSecurityToken.MismatchWithAccessKey'), 'a reload changes the token of a session');
is($user->value('SHOW pnvs.access_key_secret'), '********', 'the secret of the file is not shown');
like(log_of($preloaded), qr/received SIGHUP/, 'the server has reloaded');
nothing_in(log_of($preloaded), 'the log with shared_preload_libraries', %FORBIDDEN,
	'the changed secret' => 'secrecySecretTwo',
	'the changed token' => 'secrecyTokenTwo',
	'the secret that was refused' => 'with space');
$user->close;

# With session_preload_libraries the postmaster takes the settings for anybody's
# and logs each change of their values. That is why the documents ask for
# shared_preload_libraries: where this fails, PostgreSQL has become better.
change_secret($node, $SECRET, 'secrecySecretTwo');
Pnvs::Simulator::wait_until('the server has reloaded', sub { log_of($node) =~ /received SIGHUP/ });
Pnvs::Simulator::wait_until('the change is logged',
	sub { log_of($node) =~ /parameter "pnvs\.access_key_secret" changed to "secrecySecretTwo"/ });
pass('with session_preload_libraries PostgreSQL logs a secret that a reload changes');

# --- a session in which the library is not there yet

my $lazy = $service->new_node('lazy', preload => undef, conf => $CREDENTIALS);
$lazy->safe_psql('postgres', 'CREATE ROLE somebody LOGIN');
for my $role ('somebody', undef)
{
	my $unprepared = Pnvs::Session->new($lazy, user => $role);

	is($unprepared->value('SHOW pnvs.access_key_secret'), $SECRET,
		'before the library is loaded PostgreSQL shows the secret to ' . ($role // 'a superuser'));
	$unprepared->close;
}
{
	my $unprepared = Pnvs::Session->new($lazy);
	my $result = $unprepared->query("SELECT success FROM start_verification('SMS', '6281300000002', 'FA1')");
	my @warning = grep { $_->{S} eq 'WARNING' } $result->notices;

	is($result->value, 't', 'a call without preloading works');
	is(scalar @warning, 1, 'it warns once');
	like($warning[0]{M}, qr/every role can read the secret settings/, 'it warns that the credentials can be read');
	like($warning[0]{H}, qr/shared_preload_libraries/, 'it says what to do');
	is($unprepared->value('SHOW pnvs.access_key_secret'), '********', 'from then on the secret is not shown');
	$unprepared->close;
}

# No warning where the library is there from the start.
for my $prepared ($node, $preloaded)
{
	my $quiet = Pnvs::Session->new($prepared);

	is(scalar(grep { $_->{S} eq 'WARNING' } $quiet->startup_notices), 0,
		'a session of ' . $prepared->name . ' begins without a warning');
	is($quiet->value('SHOW pnvs.access_key_secret'), '********', 'and shows no secret');
}

$_->stop for $node, $preloaded, $lazy;
done_testing();
