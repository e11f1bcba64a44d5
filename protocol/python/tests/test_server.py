"""Against a real server, directly and through a proxy that delays, drips and cuts."""

import asyncio
import os
import random
import socket
import subprocess
import tempfile
import threading
import unittest
from datetime import datetime, timezone

import edgetime

BINARY = os.environ.get("EDGETIME_BINARY")
T = 1_700_000_000_000_000_000


class FaultProxy:
    """Passes bytes on in both directions until chance says otherwise."""

    def __init__(self, port, seed):
        self.target = port
        self.random = random.Random(seed)
        self.cuts = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            # How many bytes pass, either way, before the connection is cut, mostly inside a frame.
            left = [self.random.randrange(300, 5_000)]
            drip = self.random.random() < 0.1
            threading.Thread(target=self._carry, args=(client, server, left, drip), daemon=True).start()

    def _carry(self, client, server, left, drip):
        with client, server:
            back = threading.Thread(target=self._pump, args=(server, client, left, drip), daemon=True)
            back.start()
            self._pump(client, server, left, drip)
            back.join()

    def _pump(self, source, sink, left, drip):
        try:
            while True:
                data = source.recv(1 if drip and left[0] % 3 == 0 else 4096)
                if not data:
                    break
                if len(data) > left[0]:
                    sink.sendall(data[: left[0]])
                    self.cuts += 1
                    break
                left[0] -= len(data)
                sink.sendall(data)
        except OSError:
            pass
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


@unittest.skipUnless(BINARY, "EDGETIME_BINARY names no server")
class Server(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        arguments = ["--data-dir", cls.folder.name, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        cls.process = subprocess.Popen(
            [BINARY, "serve", "--no-self-monitor", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        ready = cls.process.stdout.readline().split()
        cls.port = int(next(word for word in ready if word.startswith("data=")).rpartition(":")[2])

    @classmethod
    def tearDownClass(cls):
        cls.process.terminate()
        cls.process.wait()
        cls.process.stdout.close()
        cls.folder.cleanup()

    def url(self, database, port=None):
        return "edgetime://127.0.0.1:%d/%s" % (port or self.port, database)

    def test_every_type_comes_back(self):
        with edgetime.connect(self.url("types")) as client:
            fields = {
                "f": 21.5, "i": -3, "u": edgetime.Unsigned(2**64 - 1), "b": True, "s": "öff", "x": b"\x00\xff", "n": None,
            }
            client.write("m", {"z": "1", "a": "x y"}, fields, time=datetime(2024, 1, 2, tzinfo=timezone.utc))
            client.write("m", {"z": "1", "a": "x y"}, {"f": 0.1 + 0.2}, time=T)
            position = client.sync()
            self.assertGreater(position, 0)
            result = client.query("SELECT time, a, z, f, i, u, b, s, x FROM m ORDER BY time")
            self.assertEqual(len(result), 2)
            first, second = result.rows()
            self.assertEqual(first, (T, "x y", "1", 0.1 + 0.2, None, None, None, None, None))
            expected = (1_704_153_600_000_000_000, "x y", "1", 21.5, -3, 2**64 - 1, True, "öff", b"\x00\xff")
            self.assertEqual(second, expected)
            self.assertEqual(result.types[:2], ["time", "string"])

    def test_refused_rows_are_named(self):
        with edgetime.connect(self.url("refused")) as client:
            client.write("m", {}, {"v": 1}, time=T)
            bad = client.write("m", {}, {"v": 2}, time=5)
            client.sync()
            self.assertEqual([(row.row, row.code) for row in client.refused], [(bad, "time_out_of_range")])
            self.assertEqual(client.rows_written, 1)
            with self.assertRaises(edgetime.ServerError) as caught:
                client.query("SELECT nothing FROM m")
            self.assertEqual(caught.exception.code, "unknown_column")
            self.assertEqual(len(client.query("SELECT v FROM m")), 1)

    def test_a_result_becomes_a_data_frame(self):
        try:
            import pandas
        except ImportError:
            self.skipTest("pandas is not there")
        with edgetime.connect(self.url("frames")) as client:
            client.write("m", {"s": "a"}, {"v": 1.5}, time=T)
            client.write("m", {"s": "b"}, {"w": 2}, time=T + 1)
            client.sync()
            frame = client.query("SELECT time, s, v FROM m ORDER BY time").to_pandas()
        self.assertEqual(list(frame.columns), ["time", "s", "v"])
        self.assertEqual(frame["time"][0], pandas.Timestamp(T, tz="UTC"))
        self.assertEqual(frame["v"][0], 1.5)
        self.assertTrue(pandas.isna(frame["v"][1]))

    def test_many_rows_go_beyond_the_credits(self):
        with edgetime.connect(self.url("many"), ack="accepted") as client:
            for row in range(50_000):
                client.write("m", {"s": str(row % 100)}, {"v": row / 7, "n": row}, time=T + row)
        with edgetime.connect(self.url("many")) as client:
            result = client.query("SELECT count(v), sum(n) FROM m")
            self.assertEqual(next(result.rows())[0], 50_000)

    def test_asyncio(self):
        async def run():
            client = await edgetime.aio.connect(self.url("aio"))
            async with client:
                for row in range(1_000):
                    await client.write("m", {}, {"v": row * 0.5}, time=T + row)
                await client.sync()
                return await client.query("SELECT count(v), max(v) FROM m")

        self.assertEqual(next(asyncio.run(run()).rows()), (1_000, 499.5))

    def test_faulted_batches_lose_nothing(self):
        proxy = FaultProxy(self.port, seed=8)
        client = edgetime.connect(self.url("faults", proxy.port), retries=100)
        for batch in range(1_000):
            for row in range(3):
                at = batch * 3 + row
                client.write("m", {"s": str(row)}, {"v": at / 4, "text": "x" * (at % 40)}, time=T + at)
            # Without a time it would be there twice if it were stored twice.
            client.write("n", {}, {"batch": batch})
            client.flush()
        client.sync()
        client.close()
        proxy.close()
        self.assertGreater(proxy.cuts, 20)
        with edgetime.connect(self.url("faults")) as direct:
            result = direct.query("SELECT time, v FROM m ORDER BY time")
            self.assertEqual(result.column("time"), [T + at for at in range(3_000)])
            self.assertEqual(result.column("v"), [at / 4 for at in range(3_000)])
            result = direct.query("SELECT batch FROM n ORDER BY batch")
            self.assertEqual(result.column("batch"), list(range(1_000)))
        self.assertGreater(client.duplicates, 0)


if __name__ == "__main__":
    unittest.main()
