#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "check.h"
#include "repo/branch_mark.h"
#include "repo/wal_survey.h"

/* Where a standby is. */
struct standby {
	uint64_t system_identifier;
	uint32_t timeline, segment_size;
	bool is_descended; /* the timeline is only one that the standby came by: it may be on one that left it */
	uint64_t replayed;
	char last_commit[64]; /* as the server says it; "-": none since it was started */
	char branch[BRANCH_NAME_MAX + 2];
};

/* The timeline: that of the last restartpoint, or of the last page that was written, can be older than that of what has
 * been replayed since; so it is asked again with the replication protocol. */
static const char standby_query[] =
	"SELECT CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN '' ELSE pg_catalog.concat_ws(' ', "
	"(SELECT system_identifier FROM pg_catalog.pg_control_system()), "
	"(SELECT GREATEST(c.timeline_id, r.min_recovery_end_timeline) FROM pg_catalog.pg_control_checkpoint() c, "
	"pg_catalog.pg_control_recovery() r), "
	"pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size')), "
	"COALESCE(pg_catalog.pg_last_wal_replay_lsn()::text, '0/0'), "
	"COALESCE(pg_catalog.pg_last_xact_replay_timestamp()::text, '-')) END";

static bool standby_parse(const char *text, struct standby *standby, struct error *err)
{
	char lsn[LSN_TEXT_SIZE];

	if (strstr(text, " 0/0 ") != NULL)
		return fail(err, ERROR_NOT_FOUND, "the standby has replayed nothing yet");
	if (sscanf(text, "%" SCNu64 " %" SCNu32 " %" SCNu32 " %19s %63[^\n]", &standby->system_identifier,
		   &standby->timeline, &standby->segment_size, lsn, standby->last_commit) == 5 &&
	    lsn_parse(lsn, &standby->replayed) && wal_segment_size_valid(standby->segment_size))
		return true;
	return fail(err, ERROR_CORRUPT, "the server's answer \"%.200s\" is not understood", text);
}

/* IDENTIFY_SYSTEM says the timeline that is replayed (IdentifySystem() of walsender.c). Who may not ask it has what the
 * control file says. */
static void timeline_ask(const struct server_address *address, struct standby *standby)
{
	struct server *server SERVER_CLEANUP = NULL;
	struct server_identity identity;
	struct error err = {0};
	bool needs_password;

	standby->is_descended = !server_open(address, SERVER_REPLICATION, &server, &needs_password, &err) ||
				!server_identify(server, &identity, &err);
	if (standby->is_descended)
		log_debug("the standby's timeline cannot be asked: %s", err.text);
	else
		standby->timeline = identity.timeline;
}

static bool standby_ask(struct server *server, struct standby *standby, struct error *err)
{
	const char *text;
	BUF(answer, 4 * KiB);

	TRY(server_query(server, standby_query, 0, NULL, &answer, err));
	TRY(buf_text(&answer, &text, err));
	if (*text == '\0')
		return fail(err, ERROR_NOT_FOUND, "the server is not a standby: there is nothing to promote");
	TRY(server_read_setting(server, BRANCH_SETTING, standby->branch, sizeof(standby->branch), err));
	return standby_parse(text, standby, err);
}

/* NOT_FOUND: it is no standby. */
static bool standby_read(const struct options *options, struct standby *standby, struct error *err)
{
	struct check_way way CHECK_WAY_CLEANUP = {.password = ""};
	struct server *server SERVER_CLEANUP = NULL;

	TRY(check_way_find(options, NULL, &way, err));
	TRY(check_connect(options, &way, &server, err));
	TRY(standby_ask(server, standby, err));
	timeline_ask(&way.address, standby);
	return true;
}

static bool branch_apply(struct repo *repo, const struct standby *standby, struct error *err)
{
	struct layout layout;

	if (standby->branch[0] == '\0' || strcmp(standby->branch, layout_branch(&repo->layout)) == 0)
		return true;
	TRY(branch_chain_read(repo, standby->branch, &layout, err));
	repo->layout = layout;
	return true;
}

/* What the archive holds behind the standby's place on one path. */
struct ahead {
	struct checking *checking;
	const struct standby *standby;
	const struct wal_path *path;
	struct wal_range range;
	struct wal_survey survey;
	uint64_t last;
};

