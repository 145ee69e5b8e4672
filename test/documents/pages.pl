# The pages of doc/ that have no test of their own, neither here nor in test/t: every
# block of SQL runs, in its order, and gives the output that is shown.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Test::More;

use Pnvs::Document;

for my $name (Pnvs::Document->names)
{
	my $page = Pnvs::Document->read($name);

	$page->check_fences;
	next if $page->has_own_test || !$page->blocks;
	$page->start;
	$page->run_blocks;
	$page->stop;
}
done_testing();
