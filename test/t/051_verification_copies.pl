# What becomes of verifications when a database is dumped, copied, replicated, or failed
# over to.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Pnvs::Rows qw(insert_verification);
use Pnvs::Server;
use Pnvs::Session;
use Pnvs::Simulator;

my $NUMBER = '6281234567890';
my $MASKED = '6281234****90';

my $service = Pnvs::Simulator->new;
my $server = Pnvs::Server->new($service, 'original', streaming => 'logical',
	conf => "wal_level = logical\npnvs.limits = ''\n");
my $session = $server->connect;

# Verifications of one number in all states; the IDs. The number is known by its hash: a
# message to it has that.
sub begin_all
{
	my ($there) = @_;
	my $message = $there->value("SELECT enqueue_verification('SMS', '$NUMBER', 'FA1', not_before => now() + interval '1 hour')");
	my @common = (recipient_hash => "(SELECT recipient_hash FROM pnvs_internal.queue WHERE id = $message)");
	my @approved = (@common, state => q{'approved'}, approved_at => 'clock_timestamp()', approved_code => 1);

	return (
		pending => insert_verification($there, @common),
		guessed => insert_verification($there, @common, tries => 5, wrong_at => 'ARRAY[now()]'),
		approved => insert_verification($there, @approved),
		second => insert_verification($there, @approved),
		used => insert_verification($there, @common, state => q{'used'}, recipient => "'$MASKED'", approved_at => 'now()', used_at => 'now()', ended_at => 'now()'));
}

# The ends of the number's verifications, as support sees them.
sub ends
{
	my ($there) = @_;

	return join ', ', $there->run("SELECT concat_ws(' ', event, detail) AS line FROM verification_history('$NUMBER') "
		  . q{WHERE event IN ('used', 'canceled', 'max_tries', 'expired') ORDER BY 1})->column('line');
}

