# Document.pm: the project's pages in Markdown, and a run of the SQL of one page.
#
# A block fenced as "sql" is run by psql. A block without a language right after it
# shows its output, or, if it begins with "ERROR:" or "NOTICE:", the message. IDs, codes, times and
# the widths of columns may differ. An ID in an output shown stands for the real one
# in the blocks that follow, and so does a code that "The phone shows".
#
# A paragraph that begins with "As `role`," or "As `role`:" says who runs the next
# block. "Half a minute later" limits and resends have room again. The comment "<!-- test: after NAME.md, ... -->" runs the SQL of other pages
# of doc/ first. The extension is there, in the schema "pnvs", unless the page
# creates it itself.
#
#   my $page = Pnvs::Document->read('doc/tutorial.md');
#   $page->start;
#   $page->run_blocks;

package Pnvs::Document;

use strict;
use warnings;

use Carp;
use Cwd;
use File::Basename;
use Test::More;

use Pnvs::Simulator;

my $ROOT = Cwd::realpath(dirname(Cwd::realpath(__FILE__)) . '/../../..');
my $SERVICE = 'FA00000000000001';

my $UUID = qr/[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}/;
my $VERIFICATION_ID = qr{[A-Za-z0-9+/]{6}/[A-Za-z0-9+/]{6}\+[A-Za-z0-9+/]{8}};
my $ID = qr/$UUID|$VERIFICATION_ID/;
my $TIME = qr/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?\+00/;

# A block of output that shows a message.
my $MESSAGE = qr/\A(?:ERROR|NOTICE):/;

# --- the pages

sub read
{
	my ($class, $name) = @_;

	return bless { name => $name, text => PostgreSQL::Test::Utils::slurp_file("$ROOT/$name"), real => {} }, $class;
}

# The names of all pages for users, README.md last.
sub names
{
	return map { substr $_, 1 + length $ROOT } sort(glob("$ROOT/doc/*.md $ROOT/doc/*/*.md")), "$ROOT/README.md";
}

# What the pattern captures, on the only page that it fits.
sub captured
{
	my ($class, $pattern) = @_;
	my @found = map { $class->read($_)->{text} =~ $pattern ? [ $_, $1 ] : () } $class->names;

	croak "not on one page ($pattern): " . join(' ', map { $_->[0] } @found) unless @found == 1;
	return $found[0][1];
}

