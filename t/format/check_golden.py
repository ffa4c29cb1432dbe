#!/usr/bin/python3
"""Opens every object of an index like t/golden/v0/index with pitr_format.py.

    check_golden.py DIRECTORY KEY-DIRECTORY

Prints a line for each row: the object, and "same" (opened, as expected), "other" (opened, but not that), or the
error's kind and sentence.
"""
import os
import sys

import pitr_format as pitr


def content(*path):
    with open(os.path.join(*path), "rb") as file:
        return file.read()


def row_check(directory, key_directory, row):
    name, key, system, kind, object_name, expected = row.split("\t")
    try:
        keys = pitr.Keys.read("-" if key == "-" else os.path.join(key_directory, key))
        if key == "keys" and int(kind) != pitr.RECIPIENT:
            pitr.unwrap_epoch(keys, content(directory, "recipient.obj"))
        plain = pitr.open_object(keys, content(directory, name), name=object_name, system_identifier=int(system),
                                 kind=int(kind))
    except pitr.FormatError as error:
        return "%s: %s" % (error.kind, error)
    word, _, file = expected.partition(" ")
    return "same" if word == "plain" and plain == content(directory, file) else "other"


def main():
    directory, key_directory = sys.argv[1:]
    for row in content(directory, "index").decode().splitlines():
        print(row.split("\t")[0], row_check(directory, key_directory, row), sep="\t")


if __name__ == "__main__":
    main()
