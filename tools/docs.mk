# Documentation that is made from the tables in lib/config. The results are kept in the tree, so that they can be read
# without building; make lint fails when they are not what the sources would make now.

GEN_DOCS := $(BUILD)/gen_docs

$(GEN_DOCS): tools/gen_docs.c lib/config/option_table.c lib/config/option_table.h lib/config/options.h \
		lib/config/options.def lib/config/programs.def
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE -DPITR_VERSION='"$(VERSION)"' -Ilib -std=c11 -O1 $(WARNINGS) -o $@ \
		tools/gen_docs.c lib/config/option_table.c

docs: $(GEN_DOCS)
	tools/check_docs.sh --write $(GEN_DOCS)

check-generated: $(GEN_DOCS)
	tools/check_docs.sh $(GEN_DOCS)

.PHONY: docs check-generated
