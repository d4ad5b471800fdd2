"""Measures Sedge and its peers; `bench/run` starts it in an environment that has them."""

import argparse
import json
import subprocess
import time
import tomllib
from pathlib import Path

import greengrass
import inference
import isolation
import machine
import make_models
import plots
import report
import server
import spool
from runners import SITE, Runners

HERE = Path(__file__).parent
PARTS = ["raw", "picture", "server", "isolation", "greengrass", "spool", "memory"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true",
                        help="a few minutes: does everything run? The figures mean nothing")
    parser.add_argument("--sedge", type=Path, help="the program, instead of building it")
    parser.add_argument("--only", default=",".join(PARTS),
                        help="some of " + ",".join(PARTS) + "; the others keep their last results")
    parser.add_argument("--rounds", type=int, help="turns of each runner instead of cases.toml's")
    parser.add_argument("--report", action="store_true",
                        help="only write the documents again, from results/latest.json")
    parser.add_argument("--work", type=Path, default=Path("target/bench"))
    return parser.parse_args()


def build():
    subprocess.run(["cargo", "build", "--release", "--locked", "-p", "sedge"], check=True)
    return Path("target/release/sedge")


def chosen(cases, args):
    return [case for case in cases if case.get("quick") or not args.quick]


def measured(args):
    cases = tomllib.loads((HERE / "cases.toml").read_text())
    turn = {**cases, **(cases["quick"] if args.quick else {})}
    if args.rounds:
        turn["rounds"] = args.rounds
    http = {**cases["server"]}
    if args.quick:
        http.update(seconds=http["quick_seconds"], rounds=2)
    wanted = {part: chosen(cases.get(part, []), args) for part in PARTS if part != "server"}
    made = {value.removeprefix("made:") for rows in wanted.values() for case in rows
            for value in case.values() if str(value).startswith("made:")}
    sedge = (args.sedge or build()).absolute()
    made |= {"noop_1", "mobilenet_v1", "mobilenet_v1_int8"}
    make_models.make(args.work / "models", sorted(made))
    runners = Runners(sedge, args.work)
    parts = args.only.split(",")
    results = {"machine": machine.facts(sedge), "settings": {
        "rounds": turn["rounds"], "seconds": turn["seconds"], "quick": args.quick}}
    if machine.is_busy(results["machine"]):
        note("warning: the machine is busy; the figures will not mean much")
    for part in [part for part in ("raw", "picture") if part in parts]:
        results[part] = []
        for case in wanted[part]:
            for threads in case.get("threads", cases["threads"]):
                note(f"{part}: {case['name']}, {threads} threads")
                results[part].append(inference.measure(case, runners, turn, threads))
    if "server" in parts:
        note("server: overhead")
        results["server"] = server.overhead(runners, http)
    if "isolation" in parts:
        note("isolation")
        results["isolation"] = isolation.measure(wanted["isolation"], runners, http)
    if "greengrass" in parts:
        note("greengrass")
        results["greengrass"] = greengrass.measure(wanted["greengrass"], runners, http)
    if "spool" in parts:
        note("spool")
        results["spool"] = spool.measure(args.work, turn["rounds"], args.quick)
    if "memory" in parts:
        note("memory")
        results["footprint"] = server.footprint(runners)
        results["memory"] = [inference.memory(case, runners, turn["seconds"])
                             for case in wanted["memory"]]
        results["sizes"] = sizes(sedge)
    results["machine"]["load_average_after"] = machine.facts(sedge)["load_average"]
    return results


def sizes(sedge):
    """Bytes on disk: the program, and the packages of the peers without their dependencies."""
    def tree(name):
        return sum(file.stat().st_size for file in (SITE / name).rglob("*") if file.is_file())

    found = {name: tree(name) for name in ("onnxruntime", "ai_edge_litert", "openvino", "cv2")}
    return {"sedge": sedge.stat().st_size, **found}


def note(text):
    print(time.strftime("%H:%M:%S"), text, flush=True)


def main():
    args = arguments()
    # A quick run shows that everything works; the documents keep the figures of a full one.
    out = args.work / "quick" if args.quick else Path("docs")
    latest = args.work / "quick.json" if args.quick else HERE / "results/latest.json"
    results = json.loads(latest.read_text()) if latest.exists() else {}
    if not args.report:
        results.update(measured(args))
        latest.parent.mkdir(parents=True, exist_ok=True)
        latest.write_text(json.dumps(results, indent=1) + "\n")
    plots.draw(results, out / "performance")
    (out / "performance.md").write_text(report.markdown(results, (HERE / "reading.md").read_text()))
    note(f"wrote {latest} and {out}/performance.md")


if __name__ == "__main__":
    main()
