"""The figures as pictures."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from report import NAMES

# Okabe and Ito: told apart by colour-blind readers too.
COLORS = {"sedge": "#d55e00", "sedge+onnxruntime": "#e69f00", "onnxruntime": "#0072b2",
          "litert": "#009e73", "openvino": "#56b4e9", "mxnet": "#888888"}


def draw(results, directory):
    directory.mkdir(parents=True, exist_ok=True)
    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    for threads in (1, 2):
        rows = [row for row in results.get("raw", []) if row["threads"] == threads]
        if rows:
            bars(rows, f"Raw inference, {threads} thread{'s'[:threads - 1]}, batch 1",
                 lambda r: r["p50_us"] / 1000, "ms, median of rounds (log); shorter is better",
                 directory / f"inference-{threads}.png", log=True)
    if results.get("memory"):
        bars(results["memory"], "Memory of the whole process",
             lambda r: r["pss_kib"] / 1024, "MiB PSS; shorter is better", directory / "memory.png")
    if results.get("picture"):
        pictures(results["picture"], directory / "pictures.png")
    if results.get("server"):
        server(results["server"], directory / "server.png")


def bars(rows, title, value, unit, path, log=False):
    """Groups of horizontal bars, a group for each model."""
    names = [name for name in NAMES if any(name in row["results"] for row in rows)]
    figure, axes = plt.subplots(figsize=(9.5, 0.7 + 0.19 * sum(len(r["results"]) + 1 for r in rows)))
    y, ticks = 0, []
    for row in rows:
        top = y
        for name in names:
            if name in row["results"]:
                x = value(row["results"][name])
                axes.barh(y, x, 0.9, color=COLORS[name])
                axes.text(x * 1.03 if log else x, y, f" {x:.3g}", va="center", fontsize=7.5)
                y += 1
        ticks.append(((top + y - 1) / 2, row["name"]))
        y += 1
    axes.set_yticks(*zip(*ticks))
    axes.invert_yaxis()
    axes.margins(y=0.01)
    if log:
        axes.set_xscale("log")
        axes.set_xlim(left=0.5 * min(value(r) for row in rows for r in row["results"].values()))
    axes.set_xlabel(unit)
    axes.set_title(title, loc="left", fontweight="bold")
    handles = [plt.Rectangle((0, 0), 1, 1, color=COLORS[name]) for name in names]
    axes.legend(handles, [NAMES[name] for name in names], frameon=False, loc="upper center",
                ncols=3, bbox_to_anchor=(0.4, -0.42 / figure.get_figheight() * 1.6), fontsize=9)
    save(figure, path)


def pictures(rows, path):
    """Stages on top of each other."""
    stages = {"decode": "#009e73", "preprocess": "#56b4e9", "inference": "#0072b2",
              "postprocess": "#cc79a7"}
    rows = [(row, name) for row in rows if row["threads"] == 2 for name in row["results"]]
    figure, axes = plt.subplots(figsize=(9.5, 0.9 + 0.42 * len(rows)))
    for y, (row, name) in enumerate(rows):
        left = 0
        for stage, color in stages.items():
            width = row["results"][name]["stages_us"][stage] / 1000
            axes.barh(y, width, 0.7, left=left, color=color, label=stage if y == 0 else None)
            left += width
        axes.text(left, y, f" {left:.3g}", va="center", fontsize=8)
    labels = [f"{row['name']}\n{'' if name.startswith('sedge') else 'OpenCV + '}{NAMES[name]}"
              for row, name in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("ms, 2 threads; shorter is better")
    axes.set_title("From the bytes of a JPEG to the answer", loc="left", fontweight="bold")
    axes.legend(frameon=False)
    save(figure, path)


def server(rows, path):
    figure, axes = plt.subplots(2, 1, figsize=(9.5, 5))
    figure.subplots_adjust(hspace=0.55)
    for axis, connections, key, unit in [
        (axes[0], 1, "p50_us", "us, 1 connection: p50, line to p99; shorter is better"),
        (axes[1], 16, "per_s", "answers/s, 16 connections; longer is better"),
    ]:
        shown = [row for row in rows if row["connections"] == connections]
        for y, row in enumerate(shown):
            color = "#d55e00" if row["name"].startswith("sedge") else \
                "#bbbbbb" if row["name"].startswith("a bare") else "#0072b2"
            axis.barh(y, row[key], 0.6, color=color)
            if key == "p50_us":
                axis.plot([row["p50_us"], row["p99_us"]], [y, y], color="#444444", linewidth=1)
            axis.text(row[key], y - 0.42, f"{row[key]:.0f}", fontsize=8)
        names = [row["name"] for row in shown]
        axis.set_yticks(range(len(shown)), names, fontsize=8)
        axis.invert_yaxis()
        axis.set_xlabel(unit, fontsize=9)
    figure.suptitle("A request to a model that does nothing", x=0.01, ha="left", fontweight="bold")
    save(figure, path)


def save(figure, path):
    figure.savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
