#include "pg/wal_event.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "pg/wal_segment.h"

/* XLogRecord (access/xlogrecord.h), the same in 13 to 18. */
#define RECORD_AT_XID	   4
#define RECORD_AT_PREVIOUS 8
#define RECORD_AT_INFO	   16
#define RECORD_AT_MANAGER  17

/* Identifiers of a record's parts (access/xlogrecord.h; TOPLEVEL_XID since 14). Lower ones are block references. */
#define PART_DATA_SHORT	  255
#define PART_DATA_LONG	  254
#define PART_ORIGIN	  253
#define PART_TOPLEVEL_XID 252
#define PART_BLOCK_MAX	  32 /* XLR_MAX_BLOCK_ID */

/* XLogRecordBlockHeader and what follows it. Of an image's flags 13 and 14 have IS_COMPRESSED in bit 1, later ones a
 * bit for each method (BKPIMAGE_COMPRESSED()). */
#define BLOCK_HAS_IMAGE	    0x10
#define BLOCK_SAME_FILE	    0x80
#define IMAGE_HAS_HOLE	    0x01
#define IMAGE_COMPRESSED_13 0x02
#define IMAGE_COMPRESSED_15 0x1C

/* access/rmgrlist.h: the first sixteen have never moved. */
#define MANAGER_XLOG	    0
#define MANAGER_TRANSACTION 1
#define MANAGER_STORAGE	    2
#define MANAGER_DATABASE    4
#define MANAGER_TABLESPACE  5
#define MANAGER_STANDBY	    8
#define MANAGER_HEAP2	    9
#define MANAGER_HEAP	    10

/* catalog/pg_control.h, access/xact.h, catalog/storage_xlog.h, commands/dbcommands_xlog.h (where 15 put
 * CREATE_WAL_LOG before DROP), commands/tablespace.h, storage/standbydefs.h, access/heapam_xlog.h. */
#define INFO_MASK		 0xF0 /* the lower half belongs to xloginsert.c */
#define INFO_CHECKPOINT_SHUTDOWN 0x00
#define INFO_CHECKPOINT_ONLINE	 0x10
#define INFO_SWITCH		 0x40
#define INFO_RESTORE_POINT	 0x70
#define INFO_END_OF_RECOVERY	 0x90
#define INFO_TRANSACTION	 0x70
#define INFO_COMMIT		 0x00
#define INFO_ABORT		 0x20
#define INFO_COMMIT_PREPARED	 0x30
#define INFO_ABORT_PREPARED	 0x40
#define INFO_HAS_XINFO		 0x80
#define INFO_FILE_TRUNCATE	 0x20
#define INFO_CREATE		 0x00
#define INFO_DROP_13		 0x10
#define INFO_CREATE_WAL_LOG	 0x10
#define INFO_DROP_15		 0x20
#define INFO_TABLESPACE_DROP	 0x10
#define INFO_LOCK		 0x00
#define INFO_HEAP		 0x70
#define INFO_INSERT		 0x00
#define INFO_DELETE		 0x10
#define INFO_UPDATE		 0x20
#define INFO_TRUNCATE		 0x30
#define INFO_HOT_UPDATE		 0x40
#define INFO_MULTI_INSERT	 0x50

#define XINFO_DATABASE	    (1u << 0)
#define XINFO_SUBXACTS	    (1u << 1)
#define XINFO_FILES	    (1u << 2)
#define XINFO_INVALIDATIONS (1u << 3)
#define XINFO_TWOPHASE	    (1u << 4)
#define XINFO_DROPPED_STATS (1u << 8) /* since 15 */

#define XID_SIZE	       4
#define OID_SIZE	       4
#define FILE_SIZE	       12
#define LOCK_SIZE	       12
#define INVALIDATION_SIZE      16
#define STATISTICS_SIZE	       12 /* xl_xact_stats_item: kind, database, object */
#define STATISTICS_18	       16 /* with an object of 64 bits */
#define STATISTICS_OF_RELATION 2  /* PGSTAT_KIND_RELATION */

