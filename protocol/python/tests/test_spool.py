"""Batches that wait on disk for a server: over processes, over servers that are not there, and once each."""

import os
import socket
import tempfile
import unittest

import edgetime
import test_server
from test_server import BINARY, T, FaultProxy


def nowhere():
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Offline(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "spool")
        self.url = "edgetime://127.0.0.1:%d/plant" % nowhere()

    def tearDown(self):
        self.folder.cleanup()

    def test_rows_wait_within_bounds(self):
        client = edgetime.connect(self.url, spool=self.path, spool_bytes_max=2_000, retries=0)
        taken = 0
        with self.assertRaises(edgetime.SpoolFull):
            for row in range(1_000):
                client.write("m", {}, {"text": "x" * 100}, time=T + row)
                client.flush()
                taken += 1
        self.assertTrue(10 < taken < 30, taken)
        with self.assertRaises(edgetime.EdgetimeError):
            client.sync()
        client.close()
        again = edgetime.connect(self.url, spool=self.path, retries=0)
        self.assertEqual(again.pending, taken)
        again.close()

    def test_a_spool_has_one_user_and_one_database(self):
        client = edgetime.connect(self.url, spool=self.path)
        with self.assertRaises(edgetime.EdgetimeError):
            edgetime.connect(self.url, spool=self.path)
        client.close()
        with self.assertRaises(edgetime.EdgetimeError):
            edgetime.connect(self.url.replace("plant", "other"), spool=self.path)

    def test_a_file_that_was_cut_off_keeps_what_is_whole(self):
        client = edgetime.connect(self.url, spool=self.path)
        for row in range(3):
            client.write("m", {"s": str(row)}, {"v": row}, time=T + row)
            client.flush()
        client.close()
        with open(self.path, "rb") as file:
            whole = file.read()
        counts = set()
        for end in range(len(whole) + 1):
            with open(self.path, "wb") as file:
                file.write(whole[:end])
            try:
                client = edgetime.connect(self.url, spool=self.path)
            except edgetime.EdgetimeError:
                # Cut in its first line.
                self.assertLess(end, 17)
                continue
            counts.add(client.pending)
            client.close()
        self.assertEqual(counts, {0, 1, 2, 3})


@unittest.skipUnless(BINARY, "EDGETIME_BINARY names no server")
class Forwarded(unittest.TestCase):
    setUpClass = classmethod(test_server.Server.setUpClass.__func__)
    tearDownClass = classmethod(test_server.Server.tearDownClass.__func__)
    url = test_server.Server.url

    def test_what_a_process_left_is_sent_by_the_next_one_once(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "spool")
            for process in range(30):
                # Half of them see no server, others one behind a connection that breaks.
                proxy = FaultProxy(self.port, seed=process)
                port = nowhere() if process % 2 else proxy.port
                client = edgetime.connect(self.url("spooled", port), spool=path)
                for row in range(20):
                    client.write("m", {"s": str(row % 3)}, {"n": process * 20 + row})
                    if row % 4 == 3:
                        client.flush()
                # It ends without a word: whatever was not answered is in the file.
                client._hang_up()
                client._session.spool.close()
                proxy.close()
            client = edgetime.connect(self.url("spooled"), spool=path)
            client.sync()
            self.assertEqual(client.pending, 0)
            self.assertEqual(client.refused, [])
            client.close()
            with edgetime.connect(self.url("spooled")) as direct:
                result = direct.query("SELECT n FROM m ORDER BY n")
            self.assertEqual(result.column("n"), list(range(600)))
            self.assertLess(os.path.getsize(path), 300_000)


if __name__ == "__main__":
    unittest.main()
