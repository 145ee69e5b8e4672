# Session.pm: one session with a server, as a driver has it.
#
# Speaks PostgreSQL's protocol itself, for two things that psql cannot give: the
# fields of errors and notices as they came, and the very moment of an answer. A
# statement can be sent and its result fetched later, so that a test can do
# something to a call that is under way.
#
#   my $session = Pnvs::Session->new($node);
#   my $result = $session->query('SELECT 1 AS one');   # see Pnvs::Result below
#   $session->send('SELECT pg_sleep(1)');
#   $result = $session->result;
#
# See "Frontend/Backend Protocol" in PostgreSQL's documentation.

package Pnvs::Session;

use strict;
use warnings;

use Carp;
use Errno;
use IO::Select;
use IO::Socket::UNIX;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(time);

my $PROTOCOL_3_0 = 3 << 16;

# new(NODE, [dbname, user, encoding, options]): connects, or dies with the
# server's words.
sub new
{
	my ($class, $node, %param) = @_;
	my $path = $node->host . '/.s.PGSQL.' . $node->port;
	my $self = bless {
		socket => IO::Socket::UNIX->new(Peer => $path),
		buffer => '',
		pid => undef,
		parameters => {},
		transcript => '',
	}, $class;

	croak "could not connect to $path: $!" unless $self->{socket};
	$self->_startup(
		user => $param{user} // scalar getpwuid($<),
		database => $param{dbname} // 'postgres',
		client_encoding => $param{encoding} // 'UTF8',
		$param{options} ? (options => $param{options}) : ());
	return $self;
}

# The backend's process ID.
sub pid { return $_[0]->{pid}; }

# Whether the last statement has left a transaction open, even a failed one.
sub in_transaction { return $_[0]->{in_transaction}; }

# Everything that the server has sent, as raw bytes: for tests of what must not
# be in it.
sub transcript { return $_[0]->{transcript}; }

# Notices of the start of the session, each a hash of fields.
sub startup_notices { return @{ $_[0]->{startup_notices} }; }

# query(SQL): runs it and returns the result. Never dies for an SQL error.
sub query
{
	my ($self, $sql, $timeout) = @_;

	$self->send($sql);
	return $self->result($timeout);
}

# As query(), but dies where the statement fails: for what a test takes for
# granted.
sub run
{
	my ($self, $sql, $timeout) = @_;
	my $result = $self->query($sql, $timeout);

	croak 'failed: ' . $result->sqlstate . ' ' . $result->message . "\n$sql"
	  if $result->failed;
	return $result;
}

# The first column of the first row.
sub value
{
	my ($self, $sql) = @_;

	return $self->run($sql)->value;
}

