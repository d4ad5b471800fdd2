"""The figures as Markdown. The prose comes from reading.md and survives each run."""

NAMES = {"sedge": "Sedge", "sedge+onnxruntime": "Sedge with onnxruntime",
         "onnxruntime": "onnxruntime", "litert": "LiteRT", "openvino": "OpenVINO f32",
         "mxnet": "MXNet 1.9.1"}
NOISY = 0.15


def markdown(results, reading):
    parts = {
        "machine": machine(results),
        "raw": inference(results.get("raw", [])),
        "ratios": ratios(results.get("raw", [])),
        "agreement": agreement(results.get("raw", [])),
        "picture": pictures(results.get("picture", [])),
        "server": server(results.get("server", [])),
        "isolation": isolation(results.get("isolation", [])),
        "greengrass": greengrass(results.get("greengrass", [])),
        "spool": spool(results.get("spool", [])),
        "memory": memory(results),
        "noise": noise(results),
        "missing": missing(results),
    }
    for name, text in parts.items():
        reading = reading.replace(f"<!-- {name} -->", text)
    return reading


def table(head, rows):
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows])


def ms(us):
    value = us / 1000
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.01 else f"{value:.4f}"


def ratio(ours, peer):
    return f"{ours / peer:.2f}"


def machine(results):
    m, s = results["machine"], results["settings"]
    packages = ", ".join(f"{name} {version}" for name, version in m["packages"].items())
    quick = " **A quick run: the figures mean nothing.**" if s["quick"] else ""
    return (
        f"Measured on {m['cpu']} ({' '.join(m['features'])}), {m['cores']} cores, "
        f"{m['memory_gib']} GiB, Linux {m['kernel']}, governor {m['governor'] or 'not told'}, "
        f"load average {m['load_average']:.2f} before. Sedge {m['sedge']} at {m['commit']}, "
        f"Python {m['python']}, {packages}. {s['rounds']} rounds of {s['seconds']} s each.{quick}")


def is_ours(name):
    return name.startswith("sedge")


def best_peer(results):
    """Name and time of the fastest runner that is not ours."""
    peers = {name: result["p50_us"] for name, result in results.items() if not is_ours(name)}
    return min(peers.items(), key=lambda item: item[1]) if peers else None


def inference(rows):
    runners = [name for name in NAMES if any(name in row["results"] for row in rows)]
    lines = [[row["name"], str(row["threads"]),
              *[ms(row["results"][name]["p50_us"]) if name in row["results"] else "–"
                for name in runners]] for row in rows]
    return table(["model", "threads", *[NAMES[name] for name in runners]], lines)


def ratios(rows):
    """Both of ours against each peer, the best in bold."""
    peers = [name for name in NAMES
             if not is_ours(name) and any(name in row["results"] for row in rows)]
    ours = {"sedge": "Sedge", "sedge+onnxruntime": "with onnxruntime"}
    head = ["model", "threads", *[f"{label} / {NAMES[peer]}" for label in ours.values()
                                  for peer in peers]]
    lines = []
    for row in rows:
        results, best = row["results"], best_peer(row["results"])
        cells = [row["name"], str(row["threads"])]
        for mine in ours:
            for peer in peers:
                known = mine in results and peer in results
                text = ratio(results[mine]["p50_us"], results[peer]["p50_us"]) if known else "–"
                cells.append(f"**{text}**" if known and peer == best[0] else text)
        lines.append(cells)
    return table(head, lines)


def agreement(rows):
    head = ["model", "runner", "largest difference", "largest value", "of it"]
    lines = []
    for row in rows:
        for name, result in row["results"].items():
            found = result.get("difference")
            if name in ("sedge", "sedge+onnxruntime", "openvino") and row["threads"] == 2:
                cells = ["other shapes", "–", "–"]
                if found:
                    share = found["max_abs"] / found["max_value"] if found["max_value"] else 0
                    cells = [f"{found['max_abs']:.2g}", f"{found['max_value']:.3g}", f"{share:.1e}"]
                lines.append([row["name"], NAMES[name], *cells])
    return table(head, lines)


def pictures(rows):
    head = ["model and picture", "threads", "runner", "decode", "preprocess", "inference", "all",
            "Sedge / it"]
    lines = []
    for row in rows:
        def whole(result):
            stages = result["stages_us"]
            alone = stages["decode"] + stages["preprocess"]
            return alone if row["tensor_only"] else result["p50_us"]

        ours = row["results"].get("sedge")
        for name, result in row["results"].items():
            if row["tensor_only"] and name == "sedge+onnxruntime":
                continue
            stages = result["stages_us"]
            inference_ms = "–" if row["tensor_only"] else ms(stages["inference"])
            label = f"OpenCV + {NAMES[name]}" if not is_ours(name) else NAMES[name]
            label = "OpenCV and numpy" if row["tensor_only"] and name != "sedge" else label
            lines.append([row["name"], str(row["threads"]), label, ms(stages["decode"]),
                          ms(stages["preprocess"]), inference_ms, ms(whole(result)),
                          ratio(whole(ours), whole(result)) if ours and name != "sedge" else ""])
    return table(head, lines)


