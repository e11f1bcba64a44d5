"""The golden frames that all clients share."""

import json
import pathlib
import struct
import unittest

from edgetime._errors import ProtocolError
from edgetime._session import LEVELS, WRITE
from edgetime._values import TYPE_NAMES, put_column, read_column, read_result_column
from edgetime._wire import Reader, bitmap, frame, group, packed, signed, take_frame

VECTORS = next(
    path / "vectors" / "frames.json"
    for path in pathlib.Path(__file__).resolve().parents
    if (path / "vectors" / "frames.json").exists()
)


def batch(payload: bytes) -> dict:
    """A batch of rows as the vectors say it."""
    reader = Reader(payload)
    flags = reader.byte()
    if flags & ~7 or flags & 3 == 3:
        raise ProtocolError("unknown flags")
    producer = None
    if flags & 4:
        producer = [reader.u64(), reader.varint()]
        if not producer[0]:
            raise ProtocolError("producer 0")
    sections = []
    left = 65_536
    for _ in range(reader.count()):
        layout, rows = reader.varint(), reader.varint()
        left -= rows
        if left < 0 or not rows:
            raise ProtocolError("%d rows" % rows)
        series = reader.packed(rows)
        if any(number >> 32 for number in series):
            raise ProtocolError("a series beyond 32 bits")
        form = reader.byte()
        if form == 0:
            times = [None] * rows
        elif form == 1:
            times = [signed(time) for time in reader.packed(rows)]
        elif form == 2:
            without = reader.bitmap(rows)
            present = iter(reader.packed(rows - sum(without)))
            times = [None if none else signed(next(present)) for none in without]
        else:
            raise ProtocolError("a form of times")
        columns = []
        count = reader.count()
        if not count:
            raise ProtocolError("no columns")
        for _ in range(count):
            kind, values = read_column(reader, rows)
            name = TYPE_NAMES[kind]
            columns.append({"type": name, "values": [plain(name, value) for value in values]})
        sections.append({"layout": layout, "series": series, "times": times, "columns": columns})
    reader.end()
    return {"type": "write", "ack": LEVELS[flags & 3], "producer": producer, "sections": sections}


def plain(kind, value):
    if value is None:
        return None
    if kind == "float":
        return struct.pack(">d", value).hex()
    return value.hex() if kind == "binary" else value


def value_of(kind, value):
    if value is None:
        return None
    if kind == "float":
        return struct.unpack(">d", bytes.fromhex(value))[0]
    return bytes.fromhex(value) if kind == "binary" else value


class Vectors(unittest.TestCase):
    def setUp(self):
        with open(VECTORS, encoding="utf-8") as file:
            self.vectors = json.load(file)

    def test_frames_are_cut_and_made_alike(self):
        for vector in self.vectors["valid"]:
            data = bytes.fromhex(vector["hex"])
            for end in range(len(data)):
                self.assertIsNone(take_frame(bytearray(data[:end])), vector["name"])
            one = take_frame(bytearray(data))
            self.assertEqual(one.request, vector["request"], vector["name"])
            self.assertEqual(frame(*one), data, vector["name"])

    def test_batches_of_rows(self):
        seen = 0
        for vector in self.vectors["valid"]:
            one = take_frame(bytearray.fromhex(vector["hex"]))
            if one.kind == WRITE:
                seen += 1
                self.assertEqual(batch(one.payload), vector["message"], vector["name"])
        self.assertGreater(seen, 4)

    def test_columns_are_written_as_they_are_read(self):
        number = {name: kind for kind, name in TYPE_NAMES.items()}
        for vector in self.vectors["valid"]:
            for section in vector["message"].get("sections", []):
                for column in section["columns"]:
                    values = [value_of(column["type"], value) for value in column["values"]]
                    reader = Reader(put_column(number[column["type"]], values))
                    kind, read = read_column(reader, len(values))
                    reader.end()
                    self.assertEqual(kind, number[column["type"]])
                    self.assertEqual([plain(column["type"], value) for value in read], column["values"])

    def test_results(self):
        seen = 0
        for vector in self.vectors["valid"]:
            message = vector["message"]
            if message["type"] != "batch":
                continue
            seen += 1
            reader = Reader(take_frame(bytearray.fromhex(vector["hex"])).payload)
            rows = reader.varint()
            self.assertEqual(reader.count(), len(message["columns"]))
            for column in message["columns"]:
                kind, values = read_result_column(reader, rows)
                self.assertEqual(TYPE_NAMES[kind], column["type"])
                for i, value in enumerate(values):
                    if value is not None:
                        expected = column["values"][i]
                        self.assertEqual(value.hex() if column["type"] == "binary" else value, expected)
                    else:
                        self.assertTrue(column["nulls"][i])
            reader.end()
        self.assertGreater(seen, 2)

    def test_invalid_batches_and_frames_are_refused(self):
        for vector in self.vectors["invalid"]:
            data = bytearray.fromhex(vector["hex"])
            try:
                one = take_frame(data)
            except ProtocolError:
                continue
            self.assertIsNotNone(one, vector["name"])
            if one.kind == WRITE:
                with self.assertRaises(ProtocolError, msg=vector["name"]):
                    batch(one.payload)


class Packed(unittest.TestCase):
    def test_numbers_round_trip(self):
        many = [[0], [-(1 << 63), (1 << 63) - 1], list(range(300)), [7] * 129, [i % 10 * 10**9 for i in range(200)]]
        for numbers in many:
            reader = Reader(packed(numbers))
            self.assertEqual([signed(number) for number in reader.packed(len(numbers))], numbers)
            reader.end()
        self.assertEqual(group([5, 8, 11]), bytes([0x80, 10, 6]))

    def test_bits(self):
        self.assertEqual(bitmap([True, False, True]), b"\x05")
        with self.assertRaises(ProtocolError):
            Reader(b"\x08").bitmap(3)


if __name__ == "__main__":
    unittest.main()
