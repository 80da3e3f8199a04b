"""Result folders as the page's tables: cases, a row for each measurement, decay, environments."""
import json
import re

import numpy
import pandas

SETTING = ["case", "device", "threads", "bind", "denormals"]
PASSES = ["fwd", "bwd", "train", "bwd_data", "bwd_weights"]
NUMBERS = {"d": "depth", "w": "width", "i": "input", "o": "output", "b": "batch", "t": "seq_len"}


INITS = {"sigmoid": "xavier", "tanh": "xavier", "identity": "xavier", "relu": "he", "leaky_relu": "he",
         "maxout": "lecun"}  # of a stack, by its activation; recurrent nets start from uniform


def case_parts(name):
    """The parts of a case's name: the network, its sizes, dtype, init, and the rest ("residual clip1")."""
    kind, *parts = name.split("/")
    out = {"case": name, "kind": kind, "model": re.split("[-+]", kind)[0], "dtype": "", "init": "", "extra": "",
           **dict.fromkeys(NUMBERS.values())}
    words = []
    for part in parts:
        size = re.fullmatch(r"([dwiobt])(\d+)", part)
        if size and not words:
            out[NUMBERS[size[1]]] = int(size[2])
        else:
            words.append(part)
    out["dtype"], out["init"] = [*words, "", ""][:2]
    out["extra"] = " ".join(word for word in words[2:] if word != "seed1")
    own = INITS.get(re.split("[-+]", kind + "-")[1]) if out["model"] == "stack" else "uniform"
    out["plain"] = int(out["init"] == own and not out["extra"])
    return out


def cases(names):
    frame = pandas.DataFrame([case_parts(name) for name in names])
    return frame.astype({name: float for name in NUMBERS.values()})


def worst(statuses):
    failed = [status for status in statuses if status != "ok"]
    return failed[0] if failed else "ok"


def first(series):
    return next((text for text in series if text), "")


def measurements(results):
    """A row for each setting over all runs: its status, and for each pass the median of all repetitions that were not
    disturbed (of all, where every one was), with the fastest and the slowest."""
    groups = results.groupby(SETTING, dropna=False, sort=False)
    rows = groups.agg(run=("run", "first"), plain_device=("plain_device", "first"), status=("status", worst), reason=("reason", first),
                      verified=("verified", first), implementation=("implementation", first),
                      algorithm=("algorithm", first), peak_gflop=("peak_gflop_per_s", "median"),
                      peak_gb=("peak_gb_per_s", "median"), memory=("memory_bytes", "max"))
    timed = results[(results.status == "ok") & (results.time_s > 0)]
    timed = timed.assign(items=timed.items_per_s * timed.time_s, disturbed=timed.disturbed.fillna(0))
    least = timed.groupby([*SETTING, "pass"], dropna=False).disturbed.transform("min")
    timed = timed[timed.disturbed == least]
    for name in PASSES:
        mine = timed[timed["pass"] == name]
        if mine.empty:
            continue
        times = mine.groupby(SETTING, dropna=False, sort=False).agg(
            time=("time_s", "median"), low=("time_s", "min"), high=("time_s", "max"), count=("time_s", "size"),
            flop=("flop", "median"), bytes=("bytes", "median"), items=("items", "median"),
            peak=("percent_of_peak", "median"), floor=("percent_of_floor", "median"))
        rows = rows.join(times.add_prefix(f"{name}_"))
    return rows.reset_index()


def build_names(runs):
    """What a device of each run is called where its name alone does not do: by the commit, where one machine
    ran builds of several; else by the first run of that build and machine."""
    places = [(run["hardware_id"], run["build_id"]) for run in runs]
    builds = dict(reversed([*zip(places, runs)]))  # the first run of each
    commits = {run["commit"] for run in builds.values()}
    one_machine = len({hardware for hardware, _ in builds}) == 1
    key = "commit" if one_machine and all(commits) and len(commits) == len(builds) else "name"
    return [builds[place][key] for place in places]


def label_devices(frames, runs):
    """Devices of one name are told apart by their machine where the hardware differs, or by their build
    where two measured the same; `plain_device` is the name that the program knows."""
    results, names = frames["results"], build_names(runs)
    machines = results.groupby("device").hardware_id.nunique()
    builds = results.groupby(SETTING, dropna=False).build_id.nunique().groupby("device").max()
    doubled = {*machines[machines > 1].index, *builds[builds > 1].index}
    for frame in frames.values():
        frame["plain_device"] = frame.device
        frame["device"] = [f"{device} @ {names[run]}" if device in doubled else device
                           for device, run in zip(frame.device, frame.run)]


def first_run(frame):
    """What several runs of one build have of a case and device, from the first of them."""
    return frame[frame.run == frame.groupby(["case", "device", "denormals"], dropna=False).run.transform("first")]


def flat(value, prefix=""):
    """Nested tables as lines of "machine: cpu model"."""
    if isinstance(value, dict):
        name = value.get("name")
        for key, inner in value.items():
            if not (name and key == "name"):
                yield from flat(inner, f"{prefix}{' · ' if prefix else ''}{key.replace('_', ' ')}")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            name = inner.get("name", place) if isinstance(inner, dict) else place
            yield from flat(inner, f"{prefix} {name}")
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value)


def roofs(environment):
    """Measured peaks of each device: compute in GFLOP/s, and the levels' names and GB/s, nearest first."""
    out = {}
    for device in environment.get("devices", []):
        found = []
        for level in range(1, 9):
            try:
                speed = float(device[f"peak_level{level}_bytes_per_s"])
                size = float(device.get(f"peak_level{level}_capacity_bytes", "nan"))
            except (KeyError, ValueError):
                continue
            found.append(["memory" if numpy.isinf(size) else f"L{level}", speed / 1e9])
        try:
            compute = float(device["peak_fp32_flop_per_s"]) / 1e9
        except (KeyError, ValueError):
            continue
        out[device.get("name", "")] = {"compute": compute, "levels": found}
    return out
