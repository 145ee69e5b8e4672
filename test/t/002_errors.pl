# What the service says when it says no: a row, or with on_failure = error an
# error whose SQLSTATE, DETAIL and HINT a program can go by.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Test::More;

use Pnvs::Session;
use Pnvs::Simulator;

my $NUMBER = '6281234567890';
my $service = Pnvs::Simulator->new;
my $node = $service->new_node('errors');
my $session = Pnvs::Session->new($node);

my %OPERATION = (
	start => sub { return "SELECT * FROM start_verification('SMS', '$NUMBER', '$_[0]')" },
	check => sub { return "SELECT * FROM check_verification('123456', 'id/1+2', '$NUMBER', '$_[0]')" },
	search => sub { return "SELECT * FROM search_verification('$_[0]')" });

# query(OPERATION, SERVICE_SID, [ON_FAILURE]): the log begins anew with it.
sub query
{
	my ($operation, $service_sid, $on_failure) = @_;

	$session->run('SET pnvs.on_failure = ' . ($on_failure // 'row'));
	$service->mark;
	return $session->query($OPERATION{$operation}->($service_sid));
}

sub requests { return $service->count('request'); }

# An error has every field that it is promised to have.
sub error_is
{
	my ($result, $sqlstate, $fate, $what) = @_;

	is($result->sqlstate, $sqlstate, "$what is an error $sqlstate");
	like($result->detail, qr/\A\Q$fate\E\b/, "$what has $fate in its detail");
	isnt($result->hint, '', "$what has a hint");
	return;
}

# --- every code that the service documents, with the status that it comes with

my @REFUSED = map { [ $_, 200 ] } qw(INVALID_PARAMETERS Invalid.Parameters MOBILE_NUMBER_ILLEGAL
  NOT_SUPPORTED_CHANNEL COUNTRY_BLACKLISTED BIZ_NOT_OPEN_STATUS SECURITY_INTERCEPTED RESOURCE_NOT_ENOUGH
  isp.VERIFY_SCHEME_NOT_EXIST InsufficientBalance);
push @REFUSED, map { [ $_, 400 ] } qw(MissingParameter MissingTo MissingServiceSid InvalidParameter
  InvalidProtocol.NeedSsl InvalidTimeStamp.Format INVALID_PARAMETERS);
push @REFUSED, map { [ $_, 404 ] } qw(InvalidApi.NotFound InvalidProduct.NotFound);
push @REFUSED, [ 'MOBILE_NUMBER_ILLEGAL', 500 ];
my @CREDENTIALS = map { [ $_, 400 ] } qw(InvalidSecurityToken.Expired InvalidSecurityToken.MismatchWithAccessKey
  SignatureDoesNotMatch IncompleteSignature);
push @CREDENTIALS, [ 'InvalidAccessKeyId.NotFound', 404 ], [ 'InvalidAccessKeyId.Inactive', 403 ],
  [ 'Forbidden.RAM', 403 ], [ 'Forbidden.RiskControl', 403 ], [ 'Forbidden.RAM', 200 ];
my @THROTTLED = ([ 'Throttling', 400 ], [ 'Throttling.User', 429 ], [ 'Throttling.User', 400 ],
	[ 'Throttling.Api', 429 ], [ 'Throttling.Api', 503 ], [ 'SENTINEL_BLOCK_EXCEPTION', 200 ]);
my @AMBIGUOUS = ([ 'InternalError', 500 ], [ 'InternalError', 200 ], [ 'ServiceUnavailable', 503 ],
	[ 'ServiceUnavailable', 200 ], [ 'SMS_SYSTEM_ERROR', 200 ], [ 'VOICE_SYSTEM_ERROR', 200 ],
	[ 'WHATSAPP_SYSTEM_ERROR', 200 ], [ 'SMS_SYSTEM_ERROR', 500 ], [ 'isp.SYSTEM_ERROR', 200 ],
	[ 'ServiceUnavailableTemporary', 400 ], [ 'UnknownError', 400 ],
	[ 'SignatureNonceUsed', 400 ]);
# A code that nobody knows is a refusal, unless the service failed with it.
my @UNKNOWN = ([ 'Some.New.Code', 200 ], [ 'Some.New.Code', 400 ]);
my @UNKNOWN_FAILURE = ([ 'Some.New.Code', 500 ], [ 'Some.New.Code', 503 ]);

sub as_error
{
	my ($sqlstate, $fate, $check_is_row, @case) = @_;

	for my $case (@case)
	{
		my ($code, $status) = @$case;
		my $sid = "sim:code:$code:$status";

		for my $operation (qw(start check search))
		{
			my $what = "$code with status $status from a $operation";
			my ($result, $row);

			if ($operation ne 'search')
			{
				$result = query($operation, $sid);
				$row = $result->row;
				is(scalar($result->rows), 1, "$what is a row");
				is($row->{success}, 'f', "$what has no success");
				is($row->{code}, $code, "$what keeps its code");
				is($row->{http_status}, $status, "$what keeps its status");
				like($row->{message}, qr/\Q$code\E/, "$what keeps its message");
				is($row->{approved}, 'f', "$what approves nothing") if $operation eq 'check';
				is(requests(), 1, "$what is asked for once");
			}
			$result = query($operation, $sid, 'error');
			is(requests(), 1, "$what is asked for once, also as an error");
			if ($operation eq 'check' && $check_is_row)
			{
				is($result->row->{approved}, 'f', "$what may mean a wrong code and is never an error");
				next;
			}
			error_is($result, $sqlstate, $fate, $what);
			like($result->message, qr/\Q$code\E/, "$what names the code");
			like($result->detail, qr/\b$status\b/, "$what names the status");
		}
		error_is(query('search', $sid, 'row'),
			$sqlstate, $fate, "$code with status $status from a search with on_failure = row");
	}
	return;
}

as_error('38V04', 'sent=no stage=reply', 0, @REFUSED);
as_error('38V05', 'sent=no stage=reply', 0, @CREDENTIALS);
as_error('38V04', 'sent=no stage=reply', 0, @THROTTLED);
as_error('38V02', 'sent=maybe stage=reply', 0, @AMBIGUOUS);
as_error('38V04', 'sent=no stage=reply', 1, @UNKNOWN);
as_error('38V02', 'sent=maybe stage=reply', 0, @UNKNOWN_FAILURE);

# Code OK without success: a no, but nobody knows of what kind.
is(query('start', 'sim:successfalse')->row->{success}, 'f', 'a no with the code OK is a row without success');
error_is(query('start', 'sim:successfalse', 'error'), '38V04', 'sent=no stage=reply', 'a no with the code OK');
is(query('check', 'sim:successfalse', 'error')->row->{approved},
	'f', 'a check with a no and the code OK is not approved, and no error');

# --- wrong codes

my $started = query('start', 'FA1')->row;
my $code = ($service->events('sent'))[0]{code};

for my $typed (sprintf('%06d', ($code + 1) % 1_000_000), '0', 'abc', '1234567890123456')
{
	$session->run("SET pnvs.on_failure = 'error'");
	is( $session->query("SELECT approved FROM check_verification('$typed', '$started->{verification_id}', '$NUMBER')")
		  ->value,
		'f', "the wrong code \"$typed\" is not approved, and no error");
}
$service->mark;
my $unknown = $session->query("SELECT * FROM check_verification('$code', 'nothing/like+it', '$NUMBER')");
error_is($unknown, '38V04', 'sent=no stage=reply', 'a verification that does not exist');
is(requests(), 1, 'a verification that does not exist is asked for');

# --- hints

like(query('start', 'sim:throttled:2500', 'error')->hint,
	qr/\b2500 ms\b/, 'the hint says when a throttled call can be repeated');
error_is(query('search', 'sim:throttled:70000'), '38V04', 'sent=no stage=reply', 'a throttled search');
like(query('search', 'sim:throttled:70000')->hint,
	qr/\b70000 ms\b/, 'the hint says when a throttled search can be repeated');
like(query('start', 'sim:code:Throttling.User:429', 'error')->hint,
	qr/again later/, 'without a time the hint says to repeat it later');
is(query('start', 'sim:throttled:2500')->row->{code}, 'Throttling.User', 'a throttled call is a row');
like(query('start', 'sim:code:InternalError:500', 'error')->hint,
	qr/search_verification/, 'the hint of an ambiguous start says to search');
like(query('start', 'sim:code:SignatureDoesNotMatch:400', 'error')->hint,
	qr/pnvs\.access_key_secret/, 'the hint of refused credentials names their settings');
like(query('start', 'sim:skewalways', 'error')->hint, qr/clock/, 'the hint of an expired time stamp is about the clock');

# What the service says is quoted, but for what must not be shown.
like(query('start', "sim:code:Odd$NUMBER:400", 'error')->message,
	qr/\Athe verification service refused StartVerification: /, 'a refusal names the operation');
for my $field (qw(message detail hint context))
{
	unlike(query('start', "sim:code:Odd$NUMBER:400", 'error')->$field,
		qr/$NUMBER/, "a number that the service quotes is not in the $field");
}

# --- clocks

for my $skew (3600, -3600, 86400, 1000, -1000)
{
	my $fresh = Pnvs::Session->new($node);
	my @error;

	$service->mark;
	is($fresh->run($OPERATION{start}->("sim:skew:$skew"))->row->{success},
		't', "a clock that is $skew s off is corrected");
	@error = map { $_->{error} } $service->events('request');
	is_deeply(\@error, [ 'InvalidTimeStamp.Expired', undef ], "a clock that is $skew s off costs one request more");
	is($service->count('sent'), 1, "a clock that is $skew s off costs no message more");

	$service->mark;
	is($fresh->run($OPERATION{start}->("sim:skew:$skew"))->row->{success},
		't', "a correction by $skew s is kept");
	is(requests(), 1, "after a correction by $skew s a call makes one request");

	# Our clock, or the service's, is set right again.
	$service->mark;
	is($fresh->run($OPERATION{start}->('FA1'))->row->{success},
		't', "a correction by $skew s is corrected where it no longer holds");
	is(requests(), 2, "that it no longer holds costs one request more (skew $skew s)");
	$fresh->close;
}
{
	my $fresh = Pnvs::Session->new($node);

	$service->mark;
	is($fresh->run($OPERATION{start}->('sim:skew:600'))->row->{success},
		't', 'a clock that is less than 15 minutes off needs no correction');
	is(requests(), 1, 'such a clock costs nothing');
	for my $operation (qw(check search))
	{
		my $other = Pnvs::Session->new($node);

		$service->mark;
		ok(!$other->query($OPERATION{$operation}->('sim-' . $operation . ':skew:7200'))->failed,
			"the clock is corrected for a $operation, too");
		is(requests(), 2, "the clock is corrected for a $operation by one request more");
		$other->close;
	}
	$fresh->close;
}

for my $row ([ 'skewalways', 2 ], [ 'nodate', 1 ], [ 'baddate', 1 ])
{
	my ($scenario, $requests) = @$row;
	my $fresh = Pnvs::Session->new($node);
	my $result;

	$service->mark;
	$result = $fresh->run($OPERATION{start}->("sim:$scenario"));
	is($result->row->{code}, 'InvalidTimeStamp.Expired', "$scenario is a row");
	is(requests(), $requests, "$scenario is given up after $requests requests");

	$service->mark;
	is($fresh->run($OPERATION{start}->('FA1'))->row->{success}, 't', "a call after $scenario succeeds");
	is(requests(), 1, "a call after $scenario needs no correction");

	$fresh->run("SET pnvs.on_failure = 'error'");
	$service->mark;
	$result = $fresh->query($OPERATION{start}->("sim:$scenario"));
	error_is($result, '38V04', 'sent=no stage=reply', "$scenario with on_failure = error");
	is(requests(), $requests, "$scenario as an error is given up after $requests requests");
	$fresh->close;
}

# --- contradictions: nobody knows

for my $status (404, 500)
{
	my $result = query('start', "sim:code:OK:$status", 'error');

	error_is($result, '38V02', 'sent=maybe stage=reply', "OK with status $status");
}

$session->close;
$node->stop;
done_testing();
