/* The pure parts of pitr-restore: what a target is understood as, which path of timelines is taken, which settings are
 * written. They belong to a program and not to the library, so their files are included whole. */
#include "tap.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../restore/files/directory.c"
#include "../../restore/files/in_place.c"
#include "../../restore/files/tablespace_map.c"
#include "../../restore/plan/plan.c"
#include "../../restore/plan/reach.c"
#include "../../restore/plan/reach_why.c"
#include "../../restore/plan/route.c"
#include "../../restore/plan/search.c"
#include "../../restore/plan/tablespace_created.c"
#include "../../restore/plan/target.c"
#include "../../restore/plan/verify_wal.c"
#include "../../restore/recovery/recovery_conf.c"
#include "../../restore/recovery/trial.c"

#define NOW_US INT64_C(1700000000000000)

static bool parse(const struct options *options, struct target *target, struct error *err)
{
	*err = (struct error){0};
	return target_parse(options, NOW_US, target, err);
}

static void test_targets(void)
{
	struct target target;
	struct error err;
	char text[TARGET_TEXT_SIZE];

	ok(parse(&(struct options){0}, &target, &err) && target.kind == TARGET_LATEST &&
		   target.action == ACTION_PROMOTE,
	   "no target is the latest, and promotes");
	ok(parse(&(struct options){.target_time = "2023-01-02T03:04:05.5Z"}, &target, &err) &&
		   target.kind == TARGET_TIME && target.action == ACTION_PAUSE &&
		   target.time_us == INT64_C(1672628645500000),
	   "a time pauses");
	target_format(&target, text);
	ok(strstr(text, "2023-01-02 03:04:05.500000+00") != NULL, "what was understood is printed in UTC");
	ok(!parse(&(struct options){.target_time = "2099-01-01"}, &target, &err) && err.kind == ERROR_USAGE,
	   "a time in the future is refused");
	ok(parse(&(struct options){.target_lsn = "16/B374D848", .target_exclusive = true}, &target, &err) &&
		   target.lsn == UINT64_C(0x16B374D848) && target.exclusive,
	   "an LSN, excluded");
	ok(!parse(&(struct options){.target_lsn = "0/0"}, &target, &err), "LSN 0/0 is none");
	ok(parse(&(struct options){.target_xid = "4294967295"}, &target, &err) && target.xid == UINT32_MAX,
	   "the largest xid");
	ok(!parse(&(struct options){.target_xid = "4294967296"}, &target, &err), "a xid with an epoch is refused");
	ok(!parse(&(struct options){.target_xid = "2"}, &target, &err), "xids below 3 are no transactions");
	ok(!parse(&(struct options){.target_xid = "-5"}, &target, &err), "nor are negative ones");
	ok(!parse(&(struct options){.target_xid = "12x"}, &target, &err), "nor others");
	ok(!parse(&(struct options){.target_xid = "5", .target_immediate = true}, &target, &err),
	   "two targets are refused");
	ok(!parse(&(struct options){.target_name = "", .target_timeline = NULL}, &target, &err),
	   "an empty name is none");
	ok(!parse(&(struct options){.target_name = "0123456789012345678901234567890123456789012345678901234567890123"},
		  &target, &err),
	   "a name of 64 bytes is too long");
	ok(!parse(&(struct options){.target_name = "x", .target_exclusive = true}, &target, &err),
	   "a restore point cannot be excluded");
	ok(parse(&(struct options){.standby = true, .target_timeline = "latest"}, &target, &err) &&
		   target.kind == TARGET_STANDBY && target.timeline == TIMELINE_LATEST,
	   "a standby on the latest timeline");
	ok(!parse(&(struct options){.standby = true, .target_action = "promote"}, &target, &err),
	   "a standby has no action");
	ok(parse(&(struct options){.target_action = "shutdown", .target_timeline = "3"}, &target, &err) &&
		   target.action == ACTION_SHUTDOWN && target.timeline_number == 3,
	   "an action and a numbered timeline");
	ok(!parse(&(struct options){.target_timeline = "new/est"}, &target, &err),
	   "an unknown timeline word is refused");
	ok(!parse(&(struct options){.target_action = "stop"}, &target, &err), "an unknown action is refused");
}

