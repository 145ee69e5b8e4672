# Simulator.pm: the simulated service (see test/simulator/README.md), and a
# server that is set up to call it.
#
#   my $service = Pnvs::Simulator->new;
#   my $node = $service->new_node('main');          # started, with the extension
#   $service->mark;
#   ... a call ...
#   is($service->count('sent'), 1, 'one message went out');

package Pnvs::Simulator;

use strict;
use warnings;

use Carp;
use Cwd;
use Exporter 'import';
use File::Basename;
use IO::Handle;
use IPC::Open2;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(wait_until);

my $PROGRAM = dirname(Cwd::realpath(__FILE__)) . '/../../simulator/simulator.py';

# So that "not yet" and "never" are different things also on a busy machine.
my $SHORTEST_POLL_S = 0.002;
my $LONGEST_POLL_S = 0.05;

# new([access_key_id, access_key_secret, security_token]): started and ready.
# It ends with this object, or with the test, whose end of the pipe closes.
sub new
{
	my ($class, %param) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my @argument = ('--dir', $dir, '--exit-with-stdin');
	my $self = bless { mark => 0, entries => [], tail => '' }, $class;
	my $line;

	for my $name (sort keys %param)
	{
		(my $option = "--$name") =~ tr/_/-/;
		push @argument, $option, $param{$name};
	}
	$self->{pid} = open2($self->{out}, $self->{in}, 'python3', '-B', $PROGRAM, @argument);
	$line = readline($self->{out}) // croak 'the simulator did not start';
	$self->{ready} = decode_json($line);
	open($self->{log}, '<:raw', $self->{ready}{log}) or croak "could not read its log: $!";
	return $self;
}

# Its process is a child, which must not be left a zombie; nor may that decide
# the test's exit status.
sub DESTROY
{
	my ($self) = @_;
	local ($?, $@, $!);

	CORE::close($self->{in}) if $self->{in};
	waitpid($self->{pid}, 0) if $self->{pid};
	return;
}

# Has the requests answered that are held by this name (see "sim:held"), and those to come.
sub release
{
	my ($self, $name) = @_;

	print { $self->{in} } "$name\n";
	$self->{in}->flush;
	return;
}

sub ca_file { return $_[0]->{ready}{ca_file}; }
sub port { return $_[0]->{ready}{port}; }

# endpoint([FAULT]): the value of pnvs.endpoint for the main port or a fault's.
sub endpoint
{
	my ($self, $fault) = @_;

	return $self->{ready}{endpoint} unless defined $fault;
	return ($fault eq 'http' ? 'http' : 'https') . '://127.0.0.1:' . $self->fault_port($fault);
}

sub fault_port
{
	my ($self, $fault) = @_;

	return $self->{ready}{faults}{$fault} // croak "there is no fault port \"$fault\"";
}

# --- the log

# Forgets what was logged so far: events() and count() begin here.
sub mark
{
	my ($self) = @_;

	$self->_read;
	$self->{mark} = scalar @{ $self->{entries} };
	return;
}

# Takes the mark away: they begin with the log.
sub unmark
{
	my ($self) = @_;

	$self->{mark} = 0;
	return;
}

