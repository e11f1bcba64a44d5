"""Client of EdgeTimeDB: rows in, SQL out, over its binary protocol."""

from . import aio
from ._client import Client, connect
from ._errors import EdgetimeError, ProtocolError, ServerError
from ._result import Result
from ._session import Refused
from ._spool import SpoolError, SpoolFull
from ._values import Unsigned

__all__ = [
    "Client",
    "EdgetimeError",
    "ProtocolError",
    "Refused",
    "Result",
    "ServerError",
    "SpoolError",
    "SpoolFull",
    "Unsigned",
    "aio",
    "connect",
]
