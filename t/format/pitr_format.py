#!/usr/bin/python3
"""A second implementation of the repository format, written from docs/format.md alone.

It imports nothing of the project. It needs Debian's python3-cryptography and python3-lz4, and for zstd the library
libzstd.so.1. Small rather than fast: whole objects in memory.

    pitr_format.py header OBJECT                               the header as JSON, not authenticated
    pitr_format.py meta   KEYFILE OBJECT NAME [--system-id N]  the meta section
    pitr_format.py open   KEYFILE OBJECT NAME [--system-id N] [--kind K] [--recipient OBJECT]...
    pitr_format.py seal   KEYFILE NAME [options]               plaintext from stdin, object to stdout
    pitr_format.py get    KEYFILE DIRECTORY NAME               an object of a repository in a directory
    pitr_format.py file   KEYFILE DIRECTORY CLUSTER/SYSTEM/BRANCH LABEL PATH
                                                               a file of a base backup
    pitr_format.py relations KEYFILE DIRECTORY CLUSTER/SYSTEM/BRANCH LABEL
                                                               its relation map, an entry or a relation a line

    pitr_format.py recipients KEYFILE DIRECTORY CLUSTER EPOCH  who may read what is sealed to it

    pitr_format.py index KEYFILE DIRECTORY CLUSTER/SYSTEM/BRANCH TIMELINE
                                                               each segment that the WAL index knows, and how its line compares
                                                               with the segment's own meta section

KEYFILE "-" is no key. An error is one line on stderr, KIND: sentence, and exit status 1.
"""
import argparse
import ctypes
import dataclasses
import hashlib
import hmac
import json
import os
import re
import struct
import sys

import lz4.block
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC = b"pitr\r\n\x1a\n"
HOST, SECRET = 0, 1
NONE, LZ4, ZSTD = 0, 1, 2
IDENTITY, EPOCH, RECIPIENT, WAL, HISTORY, PACK, MANIFEST, FACT, WAL_INDEX, RELATION_MAP = range(1, 11)
CODECS = {"none": NONE, "lz4": LZ4, "zstd": ZSTD}
RAW = 1 << 31
TAG = 16
FIXED = struct.Struct("<8sHBBBBBBIIQ16s32s32s16s8s8sQIIH")
PLAIN_MAX, META_MAX, HEADER_MAX, NAME_MAX = 1 << 30, 1 << 16, 1 << 21, 512


class FormatError(Exception):
    """kind: CORRUPT, DENIED (another key is needed) or USAGE (a newer program, wrong arguments)."""

    def __init__(self, kind, sentence):
        super().__init__(sentence)
        self.kind = kind


def demand(condition, sentence, kind="CORRUPT"):
    if not condition:
        raise FormatError(kind, sentence)


# Primitives


def hkdf(ikm, salt, info):
    return HKDF(hashes.SHA256(), 32, salt or None, info).derive(ikm)


def sha256(data):
    return hashlib.sha256(data).digest()


