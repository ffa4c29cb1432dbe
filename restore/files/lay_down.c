#include "files/lay_down.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "pg/control_file.h"
#include "repo/branch_mark.h"
#include "repo/local_document.h"

#define TABLESPACE_MAP_MAX (2 * MiB)

/* Not laid down: what another server's life left behind, and what would be mistaken for our own. Which branch the
 * restored server belongs to is written by who knows. Nor are local documents: what could be restored when the backup
 * was taken, and what archiving failed of then, is not what the restored server should tell. */
static const char *const left_out[] = {"postmaster.pid", "postmaster.opts", "recovery.signal",
				       "standby.signal", PLACE_MARKER,	    BRANCH_MARK_NAME};

struct laying {
	struct repo *repo;
	struct laid *laid;
	struct tree data, included;
	enum batch_how data_how, included_how;
	bool has_included;
	struct progress progress;
	struct batch *batch;
};

void laid_release(struct laid *laid)
{
	buf_release(&laid->control);
	buf_release(&laid->tablespace_map);
}

/* Room for the whole of a file that is handed back. */
static bool kept_prepare(const struct manifest_entry *entry, struct buf *kept, struct error *err)
{
	if (kept->size != 0 || entry->size > kept->size_max)
		return fail(err, ERROR_CORRUPT, "\"%s\" is there twice, or too large", entry->path);
	TRY(buf_allocate(kept, (size_t) entry->size, err));
	kept->size = (size_t) entry->size;
	return true;
}

/* Or one that was being written, under a name that begins so. */
static bool is_local_document(const char *path, const struct local_document *document)
{
	size_t length = strlen(document->name);

	return strncmp(path, document->name, length) == 0 && (path[length] == '\0' || path[length] == '.');
}

static bool entry_is_left_out(const struct manifest_entry *entry)
{
	if (is_local_document(entry->path, &LOCAL_CATALOG) || is_local_document(entry->path, &LOCAL_ARCHIVE_FAILURE) ||
	    is_local_document(entry->path, &LOCAL_CHECK))
		return true;
	for (size_t i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++)
		if (strcmp(entry->path, left_out[i]) == 0)
			return true;
	return false;
}

bool lay_down_writes(const struct manifest_entry *entry)
{
	return !entry_is_left_out(entry) && strcmp(entry->path, CONTROL_FILE_NAME) != 0 &&
	       strcmp(entry->path, TABLESPACE_MAP_NAME) != 0;
}

/* Where the content goes that is not to be written as it is; NULL: nowhere. */
static struct buf *kept_of(struct laid *laid, const struct manifest_entry *entry)
{
	if (strcmp(entry->path, CONTROL_FILE_NAME) == 0)
		return &laid->control;
	return strcmp(entry->path, TABLESPACE_MAP_NAME) == 0 ? &laid->tablespace_map : NULL;
}

static bool data_lay(struct laying *laying, const struct manifest_entry *entry, struct error *err)
{
	struct laid *laid = laying->laid;

	if (entry->type == MANIFEST_LINK)
		return fail(err, ERROR_CORRUPT, "\"%s\" must not be a link", entry->path);
	if (entry->type == MANIFEST_DIRECTORY) {
		if (strcmp(entry->path, "global") == 0)
			laid->has_group_access = (entry->mode & S_IRGRP) != 0;
		return tree_make_directory(&laying->data, entry->path, entry->mode & 0777, err);
	}
	if (entry_is_left_out(entry))
		return true;
	laid->file_count++;
	struct buf *kept = kept_of(laid, entry);
	if (kept != NULL)
		return kept_prepare(entry, kept, err) && batch_add_kept(laying->batch, entry, kept, err);
	return batch_add(laying->batch, entry, &laying->data, laying->data_how, err);
}

static bool included_lay(struct laying *laying, const struct manifest_entry *entry, struct error *err)
{
	laying->laid->included_count += entry->type == MANIFEST_FILE;
	if (!laying->has_included)
		return true;
	switch (entry->type) {
	case MANIFEST_DIRECTORY:
		return tree_make_directory(&laying->included, entry->path, (entry->mode & 0777) | S_IRWXU, err);
	case MANIFEST_LINK:
		return tree_make_symlink(&laying->included, entry->path, entry->link,
					 laying->included_how == BATCH_REPLACE, err);
	case MANIFEST_FILE:
		break;
	}
	return batch_add(laying->batch, entry, &laying->included, laying->included_how, err);
}

static bool entry_visit(void *context, const struct manifest_entry *entry, struct error *err)
{
	struct laying *laying = context;

	return entry->root == MANIFEST_DATA ? data_lay(laying, entry, err) : included_lay(laying, entry, err);
}

static bool trees_open(struct laying *laying, const struct place *place, struct error *err)
{
	TRY(tree_open(place->pgdata, place->tablespace_count, &laying->data, err));
	for (int i = 0; i < place->tablespace_count; i++)
		if (place->tablespaces[i].is_linked)
			TRY(tree_add_link(&laying->data, place->tablespaces[i].oid, place->tablespaces[i].target, err));
	laying->has_included = place->included_to[0] != '\0';
	return laying->has_included ? tree_open(place->included_to, 0, &laying->included, err) : true;
}

static bool trees_seal(const struct laying *laying, struct error *err)
{
	return tree_seal(&laying->data, err) && tree_seal(&laying->included, err);
}

static bool laid_check(const struct laid *laid, const struct repo *repo, struct error *err)
{
	struct control_file control;

	if (laid->control.size == 0)
		return fail(err, ERROR_CORRUPT, "the backup has no \"%s\"", CONTROL_FILE_NAME);
	TRY(control_file_parse(buf_bytes(&laid->control), &control, err));
	if (control.system_identifier != repo->layout.system_identifier)
		return fail(err, ERROR_CORRUPT, "the \"%s\" of the backup is that of another cluster",
			    CONTROL_FILE_NAME);
	return true;
}

static enum batch_how made_how(bool is_resumed)
{
	return is_resumed ? BATCH_REPLACE : BATCH_MAKE;
}

bool lay_down(struct repo *repo, const struct backup *backup, const struct options *options, const struct place *place,
	      struct laid *laid, struct error *err)
{
	struct laying laying = {.repo = repo,
				.laid = laid,
				.data.fd = -1,
				.included.fd = -1,
				.data_how = place->is_delta ? BATCH_KEEP : made_how(place->is_resumed),
				.included_how = made_how(place->is_included_resumed)};

	*laid = (struct laid){.control.size_max = CONTROL_FILE_SIZE_MAX, .tablespace_map.size_max = TABLESPACE_MAP_MAX};
	progress_init(&laying.progress, "laying down files", backup->database_bytes, options->progress);
	bool done = batch_open(repo, options, &laying.progress, &laying.batch, err) &&
		    trees_open(&laying, place, err) && manifest_each(repo, backup, entry_visit, &laying, err) &&
		    batch_lay(laying.batch, err) && trees_seal(&laying, err) && laid_check(laid, repo, err);
	progress_finish(&laying.progress);
	if (laying.batch != NULL)
		laid->counts = batch_counts(laying.batch);
	batch_close(laying.batch);
	tree_close(&laying.data);
	tree_close(&laying.included);
	return done;
}
