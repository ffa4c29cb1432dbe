# Finds the libraries with pkg-config and names the Debian package of one that is missing.

DEBIAN_libpq     := libpq-dev
DEBIAN_libcurl   := libcurl4-openssl-dev
DEBIAN_libcrypto := libssl-dev
DEBIAN_liblz4    := liblz4-dev
DEBIAN_libzstd   := libzstd-dev
DEBIAN_jansson   := libjansson-dev
DEBIAN_expat     := libexpat1-dev

ifeq (,$(filter clean packages demo check check-full bench bench-short,$(MAKECMDGOALS)))
ifeq (,$(shell command -v pkg-config))
$(error pkg-config is missing; install the Debian package pkg-config, or run: sudo make packages)
endif
$(foreach package,$(PACKAGES),$(if $(shell pkg-config --exists $(package) && echo yes),,$(error \
    the library $(package) is missing; install the Debian package $(DEBIAN_$(package)), or run: sudo make packages)))
ifeq (,$(wildcard $(shell $(PG_CONFIG) --includedir-server 2>/dev/null)/postgres_fe.h))
$(error PostgreSQL's server headers are missing; install the Debian package postgresql-server-dev-15, or run: sudo make packages)
endif
PACKAGE_CFLAGS := $(patsubst -I%,-isystem %,$(shell pkg-config --cflags $(PACKAGES)))
PACKAGE_LIBS   := $(shell pkg-config --libs $(PACKAGES))
endif
