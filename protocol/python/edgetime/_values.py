"""Values of fields: their types, and their columns on the wire."""

from __future__ import annotations

import math
import struct
from typing import Any, List, Optional, Sequence, Tuple, Union

from ._errors import ProtocolError
from ._wire import GROUP, MASK, Reader, bitmap, group, packed, signed, sized, varint

FLOAT, INTEGER, UNSIGNED, BOOLEAN, STRING, BINARY, TIME = range(1, 8)
TYPE_NAMES = {
    FLOAT: "float", INTEGER: "integer", UNSIGNED: "unsigned", BOOLEAN: "boolean", STRING: "string",
    BINARY: "binary", TIME: "time",
}
RAW = 255
SCALE_MAX = 22
MANTISSA_MAX = 1 << 53


class Unsigned(int):
    """An integer whose field is unsigned."""


Value = Union[float, int, Unsigned, bool, str, bytes]


def type_of(value: Value) -> int:
    """The number of a value's type."""
    if isinstance(value, bool):
        return BOOLEAN
    if isinstance(value, float):
        return FLOAT
    if isinstance(value, Unsigned):
        _check(0 <= value <= MASK, value)
        return UNSIGNED
    if isinstance(value, int):
        _check(-(1 << 63) <= value < 1 << 63, value)
        return INTEGER
    if isinstance(value, str):
        return STRING
    if isinstance(value, (bytes, bytearray, memoryview)):
        return BINARY
    item = getattr(value, "item", None)
    if item is not None:
        return type_of(item())
    raise TypeError("a field cannot be %s" % type(value).__name__)


def plain(value: Any) -> Value:
    """A value without its wrapper of numpy."""
    if isinstance(value, (bool, float, int, str, bytes)):
        return value
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    return value.item()


def _check(fits: bool, value: int) -> None:
    if not fits:
        raise OverflowError("%d has more than 64 bits" % value)


def put_column(kind: int, values: Sequence[Optional[Value]]) -> bytes:
    """A column of a batch of rows; None where a row has no value."""
    present: List[Any] = [value for value in values if value is not None]
    head = kind
    nulls = b""
    if len(present) < len(values):
        head |= 0x80
        nulls = bitmap([value is None for value in values])
    if kind == FLOAT:
        body = b"".join(_floats(present[at : at + GROUP]) for at in range(0, len(present), GROUP))
    elif kind in (INTEGER, UNSIGNED):
        body = packed(present)
    elif kind == BOOLEAN:
        body = bitmap(present)
    else:
        data = [value.encode() if kind == STRING else bytes(value) for value in present]
        entries = list(dict.fromkeys(data))
        if 2 * len(entries) <= len(data) and data:
            number = {entry: i for i, entry in enumerate(entries)}
            body = b"\x01" + varint(len(entries)) + b"".join(map(sized, entries))
            body += packed([number[value] for value in data])
        else:
            body = b"\x00" + b"".join(map(sized, data))
    return bytes([head]) + nulls + body


def _floats(values: Sequence[float]) -> bytes:
    decimals = [_decimal(value) for value in values]
    scale = max((d[1] if d else RAW) for d in decimals)
    if scale <= SCALE_MAX:
        mantissas = [d[0] * 10 ** (scale - d[1]) for d in decimals if d]
        if all(abs(mantissa) <= MANTISSA_MAX for mantissa in mantissas):
            return bytes([scale]) + group(mantissas)
    return bytes([RAW]) + struct.pack("<%dd" % len(values), *values)


def _decimal(value: float) -> Optional[Tuple[int, int]]:
    """Mantissa and scale of a double that has few digits."""
    if not math.isfinite(value) or value == 0 and math.copysign(1, value) < 0:
        return None
    digits = repr(value)
    if "e" in digits:
        return None
    whole, _, part = digits.partition(".")
    if part == "0":
        part = ""
    mantissa = int(whole + part)
    if abs(mantissa) > MANTISSA_MAX or len(part) > SCALE_MAX:
        return None
    return mantissa, len(part)


def read_column(reader: Reader, rows: int) -> Tuple[int, List[Optional[Value]]]:
    """A column of a batch of rows."""
    head = reader.byte()
    kind = head & 0x7F
    nulls = reader.bitmap(rows) if head & 0x80 else None
    count = rows if nulls is None else rows - sum(nulls)
    values: List[Any] = []
    if kind == FLOAT:
        while len(values) < count:
            many = min(GROUP, count - len(values))
            scale = reader.byte()
            if scale == RAW:
                values.extend(struct.unpack("<%dd" % many, reader.take(8 * many)))
            elif scale <= SCALE_MAX:
                mantissas: List[int] = []
                reader.group(many, mantissas)
                for mantissa in map(signed, mantissas):
                    if abs(mantissa) > MANTISSA_MAX:
                        raise ProtocolError("a mantissa beyond 2^53")
                    values.append(mantissa / 10**scale)
            else:
                raise ProtocolError("a scale of %d" % scale)
    elif kind == INTEGER:
        values = [signed(number) for number in reader.packed(count)]
    elif kind == UNSIGNED:
        values = list(reader.packed(count))
    elif kind == BOOLEAN:
        values = list(reader.bitmap(count))
    elif kind in (STRING, BINARY):
        form = reader.byte()
        read = reader.text if kind == STRING else reader.bytes
        if form == 0:
            values = [read() for _ in range(count)]
        elif form == 1:
            entries = [read() for _ in range(reader.count())]
            numbers = reader.packed(count)
            if any(number >= len(entries) for number in numbers):
                raise ProtocolError("a number behind the dictionary")
            values = [entries[number] for number in numbers]
        else:
            raise ProtocolError("a form of strings of %d" % form)
    else:
        raise ProtocolError("a field of type %d" % kind)
    if nulls is not None:
        present = iter(values)
        values = [None if null else next(present) for null in nulls]
    return kind, values


def read_result_column(reader: Reader, rows: int) -> Tuple[int, List[Optional[Value]]]:
    """A column of a batch of a result."""
    kind, nulls_follow = reader.byte(), reader.byte()
    if nulls_follow > 1:
        raise ProtocolError("neither 0 nor 1")
    nulls = reader.bitmap(rows) if nulls_follow else None
    values: List[Any]
    if kind == FLOAT:
        values = list(struct.unpack("<%dd" % rows, reader.take(8 * rows)))
    elif kind in (INTEGER, TIME):
        values = reader.deltas(rows)
    elif kind == UNSIGNED:
        values = [number & MASK for number in reader.deltas(rows)]
    elif kind == BOOLEAN:
        values = reader.bitmap(rows)
    elif kind == STRING:
        values = [reader.text() for _ in range(rows)]
    elif kind == BINARY:
        values = [reader.bytes() for _ in range(rows)]
    else:
        raise ProtocolError("a column of type %d" % kind)
    if nulls is not None:
        values = [None if null else value for null, value in zip(nulls, values)]
    return kind, values
