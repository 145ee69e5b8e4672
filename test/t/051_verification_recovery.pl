# Verifications whose codes were sent go on where the server goes on: on a standby they can be
# looked at, and once it is promoted, or a backup of it runs, they are confirmed and used as
# the table of doc/copies.md says.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use Test::More;

use Pnvs::Confirm;
use Pnvs::Server;
use Pnvs::Simulator;

my $service = Pnvs::Simulator->new;
my $original = Pnvs::Confirm->new($service, 'original',
	streaming => 1, archiving => 1, conf => "pnvs.limits = ''\npnvs.breaker = ''\nwal_keep_size = '256MB'\n");
my $session = $original->session;
my $node = $original->node;

sub confirm { my ($there, @call) = @_; return $original->confirm(@call, session => $there); }
sub use_it { my ($there, $v) = @_; return $there->value("SELECT use_verification('$v->{id}')") // 'nothing'; }
sub status { my ($there, $v) = @_; return $original->status($v->{id}, $there)->{state}; }

# What there is before the base backup, the promotion, or the point in time.
sub begin_all
{
	my %v = map { $_ => $original->begin('FA1') } qw(pending approved used guessed);

	confirm($session, $v{pending}, Pnvs::Confirm::wrong($v{pending}));
	$session->run("BEGIN; SELECT confirm_verification('$v{pending}{id}', '" . Pnvs::Confirm::wrong($v{pending}, 2) . "'); ROLLBACK");
	confirm($session, $v{guessed}, Pnvs::Confirm::wrong($v{guessed}, $_)) for 1 .. 5;
	confirm($session, $v{$_}, $v{$_}{code}) for qw(approved used);
	is(use_it($session, $v{used}), "+$v{used}{number}", 'an approval is used');
	return %v;
}

# What becomes of them where the server goes on; tries: wrong codes that are left after another.
sub goes_on
{
	my ($what, $there, $tries, %v) = @_;

	is(confirm($there, $v{pending}, Pnvs::Confirm::wrong($v{pending}, 3)), "f pending $tries -", "$what: wrong codes count as the rows have them");
	is(confirm($there, $v{pending}, $v{pending}{code}), "t approved $tries -", "$what: the code that was sent before is approved");
	is(use_it($there, $v{$_}), "+$v{$_}{number}", "$what: an approval is used ($_)") for qw(pending approved);
	is(use_it($there, $v{$_}), 'nothing', "$what: once ($_)") for qw(pending approved used);
	is(confirm($there, $v{guessed}, $v{guessed}{code}), 'f max_tries 0 -', "$what: who has no try left gets none");
	return;
}

my %v = begin_all();

# --- a backup, that is recovered and promoted, or just started

# What the server remembers besides the rows is in a file by now.
Pnvs::Simulator::wait_until('a snapshot is written', sub { -s $node->data_dir . '/pg_stat/pnvs_guard.stat' });
$node->backup('base');

# What comes after it: the point in time is behind it.
my $later = $original->begin('FA1');
my $point = $session->value('SELECT clock_timestamp()');
my $too_late = $original->begin('FA1');
$session->run('SELECT pg_switch_wal()');
my $file = $session->value("SELECT pg_walfile_name(pg_current_wal_lsn() - 1)");
$node->poll_query_until('postgres', "SELECT last_archived_wal >= '$file' FROM pg_stat_archiver") or die 'the WAL was not archived';

sub start_copy
{
	my ($name, $conf, @init) = @_;
	my $copy = PostgreSQL::Test::Cluster->new($name);
	my $there;

	$copy->init_from_backup($node, 'base', standby => 0, @init);
	$copy->append_conf('postgresql.conf', "archive_mode = off\n$conf");
	$copy->start;
	$there = Pnvs::Server->around($copy)->connect;
	Pnvs::Simulator::wait_until('it is no longer in recovery', sub { $there->value('SELECT pg_is_in_recovery()') eq 'f' });
	return ($copy, $there);
}

{
	my ($copy, $there) = start_copy('recovered', "recovery_target_time = '$point'\nrecovery_target_action = promote\n", has_restoring => 1);

	is(status($there, $later), 'pending', 'recovered: a verification of before the point in time is there');
	is(confirm($there, $later, $later->{code}), 't approved 5 -', 'recovered: and goes on');
	goes_on('recovered', $there, 3, %v);
	is(status($there, $too_late), undef, 'recovered: one of after it is not');
	is(status($session, $later), 'pending', 'recovered: beside the original, which does not hear of it');
	$there->close;
	$copy->stop('fast');
}

{
	my ($copy, $there) = start_copy('started', '');

	# the backup has the file, too
	goes_on('started', $there, 2, %v);
	is(join(' ', map { status($session, $v{$_}) } qw(pending approved)), 'pending approved', 'started: beside the original, which does not hear of it');
	$there->close;
	$copy->stop('fast');
}

# --- a standby, and its promotion

{
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	my $there;

	$standby->init_from_backup($node, 'base', has_streaming => 1);
	$standby->append_conf('postgresql.conf', "archive_mode = off\n");
	$standby->start;
	$node->wait_for_catchup($standby);
	$there = Pnvs::Server->around($standby)->connect;
	$service->mark;
	is(status($there, $v{pending}), 'pending', 'standby: a verification can be looked at');
	for my $call ("begin_verification('6281234567890', service_sid => 'FA1')",
		"resend_verification('$v{pending}{id}')", "confirm_verification('$v{pending}{id}', '$v{pending}{code}')",
		"use_verification('$v{approved}{id}')", "cancel_phone_verification('$v{pending}{id}')", "erase_phone_number('$v{pending}{number}')")
	{
		is($there->query("SELECT $call")->sqlstate, '25006', 'standby: ' . ($call =~ /(\w+)/)[0] . ' is an error');
	}
	is($service->count('request'), 0, 'standby: before the service is asked');
	is($there->value("SELECT count(*) > 0 FROM verification_history('$v{pending}{number}')"), 't', 'standby: support sees the history');
	$session->close;
	Pnvs::Server::fence($original);
	$standby->promote;
	Pnvs::Simulator::wait_until('it is promoted', sub { $there->value('SELECT pg_is_in_recovery()') eq 'f' });
	goes_on('promoted', $there, 3, %v);
	$there->close;
	$standby->stop('fast');
}

done_testing();