# events([EVENT, [field => value...]]): the log's entries since the mark. A value
# may be a regular expression.
sub events
{
	my ($self, $event, %wanted) = @_;

	$self->_read;
	return grep {
		my $entry = $_;

		(!defined $event || $entry->{event} eq $event)
		  && !grep { !_fits($entry->{$_}, $wanted{$_}) } keys %wanted
	} @{ $self->{entries} }[ $self->{mark} .. $#{ $self->{entries} } ];
}

sub count
{
	my ($self, @wanted) = @_;

	return scalar(my @found = $self->events(@wanted));
}

# wait_for(EVENT, [field => value...]): the first such entry since the mark, as
# soon as it is there. Dies where it does not come.
sub wait_for
{
	my ($self, $event, %wanted) = @_;
	my $found;

	wait_until("the simulator logs \"$event\"", sub { ($found) = $self->events($event, %wanted) });
	return $found;
}

# Whether a connection, by its number in the log, is still established on the peer's side.
sub is_open
{
	my ($self, $connection) = @_;
	my $ESTABLISHED = '01';

	$self->_read;
	my ($accepted) = grep { $_->{event} eq 'accept' && $_->{connection} == $connection } @{ $self->{entries} };
	my $ends = sprintf '0100007F:%04X 0100007F:%04X', $accepted->{peer_port}, $self->port;

	return PostgreSQL::Test::Utils::slurp_file('/proc/net/tcp') =~ /\s$ends $ESTABLISHED\s/;
}

# sent_numbers(): of the whole log, how often a message went out to each number. For
# thousands of them: lines are not decoded, for that takes longer than to write them.
sub sent_numbers
{
	my ($self) = @_;
	my $sent = $self->{sent} //= { position => 0, count => {} };

	open(my $log, '<:raw', $self->{ready}{log}) or croak "could not read the log: $!";
	seek($log, $sent->{position}, 0);
	while (defined(my $line = readline($log)))
	{
		last unless $line =~ /\n\z/;
		$sent->{position} += length $line;
		next unless $line =~ /"event": "sent"/;
		$sent->{count}{$1}++ if $line =~ /"to": "(\d+)"/;
	}
	return $sent->{count};
}

sub _fits
{
	my ($value, $wanted) = @_;

	return 0 unless defined $value;
	return ref $wanted eq 'Regexp' ? $value =~ $wanted : $value eq $wanted;
}

# A line without its newline is still being written.
sub _read
{
	my ($self) = @_;
	my $log = $self->{log};

	seek($log, 0, 1);
	while (defined(my $line = readline($log)))
	{
		$self->{tail} .= $line;
		next unless $self->{tail} =~ /\n\z/;
		push @{ $self->{entries} }, decode_json($self->{tail});
		$self->{tail} = '';
	}
	return;
}

# --- servers that call it

# new_node(NAME, [conf, init, streaming, archiving, environment, preload, schema]): a server
# with the extension in the database "postgres", in a schema of its own where that is named. conf is added to postgresql.conf, init
# are arguments of initdb, streaming lets it have standbys (1, or "logical"),
# archiving has its WAL archived, environment is the server's, preload the setting
# that names the library (undef: none).
sub new_node
{
	my ($self, $name, %param) = @_;
	my $node = $self->init_node($name, %param);

	{
		local @ENV{ keys %{ $param{environment} // {} } } = values %{ $param{environment} // {} };
		$node->start;
	}
	$node->safe_psql('postgres', $param{schema}
		? "CREATE SCHEMA $param{schema}; CREATE EXTENSION pnvs SCHEMA $param{schema}"
		: 'CREATE EXTENSION pnvs');
	return $node;
}

# The same, but not started yet, and so without the extension.
sub init_node
{
	my ($self, $name, %param) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name, $param{install} ? (install_path => $param{install}) : ());
	my $preload = exists $param{preload} ? $param{preload} : 'session_preload_libraries';

	$node->init(
		extra => $param{init} // [],
		allows_streaming => $param{streaming} // 0,
		has_archiving => $param{archiving} // 0);
	$node->append_conf('postgresql.conf', $self->configuration);
	$node->append_conf('postgresql.conf', "$preload = 'pnvs'") if $preload;
	$node->append_conf('postgresql.conf', $param{conf}) if $param{conf};
	return $node;
}

# What a server needs for calling this simulator.  Its shared memory is to be in its
# folder, and so to go with it, also where it is killed and not started again.  Tests send
# more than the default limits allow; those of limits set their own.
sub configuration
{
	my ($self) = @_;
	my $endpoint = $self->endpoint;
	my $ca_file = $self->ca_file;

	return <<"CONF";
pnvs.endpoint = '$endpoint'
pnvs.ca_file = '$ca_file'
pnvs.access_key_id = 'testid'
pnvs.access_key_secret = 'testsecret'
pnvs.limits = ''
dynamic_shared_memory_type = mmap
log_statement = none
log_min_messages = warning
autovacuum = off
CONF
}

# change_settings(NODE, SESSION, NAME => VALUE...): undef: back to what it was. Reloads. When
# the session has read them, the postmaster has, and has told the others: a worker that
# waits reads them before it does anything else, but it may be at work still.
sub change_settings
{
	my ($node, $session, %setting) = @_;
	my $before = $session->value('SELECT pg_conf_load_time()::text');

	change_setting($node, $session, $_, $setting{$_}) for sort keys %setting;
	$session->run('SELECT pg_reload_conf()');
	wait_until('the session has read the configuration', sub { $session->value('SELECT pg_conf_load_time()::text') ne $before });
	# a worker whose service floods it is hardly seen waiting
	wait_until('every worker waits', sub {
			$session->value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pnvs worker' "
				  . "AND coalesce(wait_event_type, '') NOT IN ('Extension', 'Lock', 'IPC') "
				  . "AND NOT coalesce(state = 'idle' AND clock_timestamp() - state_change > '100 ms', false)") == 0;
	});
	return;
}

# In the configuration, for the next reload. ALTER SYSTEM takes no secret.
sub change_setting
{
	my ($node, $session, $name, $value) = @_;

	if ($name =~ /\Apnvs\.(?:access_key|security_token|test_numbers)/)
	{
		change_secret($node, $name, $value);
		return;
	}
	$session->run(defined $value ? "ALTER SYSTEM SET $name = '$value'" : "ALTER SYSTEM RESET $name");
	return;
}

sub change_secret
{
	my ($node, $name, $value) = @_;
	my $file = $node->data_dir . '/secrets.conf';
	my $secrets = $node->{pnvs_secrets} //= {};

	$node->append_conf('postgresql.conf', "include_if_exists = 'secrets.conf'") unless -e $file;
	$secrets->{$name} = $value;
	open(my $out, '>', $file) or croak "could not write $file: $!";
	print $out map { "$_ = '$secrets->{$_}'\n" } grep { defined $secrets->{$_} } sort keys %$secrets;
	CORE::close($out);
	return;
}

# wait_until(WHAT, CONDITION): until the condition is true; dies after the usual
# time of PostgreSQL's tests. Asks all the time for a second, and then less often: long
# waits would keep a processor busy that others wait for.
sub wait_until
{
	my ($what, $condition) = @_;
	my $begun = time;
	my $deadline = $begun + $PostgreSQL::Test::Utils::timeout_default;

	until ($condition->())
	{
		croak "timed out: $what" if time > $deadline;
		sleep(time < $begun + 1 ? $SHORTEST_POLL_S : $LONGEST_POLL_S);
	}
	return;
}

# suspend(PID): stops a process until it gets a SIGCONT. A signal takes effect later on a
# busy machine, thread by thread.
sub suspend
{
	my ($pid) = @_;

	kill 'STOP', $pid or croak "could not stop process $pid: $!";
	# a thread that ends meanwhile has no such file any more
	wait_until("process $pid has stopped", sub {
			eval { !grep { PostgreSQL::Test::Utils::slurp_file($_) !~ /.*\) T /s } glob "/proc/$pid/task/*/stat" };
	});
	return;
}

1;
