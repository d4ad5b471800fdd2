"""Compares what two builds of `sedge infer --format json` said of the same pictures.

    same_predictions.py TOLERANCE OURS THEIRS

Classes and objects have to be the same, in the same order; scores and coordinates may differ by
the tolerance.
"""

import json
import sys

IGNORED = {"timings_us"}


def differences(ours, theirs, tolerance, where=""):
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in (ours.keys() | theirs.keys()) - IGNORED:
            yield from differences(ours.get(key), theirs.get(key), tolerance, f"{where}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, pair in enumerate(zip(ours, theirs)):
            yield from differences(*pair, tolerance, f"{where}[{index}]")
    elif isinstance(ours, float) and isinstance(theirs, float):
        if not abs(ours - theirs) <= tolerance:
            yield f"{where}: {ours} here, {theirs} there"
    elif ours != theirs:
        yield f"{where}: {ours} here, {theirs} there"


def main():
    tolerance = float(sys.argv[1])
    ours, theirs = (json.load(open(path)) for path in sys.argv[2:])
    found = list(differences(ours, theirs, tolerance))
    for image in theirs:
        names = [f"{each['label']} {each['score']:.4f}"
                 for each in image.get("classes", image.get("objects", []))]
        if not names:
            found.append(f"nothing was found in {image['image']}")
        print(f"{image['model']}: {', '.join(names)}")
    sys.exit("error: " + "\n".join(found) if found else 0)


main()
