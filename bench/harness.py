"""Times seqlab itself: what it adds to the training within cells, two cells side by side, planning, reports and the first build.

Writes bench/results/PROCESSOR/harness.csv: quantity, unit, value, detail; one row a repeat, of which readers take the median.
Everything runs in a temporary folder with definitions of its own, whose cells last some five to ten seconds each. The
large table is that of results/lstm-vs-transformer under other seeds, sorted as seqlab sorts.

Run through `make bench`. With `--first-build` it measures nothing but `cargo build --release`, which takes ten minutes, and keeps
the other rows; without it, it keeps that one. A fresh clone is built in place, anything else into an empty folder.
"""

import argparse
import csv
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import processor

ROOT = pathlib.Path(__file__).resolve().parent.parent
SEQLAB = ROOT / "target/release/seqlab"
RESULTS = processor.folder() / "harness.csv"
EXPERIMENT = "lstm-vs-transformer"
CELL_REPEATS, PLAN_REPEATS, TABLE_ROWS = 2, 3, 10_000_000
FIRST_BUILD = "first build"

HEAD = """title = "Harness"
question = "What does the harness cost?"
why = "Its benchmark needs cells of a known length, or very many."
version = 1
seeds = {seeds}
budget = {{ core-seconds = 1e9 }}
width = 32

[tuning]
rates = [3e-3]
seeds = 1
common-rate = 3e-3
"""
# With one rate tried on one seed, this makes six cells: three a model.
CELLS = (
    HEAD.format(seeds=2)
    + "".join(
        f"""
[[task]]
name = "running-parity"
label = "parity-{model}"
version = 1
measure = {{ kind = "train", updates = {updates}, evaluate-every = 100 }}
parameters = 10000
batch = 16

[[model]]
name = "{model}"
tasks = ["parity-{model}"]
"""
        for model, updates in {"lstm": 6250, "transformer": 2000}.items()
    )
)
# 100 lags, 2 models and 500 seeds.
PLAN = HEAD.format(seeds=500) + f"""
[[task]]
name = "first-cue-recall"
version = 1
lag = {list(range(2, 102))}
tune-at = {{ lag = 2 }}
measure = {{ kind = "train", updates = 100, evaluate-every = 100 }}
parameters = 10000
batch = 16

[[model]]
name = "lstm"
tasks = ["first-cue-recall"]

[[model]]
name = "transformer"
tasks = ["first-cue-recall"]
"""

# In a process of its own, because the system hands a new process the peak memory of the one that starts it.
MEASURE = """
import os, subprocess, sys, time
start = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
said = child.stdout.read()
_, status, used = os.wait4(child.pid, 0)
if status != 0:
    sys.exit(f"{sys.argv[1:]} ended with {os.waitstatus_to_exitcode(status)}: {said.decode()[-2000:]}")
print(time.perf_counter() - start, used.ru_maxrss / 1024)
"""


