--
-- Nothing that somebody else put on the search_path is ever run.
--

\set SHOW_CONTEXT never
SET pnvs.access_key_id = '';	-- so that no call can go out

-- A schema full of traps: each of them raises.
CREATE SCHEMA regress_pnvs_evil;
CREATE FUNCTION regress_pnvs_evil.spring() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'trapped';
END
$$;

CREATE FUNCTION regress_pnvs_evil.equal(oid, oid) RETURNS boolean
	LANGUAGE sql AS 'SELECT regress_pnvs_evil.spring()';
CREATE FUNCTION regress_pnvs_evil.equal(name, name) RETURNS boolean
	LANGUAGE sql AS 'SELECT regress_pnvs_evil.spring()';
CREATE FUNCTION regress_pnvs_evil.equal("char", "char") RETURNS boolean
	LANGUAGE sql AS 'SELECT regress_pnvs_evil.spring()';
CREATE FUNCTION regress_pnvs_evil.equal(text, text) RETURNS boolean
	LANGUAGE sql AS 'SELECT regress_pnvs_evil.spring()';
CREATE OPERATOR regress_pnvs_evil.= (FUNCTION = regress_pnvs_evil.equal, LEFTARG = oid, RIGHTARG = oid);
CREATE OPERATOR regress_pnvs_evil.= (FUNCTION = regress_pnvs_evil.equal, LEFTARG = name, RIGHTARG = name);
CREATE OPERATOR regress_pnvs_evil.= (FUNCTION = regress_pnvs_evil.equal, LEFTARG = "char", RIGHTARG = "char");
CREATE OPERATOR regress_pnvs_evil.= (FUNCTION = regress_pnvs_evil.equal, LEFTARG = text, RIGHTARG = text);
CREATE OPERATOR regress_pnvs_evil.<> (FUNCTION = regress_pnvs_evil.equal, LEFTARG = oid, RIGHTARG = oid);
CREATE FUNCTION regress_pnvs_evil.at_least(integer, integer) RETURNS boolean
	LANGUAGE sql AS 'SELECT regress_pnvs_evil.spring()';
CREATE OPERATOR regress_pnvs_evil.>= (FUNCTION = regress_pnvs_evil.at_least, LEFTARG = integer, RIGHTARG = integer);
CREATE OPERATOR regress_pnvs_evil.<> (FUNCTION = regress_pnvs_evil.equal, LEFTARG = text, RIGHTARG = text);

-- exact matches, which would win over pg_catalog's variadic ones
CREATE FUNCTION regress_pnvs_evil.format(text, text, text, text) RETURNS text
	LANGUAGE sql AS 'SELECT regress_pnvs_evil.spring()::text';
CREATE FUNCTION regress_pnvs_evil.format(text, variadic text[]) RETURNS text
	LANGUAGE sql AS 'SELECT regress_pnvs_evil.spring()::text';
CREATE FUNCTION regress_pnvs_evil.quote_ident(text) RETURNS text
	LANGUAGE sql AS 'SELECT regress_pnvs_evil.spring()::text';
CREATE FUNCTION regress_pnvs_evil.quote_ident(name) RETURNS text
	LANGUAGE sql AS 'SELECT regress_pnvs_evil.spring()::text';
CREATE FUNCTION regress_pnvs_evil.pg_get_userbyid(oid) RETURNS name
	LANGUAGE sql AS 'SELECT regress_pnvs_evil.spring()::text::name';
CREATE FUNCTION regress_pnvs_evil.acldefault("char", oid) RETURNS aclitem[]
	LANGUAGE sql AS 'SELECT regress_pnvs_evil.spring()::text::aclitem[]';
CREATE FUNCTION regress_pnvs_evil.has_table_privilege(regclass, text) RETURNS boolean
	LANGUAGE sql AS 'SELECT regress_pnvs_evil.spring()';
CREATE FUNCTION regress_pnvs_evil.pg_extension_config_dump(regclass, text) RETURNS void
	LANGUAGE sql AS 'SELECT regress_pnvs_evil.spring()::text';
CREATE FUNCTION regress_pnvs_evil.aclexplode(aclitem[]) RETURNS SETOF record
	LANGUAGE sql AS 'SELECT regress_pnvs_evil.spring(), 1';

-- catalogs of one's own
CREATE VIEW regress_pnvs_evil.pg_proc AS
	SELECT regress_pnvs_evil.spring(), p.* FROM pg_catalog.pg_proc p;
