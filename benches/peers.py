#!/usr/bin/env python3
"""Sends the same line protocol to EdgeTimeDB and to VictoriaMetrics, in turn, and prints both rates.

Usage: peers.py FILE VALUES_A_LINE [ROUNDS]. Needs target/release/edgetime and victoria-metrics in the PATH.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

CONNECTIONS = 4
PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "target", "release", "edgetime")


def split(path):
    """The file in one part a connection, every series on one of them, in the order of the file."""
    parts = [bytearray() for _ in range(CONNECTIONS)]
    place = {}
    with open(path, "rb") as lines:
        for line in lines:
            key = line.split(b" ", 1)[0]
            number = place.setdefault(key, len(place) % CONNECTIONS)
            parts[number] += line
    return [bytes(part) for part in parts]


def cpu_seconds(pid):
    """User and system time of a process."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port():
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def send_all(address, parts, converse):
    """One thread a connection."""
    def run(part):
        with socket.create_connection(address) as connection:
            converse(connection, part)
    threads = [threading.Thread(target=run, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def edgetime(parts, values, folder):
    """Seconds until everything is acknowledged as durable, and server CPU seconds."""
    server = subprocess.Popen(
        [PROGRAM, "serve", "--data-dir", folder, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
         "--no-self-monitor"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        ready = dict(word.split("=") for word in server.stdout.readline().split()[1:])
        host, port = ready["data"].rsplit(":", 1)

        def converse(connection, part):
            lines = part.count(b"\n")

            def read():
                acknowledged, rest = 0, b""
                while acknowledged < lines:
                    rest += connection.recv(65536)
                    *whole, rest = rest.split(b"\n")
                    for answer in whole:
                        if not answer.startswith(b"+"):
                            raise SystemExit(f"refused: {answer.decode()}")
                        acknowledged += int(answer.split()[1])

            reader = threading.Thread(target=read)
            reader.start()
            connection.sendall(b"#edge ack durable\n")
            connection.sendall(part)
            reader.join()

        start = time.monotonic()
        send_all((host, int(port)), parts, converse)
        return time.monotonic() - start, cpu_seconds(server.pid)
    finally:
        server.terminate()
        server.wait()


def victoria(parts, values, folder):
    """Seconds until a query counts every value, and server CPU seconds."""
    http, lines = free_port(), free_port()
    server = subprocess.Popen(
        ["victoria-metrics", f"-storageDataPath={folder}", f"-httpListenAddr=127.0.0.1:{http}",
         f"-influxListenAddr=127.0.0.1:{lines}", "-retentionPeriod=100y", "-search.latencyOffset=0s"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{http}/health").read()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
        times = [int(line.rsplit(b" ", 1)[1]) // 10**9 for part in parts for line in
                 (part[:part.index(b"\n")], part[part.rindex(b"\n", 0, -1) + 1:-1])]
        first, last = min(times), max(times)
        query = urllib.parse.urlencode({
            "query": f'sum(count_over_time({{__name__=~"cpu_.*"}}[{last - first + 1}s]))', "time": last})
        start = time.monotonic()
        send_all(("127.0.0.1", lines), parts, lambda connection, part: connection.sendall(part))
        sent = time.monotonic() - start
        seen, deadline = 0, time.monotonic() + 120
        while seen < values and time.monotonic() < deadline:
            answer = json.load(urllib.request.urlopen(f"http://127.0.0.1:{http}/api/v1/query?{query}"))
            result = answer["data"]["result"]
            seen = int(result[0]["value"][1]) if result else 0
            if seen < values:
                time.sleep(0.1)
        if seen < values:
            print(f"  victoria-metrics shows {seen} of {values} values; its time is that of sending")
            return sent, cpu_seconds(server.pid)
        return time.monotonic() - start, cpu_seconds(server.pid)
    finally:
        server.terminate()
        server.wait()


def main():
    path, values_a_line = sys.argv[1], int(sys.argv[2])
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    parts = split(path)
    values = sum(part.count(b"\n") for part in parts) * values_a_line
    print(f"{values} values, {sum(map(len, parts))} bytes, {CONNECTIONS} connections, {rounds} rounds")
    best = {}
    for _ in range(rounds):
        for name, run in (("edgetimedb", edgetime), ("victoria-metrics", victoria)):
            with tempfile.TemporaryDirectory() as folder:
                seconds, cpu = run(parts, values, folder)
            rate, per_cpu = values / seconds / 1e6, values / cpu / 1e6
            print(f"{name:18} {rate:7.2f} M values/s {per_cpu:7.2f} M values per server CPU second")
            before = best.get(name, (0, 0))
            best[name] = (max(before[0], rate), max(before[1], per_cpu))
    ours, theirs = best["edgetimedb"], best["victoria-metrics"]
    print(f"best of {rounds}: {ours[0] / theirs[0]:.1f} times the rate, {ours[1] / theirs[1]:.1f} times the rate per CPU")


main()
