"""Measures how long a model takes to be read, and how much memory that takes.

    python bench/import.py target/release/sedge MODEL...

Read means `sedge model inspect`: the file is mapped, hashed for its identity, imported, rewritten and
described. Converted means `sedge model convert` into a temporary file. Times are the best of five,
memory is the peak of the process (`ru_maxrss`, mapped pages of the file included).
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 5


def run(command):
    """Milliseconds and peak MiB of a command."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"failed: {' '.join(map(str, command))}")
    return (time.perf_counter() - started) * 1000, usage.ru_maxrss / 1024


def best(command):
    runs = [run(command) for _ in range(ROUNDS)]
    return min(ms for ms, _ in runs), max(mib for _, mib in runs)


def size(model):
    files = [model] if model.is_file() else [path for path in model.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files) / 2**20


def main(sedge, *models):
    print(f"{'model':40} {'MiB':>7} {'read ms':>8} {'peak MiB':>9} {'convert ms':>11} {'peak MiB':>9}")
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory) / "model.onnx"
        for model in map(Path, models):
            read_ms, read_mib = best([sedge, "model", "inspect", model, "--format", "jsonl"])
            convert = [sedge, "model", "convert", model, target, "--force"]
            convert_ms, convert_mib = best(convert)
            print(
                f"{model.name:40} {size(model):7.1f} {read_ms:8.0f} {read_mib:9.1f} "
                f"{convert_ms:11.0f} {convert_mib:9.1f}"
            )


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
