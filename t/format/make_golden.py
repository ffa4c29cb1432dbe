#!/usr/bin/python3
"""Makes t/golden/v0: objects of the repository format, good and bad, with published keys and fixed nonces.

    make_golden.py DIRECTORY

Each row of DIRECTORY/index is: object, key file ("-": none), system identifier, kind, name, and what must come of
opening it: "plain FILE", or an error's kind and part of its sentence. Run it for a new format version only: the files
of a released one stay as they are.
"""
import json
import os
import sys

import pitr_format as pitr
from pitr_format import HOST, LZ4, NONE, RAW, SECRET, ZSTD

SYSTEM = 7000000000000000001
REPOSITORY = bytes.fromhex("00112233445566778899aabbccddeeff")
BASE = "main/%d/" % SYSTEM
NAME = BASE + "main/wal/00000001/00000000/000000010000000000000003"
META = b'{"host":"db1","pid":4711,"stored":"2024-01-15 13:30:00.123456+00"}'


def secret_of(text):
    return pitr.sha256(b"pitr golden " + text)


def keys_make(seed):
    """A pair of key files as text, and Keys that can seal."""
    recipient, host = secret_of(seed + b"recipient"), secret_of(seed + b"host")
    public = pitr.x25519_public(recipient)
    title = "# published: for tests only\npitr %s key v0\n"
    fields = "recipient-public: %s\nhost-key: %s\n" % (public.hex(), host.hex())
    texts = (title % "secret" + "recipient-secret: %s\n" % recipient.hex() + fields, title % "host" + fields)
    keys = pitr.Keys()
    keys.parse(texts[0].encode())
    return texts, keys


def noise(size):
    """Bytes that no codec makes smaller."""
    parts, block = [], b"pitr"
    while 32 * len(parts) < size:
        block = pitr.sha256(block)
        parts.append(block)
    return b"".join(parts)[:size]


def regular(frames, rest=0):
    """Frames that differ and compress to the same size."""
    whole = b"".join(bytes([65 + frame]) * 4096 for frame in range(frames))
    return whole + b"z" * rest


class Maker:
    def __init__(self, directory):
        self.directory, self.rows, self.count = directory, [], 0
        (secret, host), self.keys = keys_make(b"")
        (other, _), self.other = keys_make(b"other ")
        self.none = pitr.Keys()
        self.keys.epoch, self.keys.public = 1, pitr.x25519_public(secret_of(b"repository"))
        self.other.epoch, self.other.public = 1, self.keys.public
        self.keys.epochs[1] = secret_of(b"repository")
        for name, text in (("keys", secret), ("keys.host", host), ("keys.other", other)):
            self.write(name, text.encode())

    def write(self, name, data):
        with open(os.path.join(self.directory, name), "wb") as file:
            file.write(data)

    def seal(self, keys, plain, name=NAME, **options):
        """With nonce and ephemeral secret that follow from the place in the list."""
        self.count += 1
        settings = {"system_identifier": SYSTEM, "repository_id": REPOSITORY, "kind": pitr.WAL, "frame_log2": 12}
        settings.update(options)
        if isinstance(settings["codec"], str):
            settings["codec"] = pitr.CODECS[settings["codec"]]
        fixed = {"nonce": secret_of(b"nonce %d" % self.count), "ephemeral_secret": secret_of(b"ephemeral %d" % self.count)}
        return pitr.seal_object(keys, name, plain, **fixed, **settings)

    def row(self, title, data, expected, key="keys", name=NAME, system=SYSTEM, kind=pitr.WAL):
        self.write(title + ".obj", data)
        self.rows.append("\t".join([title + ".obj", key, str(system), str(kind), name, expected]))

    def good(self, title, plain, keys, key="keys", name=NAME, system=SYSTEM, kind=pitr.WAL, **options):
        self.write(title + ".plain", plain)
        data = self.seal(keys, plain, name, kind=kind, system_identifier=system, **options)
        self.row(title, data, "plain " + title + ".plain", key, name, system, kind)
        return data


