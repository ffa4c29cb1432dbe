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

# What pitr-archive and pitr-fetch keep on the server (the setting "spool") belongs to the server's user. With DESTDIR it
# is the package's to make.
SERVER_USER ?= postgres
SPOOL       := /var/spool/pitr

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 $(DOC_DIR)/docs/decisions
	install -m 755 $(BINARIES) $(DESTDIR)$(PREFIX)/bin
	install -d $(DESTDIR)$(PREFIX)/libexec/pitr
	install -m 755 $(WHOLE) $(DESTDIR)$(PREFIX)/libexec/pitr
	install -m 644 $(MAN_PAGES) $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 README.md LICENSE $(DOC_DIR)
	install -m 644 $(wildcard docs/*.md) $(DOC_DIR)/docs
	install -m 644 $(wildcard docs/decisions/*.md) $(DOC_DIR)/docs/decisions
	@if [ -n "$(DESTDIR)" ] || [ -e $(SPOOL) ]; then :; \
	elif [ "$$(id -u)" = 0 ] && id $(SERVER_USER) >/dev/null 2>&1; then \
		install -d -o $(SERVER_USER) -g "$$(id -gn $(SERVER_USER))" -m 700 $(SPOOL); \
	else \
		echo "$(SPOOL) was not made: archiving and fetching ahead need it, or the setting \"spool\""; \
		echo "hint: sudo install -d -o $(SERVER_USER) -m 700 $(SPOOL)"; \
	fi

.PHONY: test-tools packages demo check check-full lint install