def measured(folder, *arguments):
    """Wall seconds and peak memory in MiB of seqlab in a folder."""
    command = [sys.executable, "-c", MEASURE, SEQLAB, *arguments]
    answer = subprocess.run(list(map(str, command)), cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    seconds, mebibytes = map(float, answer.stdout.split())
    return seconds, mebibytes


def project(folder, **definitions):
    """A folder with these definitions and no claims."""
    (folder / "experiments").mkdir(parents=True)
    (folder / "experiments/claims.toml").write_text("claim = []\n")
    for name, text in definitions.items():
        (folder / f"experiments/{name}.toml").write_text(text)
    return folder


def costs(folder):
    """Wall seconds within each stored cell."""
    files = sorted((folder / ".seqlab/cells").glob("*/*.json"))
    # The first line is a checksum.
    return [json.loads(file.read_text().split("\n")[1])["cost"]["wall_seconds"] for file in files]


def run_of_cells(folder):
    """The same cells one after another and two at a time, each into an empty store."""
    rows, walls = [], {}
    for repeat in range(CELL_REPEATS):
        for jobs in (1, 2) if repeat % 2 == 0 else (2, 1):
            place = project(folder / f"cells-{repeat}-{jobs}", cells=CELLS)
            walls[jobs], _ = measured(place, "run", "cells", "--jobs", jobs)
            if jobs == 1:
                inside = costs(place)
                one = sum(inside)
        detail = f"wall time of a run of {len(inside)} cells of {min(inside):.1f} to {max(inside):.1f} s with --jobs 1, "
        detail += "workers, tables and card included, over the wall time within cells (data, training, evaluation), less 1"
        rows.append(("overhead of the harness", "fraction", walls[1] / one - 1, detail))
        detail = "wall time of the same run with --jobs 1 over that with --jobs 2; LSTM and Transformer, two cores"
        rows.append(("throughput of two jobs", "ratio", walls[1] / walls[2], detail))
    return rows


def planning(folder):
    place = project(folder / "plan", plan=PLAN)
    rows = []
    for _ in range(PLAN_REPEATS):
        for arguments, what in (
            (("run", "plan", "--dry-run"), "plan of 100,000 cells"),
            (("status", "plan"), "status of 100,000 cells"),
        ):
            seconds, mebibytes = measured(place, *arguments)
            detail = f"seqlab {' '.join(arguments)}, 100 lags, 2 models, 500 seeds, none of them computed"
            rows += [(what, "s", seconds, detail), (f"{what}: memory", "MiB", mebibytes, detail)]
    return rows


def large_table(source, target, rows):
    """The table under as many seeds as make so many rows. Floors belong to no cell and stay single."""
    with source.open(newline="") as file:
        header, *table = csv.reader(file)
    cell, seed = header.index("cell"), header.index("seed")
    arm = [header.index(name) for name in ("task", "model", "setting", "phase")]
    copies = -(-rows // len(table))
    quoted = lambda field: f'"{field}"' if field == "" or "," in field else field
    arms = {}
    for row in table:
        arms.setdefault(tuple(row[column] for column in arm), []).append(row)
    written = 0
    with target.open("w") as file:
        file.write(",".join(header) + "\n")
        for of_arm in arms.values():
            parts = []
            for row in of_arm:
                fields = [quoted(field) for field in row]
                before, after = ",".join(fields[cell + 1 : seed]), ",".join(fields[seed + 1 :])
                parts.append((row[cell], before, int(row[seed]), after))
            for copy in range(copies if parts[0][0] else 1):
                lines = [
                    f"{copy:04x}{key[4:]},{before},{number + 10_000 * copy},{after}\n" if key else f'"",{before},{number},{after}\n'
                    for key, before, number, after in parts
                ]
                file.writelines(lines)
                written += len(lines)
    return written, copies


def report(folder):
    place = folder / "report"
    for name in ("experiments", "results"):
        shutil.copytree(ROOT / name, place / name)
    table = pathlib.Path("results") / EXPERIMENT / "runs.csv"
    rows, copies = large_table(ROOT / table, place / table, TABLE_ROWS)
    # seqlab refuses a table that no run made, and says which digest it found; this one is meant.
    refused = subprocess.run([SEQLAB, "report", EXPERIMENT], cwd=place, stderr=subprocess.PIPE, text=True)
    found, told = re.search(r"blake3 is (\w{64}), and provenance.json says (\w{64})", refused.stderr).groups()
    provenance = place / "results" / EXPERIMENT / "provenance.json"
    provenance.write_text(provenance.read_text().replace(told, found))
    seconds, mebibytes = measured(place, "report", EXPERIMENT)
    detail = f"seqlab report on a table of {rows:,} rows: that of {EXPERIMENT} under {copies} times its seeds"
    return [("report of 10 million rows", "s", seconds, detail), ("report of 10 million rows: memory", "MiB", mebibytes, detail)]


def first_build(folder):
    fresh = ROOT / "target"
    subprocess.run(["cargo", "fetch"], cwd=ROOT, check=True)
    start = time.perf_counter()
    command = ["cargo", "build", "--release", "--target-dir", str(folder / "target" if fresh.exists() else fresh)]
    subprocess.run(command, cwd=ROOT, check=True)
    seconds = time.perf_counter() - start
    # It may be measured alone, at another revision than the rest.
    revision = subprocess.check_output(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], text=True).strip()
    detail = f"cargo build --release into an empty folder, dependencies downloaded before, {os.cpu_count()} cores, revision {revision}"
    return [(FIRST_BUILD, "s", seconds, detail)]


def kept(only_first_build):
    """Rows of the last time that are not measured now."""
    if not RESULTS.exists():
        return []
    with RESULTS.open(newline="") as file:
        return [tuple(row) for row in list(csv.reader(file))[1:] if (row[0] == FIRST_BUILD) != only_first_build]


def main():
    parser = argparse.ArgumentParser(description="Times seqlab itself.")
    parser.add_argument("--first-build", action="store_true", help="measure the first build alone")
    build = parser.parse_args().first_build
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for measure in [first_build] if build else [run_of_cells, planning, report]:
            rows += measure(pathlib.Path(name))
    rows = [(quantity, unit, f"{value:.6g}", detail) for quantity, unit, value, detail in rows]
    rows = sorted(kept(build) + rows, key=lambda row: row[0] == FIRST_BUILD)
    with RESULTS.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["quantity", "unit", "value", "detail"])
        writer.writerows(rows)
    print(f"wrote {RESULTS.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
