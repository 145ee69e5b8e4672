CREATE FUNCTION messages_enqueue(text, uuid, oid, bigint, timestamptz, boolean, timestamptz, bigint) RETURNS text AS 'pnvs' LANGUAGE C;
CREATE FUNCTION messages_cancel_of(uuid, bigint) RETURNS integer AS 'pnvs' LANGUAGE C;
CREATE FUNCTION messages_of(uuid, bigint) RETURNS text AS 'pnvs' LANGUAGE C;