/* 1 ends at 0x1000 where 2 begins; 3 begins on 1 at 0x800. */
#define MAIN                                                        \
	{                                                           \
		.branch_count = 1, .branches = { {.name = "main"} } \
	}
static struct wal_path path_1 = {MAIN, {1, {{1, UINT64_MAX}}}};
static struct wal_path path_2 = {MAIN, {2, {{1, 0x1000}, {2, UINT64_MAX}}}};
static struct wal_path path_3 = {MAIN, {2, {{1, 0x800}, {3, UINT64_MAX}}}};
static struct backup any_backup = {.segment_size = 1 << 20};

static struct reach reach_of(const struct wal_path *path, bool contains, uint64_t point, uint32_t timeline)
{
	return (struct reach){.reached = true,
			      .contains = contains,
			      .at_end = !contains,
			      .path = path,
			      .backup = &any_backup,
			      .point = point,
			      .point_timeline = timeline};
}

static struct reach reach_fails(const struct wal_path *path, const char *text)
{
	struct reach reach = {.path = path, .backup = &any_backup};

	(void) fail(&reach.why, ERROR_USAGE, "%s", text);
	return reach;
}

static int choose(enum target_kind kind, const struct reach *reaches, const bool *is_end, int count, struct error *err)
{
	int chosen = -1;

	*err = (struct error){0};
	return plan_choose(kind, reaches, is_end, count, &chosen, err) ? chosen : -1;
}

static void test_choices(void)
{
	struct error err;
	const bool ends[] = {false, true, true};
	struct reach same[] = {reach_of(&path_1, true, 0x700, 1), reach_of(&path_2, true, 0x700, 1),
			       reach_of(&path_3, true, 0x700, 1)};
	struct reach two[] = {reach_fails(&path_1, "a"), reach_of(&path_2, true, 0x1100, 2),
			      reach_of(&path_3, true, 0x900, 3)};
	struct reach one[] = {reach_of(&path_1, false, 0x900, 1), reach_fails(&path_2, "hole"),
			      reach_of(&path_3, true, 0x900, 3)};
	struct reach behind[] = {reach_of(&path_1, false, 0xF00, 1), reach_of(&path_2, false, 0x1100, 2),
				 reach_fails(&path_3, "hole")};
	struct reach none[] = {reach_fails(&path_1, "first"), reach_fails(&path_2, "second"),
			       reach_fails(&path_3, "third")};

	ok(choose(TARGET_TIME, same, ends, 3, &err) == 0,
	   "one point on several paths is one target: the oldest timeline");
	ok(choose(TARGET_TIME, two, ends, 3, &err) == -1 && err.kind == ERROR_USAGE &&
		   strstr(err.hint, "--target-timeline=2 or --target-timeline=3") != NULL,
	   "two different points: both are named");
	ok(choose(TARGET_TIME, one, ends, 3, &err) == 2,
	   "the path that surely contains it wins over one that ends before");
	ok(choose(TARGET_TIME, behind, ends, 3, &err) == 1,
	   "behind every end: the end, not what was left for another timeline");
	ok(choose(TARGET_TIME, none, ends, 3, &err) == -1 && strcmp(err.text, "third") == 0,
	   "none: the reason of the youngest end");
	ok(choose(TARGET_LATEST, behind, ends, 3, &err) == -1 && strstr(err.text, "with a hole") != NULL,
	   "the latest with two ends is for the user to choose, even if one has a hole");
	ok(choose(TARGET_LATEST, behind, (const bool[]){false, true, false}, 3, &err) == 1, "the latest with one end");
	ok(choose(TARGET_LATEST, none, (const bool[]){false, true, false}, 3, &err) == -1 &&
		   strcmp(err.text, "second") == 0,
	   "the latest that cannot be reached says why");
}

