#!/usr/bin/python3
"""Writes a second base backup that refers to what a first one stored: the files that are named on the command line get
new content in a pack of its own, everything else stays where it lies.

    second_backup.py KEYFILE DIRECTORY CLUSTER/SYSTEM/BRANCH FIRST-LABEL SECOND-LABEL [PATH=CONTENT-FILE]...

KEYFILE is the secret one: the host's would do, but the current epoch is looked up the same way. No program of the
project writes such a backup yet; those that read one must understand it.
"""
import json
import sys

import pitr_format as pitr


def content_read(path):
    with open(path, "rb") as file:
        return file.read()


def pack_put(repository, branch, label, contents):
    """Stores the contents one behind the other; answers {path: extents}."""
    name, offset, extents = "%s/pack/%s/%08x" % (branch, label, 0), 0, {}
    for path, content in contents.items():
        extents[path] = [(name, offset, len(content))] if content else []
        offset += len(content)
    if contents:
        repository.put(name, b"".join(contents.values()), kind=pitr.PACK, object_class=pitr.SECRET, codec=pitr.LZ4)
    return extents


def manifest_put(repository, branch, label, entries):
    """All entries in part 0."""
    base, packs = "/".join(branch.split("/")[:2]) + "/", []
    piece_size = max((entry["piece_size"] for entry in entries), default=0)
    for entry in entries:
        del entry["piece_size"]
        if entry["type"] != "file":
            entry.pop("extents", None)
            continue
        places = []
        for name, offset, size in entry["extents"]:
            reference = name[len(base):]
            if reference not in packs:
                packs.append(reference)
            places.append([packs.index(reference), offset, size])
        entry["extents"] = places
    document = {"label": label, "part": 0, "piece_size": piece_size, "packs": packs, "files": entries}
    repository.put("%s/manifest/%s/%08x" % (branch, label, 0), json.dumps(document).encode(), kind=pitr.MANIFEST,
                   codec=pitr.LZ4)


def second_backup(repository, branch, first, second, contents):
    """`contents`: {path: bytes} of the files that have changed."""
    cluster, fact = branch.split("/")[0], repository.backup(branch, first)
    if repository.keys.encrypted:
        repository.current_epoch(cluster)
    extents = pack_put(repository, branch, second, contents)
    entries = list(repository.entries(branch, first))
    for entry in entries:
        if entry["path"] in contents:
            entry["size"], entry["extents"] = len(contents[entry["path"]]), extents[entry["path"]]
            entry["digests"] = repository.digests(contents[entry["path"]], entry["piece_size"])
    manifest_put(repository, branch, second, entries)
    fact.pop("relation_map", None)
    fact.update(label=second, manifest_parts=1, note="refers to " + first)
    repository.put("%s/backup/%s/complete" % (branch, second), json.dumps(fact).encode())


def main():
    key_file, directory, branch, first, second, *changes = sys.argv[1:]
    repository = pitr.Repository(directory, pitr.Keys.read(key_file))
    contents = {}
    for change in changes:
        path, _, source = change.partition("=")
        contents[path] = content_read(source)
    second_backup(repository, branch, first, second, contents)


if __name__ == "__main__":
    main()
