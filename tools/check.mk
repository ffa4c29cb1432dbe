# Packages, tests, lint, demo and installation. Needs $(BUILD), $(BINARIES), $(UNIT_TESTS) of the Makefile.

TEST_TOOLS := $(patsubst t/tools/%.c,$(BUILD)/tools/%,$(wildcard t/tools/*.c))

$(BUILD)/tools/%: $(BUILD)/t/tools/%.o $(BUILD)/libpitr.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

test-tools: $(TEST_TOOLS)

packages:
	tools/install-packages.sh build demo check

# The libraries are looked for once make has started, so what needs them runs in a make of its own.
demo:
	@tools/install-packages.sh build demo
	@$(MAKE) --no-print-directory -s -j$(shell nproc) all
	@tools/demo.sh

check:
	@tools/install-packages.sh build check
	@tools/run-tests.sh

check-full:
	@tools/install-packages.sh build check
	@tools/run-tests.sh --full

lint:
	@tools/install-packages.sh build lint
	@tools/lint.sh

MAN_PAGES := $(wildcard docs/man/*.1)

DOC_DIR = $(DESTDIR)$(PREFIX)/share/doc/pitr

# What runs the programs every day: units of systemd, which nothing enables here, and a file for cron.
UNIT_DIR  = $(DESTDIR)$(PREFIX)/lib/systemd/system
SHARE_DIR = $(DESTDIR)$(PREFIX)/share/pitr

# What pitr-archive and pitr-fetch keep on the server (the setting "spool") belongs to the server's user. With DESTDIR it
# is the package's to make.
SERVER_USER ?= postgres
SPOOL       := /var/spool/pitr

install: install-programs install-extension

install-programs: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 $(DOC_DIR)/docs/decisions
	install -m 755 $(BINARIES) $(DESTDIR)$(PREFIX)/bin
	install -d $(DESTDIR)$(PREFIX)/libexec/pitr
	install -m 755 $(WHOLE) $(DESTDIR)$(PREFIX)/libexec/pitr
	install -m 644 $(MAN_PAGES) $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 README.md LICENSE $(DOC_DIR)
	install -m 644 $(wildcard docs/*.md) $(DOC_DIR)/docs
	install -m 644 $(wildcard docs/decisions/*.md) $(DOC_DIR)/docs/decisions
	install -d $(DOC_DIR)/docs/performance
	install -m 644 $(wildcard docs/performance/*.svg) $(DOC_DIR)/docs/performance
	install -d $(UNIT_DIR) $(SHARE_DIR)
	install -m 644 $(wildcard service/*.timer service/*.service) $(UNIT_DIR)
	@for unit in $(notdir $(basename $(wildcard service/*.service.in))); do \
		sed 's,@BINDIR@,$(PREFIX)/bin,' service/$$unit.in >$(UNIT_DIR)/$$unit && chmod 644 $(UNIT_DIR)/$$unit || exit 1; \
	done
	sed 's,@BINDIR@,$(PREFIX)/bin,' service/pitr.cron.in >$(SHARE_DIR)/pitr.cron
	chmod 644 $(SHARE_DIR)/pitr.cron
	@if [ -n "$(DESTDIR)" ] || [ -e $(SPOOL) ]; then :; \
	elif [ "$$(id -u)" = 0 ] && id $(SERVER_USER) >/dev/null 2>&1; then \
		install -d -o $(SERVER_USER) -g "$$(id -gn $(SERVER_USER))" -m 700 $(SPOOL); \
	else \
		echo "$(SPOOL) was not made: archiving and fetching ahead need it, or the setting \"spool\""; \
		echo "hint: sudo install -d -o $(SERVER_USER) -m 700 $(SPOOL)"; \
	fi

# One PostgreSQL major at a time; a machine that has several calls install-extension once for each PG_CONFIG.
EXTENSION = $(MAKE) --no-print-directory -C extension PG_CONFIG=$(PG_CONFIG) PREFIX=$(PREFIX) \
	BUILD=$(abspath $(BUILD))/extension/$(shell $(PG_CONFIG) --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')

extension:
	@+$(EXTENSION) all

# Who may not write into the server's directories has installed the programs into one of his own.
install-extension: extension
	@+if [ -n "$(DESTDIR)" ] || [ -w "$(PG_LIBDIR)" ]; then \
		$(EXTENSION) DESTDIR=$(DESTDIR) install; \
	else \
		echo "the extension was not installed: \"$(PG_LIBDIR)\" is not writable"; \
		echo "hint: sudo $(MAKE) install-extension PG_CONFIG=$(PG_CONFIG) PREFIX=$(PREFIX)"; \
	fi

.PHONY: test-tools packages demo check check-full lint install install-programs extension install-extension
