# What the guard shows of itself, to whom, and what support can do for a number.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils ();
use Test::More;

use Pnvs::Guard;
use Pnvs::Simulator;

my $service = Pnvs::Simulator->new;
my $guard = Pnvs::Guard->new($service, 'views', conf => <<'CONF');
pnvs.limits = 'number 2/1h, total SMS 1000/1h, tries 2/1h'
pnvs.breaker = 'country 3/1h 50% 1h'
CONF
my $session = $guard->session;
my $RULE = q{SELECT * FROM pnvs_stat_guard WHERE rule = '%s'};

sub rule { return $session->query(sprintf $RULE, $_[0])->row; }

# --- a row a rule

is(join('|', $session->query('SELECT rule FROM pnvs_stat_guard')->column('rule')),
	'number 2/1h|total SMS 1000/1h|tries 2/1h', 'the view has a row for each rule, in their order');
is($session->value('SELECT string_agg(state, $$ $$) FROM pnvs_breakers') // 'none', 'none', 'no breaker has a row before a message');
my ($number, $other) = ($guard->new_number, $guard->new_number);
$guard->start($number) for 1 .. 3;
$guard->start($other);
is($session->value('SELECT string_agg(state, $$ $$) FROM pnvs_breakers'), 'unarmed', 'before the first approval the breaker is not armed');
is(join(' ', @{ rule('number 2/1h') }{qw(admitted refused observed observed_approved keys)}), '3 1 0 0 2',
	'a rule counts what it has admitted and refused, and its keys');
is(join(' ', @{ rule('total SMS 1000/1h') }{qw(admitted refused)}), '3 0', 'a rule that would have admitted has not refused');
is($session->value(q{SELECT bool_and(since BETWEEN pg_postmaster_start_time() AND now()) FROM pnvs_stat_guard}), 't',
	'the view says since when it counts');

# --- who sees it

$session->run('CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher; CREATE ROLE stranger LOGIN');
is($guard->connect(user => 'watcher')->value('SELECT count(*) FROM pnvs_stat_guard, pnvs_breakers'), 3, 'a member of pg_monitor sees the views');
for my $object ('FROM pnvs_stat_guard', 'FROM pnvs_breakers', 'FROM pnvs_internal.guard_rules()', q{unblock_phone_number('+628123456789')}, 'pnvs_guard_reset()')
{
	is($guard->connect(user => 'stranger')->query("SELECT $object")->sqlstate, '42501', "others do not have: $object");
}
unlike($session->value('SELECT string_agg(g::text, $$ $$) FROM pnvs_stat_guard g') . $session->value('SELECT string_agg(b::text, $$ $$) FROM pnvs_breakers b'),
	qr/$number|@{[ substr $number, 0, -4 ]}/, 'the views hold no number');

# --- observing

$guard->reload('pnvs.limits_mode' => 'observe');
is($guard->start($number)->sqlstate, '', 'in observe mode a limit refuses nothing');
is(join(' ', @{ rule('number 2/1h') }{qw(admitted refused observed observed_approved)}), '3 1 1 0', 'what it would have refused is counted');
my $friend = $guard->new_number;
my $friends = $guard->start($friend, more => 'trusted => true')->row->{verification_id};
is($session->value("SELECT approved FROM check_verification('@{[ ($service->events('sent', to => $friend))[-1]{code} ]}', '$friends')"), 't', 'a code of a trusted message is right');
is($session->query('SELECT * FROM pnvs_breakers')->row->{state}, 'closed', 'the first approval arms the breaker');
my $id = $session->value("SELECT verification_id FROM start_verification('SMS', '$number', 'FA2')");
my @sent = $service->events('sent', to => $number);
is($session->value("SELECT approved FROM check_verification('$sent[-1]{code}', '$id', '$number')"), 't', 'its code is right');
is(rule('number 2/1h')->{observed_approved}, 1, 'a message that would have been refused, and was approved, is counted');
$guard->start($_) for map { ($_) x 2 } $guard->new_number, $guard->new_number;
is(join(' ', @{ $session->query('SELECT * FROM pnvs_breakers')->row }{qw(country state numbers approved refused)}),
	'ID closed 2 0 0', 'a country has a row, with the different numbers that were sent to since');

# --- support

$guard->reload('pnvs.limits_mode' => 'enforce');
is($guard->start($number)->sqlstate, '38V03', 'a number that has used up its limit is refused');
$session->run("SELECT check_verification('000000', '$id', '$number')") for 1 .. 2;
is($session->query("SELECT check_verification('000000', '$id', '$number')")->sqlstate, '38V03', 'and so are wrong codes for it');
$session->run("SELECT unblock_phone_number('+$number')");
is($guard->start($number)->sqlstate, '', 'after unblock_phone_number() it is sent to');
is($session->query("SELECT check_verification('000000', '$id', '$number')")->sqlstate, '', 'and its codes are checked');
like(PostgreSQL::Test::Utils::slurp_file($guard->node->logfile), qr/LOG: .*the limits of phone number \d{7}\*{4}\d\d were reset by role "\w+"/, 'the log says who did it, with the number masked');
is($session->query('SELECT unblock_phone_number(NULL)')->sqlstate, '22023', 'it needs a number');

# --- resets

$session->run('GRANT EXECUTE ON FUNCTION pnvs_guard_reset TO stranger');
is($guard->connect(user => 'stranger')->query('SELECT pnvs_guard_reset()')->sqlstate, '42501', 'only a superuser resets, whatever is granted');
is($session->query(q{SELECT pnvs_guard_reset('nobody')})->sqlstate, '22023', 'a scope that does not exist is an error');
$guard->start($other) for 1 .. 2;
is($guard->start($other)->sqlstate, '38V03', 'another number is refused, too');
$session->run(q{SELECT pnvs_guard_reset('total')});
is($guard->start($other)->sqlstate, '38V03', 'the reset of one scope leaves the others');
is(rule('total SMS 1000/1h')->{admitted}, 0, 'and begins to count anew');
$session->run(q{SELECT pnvs_guard_reset()});
is($guard->start($other)->sqlstate, '', 'the reset of all scopes lets every number be sent to');

# --- messages that are due later, and are taken back

sub queue { return "SELECT enqueue_verification('SMS', '$_[0]', 'FA1', not_before => now() + interval '$_[1]')"; }

sub figures { return join ' ', @{ $session->query('SELECT * FROM pnvs_breakers')->row }{qw(numbers approved)}; }

$session->run('SELECT pnvs_guard_reset()');
$number = $guard->new_number;
for (1 .. 3)
{
	$session->run('BEGIN');
	$session->run($_) for queue($number, '0 s'), queue($number, '3 hours');
	$session->run('ROLLBACK');
}
is(figures(), '0 0', 'the breaker does not count a number whose messages are all taken back');
my $late = $session->value(queue($number, '50 minutes'));
$guard->start($number);
is(figures(), '1 0', 'a message that is due much later hides none that is sent now');
$session->run("SELECT cancel_verification($late)");
is(figures(), '1 0', 'not even if it is canceled');

# --- the total, which refuses everybody

{
	my ($said, @notice) = (0);

	$guard->reload('pnvs.limits' => 'total 5/1h');
	for my $n (1 .. 5)
	{
		push @notice, $guard->start($guard->new_number)->notices;
		$said ||= $n if PostgreSQL::Test::Utils::slurp_file($guard->node->logfile) =~ /WARNING: .*have nearly reached the limit "total 5\/1h"/;
	}
	is($said, 4, 'the log has a WARNING when a total is used up by 80 %');
	is(scalar @notice, 0, 'which callers do not see');
	is($guard->start($guard->new_number)->sqlstate, '38V03', 'when it is used up, nobody is sent to');
}

# --- without shared memory

my $bare = $service->new_node('bare', conf => "pnvs.limits = ''\n");
is(Pnvs::Session->new($bare)->query("SELECT * FROM $_")->sqlstate, 'F0000', "without preloading, $_ says what it needs")
  for qw(pnvs_stat_guard pnvs_breakers);
$bare->stop;

$guard->stop;
done_testing();
