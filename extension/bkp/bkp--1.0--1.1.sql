-- Of a server in recovery, of the mirror itself, and restore points whose names are not taken.
\echo Use "ALTER EXTENSION bkp UPDATE TO '1.1'" to load this file. \quit

CREATE FUNCTION bkp_mirror(
	OUT repository text, OUT cluster text, OUT branch text, OUT written timestamptz, OUT age interval,
	OUT written_by text, OUT backups int, OUT windows int, OUT is_stale bool)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'bkp_mirror'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 1
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION bkp_mirror() IS 'of what, by whom and when the local mirror of the catalog was written';

CREATE FUNCTION bkp_restore_progress(
	OUT state text, OUT target text, OUT target_time timestamptz, OUT target_lsn pg_lsn, OUT label text,
	OUT start_lsn pg_lsn, OUT replayed_lsn pg_lsn, OUT replayed_until timestamptz, OUT timeline int,
	OUT percent float8)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'bkp_restore_progress'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 1
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION bkp_restore_progress() IS 'how far a server in recovery has come; no row on any other';

CREATE FUNCTION bkp_create_restore_point(name text)
RETURNS pg_lsn
AS 'MODULE_PATHNAME', 'bkp_create_restore_point'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION bkp_create_restore_point(text) IS 'makes a named restore point, if the name is not taken';

CREATE FUNCTION bkp_check(OUT name text, OUT status text, OUT message text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'bkp_check'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 20
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION bkp_check() IS 'what pitr-check found when it last ran, and how long ago that was';

REVOKE ALL ON FUNCTION bkp_check(), bkp_mirror(), bkp_restore_progress(), bkp_create_restore_point(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION bkp_check(), bkp_mirror(), bkp_restore_progress() TO pg_monitor;