/* CheckPoint of catalog/pg_control.h; 17 fills a gap with wal_level. */
#define CHECKPOINT_AT_TIMELINE 8
#define CHECKPOINT_AT_XID      24
#define CHECKPOINT_AT_TIME     64

/* Microseconds since 2000 to microseconds since 1970; a time beyond what 64 bits hold was never written by a server. */
static int64_t time_from_postgres(uint64_t value)
{
	int64_t time_us;

	return __builtin_add_overflow((int64_t) value, POSTGRES_EPOCH_US, &time_us) ? INT64_MAX : time_us;
}

static void skip(struct reader *reader, uint64_t size)
{
	(void) reader_bytes(reader, size <= SIZE_MAX ? (size_t) size : SIZE_MAX);
}

/* A count and as many items of `size` bytes. When they are not all there the reader goes bad. */
static struct wal_items items_read(struct reader *reader, size_t size)
{
	struct wal_items items = {.count = reader_u32(reader)};
	uint64_t room = reader->bad ? 0 : reader->rest.size / size;

	items.data = reader->rest.data;
	items.shown = items.count <= room ? items.count : (uint32_t) room;
	skip(reader, (uint64_t) items.count * size);
	return items;
}

static struct relation_file file_load(const uint8_t *from)
{
	return (struct relation_file){
		.tablespace = load_u32(from), .database = load_u32(from + 4), .number = load_u32(from + 8)};
}

uint32_t wal_event_xid(const struct wal_event *event, uint32_t at)
{
	assert(at < event->subtransactions.shown);
	return load_u32(event->subtransactions.data + (size_t) at * XID_SIZE);
}

struct relation_file wal_event_file(const struct wal_event *event, uint32_t at)
{
	assert(at < event->files.shown);
	return file_load(event->files.data + (size_t) at * FILE_SIZE);
}

bool wal_event_dropped_relation(const struct wal_event *event, uint32_t at, uint32_t *relation)
{
	assert(at < event->statistics.shown);
	const uint8_t *item = event->statistics.data + (size_t) at * event->statistics_size;

	*relation = load_u32(item + 8);
	return load_u32(item) == STATISTICS_OF_RELATION;
}

uint32_t wal_event_relation(const struct wal_event *event, uint32_t at)
{
	assert(at < event->relations.shown);
	return load_u32(event->relations.data + (size_t) at * OID_SIZE);
}

struct wal_lock wal_event_lock(const struct wal_event *event, uint32_t at)
{
	assert(at < event->locks.shown);
	const uint8_t *lock = event->locks.data + (size_t) at * LOCK_SIZE;

	return (struct wal_lock){.xid = load_u32(lock), .database = load_u32(lock + 4), .relation = load_u32(lock + 8)};
}

/* The parts of a commit or an abort that follow the time, in the order of ParseCommitRecord() and ParseAbortRecord() of
 * xactdesc.c. */
static void transaction_parts_read(struct wal_event *event, struct reader *data, uint32_t xinfo, uint16_t magic)
{
	event->statistics_size = wal_magic_version(magic) >= 18 ? STATISTICS_18 : STATISTICS_SIZE;
	if ((xinfo & XINFO_DATABASE) != 0) {
		event->database = reader_u32(data);
		skip(data, OID_SIZE);
	}
	if ((xinfo & XINFO_SUBXACTS) != 0)
		event->subtransactions = items_read(data, XID_SIZE);
	if ((xinfo & XINFO_FILES) != 0)
		event->files = items_read(data, FILE_SIZE);
	if ((xinfo & XINFO_DROPPED_STATS) != 0)
		event->statistics = items_read(data, event->statistics_size);
	if ((xinfo & XINFO_INVALIDATIONS) != 0 && event->kind == WAL_COMMIT)
		(void) items_read(data, INVALIDATION_SIZE);
	if ((xinfo & XINFO_TWOPHASE) != 0)
		event->xid = reader_u32(data);
}

