# FirstFailure.pm: ends a test at its first failure.
#
#   PERL5LIB=test/mutants HARNESS_PERL_SWITCHES=-MFirstFailure prove ...
#
# One failed test is what a mutant needs to be caught. What comes after it takes
# long, and where the mutant makes calls hang, very long.

package FirstFailure;

use strict;
use warnings;

use Test2::API;

my $failed = 0;

# Listeners are told of what has been printed: the failure comes first, then the
# words on it.
sub watch
{
	my (undef, $event) = @_;

	exit 1 if $failed;
	$failed = $event->causes_fail;
	return;
}

Test2::API::test2_add_callback_post_load(sub { Test2::API::test2_stack()->top->listen(\&watch) });

1;