def make_good(maker):
    keys, none = maker.keys, maker.none
    wal = regular(2) + noise(4096) + regular(1, 100)
    proof = pitr.key_proof(secret_of(b"repository"), REPOSITORY, b"pitr recipient v0", keys.recipient_public)
    added = {"public": keys.recipient_public.hex(), "added_us": 1705329000000000, "host": "db1", "proof": proof.hex()}
    maker.good("recipient", secret_of(b"repository"), keys, codec=NONE, object_class=SECRET, system=0,
               kind=pitr.RECIPIENT, recipient=keys.recipient_public, meta=json.dumps(added).encode(),
               name="main/key/00000001/recipient/%s/%s" % (pitr.public_key_id(keys.public).hex(),
                                                          pitr.public_key_id(keys.recipient_public).hex()))
    maker.good("epoch", b'{"epoch":1,"public":"%s"}' % keys.public.hex().encode(), keys, codec=NONE, system=0,
               kind=pitr.EPOCH, name="main/key/00000001/public", key="keys.host")
    maker.good("secret-lz4", wal, keys, codec=LZ4, object_class=SECRET, meta=META)
    maker.good("secret-zstd", wal, keys, codec=ZSTD, object_class=SECRET, meta=META)
    maker.good("secret-none", regular(1, 1), keys, codec=NONE, object_class=SECRET)
    maker.good("secret-empty", b"", keys, codec=LZ4, object_class=SECRET)
    maker.good("host-lz4", wal, keys, codec=LZ4, key="keys.host", kind=pitr.MANIFEST, name=BASE + "main/manifest/x/0")
    maker.good("host-one-byte", b"x", keys, codec=ZSTD, key="keys.host")
    maker.good("host-one-frame", regular(1), keys, codec=ZSTD, key="keys.host")
    maker.good("host-two-frames", regular(2), keys, codec=LZ4, key="keys.host", meta=b"{}")
    maker.good("plain-lz4", wal, none, codec=LZ4, object_class=SECRET, key="-", meta=META)
    maker.good("plain-zstd", wal, none, codec=ZSTD, key="-")
    maker.good("plain-none", regular(1, 1), none, codec=NONE, key="-")
    maker.good("plain-empty", b"", none, codec=NONE, key="-")


def flip(data, place):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def make_damaged(maker, prefix, keys, key):
    """Harm that a store, a disk or an enemy without the key can do."""
    plain = regular(3, 50)
    data = maker.seal(keys, plain, codec=LZ4, object_class=SECRET, meta=META)
    again = maker.seal(keys, plain, codec=LZ4, object_class=SECRET, meta=META)
    header = pitr.Header.decode(data)
    begins = [header.frame_range(index)[0] for index in range(4)]
    size = header.frame_range(0)[1]
    frames = [data[begin : begin + size] for begin in begins[:3]]

    def bad(title, harmed, expected, **options):
        maker.row(prefix + "-bad-" + title, harmed, expected, key=key, **options)

    bad("magic", flip(data, 4), "CORRUPT not a sealed object")
    bad("version", flip(data, 8), "USAGE format version 1")
    bad("nonce", flip(data, 50), "CORRUPT its header is not what was sealed")
    bad("header-tag", flip(data, header.header_size - 1), "CORRUPT its header is not what was sealed")
    bad("meta", flip(data, header.header_size), "CORRUPT summary")
    bad("first-frame", flip(data, begins[0]), "CORRUPT frame 0")
    bad("last-tag", flip(data, len(data) - 1), "CORRUPT frame 3")
    bad("no-bytes", b"", "CORRUPT cut off")
    bad("cut-in-header", data[:100], "CORRUPT cut off")
    bad("cut-in-frame-table", data[: header.header_size - 40], "CORRUPT cut off")
    bad("cut-behind-header", data[: header.header_size], "CORRUPT cut off")
    bad("cut-before-last-frame", data[: begins[3]], "CORRUPT cut off")
    bad("cut-in-last-tag", data[:-1], "CORRUPT cut off")
    bad("more-bytes", data + b"\0", "CORRUPT 1 bytes behind its end")
    bad("swapped", data[: begins[0]] + frames[1] + frames[0] + data[begins[2] :], "CORRUPT frame 0")
    bad("frame-of-another", data[: begins[1]] + again[begins[1] : begins[2]] + data[begins[2] :], "CORRUPT frame 1")
    bad("header-of-another", again[: header.header_size] + data[header.header_size :],
        "CORRUPT summary")
    bad("name", data, "CORRUPT was sealed as \"" + NAME, name=NAME[:-1] + "4")
    bad("system", data, "CORRUPT belongs to system identifier %d, not to 5" % SYSTEM, system=5)
    bad("kind", data, "CORRUPT is of kind 4, not 6", kind=pitr.PACK)


def make_denied(maker):
    secret = maker.seal(maker.keys, b"secret", codec=NONE, object_class=SECRET)
    maker.row("denied-host-key-file", secret, "DENIED does not hold the secret", key="keys.host")
    maker.row("denied-no-key-file", secret, "DENIED no key file is set", key="-")
    maker.row("denied-other-key-file", secret, "DENIED sealed with host key", key="keys.other")
    maker.row("denied-downgrade", maker.seal(maker.none, b"forged", codec=NONE, object_class=SECRET),
              "DENIED not encrypted, although key file")
    stranger = maker.seal(maker.keys, b"secret", codec=NONE, object_class=SECRET, kind=pitr.RECIPIENT,
                          recipient=maker.other.recipient_public)
    maker.row("denied-other-recipient", stranger, "DENIED sealed to public key", kind=pitr.RECIPIENT)


