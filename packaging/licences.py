#!/usr/bin/env python3
"""Prints the licences of all crates that are built into `sedge`, each text once.

Reads `cargo metadata`, and the licence files that the crates brought with them. A crate without
one is named with its licence's short name and its authors.

    packaging/licences.py TARGET...
"""

import collections
import json
import pathlib
import subprocess
import sys

FILES = ("licence", "license", "copying", "notice", "unlicense")


def built_in(target):
    """The packages from elsewhere that end up in the binary: what is only run while building,
    such as macros and build scripts, does not."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", target]
    metadata = json.loads(subprocess.check_output(command))
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}

    def is_macro(package):
        return any("proc-macro" in made["kind"] for made in packages[package]["targets"])

    seen = set()
    waiting = [id for id, package in packages.items() if package["name"] == "sedge"]
    while waiting:
        package = waiting.pop()
        if package in seen or is_macro(package):
            continue
        seen.add(package)
        for needed in nodes[package]["deps"]:
            if any(kind["kind"] is None for kind in needed["dep_kinds"]):
                waiting.append(needed["pkg"])
    return {id: packages[id] for id in seen if packages[id]["source"]}


def texts(package):
    root = pathlib.Path(package["manifest_path"]).parent
    found = {path for path in root.iterdir() if path.name.lower().startswith(FILES)}
    if package["license_file"]:
        found.add(root / package["license_file"])
    return [path.read_text(errors="replace").strip() for path in sorted(found) if path.is_file()]


def main():
    packages = {}
    for target in sys.argv[1:]:
        packages.update(built_in(target))
    by_text = collections.defaultdict(list)
    print("Rust's standard library is built into Sedge: MIT OR Apache-2.0, by the Rust Project\n"
          "developers, https://www.rust-lang.org. So are these crates, from https://crates.io:\n")
    for package in sorted(packages.values(), key=lambda package: package["name"]):
        name = f"{package['name']} {package['version']}"
        found = texts(package)
        note = "" if found else f", by {', '.join(package['authors']) or package['repository']}"
        print(f"  {name}: {package['license']}{note}")
        # Lines are compared without their breaks: the same text is wrapped in many ways.
        for text in found:
            by_text[" ".join(text.split())].append((name, text))
    for users in by_text.values():
        print("\n" + "=" * 80)
        print("\n".join(name for name, _ in users) + "\n")
        print(users[0][1])


main()
