# Queue.pm: a server with the queue and its worker, for tests of both.
#
#   my $queue = Pnvs::Queue->new($service, 'main');     # the library is preloaded
#   my $id = $queue->enqueue('FA1');
#   is($queue->settled($id)->{state}, 'sent', 'it is sent');
#
# Every message has a number of its own, so that the simulator's log can be asked
# for it.

package Pnvs::Queue;

use strict;
use warnings;

use PostgreSQL::Test::Utils ();

use Pnvs::Session;
use Pnvs::Simulator;

my $SOON_S = 20;
my $AT_ONCE_S = 0.5;
my $AT_ONCE_TRIES = 5;

my $next_number = 6281500000000;

# new(SIMULATOR, NAME, [as for new_node()])
sub new
{
	my ($class, $service, $name, %param) = @_;
	my $node = $service->new_node($name, preload => 'shared_preload_libraries', %param);

	return bless {
		service => $service,
		node => $node,
		session => Pnvs::Session->new($node),
		number => {},
	}, $class;
}

sub node { return $_[0]->{node}; }
sub session { return $_[0]->{session}; }

# Another session; the arguments are those of Pnvs::Session->new().
sub connect
{
	my ($self, %param) = @_;

	return Pnvs::Session->new($self->{node}, %param);
}

sub new_number { return $next_number++; }

# enqueue(SERVICE_SID, [further arguments as SQL, session, number]): the ID.
sub enqueue
{
	my ($self, $service_sid, $more, %param) = @_;
	my $number = $param{number} // new_number();
	my $session = $param{session} // $self->{session};
	my $id = $session->value(enqueue_sql($service_sid, $more, $number));

	$self->{number}{$id} = $number;
	return $id;
}

sub enqueue_sql
{
	my ($service_sid, $more, $number) = @_;

	$number //= new_number();
	return "SELECT enqueue_verification('SMS', '$number', '$service_sid'" . ($more ? ", $more" : '') . ')';
}

# The number that a message was queued for.
sub number { return $_[0]->{number}{ $_[1] }; }

# The row as the owner sees it.
sub row
{
	my ($self, $id, $session) = @_;

	return ($session // $self->{session})->run("SELECT * FROM pnvs_internal.queue WHERE id = $id")->row;
}

sub state { return $_[0]->row($_[1], $_[2])->{state} // 'gone'; }

# Waits until a row is as wanted; the row.
sub wait_row
{
	my ($self, $id, $what, $condition, $session) = @_;
	my $row;

	Pnvs::Simulator::wait_until("message $id $what", sub { $condition->($row = $self->row($id, $session)) });
	return $row;
}

# Waits until a row is settled; the row.
sub settled
{
	my ($self, $id, $session) = @_;

	return $self->wait_row($id, 'is settled', sub { defined $_[0]{settled_at} }, $session);
}

# Waits until a row is in a state; the row.
sub in_state
{
	my ($self, $id, $state, $session) = @_;

	return $self->wait_row($id, "is $state", sub { ($_[0]{state} // '') eq $state }, $session);
}

# What the simulator has logged about a message since the mark.
sub sent { my ($self, $id) = @_; return $self->{service}->count('sent', to => $self->number($id)); }

sub requests
{
	my ($self, $id, $action) = @_;

	return grep { ($_->{params}{To} // '') eq $self->number($id) }
	  $self->{service}->events('request', action => $action // 'StartVerification');
}

# Whether a condition comes true within seconds, also on a busy machine: for what is not
# to wait for a scan.
sub soon
{
	my ($self, $condition) = @_;
	local $PostgreSQL::Test::Utils::timeout_default = $SOON_S;

	return eval { Pnvs::Simulator::wait_until('it is soon', $condition); 1 } ? 1 : 0;
}

# Whether something takes no time to speak of: the condition, which says how many seconds it
# took, may be held up by a busy machine, but not each time.
sub at_once
{
	my ($self, $condition) = @_;

	for (1 .. $AT_ONCE_TRIES)
	{
		return 1 if $condition->() < $AT_ONCE_S;
	}
	return 0;
}

# The states of messages, some seconds later at the most, if not settled by then.
sub soon_settled
{
	my ($self, $ids, $session) = @_;

	$self->soon(sub { !grep { !defined $self->row($_, $session)->{settled_at} } @$ids });
	return join ' ', map { $self->state($_, $session) } @$ids;
}

# How often the server's log says so, from an offset on; where it ends now.
sub logged
{
	my ($self, $expression, $since) = @_;

	return scalar(() = PostgreSQL::Test::Utils::slurp_file($self->{node}->logfile, $since // 0) =~ /$expression/g);
}

sub log_end { return -s $_[0]->{node}->logfile; }

# PIDs of the workers, of one database or of all.
sub workers
{
	my ($self, $database) = @_;
	my $where = $database ? " AND datname = '$database'" : '';

	return $self->{session}
	  ->run("SELECT pid FROM pg_stat_activity WHERE backend_type = 'pnvs worker'$where")->column('pid');
}

# Changes settings of the server (undef: back to what they were) and reloads.
sub reload
{
	my ($self, %setting) = @_;

	Pnvs::Simulator::change_settings($self->{node}, $self->{session}, %setting);
	return;
}

# The same, and the next worker is sure to know: those that are there end. Nothing
# may be under way.
sub configure
{
	my ($self, %setting) = @_;
	my $session = $self->{session};
	my @worker;

	$self->reload(%setting);
	@worker = $self->workers;
	$session->run("SELECT pg_terminate_backend($_)") for @worker;
	Pnvs::Simulator::wait_until('the workers have ended', sub {
			my %now = map { $_ => 1 } $self->workers;

			return !grep { $now{$_} } @worker;
	});
	return;
}

sub stop
{
	my ($self) = @_;

	$self->{session}->close;
	$self->{node}->stop;
	return;
}

1;
