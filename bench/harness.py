"""Worker processes that speak one protocol, and turns taken by several of them."""

import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

START_TIMEOUT_S = 180


class Unavailable(Exception):
    """A runner that cannot run this model here, with the reason."""


class Worker:
    """One runner with one model, in a process of its own (see peers/protocol.py)."""

    def __init__(self, name, command, env=None):
        self.name = name
        begun = time.perf_counter()
        self.process = subprocess.Popen(
            [str(part) for part in command], env={**os.environ, **(env or {})}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            self.ready = self._hear("ready")
        except Unavailable:
            self.end()
            raise
        self.start_ms = (time.perf_counter() - begun) * 1000

    def _hear(self, expected):
        line = self.process.stdout.readline()
        if not line:
            raise Unavailable(f"the process ended with status {self.process.wait()}")
        (kind, value), = json.loads(line).items()
        if kind != expected:
            raise Unavailable(str(value).splitlines()[0][:200])
        return value

    def ask(self, question, expected):
        print(json.dumps(question), file=self.process.stdin, flush=True)
        return self._hear(expected)

    def run(self, seconds, concurrency=1):
        return self.ask({"run": {"seconds": seconds, "concurrency": concurrency}}, "ran")

    def outputs(self):
        """Every output of one request, flat, as f32."""
        with tempfile.TemporaryDirectory() as directory:
            count = self.ask({"outputs": directory}, "written")
            files = [Path(directory) / f"output-{index}.f32" for index in range(count)]
            return [np.fromfile(file, "<f4") for file in files]

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_all(commands):
    """Starts workers by name; returns those that run and the reasons of the others."""
    workers, missing = [], {}
    for name, (command, env) in commands.items():
        try:
            workers.append(Worker(name, command, env))
        except (Unavailable, OSError) as error:
            missing[name] = str(error)
    return workers, missing


def turns(workers, rounds, seconds, concurrency=1):
    """A B C A B C: what else happens on the machine meets all of them. Results by name."""
    ran = {worker.name: [] for worker in workers}
    for _ in range(rounds):
        for worker in workers:
            ran[worker.name].append(worker.run(seconds, concurrency))
    return {worker.name: summary(worker, ran[worker.name]) for worker in workers}


def summary(worker, ran):
    medians = [statistics.median(r["nanos"]) / 1000 for r in ran]
    every = np.array([n for r in ran for n in r["nanos"]]) / 1000
    stages = [r["stages_us"] for r in ran if r["stages_us"]]
    return {
        "p50_us": round(statistics.median(medians), 1),
        "p90_us": round(float(np.percentile(every, 90)), 1),
        "p99_us": round(float(np.percentile(every, 99)), 1),
        "rounds_p50_us": [round(m, 1) for m in medians],
        "spread": round((max(medians) - min(medians)) / statistics.median(medians), 3),
        "count": len(every),
        "stages_us": {k: statistics.median(s[k] for s in stages) for k in stages[0]}
        if stages else None,
        "load_ms": round(worker.ready["load_ms"], 1),
        "first_ms": round(worker.ready["first_ms"], 1),
        "start_ms": round(worker.start_ms, 1),
        "pss_kib": max(r["pss_kib"] for r in ran),
        "peak_rss_kib": max(r["peak_rss_kib"] for r in ran),
    }


def difference(ours, reference):
    """Largest absolute difference, and the largest absolute value it is to be seen against."""
    if [len(o) for o in ours] != [len(r) for r in reference]:
        return None
    pairs = [(o, r) for o, r in zip(ours, reference) if len(o)]
    return {"max_abs": max(float(np.abs(o - r).max()) for o, r in pairs),
            "max_value": max(float(np.abs(r).max()) for _, r in pairs)}