static void test_paths(void)
{
	struct backup backup = {.branch = "main",
				.segment_size = 1 << 20,
				.start_timeline = 1,
				.start_lsn = 0x700,
				.stop_timeline = 1,
				.stop_lsn = 0x800};

	ok(wal_path_has_backup(&path_1, &backup) && wal_path_has_backup(&path_2, &backup) &&
		   wal_path_has_backup(&path_3, &backup),
	   "a backup that ends where a timeline leaves is on its path");
	backup.stop_lsn = 0x801;
	ok(wal_path_has_backup(&path_2, &backup) && !wal_path_has_backup(&path_3, &backup),
	   "one that ends behind is not");
	backup.stop_timeline = 2;
	backup.stop_lsn = 0x1200;
	ok(wal_path_has_backup(&path_2, &backup) && !wal_path_has_backup(&path_1, &backup),
	   "a backup across a switch is on the younger path only");
	(void) strcpy(backup.branch, "copy");
	ok(!wal_path_has_backup(&path_2, &backup), "one of another branch is on none");
}

static struct plan plan_of(enum stop_kind stop)
{
	static struct backup backup = {.label = "L"};

	return (struct plan){
		.reach = {.stop = stop, .path = &path_2, .backup = &backup, .lsn = UINT64_C(0x16B374D848)}};
}

static bool conf_has(const struct plan *plan, const char *command, const char *line)
{
	BUF(conf, RECOVERY_CONF_SIZE_MAX);
	struct error err;
	const char *text;

	struct recovery_settings settings = {.restore_command = command,
					     .archive_command = "y",
					     .branch = plan->target.kind == TARGET_STANDBY ? NULL : "copy",
					     .repository = "id"};

	return recovery_conf_make(plan, &settings, &conf, &err) && buf_text(&conf, &text, &err) &&
	       strstr(text, line) != NULL;
}

static void test_settings(void)
{
	struct plan plan = plan_of(STOP_LSN);

	ok(conf_has(&plan, "x", "\nrecovery_target_lsn = '16/B374D848'\n"), "an LSN target");
	ok(conf_has(&plan, "x", "\nrecovery_target_timeline = '2'\n"), "the timeline is a number");
	ok(conf_has(&plan, "x", "\nrecovery_target_inclusive = 'on'\n"), "inclusive is said");
	ok(conf_has(&plan, "x", "\npitr.branch = 'copy'\npitr.repository = 'id'\narchive_command = 'y'\n"),
	   "a copy archives to its branch");
	ok(conf_has(&plan, "'it''s' \\ %f", "\nrestore_command = '''it''''s'' \\\\ %f'\n"),
	   "quotes and backslashes are doubled");
	plan.target = (struct target){.kind = TARGET_TIME, .time_us = INT64_C(1672628645500000), .exclusive = true};
	plan.reach.stop = STOP_TIME;
	plan.reach.exclusive = true;
	ok(conf_has(&plan, "x", "\nrecovery_target_time = '2023-01-02 03:04:05.500000+00'\n"),
	   "a time with its offset");
	ok(conf_has(&plan, "x", "\nrecovery_target_inclusive = 'off'\n"), "exclusive is said");
	plan = plan_of(STOP_NAME);
	plan.target = (struct target){.kind = TARGET_NAME, .name = "o'clock"};
	ok(conf_has(&plan, "x", "\nrecovery_target_name = 'o''clock'\n"), "a restore point's name is quoted");
	(void) snprintf(plan.target.name, sizeof(plan.target.name), "a\nb");
	ok(!conf_has(&plan, "x", ""), "a name with a line break cannot be written, and is refused");
	plan = plan_of(STOP_NEVER);
	plan.target.kind = TARGET_STANDBY;
	ok(conf_has(&plan, "x", "\nrecovery_target_timeline = '2'\n") &&
		   !conf_has(&plan, "x", "recovery_target_action") && !conf_has(&plan, "x", "archive_command") &&
		   conf_has(&plan, "x", "\nrecovery_target_lsn = ''\n") && !conf_has(&plan, "x", "primary_conninfo"),
	   "a standby has no target");
	plan.target.timeline = TIMELINE_LATEST;
	ok(conf_has(&plan, "x", "\nrecovery_target_timeline = 'latest'\n"),
	   "told so, a standby follows the latest timeline");
}

