-- scripted: what start_verification() replaces.  The same request, signed in
-- PL/pgSQL with pgcrypto and posted over one kept connection: by PL/Python's
-- http.client, or by an extension that has the function http().
--
-- Both return a row with the fields of the reply, as start_verification() does.

CREATE EXTENSION pgcrypto;
CREATE EXTENSION plpython3u;

CREATE TABLE scripted_setting AS
SELECT :'host'::text AS host, :port::integer AS port, :'ca_file'::text AS ca_file;

CREATE FUNCTION percent_encode(value text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT AS $$
	SELECT CASE WHEN value ~ '^[A-Za-z0-9_.~-]*$' THEN value
		ELSE (SELECT string_agg(CASE WHEN c ~ '^[A-Za-z0-9_.~-]$' THEN c
				ELSE regexp_replace(upper(encode(convert_to(c, 'UTF8'), 'hex')), '(..)', '%\1', 'g') END, '' ORDER BY n)
			FROM regexp_split_to_table(value, '') WITH ORDINALITY AS t(c, n))
		END
$$;

-- The query, and the headers as "name, value, name, value, ...".
CREATE FUNCTION scripted_request(channel text, recipient text, service_sid text,
	host text, OUT query text, OUT headers text[])
LANGUAGE plpgsql AS $$
DECLARE
	body_hash CONSTANT text := encode(digest('', 'sha256'), 'hex');
	names CONSTANT text := 'host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version';
	date CONSTANT text := to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');
	nonce CONSTANT text := replace(gen_random_uuid()::text, '-', '');
	canonical text;
	signature text;
BEGIN
	query := 'Channel=' || percent_encode(channel) || '&ServiceSid=' || percent_encode(service_sid) ||
		'&To=' || percent_encode(recipient);
	canonical := E'POST\n/\n' || query || E'\nhost:' || host || E'\nx-acs-action:StartVerification\n' ||
		'x-acs-content-sha256:' || body_hash || E'\nx-acs-date:' || date || E'\nx-acs-signature-nonce:' || nonce ||
		E'\nx-acs-version:2017-07-25\n\n' || names || E'\n' || body_hash;
	signature := encode(hmac(E'ACS3-HMAC-SHA256\n' || encode(digest(canonical, 'sha256'), 'hex'),
		'testsecret', 'sha256'), 'hex');
	headers := ARRAY['Accept', 'application/json', 'User-Agent', 'pnvs/1.0',
		'x-acs-action', 'StartVerification', 'x-acs-content-sha256', body_hash, 'x-acs-date', date,
		'x-acs-signature-nonce', nonce, 'x-acs-version', '2017-07-25',
		'Authorization', 'ACS3-HMAC-SHA256 Credential=testid,SignedHeaders=' || names || ',Signature=' || signature];
END
$$;

CREATE FUNCTION scripted_row(body jsonb) RETURNS start_verification_result
LANGUAGE sql IMMUTABLE AS $$
	SELECT body->>'RequestId', body->>'Code', body->>'Message', (body->>'Success')::boolean,
		body#>>'{Model,verificationId}', body#>>'{Model,status}', NULL::text, 200
$$;

-- One connection for the life of the session.
CREATE FUNCTION python_post(host text, port integer, ca_file text, query text, headers text[]) RETURNS text
LANGUAGE plpython3u AS $$
connection = GD.get("connection")
if connection is None:
    import http.client, ssl
    context = ssl.create_default_context(cafile=ca_file)
    connection = GD["connection"] = http.client.HTTPSConnection(host, port, context=context)
connection.request("POST", "/?" + query, headers=dict(zip(headers[::2], headers[1::2])))
reply = connection.getresponse()
body = reply.read()
if reply.status != 200:
    plpy.error("HTTP status %d" % reply.status)
return body.decode()
$$;

CREATE FUNCTION start_by_python(channel text, recipient text, service_sid text)
RETURNS start_verification_result
LANGUAGE plpgsql AS $$
DECLARE
	setting scripted_setting;
	request record;
BEGIN
	SELECT * INTO setting FROM scripted_setting;
	request := scripted_request(channel, recipient, service_sid, setting.host || ':' || setting.port);
	RETURN scripted_row(python_post(setting.host, setting.port, setting.ca_file, request.query, request.headers)::jsonb);
END
$$;
