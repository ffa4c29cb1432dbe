#!/usr/bin/python3
"""Opens every object of a directory repository, and prints how many there are. Ends with 1 and a sentence for each that
is not whole, or not what its name says.

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
    print(len(names))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
