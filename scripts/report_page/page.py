"""One self-contained page from result folders."""
import base64
import hashlib
import html
import pathlib
import string

import numpy
import pandas
import vl_convert

import vgresults
from report_page import baseline, curves, payload, summary, tables

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM = ["core.js", "charts.js", "gradients.js", "verdicts.js", "remedies.js", "speed.js", "roofline.js",
           "regressions.js", "tables.js", "main.js"]
VEGA_LITE = "6.4"
MOST_BYTES = 6_000_000
POINT_BYTES = 22  # of a curve's point as JSON: x and three readings
FACTS = ["cpu model", "gpus", "memory GiB", "kernel", "hypervisor", "governor", "gpu.driver", "compiler", "flags",
         "commit"]
# log10 of the smallest normal and subnormal number of each dtype.
LIMITS = {"fp32": (-126, -149), "tf32": (-126, -149), "bf16": (-126, -133), "fp64": (-1022, -1074)}
NEEDED = ["hardware_id", "implementation", "algorithm", "memory_bytes", "peak_gflop_per_s", "peak_gb_per_s", "flop",
          "bytes", "items_per_s", "percent_of_peak", "percent_of_floor"]
ASKED = {"gradients": ["predicted_log10_norm"],
         "decay": ["rate", "half_life", "reach", "subnormal_at", "underflow_at", "log10_ratio", "verdict", "r2",
                   "predicted_rate", "predicted_log10_ratio", "sigma_max", "spectral_radius", "bound_log10_ratio"]}


class Unusable(Exception):
    """Nothing that a page could show; the text is one line."""


def read(folders):
    """The frames of all folders with a column `run`, and what is known of each run. A run that is given
    twice counts once."""
    frames, runs, seen = {"results": [], "gradients": [], "decay": []}, [], set()
    for folder in folders:
        source = vgresults.read(folder, also=NEEDED)
        if source.results.empty:
            raise Unusable(f"{folder}: no rows in results.csv")
        together = source.results.run_id.nunique() > 1  # merged: the folder is no name of one of them
        for run_id, rows in source.results.groupby("run_id", sort=False):
            if run_id in seen:
                continue
            seen.add(run_id)
            runs.append(about(run_id, rows, source.env.get(run_id, {}), together))
            only = source.only([run_id])
            for name, parts in frames.items():
                rows = getattr(only, name)
                new = {column: numpy.nan for column in ASKED.get(name, []) if column not in rows}
                parts.append(rows.assign(run=len(runs) - 1, **new))
    frames = {name: pandas.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
              for name, parts in frames.items()}
    names = [run["name"] for run in runs]
    for place, run in enumerate(runs):
        if names.count(run["name"]) > 1:
            run["name"] += f" ({names[:place].count(run['name']) + 1})"
    tables.label_devices(frames, runs)
    return frames, runs


def about(run_id, rows, environment, together):
    path = pathlib.Path(rows.path.iloc[0]).resolve()
    lines = {key: value for key, value in tables.flat(environment)}
    short = [[name, lines[key]] for name in FACTS for key in lines if key.split(" · ")[-1] == name.lower()]
    machine = next((lines[key] for key in lines if key.split(" · ")[-1] == "cpu model"), "")
    return {"name": f"{path.parent.name}, {machine}" if together and machine else path.parent.name,
            "run_id": run_id, "time": rows.time_utc.iloc[0],
            "commit": str(lines.get("build · commit", ""))[:7],
            "hardware_id": rows.hardware_id.iloc[0], "build_id": rows.build_id.iloc[0], "facts": short[:len(FACTS)],
            "environment": [[key, str(value)] for key, value in lines.items()], "roofs": tables.roofs(environment)}


def subject(runs, frames):
    """Of what this is the report: devices and when."""
    results = frames["results"]
    machines = []
    if "device_name" in results:
        rows = results[~results.plain_device.isin(summary.NOT_COMPARED)]
        rows = rows[["plain_device", "device_name"]].drop_duplicates()
        # cpu.avx512 calls its processor "AMD EPYC, avx512".
        names = [row.device_name.removesuffix(f", {row.plain_device.partition('.')[2]}") for row in rows.itertuples()]
        machines = [name for name in dict.fromkeys(names) if name]
    first, last = min(run["time"] for run in runs), max(run["time"] for run in runs)
    times = first[:10] if first[:10] == last[:10] else f"{first[:10]} to {last[:10]}"
    kinds = summary.counted(results.case.nunique(), "case")
    return f"{'; '.join(machines[:6]) or 'No device'}. {kinds} in {summary.counted(len(runs), 'run')}, {times}."


