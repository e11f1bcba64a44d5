"""A connection without its socket: what is to be sent, and what comes of the bytes that arrive.

Gathers rows, keeps every batch until it is answered, and says all of it again on a new connection.
"""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple, Union
from urllib.parse import unquote, urlsplit

from ._errors import CODES, ProtocolError, ServerError
from ._result import Result
from ._spool import Spool, SpoolError, SpoolFull
from ._values import Value, plain, put_column, read_result_column, type_of
from ._wire import HEADER_BYTES, MAGIC, Reader, bitmap, frame, packed, sized, take_frame, text, varint

HELLO, WELCOME, PING, PONG, ERROR = 1, 2, 3, 4, 5
QUERY, CANCEL, COLUMNS, BATCH, END = 16, 17, 18, 19, 20
DECLARE, WRITE, WRITTEN, CREDITS = 32, 33, 34, 35
WRITES = 1
PRODUCERS = 2
LEVELS = ("none", "accepted", "durable")
ROWS_MAX = 4096
NAME_COUNT_MAX = 4096
SERIES_MAX = 200_000
PAYLOAD_ABOUT_MAX = 512 * 1024
# Batches without an answer: servers tell so many of a producer apart.
IN_FLIGHT_MAX = 64

Time = Union[int, datetime, None]
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Refused(NamedTuple):
    """A row that the server refused."""

    row: int
    code: str
    message: str


class Address(NamedTuple):
    """Where a server is, and which database is meant."""

    host: str
    port: int
    database: str
    token: str


def parse_url(url: str) -> Address:
    """The parts of edgetime://[TOKEN@]HOST[:PORT][/DATABASE]."""
    parts = urlsplit(url)
    if parts.scheme != "edgetime" or not parts.hostname:
        raise ValueError("not edgetime://HOST:PORT/DATABASE: %r" % url)
    return Address(
        parts.hostname, parts.port or 7480, unquote(parts.path.strip("/")), unquote(parts.username or "")
    )


def nanoseconds(time: Time) -> Optional[int]:
    """A time as nanoseconds since 1970."""
    if time is None:
        return None
    if isinstance(time, datetime):
        if time.tzinfo is None:
            raise ValueError("a datetime without a time zone")
        return (time - EPOCH) // timedelta(microseconds=1) * 1000
    return int(time)


class SpoolOptions(NamedTuple):
    """How batches are kept on disk."""

    path: str
    bytes_max: int
    fsync: bool


class _Section:
    def __init__(self, kinds: Tuple[int, ...]) -> None:
        self.kinds = kinds
        self.series: List[int] = []
        self.times: List[Optional[int]] = []
        self.columns: List[List[Optional[Value]]] = [[] for _ in kinds]
        self.rows: List[int] = []


class _InFlight(NamedTuple):
    payload: bytes
    rows: List[int]
    sequence: int


# The row's number in `refused` where an earlier process wrote it.
ROW_UNKNOWN = -1