sub use_it { my ($there, $id) = @_; return $there->value("SELECT use_verification('$id')") // 'nothing'; }

sub count_rows { return $_[0]->value('SELECT count(*) FROM pnvs_internal.phone_verification'); }

sub hash_key { return $_[0]->value('SELECT key FROM pnvs_internal.hash_key'); }

my %id = begin_all($session);
is(count_rows($session), 5, 'there are verifications in all states');
is(ends($session), 'max_tries, used', 'two have ended');

# --- a dump

{
	my $node = $server->node;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/dump';

	$node->safe_psql('postgres', 'CREATE DATABASE restored');
	$node->command_ok([ 'pg_dump', '-Fc', '-f', $file, '-d', $node->connstr('postgres') ], 'the database is dumped');
	$node->command_ok([ 'pg_restore', '-d', $node->connstr('restored'), $file ], 'and restored');
	unlike(join('', `pg_restore -f - $file`), qr/phone_verification|$NUMBER|\Q$MASKED\E/, 'no verification is in the dump');
	my $there = $server->connect('restored');
	is(count_rows($there), 0, 'restored: no verification is there');
	is($there->value('SELECT count(*) FROM pnvs_internal.hash_key'), 1, 'restored: there is a key of the hashes');
	isnt(hash_key($there), hash_key($session), 'restored: it is another');
	is(use_it($there, $id{approved}), 'nothing', 'restored: an approval cannot be used');
	is($there->value("SELECT count(*) FROM verification_history('$NUMBER')"), 0, 'restored: the number has no history');
	my %own = begin_all($there);
	is(use_it($there, $own{approved}), "+$NUMBER", 'restored: verifications are possible');
	$there->close;
}

# --- a copy beside the original

{
	my $name = 'copied';

	$server->connect('template1')->run("CREATE DATABASE $name TEMPLATE restored");
	my $there = $server->connect($name);
	is(count_rows($there), 5, 'copied: verifications are there');
	is(ends($there), 'canceled Local.ForeignOrigin, canceled Local.ForeignOrigin, canceled Local.ForeignOrigin, used, used', 'copied: those under way are canceled');
	is(use_it($there, $_), 'nothing', 'copied: an approval cannot be used') for $there->value(q{SELECT id FROM pnvs_internal.phone_verification WHERE state = 'approved'});
	is($there->value("SELECT erase_phone_number('$NUMBER')"), 6, 'copied: the number can be erased');
	is($server->connect('restored')->value("SELECT count(*) FROM verification_history('$NUMBER')") > 0 ? 'kept' : 'gone', 'kept', 'copied: which the original does not hear of');
	$there->close;
}

# --- a logical subscriber

{
	my $there;
	my $node = $service->new_node('subscriber', preload => 'shared_preload_libraries', conf => "wal_level = logical\n");

	$session->run('CREATE PUBLICATION verifications FOR ALL TABLES');
	$there = Pnvs::Session->new($node);
	$there->run("CREATE SUBSCRIPTION verifications CONNECTION 'host=@{[ $server->node->host ]} port=@{[ $server->node->port ]} dbname=postgres' PUBLICATION verifications");
	Pnvs::Simulator::wait_until('the rows have come',
		sub { count_rows($there) == 5 && $there->value('SELECT count(*) FROM pnvs_internal.hash_key') == 2 });
	is(use_it($there, $id{approved}), 'nothing', 'subscriber: an approval cannot be used');
	is($there->value(qq{SELECT state FROM pnvs_internal.phone_verification WHERE id = '$id{approved}'}), 'approved', 'subscriber: it is not touched');
	is(join(' ', map { $there->value("SELECT state FROM phone_verification_status('$id{$_}')") } qw(pending approved used)), 'canceled canceled used',
		'subscriber: those under way are canceled there');
	my $result = $there->query("SELECT enqueue_verification('SMS', '$NUMBER', 'FA1')");
	is($result->message, '', 'subscriber: it goes on, with the key of the original beside its own');
	is(use_it($there, ${ { begin_all($there) } }{approved}), "+$NUMBER", 'subscriber: verifications are possible');
	$there->run('DROP SUBSCRIPTION verifications');
	$session->run('DROP PUBLICATION verifications');
	$there->close;
	$node->stop('fast');
}

# --- a standby, and its promotion

{
	my $node = PostgreSQL::Test::Cluster->new('standby');
	my ($standby, $there);

	$server->node->backup('base');
	$node->init_from_backup($server->node, 'base', has_streaming => 1);
	$node->start;
	$standby = Pnvs::Server->around($node);
	$server->node->wait_for_catchup($node);
	$there = $standby->connect;
	is(ends($there), ends($session), 'standby: support sees the same there');
	is($there->query("SELECT use_verification('$id{approved}')")->sqlstate, '25006', 'standby: an approval cannot be used');
	is($there->query("SELECT erase_phone_number('$NUMBER')")->sqlstate, '25006', 'standby: nor is a number erased');
	is(use_it($session, $id{second}), "+$NUMBER", 'standby: an approval is used on the primary');
	$server->node->wait_for_catchup($node);
	$session->close;
	$server->fence;

	$node->promote;
	is($there->value('SELECT pg_is_in_recovery()'), 'f', 'the standby is promoted');
	is($there->value("SELECT count(*) FROM verification_history('$NUMBER') WHERE event = 'canceled'"), 0, 'promoted: a verification goes on');
	is(ends($there), 'max_tries, used, used', 'promoted: wrong codes count as the rows have them');
	is(use_it($there, $id{second}), 'nothing', 'promoted: an approval that was used is not used again');
	is(use_it($there, $id{approved}), "+$NUMBER", 'promoted: one that was not is used');
	is(use_it($there, $id{approved}), 'nothing', 'promoted: once');
	my $old = insert_verification($there, expires_at => q{now() - interval '2 days'});
	$there->run("SELECT enqueue_verification('SMS', '6281234567800', 'FA1')");
	Pnvs::Simulator::wait_until('the number is masked',
		sub { $there->value("SELECT recipient FROM pnvs_internal.phone_verification WHERE id = '$old'") eq $MASKED });
	pass('promoted: old verifications are looked after');
	is($there->value("SELECT erase_phone_number('$NUMBER')"), 6, 'promoted: the number can be erased');
	$there->close;
	$node->stop('fast');
}

done_testing();
