# Preload.pm: libraries that stand before libc's in the servers of tests.
#
#   my $node = $service->new_node('main', environment => { LD_PRELOAD => Pnvs::Preload::build($dir, 'clock') });

package Pnvs::Preload;

use strict;
use warnings;

use Cwd;
use File::Basename;
use PostgreSQL::Test::Utils ();

my $SOURCES = dirname(Cwd::realpath(__FILE__)) . '/../../preload';

# build(FOLDER, NAME): builds test/preload/NAME.c in FOLDER; the library's path.
sub build
{
	my ($folder, $name) = @_;
	my $library = "$folder/$name.so";

	PostgreSQL::Test::Utils::system_or_bail($ENV{CC} // 'cc', '-shared', '-fPIC', '-O2', '-Wall', '-Werror',
		'-o', $library, "$SOURCES/$name.c", '-ldl');
	return $library;
}

1;
