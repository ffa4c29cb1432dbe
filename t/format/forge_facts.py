#!/usr/bin/python3
"""Facts that say what a test wants of backups and runs, made of a backup that is there.

    forge_facts.py KEYFILE DIRECTORY CLUSTER/SYSTEM/BRANCH[:OTHER] backup LABEL RANDOM [MEMBER=VALUE]...
    forge_facts.py KEYFILE DIRECTORY CLUSTER/SYSTEM/BRANCH content LABEL
    forge_facts.py KEYFILE DIRECTORY CLUSTER/SYSTEM/BRANCH KIND TIME_US [MEMBER=VALUE]...

`backup`: a further one, whose label ends in RANDOM (8 hex digits), in the branch OTHER. VALUE is JSON.
`repeat`=N makes N of them, one after the other, with their number for "#".
`content`: a manifest part and a pack with nothing in them.
"""
import json
import sys

import pitr_format as pitr


def main():
    keyfile, directory, branch, kind = sys.argv[1:5]
    repository = pitr.Repository(directory, pitr.Keys.read(keyfile))
    repository.identity("/".join(branch.split("/")[:2]))
    branch, _, other = branch.partition(":")
    if kind == "content":
        for sort, number in (("manifest", pitr.MANIFEST), ("pack", pitr.PACK)):
            repository.put("%s/%s/%s/%08x" % (branch, sort, sys.argv[5], 0), b"{}", kind=number, codec=pitr.NONE)
        return
    if kind == "backup":
        document = repository.backup(branch, sys.argv[5])
        document["label"] = sys.argv[5][:26] + sys.argv[6]
        name, members = "%s/backup/%s/complete" % (branch.rsplit("/", 1)[0] + "/" + other if other else branch,
                                                   document["label"]), sys.argv[7:]
    else:
        time_us = int(sys.argv[5])
        document = {"kind": kind, "time_us": time_us, "host": "elsewhere"}
        folder = kind if kind == "restore" else "fact/" + kind
        name, members = "%s/%s/%016x-%08x" % (branch, folder, time_us, time_us & 0xffffffff), sys.argv[6:]
    for member in members:
        key, value = member.split("=", 1)
        document[key] = json.loads(value)
    for number in range(document.pop("repeat", 1)):
        text = json.dumps(document).replace("#", str(number))
        if number > 0:
            name = "%s/fact/%s/%016x-%08x" % (branch, kind, time_us + number, number)
            text = text.replace(str(time_us), str(time_us + number))
        repository.put(name, text.encode(), kind=pitr.FACT, codec=pitr.NONE)


if __name__ == "__main__":
    main()