def hmac_sha256(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def gmac(key, data):
    return AESGCM(key).encrypt(bytes(12), b"", data)


def x25519_public(secret):
    own = X25519PrivateKey.from_private_bytes(secret)
    return own.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def x25519(secret, public):
    try:
        shared = X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        shared = bytes(32)
    demand(shared != bytes(32), "invalid X25519 public key")
    return shared


class Zstd:
    """zstd without a module of its own: the library through ctypes."""

    def __init__(self):
        size, pointer = ctypes.c_size_t, ctypes.c_char_p
        self.library = ctypes.CDLL("libzstd.so.1")
        for name, result, arguments in (
            ("ZSTD_compressBound", size, [size]),
            ("ZSTD_compress", size, [ctypes.c_void_p, size, pointer, size, ctypes.c_int]),
            ("ZSTD_decompress", size, [ctypes.c_void_p, size, pointer, size]),
            ("ZSTD_findFrameCompressedSize", size, [pointer, size]),
            ("ZSTD_isError", ctypes.c_uint, [size]),
        ):
            function = getattr(self.library, name)
            function.restype, function.argtypes = result, arguments

    def compress(self, data, level=3):
        room = ctypes.create_string_buffer(self.library.ZSTD_compressBound(len(data)))
        size = self.library.ZSTD_compress(room, len(room), data, len(data), level)
        demand(not self.library.ZSTD_isError(size), "zstd could not compress", "USAGE")
        return room.raw[:size]

    def decompress(self, data, size):
        first = self.library.ZSTD_findFrameCompressedSize(data, len(data))
        demand(first == len(data), "zstd data is not one frame")
        room = ctypes.create_string_buffer(size + 1)
        written = self.library.ZSTD_decompress(room, size, data, len(data))
        demand(written == size, "zstd data does not decompress to %d bytes" % size)
        return room.raw[:size]


def compress(codec, data):
    if codec == LZ4:
        return lz4.block.compress(data, store_size=False)
    if codec == ZSTD:
        return Zstd().compress(data)
    return data


def decompress(codec, data, size):
    if codec == ZSTD:
        return Zstd().decompress(data, size)
    try:
        plain = lz4.block.decompress(data, uncompressed_size=size)
    except lz4.block.LZ4BlockError:
        plain = b""
    demand(len(plain) == size, "lz4 data does not decompress to %d bytes" % size)
    return plain


# Keys


class Keys:
    """A key file, the repository secrets unwrapped so far, and the public key to seal to."""

    FIELDS = {
        "pitr secret key v0": ("recipient-secret", "recipient-public", "host-key"),
        "pitr host key v0": ("recipient-public", "host-key"),
    }

    def __init__(self):
        self.encrypted = False
        self.host_key = self.recipient_secret = self.recipient_public = None
        self.host_key_id = bytes(8)
        self.epochs = {}
        self.epoch, self.public = 0, None

    @classmethod
    def read(cls, path):
        keys = cls()
        if path == "-":
            return keys
        with open(path, "rb") as file:
            demand(os.fstat(file.fileno()).st_mode & 0o077 == 0, "the key file is accessible by others", "USAGE")
            keys.parse(file.read(16385))
        return keys

    def parse(self, data):
        demand(len(data) <= 16384 and b"\0" not in data, "not a key file", "USAGE")
        lines = [line.strip(" \t\r") for line in data.decode("ascii", "replace").split("\n")]
        lines = [line for line in lines if line and not line.startswith("#")]
        demand(lines and lines[0] in self.FIELDS, "not a key file", "USAGE")
        values = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            demand(name in self.FIELDS[lines[0]] and name not in values, "unknown or repeated field", "USAGE")
            demand(re.fullmatch("[0-9a-fA-F]{64}", value.strip()), "not 64 hexadecimal digits", "USAGE")
            values[name] = bytes.fromhex(value.strip())
        demand(len(values) == len(self.FIELDS[lines[0]]), "a field is missing", "USAGE")
        self.host_key, self.recipient_public = values["host-key"], values["recipient-public"]
        self.recipient_secret = values.get("recipient-secret")
        if self.recipient_secret:
            demand(x25519_public(self.recipient_secret) == self.recipient_public, "the halves do not belong together")
        self.host_key_id = hkdf(self.host_key, b"", b"pitr host key id")[:8]
        self.encrypted = True

    def root(self, repository_id):
        return self.host_key if self.encrypted else repository_id * 2

    def pair(self, header):
        """The pair that a class secret header is sealed to."""
        if header.kind == RECIPIENT:
            secret, public = self.recipient_secret, self.recipient_public
        else:
            secret = self.epochs.get(header.epoch)
            public = secret and x25519_public(secret)
        demand(secret, "the secret that opens it is not there", "DENIED")
        demand(public_key_id(public) == header.sealed_to, "sealed to another public key", "DENIED")
        return secret, public


def public_key_id(public):
    return sha256(public)[:8]


# Key schedule


def header_tag(keys, root, untagged):
    return hmac_sha256(hkdf(root, b"", b"pitr header v0"), untagged) if keys.encrypted else sha256(untagged)


def content_id(root, repository_id, name, kind, plain):
    if kind == PACK:
        return bytes(16)
    salt = sha256(repository_id + name.encode())
    hidden = gmac(hkdf(root, salt, b"pitr content hash v0"), plain)
    return hmac_sha256(hkdf(root, salt, b"pitr content id v0"), hidden)[:16]


def piece_digests(root, repository_id, content, piece_size):
    """Of each piece of a file, one behind the other, as the manifest has them."""
    hash_key = hkdf(root, repository_id, b"pitr piece hash v0")
    digest_key = hkdf(root, repository_id, b"pitr piece digest v0")
    pieces = (content[at : at + piece_size] for at in range(0, len(content), piece_size))
    return b"".join(hmac_sha256(digest_key, gmac(hash_key, piece))[:16] for piece in pieces).hex()


def meta_key(root, digest):
    return hkdf(root, digest, b"pitr meta v0")


def host_frame_key(root, digest):
    return hkdf(root, digest, b"pitr frame v0")


def secret_frame_key(root, digest, shared, public):
    return hkdf(shared + root, digest, b"pitr frame v0 x25519" + public)


def key_proof(secret, repository_id, info, content):
    """That somebody who has this repository secret said so."""
    return hmac_sha256(hkdf(secret, repository_id, info), content)[:16]


# Header


@dataclasses.dataclass
class Header:
    version: int = 0
    suite: int = 0
    object_class: int = HOST
    codec: int = NONE
    kind: int = FACT
    frame_log2: int = 20
    reserved: int = 0
    header_size: int = 0
    epoch: int = 0
    system_identifier: int = 0
    repository_id: bytes = bytes(16)
    nonce: bytes = bytes(32)
    ephemeral: bytes = bytes(32)
    content_id: bytes = bytes(16)
    host_key_id: bytes = bytes(8)
    sealed_to: bytes = bytes(8)
    plain_size: int = 0
    meta_size: int = 0
    frame_count: int = 1
    name: bytes = b""
    frames: list = dataclasses.field(default_factory=list)
    digest: bytes = b""

    FIELDS = (
        "version suite object_class codec kind frame_log2 reserved header_size epoch system_identifier "
        "repository_id nonce ephemeral content_id host_key_id sealed_to plain_size meta_size frame_count"
    ).split()

    @classmethod
    def decode(cls, data):
        """Splits; authenticates nothing."""
        demand(data[:8] == MAGIC[: len(data)], "not a sealed object")
        demand(len(data) >= FIXED.size, "cut off: no whole header")
        _, *values, name_size = FIXED.unpack_from(data)
        header = cls(**dict(zip(cls.FIELDS, values)))
        demand(header.version == 0 and header.suite <= 1, "it needs a newer pitr, or is damaged", "USAGE")
        demand(FIXED.size + 1 + 4 + 32 <= header.header_size <= HEADER_MAX, "its header cannot have that size")
        demand(len(data) >= header.header_size, "cut off: in its header")
        header.digest = sha256(data[: header.header_size])
        rest = data[FIXED.size : header.header_size - 32]
        header.name = rest[:name_size]
        table = rest[name_size:]
        header.frames = [entry for (entry,) in struct.iter_unpack("<I", table[: len(table) // 4 * 4])]
        header.fits = 1 <= name_size <= NAME_MAX and len(table) == 4 * header.frame_count
        return header

    def encode(self):
        """Without the tag."""
        values = [getattr(self, field) for field in self.FIELDS]
        fixed = FIXED.pack(MAGIC, *values, len(self.name))
        return fixed + self.name + struct.pack("<%dI" % len(self.frames), *self.frames)

    def frame_plain_size(self, index):
        return min(1 << self.frame_log2, self.plain_size - (index << self.frame_log2))

    def whole_size(self):
        return self.header_size + self.meta_size + sum((entry & ~RAW) + TAG for entry in self.frames)

    def frame_range(self, index):
        begin = self.header_size + self.meta_size + sum((entry & ~RAW) + TAG for entry in self.frames[:index])
        return begin, (self.frames[index] & ~RAW) + TAG

    def check(self):
        """Rule 5 of "Reading"."""
        known = self.object_class <= SECRET and self.codec <= ZSTD and 1 <= self.kind <= RELATION_MAP
        demand(known and self.reserved == 0, "it needs a newer pitr", "USAGE")
        sealed = self.suite == 1 and self.object_class == SECRET
        demand(sealed or (self.ephemeral == bytes(32) and self.sealed_to == bytes(8)), "keys do not fit the class")
        demand(self.suite == 1 or self.host_key_id == bytes(8), "keys do not fit the class")
        demand((self.epoch != 0) == (sealed and self.kind != RECIPIENT), "the epoch does not fit the class")
        demand(self.kind != PACK or self.content_id == bytes(16), "a pack has no content identity")
        demand(12 <= self.frame_log2 <= 24 and self.plain_size <= PLAIN_MAX, "sizes contradict each other")
        demand(self.meta_size == 0 or TAG < self.meta_size <= META_MAX + TAG, "sizes contradict each other")
        count = max(1, -(-self.plain_size >> self.frame_log2) if self.plain_size else 1)
        demand(self.fits and self.frame_count == count, "sizes contradict each other")
        demand(b"\0" not in self.name, "the name is not text")
        for index, entry in enumerate(self.frames):
            size, plain_size = entry & ~RAW, self.frame_plain_size(index)
            fits = size == plain_size if entry & RAW else 0 < size < plain_size and self.codec != NONE
            demand(fits, "frame %d cannot have %d bytes" % (index, size))

    def as_json(self):
        members = {}
        for field in self.FIELDS:
            value = getattr(self, field)
            members[field] = value.hex() if isinstance(value, bytes) else value
        members["system_identifier"] = str(self.system_identifier)
        members["name"] = self.name.decode("utf-8", "replace")
        members["frames"] = [{"size": entry & ~RAW, "raw": bool(entry & RAW)} for entry in self.frames]
        return json.dumps(members, indent=1)


# Opening


def nonce_of(index, last):
    return bytes(4) + index.to_bytes(7, "big") + bytes([1 if last else 0])


def section_open(header, key, label, index, last, stored):
    nonce, content, tag = nonce_of(index, last), stored[:-TAG], stored[-TAG:]
    if header.suite == 0:
        demand(sha256(header.digest + nonce + label + content)[:TAG] == tag, "a checksum does not match")
        return content
    try:
        return AESGCM(key).decrypt(nonce, stored, None)
    except InvalidTag:
        raise FormatError("CORRUPT", "it is not what was sealed") from None


def open_header(keys, data, name=None, system_identifier=None, repository_id=None, kind=None):
    """Authenticates the header; what is None is not compared."""
    header = Header.decode(data)
    demand(header.suite == 1 or not keys.encrypted, "not encrypted, although a key file is set", "DENIED")
    demand(header.suite == 0 or keys.encrypted, "sealed, but no key file is set", "DENIED")
    demand(header.suite == 0 or header.host_key_id == keys.host_key_id, "sealed with another host key", "DENIED")
    untagged, tag = data[: header.header_size - 32], data[header.header_size - 32 : header.header_size]
    expected = header_tag(keys, keys.root(header.repository_id), untagged)
    demand(hmac.compare_digest(expected, tag), "its header is not what was sealed")
    header.check()
    demand(repository_id in (None, header.repository_id), "it belongs to another repository")
    demand(name is None or name.encode() == header.name, "it was sealed as \"%s\"" % header.name.decode())
    demand(system_identifier in (None, header.system_identifier), "it belongs to another system identifier")
    demand(kind in (None, header.kind), "it is of another kind")
    return header


def open_meta(keys, header, data):
    if header.meta_size == 0:
        return b""
    stored = data[header.header_size : header.header_size + header.meta_size]
    demand(len(stored) == header.meta_size, "cut off: in its meta section")
    return section_open(header, meta_key(keys.root(header.repository_id), header.digest), b"meta", 0, True, stored)


def frame_key(keys, header):
    root = keys.root(header.repository_id)
    if header.suite == 0 or header.object_class == HOST:
        return host_frame_key(root, header.digest)
    secret, public = keys.pair(header)
    return secret_frame_key(root, header.digest, x25519(secret, header.ephemeral), public)


def open_frame(header, key, index, stored):
    last = index == header.frame_count - 1
    content = section_open(header, key, b"data", index, last, stored)
    if header.frames[index] & RAW:
        return content
    return decompress(header.codec, content, header.frame_plain_size(index))


def open_object(keys, data, **expected):
    """The plaintext, or FormatError."""
    header = open_header(keys, data, **expected)
    demand(len(data) >= header.whole_size(), "cut off: %d bytes of %d" % (len(data), header.whole_size()))
    demand(len(data) == header.whole_size(), "bytes behind its end")
    open_meta(keys, header, data)
    key, parts = frame_key(keys, header), []
    for index in range(header.frame_count):
        begin, size = header.frame_range(index)
        parts.append(open_frame(header, key, index, data[begin : begin + size]))
    plain = b"".join(parts)
    root = keys.root(header.repository_id)
    found = content_id(root, header.repository_id, header.name.decode(), header.kind, plain)
    demand(found == header.content_id, "its content is not what its header identifies")
    return plain


def unwrap_epoch(keys, data):
    """Takes the repository secret out of a recipient's object; the epoch is in its name."""
    header = open_header(keys, data, kind=RECIPIENT)
    match = re.fullmatch(r"[^/]+/key/([0-9a-f]{8})/recipient/([0-9a-f]{16})/([0-9a-f]{16})", header.name.decode())
    demand(match, "the name is not a recipient's")
    demand(match.group(3) == header.sealed_to.hex(), "it is sealed to another recipient than its name says")
    secret = open_object(keys, data)
    demand(len(secret) == 32, "it does not hold a secret")
    demand(match.group(2) == public_key_id(x25519_public(secret)).hex(), "it holds another secret than its name says")
    keys.epochs[int(match.group(1), 16)] = secret


# Sealing


def section_seal(header, key, label, index, last, content):
    nonce = nonce_of(index, last)
    if header.suite == 0:
        return content + sha256(header.digest + nonce + label + content)[:TAG]
    return AESGCM(key).encrypt(nonce, content, None)


def stored_frames(codec, plain, frame_log2):
    size = 1 << frame_log2
    frames, table = [], []
    for begin in range(0, max(1, len(plain)), size):
        frame = plain[begin : begin + size]
        packed = compress(codec, frame) if codec != NONE and frame else frame
        raw = len(packed) >= len(frame)
        frames.append(frame if raw else packed)
        table.append(len(frames[-1]) | (RAW if raw else 0))
    return frames, table


def seal_object(keys, name, plain, kind=FACT, object_class=HOST, codec=NONE, frame_log2=20, system_identifier=0,
                repository_id=bytes(16), meta=b"", nonce=None, ephemeral_secret=None, recipient=None, frames=None,
                overrides=None):
    """`recipient`: the public key, when it is not the current epoch's. `frames` and `overrides` make what no writer
    may make, for tests: [(stored bytes, table entry)], and header fields that replace the right ones."""
    header = Header(suite=int(keys.encrypted), object_class=object_class, codec=codec, kind=kind,
                    frame_log2=frame_log2, system_identifier=system_identifier, repository_id=repository_id,
                    host_key_id=keys.host_key_id, plain_size=len(plain), name=name.encode())
    if frames is None:
        parts, header.frames = stored_frames(codec, plain, frame_log2)
    else:
        parts, header.frames = [part for part, _ in frames], [entry for _, entry in frames]
    root, public = keys.root(repository_id), recipient
    if keys.encrypted and object_class == SECRET:
        header.epoch = 0 if recipient else keys.epoch
        public = recipient or keys.public
        ephemeral_secret = ephemeral_secret or os.urandom(32)
        header.ephemeral = x25519_public(ephemeral_secret)
        header.sealed_to = public_key_id(public)
    header.nonce = nonce or os.urandom(32)
    header.content_id = content_id(root, repository_id, name, kind, plain)
    header.frame_count = len(parts)
    header.meta_size = len(meta) + TAG if meta else 0
    header.name = (overrides or {}).get("name", header.name)
    header.header_size = FIXED.size + len(header.name) + 4 * len(parts) + 32
    for field, value in (overrides or {}).items():
        setattr(header, field, value)
    encoded = header.encode()
    encoded += header_tag(keys, root, encoded)
    header.digest = sha256(encoded)
    if keys.encrypted and object_class == SECRET:
        key = secret_frame_key(root, header.digest, x25519(ephemeral_secret, public), public)
    else:
        key = host_frame_key(root, header.digest)
    sealed = [section_seal(header, meta_key(root, header.digest), b"meta", 0, True, meta)] if meta else []
    for index, part in enumerate(parts):
        sealed.append(section_seal(header, key, b"data", index, index == len(parts) - 1, part))
    return encoded + b"".join(sealed)


# A repository in a directory


class Repository:
    """Reads objects by name. The system identifier in a name is the one demanded of the object."""

    def __init__(self, directory, keys):
        self.directory, self.keys, self.repository_id = directory, keys, None

    def bytes_of(self, name):
        with open(os.path.join(self.directory, name), "rb") as file:
            return file.read()

    def expected(self, name):
        parts = name.split("/")
        system = int(parts[1]) if parts[1].isdigit() else 0
        return {"name": name, "system_identifier": system, "repository_id": self.repository_id}

    def unlock(self, header, cluster):
        if header.suite == 0 or header.object_class == HOST or header.kind == RECIPIENT:
            return
        if header.epoch not in self.keys.epochs:
            own = public_key_id(self.keys.recipient_public).hex()
            self.unwrap("%s/key/%08x/recipient/%s/%s" % (cluster, header.epoch, header.sealed_to.hex(), own))

    def unwrap(self, name):
        if not os.path.exists(os.path.join(self.directory, name)):
            raise FormatError("DENIED", "our key is no recipient of that epoch: %s" % name)
        data = self.bytes_of(name)
        open_header(self.keys, data, kind=RECIPIENT, **self.expected(name))
        unwrap_epoch(self.keys, data)

    def get(self, name):
        data = self.bytes_of(name)
        header = open_header(self.keys, data, **self.expected(name))
        self.repository_id = header.repository_id
        self.unlock(header, name.split("/")[0])
        return open_object(self.keys, data, **self.expected(name))

    def meta(self, name):
        data = self.bytes_of(name)
        return json.loads(open_meta(self.keys, open_header(self.keys, data, **self.expected(name)), data))

    def current_epoch(self, cluster):
        """Sets what new objects of class secret are sealed to."""
        while os.path.exists(os.path.join(self.directory, "%s/key/%08x/public" % (cluster, self.keys.epoch + 1))):
            document = json.loads(self.get("%s/key/%08x/public" % (cluster, self.keys.epoch + 1)))
            self.keys.epoch, self.keys.public = document["epoch"], bytes.fromhex(document["public"])

    def recipients(self, cluster, epoch):
        """Meta of each recipient of an epoch by the id of its key; checks that somebody added it who could read."""
        document = json.loads(self.get("%s/key/%08x/public" % (cluster, epoch)))
        public = bytes.fromhex(document["public"])
        base = "%s/key/%08x/recipient/%s" % (cluster, epoch, public_key_id(public).hex())
        self.unwrap("%s/%s" % (base, public_key_id(self.keys.recipient_public).hex()))
        found = {}
        for name in sorted(os.listdir(os.path.join(self.directory, base))):
            meta = self.meta("%s/%s" % (base, name))
            recipient = bytes.fromhex(meta["public"])
            demand(public_key_id(recipient).hex() == name, "the public key of another recipient")
            proof = key_proof(self.keys.epochs[epoch], self.repository_id, b"pitr recipient v0", recipient)
            demand(proof.hex() == meta["proof"], "added by somebody who could not read")
            found[name] = meta
        if epoch - 1 in self.keys.epochs:
            content = epoch.to_bytes(4, "little") + public
            proof = key_proof(self.keys.epochs[epoch - 1], self.repository_id, b"pitr epoch v0", content)
            demand(proof.hex() == document["proof"], "begun by somebody who could not read")
        return found

    def identity(self, prefix):
        """`prefix` is cluster/system."""
        return json.loads(self.get(prefix + "/identity"))

    def backup(self, branch, label):
        """`branch` is cluster/system/branch."""
        return json.loads(self.get("%s/backup/%s/complete" % (branch, label)))

    def entries(self, branch, label):
        """Each entry of the manifest with its extents as (name of the pack, offset, size)."""
        base = "/".join(branch.split("/")[:2])
        for part in range(self.backup(branch, label)["manifest_parts"]):
            document = json.loads(self.get("%s/manifest/%s/%08x" % (branch, label, part)))
            demand(document["label"] == label and document["part"] == part, "part of another manifest")
            for entry in document["files"]:
                entry["extents"] = [(base + "/" + document["packs"][place], offset, size)
                                    for place, offset, size in entry.get("extents", [])]
                entry["piece_size"] = document.get("piece_size", 0)
                yield entry

    def relation_map(self, branch, label):
        """Each entry of the map: a database, and the relations of it that stand in this part."""
        for part in range(self.backup(branch, label).get("relation_map", {"parts": 0})["parts"]):
            document = json.loads(self.get("%s/relation/%s/%08x" % (branch, label, part)))
            demand(document["label"] == label and document["part"] == part, "part of another map")
            yield from document["databases"]

    def chain(self, branch):
        """(cluster/system/branch, origin) of the branch, its parent, …, main; the last has no origin."""
        base, name = branch.rsplit("/", 1)
        chain = []
        while name != "main":
            demand(len(chain) < 31, "a chain without an end")
            origin = json.loads(self.get("%s/%s/origin" % (base, name)))
            demand(origin["branch"] == name and origin["timeline"] > 0, "origin of another branch")
            chain.append(("%s/%s" % (base, name), origin))
            name = origin["parent"]
        return chain + [(base + "/main", None)]

    def wal_name(self, branch, file):
        """The object in which a server of the branch finds a WAL file."""
        timeline, place = int(file[:8], 16), file[8:24]
        for owner, origin in self.chain(branch):
            if origin is None or timeline > origin["timeline"]:
                break
            if timeline == origin["timeline"] and not file.endswith(".history"):
                if "first_segment" in origin and place >= origin["first_segment"]:
                    break
        if file.endswith(".history"):
            return "%s/history/%s" % (owner, file)
        return "%s/wal/%s/%s/%s" % (owner, file[:8], file[8:16], file)

    def wal_index(self, branch, timeline):
        """name -> (size, meta) of the segments that the index over WAL knows; the youngest object counts."""
        directory, known = "%s/index/%08X" % (branch, timeline), {}
        for block in sorted(os.listdir(os.path.join(self.directory, directory))):
            lines = self.get("%s/%s" % (directory, block)).decode().split("\n")
            demand(lines.pop() == "", "the last line has no end")
            made_us = json.loads(lines[0])["made_us"]
            for line in lines[1:]:
                if line.startswith('{"name":"') and made_us >= known.get(line[9:33], (0,))[0]:
                    entry = json.loads(line)
                    known[entry["name"]] = (made_us, entry["size"], entry["meta"])
        return {name: value[1:] for name, value in known.items()}

    def file(self, entry, packs=None):
        """The bytes of an entry; `packs` may be a dict that keeps opened packs."""
        packs, parts = {} if packs is None else packs, []
        for pack, offset, size in entry["extents"]:
            if pack not in packs:
                packs[pack] = self.get(pack)
            demand(offset + size <= len(packs[pack]), "an extent leaves its pack")
            parts.append(packs[pack][offset : offset + size])
        content = b"".join(parts)
        demand(len(content) == entry["size"], "extents do not add up")
        demand(self.digests(content, entry["piece_size"]).startswith(entry.get("digests", "")),
               "a digest is not that of its piece")
        return content

    def digests(self, content, piece_size):
        if piece_size == 0:
            return ""
        return piece_digests(self.keys.root(self.repository_id), self.repository_id, content, piece_size)

    def put(self, name, plain, **options):
        """Creates an object; never replaces one."""
        path = os.path.join(self.directory, name)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        options.setdefault("system_identifier", self.expected(name)["system_identifier"])
        data = seal_object(self.keys, name, plain, repository_id=self.repository_id, **options)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)


# Command line


def run_open(arguments):
    keys = Keys.read(arguments.keyfile)
    for path in arguments.recipient:
        with open(path, "rb") as file:
            unwrap_epoch(keys, file.read())
    with open(arguments.object, "rb") as file:
        return open_object(keys, file.read(), name=arguments.name, system_identifier=arguments.system_id,
                           kind=arguments.kind)


def run_meta(arguments):
    keys = Keys.read(arguments.keyfile)
    with open(arguments.object, "rb") as file:
        data = file.read()
    header = open_header(keys, data, name=arguments.name, system_identifier=arguments.system_id)
    return open_meta(keys, header, data)


def run_header(arguments):
    with open(arguments.object, "rb") as file:
        return Header.decode(file.read()).as_json().encode() + b"\n"


def run_seal(arguments):
    keys, meta = Keys.read(arguments.keyfile), b""
    keys.epoch, keys.public = arguments.epoch, bytes.fromhex(arguments.public)
    if arguments.meta:
        with open(arguments.meta, "rb") as file:
            meta = file.read()
    return seal_object(
        keys, arguments.name, sys.stdin.buffer.read(), kind=arguments.kind, object_class=arguments.object_class,
        codec=CODECS[arguments.codec], frame_log2=arguments.frame_log2, system_identifier=arguments.system_id,
        repository_id=bytes.fromhex(arguments.repository_id), meta=meta, nonce=bytes.fromhex(arguments.nonce),
        ephemeral_secret=bytes.fromhex(arguments.ephemeral), recipient=bytes.fromhex(arguments.to) or None)


def run_get(arguments):
    return Repository(arguments.directory, Keys.read(arguments.keyfile)).get(arguments.name)


def run_recipients(arguments):
    repository = Repository(arguments.directory, Keys.read(arguments.keyfile))
    for system in sorted(filter(str.isdigit, os.listdir(os.path.join(arguments.directory, arguments.cluster)))):
        repository.identity("%s/%s" % (arguments.cluster, system))
    for epoch in range(1, arguments.epoch):
        repository.recipients(arguments.cluster, epoch)
    found = repository.recipients(arguments.cluster, arguments.epoch)
    return "".join("%s %s\n" % (name, meta["host"]) for name, meta in found.items()).encode()


def run_file(arguments):
    repository = Repository(arguments.directory, Keys.read(arguments.keyfile))
    for entry in repository.entries(arguments.branch, arguments.label):
        if entry["path"] == arguments.path and entry["type"] == "file":
            return repository.file(entry)
    raise FormatError("USAGE", "there is no such file in the backup")


def run_index(arguments):
    repository, lines = Repository(arguments.directory, Keys.read(arguments.keyfile)), []
    for name, (size, meta) in sorted(repository.wal_index(arguments.branch, arguments.timeline).items()):
        segment = "%s/wal/%s/%s/%s" % (arguments.branch, name[:8], name[8:16], name)
        path = os.path.join(repository.directory, segment)
        if not os.path.exists(path):
            says = "missing"
        elif os.path.getsize(path) != size:
            says = "another"
        else:
            says = "same" if repository.meta(segment) == meta else "different"
        lines.append("%s %s\n" % (name, says))
    return "".join(lines).encode()


def run_wal(arguments):
    repository = Repository(arguments.directory, Keys.read(arguments.keyfile))
    return repository.get(repository.wal_name(arguments.branch, arguments.file))


def name_of(member, which="name"):
    return member[which] if which in member else {"hex": member[which + "_hex"]}


def run_relations(arguments):
    """What t/tools/relation_map.c prints, but with an entry for each part that a database goes on in."""
    repository, lines = Repository(arguments.directory, Keys.read(arguments.keyfile)), []
    for entry in repository.relation_map(arguments.branch, arguments.label):
        lines.append(["database", entry["oid"], name_of(entry), entry["encoding"], entry.get("closed", False),
                      entry.get("missing", "")])
        for relation in entry["relations"]:
            database = 0 if relation["tablespace"] == 1664 else entry["oid"]
            numbers = [relation[which] for which in ("tablespace", "filenode", "oid", "table")]
            lines.append(["relation", database, *numbers, relation["kind"], relation["persistence"],
                          name_of(relation, "schema"), name_of(relation)])
    return "".join(json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n" for line in lines).encode()


def arguments_parse():
    parser = argparse.ArgumentParser(description="A second implementation of the pitr repository format.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name, run, *positional):
        added = verbs.add_parser(name)
        added.set_defaults(run=run)
        for argument in positional:
            added.add_argument(argument)
        return added

    verb("header", run_header, "object")
    for name, run in (("open", run_open), ("meta", run_meta)):
        added = verb(name, run, "keyfile", "object", "name")
        added.add_argument("--system-id", type=int)
        added.add_argument("--kind", type=int)
        added.add_argument("--recipient", action="append", default=[], metavar="OBJECT")
    added = verb("seal", run_seal, "keyfile", "name")
    added.add_argument("--system-id", type=int, default=0)
    added.add_argument("--kind", type=int, default=FACT)
    added.add_argument("--class", dest="object_class", type=int, choices=(HOST, SECRET), default=HOST)
    added.add_argument("--codec", choices=sorted(CODECS), default="none")
    added.add_argument("--frame-log2", type=int, default=20)
    added.add_argument("--repository-id", default=bytes(16).hex(), metavar="HEX")
    added.add_argument("--epoch", type=int, default=0)
    for option in ("--public", "--to", "--nonce", "--ephemeral"):
        added.add_argument(option, default="", metavar="HEX")
    added.add_argument("--meta", metavar="FILE")
    verb("get", run_get, "keyfile", "directory", "name")
    verb("recipients", run_recipients, "keyfile", "directory", "cluster").add_argument("epoch", type=int)
    verb("file", run_file, "keyfile", "directory", "branch", "label", "path")
    verb("wal", run_wal, "keyfile", "directory", "branch", "file")
    verb("index", run_index, "keyfile", "directory", "branch").add_argument("timeline", type=int)
    verb("relations", run_relations, "keyfile", "directory", "branch", "label")
    return parser.parse_args()


def main():
    arguments = arguments_parse()
    try:
        answer = arguments.run(arguments)
    except FormatError as error:
        sys.exit("%s: %s" % (error.kind, error))
    except OSError as error:
        sys.exit("%s: %s" % ("NOT_FOUND" if isinstance(error, FileNotFoundError) else "SYSTEM", error))
    sys.stdout.buffer.write(answer)


if __name__ == "__main__":
    main()