CREATE VIEW regress_pnvs_evil.pg_depend AS
	SELECT regress_pnvs_evil.spring(), d.* FROM pg_catalog.pg_depend d;
CREATE VIEW regress_pnvs_evil.pg_extension AS
	SELECT regress_pnvs_evil.spring(), e.* FROM pg_catalog.pg_extension e;

-- types under which one would find other columns, or none
CREATE DOMAIN regress_pnvs_evil.text AS integer CHECK (regress_pnvs_evil.spring());
CREATE DOMAIN regress_pnvs_evil.timestamptz AS integer CHECK (regress_pnvs_evil.spring());
CREATE DOMAIN regress_pnvs_evil.oid AS integer CHECK (regress_pnvs_evil.spring());
CREATE DOMAIN regress_pnvs_evil.regclass AS integer CHECK (regress_pnvs_evil.spring());
CREATE TEMPORARY TABLE text (trap integer);
CREATE TEMPORARY TABLE start_verification_result (trap integer);
CREATE TEMPORARY TABLE search_verification_record (trap integer);

-- the traps are armed
SET search_path = regress_pnvs_evil, pg_temp, pg_catalog;
SELECT 1::pg_catalog.oid = 1::pg_catalog.oid;
SELECT quote_ident('x'::pg_catalog.text);
SELECT format('x'::pg_catalog.text, 'x'::pg_catalog.text, 'x'::pg_catalog.text, 'x'::pg_catalog.text);
SELECT 1::text;
SELECT * FROM pg_proc;

--
-- CREATE EXTENSION beside them, under a path that leads through them
--
CREATE EXTENSION pnvs SCHEMA public;

-- Calls under that path, first with the schema's name.
SELECT * FROM public.start_verification('SMS', '+44 7700 900123', 'FA1');
SELECT * FROM public.check_verification('123456', 'VE1', '+44 7700 900123', 'FA1');
SELECT * FROM public.search_verification(send_date => 'yesterday', page_size => 5);
SELECT count(*) FROM public.verification_queue;
SET search_path = regress_pnvs_evil, pg_temp, pg_catalog, public;
SELECT * FROM start_verification('SMS', '+44 7700 900123', 'FA1');
SELECT * FROM search_verification();

-- what was made has pg_catalog's types
SET search_path = '';
SELECT proname, pronargs, proargtypes::pg_catalog.regtype[] AS argument_types,
		prorettype::pg_catalog.regtype AS result
	FROM pg_catalog.pg_proc
	WHERE pronamespace = 'public'::regnamespace AND proname LIKE '%\_verification'
	ORDER BY proname;
DROP EXTENSION pnvs;

--
-- CREATE EXTENSION among them
--
SET search_path = regress_pnvs_evil, pg_temp, pg_catalog;
CREATE EXTENSION pnvs SCHEMA regress_pnvs_evil;
SELECT * FROM regress_pnvs_evil.start_verification('SMS', '+44 7700 900123', 'FA1');
SELECT * FROM regress_pnvs_evil.check_verification('123456', 'VE1', '+44 7700 900123', 'FA1');
SELECT * FROM regress_pnvs_evil.search_verification();
DROP EXTENSION pnvs;

-- a function that was there before is not taken over
CREATE FUNCTION regress_pnvs_evil.start_verification(
	channel pg_catalog.text, "to" pg_catalog.text, service_sid pg_catalog.text,
	rate_key pg_catalog.text, trusted pg_catalog.bool)
	RETURNS pg_catalog.bool LANGUAGE sql AS 'SELECT regress_pnvs_evil.spring()';
CREATE EXTENSION pnvs SCHEMA regress_pnvs_evil;

-- nor is a type
DROP FUNCTION regress_pnvs_evil.start_verification;
CREATE TYPE regress_pnvs_evil.start_verification_result AS (trap integer);
CREATE EXTENSION pnvs SCHEMA regress_pnvs_evil;

-- nor is a schema, in which somebody may have put what he likes
DROP TYPE regress_pnvs_evil.start_verification_result;
CREATE SCHEMA pnvs_internal;
CREATE EXTENSION pnvs SCHEMA regress_pnvs_evil;
DROP SCHEMA pnvs_internal;

CREATE EXTENSION pnvs SCHEMA regress_pnvs_evil;
DROP EXTENSION pnvs;
RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA regress_pnvs_evil CASCADE;
DROP TABLE pg_temp.text, pg_temp.start_verification_result, pg_temp.search_verification_record;
