# Preload.pm: libraries that stand before libc's in the servers of tests.
#
#   my $node = $service->new_node('main', environment => { LD_PRELOAD => Pnvs::Preload::build($dir, 'clock') });

package Pnvs::Preload;

use strict;
use warnings;

use Cwd;
use File::Basename;
use PostgreSQL::Test::Utils ();

my $SOURCES = dirname(Cwd::realpath(__FILE__)) . '/../..';

# build(FOLDER, NAME, [file]): builds test/NAME/NAME.c, or another file of that folder,
# in FOLDER; the library's path.
sub build
{
	my ($folder, $name, $file) = @_;

	$file //= $name;
	my $library = "$folder/$file.so";

	PostgreSQL::Test::Utils::system_or_bail($ENV{CC} // 'cc', '-shared', '-fPIC', '-O2', '-Wall', '-Werror',
		'-o', $library, "$SOURCES/$name/$file.c", '-ldl');
	return $library;
}

1;
