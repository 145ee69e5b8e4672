# Batch.pm: some messages that are queued together, and what becomes of them.
#
#   my $batch = Pnvs::Batch->enqueue($session, 'sim-start:hang', 5);
#   $batch->wait_until_requested($service);
#   is($batch->states($session), 'sending=5', 'they are under way');
#
# Every message has a number of its own, so that the simulator's log tells of each.

package Pnvs::Batch;

use strict;
use warnings;

use List::Util qw(max);

use Pnvs::Simulator;

my $next_number = 6281600000000;

# enqueue(SESSION, SERVICE_SID, COUNT, [further arguments as SQL]): in the
# transaction that the session is in.
sub enqueue
{
	my ($class, $session, $service_sid, $count, $more) = @_;
	my $first = $next_number;
	my $last = ($next_number += $count) - 1;
	my $arguments = defined $more ? ", $more" : '';
	my $result = $session->run("SELECT enqueue_verification('SMS', n::text, '$service_sid'$arguments) AS id "
		  . "FROM generate_series($first, $last) AS n");

	return bless { ids => [ $result->column('id') ], numbers => [ $first .. $last ] }, $class;
}

sub ids { return @{ $_[0]->{ids} }; }
sub numbers { return @{ $_[0]->{numbers} }; }

# The condition that its rows fulfil.
sub where { return 'id IN (' . join(', ', $_[0]->ids) . ')'; }

# What its rows say: "sent=3 unknown=1"; of another expression than the state, too.
sub states
{
	my ($self, $session, $expression) = @_;
	my $what = $expression // 'state';

	return $session->run("SELECT string_agg(what || '=' || n, ' ' ORDER BY what) FROM (SELECT coalesce(($what)::text, 'null') AS what, "
		  . 'count(*) AS n FROM pnvs_internal.queue WHERE ' . $self->where . ' GROUP BY 1) AS counted')->value // 'gone';
}

# Waits until its rows say that, and returns what they say; where they never do, and
# nobody looks at what is returned, it dies.
sub wait_for
{
	my ($self, $session, $wanted, $expression) = @_;
	my $last = 'nothing';
	my $found = eval {
		Pnvs::Simulator::wait_until("its rows say $wanted", sub { ($last = $self->states($session, $expression)) eq $wanted });
		1;
	};

	die "$@ ... but they say $last\n" unless $found || defined wantarray;
	return $last;
}

sub wait_until_settled
{
	my ($self, $session) = @_;

	return $self->wait_for($session, 'true=' . scalar($self->ids), 'settled_at IS NOT NULL');
}

# Waits until the simulator has read a request to send each of them.
sub wait_until_requested
{
	my ($self, $service) = @_;
	my $count = $self->numbers;

	Pnvs::Simulator::wait_until("the service has read $count requests",
		sub { keys %{ $self->_requests($service, 'StartVerification') } >= $count });
	return;
}

# The requests since the mark, for the number that has most of them.
sub most_requests
{
	my ($self, $service, $action) = @_;

	return max(0, values %{ $self->_requests($service, $action // 'StartVerification') });
}

# How many of them were requested at all.
sub requested
{
	my ($self, $service, $action) = @_;

	return scalar keys %{ $self->_requests($service, $action // 'StartVerification') };
}

# The messages that the simulator has sent since the mark: "5 numbers, at most 1 each".
sub arrived
{
	my ($self, $service) = @_;
	my %own = map { $_ => 1 } $self->numbers;
	my %sent;

	$sent{ $_->{to} }++ for grep { $own{ $_->{to} } } $service->events('sent');
	return scalar(keys %sent) . ' numbers, at most ' . max(0, values %sent) . ' each';
}

sub _requests
{
	my ($self, $service, $action) = @_;
	my %own = map { $_ => 1 } $self->numbers;
	my %count;

	$count{$_}++ for grep { $own{$_} } map { $_->{params}{To} // '' } $service->events('request', action => $action);
	return \%count;
}

1;
