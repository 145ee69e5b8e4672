# Probe.pm: the library with more functions, for tests that ask its parts by C.
#
#   my $folder = Pnvs::Probe::build('test/guard/guard_probe');     # guard_probe.c and .sql
#   ... a server with conf => "dynamic_library_path = '$folder:\$libdir'"
#   Pnvs::Probe::install($node, 'test/guard/guard_probe');

package Pnvs::Probe;

use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Utils;

my $ROOT = "$FindBin::RealBin/../..";

# A folder with a pnvs.so that has the probe's functions, too.
sub build
{
	my ($probe) = @_;
	my $folder = PostgreSQL::Test::Utils::tempdir();
	my ($includes, $flags) = map { chomp; $_ } `pg_config --includedir-server`, `pkg-config --libs libcurl openssl`;

	PostgreSQL::Test::Utils::append_to_file("$folder/objects", join "\n", map { glob "$ROOT/src/$_" } '*.o', '*/*.o', '*/*/*.o');
	PostgreSQL::Test::Utils::system_or_bail($ENV{CC} // 'cc', '-shared', '-fPIC', '-O2', '-Wall', '-Werror', "-I$includes", "-I$ROOT/src",
		'-o', "$folder/pnvs.so", "$ROOT/$probe.c", "\@$folder/objects", '-Wl,-Bsymbolic-functions', split ' ', $flags);
	return $folder;
}

# install(NODE, PROBE, [DATABASE]): declares the functions.
sub install
{
	my ($node, $probe, $dbname) = @_;

	$node->safe_psql($dbname // 'postgres', PostgreSQL::Test::Utils::slurp_file("$ROOT/$probe.sql"));
	return;
}

1;
