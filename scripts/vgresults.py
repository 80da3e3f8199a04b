"""Reads result folders strictly: what `bench --out=DIR` wrote becomes a frame a file.

A source is a folder with a results.csv somewhere in or below it (one run, or many), or such a file
by itself. What is malformed raises Malformed, whose text names file, line and column; the last line
of a file is dropped where no end of line closes it: a run may be killed at any moment.
"""
import csv
import dataclasses
import io
import json
import math
import pathlib
import re

import numpy
import pandas

SCHEMA = 1
KEY = ["case", "device", "pass", "threads", "bind", "denormals"]  # of a measurement, over its samples
SAMPLE = ["run_id", "process"]  # a process: its median over repetitions is one sample
TEXTS = {"run_id", "time_utc", "case", "status", "reason", "verified", "device", "device_name",
         "hardware_id", "build_id", "implementation", "algorithm", "model", "activation", "init",
         "dtype", "bind", "denormals", "pass", "throttle", "checksum", "tensor", "direction", "verdict"}
COUNTS = {"depth", "width", "input", "output", "seq_len", "batch", "threads", "process", "repetition", "iterations",
          "memory_bytes", "layer", "step", "elements", "zeros", "subnormals", "infinities", "nans", "attempts"}


class Malformed(ValueError):
    """A file that is not what bench writes."""


class OtherSchema(Malformed):
    """A file of a later schema than this reader knows."""


class Empty(Malformed):
    """A folder that is there, and holds no results."""


@dataclasses.dataclass
class Results:
    """Rows of all runs of one source. `path` tells of each row where it came from."""

    results: pandas.DataFrame
    gradients: pandas.DataFrame
    decay: pandas.DataFrame
    env: dict  # of each run_id: its env.json; a run without one is not in it
    described: dict  # of each of these: the folder that holds it

    def only(self, runs):
        """The part of these runs."""
        frames = (f[f.run_id.isin(runs)] for f in (self.results, self.gradients, self.decay))
        return Results(*frames, *({run: of for run, of in all_of.items() if run in runs}
                                  for all_of in (self.env, self.described)))


def _text(path):
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Malformed(f"{path}: {error.strerror}") from error
    for what, at in (("a NUL byte", data.find(b"\0")), ("not UTF-8", _not_utf8(data))):
        if at >= 0:
            line, start = data.count(b"\n", 0, at) + 1, data.rfind(b"\n", 0, at)
            raise Malformed(f"{path}: line {line}, column {at - start}: {what}")
    return data.decode()


