# PostgREST.pm: calls functions as PostgREST calls them, which Debian does not have: as the
# same role, with the same settings, in the same transaction, by the same query (that of
# PostgREST 14.5), and with its answer made of the same settings and SQLSTATEs.
#
#   my $api = Pnvs::PostgREST->new($node, anon => 'web_anon');   # db-schemas = api
#   my $browser = $api->browser('203.0.113.7');                  # its address, and its cookies
#   my $answer = $browser->post('begin', phone => '+62 ...', purpose => 'sign-up');
#   $answer->{status}; $answer->{headers}{'Retry-After'}; $answer->{body}{state};

package Pnvs::PostgREST;

use strict;
use warnings;

use Carp;
use JSON::PP;

use Pnvs::Session;

# As far as these functions need it: PostgREST's page "Errors".
my %STATUS = ('22P02' => 400, '22023' => 400, 23514 => 400, 23505 => 409, 25006 => 405, 42501 => 401, 42883 => 404);

my $json = JSON::PP->new->allow_nonref->canonical;

# new(NODE, anon => ROLE, [dbname]): the connection is of a role that may be nothing else.
sub new
{
	my ($class, $node, %param) = @_;
	my $dbname = $param{dbname} // 'postgres';

	$node->safe_psql($dbname, "CREATE ROLE authenticator LOGIN NOINHERIT; GRANT $param{anon} TO authenticator");
	return bless { node => $node, anon => $param{anon}, dbname => $dbname }, $class;
}

sub browser
{
	my ($self, $address) = @_;

	return bless { api => $self, address => $address, cookies => {}, session => undef }, 'Pnvs::PostgREST::Browser';
}

package Pnvs::PostgREST::Browser;

sub post { my ($self, $function, %argument) = @_; return $self->request('POST', $function, %argument); }
sub get { my ($self, $function, %argument) = @_; return $self->request('GET', $function, %argument); }

# The cookies can be read and changed, as their owner and a thief can.
sub cookies { return $_[0]->{cookies}; }

sub request
{
	my ($self, $method, $function, %argument) = @_;

	$self->send($method, $function, %argument);
	return $self->answer;
}

# send(METHOD, FUNCTION, ...): answer() fetches what becomes of it.
sub send
{
	my ($self, $method, $function, %argument) = @_;
	my $session = $self->{session} //= Pnvs::Session->new($self->{api}{node}, user => 'authenticator', dbname => $self->{api}{dbname});
	my %setting = (
		search_path => '"api", "public"',
		role => $self->{api}{anon},
		'request.jwt.claims' => $json->encode({ role => $self->{api}{anon} }),
		'request.method' => $method,
		'request.path' => "/rpc/$function",
		'request.headers' => $json->encode({ accept => '*/*', defined $self->{address} ? ('x-real-ip' => $self->{address}) : () }),
		'request.cookies' => $json->encode($self->{cookies}));
	my $settings = join ', ', map { sprintf "set_config('%s', %s, true)", $_, _literal($setting{$_}) } sort keys %setting;

	$self->{sent} = $function;
	$session->run('BEGIN ISOLATION LEVEL READ COMMITTED ' . ($method eq 'GET' ? 'READ ONLY' : 'READ WRITE'));
	$session->run("SELECT $settings");
	$session->send(_query($function, %argument));
	return;
}

sub has_answer { return $_[0]->{session}->has_answer; }

# The status, the headers and the body; the cookies are kept.
sub answer
{
	my ($self) = @_;
	my $result = $self->{session}->result;
	my $row = $result->row;

	$self->{session}->run($result->failed ? 'ROLLBACK' : 'COMMIT');
	return _failure($result) if $result->failed;
	my %headers = map { %$_ } my @header = @{ $json->decode($row->{response_headers} // '[]') };
	for my $cookie (map { $_->{'Set-Cookie'} // () } @header)
	{
		$self->{cookies}{$1} = $2 if $cookie =~ /\A((?:__Host-)?\w+)=([^;]*); Path=\/; HttpOnly; Secure; SameSite=Strict\z/;
	}
	return { status => $row->{response_status} // 200, headers => \%headers, body => $json->decode($row->{body}) };
}

sub _failure
{
	my ($result) = @_;
	my $state = $result->sqlstate;

	return {
		status => $state =~ /\APT(\d{3})\z/ ? $1 : $STATUS{$state} // 500,
		headers => {},
		body => { code => $state, message => $result->message, details => $result->detail, hint => $result->hint } };
}

sub _query
{
	my ($function, %argument) = @_;
	my @name = sort keys %argument;
	my $source = '';
	my $passed = join ', ', map { qq("$_" := pgrst_body."$_") } @name;

	$source = 'FROM (SELECT ' . _literal($json->encode(\%argument)) . '::json AS json_data) pgrst_payload, LATERAL (SELECT '
	  . join(', ', map { qq("$_") } @name) . ' FROM json_to_record(pgrst_payload.json_data) AS _('
	  . join(', ', map { qq("$_" text) } @name) . ') LIMIT 1) pgrst_body, LATERAL' if @name;
	$source ||= 'FROM';
	return "WITH pgrst_source AS (SELECT pgrst_call.pgrst_scalar $source (SELECT \"api\".\"$function\"($passed) pgrst_scalar) pgrst_call) "
	  . 'SELECT null::bigint AS total_result_set, 1 AS page_total, '
	  . "coalesce(json_agg(_postgrest_t.pgrst_scalar)->0, 'null') AS body, "
	  . "nullif(current_setting('response.headers', true), '') AS response_headers, "
	  . "nullif(current_setting('response.status', true), '') AS response_status, '' AS response_inserted "
	  . "FROM (SELECT \"$function\".* FROM \"pgrst_source\" AS \"$function\") _postgrest_t";
}

sub _literal { my ($value) = @_; return "'" . ($value =~ s/'/''/gr) . "'"; }

1;