/* xl_xact_commit and xl_xact_abort: which parts follow is in xinfo. */
static bool transaction_read(struct wal_event *event, struct reader data, uint8_t info, uint16_t magic, bool is_cut)
{
	uint8_t operation = info & INFO_TRANSACTION;
	bool is_prepared = operation == INFO_COMMIT_PREPARED || operation == INFO_ABORT_PREPARED;
	uint32_t xinfo = 0;

	event->time_us = time_from_postgres(reader_u64(&data));
	if ((info & INFO_HAS_XINFO) != 0)
		xinfo = reader_u32(&data);
	if (data.bad || is_prepared != ((xinfo & XINFO_TWOPHASE) != 0))
		return false;
	transaction_parts_read(event, &data, xinfo, magic);
	event->is_cut = data.bad;
	return !data.bad || is_cut;
}

/* xl_restore_point of xlog_internal.h: the name is padded with zeroes. */
static bool restore_point_read(struct wal_event *event, struct reader data)
{
	uint64_t time = reader_u64(&data);
	struct bytes name = reader_bytes(&data, sizeof(event->name));

	if (data.bad)
		return false;
	event->time_us = time_from_postgres(time);
	memcpy(event->name, name.data, sizeof(event->name));
	event->name[sizeof(event->name) - 1] = '\0';
	return true;
}

/* A cut record tells of its timelines and its time what is there. */
static bool checkpoint_read(struct wal_event *event, struct reader data, bool is_shutdown, bool is_cut)
{
	event->redo = reader_u64(&data);
	event->timeline = reader_u32(&data);
	event->previous_timeline = reader_u32(&data);
	skip(&data, CHECKPOINT_AT_XID - CHECKPOINT_AT_TIMELINE - 8);
	event->next_xid = reader_u64(&data);
	skip(&data, CHECKPOINT_AT_TIME - CHECKPOINT_AT_XID - 8);
	int64_t time = (int64_t) reader_u64(&data); /* pg_time_t: seconds since 1970 */
	if (data.bad && (!is_cut || event->timeline == 0))
		return false;
	if (__builtin_mul_overflow(time, 1000000, &event->time_us))
		event->time_us = INT64_MAX;
	event->is_shutdown = is_shutdown;
	event->is_cut = data.bad;
	return true;
}

/* xl_end_of_recovery of xlog_internal.h. */
static bool recovery_end_read(struct wal_event *event, struct reader data)
{
	event->time_us = time_from_postgres(reader_u64(&data));
	event->timeline = reader_u32(&data);
	event->previous_timeline = reader_u32(&data);
	return !data.bad;
}

/* xl_tblspc_create_rec of commands/tablespace.h: the path ends with a zero. That of a tablespace made in place, below
 * pg_tblspc (allow_in_place_tablespaces, since 15), is empty: nothing outside of the data directory. */
static bool tablespace_read(struct wal_event *event, struct reader data, bool is_cut)
{
	uint32_t oid = reader_u32(&data);
	size_t room = data.rest.size;
	struct bytes path = reader_bytes(&data, room < WAL_PATH_SIZE ? room : WAL_PATH_SIZE);
	const uint8_t *end = data.bad || path.size == 0 ? NULL : memchr(path.data, 0, path.size);
	size_t size = end != NULL ? (size_t) (end - path.data) : path.size;

	if (data.bad || (end == NULL && (!is_cut || size >= WAL_PATH_SIZE)))
		return false;
	if (size > 0 ? path.data[0] != '/' : end != NULL)
		return false;
	event->tablespace = oid;
	event->path_is_cut = event->is_cut = end == NULL;
	if (size > 0)
		memcpy(event->path, path.data, size);
	event->path[size] = '\0';
	return true;
}

/* xl_tblspc_drop_rec. */
static bool tablespace_drop_read(struct wal_event *event, struct reader data)
{
	event->tablespace = reader_u32(&data);
	return !data.bad;
}

/* xl_dbase_create_rec, since 15 in two kinds; xl_dbase_drop_rec lists tablespaces, which is more than we need. All of
 * them begin with the database. */
