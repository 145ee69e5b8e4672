CREATE FUNCTION messages_enqueue(text, uuid, oid, bigint, timestamptz, boolean, timestamptz) RETURNS text AS 'pnvs' LANGUAGE C;
CREATE FUNCTION messages_cancel_of(uuid) RETURNS integer AS 'pnvs' LANGUAGE C;
CREATE FUNCTION messages_of(uuid, integer) RETURNS text AS 'pnvs' LANGUAGE C;