def _not_utf8(data):
    """Where the first byte stands that is not UTF-8, or -1."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.start
    return -1


def records(path):
    """The header, and (line, fields) of every other record."""
    text = _text(path)
    reader = csv.reader(io.StringIO(text[:text.rfind("\n") + 1], newline=""), strict=True)
    rows, line = [], 1
    try:
        for fields in reader:
            rows.append((line, fields))
            line = reader.line_num + 1
    except csv.Error as error:
        raise Malformed(f"{path}: line {line}, column 1: {error}") from error
    if not rows:
        raise Malformed(f"{path}: line 1, column 1: no header")
    return rows[0][1], rows[1:]


def _numbers(path, name, position, lines, texts):
    """A column as doubles; an empty field is NaN, and of a count nothing else but digits is one."""
    for line, text in zip(lines, texts if name in COUNTS else ()):
        if text and not (text.isascii() and text.isdecimal() and len(text) < 20):
            raise Malformed(f"{path}: line {line}, column {position}: {name}: {text[:40]!r} is no count")
    values = pandas.to_numeric(pandas.Series(texts, dtype=object).replace("", math.nan), errors="coerce")
    for i in numpy.flatnonzero(values.isna()):
        if texts[i] not in ("", "nan"):
            raise Malformed(f"{path}: line {lines[i]}, column {position}: {name}: "
                            f"{texts[i][:40]!r} is not a number")
    return values.astype(float).to_numpy()


def read_csv(path, needed, any_schema=False):
    """One file of bench as a frame, with a column `path`; columns in `needed` must be there."""
    path = pathlib.Path(path)
    header, rows = records(path)
    for name in ["schema_version", *needed]:
        if name not in header:
            raise Malformed(f"{path}: line 1, column {len(header)}: no column {name}")
    if len(set(header)) < len(header):
        twice = next(i for i, name in enumerate(header) if name in header[:i])
        raise Malformed(f"{path}: line 1, column {twice + 1}: {header[twice]} for the second time")
    for line, fields in rows:
        if len(fields) != len(header):
            raise Malformed(f"{path}: line {line}, column {len(fields)}: {len(fields)} fields, "
                            f"expected {len(header)}")
    lines = [line for line, _ in rows]
    columns = zip(*(fields for _, fields in rows)) if rows else [()] * len(header)
    frame = {"path": [str(path)] * len(rows), "line": lines}
    for position, (name, texts) in enumerate(zip(header, columns), 1):
        frame[name] = list(texts) if name in TEXTS else _numbers(path, name, position, lines, texts)
    frame = pandas.DataFrame(frame)
    later = frame[frame.schema_version > SCHEMA]
    if len(later) and not any_schema:
        first = later.iloc[0]
        raise OtherSchema(f"{path}: line {first.line}, column {header.index('schema_version') + 1}: "
                          f"schema_version {first.schema_version:g}, expected {SCHEMA}")
    return frame


def _is_facts(value, kinds=str):
    return isinstance(value, dict) and all(isinstance(inner, kinds) for inner in value.values())


# Of env.json what scripts rely on: a test, and what was expected. A run_id names a folder of merge.py's.
ENV = {"run_id": (lambda value: isinstance(value, str) and re.fullmatch(r"[\w-][\w.-]*", value, re.ASCII),
                  "letters, digits, _, - and . after the first"),
       "build": (lambda value: _is_facts(value, (str, bool)), "an object of texts"),
       "machine": (_is_facts, "an object of texts"),
       "devices": (lambda value: isinstance(value, list) and all(map(_is_facts, value)), "a list of objects of texts")}


def _read_env(path, any_schema=False):
    try:
        env = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise Malformed(f"{path}: line {error.lineno}, column {error.colno}: {error.msg}") from error
    except (RecursionError, ValueError) as error:  # an integer of thousands of digits
        raise Malformed(f"{path}: line 1, column 1: {error}") from error
    if not isinstance(env, dict) or "run_id" not in env:
        raise Malformed(f"{path}: line 1, column 1: no run_id")
    version = env.get("schema_version", SCHEMA)
    if type(version) is not int or version < 1:
        raise Malformed(f"{path}: line 1, column 1: schema_version {str(version)[:40]!r}, expected {SCHEMA}")
    if version > SCHEMA and not any_schema:
        raise OtherSchema(f"{path}: line 1, column 1: schema_version {version}, expected {SCHEMA}")
    for key, (is_well, expected) in ENV.items():
        if key in env and not is_well(env[key]):
            raise Malformed(f"{path}: line 1, column 1: {key}: expected {expected}")
    return env


RESULTS = [*KEY, *SAMPLE, "repetition", "status", "reason", "verified", "disturbed", "time_s", "items_per_s",
           "model", "dtype", "depth", "width", "input", "seq_len", "batch", "iterations", "hardware_id",
           "build_id", "time_utc"]
GRADIENTS = ["run_id", "case", "device", "denormals", "tensor", "layer", "step", "log10_norm",
             "log10_norm_exact", "mean_abs_derivative"]
DECAY = ["run_id", "case", "device", "denormals", "direction", "layer", "predicted_rate"]


def read(source, any_schema=False, also=()):
    """All runs of a source; columns of results.csv in `also` must be there too. Malformed where one is, Empty where
    there is none."""
    source = pathlib.Path(source)
    if source.is_dir():
        files = sorted(source.rglob("results.csv"))
        if not files:
            raise Empty(f"{source}: no results.csv in or below it")
    elif source.is_file() and source.suffix != ".csv":
        raise Malformed(f"{source}: neither a folder nor a CSV file")
    else:
        files = [source]
    needed = {"results": [*RESULTS, *also], "gradients": GRADIENTS, "decay": DECAY}
    frames = {name: [] for name in needed}
    for path in files:
        frames["results"].append(read_csv(path, needed["results"], any_schema))
        if not source.is_dir():
            continue
        for name in ("gradients", "decay"):
            if (beside := path.with_name(f"{name}.csv")).exists():
                frames[name].append(read_csv(beside, needed[name], any_schema))
    joined = {name: pandas.concat(parts, ignore_index=True) if parts
              else pandas.DataFrame(columns=["path", "line", *needed[name]])
              for name, parts in frames.items()}
    _no_doubles(joined["results"])
    env, described = {}, {}
    for path in sorted(source.rglob("env.json")) if source.is_dir() else []:
        one = _read_env(path, any_schema)
        env[one["run_id"]], described[one["run_id"]] = one, path.parent
    return Results(**joined, env=env, described=described)


def _no_doubles(rows):
    timed = rows[rows.time_s.notna()]
    again = timed[timed.duplicated([*KEY, *SAMPLE, "repetition"])]
    if len(again):
        first = again.iloc[0]
        raise Malformed(f"{first.path}: line {first.line}, column 1: this measurement is there already")


def counted(rows):
    """Rows whose time may be compared: the case is ok, and its results were verified."""
    return rows[(rows.status == "ok") & (rows.verified != "no") & (rows.time_s > 0)]


def samples(rows, columns=("time_s",), key=tuple(KEY)):
    """The median over repetitions of each process, undisturbed ones only."""
    calm = rows[rows.disturbed == 0]
    return calm.groupby([*key, *SAMPLE], dropna=False, sort=False)[list(columns)].median().reset_index()