class Session:
    """The state of one client over all its connections."""

    def __init__(self, address: Address, ack: str = "durable", spool: Optional[SpoolOptions] = None) -> None:
        if ack not in LEVELS[1:]:
            raise ValueError("ack is accepted or durable, not %r" % ack)
        self.address = address
        self.level = LEVELS.index(ack)
        self.output = bytearray()
        self.refused: List[Refused] = []
        self.rows_written = 0
        self.duplicates = 0
        self.position = 0
        self.results: Dict[int, Union[Result, Exception]] = {}
        self.is_open = False
        self._inbox = bytearray()
        self._running: Dict[int, Result] = {}
        self._request = 0
        self._credits = 0
        self._features = 0
        self._producer = random.SystemRandom().getrandbits(63) | 1
        self._sequence = 0
        self._row = 0
        self._waiting: List[_InFlight] = []
        self._sent: Dict[int, _InFlight] = {}
        self._forget_names()
        self.spool: Optional[Spool] = None
        if spool is not None:
            self._resume(spool)

    def _resume(self, options: SpoolOptions) -> None:
        """What an earlier process left is sent first, under its own names and numbers."""
        database = self.address.database
        spool = Spool(options.path, database, self._producer, options.bytes_max, options.fsync)
        self.spool = spool
        self._producer, self._sequence = spool.producer, spool.sequence
        for name in spool.names:
            reader = Reader(name)
            kind = reader.byte()
            if kind == 1:
                reader.text()
                self._tables[reader.text()] = len(self._tables)
            elif kind == 2:
                table = reader.varint()
                fields = [(reader.byte(), reader.text()) for _ in range(reader.count())]
                names, kinds = tuple(name for _, name in fields), tuple(kind for kind, _ in fields)
                self._layouts[(table, names, kinds)] = len(self._layouts)
            else:
                table = reader.varint()
                tags = [(reader.text(), reader.text()) for _ in range(reader.count())]
                self._series[(table, *tags)] = len(self._series)
        self._declarations = list(spool.names)
        self._waiting = [
            _InFlight(batch.payload, [ROW_UNKNOWN] * batch.rows, sequence)
            for sequence, batch in sorted(spool.batches.items())
        ]

    def _forget_names(self) -> None:
        self._tables: Dict[str, int] = {}
        self._series: Dict[Tuple[Any, ...], int] = {}
        self._layouts: Dict[Tuple[Any, ...], int] = {}
        self._declarations: List[bytes] = []
        self._declared = 0
        self._sections: Dict[int, _Section] = {}
        self._gathered = 0
        self._bytes = 0

    # Connections

    def begin(self) -> None:
        """A new connection: hello, and everything that was not answered once more."""
        self._inbox.clear()
        self.output.clear()
        self.is_open = False
        self._credits = self._features = self._declared = 0
        self._waiting = list(self._sent.values()) + self._waiting
        self._sent.clear()
        for request in self._running:
            self.results[request] = ProtocolError("the connection broke before the query was answered")
        self._running.clear()
        hello = (1).to_bytes(2, "little") * 2 + (WRITES | PRODUCERS).to_bytes(8, "little")
        hello += text("edgetime-python 0.1.0") + text(self.address.token)
        self.output += MAGIC + frame(HELLO, 0, hello)

    def pending(self) -> int:
        """Batches without an answer."""
        return len(self._waiting) + len(self._sent)

    # Rows

    def write(
        self, measurement: str, tags: Mapping[str, str], fields: Mapping[str, Optional[Value]], time: Time = None
    ) -> int:
        """Gathers a row; its number, counted from 0. An error says that the row was not taken."""
        if self.spool is not None and self.spool.is_full():
            raise SpoolFull("spool %s is full; the row was not taken" % self.spool.path)
        at = nanoseconds(time)
        present = {name: plain(value) for name, value in fields.items() if value is not None}
        if not present:
            raise ValueError("a row without a value")
        kinds = tuple(type_of(value) for value in present.values())
        if self._is_full_of_rows():
            # The spool could not keep them when they became so many.
            self.gather()
        if self._is_full_of_names():
            self.gather()
            if self.pending() == 0:
                if self.spool is not None:
                    self.spool.forget_names()
                self._forget_names()
                self.output += frame(DECLARE, 0, b"\x04")
        table = self._table(measurement)
        series = self._declare_series(table, tags)
        layout = self._layout(table, tuple(present), kinds)
        section = self._sections.get(layout)
        if section is None:
            section = self._sections[layout] = _Section(kinds)
        section.series.append(series)
        section.times.append(at)
        section.rows.append(self._row)
        for column, value in zip(section.columns, present.values()):
            column.append(value)
            if isinstance(value, (str, bytes)):
                self._bytes += 4 * len(value)
        self._row += 1
        self._gathered += 1
        self._bytes += 18 + 9 * len(kinds)
        if self._is_full_of_rows():
            # This row is taken: where they cannot be kept now, the next one is refused.
            with suppress(SpoolError):
                self.gather()
        return self._row - 1

    def gather(self) -> None:
        """Makes a batch of the rows so far. Where the spool cannot keep it they stay gathered."""
        if not self._gathered:
            return
        sequence = self._sequence + 1
        head = bytes([self.level])
        if self._features & PRODUCERS or self.spool is not None:
            head = bytes([self.level | 4]) + self._producer.to_bytes(8, "little") + varint(sequence)
        payload = [head, varint(len(self._sections))]
        rows: List[int] = []
        for layout, section in self._sections.items():
            rows += section.rows
            payload += [varint(layout), varint(len(section.series)), packed(section.series)]
            times = [time for time in section.times if time is not None]
            if not times:
                payload.append(b"\x00")
            elif len(times) == len(section.times):
                payload += [b"\x01", packed(times)]
            else:
                payload += [b"\x02", bitmap([time is None for time in section.times]), packed(times)]
            payload.append(varint(len(section.kinds)))
            payload += [put_column(kind, column) for kind, column in zip(section.kinds, section.columns)]
        batch = _InFlight(b"".join(payload), rows, sequence)
        if self.spool is not None:
            self.spool.add(self._declarations, sequence, batch.payload, len(rows))
        self._sequence = sequence
        self._sections = {}
        self._gathered = self._bytes = 0
        self._waiting.append(batch)
        self.send_waiting()

    def send_waiting(self) -> None:
        """Sends what the credits allow."""
        while self._waiting and self._features & WRITES and self._credits > 0 and len(self._sent) < IN_FLIGHT_MAX:
            self._send_declarations()
            batch = self._waiting.pop(0)
            request = self._next_request()
            self._credits -= HEADER_BYTES + len(batch.payload)
            self._sent[request] = batch
            self.output += frame(WRITE, request, batch.payload)

    def _send_declarations(self) -> None:
        at = self._declared
        while at < len(self._declarations):
            payload = b""
            while at < len(self._declarations) and len(payload) < 65_536:
                payload += self._declarations[at]
                at += 1
            self._credits -= HEADER_BYTES + len(payload)
            self.output += frame(DECLARE, 0, payload)
        self._declared = at

    def _is_full_of_rows(self) -> bool:
        return self._gathered >= ROWS_MAX or self._bytes >= PAYLOAD_ABOUT_MAX

    def _is_full_of_names(self) -> bool:
        return (
            max(len(self._tables), len(self._layouts)) >= NAME_COUNT_MAX - 1 or len(self._series) >= SERIES_MAX - 1
        )

    def _table(self, measurement: str) -> int:
        number = self._tables.get(measurement)
        if number is None:
            number = self._tables[measurement] = len(self._tables)
            self._declarations.append(b"\x01" + text(self.address.database) + text(measurement))
        return number

    def _declare_series(self, table: int, tags: Mapping[str, str]) -> int:
        key = (table, *tags.items())
        number = self._series.get(key)
        if number is None:
            number = self._series[key] = len(self._series)
            names = b"".join(text(name) + text(value) for name, value in tags.items())
            self._declarations.append(b"\x03" + varint(table) + varint(len(tags)) + names)
        return number

    def _layout(self, table: int, names: Tuple[str, ...], kinds: Tuple[int, ...]) -> int:
        key = (table, names, kinds)
        number = self._layouts.get(key)
        if number is None:
            number = self._layouts[key] = len(self._layouts)
            fields = b"".join(bytes([kind]) + text(name) for name, kind in zip(names, kinds))
            self._declarations.append(b"\x02" + varint(table) + varint(len(names)) + fields)
        return number

    # Queries

    def query(self, sql: str, timeout_ms: Optional[int] = None) -> int:
        """Asks; the number under which the result comes."""
        request = self._next_request()
        options = b"" if timeout_ms is None else b"\x01" + sized(varint(timeout_ms))
        self.output += frame(QUERY, request, text(self.address.database) + text(sql) + options + b"\x00")
        self._running[request] = Result([])
        return request

    def _next_request(self) -> int:
        self._request = self._request % 0xFFFF_FFFF + 1
        return self._request

    # What arrives

    def receive(self, data: bytes) -> None:
        """Takes bytes, in whatever pieces they come."""
        self._inbox += data
        while True:
            one = take_frame(self._inbox)
            if one is None:
                break
            reader = Reader(one.payload)
            self._obey(one.kind, one.request, reader)
        self.send_waiting()

    def _obey(self, kind: int, request: int, reader: Reader) -> None:
        if kind == ERROR:
            error = ServerError(reader.u16(), reader.text(), (reader.varint() or 0) - 1)
            if request not in self._running:
                raise error
            del self._running[request]
            self.results[request] = error
        elif not self.is_open:
            if kind != WELCOME or reader.u16() != 1:
                raise ProtocolError("something else than a welcome")
            self._features = reader.u64()
            if not self._features & WRITES:
                raise ProtocolError("a server that takes no batches")
            if self.spool is not None and not self._features & PRODUCERS:
                raise ProtocolError("a server that does not tell producers apart")
            reader.text(), reader.u32(), reader.u32()
            self.is_open = True
        elif kind == PING:
            self.output += frame(PONG, request, b"")
        elif kind == CREDITS:
            self._credits += reader.varint()
        elif kind == WRITTEN:
            self._written(request, reader)
        elif kind in (COLUMNS, BATCH, END) and request in self._running:
            self._result(kind, request, reader)
        elif kind not in (PONG, COLUMNS, BATCH, END):
            raise ProtocolError("a message of type %d that servers do not send" % kind)

    def _written(self, request: int, reader: Reader) -> None:
        batch = self._sent.get(request)
        flags = reader.byte()
        self.duplicates += flags >> 2 & 1
        self.position = max(self.position, reader.varint())
        self.rows_written += reader.varint()
        if flags & 4 and batch is not None:
            # They were stored before; the answer that said so was lost.
            self.rows_written += len(batch.rows)
        refused: List[Refused] = []
        temporary: Optional[ServerError] = None
        for _ in range(reader.count()):
            code = reader.u16()
            message = reader.text()
            temporary = ServerError(code, message)
            row = 0
            for _ in range(reader.count()):
                row += reader.varint()
                if batch is None or row >= len(batch.rows):
                    raise ProtocolError("a row that was not sent")
                refused.append(Refused(batch.rows[row], CODES.get(code, str(code)), message))
                row += 1
        reader.end()
        if batch is None:
            return
        if temporary is not None and temporary.is_retryable and self._features & PRODUCERS:
            if len(refused) == len(batch.rows) and all(one.code == temporary.code for one in refused):
                # Nothing of it was stored: it is sent again, a while later, over a new connection.
                raise temporary
        del self._sent[request]
        self.refused += refused
        if self.spool is not None:
            self.spool.answered(batch.sequence)

    def _result(self, kind: int, request: int, reader: Reader) -> None:
        result = self._running[request]
        if kind == COLUMNS:
            columns = []
            for _ in range(reader.count()):
                column = reader.byte()
                columns.append((reader.text(), column))
            self._running[request] = Result(columns)
        elif kind == BATCH:
            rows = reader.varint()
            if reader.count() != len(result.names):
                raise ProtocolError("columns that were not announced")
            for values in result._values:
                values.extend(read_result_column(reader, rows)[1])
        else:
            reader.varint()
            result.elapsed_ns = reader.varint()
            result.warnings = [reader.text() for _ in range(reader.count())]
            self.results[request] = self._running.pop(request)
        reader.end()
