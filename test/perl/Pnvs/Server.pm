# Server.pm: a server with the queue, through its crashes and restarts.
#
#   my $server = Pnvs::Server->new($service, 'main');    # the library is preloaded
#   my $session = $server->connect;
#   kill KILL => $server->wait_for_worker($session);
#   $session = $server->connect;                         # as soon as it is back
#
# Unlike PostgreSQL's own tests' servers it comes back by itself after a crash.

package Pnvs::Server;

use strict;
use warnings;

use Carp;
use IPC::SysV qw(IPC_RMID);
use PostgreSQL::Test::Utils;

use Pnvs::Session;
use Pnvs::Simulator;

# new(SIMULATOR, NAME, [as for new_node()])
sub new
{
	my ($class, $service, $name, %param) = @_;
	my $conf = "restart_after_crash = on\n" . ($param{conf} // '');

	return $class->around($service->new_node($name, %param,
			preload => 'shared_preload_libraries', conf => $conf));
}

# around(NODE): one that is there already, a standby say.
sub around
{
	my ($class, $node) = @_;

	return bless { node => $node, log_mark => 0 }, $class;
}

sub node { return $_[0]->{node}; }

# A session, as soon as the server takes one.
sub connect
{
	my ($self, $dbname) = @_;
	my $session;

	Pnvs::Simulator::wait_until('the server takes a session', sub {
			$session = eval {
				my $new = Pnvs::Session->new($self->{node}, dbname => $dbname // 'postgres');

				# It may go down with a crash that has just begun.
				is_lost($new) ? undef : $new;
			};
	});
	return $session;
}

# Whether the server has ended a session.
sub is_lost
{
	my ($session) = @_;

	return !eval { !$session->query('SELECT 1')->lost };
}

# The PIDs of background workers of a type ("pnvs worker"), of one database or of all.
sub background
{
	my ($self, $session, $type, $dbname) = @_;
	my $where = defined $dbname ? " AND datname = '$dbname'" : '';

	return $session->run("SELECT pid FROM pg_stat_activity WHERE backend_type = '$type'$where")->column('pid');
}

# The worker of a database, once it is there; another one than that of PID, where
# that is given.
sub wait_for_worker
{
	my ($self, $session, $dbname, $but) = @_;
	my $found;

	Pnvs::Simulator::wait_until('a worker is there', sub {
			($found) = grep { $_ != ($but // 0) } $self->background($session, 'pnvs worker', $dbname // 'postgres');
	});
	return $found;
}

# Changes settings of the server (undef: back to what they were) and reloads.
sub configure
{
	my ($self, $session, %setting) = @_;

	Pnvs::Simulator::change_settings($self->{node}, $session, %setting);
	return;
}

# Ends all of its processes at once, as a fence does; returns when they are gone, and
# what they would have left to the next start, which there is none of.
sub fence
{
	my ($self) = @_;
	my $postmaster = $self->{node}->{_pid};
	my @pid = ($postmaster, children($postmaster));
	my $segment = shared_memory_id($self->{node});

	kill KILL => @pid;
	Pnvs::Simulator::wait_until('the processes are gone', sub { !grep { is_running($_) } @pid });
	$self->{node}->{_pid} = undef;
	shmctl($segment, IPC_RMID, 0) or croak "could not remove the shared memory segment $segment: $!";
	return;
}

# The segment of System V shared memory by which a server keeps others from its folder.
sub shared_memory_id
{
	my ($node) = @_;
	my @line = split /\n/, PostgreSQL::Test::Utils::slurp_file($node->data_dir . '/postmaster.pid');

	return (split ' ', $line[6])[1];
}

sub children
{
	my ($parent) = @_;

	return grep { (stat_fields($_))[1] == $parent } map { m{(\d+)\z} } glob '/proc/[0-9]*';
}

sub is_running
{
	my ($pid) = @_;

	return (stat_fields($pid))[0] !~ /\A[XZ]\z/;
}

# State and parent of a process; X where it has gone.
sub stat_fields
{
	my ($pid) = @_;

	open(my $file, '<', "/proc/$pid/stat") or return ('X', 0);
	return (readline($file) // '') =~ /.*\) (\w) (\d+)/s ? ($1, $2) : ('X', 0);
}

# --- the log

# Forgets what was logged so far.
sub mark_log
{
	my ($self) = @_;

	$self->{log_mark} = -s $self->{node}->logfile;
	return;
}

sub logged
{
	my ($self) = @_;

	return PostgreSQL::Test::Utils::slurp_file($self->{node}->logfile, $self->{log_mark});
}

# The warnings and errors since the mark, but for those that fit an expression.
sub complaints
{
	my ($self, @expected) = @_;
	my @line = grep { /\b(?:WARNING|ERROR|FATAL|PANIC): / || /LOG: +pnvs/ } split /\n/, $self->logged;

	for my $expected (@expected)
	{
		@line = grep { $_ !~ $expected } @line;
	}
	return join "\n", @line;
}

1;