static bool database_read(struct wal_event *event, struct reader data)
{
	event->database = reader_u32(&data);
	uint32_t second = reader_u32(&data);
	if (event->kind == WAL_DATABASE)
		event->tablespace = second;
	else if (second > 0)
		event->tablespace = reader_u32(&data);
	return !data.bad;
}

/* xl_heap_truncate of access/heapam_xlog.h. Its list ends with the sequences that are restarted. */
static bool truncate_read(struct wal_event *event, struct reader data, bool is_cut)
{
	event->database = reader_u32(&data);
	uint32_t count = reader_u32(&data);
	skip(&data, 4); /* flags, padding */
	uint64_t room = data.rest.size / OID_SIZE;
	if (data.bad || (count > room && !is_cut))
		return false;
	event->relations = (struct wal_items){
		.data = data.rest.data, .count = count, .shown = count <= room ? count : (uint32_t) room};
	event->is_cut = event->relations.shown < count;
	return true;
}

/* xl_smgr_truncate of catalog/storage_xlog.h. */
static bool file_truncate_read(struct wal_event *event, struct reader data)
{
	event->blocks = reader_u32(&data);
	struct bytes file = reader_bytes(&data, FILE_SIZE);
	if (data.bad)
		return false;
	event->file = file_load(file.data);
	return true;
}

/* xl_standby_locks of storage/lockdefs.h. */
static bool locks_read(struct wal_event *event, struct reader data, bool is_cut)
{
	event->locks = items_read(&data, LOCK_SIZE);
	event->is_cut = data.bad;
	return !data.bad || (is_cut && event->locks.shown > 0);
}

/* The header of one block reference; *file is left alone when it is that of the reference before. */
static bool block_read(struct reader *parts, uint16_t magic, struct relation_file *file)
{
	uint8_t id = reader_u8(parts), flags = reader_u8(parts);

	skip(parts, 2); /* length of its data */
	if ((flags & BLOCK_HAS_IMAGE) != 0) {
		skip(parts, 4); /* length, offset of the hole */
		uint8_t image = reader_u8(parts);
		uint8_t compressed = wal_magic_version(magic) >= 15 ? IMAGE_COMPRESSED_15 : IMAGE_COMPRESSED_13;

		if ((image & IMAGE_HAS_HOLE) != 0 && (image & compressed) != 0)
			skip(parts, 2); /* length of the hole */
	}
	if ((flags & BLOCK_SAME_FILE) == 0) {
		struct bytes bytes = reader_bytes(parts, FILE_SIZE);

		if (!parts->bad)
			*file = file_load(bytes.data);
	}
	skip(parts, 4); /* the block */
	return !parts->bad && id <= PART_BLOCK_MAX;
}

static struct reader parts_of(struct bytes record)
{
	return reader_init(bytes_slice(record, WAL_RECORD_HEADER_SIZE, record.size - WAL_RECORD_HEADER_SIZE));
}

/* The main data, which is the last part of a record of `total` bytes, as far as it is there; false when it is not. */
static bool main_data_find(struct bytes record, uint32_t total, uint16_t magic, struct reader *data)
{
	struct reader parts = parts_of(record);
	struct relation_file file;
	uint32_t size;

	while (!parts.bad && parts.rest.size > 0 && parts.rest.data[0] <= PART_BLOCK_MAX)
		if (!block_read(&parts, magic, &file))
			return false;
	uint8_t part = reader_u8(&parts);
	for (; part == PART_ORIGIN || part == PART_TOPLEVEL_XID; part = reader_u8(&parts))
		skip(&parts, part == PART_ORIGIN ? 2 : XID_SIZE);
	if (part != PART_DATA_SHORT && part != PART_DATA_LONG)
		return false;
	size = part == PART_DATA_SHORT ? reader_u8(&parts) : reader_u32(&parts);
	size_t headers = record.size - parts.rest.size;
	if (parts.bad || size > total - headers)
		return false;
	size_t at = total - size;
	*data = reader_init(at < record.size ? bytes_slice(record, at, record.size - at) : bytes_of(NULL, 0));
	return true;
}