def points(frame, heads, most):
    """Points as flat lists, a curve after the other; `held` is 0 places where it reads like `exact`."""
    drawn = curves.thinned(frame, most)
    exact, held, predicted = (drawn[name].round(4) for name in curves.VALUES)
    same = held == exact
    counts = drawn.groupby("curve").size().reindex(heads.index, fill_value=0)
    return {"start": [0, *counts.cumsum().tolist()], "x": drawn.x.tolist(), "exact": payload.column(exact),
            "held": ["" if equal else payload.number(value) for equal, value in zip(same, held)],
            "predicted": payload.column(predicted)}


def content(folders, base=None):
    """Everything but the curves' points, the points' frame, and the curves."""
    frames, runs = read(folders)
    known = tables.cases(pandas.concat([rows.case for rows in frames.values()]).unique())  # a killed run's too
    rows = tables.measurements(frames["results"])
    decay = tables.first_run(frames["decay"])[["case", "device", "plain_device", "denormals", "direction", "layer",
                             *ASKED["decay"]]]
    comparisons = [baseline.compared(base, folder) for folder in folders] if base else []
    frame, heads = curves.curves(tables.first_run(frames["gradients"]))
    limits = {name: [exponent * numpy.log10(2) for exponent in pair] for name, pair in LIMITS.items()}
    first = [*baseline.sentences(comparisons), *summary.summary(rows, decay, known)]
    data = {"runs": runs, "summary": first, "cases": payload.columns(known), "rows": payload.columns(rows, case=known.case),
            "decay": payload.columns(decay, case=known.case), "curves": payload.columns(heads, case=known.case),
            "limits": limits, "notes": [], "comparisons": comparisons}
    return data, frame, heads, subject(runs, frames)


def script_hash(text):
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def fill(data, about_it):
    library = vl_convert.javascript_bundle(vl_version=VEGA_LITE).replace("</script", "<\\/script")
    program = '"use strict";\n(() => {\n' + "\n".join((HERE / name).read_text() for name in PROGRAM) + "\n})();"
    program = program.replace("</script", "<\\/script")
    page = string.Template((HERE / "page.html").read_text())
    return page.substitute(
        title="vgbench: " + html.escape(about_it), subject=html.escape(about_it), style=(HERE / "page.css").read_text(),
        hashes=f"{script_hash(library)} {script_hash(program)}", data=payload.dump(data), library=library,
        program=program, footer="Written by vgbench's scripts/report.py; charts by Vega-Lite (BSD-3-Clause licence).")


def build(folders, base=None):
    """The page as text. Unusable or vgresults.Malformed where there is nothing to show."""
    data, frame, heads, about_it = content(folders, base)
    empty = {"start": [0] * (len(heads) + 1), "x": [], "exact": [], "held": [], "predicted": []}
    rest = len(fill({**data, "points": empty}, about_it).encode())
    room = (MOST_BYTES - 100_000 - rest) // POINT_BYTES
    if room < 0:
        raise Unusable(f"the page would have {rest / 1e6:.1f} MB without its curves, at most {MOST_BYTES / 1e6:.0f} "
                       "are allowed: give fewer folders")
    most = min(curves.MOST, room // max(len(heads), 1))
    if most < curves.FEWEST:
        kept = heads.index[:room // curves.FEWEST]
        data["notes"].append(f"The curves of {len(kept):,} of {len(heads):,} gradients are here, the first ones: "
                             "all would not fit on a page. Fewer folders show the others.")
        frame, heads, most = frame[frame.curve.isin(kept)], heads.loc[kept], curves.FEWEST
        data["curves"] = payload.head(data["curves"], len(kept))
    text = fill({**data, "points": points(frame, heads, most)}, about_it)
    if len(text.encode()) > MOST_BYTES:
        raise Unusable(f"the page would have {len(text.encode()) / 1e6:.1f} MB: give fewer folders")
    return text
