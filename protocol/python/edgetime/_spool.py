"""A file that keeps batches until they are answered, over restarts of the program too.

It begins with the producer's number, so that what is sent again by the next process is stored once. Records are only
appended, each behind the last whole one; one that is cut off was never promised. The file is written anew when nothing
waits.
"""

from __future__ import annotations

import errno
import os
import zlib
from contextlib import suppress
from io import FileIO
from typing import Dict, List, NamedTuple

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


class SpoolError(EdgetimeError):
    """The spool could not be written, as where the disk is full: what was to be kept still waits in memory."""


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
        # Unbuffered: what could not be written must not come out later, behind something else.
        self._file: FileIO = open(path, "a+b", buffering=0)
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
        """Keeps a batch, and the names that it may use: all of it, or nothing."""
        new = names[len(self.names) :]
        batch = Kept(payload, rows)
        self._append(_names(new) + _batch(sequence, batch), self._fsync)
        self.names += new
        self.sequence = sequence
        self.batches[sequence] = batch

    def answered(self, sequence: int) -> None:
        """Lets a batch go. Where that cannot be noted it is sent once more, later, and the server knows it."""
        if self.batches.pop(sequence, None) is None:
            return
        with suppress(SpoolError):
            self._append(_record(ANSWERED, varint(sequence)))
        if not self.batches and self._bytes > REWRITE_BYTES:
            with suppress(SpoolError):
                self._rewrite()

    def forget_names(self) -> None:
        """Numbers begin at 0 again; nothing waits then."""
        names, self.names = self.names, []
        try:
            self._rewrite()
        except BaseException:
            self.names = names
            raise

    def close(self) -> None:
        self._file.close()

    def _append(self, records: bytes, fsync: bool = False) -> None:
        """All of them, or none: what is torn is cut off, or else overwritten by the next ones."""
        try:
            self._file.seek(self._bytes)
            _write(self._file, records)
            if fsync:
                os.fsync(self._file.fileno())
        except BaseException as error:
            with suppress(OSError):
                self._file.truncate(self._bytes)
            if isinstance(error, OSError):
                raise self._error(error) from error
            raise
        self._bytes += len(records)

    def _error(self, error: OSError) -> SpoolError:
        return SpoolError("spool %s cannot be written: %s" % (self.path, error.strerror or error))

    def _rewrite(self) -> None:
        """A new file with what still counts takes the place of the old one."""
        old, path = self._file, self.path + ".new"
        try:
            self._file = open(path, "w+b", buffering=0)
            head = self.producer.to_bytes(8, "little") + varint(self.sequence) + text(self._database)
            size = _write(self._file, MAGIC + _record(HEAD, head) + _names(self.names))
            for sequence, batch in self.batches.items():
                size += _write(self._file, _batch(sequence, batch))
            os.fsync(self._file.fileno())
            self._lock()
            os.replace(path, self.path)
        except BaseException as error:
            if self._file is not old:
                self._file.close()
                self._file = old
                with suppress(OSError):
                    os.unlink(path)
            if isinstance(error, OSError):
                raise self._error(error) from error
            raise
        self._bytes = size
        old.close()


def _record(kind: int, body: bytes) -> bytes:
    head = bytes([kind]) + len(body).to_bytes(4, "little")
    return head + zlib.crc32(body, zlib.crc32(head)).to_bytes(4, "little") + body


def _names(names: List[bytes]) -> bytes:
    return b"".join(_record(NAME, name) for name in names)


def _batch(sequence: int, batch: Kept) -> bytes:
    return _record(BATCH, varint(sequence) + varint(batch.rows) + batch.payload)


def _write(file: FileIO, data: bytes) -> int:
    """Writes all of it, in as many pieces as the system makes of it; its length."""
    left = memoryview(data)
    while left:
        written = file.write(left)
        if not written:
            raise OSError(errno.EIO, "nothing was written")
        left = left[written:]
    return len(data)
