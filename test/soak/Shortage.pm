# Shortage.pm: a server whose processes can be made to run out of memory, and
# unable to write a request; see shortage.c and resolver.c of test/preload.
#
#   my $shortage = Shortage->new;
#   my $node = $service->new_node('main', environment => $shortage->environment);
#   $shortage->order($session->pid, fail_from => 5);
#   ... a call ...
#   $shortage->relieve;
#   is($shortage->report->{failed}, 1, 'an allocation failed');

package Shortage;

use strict;
use warnings;

use Carp;
use PostgreSQL::Test::Utils;

use Pnvs::Preload;

# As in test/preload/shortage.c: the fields of its struct Control, and what they are packed as.
my @FIELDS = qw(pid scope fail_from fail_times write_fault write_times allocations failed live_bytes write_faults opened_at);
my $LAYOUT = 'l l q q l l q q q q q';
my $PID_LEN = 4;
my %SCOPE = (libraries => 0, call => 1);
my %WRITE = (well => 0, stalls => 1, reset => 2, cut => 3, 'cut stalls' => 4);

# For fail_times: from then on.
our $FOR_EVER = 1 << 40;

sub new
{
	my ($class) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $self = bless { dir => $dir, control => "$dir/control" }, $class;

	PostgreSQL::Test::Utils::append_to_file($self->{control}, "\0" x length pack($LAYOUT, (0) x @FIELDS));
	open($self->{file}, '+<:raw', $self->{control}) or croak "could not open $self->{control}: $!";
	return $self;
}

# What a server must have in its environment.
sub environment
{
	my ($self) = @_;

	return {
		LD_PRELOAD => join(':', Pnvs::Preload::build($self->{dir}, 'shortage'), Pnvs::Preload::build($self->{dir}, 'resolver')),
		PNVS_SHORTAGE => $self->{control},
	};
}

# order(PID, [fail_from, fail_times, scope, write, write_times]): what is to fail
# in that process from now on; what the report counts begins anew. It must be idle.
sub order
{
	my ($self, $pid, %order) = @_;
	my %value = (
		scope => $SCOPE{ $order{scope} // 'libraries' },
		fail_from => $order{fail_from} // 0,
		fail_times => $order{fail_times} // 1,
		write_fault => $WRITE{ $order{write} // 'well' },
		write_times => $order{write_times} // 1);
	my $bytes = pack($LAYOUT, map { $value{$_} // 0 } @FIELDS);

	$self->_write(0, pack('l', 0));
	$self->_write($PID_LEN, substr($bytes, $PID_LEN));
	$self->_write(0, pack('l', $pid));
	return;
}

# Everything works again; the report stays.
sub relieve
{
	my ($self) = @_;

	$self->_write(0, pack('l', 0));
	return;
}

sub report
{
	my ($self) = @_;
	my %report;

	sysseek($self->{file}, 0, 0);
	sysread($self->{file}, my $bytes, length pack($LAYOUT, (0) x @FIELDS)) or croak "could not read: $!";
	@report{@FIELDS} = unpack($LAYOUT, $bytes);
	return \%report;
}

sub _write
{
	my ($self, $position, $bytes) = @_;

	sysseek($self->{file}, $position, 0);
	syswrite($self->{file}, $bytes) == length $bytes or croak "could not write: $!";
	return;
}

1;
