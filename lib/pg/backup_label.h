/* backup_label, as written by pg_backup_start (manual, section 26.3.3; xlogbackup.c). Kept byte for byte. */
#pragma once

#include "base/buf.h"

struct backup_label {
	uint64_t start;	     /* START WAL LOCATION: replay begins here */
	uint32_t timeline;   /* START TIMELINE */
	uint64_t checkpoint; /* CHECKPOINT LOCATION */
	char label[1024];
	bool from_standby;
};

bool backup_label_parse(struct bytes text, struct backup_label *label, struct error *err) MUST_CHECK;
