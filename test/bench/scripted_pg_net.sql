-- scripted_pg_net: the queue's request, queued in the extension pg_net.
--
-- pg_net does not sign: the headers are as long as a signed request's, and made
-- beforehand.  The time to wait is what pnvs allows in the same measurement.

CREATE EXTENSION pg_net;

CREATE TABLE scripted_request AS
SELECT :'url'::text || '/?Channel=SMS&ServiceSid=FA1&To=' AS url,
	jsonb_build_object(
		'Accept', 'application/json',
		'Content-Type', 'application/json',
		'x-acs-action', 'StartVerification',
		'x-acs-content-sha256', encode(sha256(''), 'hex'),
		'x-acs-date', '2026-11-23T08:29:23Z',
		'x-acs-signature-nonce', repeat('0', 32),
		'x-acs-version', '2017-07-25',
		'Authorization', 'ACS3-HMAC-SHA256 Credential=testid,SignedHeaders=host;x-acs-action;x-acs-content-sha256;'
			'x-acs-date;x-acs-signature-nonce;x-acs-version,Signature=' || repeat('0', 64)) AS headers;

CREATE FUNCTION enqueue_by_pg_net(recipient bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
	request scripted_request;
BEGIN
	SELECT * INTO request FROM scripted_request;
	RETURN net.http_post(request.url || recipient, NULL, headers => request.headers, timeout_milliseconds => 60000);
END
$$;
