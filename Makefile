# pitr: WAL archiving and point-in-time recovery for PostgreSQL.
#
#   make                 builds the programs into $(BUILD)/bin
#   make demo            installs what it needs, loses a table and brings it back
#   make check           installs what it needs and runs every test
#   make check-full      the same, with every combination instead of every pair
#   make lint            layout, layers, doors, generated documentation, static analysis
#   make extension       builds the extension "bkp" and the archive module for the server of PG_CONFIG
#   make install         programs and extension; DESTDIR, PREFIX, PG_CONFIG as everywhere. install-programs and
#                        install-extension do half of it
#
# SANITIZE=1 builds with ASan and UBSan, into a directory of its own.

PREFIX    ?= /usr/local
PG_CONFIG ?= pg_config
CC        ?= cc
VERSION   := 0.1.0

PACKAGES  := libpq libcurl libcrypto liblz4 libzstd jansson expat
WARNINGS  := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
OPTIMIZE  ?= -O2 -g

ifdef SANITIZE
BUILD     ?= build/sanitize
OPTIMIZE  := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
else
BUILD     ?= build
endif

include tools/packages.mk

PG_INCLUDE  = $(shell $(PG_CONFIG) --includedir-server)
PG_LIBDIR   = $(shell $(PG_CONFIG) --pkglibdir)
CPPFLAGS   += -D_GNU_SOURCE -DPITR_VERSION='"$(VERSION)"' -Ilib
CFLAGS     += -std=c11 $(OPTIMIZE) $(WARNINGS) -pthread $(PACKAGE_CFLAGS)
LDLIBS      = $(PACKAGE_LIBS) $(PG_LIBDIR)/libpgport.a $(PG_LIBDIR)/libpgcommon.a -lm

# One program per folder; where a folder has several, each of the others has a main of its own: main_check.c.
pitr-basebackup_DIR := basebackup
pitr-restore_DIR    := restore
pitr-catalog_DIR    := catalog
pitr-check_DIR      := catalog
pitr-check_MAIN     := main_check.c
pitr-verify_DIR     := catalog
pitr-verify_MAIN    := main_verify.c
pitr-expire_DIR     := catalog
pitr-expire_MAIN    := main_expire.c
PROGRAMS            := pitr-basebackup pitr-restore pitr-catalog pitr-check pitr-verify pitr-expire

# What PostgreSQL runs for every segment is a front of few files in bin/; the whole program is in libexec/pitr/.
pitr-archive_DIR    := archive_command
pitr-archive_FRONT  := main.c archived.c
pitr-fetch_DIR      := restore_command
pitr-fetch_FRONT    := main.c audience.c hand_over.c prefetched.c
FRONTS              := pitr-archive pitr-fetch

# What they start is in libexec/pitr/ alone.
pitr-prefetch_DIR   := restore_command
pitr-prefetch_MAIN  := main_prefetch.c
pitr-archiver_DIR   := archive_command
pitr-archiver_MAIN  := main_archiver.c
BEHIND              := pitr-prefetch pitr-archiver

LIB_OBJECTS  := $(patsubst %.c,$(BUILD)/%.o,$(wildcard lib/*/*.c))
UNIT_TESTS   := $(patsubst t/unit/%.c,$(BUILD)/unit/%,$(wildcard t/unit/*.c))
BINARIES     := $(addprefix $(BUILD)/bin/,$(PROGRAMS) $(FRONTS))
WHOLE        := $(addprefix $(BUILD)/libexec/pitr/,$(FRONTS) $(BEHIND))

all: $(BINARIES) $(WHOLE)

$(BUILD)/%.o: %.c $(PACKAGE_CHECK)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# The one program that is large enough for folders of its own.
$(BUILD)/restore/%.o $(BUILD)/t/unit/restore_%.o: CPPFLAGS += -Irestore

# The two files that include PostgreSQL's own headers.
$(BUILD)/lib/pg/crc32c.o $(BUILD)/lib/pg/page_checksum.o: CPPFLAGS += -isystem $(PG_INCLUDE)

$(BUILD)/libpitr.a: $(LIB_OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $^

# A folder's objects: one main, and every file that is none.
objects = $(patsubst %.c,$(BUILD)/%.o,$(1)/$(2) $(filter-out $(1)/main%,$(wildcard $(1)/*.c $(1)/*/*.c)))

$(foreach program,$(PROGRAMS),$(eval $(BUILD)/bin/$(program): \
    $(call objects,$($(program)_DIR),$(or $($(program)_MAIN),main.c))))
$(foreach front,$(FRONTS),$(eval $(BUILD)/bin/$(front): \
    $(patsubst %.c,$(BUILD)/$($(front)_DIR)/%.o,$($(front)_FRONT))))
$(foreach whole,$(FRONTS) $(BEHIND),$(eval $(BUILD)/libexec/pitr/$(whole): \
    $(call objects,$($(whole)_DIR),$(or $($(whole)_MAIN),main_whole.c))))

# A front loads no library that it does not call.
$(BINARIES) $(WHOLE): $(BUILD)/libpitr.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(BUILD)/libpitr.a -Wl,--as-needed $(LDLIBS)

$(BUILD)/unit/%: $(BUILD)/t/unit/%.o $(BUILD)/libpitr.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

unit: $(UNIT_TESTS)

clean:
	rm -rf build

include tools/docs.mk
include tools/check.mk
include bench/bench.mk

-include $(shell find $(BUILD) -path $(BUILD)/pg -prune -o -type f -name '*.d' -print 2>/dev/null)

.PHONY: all unit clean
.SECONDARY:
