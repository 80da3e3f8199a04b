#!/usr/bin/env python3
"""Joins result folders, of one machine or of many, into one that every other script reads.

  scripts/merge.py DIR... --out=FOLDER

DIR: a folder that `bench --out` wrote, or a folder of such folders, as an earlier merge is. FOLDER
gets results.csv, gradients.csv and decay.csv with the rows of all, byte for byte, and runs/RUN_ID/
with each run's env.json and topology.xml. It must not be there yet, or be empty; it appears only when
it is whole.

A row that is there already, the same in every field, is taken once: an overlap of merges loses and
doubles nothing. A row with the key of another and other values is a conflict: both are named, and
nothing is written.

Exit 0; 1 conflicting rows; 2 usage, or a malformed file, or another schema; 4 FOLDER cannot be
written.
"""
import argparse
import csv
import pathlib
import shutil
import sys
import tempfile

import vgpackages

if __name__ == "__main__":
    vgpackages.need("numpy", "pandas")

import vgresults

# What makes a row of a file that row, beside its run.
KEYS = {"results": [*vgresults.KEY, "process", "repetition"],
        "gradients": ["case", "device", "denormals", "tensor", "layer", "step"],
        "decay": ["case", "device", "denormals", "direction", "layer"]}
DESCRIPTIONS = ["env.json", "topology.xml"]
SHOWN = 5


class Conflict(ValueError):
    """Two rows that cannot both be true."""


class Joined:
    """One of the files, as it grows."""

    def __init__(self, name):
        self.key = ["run_id", *KEYS[name]]
        self.header = []
        self.rows = {}  # key -> (fields, where it came from)
        self.again = 0
        self.conflicts = []

    def add(self, path):
        header, records = vgresults.records(path)
        shorter, longer = sorted((self.header, header), key=len)
        if longer[:len(shorter)] != shorter:  # columns are only ever appended
            raise Conflict(f"{path}: line 1: other columns than in the files before it")
        self.header = longer
        columns = [header.index(name) for name in self.key]
        for line, fields in records:
            key = tuple(fields[c] for c in columns)
            where = f"{path}: line {line}"
            before = self.rows.setdefault(key, (fields, where))
            if before[1] == where:
                continue
            if self.whole(before[0]) == self.whole(fields):
                self.again += 1
            else:
                self.conflicts.append(f"{where}: other values than in {before[1]} ({' '.join(key[1:])})")

    def whole(self, fields):
        """A row of a time when there were fewer columns, with empty ones for the rest."""
        return fields + [""] * (len(self.header) - len(fields))

    def write(self, path):
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.header)
            writer.writerows(self.whole(fields) for fields, _ in self.rows.values())


def join(sources):
    """The three files, and of each run the folder that describes it."""
    joined = {name: Joined(name) for name in KEYS}
    described = {}
    for source in map(pathlib.Path, sources):
        if not source.is_dir():
            raise vgresults.Malformed(f"{source}: no such folder")
        results = vgresults.read(source)  # strict: what is malformed is told here
        for name, file in joined.items():
            for path in sorted(source.rglob(f"{name}.csv")):
                file.add(path)
        for run, folder in results.described.items():
            if run in described and (described[run] / DESCRIPTIONS[0]).read_bytes() != (
                    folder / DESCRIPTIONS[0]).read_bytes():
                raise Conflict(f"{folder / DESCRIPTIONS[0]}: another description of {run} than in "
                               f"{described[run]}")
            described.setdefault(run, folder)
    conflicts = [c for file in joined.values() for c in file.conflicts]
    if conflicts:
        more = [f"and {len(conflicts) - SHOWN} more"] if len(conflicts) > SHOWN else []
        raise Conflict("\n".join([*conflicts[:SHOWN], *more]))
    return joined, described


def write(out, joined, described):
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(17, "is there already, and is not empty", str(out))
    out.parent.mkdir(parents=True, exist_ok=True)
    made = pathlib.Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        for name, file in joined.items():
            if file.header:
                file.write(made / f"{name}.csv")
        for run, folder in described.items():
            to = made / "runs" / run
            to.mkdir(parents=True)
            for name in DESCRIPTIONS:
                if (folder / name).exists():
                    shutil.copyfile(folder / name, to / name)
        made.chmod(0o755)
        made.replace(out)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def counted(things, noun):
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="DIR")
    parser.add_argument("--out", required=True, type=pathlib.Path, metavar="FOLDER")
    options = parser.parse_args(arguments)
    try:
        joined, described = join(options.folders)
        write(options.out, joined, described)
    except (Conflict, vgresults.Malformed, OSError) as error:
        text = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        for line in text.splitlines():
            print(f"merge.py: {line}", file=sys.stderr)
        return 1 if isinstance(error, Conflict) else 4 if isinstance(error, OSError) else 2
    rows = joined["results"]
    runs = {key[0] for key in rows.rows}
    machines = {fields[rows.header.index("hardware_id")] for fields, _ in rows.rows.values()}
    print(f"{options.out}: {counted(rows.rows, 'result')} of {counted(runs, 'run')} on {counted(machines, 'kind')} of "
          f"hardware" + (f"; {rows.again} were there more than once" if rows.again else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
