"""One side's times in the formats of other tools that keep or judge them."""
import csv
import io
import json

import vgstats
from vgverdicts import newest, times


def label(key):
    """The name of a measurement in other tools: case, device, pass, and what it ran on."""
    case, device, timed, threads, bind, denormals = key
    return "/".join([case, device, timed, f"threads:{threads}" if threads else "threads:unknown", bind, denormals])


def google_benchmark(side):
    """JSON as Google Benchmark 1.7 writes it: a repetition for each process, so that its
    tools/compare.py can test one file against another."""
    runs = []
    for family, (key, taken) in enumerate(times(side).items()):
        for index, (seconds, items) in enumerate(zip(taken.seconds, taken.items)):
            runs.append({"name": label(key), "family_index": family, "per_family_instance_index": 0,
                         "run_name": label(key), "run_type": "iteration",
                         "repetitions": len(taken.seconds), "repetition_index": index,
                         "threads": key[3] or 1, "iterations": 1, "real_time": seconds * 1e9,
                         "cpu_time": seconds * 1e9, "time_unit": "ns", "items_per_second": items})
    processors = side.facts.get("machine", {}).get("logical_cpus", "")
    context = {"date": side.time_utc, "host_name": side.facts.get("host", ""), "executable": "bench",
               "num_cpus": int(processors) if processors.isdecimal() else 0, "mhz_per_cpu": 0,
               "cpu_scaling_enabled": False, "caches": [], "load_avg": [],
               "library_build_type": "release", "hardware_id": side.hardware_id, "commit": side.commit}
    return json.dumps({"context": context, "benchmarks": runs}, indent=2) + "\n"


def _custom(side, unit, value_of):
    """github-action-benchmark's own form: an array of name, unit, value, range, extra."""
    rows = []
    for key, taken in times(side).items():
        values = value_of(taken)
        low, high = vgstats.quartiles(values)
        rows.append({"name": label(key), "unit": unit, "value": vgstats.median(values),
                     "range": f"{low:.6g} to {high:.6g}",
                     "extra": f"quartiles over {len(values)} processes, commit {side.commit or 'unknown'}"})
    return json.dumps(rows, indent=2) + "\n"


def custom_smaller(side):
    return _custom(side, "ms", lambda taken: taken.seconds * 1e3)


def custom_bigger(side):
    return _custom(side, "items/s", lambda taken: taken.items)


def bencher(side):
    """Bencher Metric Format: latency in nanoseconds and throughput in items a second, each with
    its quartiles as the lower and upper value."""
    out = {}
    for key, taken in times(side).items():
        out[label(key)] = {}
        for measure, values in (("latency", taken.seconds * 1e9), ("throughput", taken.items)):
            low, high = vgstats.quartiles(values)
            out[label(key)][measure] = {"value": vgstats.median(values), "lower_value": low,
                                        "upper_value": high}
    return json.dumps(out, indent=2) + "\n"


def builds(sources, hardware_id):
    """A Side for each build of all (name, Results) on this machine, the oldest first."""
    sides = {}
    for name, results in sources:
        rows = results.results[results.results.hardware_id == hardware_id]
        for _, group in rows.groupby("build_id", sort=False):
            side = newest(name, results.only(set(group.run_id)), hardware_id)
            sides[side.build_id] = side
    return sorted(sides.values(), key=lambda side: side.time_utc)


def otava(sides):
    """Otava's CSV: a row for each build, its time, commit, and the median milliseconds of every
    measurement that all of them have (it reads no empty field)."""
    taken = [times(side) for side in sides]
    keys = [key for key in taken[-1] if all(key in one for one in taken)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["time", "commit", *(f"{label(key)} ms" for key in keys)])
    for side, one in zip(sides, taken):
        writer.writerow([side.time_utc, side.commit or side.build_id, *(one[key].median * 1e3 for key in keys)])
    return out.getvalue()


OF_ONE_SIDE = {"google-benchmark": google_benchmark, "customSmallerIsBetter": custom_smaller,
               "customBiggerIsBetter": custom_bigger, "bencher": bencher}
