"""What it costs to keep a record on disk until it left: Sedge's spool and SQLite, by turns.

Each append is one record; the next is appended when it returned. Draining takes and settles one
record at a time. SQLite does the same with one row a transaction, as a queue in a table is made.
"""

import json
import sqlite3
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

# What survives a loss of power when it returned, and what does not.
POLICIES = {"always": "FULL", "never": "OFF"}
SIZES = {1 << 10: {"always": 1000, "every": 20000, "never": 20000},
         100 << 10: {"always": 500, "every": 2000, "never": 2000}}


def build():
    subprocess.run(["cargo", "build", "--release", "--locked", "-p", "sedge-spool", "--example",
                    "throughput"], check=True)
    found = subprocess.run(["cargo", "metadata", "--format-version", "1", "--no-deps"],
                           capture_output=True, text=True, check=True)
    return Path(json.loads(found.stdout)["target_directory"]) / "release/examples/throughput"


def measure(work, rounds, quick=False):
    """A row for each size and policy: the rounds' medians of each runner."""
    program = build()
    rows = []
    for size, counts in SIZES.items():
        for policy, count in counts.items():
            count = count // 10 if quick else count
            ran = {"sedge": [], "sqlite": []}
            for _ in range(rounds):
                # On the disk of `work`: a temporary directory is often none.
                with tempfile.TemporaryDirectory(dir=work) as place:
                    ran["sedge"].append(json.loads(subprocess.run(
                        [program, f"{place}/spool", policy, str(size), str(count)],
                        capture_output=True, text=True, check=True).stdout))
                if policy in POLICIES:
                    with tempfile.TemporaryDirectory(dir=work) as place:
                        ran["sqlite"].append(sqlite(f"{place}/queue", policy, size, count))
            rows.append({"bytes": size, "policy": policy, "count": count, **{
                runner: {key: statistics.median(one[key] for one in all_) for key in all_[0]}
                for runner, all_ in ran.items() if all_}})
    return rows


def sqlite(path, policy, size, count):
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute(f"PRAGMA synchronous={POLICIES[policy]}")
    database.execute("CREATE TABLE queue (number INTEGER PRIMARY KEY, headers BLOB, body BLOB)")
    body, times = b"\x5a" * size, []
    started = time.perf_counter()
    for _ in range(count):
        before = time.perf_counter()
        database.execute("INSERT INTO queue (headers, body) VALUES (?, ?)",
                         (b"mli/predictions", body))
        times.append(time.perf_counter() - before)
    appending = time.perf_counter() - started
    started = time.perf_counter()
    # What was settled may be handed out again after a loss of power, as with the spool.
    database.execute("PRAGMA synchronous=OFF")
    while row := database.execute(
            "SELECT number, headers, body FROM queue ORDER BY number LIMIT 1").fetchone():
        database.execute("DELETE FROM queue WHERE number = ?", row[:1])
    draining = time.perf_counter() - started
    database.close()
    times.sort()
    return {"append_per_s": count / appending, "p50_us": times[count // 2] * 1e6,
            "p99_us": times[count * 99 // 100] * 1e6, "drain_per_s": count / draining}
