#!/usr/bin/python3
"""What somebody can store who has a host key and no secret one: a recipient, or an epoch, of their own.

    forge_keys.py HOST-KEYFILE DIRECTORY CLUSTER recipient|crowd|epoch|identity EPOCH [SYSTEM]

For `recipient` EPOCH is the one to be added to: prints the id; the name of the host is what a terminal would obey. `crowd`
does it 70 times. `identity` is that of SYSTEM, which follows the first one, with another repository key for EPOCH. For `epoch` it is the one to begin: with a repository key
that the forger knows, wrapped for all recipients of the one before, so that nobody misses anything.
"""
import json
import os
import sys

import pitr_format as pitr


def first_system(repository, cluster):
    return next(filter(str.isdigit, sorted(os.listdir(os.path.join(repository.directory, cluster)))))


def wrap(repository, base, recipient, secret, proof, host="forger"):
    meta = {"public": recipient.hex(), "added_us": 1705329000000000, "host": host, "proof": proof.hex()}
    repository.put("%s/%s" % (base, pitr.public_key_id(recipient).hex()), secret, kind=pitr.RECIPIENT,
                   object_class=pitr.SECRET, codec=pitr.NONE, recipient=recipient, meta=json.dumps(meta).encode())


def recipients_of(repository, cluster, number):
    """The name that they are below, and their public keys."""
    document = json.loads(repository.get("%s/key/%08x/public" % (cluster, number)))
    key = pitr.public_key_id(bytes.fromhex(document["public"])).hex()
    base = "%s/key/%08x/recipient/%s" % (cluster, number, key)
    names = sorted(os.listdir(os.path.join(repository.directory, base)))
    return base, [bytes.fromhex(repository.meta("%s/%s" % (base, name))["public"]) for name in names]


def forge_recipient(repository, cluster, number):
    public = pitr.x25519_public(os.urandom(32))
    host = 'vm"\x1b[8m\n  0123456789abcdef  added yesterday on host "vm'
    wrap(repository, recipients_of(repository, cluster, number)[0], public, bytes(32), bytes(16), host)
    print(pitr.public_key_id(public).hex())


def forge_crowd(repository, cluster, number):
    base = recipients_of(repository, cluster, number)[0]
    for _ in range(70):
        wrap(repository, base, pitr.x25519_public(os.urandom(32)), bytes(32), bytes(16))


def forge_identity(repository, cluster, number, new_system):
    system = first_system(repository, cluster)
    document = json.loads(repository.get("%s/%s/identity" % (cluster, system)))
    secret = os.urandom(32)
    public = pitr.x25519_public(secret)
    base = "%s/key/%08x/recipient/%s" % (cluster, number, pitr.public_key_id(public).hex())
    for recipient in recipients_of(repository, cluster, number)[1]:
        proof = pitr.key_proof(secret, repository.repository_id, b"pitr recipient v0", recipient)
        wrap(repository, base, recipient, secret, proof)
    document.update(system_identifier=new_system, follows=system, epoch=number, public=public.hex(),
                    created="2999-01-15 13:30:00+00")
    repository.put("%s/%s/identity" % (cluster, new_system), json.dumps(document).encode(), kind=pitr.IDENTITY,
                   codec=pitr.NONE)


def forge_epoch(repository, cluster, number):
    secret = os.urandom(32)
    public = pitr.x25519_public(secret)
    base = "%s/key/%08x/recipient/%s" % (cluster, number, pitr.public_key_id(public).hex())
    for recipient in recipients_of(repository, cluster, number - 1)[1]:
        proof = pitr.key_proof(secret, repository.repository_id, b"pitr recipient v0", recipient)
        wrap(repository, base, recipient, secret, proof)
    document = {"epoch": number, "public": public.hex(), "created": "2024-01-15 13:30:00+00", "host": "forger",
                "proof": pitr.key_proof(secret, repository.repository_id, b"pitr epoch v0", public).hex()}
    repository.put("%s/key/%08x/public" % (cluster, number), json.dumps(document).encode(), kind=pitr.EPOCH,
                   codec=pitr.NONE)


def main():
    keyfile, directory, cluster, what, number, *others = sys.argv[1:]
    repository = pitr.Repository(directory, pitr.Keys.read(keyfile))
    repository.identity("%s/%s" % (cluster, first_system(repository, cluster)))
    {"recipient": forge_recipient, "crowd": forge_crowd, "epoch": forge_epoch,
     "identity": forge_identity}[what](repository, cluster, int(number), *others)


if __name__ == "__main__":
    main()