static void commit_format(const struct wal_survey *survey, char *text, size_t size)
{
	char time[CLOCK_TEXT_SIZE];

	if (survey->last_commit.lsn == 0) {
		(void) snprintf(text, size, "no commit among it");
		return;
	}
	time_format_local(survey->last_commit.time_us, time);
	(void) snprintf(text, size, "last commit %s, transaction %" PRIu32, time, survey->last_commit.xid);
}

static bool loss_detail(struct finding *finding, const struct ahead *ahead, const struct wal_name *first,
			const struct wal_name *last, struct error *err)
{
	finding->detail = json_object();
	TRY(lsn_put(finding->detail, "replayed_lsn", ahead->standby->replayed, err));
	TRY(lsn_put(finding->detail, "archive_lsn", ahead->survey.end, err));
	TRY(json_put(finding->detail, "first", json_string(first->text), err));
	return json_put(finding->detail, "last", json_string(last->text), err);
}

static bool loss_report(const struct ahead *ahead, uint64_t first_number, struct error *err)
{
	struct wal_name first, last;
	char commit[128], lsn[2][LSN_TEXT_SIZE];
	uint64_t count = ahead->survey.reached - first_number + 1;

	wal_range_name(&ahead->range, first_number, &first);
	wal_range_name(&ahead->range, ahead->survey.reached, &last);
	commit_format(&ahead->survey, commit, sizeof(commit));
	lsn_format(ahead->standby->replayed, lsn[0]);
	lsn_format(ahead->survey.end, lsn[1]);
	struct finding *finding = finding_add(
		ahead->checking, CHECK_CRITICAL,
		"promoting now would lose what is in %" PRIu64 " archived segment%s, \"%s\" to \"%s\": the standby has "
		"replayed to LSN %s, the archive goes to %s (%s)",
		count, count == 1 ? "" : "s", first.text, last.text, lsn[0], lsn[1], commit);
	(void) snprintf(finding->hint, sizeof(finding->hint),
			"Wait until it has replayed them, or look in its log for what keeps restore_command from "
			"fetching them.%s",
			last.timeline == ahead->standby->timeline
				? ""
				: " It goes over to another timeline only where recovery_target_timeline is 'latest'.");
	return loss_detail(finding, ahead, &first, &last, err);
}

/* Damage and holes behind the standby's place: what lies behind them it will never replay. */
static void breaks_report(const struct ahead *ahead, uint64_t first)
{
	uint64_t missing, missing_last;
	char text[WAL_NAME_MAX * 2 + 16];
	struct wal_name name[2];

	if (ahead->survey.is_damaged)
		finding_add(ahead->checking, CHECK_CRITICAL,
			    "the standby cannot replay further from the archive: %.700s", ahead->survey.damage.text);
	if (!wal_range_gap(&ahead->range, first, &missing, &missing_last))
		return;
	wal_range_name(&ahead->range, missing, &name[0]);
	wal_range_name(&ahead->range, missing_last, &name[1]);
	(void) snprintf(text, sizeof(text), "\"%s\" to \"%s\"", name[0].text, name[1].text);
	finding_add(ahead->checking, CHECK_CRITICAL,
		    "the archive lacks %s, and has WAL behind it: the standby cannot replay that", text);
}

static void complete_report(const struct ahead *ahead)
{
	const struct standby *standby = ahead->standby;
	char lsn[LSN_TEXT_SIZE], commit[sizeof(standby->last_commit) + 32] = "";

	uint32_t timeline = timeline_history_at(&ahead->path->history, standby->replayed - 1);

	lsn_format(standby->replayed, lsn);
	if (standby->last_commit[0] != '-')
		(void) snprintf(commit, sizeof(commit), " (last commit %s)", standby->last_commit);
	finding_add(ahead->checking, CHECK_OK,
		    "the standby has replayed everything that is in the archive, up to LSN %s on timeline %" PRIu32
		    "%s",
		    lsn, timeline, commit);
}