def server(rows):
    head = ["server and request", "connections", "p50 us", "p90 us", "p99 us", "answers/s",
            "p50 in each round"]
    lines = [[row["name"], str(row["connections"]), f"{row['p50_us']:.0f}", f"{row['p90_us']:.0f}",
              f"{row['p99_us']:.0f}", f"{row['per_s']:.0f}",
              ", ".join(f"{p50:.0f}" for p50 in row["rounds_p50_us"])] for row in rows]
    return table(head, lines)


def isolation(rows):
    head = ["request", "thread p50 us", "process p50 us", "added us", "ratio", "thread p99 us",
            "process p99 us"]
    lines = []
    for row in rows:
        thread, process = row["thread"], row["process"]
        lines.append([row["name"], *(f"{kind['p50_us']:.0f}" for kind in (thread, process)),
                      f"{process['p50_us'] - thread['p50_us']:+.0f}",
                      ratio(process["p50_us"], thread["p50_us"]),
                      *(f"{kind['p99_us']:.0f}" for kind in (thread, process))])
    return table(head, lines)


def greengrass(rows):
    head = ["model and picture", "the SDK p50 us", "HTTP p50 us", "SDK adds us",
            "OpenCV and MXNet in the function p50 us", "SDK / own"]
    lines = []
    for row in rows:
        p50 = row["p50_us"]
        own = p50.get("mxnet")
        lines.append([row["name"], f"{p50['sdk']:.0f}", f"{p50['http']:.0f}",
                      f"{p50['sdk'] - p50['http']:+.0f}", f"{own:.0f}" if own else "",
                      ratio(p50["sdk"], own) if own else ""])
    return table(head, lines)


def spool(rows):
    names = {"always": "before `append` returns", "every": "once a second", "never": "never"}
    head = ["record", "synced", "appends/s", "p50 us", "p99 us", "drained/s", "SQLite appends/s",
            "SQLite p50 us", "SQLite drained/s", "p50, Sedge / SQLite"]
    lines = []
    for row in rows:
        ours, peer = row["sedge"], row.get("sqlite")
        lines.append([f"{row['bytes'] >> 10} KiB", names[row["policy"]],
                      f"{ours['append_per_s']:.0f}", f"{ours['p50_us']:.1f}",
                      f"{ours['p99_us']:.0f}", f"{ours['drain_per_s']:.0f}",
                      *([f"{peer['append_per_s']:.0f}", f"{peer['p50_us']:.1f}",
                         f"{peer['drain_per_s']:.0f}", ratio(ours["p50_us"], peer["p50_us"])]
                        if peer else [""] * 4)])
    return table(head, lines)


def mib(kib):
    return f"{kib / 1024:.1f}"


def memory(results):
    head = ["model", "process", "PSS MiB", "Sedge / it", "load ms", "first answer ms",
            "from start ms"]
    lines = []
    for row in results.get("memory", []):
        ours = row["results"].get("sedge")
        for name, result in row["results"].items():
            share = ratio(ours["pss_kib"], result["pss_kib"]) if ours and name != "sedge" else ""
            lines.append([row["name"], NAMES[name], mib(result["pss_kib"]), share,
                          f"{result['load_ms']:.0f}", f"{result['first_ms']:.1f}",
                          f"{result['start_ms']:.0f}"])
    text = table(head, lines)
    head = ["`sedge serve` with", "listens after ms", "PSS MiB idle", "after 50 pictures",
            "25 s later"]
    lines = [[row["name"], f"{row['ready_ms']:.0f}",
              *(mib(row[key]) for key in ("idle_kib", "after_kib", "later_kib"))]
             for row in results.get("footprint", [])]
    text += "\n\n" + table(head, lines)
    head = ["on disk", "MiB"]
    lines = [[f"`{name}`", f"{size / 2**20:.1f}"] for name, size in
             results.get("sizes", {}).items()]
    return text + "\n\n" + table(head, lines)


def noise(results):
    rows = [*results.get("raw", []), *results.get("picture", [])]
    spreads = [(r["spread"], row, name) for row in rows for name, r in row["results"].items()]
    loud = sorted((s for s in spreads if s[0] > NOISY), key=lambda s: -s[0])
    if not loud:
        return f"The rounds of every cell lie within {NOISY:.0%} of each other."
    named = "; ".join(f"{row['name']}, {row['threads']} threads, {NAMES[name]}: {spread:.0%}"
                      for spread, row, name in loud[:8])
    return (f"In {len(loud)} of {len(spreads)} cells the rounds' medians lie more than {NOISY:.0%} "
            f"apart; take those as rough. The widest: {named}.")


def missing(results):
    found = {}
    for row in [*results.get("raw", []), *results.get("picture", [])]:
        for name, why in row["missing"].items():
            found.setdefault((row["name"], name), why)
    lines = [[model, NAMES[name], why.replace("|", "/")] for (model, name), why in found.items()]
    return table(["model", "not available", "because"], lines) if lines else "Everything ran."