# prepared(SQL, [values], max_rows): the extended protocol, as drivers use it,
# with the result fetched in pieces of max_rows where that is given.
sub prepared
{
	my ($self, $sql, $values, $max_rows) = @_;
	my $bind = pack('Z* Z* n n', '', '', 0, scalar @$values);

	$bind .= defined $_ ? pack('N/a*', $_) : pack('N', 0xFFFFFFFF) for @$values;
	$self->_put('P', pack('Z* Z* n', '', $sql, 0));
	$self->_put('B', $bind . pack('n', 0));
	$self->_put('D', pack('a Z*', 'P', ''));
	$self->_put('E', pack('Z* N', '', $max_rows // 0)) for 1 .. ($max_rows ? 20 : 1);
	$self->_put('S', '');
	return $self->result;
}

# Sends a statement; result() fetches what becomes of it.
sub send
{
	my ($self, $sql) = @_;

	$self->_put('Q', pack('Z*', $sql));
	return;
}

# Whether something has come, without waiting.
sub has_answer
{
	my ($self) = @_;

	return length $self->{buffer} || IO::Select->new($self->{socket})->can_read(0);
}

# Waits for the end of the statement that was sent.
sub result
{
	my ($self, $timeout) = @_;
	my $deadline = time + ($timeout // $PostgreSQL::Test::Utils::timeout_default);
	my $result = Pnvs::Result->new;

	while (my ($type, $body) = $self->_get($deadline))
	{
		if ($type eq 'T') { $result->{columns} = _columns($body); }
		elsif ($type eq 'D') { push @{ $result->{rows} }, _row($result->{columns}, $body); }
		elsif ($type eq 'E')
		{
			$result->{error} = _fields($body);
			$result->{error_time} = time;
		}
		elsif ($type eq 'N') { push @{ $result->{notices} }, _fields($body); }
		elsif ($type eq 'A') { push @{ $result->{notifications} }, $body; }
		if ($type eq 'Z')
		{
			$self->{in_transaction} = $body ne 'I';
			return $result;
		}
	}
	$result->{lost} = 1;
	return $result;
}

sub close
{
	my ($self) = @_;

	return unless $self->{socket};
	$self->_put('X', '');
	$self->{socket}->close;
	$self->{socket} = undef;
	return;
}

# --- messages

sub _startup
{
	my ($self, %parameter) = @_;
	my $body = pack('N', $PROTOCOL_3_0);
	my $result;

	$body .= pack('Z* Z*', $_, $parameter{$_}) for sort keys %parameter;
	$self->_write(pack('N', 5 + length $body) . $body . "\0");
	$result = $self->result;
	croak 'could not connect: ' . $result->message if $result->failed;
	$self->{startup_notices} = $result->{notices};
	return;
}

sub _put
{
	my ($self, $type, $body) = @_;

	$self->_write($type . pack('N', 4 + length $body) . $body);
	return;
}

sub _write
{
	my ($self, $data) = @_;

	local $SIG{PIPE} = 'IGNORE';
	while (length $data)
	{
		my $written = syswrite($self->{socket}, $data);

		croak "could not write to the server: $!" unless defined $written;
		substr($data, 0, $written, '');
	}
	return;
}

# The next message, or nothing at the end of the connection.
sub _get
{
	my ($self, $deadline) = @_;

	while (1)
	{
		if (length $self->{buffer} >= 5)
		{
			my ($type, $len) = unpack('a N', $self->{buffer});

			if (length $self->{buffer} > $len)
			{
				my $body = substr($self->{buffer}, 5, $len - 4);

				substr($self->{buffer}, 0, $len + 1, '');
				$self->{pid} = unpack('N', $body) if $type eq 'K';
				return ($type, $body);
			}
		}
		return unless $self->_receive($deadline);
	}
	return;
}

sub _receive
{
	my ($self, $deadline) = @_;
	my $read;

	# a signal ends the wait early, such as that of a child that was stopped
	for (;;)
	{
		my $wait = $deadline - time;

		$! = 0;
		last if IO::Select->new($self->{socket})->can_read($wait > 0 ? $wait : 0);
		croak 'the server did not answer in time' unless $!{EINTR} && $wait > 0;
	}
	$read = sysread($self->{socket}, my $data, 65536);
	return 0 unless $read;
	$self->{buffer} .= $data;
	$self->{transcript} .= $data;
	return 1;
}

# The fields of an error or a notice by their letters.
sub _fields
{
	my ($body) = @_;

	return { map { substr($_, 0, 1) => substr($_, 1) } grep { length } split /\0/, $body };
}

sub _columns
{
	my ($body) = @_;
	my $count = unpack('n', $body);
	my @column = unpack('n (Z* x18)' . $count, $body);

	return [ @column[ 1 .. $#column ] ];
}

sub _row
{
	my ($columns, $body) = @_;
	my $position = 2;
	my %row;

	for my $column (@$columns)
	{
		my $len = unpack('N', substr($body, $position, 4));

		$position += 4;
		if ($len == 0xFFFFFFFF) { $row{$column} = undef; next; }
		$row{$column} = substr($body, $position, $len);
		$position += $len;
	}
	return \%row;
}

# What became of one statement. The texts are bytes, not characters.
package Pnvs::Result;

use strict;
use warnings;

sub new
{
	my ($class) = @_;

	return bless { columns => [], rows => [], notices => [], notifications => [], error => undef },
	  $class;
}

sub failed { return defined $_[0]->{error}; }

# Whether the connection ended before the statement did.
sub lost { return $_[0]->{lost} ? 1 : 0; }

# The moment at which the error came.
sub error_time { return $_[0]->{error_time}; }

# Fields of the error; an empty text where there is none.
sub sqlstate { return $_[0]->{error} ? $_[0]->{error}{C} : ''; }
sub message { return $_[0]->{error} ? $_[0]->{error}{M} : ''; }
sub detail { return $_[0]->{error} ? $_[0]->{error}{D} // '' : ''; }
sub hint { return $_[0]->{error} ? $_[0]->{error}{H} // '' : ''; }
sub context { return $_[0]->{error} ? $_[0]->{error}{W} // '' : ''; }

# "sent=no stage=tls" of the error's detail, or of its context.
sub fate
{
	my ($self) = @_;
	my $text = $self->detail =~ /\Asent=/ ? $self->detail : $self->context;

	return $text =~ /\b(sent=(?:no|maybe) stage=[a-z]+)\b/ ? $1 : '';
}

# Rows are hashes by column.
sub rows { return @{ $_[0]->{rows} }; }
sub row { return $_[0]->{rows}[0] // {}; }
sub columns { return @{ $_[0]->{columns} }; }
sub column { my ($self, $name) = @_; return map { $_->{$name} } $self->rows; }

sub value
{
	my ($self) = @_;

	return undef unless @{ $self->{rows} };
	return $self->row->{ $self->{columns}[0] };
}

# Each notice is a hash of fields by their letters.
sub notices { return @{ $_[0]->{notices} }; }

# The payloads of a channel's notifications that came with the result.
sub notifications
{
	my ($self, $channel) = @_;
	my @notification = map { [ unpack('x4 Z* Z*', $_) ] } @{ $self->{notifications} };

	return map { $_->[1] } grep { $_->[0] eq $channel } @notification;
}

1;
