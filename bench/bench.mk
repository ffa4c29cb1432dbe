# Measurements beside pgBackRest: see bench/bench.sh. Needs $(BUILD) and the rule for objects of the Makefile.

BENCH_TOOLS := $(addprefix $(BUILD)/bench/,measure caller delay_proxy relation_files)

$(BUILD)/bench/relation_files.o: CPPFLAGS += -isystem $(PG_INCLUDE)

$(BENCH_TOOLS): $(BUILD)/bench/%: $(BUILD)/bench/%.o
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(PG_LIBDIR)/libpgport.a $(PG_LIBDIR)/libpgcommon.a

bench-tools: $(BENCH_TOOLS)

# The libraries are looked for once make has started, so what needs them runs in a make of its own.
bench bench-short:
	@tools/install-packages.sh build bench
	@tools/install-pgbackrest.sh build/pgbackrest
	@$(MAKE) --no-print-directory -s -j$(shell nproc) all extension bench-tools
	@bench/bench.sh $(if $(filter bench-short,$@),--short)

.PHONY: bench bench-short bench-tools
