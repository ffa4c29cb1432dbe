#!/usr/bin/python3
"""Opens every object of a directory repository, and prints how many there are; then reads every file of every complete
backup. Ends with 1 and a sentence for each that is not whole, or not what its name or its digests say.

    check_repository.py KEYFILE|- DIRECTORY
"""
import os
import sys

import pitr_format as pitr


def names_of(directory):
    for path, _, files in os.walk(directory):
        for file in files:
            name = os.path.relpath(os.path.join(path, file), directory)
            if name != "RECOVERY" and not name.startswith("tmp/"):
                yield name


def files_check(repository, name):
    """Of the backup with the fact `name`."""
    branch, _, label, _ = name.rsplit("/", 3)
    packs, wrong = {}, 0
    for entry in repository.entries(branch, label):
        if entry["type"] != "file":
            continue
        try:
            repository.file(entry, packs)
        except (pitr.FormatError, OSError, ValueError) as error:
            print("%s of %s: %s" % (entry["path"], label, error), file=sys.stderr)
            wrong += 1
    return wrong


def main():
    key_file, directory = sys.argv[1:]
    repository = pitr.Repository(directory, pitr.Keys.read(key_file))
    names, wrong = sorted(names_of(directory)), 0
    for name in names:
        try:
            repository.get(name)
        except (pitr.FormatError, OSError, ValueError) as error:
            print("%s: %s" % (name, error), file=sys.stderr)
            wrong += 1
    for name in names:
        if name.endswith("/complete") and wrong == 0:
            wrong += files_check(repository, name)
    print(len(names))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
