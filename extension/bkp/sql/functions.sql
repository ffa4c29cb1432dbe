-- What the functions answer where it does not depend on backups. Tests with backups are in t/.
CREATE EXTENSION bkp;

-- An answer, or an error that says what to do; whether the server has a mirror of the catalog is not known here.
CREATE FUNCTION answers_or_explains(query text) RETURNS bool LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	EXECUTE 'SELECT count(*) FROM ' || query;
	RETURN true;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN hint <> '';
END $$;
SELECT query, answers_or_explains(query) FROM unnest(ARRAY['bkp_catalog()', 'bkp_recovery_window()',
	'bkp_recovery_target(now())', $$bkp_recovery_target('infinity')$$, $$bkp_recovery_target('-infinity')$$,
	'bkp_restore_points()', 'bkp_mirror()']) AS query;

-- Nothing is known of no time.
SELECT * FROM bkp_recovery_target(NULL);

SELECT ready >= 0 AS ready, lag >= '0' AS lag FROM bkp_archive_status();

-- No row on a server that is not in recovery.
SELECT * FROM bkp_restore_progress();

-- Restore points: what can be refused before anything is looked up.
SELECT bkp_create_restore_point('');
SELECT bkp_create_restore_point(repeat('x', 64));
SELECT bkp_create_restore_point(NULL) IS NULL AS is_null;
SET client_min_messages = error; -- where there is no mirror a warning says that the name was not looked up
SELECT bkp_create_restore_point('regress_bkp ' || clock_timestamp()) BETWEEN '0/0' AND pg_current_wal_insert_lsn() AS is_made;
RESET client_min_messages;

-- Settings.
SHOW bkp.stale_after;
SET bkp.stale_after = '90 min';
SHOW bkp.stale_after;
SET bkp.stale_after = 0;
SHOW bkp.stale_after;
-- The text names the unit from 17 on.
\set VERBOSITY sqlstate
SET bkp.stale_after = -1;
\set VERBOSITY default
SET bkp.stale_later = 1;

DROP FUNCTION answers_or_explains;
DROP EXTENSION bkp;
