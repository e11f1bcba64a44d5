"""Primitives and frames. Lengths are compared with the bytes at hand before anything is made of them."""

from __future__ import annotations

import struct
import zlib
from typing import List, NamedTuple, Optional, Sequence, Tuple

from ._errors import ProtocolError

MAGIC = b"\xfe"
HEADER_BYTES = 16
PAYLOAD_BYTES_MAX = 1 << 20
GROUP = 128
MASK = (1 << 64) - 1


class Frame(NamedTuple):
    """One frame."""

    kind: int
    request: int
    payload: bytes


def frame(kind: int, request: int, payload: bytes) -> bytes:
    """The bytes of a frame."""
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise ProtocolError("frame of %d bytes, more than the limit" % len(payload))
    head = struct.pack("<IBBHI", len(payload), kind, 0, 0, request)
    return head + struct.pack("<I", zlib.crc32(payload, zlib.crc32(head))) + payload


def take_frame(buffer: bytearray) -> Optional[Frame]:
    """Takes the first frame off the buffer; None while it is incomplete."""
    if len(buffer) < HEADER_BYTES:
        return None
    length, kind, flags, version, request, crc = struct.unpack_from("<IBBHII", buffer)
    if flags or version:
        raise ProtocolError("frame with flags %d and layout version %d" % (flags, version))
    if length > PAYLOAD_BYTES_MAX:
        raise ProtocolError("frame of %d bytes, more than the limit" % length)
    end = HEADER_BYTES + length
    if len(buffer) < end:
        return None
    payload = bytes(buffer[HEADER_BYTES:end])
    if zlib.crc32(payload, zlib.crc32(bytes(buffer[:12]))) != crc:
        raise ProtocolError("checksum of a frame is wrong")
    del buffer[:end]
    return Frame(kind, request, payload)


def signed(number: int) -> int:
    """64 bits as two's complement."""
    number &= MASK
    return number - (1 << 64) if number >> 63 else number


class Reader:
    """Reads a payload from its front."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.at = 0

    def left(self) -> int:
        return len(self.payload) - self.at

    def take(self, count: int) -> bytes:
        if count > self.left():
            raise ProtocolError("payload ends at byte %d" % self.at)
        taken = self.payload[self.at : self.at + count]
        self.at += count
        return taken

    def byte(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "little")

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def u64(self) -> int:
        return int.from_bytes(self.take(8), "little")

    def varint(self) -> int:
        value = 0
        for shift in range(0, 64, 7):
            byte = self.byte()
            if shift == 63 and byte & 0x7F > 1 or byte == 0 and shift:
                break
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ProtocolError("not a varint before byte %d" % self.at)

    def zigzag(self) -> int:
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def count(self) -> int:
        count = self.varint()
        if count > self.left():
            raise ProtocolError("a count beyond the payload at byte %d" % self.at)
        return count

    def bytes(self) -> bytes:
        return self.take(self.count())

    def text(self) -> str:
        try:
            return self.bytes().decode()
        except UnicodeDecodeError as error:
            raise ProtocolError("text that is not UTF-8") from error

    def bitmap(self, count: int) -> List[bool]:
        bits = int.from_bytes(self.take((count + 7) // 8), "little")
        if bits >> count:
            raise ProtocolError("bits behind a bitmap")
        return [bool(bits >> i & 1) for i in range(count)]

    def deltas(self, count: int) -> List[int]:
        if count > self.left():
            raise ProtocolError("more rows than bytes")
        values, value = [], 0
        for _ in range(count):
            value = signed(value + self.zigzag())
            values.append(value)
        return values

    def packed(self, count: int) -> List[int]:
        """Numbers of 64 bits, unsigned."""
        out: List[int] = []
        while count:
            group = min(count, GROUP)
            self.group(group, out)
            count -= group
        return out

    def group(self, count: int, out: List[int]) -> None:
        head = self.byte()
        width, steps = head & 0x7F, bool(head & 0x80)
        if width > 64:
            raise ProtocolError("a width of %d bits" % width)
        number = 0
        if steps:
            number = self.zigzag() & MASK
            out.append(number)
            count -= 1
        base = self.zigzag()
        factor = self.varint() if width else 0
        bits = int.from_bytes(self.take((count * width + 7) // 8), "little")
        mask = (1 << width) - 1
        for i in range(count):
            value = base + factor * (bits >> i * width & mask)
            if steps:
                value += number
            number = value & MASK
            out.append(number)

    def end(self) -> None:
        if self.left():
            raise ProtocolError("%d bytes behind the message" % self.left())


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def zigzag(number: int) -> bytes:
    return varint((number << 1 ^ number >> 63) & MASK)


def sized(data: bytes) -> bytes:
    return varint(len(data)) + data


def text(string: str) -> bytes:
    return sized(string.encode())


def bitmap(bits: Sequence[bool]) -> bytes:
    value = 0
    for i, bit in enumerate(bits):
        if bit:
            value |= 1 << i
    return value.to_bytes((len(bits) + 7) // 8, "little")


def packed(numbers: Sequence[int]) -> bytes:
    """Numbers of 64 bits, signed or unsigned."""
    return b"".join(group(numbers[at : at + GROUP]) for at in range(0, len(numbers), GROUP))


def group(numbers: Sequence[int]) -> bytes:
    values = [signed(number) for number in numbers]
    plain = _form(values)
    best = bytes([plain[0]]) + plain[1]
    if len(values) > 1:
        steps = _form([signed(b - a) for a, b in zip(values, values[1:])])
        other = bytes([0x80 | steps[0]]) + zigzag(values[0]) + steps[1]
        best = min(best, other, key=len)
    return best


def _form(values: Sequence[int]) -> Tuple[int, bytes]:
    """Width, and base, factor and bits."""
    least = min(values)
    offsets = [value - least for value in values]
    width = max(offsets).bit_length()
    out = zigzag(least)
    if width:
        factor = _common(offsets)
        width = (max(offsets) // factor).bit_length()
        bits = 0
        for i, offset in enumerate(offsets):
            bits |= offset // factor << i * width
        out += varint(factor) + bits.to_bytes((len(offsets) * width + 7) // 8, "little")
    return width, out


def _common(offsets: Sequence[int]) -> int:
    from math import gcd

    all_of_them = 0
    for offset in offsets:
        all_of_them = gcd(all_of_them, offset)
        if all_of_them == 1:
            break
    return all_of_them
