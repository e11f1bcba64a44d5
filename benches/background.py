#!/usr/bin/env python3
"""How long batches wait for their acknowledgement while the server does nothing else, and while all of its background work
runs: rows leave for buckets of three tiers, late rows are merged, and a checkpoint is made every few seconds. Both
servers get the same lines at the same pace, in turn.

Usage: background.py [ROWS_A_SECOND [SECONDS [ROUNDS]]]. Needs target/release/edgetime, or BENCH_BINARY.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.environ.get("BENCH_BINARY", os.path.join(HERE, "..", "target", "release", "edgetime"))
SERIES = 1_000
BUSY = ["retention set normal rows_per_series=2048"]
BUSY_OPTIONS = ["--set", "checkpoint.interval_s=5"]


def admin(address, command):
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as stream:
        stream.sendall(command.encode() + b"\n")
        for line in stream.makefile():
            if line.startswith("OK"):
                return
            if line.startswith("ERR"):
                raise SystemExit(f"{command}: {line}")


def run(batches, pause, is_busy):
    """Sends the batches, one a pause; seconds from when each was due to its acknowledgement, and what left."""
    with tempfile.TemporaryDirectory(prefix="edgetime-background-") as folder:
        arguments = [PROGRAM, "serve", "--data-dir", folder, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        arguments += ["--no-self-monitor", "--clock", "follow-data"] + (BUSY_OPTIONS if is_busy else [])
        server = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        words = dict(word.split("=") for word in server.stdout.readline().split()[1:])
        for command in BUSY if is_busy else []:
            admin(words["admin"], command)
        host, port = words["data"].rsplit(":", 1)
        waits = []
        with socket.create_connection((host, int(port))) as stream:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            answers = stream.makefile("rb")
            stream.sendall(b"#edge ack accepted\n")
            began = time.perf_counter()
            for number, (batch, rows) in enumerate(batches):
                due = began + number * pause
                time.sleep(max(0.0, due - time.perf_counter()))
                stream.sendall(batch)
                while rows > 0:
                    answer = answers.readline()
                    if not answer.startswith(b"+"):
                        raise SystemExit(f"refused: {answer!r}")
                    rows -= int(answer.split()[1])
                waits.append(time.perf_counter() - due)
        server.terminate()
        server.wait()
        return waits


def main():
    rate, seconds, rounds = (int(sys.argv[i]) if len(sys.argv) > i else default for i, default in ((1, 100_000), (2, 60), (3, 2)))
    rows = rate * seconds
    span = rows // SERIES
    generate = [PROGRAM, "generate", "--workload", "iot", "--series", str(SERIES), "--span", f"{span}s"]
    lines = subprocess.run(generate + ["--interval", "1s", "--late", "0.02"], stdout=subprocess.PIPE, check=True).stdout
    lines = lines.splitlines(keepends=True)
    batches = [(b"".join(lines[i : i + SERIES]), len(lines[i : i + SERIES])) for i in range(0, len(lines), SERIES)]
    pause = seconds / len(batches)
    print(f"{len(lines)} rows, {len(lines) / seconds:.0f} a second in batches of {SERIES}")
    for number in range(rounds):
        p99 = {}
        for is_busy in (False, True):
            waits = sorted(run(batches, pause, is_busy))
            at = lambda part: waits[min(int(len(waits) * part), len(waits) - 1)] * 1e3
            p99[is_busy] = at(0.99)
            what = "all background work" if is_busy else "nothing else"
            print(f"round {number + 1}, {what:<19}: p50 {at(0.5):.2f} ms, p99 {at(0.99):.2f} ms, most {at(1.0):.2f} ms", flush=True)
        print(f"round {number + 1}: p99 {p99[True] / p99[False]:.2f} times")


if __name__ == "__main__":
    main()
