"""The client for asyncio. One task uses it at a time."""

from __future__ import annotations

import asyncio
import random
from types import TracebackType
from typing import List, Mapping, Optional, Type

from ._client import IN_FLIGHT_MAX
from ._errors import EdgetimeError, ProtocolError, ServerError
from ._result import Result
from ._session import Refused, Session, Time, parse_url
from ._values import Value


class Client:
    """A connection to a server; see the functions for what it does."""

    def __init__(self, url: str, ack: str, timeout: float, retries: int) -> None:
        self._session = Session(parse_url(url), ack)
        self._timeout = timeout
        self._retries = retries
        self._reader: Optional[asyncio.StreamReader] = None
        self._writer: Optional[asyncio.StreamWriter] = None

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        try:
            if kind is None:
                await self.sync()
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

    async def write(
        self, measurement: str, tags: Mapping[str, str], fields: Mapping[str, Optional[Value]], time: Time = None
    ) -> int:
        """Gathers a row and gives its number; a full batch is sent."""
        row = self._session.write(measurement, tags, fields, time)
        if self._session.output or self._session.pending() >= IN_FLIGHT_MAX:
            await self._drive(lambda session: session.pending() < IN_FLIGHT_MAX)
        return row

    async def sync(self) -> int:
        """Waits until everything written is acknowledged; the position in the log."""
        self._session.gather()
        await self._drive(lambda session: session.pending() == 0)
        return self._session.position

    async def query(self, sql: str, timeout: Optional[float] = None) -> Result:
        """The whole result of a statement."""
        milliseconds = None if timeout is None else max(1, int(timeout * 1000))
        request = self._session.query(sql, milliseconds)
        await self._drive(lambda session: request in session.results)
        result = self._session.results.pop(request)
        if isinstance(result, Exception):
            raise result
        return result

    def close(self) -> None:
        """Closes, whether or not everything was answered."""
        if self._writer is not None:
            self._writer.close()
            self._reader = self._writer = None

    async def _connect(self) -> None:
        self.close()
        address = self._session.address
        self._session.begin()
        opening = asyncio.open_connection(address.host, address.port)
        self._reader, self._writer = await asyncio.wait_for(opening, self._timeout)
        while not self._session.is_open:
            await self._exchange()

    async def _drive(self, done) -> None:  # type: ignore[no-untyped-def]
        attempt = 0
        while True:
            try:
                if self._writer is None:
                    await self._connect()
                await self._send()
                while not done(self._session):
                    await self._exchange()
                await self._send()
                return
            except (OSError, asyncio.TimeoutError, ProtocolError, ServerError) as error:
                self.close()
                if attempt == self._retries or isinstance(error, ServerError) and not error.is_retryable:
                    raise error if isinstance(error, EdgetimeError) else EdgetimeError(str(error)) from error
                await asyncio.sleep(min(10.0, 0.1 * 2**attempt) * (0.5 + random.random() / 2))
                attempt += 1

    async def _send(self) -> None:
        if self._session.output:
            assert self._writer is not None
            self._writer.write(bytes(self._session.output))
            self._session.output.clear()
            await asyncio.wait_for(self._writer.drain(), self._timeout)

    async def _exchange(self) -> None:
        await self._send()
        assert self._reader is not None
        data = await asyncio.wait_for(self._reader.read(65_536), self._timeout)
        if not data:
            raise ProtocolError("closed by the server")
        self._session.receive(data)


async def connect(url: str, ack: str = "durable", timeout: float = 30.0, retries: int = 5) -> Client:
    """Connects to edgetime://[TOKEN@]HOST[:PORT][/DATABASE]."""
    client = Client(url, ack, timeout, retries)
    await client._connect()
    return client
