# What the README says: every block of SQL runs, in its order, and gives the output that
# is shown.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Test::More;

use Pnvs::Document;

my $page = Pnvs::Document->read('README.md');

$page->start;
$page->run_blocks;
cmp_ok($page->{text} =~ tr/\n//, '<=', 250, 'the README is short');
done_testing();
