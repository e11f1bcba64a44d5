"""Batches that wait on disk for a server: over processes, over servers that are not there, and once each."""

import contextlib
import errno
import os
import socket
import tempfile
import unittest
from unittest import mock

import edgetime
import test_server
from edgetime import _session, _spool
from test_server import BINARY, T, FaultProxy

try:
    import resource
except ImportError:
    resource = None


def nowhere():
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextlib.contextmanager
def files_end_at(size):
    """The system writes no file beyond that: a short write first, then an error, as of a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class Disk:
    """A file on a disk with room for some bytes; what was torn cannot be cut off either."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, data):
        self.room -= self.file.write(bytes(data)[: self.room])
        if self.room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return len(data)

    def truncate(self, size):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


class WithFolder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "spool")
        self.url = "edgetime://127.0.0.1:%d/plant" % nowhere()

    def tearDown(self):
        self.folder.cleanup()

    def kept(self):
        """The names and batches in the file, these without their producer."""
        spool = _spool.Spool(self.path, "plant", 1, 1 << 20, False)
        spool.close()
        batches = [(sequence, kept.rows, kept.payload[9:]) for sequence, kept in sorted(spool.batches.items())]
        return spool.names, batches


class Offline(WithFolder):
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


@unittest.skipUnless(resource, "no limits of the system's")
class WithoutRoom(WithFolder):
    def after(self, trouble):
        """What the spool keeps of batches, the second of which met with `trouble` at first."""
        client = edgetime.connect(self.url, spool=self.path)
        client.write("m", {"s": "0"}, {"v": 0}, time=T)
        client.flush()
        client.write("m", {"s": "1"}, {"v": 1}, time=T + 1)
        client.write("n", {"s": "2"}, {"v": 2, "text": "x" * 20}, time=T + 2)
        trouble(client)
        client.write("n", {"s": "3"}, {"v": 3, "text": "y"}, time=T + 3)
        client.flush()
        client.write("o", {}, {"v": 4}, time=T + 4)
        client.flush()
        client.close()
        kept = self.kept()
        os.remove(self.path)
        return kept

    def fails(self, client):
        with self.assertRaisesRegex(edgetime.SpoolError, self.path):
            client.flush()
        self.assertEqual(client.pending, 1)
        self.assertEqual(list(client._session.spool.batches), [1])

    def test_a_batch_that_found_no_room_is_kept_later_and_once(self):
        expected = self.after(lambda client: None)
        self.assertEqual([rows for _, rows, _ in expected[1]], [1, 3, 1])
        sizes = []

        def measure(client):
            sizes.append(os.path.getsize(self.path))
            client.flush()
            sizes.append(os.path.getsize(self.path))

        self.after(measure)
        begin, end = sizes
        self.assertGreater(end - begin, 150)
        for room in range(end - begin):

            def full(client):
                with files_end_at(begin + room):
                    self.fails(client)
                    self.fails(client)
                self.assertEqual(os.path.getsize(self.path), begin)

            def torn(client):
                file = client._session.spool._file
                client._session.spool._file = Disk(file, room)
                self.fails(client)
                client._session.spool._file = file

            for trouble in (full, torn):
                with self.subTest(room=room, trouble=trouble.__name__):
                    self.assertEqual(self.after(trouble), expected)

    def test_a_row_that_raises_is_not_taken_and_any_other_is(self):
        client = edgetime.connect(self.url, spool=self.path)
        with files_end_at(os.path.getsize(self.path)):
            for row in range(_session.ROWS_MAX):
                self.assertEqual(client.write("m", {}, {"v": row}, time=T + row), row)
            for _ in range(3):
                with self.assertRaises(edgetime.SpoolError):
                    client.write("m", {}, {"v": -1}, time=T)
            # It stays open, so that nothing is lost.
            with self.assertRaises(edgetime.SpoolError):
                client.close()
        self.assertEqual(client.write("m", {}, {"v": 0}, time=T), _session.ROWS_MAX)
        client.close()
        self.assertEqual([rows for _, rows, _ in self.kept()[1]], [_session.ROWS_MAX, 1])

    def test_an_answer_that_finds_no_room_raises_nothing(self):
        spool = _spool.Spool(self.path, "plant", 1, 1 << 20, False)
        spool.add([b"name"], 1, b"one", 1)
        spool.add([b"name"], 2, b"two", 2)
        size = os.path.getsize(self.path)
        with files_end_at(size + 4):
            spool.answered(1)
        self.assertEqual(os.path.getsize(self.path), size)
        spool.answered(2)
        # The file is written anew, and cannot be.
        spool.add([b"name"], 3, b"x" * _spool.REWRITE_BYTES, 3)
        with files_end_at(10):
            spool.answered(3)
        self.assertEqual(os.listdir(self.folder.name), ["spool"])
        spool.add([b"name", b"other"], 4, b"four", 4)
        self.assertEqual(list(spool.batches), [4])
        spool.close()
        names, batches = self.kept()
        self.assertEqual(names, [b"name", b"other"])
        self.assertEqual([sequence for sequence, _, _ in batches], [1, 3, 4])

    def test_names_are_forgotten_only_where_the_file_forgets_them(self):
        session = _session.Session(
            edgetime._client.parse_url(self.url), spool=_session.SpoolOptions(self.path, 1 << 20, False)
        )

        def write(name):
            session.write(name, {}, {"v": 1}, time=T)
            session.gather()

        with mock.patch.object(_session, "NAME_COUNT_MAX", 3):
            write("a")
            write("b")
            for sequence in (1, 2):
                session.spool.answered(sequence)
            session._waiting.clear()
            with files_end_at(10):
                with self.assertRaises(edgetime.SpoolError):
                    write("c")
            self.assertEqual(len(session.spool.names), 6)
            self.assertEqual(session.spool.names, session._declarations)
            self.assertEqual(session.pending(), 0)
            write("c")
        self.assertEqual(len(session.spool.names), 3)
        session.spool.close()
        names, batches = self.kept()
        self.assertEqual(names, session._declarations)
        self.assertEqual([sequence for sequence, _, _ in batches], [3])

    def test_a_batch_that_is_not_safe_yet_is_kept_again(self):
        client = edgetime.connect(self.url, spool=self.path, spool_fsync=True)
        client.write("m", {"s": "0"}, {"v": 0}, time=T)
        size = os.path.getsize(self.path)
        with mock.patch("os.fsync", side_effect=OSError(errno.EIO, "broken")):
            with self.assertRaises(edgetime.SpoolError):
                client.flush()
        self.assertEqual(os.path.getsize(self.path), size)
        client.flush()
        client.close()
        self.assertEqual([(sequence, rows) for sequence, rows, _ in self.kept()[1]], [(1, 1)])

    def test_batches_are_made_safe_where_that_is_asked_for_and_answers_never(self):
        for fsync in (False, True):
            spool = _spool.Spool(self.path, "plant", 1, 1 << 20, fsync)
            with mock.patch("os.fsync") as asked:
                spool.add([b"name", b"other"], 1, b"one", 1)
                self.assertEqual(asked.call_count, int(fsync))
                spool.answered(1)
                self.assertEqual(asked.call_count, int(fsync))
            spool.close()


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

    @unittest.skipUnless(resource, "no limits of the system's")
    def test_a_disk_that_is_full_now_and_then_loses_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "spool")
            failures = duplicates = 0
            for process in range(10):
                client = edgetime.connect(self.url("full"), spool=path)
                for row in range(20):
                    # No row has a time: one that is sent as two would be there twice.
                    client.write("m", {"s": str(row % 3)}, {"n": process * 20 + row})
                    with files_end_at(os.path.getsize(path) + 13 * row):
                        try:
                            client.flush()
                        except edgetime.SpoolError:
                            failures += 1
                client.flush()
                with files_end_at(os.path.getsize(path)):
                    client.sync()
                duplicates += client.duplicates
                self.assertEqual(client.refused, [])
                client.close()
            self.assertGreater(failures, 20)
            self.assertGreater(duplicates, 0)
            with edgetime.connect(self.url("full")) as direct:
                result = direct.query("SELECT n FROM m ORDER BY n")
            self.assertEqual(result.column("n"), list(range(200)))


if __name__ == "__main__":
    unittest.main()
