#!/usr/bin/env python3
"""Runs a server of little memory under a cgroup of the same limit, sends it readings of many sensors, and prints how
its memory went.

Usage: memory.py SENSORS HOURS [LIMIT_MB [LOG_MB [RAW_HOURS [CHECKED [INTERVAL_S]]]]]. A row a sensor and interval (1 s), time is the
data's own. Needs target/release/edgetime, or BENCH_BINARY, and the right to make a cgroup for memory.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.environ.get("BENCH_BINARY", os.path.join(HERE, "..", "target", "release", "edgetime"))
MIB = 1024 * 1024
DAY = 86_400 * 10**9


class Group:
    """A cgroup that limits memory, of version 1 or 2."""

    def __init__(self, limit_bytes):
        old = "/sys/fs/cgroup/memory"
        self.is_old = os.path.isdir(old)
        self.path = os.path.join(old if self.is_old else "/sys/fs/cgroup", f"edgetime-{os.getpid()}")
        os.mkdir(self.path)
        self.write("memory.limit_in_bytes" if self.is_old else "memory.max", limit_bytes)

    def write(self, name, value):
        with open(os.path.join(self.path, name), "w") as file:
            file.write(str(value))

    def read(self, name):
        try:
            with open(os.path.join(self.path, name)) as file:
                return file.read().strip()
        except OSError:
            return "?"

    def killed(self):
        text = self.read("memory.oom_control" if self.is_old else "memory.events")
        return dict(line.split() for line in text.splitlines() if " " in line).get("oom_kill", "?")

    def peak(self):
        return self.read("memory.max_usage_in_bytes" if self.is_old else "memory.peak")


def admin(address, command):
    """The answer to a command."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as stream:
        stream.sendall(command.encode() + b"\n")
        answer = []
        for line in stream.makefile():
            if line.startswith(("OK", "ERR ")):
                if line.startswith("ERR"):
                    raise SystemExit(f"{command}: {line}")
                break
            answer.append(line)
        return "".join(answer)


def anonymous(pid):
    with open(f"/proc/{pid}/statm") as file:
        _, resident, shared = file.read().split()[:3]
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")


def oracle(generate, sensor, widths):
    """What buckets of these widths have to say of a sensor's temperature, reckoned from the generated lines."""
    made = subprocess.Popen(generate, stdout=subprocess.PIPE)
    found = subprocess.Popen(["grep", "-F", f"sensor={sensor},"], stdin=made.stdout, stdout=subprocess.PIPE, text=True)
    buckets = {width: {} for width in widths}
    for line in found.stdout:
        _, fields, time_ns = line.rsplit(" ", 2)
        named = dict(field.split("=", 1) for field in fields.split(","))
        if "temperature" not in named:
            continue
        value = float(named["temperature"])
        for width in widths:
            of_width = buckets[width]
            start = int(time_ns) // (width * 10**9) * width * 10**9
            count, total, least, most = of_width.get(start, (0, 0.0, value, value))
            of_width[start] = (count + 1, total + value, min(least, value), max(most, value))
    made.wait()
    found.wait()
    return buckets


