"""Raw inference, pictures to answers, and memory: everything that a worker process does."""

from harness import difference, start_all, turns

# Whose answers the others are held against.
REFERENCES = ["onnxruntime", "litert"]


def measure(case, runners, settings, threads):
    """One row: every runner of a model with so many threads."""
    workers, missing = start_all(runners.all(case, threads))
    outputs = {worker.name: worker.outputs() for worker in workers if worker.name != "mxnet"}
    results = turns(workers, settings["rounds"], settings["seconds"])
    for worker in workers:
        worker.end()
    reference = next((outputs[name] for name in REFERENCES if name in outputs), None)
    for name, result in results.items():
        if reference is not None and name in outputs:
            result["difference"] = difference(outputs[name], reference)
    return {"name": case["name"], "threads": threads, "results": results, "missing": missing,
            "tensor_only": case.get("tensor_only", False)}


def memory(case, runners, seconds):
    """Each runner alone, two threads: what its process holds after many answers."""
    results, missing = {}, {}
    for name, command in runners.all(case, 2).items():
        workers, reasons = start_all({name: command})
        missing.update(reasons)
        results.update(turns(workers, 1, seconds))
        for worker in workers:
            worker.end()
    return {"name": case["name"], "threads": 2, "results": results, "missing": missing}
