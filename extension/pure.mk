# The files of lib/ that may run inside a server: what is linked of them needs no network, no OpenSSL, no threads and no
# door to the file system (functions that do, and are not called here, are left out by the linker; check-symbols.sh
# proves that). Nothing else of lib/ may be included below extension/: tools/lint-layers.sh reads this list.
PURE := base/buf base/error base/hex base/json pg/crc32c pg/lsn pg/wal_name repo/local_document repo/archive_failure