/* Rows of one relation. How many a COPY inserts at once stands in xl_heap_multi_insert, behind its flags. */
static bool rows_read(struct wal_event *event, struct bytes record, uint32_t total, uint16_t magic)
{
	struct reader parts = parts_of(record), data;

	if (parts.rest.size == 0 || parts.rest.data[0] != 0 || !block_read(&parts, magic, &event->file))
		return false;
	event->rows = 1;
	if (record.data[RECORD_AT_MANAGER] != MANAGER_HEAP2)
		return true;
	event->is_cut = true;
	event->rows = 0;
	if (main_data_find(record, total, magic, &data)) {
		skip(&data, 2);
		event->rows = reader_u16(&data);
		event->is_cut = data.bad;
	}
	return !event->is_cut || record.size < total;
}

static enum wal_event_kind heap_kind(uint8_t operation)
{
	switch (operation) {
	case INFO_INSERT:
		return WAL_INSERT;
	case INFO_DELETE:
		return WAL_DELETE;
	case INFO_UPDATE:
	case INFO_HOT_UPDATE:
		return WAL_UPDATE;
	case INFO_TRUNCATE:
		return WAL_TRUNCATE;
	default:
		return WAL_OTHER;
	}
}

static enum wal_event_kind transaction_kind(uint8_t operation)
{
	switch (operation) {
	case INFO_COMMIT:
	case INFO_COMMIT_PREPARED:
		return WAL_COMMIT;
	case INFO_ABORT:
	case INFO_ABORT_PREPARED:
		return WAL_ABORT;
	default:
		return WAL_OTHER;
	}
}

static enum wal_event_kind xlog_kind(uint8_t info)
{
	switch (info) {
	case INFO_CHECKPOINT_SHUTDOWN:
	case INFO_CHECKPOINT_ONLINE:
		return WAL_CHECKPOINT;
	case INFO_END_OF_RECOVERY:
		return WAL_RECOVERY_END;
	case INFO_RESTORE_POINT:
		return WAL_RESTORE_POINT;
	default:
		return WAL_OTHER;
	}
}

static enum wal_event_kind database_kind(uint8_t info, uint16_t magic)
{
	bool has_wal_log = wal_magic_version(magic) >= 15;

	if (info == (has_wal_log ? INFO_DROP_15 : INFO_DROP_13))
		return WAL_DATABASE_DROP;
	return info == INFO_CREATE || (has_wal_log && info == INFO_CREATE_WAL_LOG) ? WAL_DATABASE : WAL_OTHER;
}

static enum wal_event_kind tablespace_kind(uint8_t info)
{
	if (info == INFO_CREATE)
		return WAL_TABLESPACE;
	return info == INFO_TABLESPACE_DROP ? WAL_TABLESPACE_DROP : WAL_OTHER;
}

/* What a record with such a header is, if it holds what it should. */
static enum wal_event_kind kind_of(uint8_t manager, uint8_t info, uint16_t magic)
{
	switch (manager) {
	case MANAGER_HEAP:
		return heap_kind(info & INFO_HEAP);
	case MANAGER_HEAP2:
		return (info & INFO_HEAP) == INFO_MULTI_INSERT ? WAL_INSERT : WAL_OTHER;
	case MANAGER_TRANSACTION:
		return transaction_kind(info & INFO_TRANSACTION);
	case MANAGER_XLOG:
		return xlog_kind(info & INFO_MASK);
	case MANAGER_STORAGE:
		return (info & INFO_MASK) == INFO_FILE_TRUNCATE ? WAL_FILE_TRUNCATE : WAL_OTHER;
	case MANAGER_STANDBY:
		return (info & INFO_MASK) == INFO_LOCK ? WAL_LOCK : WAL_OTHER;
	case MANAGER_DATABASE:
		return database_kind(info & INFO_MASK, magic);
	case MANAGER_TABLESPACE:
		return tablespace_kind(info & INFO_MASK);
	default:
		return WAL_OTHER;
	}
}