def make_malformed(maker):
    """Authentic, and still not to be accepted: what a holder of the host key could try, or a newer writer writes."""
    keys, two = maker.keys, regular(2)
    packed = pitr.compress(LZ4, two[:4096])
    zstd = pitr.compress(ZSTD, two[:4096])
    skippable = bytes.fromhex("502a4d1800000000")

    def bad(title, expected, plain=two, codec=LZ4, **options):
        data = maker.seal(keys, plain, codec=codec, **options)
        maker.row("malformed-" + title, data, expected, key="keys", kind=options.get("kind", pitr.WAL))

    def entry(part, raw=False):
        return part, len(part) | (RAW if raw else 0)

    def fields(**overrides):
        return {"overrides": overrides}

    bad("suite", "USAGE format version 0 with suite 2", **fields(suite=2))
    bad("class", "USAGE class 2", **fields(object_class=2))
    bad("codec", "USAGE codec 3", **fields(codec=3))
    bad("kind", "USAGE kind 255", **fields(kind=255))
    bad("reserved", "USAGE is unknown", **fields(reserved=1))
    bad("epoch-of-host", "CORRUPT epoch or keys", **fields(epoch=1))
    bad("ephemeral-of-host", "CORRUPT epoch or keys", **fields(ephemeral=bytes([9]) * 32))
    bad("sealed-to-of-host", "CORRUPT epoch or keys", **fields(sealed_to=bytes([9]) * 8))
    bad("no-epoch", "CORRUPT epoch or keys", object_class=SECRET, **fields(epoch=0))
    bad("ephemeral-low-order", "CORRUPT invalid X25519 public key", object_class=SECRET,
        **fields(ephemeral=bytes([1]) + bytes(31)))
    bad("frame-log2-small", "CORRUPT sizes in its header", **fields(frame_log2=11))
    bad("frame-log2-large", "CORRUPT sizes in its header", **fields(frame_log2=25))
    bad("plain-size", "CORRUPT sizes in its header", **fields(plain_size=8193))
    bad("plain-size-huge", "CORRUPT sizes in its header", **fields(plain_size=1 << 63))
    bad("meta-size", "CORRUPT sizes in its header", **fields(meta_size=16))
    bad("frame-count", "CORRUPT sizes in its header", **fields(frame_count=3))
    bad("header-size", "CORRUPT its header cannot have", **fields(header_size=1 << 31))
    bad("name-empty", "CORRUPT sizes in its header", **fields(name=b""))
    bad("name-zero", "CORRUPT the name in its header is not text",
        **fields(name=NAME.encode()[:-1] + b"\0"))
    bad("raw-size", "CORRUPT frame 1 cannot have 4095 bytes", codec=NONE,
        frames=[entry(two[:4096], True), entry(two[4097:], True)])
    bad("codec-none-packed", "CORRUPT frame 0 cannot have", codec=NONE, frames=[entry(packed), entry(packed)])
    bad("packed-not-smaller", "CORRUPT frame 0 cannot have 4096 bytes", frames=[entry(two[:4096]), entry(packed)])
    bad("packed-empty", "CORRUPT frame 0 cannot have 0 bytes", frames=[entry(b""), entry(packed)])
    bad("last-frame-empty", "CORRUPT sizes in its header", plain=two[:4096],
        frames=[entry(packed), entry(b"", True)])
    bad("lz4-short", "CORRUPT frame 1: lz4 data", frames=[entry(packed), entry(pitr.compress(LZ4, b"A" * 4000))])
    bad("lz4-long", "CORRUPT frame 1: lz4 data", frames=[entry(packed), entry(pitr.compress(LZ4, b"A" * 5000))])
    bad("lz4-noise", "CORRUPT frame 0: lz4 data", frames=[entry(noise(500)), entry(packed)])
    bad("zstd-long", "CORRUPT frame 0: zstd data", codec=ZSTD,
        frames=[entry(pitr.compress(ZSTD, b"A" * 10000000)), entry(zstd)])
    bad("zstd-two-frames", "CORRUPT frame 0: zstd data is not one frame", codec=ZSTD,
        frames=[entry(pitr.compress(ZSTD, two[:2000]) + pitr.compress(ZSTD, two[2000:4096])), entry(zstd)])
    bad("zstd-skippable", "CORRUPT frame 0: zstd data is not one frame", codec=ZSTD,
        frames=[entry(zstd + skippable), entry(zstd)])
    bad("zstd-noise", "CORRUPT frame 0: zstd data", codec=ZSTD, frames=[entry(noise(500)), entry(zstd)])
    bad("content-id", "CORRUPT its content is not what its header identifies", **fields(content_id=bytes(16)))


def main():
    maker = Maker(sys.argv[1])
    make_good(maker)
    make_damaged(maker, "sealed", maker.keys, "keys")
    make_damaged(maker, "plain", maker.none, "-")
    make_denied(maker)
    make_malformed(maker)
    maker.write("index", ("\n".join(maker.rows) + "\n").encode())


if __name__ == "__main__":
    main()