static void test_cleaning(void)
{
	static const char old[] =
		"# comment\nwork_mem = '4MB'\nprimary_conninfo = 'host=a'\n  Recovery_Target_Time='x'\n"
		"recovery_target='immediate'\narchive_command = 'keep'\narchive_mode = 'on'\n"
		"restore_command = 'cp'\nmy.restore_command = 'keep'\npitr.branch = 'other'\nport = 1";
	BUF(cleaned, MiB);
	struct error err;
	const char *text = NULL;

	ok(recovery_conf_clean(bytes_of_text(old), bytes_of_text("a = 'b'\nWork_mem = '1MB'\n"), &cleaned, &err) &&
		   buf_text(&cleaned, &text, &err),
	   "old settings are cleaned");
	is_text(text,
		"# comment\narchive_command = 'keep'\narchive_mode = 'on'\nmy.restore_command = 'keep'\nport = 1\n",
		"those of another recovery or branch go, and those that are said anew; the others stay");
}

static bool command_is(const char *text, const char *expected)
{
	BUF(doubled, MiB);
	BUF(expanded, MiB);
	struct error err;
	const char *got;

	return append_percent_doubled(&doubled, text, &err) && buf_append_text(&doubled, " %f %p", &err) &&
	       buf_text(&doubled, &got, &err) && command_expand(got, "NAME", &expanded, &err) &&
	       buf_text(&expanded, &got, &err) && strcmp(got, expected) == 0;
}

static void test_command(void)
{
	ok(command_is("a%fb%%", "a%fb%% NAME pg_wal/RECOVERYXLOG"), "a percent sign in a path survives PostgreSQL");
}

static bool map_is(const char *map, const struct place *place, const char *expected)
{
	BUF(rewritten, MiB);
	struct error err;
	const char *text;

	return tablespace_map_rewrite(bytes_of_text(map), place, &rewritten, &err) &&
	       buf_text(&rewritten, &text, &err) && strcmp(text, expected) == 0;
}

static void test_map(void)
{
	struct place_tablespace tablespaces[] = {
		{.oid = 16384, .is_linked = true, .is_mapped = true, .source = "/a b", .target = "/new\\x"},
		{.oid = 16385, .is_linked = true, .source = "/c\nd", .target = "/c\nd"},
	};
	struct place place = {.tablespace_count = 2, .tablespaces = tablespaces};

	ok(map_is("16384 /a b\n16385 /c\\\nd\n", &place, "16384 /new\\\\x\n16385 /c\\\nd\n"),
	   "a moved tablespace gets its new place, the other keeps its line");
	ok(map_is("", &place, ""), "an empty map stays empty");
	ok(!map_is("16384 /elsewhere\n", &place, "") && !map_is("16386 /a\n", &place, "") && !map_is("x", &place, "") &&
		   !map_is("16384x /a b\n", &place, ""),
	   "a map that does not agree with the backup is refused");
}

/* Which record is replayed, by where replay stops; the backup begins at 100, the record at 200, the one before at 180.
 */
static void test_tablespace_replayed(void)
{
	static const struct {
		enum stop_kind stop;
		bool exclusive;
		uint64_t lsn;
		bool is_replayed;
	} rows[] = {
		{STOP_LSN, false, 200, true},  {STOP_LSN, false, 199, true},	    {STOP_LSN, false, 181, true},
		{STOP_LSN, false, 180, false}, {STOP_LSN, true, 200, false},	    {STOP_LSN, true, 201, true},
		{STOP_LSN, false, 300, true},  {STOP_TIME, false, 200, false},	    {STOP_TIME, false, 210, true},
		{STOP_XID, false, 190, false}, {STOP_IMMEDIATE, false, 190, false}, {STOP_NEVER, false, 150, true},
	};
	struct backup backup = {.start_lsn = 100};
	struct wal_tablespace created = {.lsn = 200, .previous = 180};
	struct reach reach = {.backup = &backup};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		reach.stop = rows[i].stop;
		reach.exclusive = rows[i].exclusive;
		reach.lsn = rows[i].lsn;
		ok(is_replayed(&reach, &created) == rows[i].is_replayed,
		   "stop %d%s at %d: CREATE TABLESPACE at 200 is %s", (int) rows[i].stop,
		   rows[i].exclusive ? " before" : "", (int) rows[i].lsn,
		   rows[i].is_replayed ? "replayed" : "not replayed");
	}
	created.lsn = 99;
	ok(!is_replayed(&reach, &created), "one before the backup is not");
}

