# SmallDisk.pm: a small file system of the test's own, to be filled.
#
#   use Pnvs::SmallDisk;              # first of all: the test begins anew with it
#   my $disk = Pnvs::SmallDisk->new;
#   $disk->fill;                      # whoever writes there gets ENOSPC
#   $disk->make_room;
#
# It is a tmpfs in a mount namespace that the test and its servers are in.  "test/run private"
# makes it where root has called it; else the test makes one in a user namespace in
# which it is who it was before.

package Pnvs::SmallDisk;

use strict;
use warnings;

use Carp;
use Errno;
use File::Path;

my $PLACE = "$ENV{PNVS_PRIVATE}/disk";
my $SIZE = '24m';

# Before anything is started or logged: a process enters its namespaces once.
sub import
{
	my ($uid, $gid) = ($>, $) + 0);

	return if is_there();
	die "the test was started anew, and $PLACE is still no tmpfs\n" if $ENV{PNVS_SMALL_DISK}++;
	die "nobody but root may mount a small file system here, not even in a namespace of its own: leave this test out by WITHOUT_SMALL_DISK=1\n"
	  if system('unshare --user --map-root-user --mount true 2>/dev/null') != 0;
	exec 'unshare', '--user', '--map-root-user', '--mount', 'sh', '-c',
	  "mount -t tmpfs -o size=$SIZE,mode=1777 pnvs-small $PLACE && exec unshare --user --map-user=$uid --map-group=$gid -- \"\$@\"", 'sh',
	  $^X, '-w', (map { "-I$_" } grep { !ref } @INC), $0, @ARGV;
	die "could not run unshare: $!\n";
}

sub is_there
{
	open(my $mounts, '<', '/proc/self/mounts') or return 0;
	return scalar grep { /\Apnvs-small \Q$PLACE\E tmpfs / } readline($mounts);
}

# It may have been filled by an earlier run.
sub new
{
	my ($class) = @_;

	File::Path::remove_tree(glob "$PLACE/*");
	return bless { filler => "$PLACE/filler" }, $class;
}

# A new folder there.
sub folder
{
	my ($self, $name) = @_;
	my $path = "$PLACE/$name";

	mkdir $path or croak "could not make $path: $!";
	return $path;
}

sub fill
{
	my ($self) = @_;

	open(my $file, '>>', $self->{filler}) or croak "could not open $self->{filler}: $!";
	1 while defined syswrite($file, "\0" x 2**20);
	croak "could not fill the disk: $!" unless $!{ENOSPC};
	return;
}

sub make_room
{
	my ($self) = @_;

	unlink $self->{filler} or croak "could not remove $self->{filler}: $!";
	return;
}

1;
