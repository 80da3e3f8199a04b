"""Result folders made up for the tests of the scripts: every column that the reader needs."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "scripts"))
try:
    import vgresults
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

CASE = "stack-tanh/d2/w8/b2/fp32/xavier/seed1"
HEADERS = {"results": ["schema_version", *vgresults.RESULTS],
           "gradients": ["schema_version", *vgresults.GRADIENTS],
           "decay": ["schema_version", *vgresults.DECAY]}
ROW = {"schema_version": 1, "case": CASE, "device": "cpu.avx2", "pass": "train", "threads": 2, "bind": "core",
       "denormals": "keep", "run_id": "r1", "process": 0, "repetition": 0, "status": "ok", "reason": "",
       "verified": "full", "disturbed": 0, "time_s": 0.5, "items_per_s": 4, "model": "stack", "dtype": "fp32",
       "depth": 2, "width": 8, "input": 8, "seq_len": 1, "batch": 2, "iterations": 1, "hardware_id": "here",
       "build_id": "b1", "time_utc": "2026-01-01T00:00:00Z"}
POINT = {"schema_version": 1, "run_id": "r1", "case": CASE, "device": "cpu.avx2", "denormals": "keep",
         "tensor": "dh", "layer": 1, "step": "", "log10_norm": -1, "log10_norm_exact": -1,
         "mean_abs_derivative": 0.5}


def csv_of(name, rows):
    """The text of NAME.csv; quotes are the caller's."""
    header = HEADERS[name]
    return "\n".join([",".join(header), *(",".join(str(row[c]) for c in header) for row in rows), ""])


def rows(times, repetitions=3, **changed):
    """A row for each process and repetition, whose median is the process's time."""
    for process, time in enumerate(times):
        for repetition, factor in enumerate((1, 0.5, 9)[:repetitions]):
            seconds = time * factor
            yield {**ROW, "process": process, "repetition": repetition, "time_s": seconds,
                   "items_per_s": 2 / seconds, **changed}


def env(run_id="r1", commit="abc", compiler="GNU 12.2.0", cpu="CPU"):
    return {"schema_version": 1, "run_id": run_id, "host": "h",
            "build": {"commit": commit, "compiler": compiler, "parts": ""},
            "machine": {"cpu_model": cpu, "logical_cpus": "2"}}


def write(folder, results, gradients=(), decay=(), facts=None):
    """A result folder; returns its path."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in (("results", results), ("gradients", gradients), ("decay", decay)):
        (folder / f"{name}.csv").write_text(csv_of(name, table))
    (folder / "env.json").write_text(json.dumps(env() if facts is None else facts))
    return folder
