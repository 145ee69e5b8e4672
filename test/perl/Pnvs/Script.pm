# Script.pm: a script in another language, whose lines of TAP count as this test's.

package Pnvs::Script;

use strict;
use warnings;

use FindBin;
use IPC::Run;
use Test::More;

my $SECONDS = 120;

# run(NAME, SCRIPT, PROGRAM, ARGUMENT...): runs a script of the test's folder to its end.
sub run
{
	my ($name, $script, @interpreter) = @_;
	my ($output, $error) = ('', '');
	my $done = eval {
		IPC::Run::run([ @interpreter, "$FindBin::RealBin/$script" ],
			'>', \$output, '2>', \$error, IPC::Run::timeout($SECONDS));
		1;
	};

	diag("$name: $@") unless $done;
	diag("$name: $error") if $error ne '';
	count_assertions($name, $output);
	return;
}

# Each line counts.  A script that came to another end than its plan has failed.
sub count_assertions
{
	my ($name, $output) = @_;
	my ($counted, $planned) = (0, undef);

	for my $line (split /\n/, $output)
	{
		if ($line =~ /\A(not )?ok \d+ - (.*)\z/)
		{
			$counted++;
			ok(!$1, "$name: $2");
		}
		elsif ($line =~ /\A1\.\.(\d+)\z/) { $planned = $1; }
		else { diag("$name: $line"); }
	}
	is($counted, $planned // 'a plan', "$name: comes to its end");
	return;
}

1;