/* The directory of a tablespace that is created: what is there, and what -T and the backup have to do with it. */
static void test_tablespace_places(void)
{
	char base[] = "/tmp/restore_plan.XXXXXX", missing[64], used[64], mapping[3][160];
	struct backup backup = {.start_lsn = 100, .stop_lsn = 150, .segment_size = 1 << 20};
	struct wal_path path = {MAIN, {1, {{1, UINT64_MAX}}}};
	struct tablespace own = {.oid = 7};
	struct reach reach = {.backup = &backup, .path = &path, .stop = STOP_NEVER, .understood = true};
	struct wal_tablespaces *created = &reach.tablespaces;
	struct options options = {.jobs = 1};
	struct error err;

	if (mkdtemp(base) == NULL)
		abort();
	(void) snprintf(missing, sizeof(missing), "%s/=missing", base);
	(void) snprintf(used, sizeof(used), "%s/used", base);
	created->count = 1;
	created->items[0] = (struct wal_tablespace){.lsn = 200, .previous = 180, .oid = 7};
	strcpy(created->items[0].path, base);
	ok(tablespaces_created_check(NULL, &reach, &options, &err), "an empty directory may become a tablespace");
	if (mkdir(used, 0700) != 0)
		abort();
	ok(!tablespaces_created_check(NULL, &reach, &options, &err) && err.kind == ERROR_USAGE &&
		   strstr(err.text, "in use") != NULL &&
		   strstr(err.hint, "--target-lsn=0/C8 --target-exclusive") != NULL,
	   "one with something in it may not: %s (%s)", err.text, err.hint);
	backup.stop_lsn = 201;
	ok(!tablespaces_created_check(NULL, &reach, &options, &err) &&
		   strstr(err.hint, "base backup taken since") != NULL && strstr(err.hint, "--target-lsn") == NULL,
	   "created while the backup was taken, no target of it is before: %s", err.hint);
	strcpy(created->items[0].path, missing);
	ok(!tablespaces_created_check(NULL, &reach, &options, &err) && strstr(err.text, "does not exist") != NULL &&
		   strstr(err.hint, "Create it") != NULL,
	   "nor where there is none: %s", err.hint);
	strcpy(own.path, missing);
	backup.tablespaces = &own;
	backup.tablespace_count = 1;
	ok(tablespaces_created_check(NULL, &reach, &options, &err),
	   "a tablespace of the backup is restored to its place");
	(void) snprintf(mapping[0], sizeof(mapping[0]), "%s/\\=missing=/else", base);
	options.tablespace_mapping.items[options.tablespace_mapping.count++] = mapping[0];
	ok(!tablespaces_created_check(NULL, &reach, &options, &err),
	   "unless -T moves it: replay brings the old place back");
	(void) snprintf(mapping[1], sizeof(mapping[1]), "/old=%s/", used);
	strcpy(created->items[0].path, used);
	ok(tablespaces_created_check(NULL, &reach, &options, &err), "another empty directory is free");
	options.tablespace_mapping.items[options.tablespace_mapping.count++] = mapping[1];
	ok(!tablespaces_created_check(NULL, &reach, &options, &err) && strstr(err.text, "-T puts another") != NULL,
	   "but not where -T puts another tablespace");
	ok(rmdir(used) == 0 && rmdir(base) == 0, "nothing was written");
}

int main(void)
{
	test_targets();
	test_choices();
	test_paths();
	test_settings();
	test_cleaning();
	test_command();
	test_map();
	test_tablespace_replayed();
	test_tablespace_places();
	return done_testing();
}
