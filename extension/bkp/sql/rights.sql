-- What the extension makes, who may call it, and that an older version of it is brought up to date. Nothing here depends on
-- whether the server has a mirror of the catalog.
CREATE EXTENSION bkp VERSION '1.0';

CREATE VIEW of_bkp AS
SELECT p.oid, p.proname COLLATE "C" AS name, p.proconfig, p.prosecdef, p.provolatile, p.proparallel, p.proisstrict
FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid
WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
	AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'bkp');

-- The functions of version 1.0: the contract.
\pset format unaligned
SELECT name, pg_get_function_arguments(oid) AS columns FROM of_bkp ORDER BY name;

ALTER EXTENSION bkp UPDATE;
SELECT extversion, extrelocatable FROM pg_extension WHERE extname = 'bkp';

SELECT name, pg_get_function_arguments(oid) AS columns, pg_get_function_result(oid) AS result FROM of_bkp
WHERE name IN ('bkp_check', 'bkp_mirror', 'bkp_restore_progress', 'bkp_create_restore_point') ORDER BY name;
\pset format aligned

-- A path of its own, whatever the caller's is; never executed as somebody else; explained.
SELECT name, proconfig, prosecdef, provolatile, proparallel, proisstrict, obj_description(oid, 'pg_proc') AS comment
FROM of_bkp ORDER BY name;

-- Who may call what.
CREATE ROLE regress_bkp_anybody;
CREATE ROLE regress_bkp_monitor IN ROLE pg_monitor;
SELECT name, has_function_privilege('regress_bkp_anybody', oid, 'EXECUTE') AS anybody,
	has_function_privilege('regress_bkp_monitor', oid, 'EXECUTE') AS pg_monitor
FROM of_bkp ORDER BY name;

SET ROLE regress_bkp_anybody;
SELECT * FROM bkp_catalog();
SELECT * FROM bkp_recovery_window();
SELECT * FROM bkp_recovery_target(now());
SELECT * FROM bkp_restore_points();
SELECT * FROM bkp_archive_status();
SELECT * FROM bkp_mirror();
SELECT * FROM bkp_check();
SELECT * FROM bkp_restore_progress();
SELECT bkp_create_restore_point('x');
SET ROLE regress_bkp_monitor;
SELECT count(*) FROM bkp_archive_status();
SELECT bkp_create_restore_point('x');
RESET ROLE;

-- What others build on it keeps it.
CREATE VIEW mine AS SELECT label, finished FROM bkp_catalog();
DROP EXTENSION bkp;
CREATE SCHEMA monitoring;
ALTER EXTENSION bkp SET SCHEMA monitoring;
SELECT count(*) FROM monitoring.bkp_archive_status();
DROP VIEW mine;
DROP VIEW of_bkp;
DROP EXTENSION bkp;
DROP SCHEMA monitoring;
DROP ROLE regress_bkp_anybody, regress_bkp_monitor;

-- Only a superuser may make it.
CREATE ROLE regress_bkp_owner;
DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO regress_bkp_owner', current_database()); END $$;
SET ROLE regress_bkp_owner;
CREATE EXTENSION bkp;
RESET ROLE;
DO $$ BEGIN EXECUTE format('REVOKE CREATE ON DATABASE %I FROM regress_bkp_owner', current_database()); END $$;
DROP ROLE regress_bkp_owner;
