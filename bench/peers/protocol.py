"""What a measuring process and its worker say to each other: one JSON document per line.

The same as `sedge bench --worker` (crates/sedge/src/bench/protocol.rs), so that every runtime is
measured by the same clockwork in the same shape of process. Runs on Python 3.8 too, for old peers.

A peer is a class with `__init__(model, threads)`, `inputs` (shapes and dtypes in the model's
order) and `run(arrays)`, which returns the outputs in the model's order.
"""

import argparse
import json
import os
import sys
import threading
import time

import numpy as np


def work(peer_class):
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("picture", nargs="?")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    # Libraries print to standard output as they like; the protocol keeps the real one.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(kind, value):
        print(json.dumps({kind: value}), file=out, flush=True)

    try:
        started_kib = kib("smaps_rollup", "Pss:")
        begun = time.perf_counter()
        peer = peer_class(args.model, args.threads)
        load_ms = (time.perf_counter() - begun) * 1000
        request = picture_request(peer, args) if args.picture else tensor_request(peer)
        begun = time.perf_counter()
        request()
        first_ms = (time.perf_counter() - begun) * 1000
    except Exception as error:
        say("failed", f"{type(error).__name__}: {error}")
        return
    say("ready", {"model": args.model, "format": args.model.rsplit(".")[-1],
                  "engine": peer_class.__name__.lower(), "load_ms": load_ms, "first_ms": first_ms,
                  "started_kib": started_kib, "loaded_kib": kib("smaps_rollup", "Pss:")})
    for line in sys.stdin:
        try:
            (kind, value), = json.loads(line).items()
            if kind == "run":
                say("ran", run(request, value["seconds"], value["concurrency"]))
            else:
                say("written", write_outputs(request, value))
        except Exception as error:
            say("failed", f"{type(error).__name__}: {error}")


def pattern(shape, dtype):
    """The input that every program makes: Knuth's multiplicative hash of the index."""
    bits = np.arange(int(np.prod(shape)), dtype=np.uint64) * 2654435761 % 2**32
    if dtype == np.float32:
        values = (bits >> 8).astype(np.float32) / np.float32(2**24)
    elif dtype == np.uint8:
        values = (bits >> 24).astype(np.uint8)
    elif dtype == np.int8:
        values = ((bits >> 24).astype(np.uint8) ^ 0x80).view(np.int8)
    else:
        values = np.zeros(len(bits), dtype)
    return values.reshape(shape)


def tensor_request(peer):
    arrays = [pattern(shape, dtype) for shape, dtype in peer.inputs]
    return lambda stages=None: peer.run(arrays)


def picture_request(peer, args):
    from pictures import Preparation

    prepare = Preparation(*peer.inputs[0], args.threads)
    data = np.fromfile(args.picture, np.uint8)

    def request(stages=None):
        begun = time.perf_counter_ns()
        picture = prepare.decode(data)
        decoded = time.perf_counter_ns()
        tensor = prepare.tensor(picture)
        prepared = time.perf_counter_ns()
        outputs = peer.run([tensor])
        if stages is not None:
            done = time.perf_counter_ns()
            stages.append((decoded - begun, prepared - decoded, done - prepared))
        return outputs

    return request


def run(request, seconds, concurrency):
    cycle(request, seconds / 10, [])
    stages, results = [], []
    barrier = threading.Barrier(concurrency)

    def one():
        barrier.wait()
        begun = time.perf_counter_ns()
        results.append((begun, cycle(request, seconds, stages), time.perf_counter_ns()))

    if concurrency == 1:
        one()
    else:
        threads = [threading.Thread(target=one) for _ in range(concurrency)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    wall = max(end for _, _, end in results) - min(begun for begun, _, _ in results)
    middle = [int(np.median(column)) // 1000 for column in zip(*stages)]
    names = ("decode", "preprocess", "inference")
    return {"nanos": [n for _, nanos, _ in results for n in nanos], "wall_us": wall // 1000,
            "stages_us": {**dict(zip(names, middle)), "postprocess": 0} if middle else None,
            "pss_kib": kib("smaps_rollup", "Pss:"), "peak_rss_kib": kib("status", "VmHWM:")}


def cycle(request, seconds, stages):
    """Durations of requests sent one after the other until the time is over; one at least."""
    nanos, end = [], time.perf_counter_ns() + int(seconds * 1e9)
    while True:
        begun = time.perf_counter_ns()
        request(stages)
        now = time.perf_counter_ns()
        nanos.append(now - begun)
        if now >= end:
            return nanos


def write_outputs(request, directory):
    outputs = request()
    for index, output in enumerate(outputs):
        np.asarray(output).astype("<f4").tofile(os.path.join(directory, f"output-{index}.f32"))
    return len(outputs)


def kib(file, field):
    with open(f"/proc/self/{file}") as lines:
        return next((int(line.split()[1]) for line in lines if line.startswith(field)), 0)
