CREATE FUNCTION checks_take(uuid, integer, integer, timestamptz, timestamptz) RETURNS text AS 'pnvs' LANGUAGE C;
CREATE FUNCTION checks_give_back(uuid, timestamptz) RETURNS void AS 'pnvs' LANGUAGE C;
CREATE FUNCTION checks_tries(uuid, integer, timestamptz) RETURNS integer AS 'pnvs' LANGUAGE C;
CREATE FUNCTION checks_approve(uuid, bigint, bigint, timestamptz) RETURNS void AS 'pnvs' LANGUAGE C;
CREATE FUNCTION checks_note_ambiguous(uuid, bigint, timestamptz) RETURNS void AS 'pnvs' LANGUAGE C;
CREATE FUNCTION checks_known(uuid, bigint, timestamptz) RETURNS text AS 'pnvs' LANGUAGE C;
