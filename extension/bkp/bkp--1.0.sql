-- What can be restored, in SQL: of the mirror of the catalog that the programs of pitr keep in the data directory.
\echo Use "CREATE EXTENSION bkp" to load this file. \quit

CREATE FUNCTION bkp_catalog(
	OUT label text, OUT kind text, OUT status text, OUT started timestamptz, OUT finished timestamptz,
	OUT start_lsn pg_lsn, OUT stop_lsn pg_lsn, OUT timeline int, OUT server_version int,
	OUT database_bytes bigint, OUT stored_bytes bigint, OUT repository text, OUT pinned_until timestamptz,
	OUT note text, OUT verified timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'bkp_catalog'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION bkp_catalog() IS 'base backups in the repository';

CREATE FUNCTION bkp_recovery_window(
	OUT timeline int, OUT earliest timestamptz, OUT latest timestamptz, OUT earliest_lsn pg_lsn,
	OUT latest_lsn pg_lsn, OUT gaps int)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'bkp_recovery_window'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 5
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION bkp_recovery_window() IS 'from when to when can be restored';

CREATE FUNCTION bkp_recovery_target(
	target timestamptz,
	OUT reachable bool, OUT reason text, OUT label text, OUT timeline int, OUT last_commit timestamptz,
	OUT last_commit_xid xid, OUT last_commit_lsn pg_lsn, OUT wal_segments bigint, OUT download_bytes bigint,
	OUT command text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'bkp_recovery_target'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 1
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION bkp_recovery_target(timestamptz) IS
	'what a restore to a time would bring back, and the pitr-restore line for it';

CREATE FUNCTION bkp_restore_points(
	OUT name text, OUT lsn pg_lsn, OUT created timestamptz, OUT timeline int)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'bkp_restore_points'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION bkp_restore_points() IS 'named restore points in the archive';

CREATE FUNCTION bkp_archive_status(
	OUT ready bigint, OUT last_archived text, OUT last_archived_at timestamptz, OUT lag interval,
	OUT last_error text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'bkp_archive_status'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 1
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION bkp_archive_status() IS 'whether archiving keeps up, and what it last failed of';

REVOKE ALL ON FUNCTION bkp_catalog(), bkp_recovery_window(), bkp_recovery_target(timestamptz), bkp_restore_points(),
	bkp_archive_status() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION bkp_catalog(), bkp_recovery_window(), bkp_recovery_target(timestamptz),
	bkp_restore_points(), bkp_archive_status() TO pg_monitor;
