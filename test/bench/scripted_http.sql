-- scripted_http: scripted.sql's request, posted by the extension "http".

CREATE EXTENSION http;

CREATE FUNCTION start_by_http(channel text, recipient text, service_sid text)
RETURNS start_verification_result
LANGUAGE plpgsql AS $$
DECLARE
	setting scripted_setting;
	request record;
	headers http_header[] := '{}';
	reply http_response;
BEGIN
	SELECT * INTO setting FROM scripted_setting;
	request := scripted_request(channel, recipient, service_sid, setting.host || ':' || setting.port);
	FOR i IN 1 .. cardinality(request.headers) / 2 LOOP
		headers[i] := http_header(request.headers[2 * i - 1], request.headers[2 * i]);
	END LOOP;
	reply := http(('POST', 'https://' || setting.host || ':' || setting.port || '/?' || request.query,
		headers, 'application/json', '')::http_request);
	IF reply.status <> 200 THEN
		RAISE EXCEPTION 'HTTP status %', reply.status;
	END IF;
	RETURN scripted_row(reply.content::jsonb);
END
$$;
