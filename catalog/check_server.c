#include <string.h>

#include "check.h"
#include "pg/control_file.h"
#include "repo/divergence.h"

/* The server here writes WAL that the repository has otherwise: it is a copy that still archives, or its copy was
 * faster. Its archiver fails at every try, while nothing is missing from the archive. */
static void diverged_add(struct checking *checking, const struct divergence *divergence)
{
	const char *pgdata = checking->options->pgdata, *branch = layout_branch(&checking->repo->layout);
	char writer[WAL_WRITER_TEXT_SIZE];
	struct finding *finding;

	wal_writer_format(&divergence->writer, writer);
	if (divergence->is_missing)
		finding =
			finding_add(checking, CHECK_CRITICAL,
				    "the server in \"%.300s\" has WAL that does not belong to the branch \"%s\", from "
				    "\"%s\" on: none of it is archived",
				    pgdata, branch, divergence->name.text);
	else
		finding = finding_add(checking, CHECK_CRITICAL,
				      "two servers write the same history: \"%s\" of the server in \"%.300s\" is not "
				      "what is stored, by %s; none of its WAL from there on is archived",
				      divergence->name.text, pgdata, writer);
	(void) snprintf(
		finding->hint, sizeof(finding->hint),
		"If this server is the one to continue, run: pitr-catalog fork -D %.200s. If it is a copy, turn "
		"its archiving off.",
		pgdata);
}

bool check_server(struct checking *checking, struct error *err)
{
	const char *branch = layout_branch(&checking->repo->layout), *production = checking->lineage.production;
	struct control_file control;
	struct divergence divergence;

	if (!checking->has_server)
		return true;
	TRY(control_file_read(checking->options->pgdata, &control, err));
	TRY(divergence_find(checking->repo, checking->options->pgdata, &control, &divergence, err));
	if (divergence.is_found)
		diverged_add(checking, &divergence);
	else if (production[0] != '\0' && strcmp(branch, production) != 0)
		finding_add(checking, CHECK_WARNING,
			    "this server archives to the branch \"%s\", but \"%s\" is production: restores take the "
			    "latest from "
			    "there",
			    branch, production);
	else
		finding_add(checking, CHECK_OK, "the server's WAL is what is stored");
	return true;
}
