# Probe.pm: the library with more functions, for tests that ask its parts by C.
#
#   my $folder = Pnvs::Probe::build('test/guard/guard_probe');     # guard_probe.c and .sql
#   ... a server with conf => "dynamic_library_path = '$folder:\$libdir'"
#   Pnvs::Probe::install($node, 'test/guard/guard_probe');
#
# With the extension, whose functions are of the installed library:
#
#   my $install = Pnvs::Probe::installation('test/queue/messages_probe');
#   ... a server with install => $install, and then install() as above

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

# A PostgreSQL whose pnvs.so is that one; the path for install_path.
sub installation
{
	my ($probe) = @_;
	my $library = build($probe) . '/pnvs.so';
	my ($bin, $lib, $share) = map { chomp; $_ } `pg_config --bindir`, `pg_config --pkglibdir`, `pg_config --sharedir`;
	my $copy = PostgreSQL::Test::Utils::tempdir();
	my ($root) = "$bin\0$share" =~ m{^(.*)/[^\0]*\0\1/} or die "$bin and $share have no folder in common";

	for my $folder ($bin, $lib, $share)
	{
		my $place = $copy . substr($folder, length $root);

		PostgreSQL::Test::Utils::system_or_bail('mkdir', '-p', $place);
		PostgreSQL::Test::Utils::system_or_bail('cp', '-a', "$folder/.", $place);
	}
	PostgreSQL::Test::Utils::system_or_bail('cp', $library, $copy . substr($lib, length $root) . '/pnvs.so');
	return $copy . substr($bin, length $root) =~ s{/bin\z}{}r;
}

# install(NODE, PROBE, [DATABASE]): declares the functions.
sub install
{
	my ($node, $probe, $dbname) = @_;

	$node->safe_psql($dbname // 'postgres', PostgreSQL::Test::Utils::slurp_file("$ROOT/$probe.sql"));
	return;
}

1;
