#!/usr/bin/env python3
"""How long batches wait for their acknowledgement while the server does nothing else; while all of its background work
runs: rows leave for buckets of three tiers, late rows are merged, and a checkpoint is made every few seconds; and while
somebody asks for the median of all rows, again and again. The servers get the same lines at the same pace, in turn.

Usage: background.py [ROWS_A_SECOND [SECONDS [ROUNDS]]]. Needs target/release/edgetime, or BENCH_BINARY.
"""

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.environ.get("BENCH_BINARY", os.path.join(HERE, "..", "target", "release", "edgetime"))
SERIES = 1_000
BUSY = ["retention set normal rows_per_series=2048"]
BUSY_OPTIONS = ["--set", "checkpoint.interval_s=5"]
MODES = ("nothing else", "all background work", "slow queries")
SLOW = "SELECT sensor, median(temperature), stddev(temperature) FROM readings WHERE temperature < 1000 GROUP BY sensor"


def admin(address, command):
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as stream:
        stream.sendall(command.encode() + b"\n")
        for line in stream.makefile():
            if line.startswith("OK"):
                return
            if line.startswith("ERR"):
                raise SystemExit(f"{command}: {line}")


def ask_slowly(address, over, took):
    """Asks one slow query after the other; how long each took."""
    while not over.is_set():
        began = time.perf_counter()
        subprocess.run([PROGRAM, "query", "--addr", address, "--format", "csv", SLOW], stdout=subprocess.DEVNULL, check=True)
        took.append(time.perf_counter() - began)


def run(batches, pause, mode):
    """Sends the batches, one a pause; seconds from when each was due to its acknowledgement, and of each slow query."""
    is_busy = mode == MODES[1]
    with tempfile.TemporaryDirectory(prefix="edgetime-background-") as folder:
        arguments = [PROGRAM, "serve", "--data-dir", folder, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        arguments += ["--no-self-monitor", "--clock", "follow-data"] + (BUSY_OPTIONS if is_busy else [])
        server = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        words = dict(word.split("=") for word in server.stdout.readline().split()[1:])
        for command in BUSY if is_busy else []:
            admin(words["admin"], command)
        host, port = words["data"].rsplit(":", 1)
        waits, took, over = [], [], threading.Event()
        asker = threading.Thread(target=ask_slowly, args=(words["data"], over, took))
        if mode == MODES[2]:
            asker.start()
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
        over.set()
        if mode == MODES[2]:
            asker.join()
        server.terminate()
        server.wait()
        return waits, took


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
        for mode in MODES:
            waits, took = run(batches, pause, mode)
            waits.sort()
            at = lambda part: waits[min(int(len(waits) * part), len(waits) - 1)] * 1e3
            p99[mode] = at(0.99)
            print(f"round {number + 1}, {mode:<19}: p50 {at(0.5):.2f} ms, p99 {at(0.99):.2f} ms, most {at(1.0):.2f} ms", flush=True)
            if took:
                print(f"    {len(took)} queries, {sum(took) / len(took):.2f} s each on the mean, {max(took):.2f} at most")
        ratios = [p99[mode] / p99[MODES[0]] for mode in MODES[1:]]
        print(f"round {number + 1}: p99 {ratios[0]:.2f} times with background work, {ratios[1]:.2f} times with slow queries")


if __name__ == "__main__":
    main()