# The rows of the table whose head begins so, as lists of cells.
sub table_rows
{
	my ($class, $head) = @_;
	my $body = $class->captured(qr/^\|\ *\Q$head\E[^\n]*\n\|[-|]+\n((?:\|[^\n]*\n)+)/m);

	return map { [ map { s/^\s+|\s+$//gr } split /\|/, substr($_, 1) ] } split /\n/, $body;
}

# The default of a setting, from the table of settings.
sub default_of
{
	my ($class, $setting) = @_;

	return $class->captured(qr/^\|\ `\Q$setting\E`\ \|\ `([^`]*)`/m);
}

# Whether a test file named after the page runs it.
sub has_own_test
{
	my ($self) = @_;
	my $name = lc basename($self->{name}, '.md');

	return scalar grep { -e } "$ROOT/test/documents/$name.pl", "$ROOT/test/t/009_$name.pl";
}

# The page's blocks of SQL, as texts.
sub blocks
{
	my ($self) = @_;

	return map { $_->[1] } grep { $_->[0] eq 'sql' } _pieces($self->{text});
}

# --- a server for a page

# start([prepare => SQL, limits => TEXT]): a server and a simulator of its own, and in it a
# database. Without limits, for most pages send more than the default ones allow.
sub start
{
	my ($self, %param) = @_;
	my $name = lc basename($self->{name}, '.md');

	$self->{pieces} = [ map { _pieces($_) } $self->_texts_before, $self->{text} ];
	$self->{service} = Pnvs::Simulator->new;
	$self->{node} = $self->{service}->new_node($name,
		preload => 'shared_preload_libraries',
		conf => "pnvs.service_sid = '$SERVICE'\npnvs.limits = '" . ($param{limits} // '') . "'\n");
	$self->{node}->safe_psql('postgres', 'CREATE DATABASE page');
	$self->{node}->safe_psql('page', 'CREATE SCHEMA pnvs; CREATE EXTENSION pnvs SCHEMA pnvs')
	  unless grep { $_->[0] eq 'sql' && $_->[1] =~ /^CREATE EXTENSION pnvs\b/m } @{ $self->{pieces} };
	$self->{node}->safe_psql('page', $param{prepare}) if $param{prepare};
	return;
}

sub stop
{
	my ($self) = @_;

	$self->{node}->stop;
	delete $self->{service};
	return;
}

# What the comment asks for, if there is one.
sub _texts_before
{
	my ($self) = @_;
	my ($names) = $self->{text} =~ /^<!-- test: after (.*) -->$/m;

	return map { Pnvs::Document->read("doc/$_")->{text} } split /, /, $names // '';
}

# sql(SQL): the value, for what a test asks itself, with the schema in the path.
sub sql
{
	my ($self, $sql) = @_;

	return $self->{node}->safe_psql('page', "SET search_path = public, pnvs;\n$sql");
}

# psql(SQL, [ROLE]): output and error, as psql shows them. By SET ROLE: what
# ALTER ROLE ... SET says does not count.
sub psql
{
	my ($self, $sql, $role) = @_;
	my ($output, $error) = ('', '');

	$sql = "SET ROLE $role;\n$sql" if defined $role;
	$self->{node}->psql('page', "\\pset footer on\n\\pset border 1\n"
		  . "\\pset format aligned\n\\pset tuples_only off\n$sql",
		stdout => \$output, stderr => \$error, on_error_stop => 1);
	return ($output, $error =~ s/^psql:<stdin>:\d+: //gmr);
}

# --- running the blocks

# A page as a list of [what, text]: sql, output, role, code, later.
sub _pieces
{
	my ($text) = @_;
	my @piece;

	while ($text =~ m{
			^```(?<language>\w*)\n(?<block>.*?)^```$ |
			(?<later>^Half\ a\ minute\ later) |
			(?:^As|,\ as)\ `(?<role>\w+)`[,:] |
			[Tt]he\ phone\ shows\ (?<code>\d+)
		}gmsx)
	{
		my %found = %+;

		if (!defined $found{block})
		{
			push @piece, map { [ $_, $found{$_} ] } grep { defined $found{$_} } qw(later role code);
		}
		elsif ($found{language} eq 'sql') { push @piece, [ 'sql', $found{block} ]; }
		elsif ($found{language} eq '') { push @piece, [ 'output', $found{block} ]; }
	}
	return @piece;
}

# A text as it is compared: without what differs from run to run.
sub _normal
{
	my ($text) = @_;

	$text =~ s/$ID/ID/g;
	$text =~ s/$TIME/TIME/g;
	$text =~ s/\bretry_after=\d+|\bin \d+:\d\d\b/WAIT/g;
	$text =~ s/-{2,}/--/g;
	$text =~ s/ +/ /g;
	$text =~ s/ $//gm;
	$text =~ s/^LOCATION: .*\n?//gm;
	$text =~ s/\n+\z//;
	return $text;
}

# Notes what the IDs of an output shown are in the real one.
sub _learn
{
	my ($self, $shown, $output) = @_;
	my @shown = $shown =~ /($ID)/g;
	my @real = $output =~ /($ID)/g;

	@{ $self->{real} }{@shown} = @real if @shown && @shown == @real;
	return;
}

sub _in_reality
{
	my ($self, $sql) = @_;

	$sql =~ s/\Q$_\E/$self->{real}{$_}/g for sort keys %{ $self->{real} };
	return $sql;
}

# Of the newest message, when all that is queued is sent.
sub code_on_the_phone
{
	my ($self) = @_;

	$self->{node}->poll_query_until('page', 'SELECT NOT EXISTS (SELECT FROM pnvs_internal.queue WHERE settled_at IS NULL)')
	  or croak "$self->{name}: what is queued is not sent";
	return ($self->{service}->events('sent'))[-1]{code};
}

# Does what half a minute would do.
sub _let_time_pass
{
	my ($self) = @_;

	$self->sql('SELECT pnvs_guard_reset(); UPDATE pnvs_internal.phone_verification SET resend_at = clock_timestamp()');
	return;
}

# All of them, in their order.
sub run_blocks
{
	my ($self) = @_;
	my @piece = (@{ $self->{pieces} }, [ 'end', '' ]);
	my ($role, $output, $error);
	my $number = 0;

	for my $i (0 .. $#piece)
	{
		my ($what, $text) = @{ $piece[$i] };

		if ($what eq 'role') { $role = $text; }
		elsif ($what eq 'code') { $self->{real}{$text} = $self->code_on_the_phone; }
		elsif ($what eq 'later') { $self->_let_time_pass; }
		elsif ($what eq 'output')
		{
			is(_normal($text =~ $MESSAGE ? $error : $output), _normal($text), "$self->{name}: block $number gives what is shown");
			$self->_learn($text, $output);
		}
		elsif ($what eq 'sql')
		{
			my ($next, $shown) = @{ $piece[ $i + 1 ] };

			$number++;
			($output, $error) = $self->psql($self->_in_reality($text), $role);
			is($error, '', "$self->{name}: block $number runs: " . ($text =~ /\A([^\n]*)/)[0])
			  unless $next eq 'output' && $shown =~ $MESSAGE;
			undef $role;
		}
	}
	return;
}

# SQL outside of a block fenced as such would not be run.
sub check_fences
{
	my ($self) = @_;
	my $outside = $self->{text} =~ s/^```\w*\n.*?^```$//gmsr;

	is_deeply([ $outside =~ /^((?: {4}|\t)(?:SELECT|CALL|CREATE|ALTER|DROP|GRANT|INSERT|UPDATE|DELETE)\b.*)$/gm ],
		[], "$self->{name}: all SQL stands in blocks that are run");
	return;
}

1;
