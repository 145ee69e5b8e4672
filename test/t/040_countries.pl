# Channels and countries: a message that is not allowed goes out by no door, and needs no
# memory to be refused.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Queue;
use Pnvs::Session;
use Pnvs::Simulator;

my %number = (
	ID => '6281355500001',
	SG => '6591234567',
	US => '14155550100',
	JM => '18765550100',
	CA => '14165550100',
	nobody => '12115550100',
	new => '21012345678');

my $service = Pnvs::Simulator->new;
my $queue = Pnvs::Queue->new($service, 'countries', conf => "pnvs.service_sid = 'FA1'\n");
my $session = $queue->session;

$session->run('CREATE TABLE member (phone text)');
$session->run('CREATE TRIGGER verify AFTER INSERT ON member FOR EACH ROW '
	  . "EXECUTE FUNCTION enqueue_verification_trigger('SMS', 'phone', 'FA1')");

sub start { my ($number, $channel) = @_; return $session->query("SELECT * FROM start_verification('" . ($channel // 'SMS') . "', '$number')"); }
sub enqueue { my ($number, $channel) = @_; return $session->query("SELECT enqueue_verification('" . ($channel // 'SMS') . "', '$number')"); }

# --- countries

# [the list, those that may be sent to]
for my $case (
	[ '', qw(CA ID JM SG US new nobody) ],
	[ 'ID sg', qw(ID SG) ],
	[ 'US', qw(US) ],
	[ '+1', qw(CA JM US nobody) ],
	[ '+1 -JM', qw(CA US nobody) ],
	[ '-ID -+1', qw(SG new) ],
	[ '-ID +1', qw(CA JM US nobody) ])
{
	my ($list, @allowed) = @$case;

	$queue->reload('pnvs.countries' => $list);
	is_deeply([ grep { start($number{$_})->sqlstate eq '' } sort keys %number ], \@allowed, "\"$list\": direct calls");
	is_deeply([ grep { enqueue($number{$_})->sqlstate eq '' } sort keys %number ], \@allowed, "\"$list\": the queue");
}

$queue->reload('pnvs.countries' => 'US');
$service->mark;
my $refused = start($number{JM});
is($refused->sqlstate, '38V03', 'a country that is not in the list is refused by a SQLSTATE of its own');
is($refused->message, 'messages to this country are not allowed', 'with a message');
is($refused->detail, 'sent=no limit=country', 'and a detail that never says when to come back');
is($refused->hint, 'Codes are not sent to this country.', 'the hint is for the person');
is(enqueue($number{JM})->detail, $refused->detail, 'enqueue_verification() says the same');
is($session->query("INSERT INTO member VALUES ('$number{JM}')")->sqlstate, '', 'the trigger refuses no INSERT');
my $kept = $session->run("SELECT * FROM pnvs_internal.queue ORDER BY id DESC LIMIT 1")->row;
is("$kept->{state} $kept->{code}", 'failed Local.CountryNotAllowed', 'and keeps the message as failed');
unlike($kept->{recipient}, qr/\Q$number{JM}\E/, 'with its number masked');
is(scalar(grep { ($_->{params}{To} // '') eq $number{JM} } $service->events('request')), 0, 'the service is not asked');

# A message that was accepted is not judged again: the list is the door's.
my $ready = $session->value("SELECT enqueue_verification('SMS', '$number{US}', not_before => clock_timestamp() + '1 second')");
$queue->reload('pnvs.countries' => 'ID');
is($queue->settled($ready)->{state}, 'sent', 'what was queued before a list forbids it is still sent');

# --- an invalid list lets nobody queue what it may forbid

write_conf("pnvs.countries = 'ID UK'");
my $broken = enqueue($number{ID});
is($broken->sqlstate, '22023', 'while the list is not valid, nothing is queued');
like($broken->detail, qr/Word 2, "UK",/, 'and the detail names the word');
is(start($number{ID})->sqlstate, '22023', 'nor sent');
is($session->query("INSERT INTO member VALUES ('$number{ID}')")->sqlstate, '', 'the trigger still refuses no INSERT');
$kept = $session->run("SELECT * FROM pnvs_internal.queue ORDER BY id DESC LIMIT 1")->row;
is("$kept->{state} $kept->{code}: $kept->{message}", 'failed Local.Unsent.Start: the value of "pnvs.countries" is not valid',
	'and keeps the message as failed');
write_conf('');

# --- channels

$queue->reload('pnvs.countries' => undef, 'pnvs.channels' => 'sms WhatsApp');
is(start($number{ID}, 'SMS')->sqlstate, '', 'a channel of the list can be used');
is(start($number{ID}, 'WHATSAPP')->sqlstate, '', 'and so can another one');
$refused = start($number{ID}, 'VOICE');
is($refused->sqlstate, '38V03', 'a channel that is not in the list is refused');
is($refused->detail, 'sent=no limit=channel', 'and programs are told');
is(enqueue($number{ID}, 'Voice')->detail, $refused->detail, 'by the queue as well');

# --- observe mode concerns limits alone

$queue->reload('pnvs.channels' => undef, 'pnvs.countries' => 'SG', 'pnvs.limits_mode' => 'observe');
is(start($number{ID})->sqlstate, '38V03', 'observe mode lets no country through');

# --- without preloading

my $lazy = $service->new_node('lazy', conf => "pnvs.service_sid = 'FA1'\npnvs.countries = 'SG'\npnvs.channels = 'SMS'\n");
$session = Pnvs::Session->new($lazy);
is(start($number{SG})->sqlstate, '', 'a server that does not preload the library sends to its countries');
is(start($number{ID})->detail, 'sent=no limit=country', 'and to no others');
is(start($number{SG}, 'VOICE')->detail, 'sent=no limit=channel', 'nor by other channels');
start($number{ID}) for 1 .. 3;
is(scalar(() = PostgreSQL::Test::Utils::slurp_file($lazy->logfile) =~ /pnvs refuses messages by the setting "pnvs\.countries"/g), 1,
	'the log says so once a minute');
$lazy->stop;
$queue->stop;
done_testing();

# Puts a line into the configuration behind all others; an invalid one cannot be set by a statement.
sub write_conf
{
	my ($line) = @_;
	my $file = $queue->node->data_dir . '/more.conf';

	$queue->node->append_conf('postgresql.conf', "include_if_exists = 'more.conf'") unless -e $file;
	open(my $out, '>', $file) or die "$file: $!";
	print $out "$line\n";
	close($out);
	$session->run('ALTER SYSTEM RESET pnvs.countries');
	$queue->reload;
	return;
}