static bool ahead_look(struct ahead *ahead, struct error *err)
{
	const struct standby *standby = ahead->standby;
	uint64_t first = wal_segment_of(standby->replayed, standby->segment_size);
	int findings = ahead->checking->finding_count;

	TRY(wal_range_list(ahead->checking->repo, ahead->path, standby->segment_size, standby->replayed, &ahead->range,
			   err));
	TRY(wal_range_add_partial(&ahead->range, err));
	if (wal_range_reach(&ahead->range, first, &ahead->last)) {
		ahead->survey = (struct wal_survey){.first = first,
						    .last = ahead->last,
						    .from = standby->replayed,
						    .jobs = (int) ahead->checking->options->jobs};
		TRY(wal_survey_run(ahead->checking->repo, &ahead->range, &ahead->survey, err));
		if (ahead->survey.last_record >= standby->replayed)
			TRY(loss_report(ahead, first, err));
	}
	breaks_report(ahead, first);
	if (ahead->checking->finding_count == findings)
		complete_report(ahead);
	return true;
}

/* Is the standby on this path? */
static bool path_has_standby(const struct wal_path *path, const struct standby *standby)
{
	const struct timeline_history *history = &path->history;
	uint32_t timeline = timeline_history_at(history, standby->replayed - 1);

	if (!standby->is_descended)
		return timeline == standby->timeline;
	for (int i = 0; i < history->count; i++)
		if (history->path[i].timeline == standby->timeline)
			return timeline >= standby->timeline;
	return false;
}

/* Timelines that may have left the standby's, for all that is known. */
static void unknown_report(struct checking *checking, const struct standby *standby)
{
	const struct lineage *lineage = &checking->lineage;

	if (!lineage->has_unknown || lineage->unknown_timeline <= standby->timeline)
		return;
	struct finding *finding = finding_add(checking, CHECK_CRITICAL,
					      "what timeline %" PRIu32
					      " descends from is not known, so it cannot be told whether the standby "
					      "has replayed all of its way: %.600s",
					      lineage->unknown_timeline, lineage->unknown_why.text);
	(void) snprintf(finding->hint, sizeof(finding->hint),
			"Archive %08" PRIX32 ".history again from the pg_wal of the server that made it.",
			lineage->unknown_timeline);
}

/* Every way on from where the standby is; a branch of the archive that has left before is another history. */
static bool paths_look(struct checking *checking, const struct standby *standby, struct error *err)
{
	const struct lineage *lineage = &checking->lineage;
	bool found = false;

	TRY(lineage_read(checking->repo, standby->segment_size, &checking->lineage, err));
	for (int i = 0; i < lineage->count; i++) {
		const struct wal_path *path = lineage->paths[i];

		if (!lineage->is_end[i] || !lineage_is_of(path, layout_branch(&checking->repo->layout)) ||
		    !path_has_standby(path, standby))
			continue;
		struct ahead ahead = {.checking = checking, .standby = standby, .path = path};
		bool done = ahead_look(&ahead, err);
		wal_range_release(&ahead.range);
		TRY(done);
		found = true;
	}
	if (!found)
		finding_add(checking, CHECK_CRITICAL,
			    "the archive knows nothing of timeline %" PRIu32
			    ", on which the standby is: cannot tell what it has not replayed",
			    standby->timeline);
	unknown_report(checking, standby);
	return true;
}

static bool archive_compare(struct checking *checking, const struct standby *standby, struct error *err)
{
	TRY(repo_open(checking->options, standby->system_identifier, &checking->repo, err));
	TRY(branch_apply(checking->repo, standby, err));
	return paths_look(checking, standby, err);
}

bool check_promote(struct checking *checking, struct error *err)
{
	struct standby standby = {.timeline = 0};
	struct error why = {0};
	char lsn[LSN_TEXT_SIZE];

	if (!standby_read(checking->options, &standby, err)) {
		finding_add(checking, CHECK_UNKNOWN, "%s", err->text);
		return true;
	}
	if (archive_compare(checking, &standby, &why))
		return true;
	lsn_format(standby.replayed, lsn);
	struct finding *finding = finding_add(
		checking, CHECK_CRITICAL,
		"cannot tell whether the standby has replayed all that the archive holds; it has replayed to LSN %s on "
		"timeline %" PRIu32 ": %.600s",
		lsn, standby.timeline, why.text);
	(void) snprintf(finding->hint, sizeof(finding->hint), "%s", why.hint);
	return true;
}
