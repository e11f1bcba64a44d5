"""The blocking client."""

from __future__ import annotations

import random
import socket
import time as clock
from types import TracebackType
from typing import List, Mapping, Optional, Type

from ._errors import EdgetimeError, ProtocolError, ServerError
from ._result import Result
from ._session import Refused, Session, Time, parse_url
from ._values import Value

IN_FLIGHT_MAX = 16


class Client:
    """A connection to a server; see the functions for what it does."""

    def __init__(self, url: str, ack: str = "durable", timeout: float = 30.0, retries: int = 5) -> None:
        self._session = Session(parse_url(url), ack)
        self._timeout = timeout
        self._retries = retries
        self._socket: Optional[socket.socket] = None
        self._connect()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        try:
            if kind is None:
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
        if self._session.output or self._session.pending() >= IN_FLIGHT_MAX:
            self._drive(lambda session: session.pending() < IN_FLIGHT_MAX)
        return row

    def flush(self) -> None:
        """Sends what was gathered."""
        self._session.gather()
        self._drive(lambda session: session.pending() < IN_FLIGHT_MAX)

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
        """Closes, whether or not everything was answered."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> None:
        self.close()
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
                self.close()
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


def connect(url: str, ack: str = "durable", timeout: float = 30.0, retries: int = 5) -> Client:
    """Connects to edgetime://[TOKEN@]HOST[:PORT][/DATABASE]."""
    return Client(url, ack, timeout, retries)