/* What is said in the main data. */
static bool data_read(struct wal_event *event, struct reader data, uint8_t info, uint16_t magic, bool is_cut)
{
	switch (event->kind) {
	case WAL_COMMIT:
	case WAL_ABORT:
		return transaction_read(event, data, info, magic, is_cut);
	case WAL_RESTORE_POINT:
		return restore_point_read(event, data);
	case WAL_TABLESPACE:
		return tablespace_read(event, data, is_cut);
	case WAL_TABLESPACE_DROP:
		return tablespace_drop_read(event, data);
	case WAL_DATABASE:
	case WAL_DATABASE_DROP:
		return database_read(event, data);
	case WAL_TRUNCATE:
		return truncate_read(event, data, is_cut);
	case WAL_FILE_TRUNCATE:
		return file_truncate_read(event, data);
	case WAL_LOCK:
		return locks_read(event, data, is_cut);
	case WAL_CHECKPOINT:
		return checkpoint_read(event, data, (info & INFO_MASK) == INFO_CHECKPOINT_SHUTDOWN, is_cut);
	case WAL_RECOVERY_END:
		return recovery_end_read(event, data);
	default:
		return false;
	}
}

static bool is_rows(enum wal_event_kind kind)
{
	return kind == WAL_INSERT || kind == WAL_UPDATE || kind == WAL_DELETE;
}

void wal_event_clear(struct wal_event *event)
{
	memset(event, 0, offsetof(struct wal_event, name));
	event->name[0] = '\0';
	event->path[0] = '\0';
	event->kind = WAL_OTHER;
}

/* Nearly all records are rows or nothing that we read: after those, little is to be cleared. */
static void event_begin(struct wal_event *event, enum wal_event_kind kind, struct bytes record)
{
	if (event->kind != WAL_OTHER && !is_rows(event->kind))
		wal_event_clear(event);
	event->kind = kind;
	event->previous = load_u64(record.data + RECORD_AT_PREVIOUS);
	event->xid = load_u32(record.data + RECORD_AT_XID);
	event->is_cut = false;
	event->file = (struct relation_file){.number = 0};
	event->rows = 0;
}

void wal_event_read(uint16_t magic, struct bytes record, uint32_t total, struct wal_event *event)
{
	uint8_t info = record.data[RECORD_AT_INFO];
	enum wal_event_kind kind = kind_of(record.data[RECORD_AT_MANAGER], info, magic);
	struct reader data;
	bool is_understood = true;

	event_begin(event, kind, record);
	if (is_rows(kind))
		is_understood = rows_read(event, record, total, magic);
	else if (kind != WAL_OTHER)
		is_understood = main_data_find(record, total, magic, &data) &&
				data_read(event, data, info, magic, record.size < total);
	if (!is_understood)
		event_begin(event, WAL_OTHER, record);
}

bool wal_event_needs_all(const uint8_t header[WAL_RECORD_HEADER_SIZE])
{
	uint8_t info = header[RECORD_AT_INFO];

	switch (header[RECORD_AT_MANAGER]) {
	case MANAGER_TRANSACTION:
		return transaction_kind(info & INFO_TRANSACTION) != WAL_OTHER;
	case MANAGER_XLOG:
		return xlog_kind(info & INFO_MASK) != WAL_OTHER;
	case MANAGER_TABLESPACE:
		return tablespace_kind(info & INFO_MASK) != WAL_OTHER;
	case MANAGER_STANDBY:
		return (info & INFO_MASK) == INFO_LOCK;
	case MANAGER_HEAP:
		return heap_kind(info & INFO_HEAP) == WAL_TRUNCATE;
	case MANAGER_HEAP2:
		return (info & INFO_HEAP) == INFO_MULTI_INSERT;
	default:
		return false;
	}
}

bool wal_record_is_switch(const uint8_t header[WAL_RECORD_HEADER_SIZE])
{
	return header[RECORD_AT_MANAGER] == MANAGER_XLOG && (header[RECORD_AT_INFO] & INFO_MASK) == INFO_SWITCH;
}

bool xid_precedes(uint32_t a, uint32_t b)
{
	return (int32_t) (a - b) < 0;
}
