"""A file that keeps batches until they are answered, over restarts of the program too.

It begins with the producer's number, so that what is sent again by the next process is stored once. Records are only
appended; one that is cut off, and what lies behind it, was never promised. The file is written anew when nothing waits.
"""

from __future__ import annotations

import os
import zlib
from typing import BinaryIO, Dict, List, NamedTuple

from ._errors import EdgetimeError, ProtocolError
from ._wire import Reader, text, varint

try:
    import fcntl
except ImportError:  # pragma: no cover
    fcntl = None  # type: ignore[assignment]

MAGIC = b"edgetime spool 1\n"
HEAD, NAME, BATCH, ANSWERED = 0, 1, 2, 3
REWRITE_BYTES = 256 * 1024


class SpoolFull(EdgetimeError):
    """The spool holds as much as it may: the row was not taken."""


class Kept(NamedTuple):
    """A batch that waits."""

    payload: bytes
    rows: int


class Spool:
    """Batches on their way."""

    def __init__(self, path: str, database: str, producer: int, bytes_max: int, fsync: bool) -> None:
        self.path = path
        self.producer = producer
        self.sequence = 0
        self.names: List[bytes] = []
        self.batches: Dict[int, Kept] = {}
        self._database = database
        self._bytes_max = bytes_max
        self._fsync = fsync
        self._bytes = 0
        self._file: BinaryIO = open(path, "a+b")
        try:
            self._lock()
            self._read()
            self._rewrite()
        except BaseException:
            self._file.close()
            raise

    def _lock(self) -> None:
        if fcntl is not None:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise EdgetimeError("spool %s: another program uses it" % self.path) from error

    def _read(self) -> None:
        self._file.seek(0)
        data = self._file.read()
        if data and not data.startswith(MAGIC):
            raise EdgetimeError("spool %s: not a spool" % self.path)
        at = len(MAGIC)
        while at + 9 <= len(data):
            length = int.from_bytes(data[at + 1 : at + 5], "little")
            crc = int.from_bytes(data[at + 5 : at + 9], "little")
            body = data[at + 9 : at + 9 + length]
            if len(body) < length or zlib.crc32(body, zlib.crc32(data[at : at + 5])) != crc:
                break
            try:
                self._obey(data[at], Reader(body))
            except ProtocolError as error:
                raise EdgetimeError("spool %s: byte %d: %s" % (self.path, at, error)) from error
            at += 9 + length

    def _obey(self, kind: int, body: Reader) -> None:
        if kind == HEAD:
            self.producer, self.sequence = body.u64(), body.varint()
            database = body.text()
            if database != self._database:
                raise EdgetimeError("spool %s: of database %r, not %r" % (self.path, database, self._database))
        elif kind == NAME:
            self.names.append(body.take(body.left()))
        elif kind == BATCH:
            sequence, rows = body.varint(), body.varint()
            self.sequence = max(self.sequence, sequence)
            self.batches[sequence] = Kept(body.take(body.left()), rows)
        elif kind == ANSWERED:
            self.batches.pop(body.varint(), None)

    def is_full(self) -> bool:
        """Whether no further row is to be taken."""
        return sum(len(batch.payload) for batch in self.batches.values()) >= self._bytes_max

    def add(self, names: List[bytes], sequence: int, payload: bytes, rows: int) -> None:
        """Keeps a batch, and the names that it may use."""
        for name in names[len(self.names) :]:
            self._append(NAME, name)
            self.names.append(name)
        self.sequence = sequence
        self.batches[sequence] = Kept(payload, rows)
        self._append(BATCH, varint(sequence) + varint(rows) + payload)
        self._flush()

    def answered(self, sequence: int) -> None:
        """Lets a batch go."""
        if self.batches.pop(sequence, None) is not None:
            self._append(ANSWERED, varint(sequence))
            if not self.batches and self._bytes > REWRITE_BYTES:
                self._rewrite()
            else:
                self._file.flush()

    def forget_names(self) -> None:
        """Numbers begin at 0 again; nothing waits then."""
        self.names.clear()
        self._rewrite()

    def close(self) -> None:
        self._file.close()

    def _append(self, kind: int, body: bytes) -> None:
        head = bytes([kind]) + len(body).to_bytes(4, "little")
        record = head + zlib.crc32(body, zlib.crc32(head)).to_bytes(4, "little") + body
        self._file.write(record)
        self._bytes += len(record)

    def _flush(self) -> None:
        self._file.flush()
        if self._fsync:
            os.fsync(self._file.fileno())

    def _rewrite(self) -> None:
        """A new file with what still counts takes the place of the old one."""
        old, path = self._file, self.path + ".new"
        self._file = open(path, "w+b")
        try:
            self._file.write(MAGIC)
            self._bytes = len(MAGIC)
            head = self.producer.to_bytes(8, "little") + varint(self.sequence) + text(self._database)
            self._append(HEAD, head)
            for name in self.names:
                self._append(NAME, name)
            for sequence, batch in self.batches.items():
                self._append(BATCH, varint(sequence) + varint(batch.rows) + batch.payload)
            self._file.flush()
            os.fsync(self._file.fileno())
            self._lock()
            os.replace(path, self.path)
        except BaseException:
            self._file.close()
            self._file = old
            raise
        old.close()
