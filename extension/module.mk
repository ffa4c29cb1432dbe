# What both folders share: PGXS, and how the files of lib/ are compiled for a server process. Included by their
# Makefiles, which run in the directory of objects; VPATH is the folder of the sources.

ifndef VPATH
$(error run this through extension/Makefile: make -C extension PG_CONFIG=pg_config)
endif

TREE := $(abspath $(VPATH)/../..)
OBJS := $(patsubst $(VPATH)/%.c,%.o,$(sort $(wildcard $(VPATH)/*.c))) assert.o

include $(TREE)/extension/pure.mk
PITR_VERSION := $(shell sed -n 's/^VERSION *:= *//p' $(TREE)/Makefile)
PURE_OBJECTS := $(PURE:%=lib/%.o)

# With -isystem PostgreSQL's own headers are held to its own warnings, our files to ours; what its macros do in our files
# (PG_TRY, declarations) is left out.
WARNINGS := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror \
	-Wno-declaration-after-statement -Wno-clobbered
PG_CPPFLAGS = -I$(TREE)/extension/assert -I$(TREE)/lib -isystem $(shell $(PG_CONFIG) --includedir-server) \
	-isystem $(shell $(PG_CONFIG) --pkgincludedir)/internal \
	-D_GNU_SOURCE -DPITR_VERSION='"$(PITR_VERSION)"' -DPITR_LIBEXEC='"$(PREFIX)/libexec/pitr"' \
	$(shell pkg-config --cflags jansson)
PG_CFLAGS   = -std=gnu11 -ffunction-sections $(WARNINGS)

# What the server looks up, and nothing else, leaves the library: it is loaded with RTLD_GLOBAL, and "fail" or
# "buf_append" must not meet a symbol of the server or of another extension.
SHLIB_LINK  = libpure.a $(shell pkg-config --libs jansson) \
	-Wl,--gc-sections -Wl,--version-script=$(TREE)/extension/exports.map

# Bitcode lets the JIT compiler inline a function; none of ours is worth that.
override with_llvm := no

PGXS := $(shell $(PG_CONFIG) --pgxs)
ifeq (,$(wildcard $(PGXS)))
$(error PGXS of "$(PG_CONFIG)" is missing; install the Debian package postgresql-server-dev of that major)
endif
ifeq (,$(shell pkg-config --exists jansson && echo yes))
$(error the library jansson is missing; install the Debian package libjansson-dev)
endif
include $(PGXS)

ifeq (,$(shell command -v $(firstword $(CC))))
override CC := cc
endif
# The server's flags are those of the compiler that built it; ours may not know them all.
ifneq (,$(shell $(CC) $(CFLAGS) -fsyntax-only -x c /dev/null 2>&1))
override CFLAGS := $(foreach flag,$(CFLAGS),$(if $(shell $(CC) $(flag) -fsyntax-only -x c /dev/null 2>&1),,$(flag)))
endif

# Changes only with the flags, the list of files and the server's version, and everything is compiled anew then.
flags: FORCE
	@echo '$(subst ','\'',$(shell $(PG_CONFIG) --version) $(CC) $(CPPFLAGS) $(CFLAGS) $(SHLIB_LINK) $(OBJS) $(PURE_OBJECTS))' >$@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi
.PHONY: FORCE

COMPILE_OBJECT = $(CC) $(CPPFLAGS) $(CFLAGS) $(CFLAGS_SL) -MMD -MP -c -o $@ $<

$(OBJS) $(PURE_OBJECTS) $(shlib): flags
$(PURE_OBJECTS): lib/%.o: $(TREE)/lib/%.c
	@mkdir -p $(@D)
	$(COMPILE_OBJECT)
assert.o: $(TREE)/extension/assert/assert.c
	$(COMPILE_OBJECT)
$(filter-out assert.o,$(OBJS)): %.o: $(VPATH)/%.c
	$(COMPILE_OBJECT)

libpure.a: $(PURE_OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $^

all: check-symbols
check-symbols: $(shlib)
	@$(TREE)/extension/check-symbols.sh $< $(PG_CONFIG) || { rm -f $<; exit 1; }
.PHONY: check-symbols

$(shlib): libpure.a $(TREE)/extension/exports.map

-include $(wildcard *.d lib/*/*.d)