def wrong(query, generate, sensor, hours):
    """How many buckets of a sensor say something else than the oracle, of how many. Those of 10 s are kept for two days."""
    widths = (10, 60, 3600) if hours <= 48 else (60, 3600)
    expected, differ, all_buckets = oracle(generate, sensor, widths), 0, 0
    for width in widths:
        found = {}
        # A day at a time: all of it takes more memory than a query of a small server may.
        for day in sorted({start // DAY for start in expected[width]}):
            what = "count(temperature), sum(temperature), min(temperature), max(temperature)"
            when = f"time >= {day * DAY} AND time < {(day + 1) * DAY}"
            text = f"SELECT time_bucket('{width} seconds', time) AS t, {what} FROM readings WHERE sensor = '{sensor}' AND {when} GROUP BY t"
            asked = subprocess.run(query + ["--time", "ns", text], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
            for line in asked.stdout.splitlines()[1:]:
                start, count, total, least, most = line.split(",")
                if int(count) > 0:
                    found[int(start)] = (int(count), float(total), float(least), float(most))
        keys = found.keys() | expected[width].keys()
        all_buckets += len(keys)
        for key in keys:
            one, other = found.get(key), expected[width].get(key)
            same = one and other and (one[0], *one[2:]) == (other[0], *other[2:])
            if not same or abs(one[1] - other[1]) > 1e-9 * abs(other[1]):
                differ += 1
    return differ, all_buckets


def main():
    sensors, hours = int(sys.argv[1]), int(sys.argv[2])
    given = lambda i, default: int(sys.argv[i]) if len(sys.argv) > i else default
    limit_mb, log_mb, raw_hours, checked, interval_s = given(3, 64), given(4, 16), given(5, 6), given(6, 2), given(7, 1)
    group = Group(limit_mb * MIB)
    folder = tempfile.mkdtemp(prefix="edgetime-memory-")
    options = {
        "memory.limit_mb": limit_mb,
        "log.log_size_bytes": log_mb * MIB,
        "log.segment_size_bytes": log_mb * MIB // 8,
        "engine.shards": 2,
        "engine.chunk_cache_bytes": limit_mb * MIB // 16,
        "query.memory_max_mb": max(limit_mb // 8, 1),
        "query.concurrency_max": 2,
        "query.cache_mb": max(limit_mb // 32, 1),
        "server.worker_threads": 2,
    }
    arguments = [PROGRAM, "serve", "--data-dir", folder, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    arguments += ["--no-self-monitor", "--clock", "follow-data"]
    for name, value in options.items():
        arguments += ["--set", f"{name}={value}"]
    server = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: group.write("cgroup.procs", os.getpid())
    )
    words = dict(word.split("=") for word in server.stdout.readline().split()[1:])
    admin(words["admin"], f"retention set normal raw_age={raw_hours}h")
    admin(words["admin"], "rollup set normal 10s=2d 1m=30d 1h=none")
    curve, over = [], threading.Event()

    def watch():
        told = time.monotonic()
        while not over.wait(0.1):
            try:
                curve.append(anonymous(server.pid))
                if time.monotonic() - told >= 30:
                    told = time.monotonic()
                    memory = json.loads(admin(words["admin"], "memory --json"))
                    pools = {name.removesuffix("_bytes"): round(pool / MIB) for name, pool in memory["pools"].items()}
                    print(f"{told - began:.0f} s: {curve[-1] / MIB:.0f} MB anonymous, {memory['level']},", pools, file=sys.stderr)
            except OSError:
                return

    began = time.monotonic()
    watcher = threading.Thread(target=watch)
    watcher.start()
    generate = [PROGRAM, "generate", "--workload", "iot", "--series", str(sensors), "--span", f"{hours}h", "--interval", f"{interval_s}s"]
    made = subprocess.Popen(generate, stdout=subprocess.PIPE)
    sent = subprocess.run([PROGRAM, "write", "--addr", words["data"], "-"], stdin=made.stdout)
    made.wait()
    seconds = time.monotonic() - began
    over.set()
    watcher.join()
    rows = sensors * hours * 3600 // interval_s
    print(f"{rows} rows in {seconds:.0f} s, {rows / seconds:.0f} a second; write ended with {sent.returncode}")
    step = max(len(curve) // 24, 1)
    print("anonymous MB:", " ".join(f"{max(curve[i:i + step]) / MIB:.0f}" for i in range(0, len(curve), step)))
    bound = (limit_mb - log_mb) * MIB
    print(f"most: {max(curve) / MIB:.1f} MB, {100 * max(curve) / bound:.0f} % of what the limit leaves beside the log")
    print(f"cgroup: peak {group.peak()} bytes of {limit_mb * MIB}, killed {group.killed()}")
    memory = json.loads(admin(words["admin"], "memory --json"))
    print("relief:", memory["relief"])
    print("pools:", memory["pools"])
    print("rollup:", admin(words["admin"], "rollup"))
    status = json.loads(admin(words["admin"], "status --json"))
    print("ledger:", {key: value for key, value in status["ledger"].items() if key != "databases"})
    query = [PROGRAM, "query", "--addr", words["data"], "--format", "csv"]
    subprocess.run(query + ["SELECT count(*) FROM readings"])
    for number in [7, sensors // 2][:checked]:
        differ, of = wrong(query, generate, f"sensor_{number}", hours)
        print(f"sensor_{number}: {differ} of {of} buckets of all widths that are kept as long differ from those of the generated lines")
    size = subprocess.run(["du", "-sk", folder], capture_output=True, text=True).stdout.split()[0]
    print(f"on disk: {int(size) / 1024:.0f} MB")
    server.terminate()
    server.wait()
    os.rmdir(group.path)
    subprocess.run(["rm", "-r", folder])


if __name__ == "__main__":
    main()
