# Guard.pm: a server with limits, and how much room they have left.
#
#   my $guard = Pnvs::Guard->new($service, 'guard', conf => "pnvs.limits = 'number 3/1h'\n");
#   my $number = $guard->new_number;
#   $guard->start($number);
#   is($guard->room($number), 2, 'one message has a place');

package Pnvs::Guard;

use strict;
use warnings;

use Carp;

use parent 'Pnvs::Queue';

# More than any limit of these tests.
my $MOST = 20;

# The call, as SQL. channel, service_sid, more: further arguments.
sub start_sql
{
	my ($number, %param) = @_;
	my $channel = $param{channel} // 'SMS';
	my $service_sid = $param{service_sid} // 'FA1';

	return "start_verification('$channel', '$number', '$service_sid'" . ($param{more} ? ", $param{more}" : '') . ')';
}

# A direct call's result.
sub start
{
	my ($self, $number, %param) = @_;

	return ($param{session} // $self->session)->query('SELECT * FROM ' . start_sql($number, %param));
}

# How many more messages are admitted by now: they are sent.
sub room
{
	my ($self, $number, %param) = @_;

	for my $sent (0 .. $MOST)
	{
		my $result = $self->start($number, %param);

		return $sent if $result->sqlstate eq '38V03';
		croak 'a call failed: ' . $result->sqlstate . ' ' . $result->message if $result->failed;
	}
	return "more than $MOST";
}

1;
