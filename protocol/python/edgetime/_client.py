"""The blocking client."""

from __future__ import annotations

import random
import socket
import time as clock
from types import TracebackType
from typing import List, Mapping, Optional, Type

from ._errors import EdgetimeError, ProtocolError, ServerError
from ._result import Result
from ._session import Refused, Session, SpoolOptions, Time, parse_url
from ._values import Value

IN_FLIGHT_MAX = 16


class Client:
    """A connection to a server; see the functions for what it does."""

    def __init__(
        self,
        url: str,
        ack: str = "durable",
        timeout: float = 30.0,
        retries: int = 5,
        spool: Optional[SpoolOptions] = None,
    ) -> None:
        self._session = Session(parse_url(url), ack, spool)
        self._timeout = timeout
        self._retries = retries
        self._socket: Optional[socket.socket] = None
        self._failures = 0
        self._try_again_at = 0.0
        if spool is None:
            self._connect()
        else:
            self._forward()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        try:
            if kind is None and self._session.spool is None:
                self.sync()
        finally:
            self.close()

    @property
    def refused(self) -> List[Refused]:
        """Rows that the server refused so far."""
        return self._session.refused

    @property
    def rows_written(self) -> int:
        """Rows that the server took so far."""
        return self._session.rows_written

    @property
    def duplicates(self) -> int:
        """Batches that were sent again and had been stored before."""
        return self._session.duplicates

    def write(
        self, measurement: str, tags: Mapping[str, str], fields: Mapping[str, Optional[Value]], time: Time = None
    ) -> int:
        """Gathers a row and gives its number; a full batch is sent."""
        row = self._session.write(measurement, tags, fields, time)
        if self._session.spool is not None:
            if self._session.pending():
                self._forward()
        elif self._session.output or self._session.pending() >= IN_FLIGHT_MAX:
            self._drive(lambda session: session.pending() < IN_FLIGHT_MAX)
        return row

    def flush(self) -> None:
        """Sends what was gathered."""
        self._session.gather()
        if self._session.spool is not None:
            self._forward()
        else:
            self._drive(lambda session: session.pending() < IN_FLIGHT_MAX)

    @property
    def pending(self) -> int:
        """Batches without an answer; with a spool they outlive the process."""
        return self._session.pending()

    def sync(self) -> int:
        """Waits until everything written is acknowledged; the position in the log."""
        self._session.gather()
        self._drive(lambda session: session.pending() == 0)
        return self._session.position

    def query(self, sql: str, timeout: Optional[float] = None) -> Result:
        """The whole result of a statement."""
        milliseconds = None if timeout is None else max(1, int(timeout * 1000))
        request = self._session.query(sql, milliseconds)
        self._drive(lambda session: request in session.results)
        result = self._session.results.pop(request)
        if isinstance(result, Exception):
            raise result
        return result

    def close(self) -> None:
        """Closes, whether or not everything was answered. With a spool what was written is in it, or it stays open."""
        if self._session.spool is not None:
            self.flush()
            self._session.spool.close()
            self._session.spool = None
        self._hang_up()

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _forward(self) -> None:
        """Sends what the server takes now; where it cannot be reached that is tried again later, ever more seldom."""
        if self._socket is None and clock.monotonic() < self._try_again_at:
            return
        try:
            if self._socket is None:
                self._connect()
            self._send()
            while self._session.pending() >= IN_FLIGHT_MAX:
                self._exchange()
            self._hear()
            self._failures = 0
        except (OSError, ProtocolError, ServerError) as error:
            self._hang_up()
            if isinstance(error, ServerError) and not error.is_retryable:
                raise
            pause = min(10.0, 0.1 * 2**self._failures) * (0.5 + random.random() / 2)
            self._try_again_at = clock.monotonic() + pause
            self._failures = min(self._failures + 1, 10)

    def _hear(self) -> None:
        """Takes what has arrived, without waiting."""
        assert self._socket is not None
        self._socket.setblocking(False)
        try:
            data = self._socket.recv(65_536)
        except (BlockingIOError, InterruptedError):
            return
        finally:
            self._socket.settimeout(self._timeout)
        if not data:
            raise ProtocolError("closed by the server")
        self._session.receive(data)
        self._send()

    def _connect(self) -> None:
        self._hang_up()
        address = self._session.address
        self._session.begin()
        self._socket = socket.create_connection((address.host, address.port), self._timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while not self._session.is_open:
            self._exchange()

    def _drive(self, done) -> None:  # type: ignore[no-untyped-def]
        attempt = 0
        while True:
            try:
                if self._socket is None:
                    self._connect()
                self._send()
                while not done(self._session):
                    self._exchange()
                self._send()
                return
            except (OSError, ProtocolError, ServerError) as error:
                self._hang_up()
                if attempt == self._retries or isinstance(error, ServerError) and not error.is_retryable:
                    raise error if isinstance(error, EdgetimeError) else EdgetimeError(str(error)) from error
                clock.sleep(min(10.0, 0.1 * 2**attempt) * (0.5 + random.random() / 2))
                attempt += 1

    def _send(self) -> None:
        if self._session.output:
            data = bytes(self._session.output)
            self._session.output.clear()
            assert self._socket is not None
            self._socket.sendall(data)

    def _exchange(self) -> None:
        self._send()
        assert self._socket is not None
        data = self._socket.recv(65_536)
        if not data:
            raise ProtocolError("closed by the server")
        self._session.receive(data)


def connect(
    url: str,
    ack: str = "durable",
    timeout: float = 30.0,
    retries: int = 5,
    spool: Optional[str] = None,
    spool_bytes_max: int = 64 * 1024 * 1024,
    spool_fsync: bool = False,
) -> Client:
    """Connects to edgetime://[TOKEN@]HOST[:PORT][/DATABASE].

    `spool` names a file that keeps what was written until it is answered. Then no server has to be there: rows are
    sent when it is, by this process or by the next one with the same file, and stored once. Beyond `spool_bytes_max`
    rows are not taken (`SpoolFull`). `spool_fsync` makes every batch safe from a loss of power, too.
    """
    options = None if spool is None else SpoolOptions(spool, spool_bytes_max, spool_fsync)
    return Client(url, ack, timeout, retries, options)
