"""The goals of the CPU kernels beside oneDNN, judged from the pairs that ratios.py makes.

Each is a row: what is wanted, the worst value and its case, and `met`, `missed`, or `incomplete` where
no value missed it but some case of the preset "peers" has none that counts.
"""
import pathlib
import re

import numpy
import pandas
from scipy import stats

PRESET = pathlib.Path(__file__).resolve().parent.parent / "bench" / "presets" / "peers.txt"

# Percent of the FMA peak that oneDNN 2.6 was measured at on one processor: an AVX-512 server part of
# 262 GFLOP/s a core. What it reaches there tells whether it was asked in a fair way; on another
# processor, whose ratio of arithmetic to cache bandwidth is another, it is a hint and no more.
KNOWN_VERSION, KNOWN_CORE_GFLOP_PER_S = "oneDNN 2.6.", 262
KNOWN = [  # query, threads, from, to
    ("recurrent and batch >= 16 and width >= 512", 1, 80, 92),
    ("recurrent and batch >= 16 and width >= 512", 2, 73, 88),
    ("recurrent and batch == 32 and width == 256", 1, 77, 82),
    ("recurrent and batch == 32 and width == 256", 2, 66, 76),
    ("model == 'lstm' and steps == 1024 and batch == 1 and width == 256", 1, 41, 41),
    ("model == 'lstm' and steps == 1024 and batch == 1 and width == 256", 2, 41, 41),
    ("model == 'rnn' and steps == 1024 and batch == 1 and width == 256", 1, 44, 44),
    ("model == 'rnn' and steps == 1024 and batch == 1 and width == 256", 2, 23, 23),
    ("model == 'gru' and steps == 1024 and batch == 1 and width == 256", 1, 31, 31),
    ("model == 'gru' and steps == 1024 and batch == 1 and width == 256", 2, 19, 19),
    ("model == 'stack' and depth == 64 and batch == 32 and width >= 256", 1, 58, 64),
    ("model == 'stack' and depth == 64 and batch == 32 and width >= 256", 2, 48, 50),
    ("model == 'stack' and depth == 64 and batch == 128 and width == 256", 1, 76, 76),
    ("model == 'stack' and depth == 64 and batch == 128 and width == 256", 2, 70, 70),
    ("model == 'stack' and depth == 64 and batch == 128 and width >= 512", 1, 82, 85),
    ("model == 'stack' and depth == 64 and batch == 128 and width >= 512", 2, 73, 79),
]

LONG = "recurrent and steps == 1024 and batch == 1 and width == 256"
LARGE = "(recurrent and batch >= 16 and width >= 512) or (not recurrent and batch >= 128 and width >= 512)"
GOALS = [  # name, query, column, at least, "each" case or their "mean"
    ("(1024,1,256): % of the floor", LONG, "floor", 85, "each"),
    ("(1024,1,256), 1 thread: ratio, geometric mean", f"{LONG} and threads == 1", "ratio", 1.4, "mean"),
    ("(1024,1,256), 2 threads: ratio, geometric mean", f"{LONG} and threads == 2", "ratio", 2.2, "mean"),
    ("other batches <= 4, T >= 256: % of the floor",
     f"recurrent and batch <= 4 and steps >= 256 and not ({LONG})", "floor", 80, "each"),
    ("large, 1 thread: % of the FMA peak", f"({LARGE}) and threads == 1", "peak", 92, "each"),
    ("large, 2 threads: % of the FMA peak", f"({LARGE}) and threads == 2", "peak", 88, "each"),
    ("stacks, batch 32, depth 64: ratio", "not recurrent and batch == 32 and depth == 64", "ratio", 1.3,
     "each"),
    ("whole grid: ratio, geometric mean", "batch > 0", "ratio", 1.15, "mean"),
]


def shapes(cases):
    """What the names of cases say, a row each; no steps in a stack."""
    def number(letter):
        return cases.str.extract(rf"/{letter}(\d+)(?:/|$)")[0].astype(float)
    model = cases.str.extract(r"^([a-z]+)")[0]
    return pandas.DataFrame({"case": cases, "model": model, "recurrent": model != "stack",
                             "depth": number("d"), "width": number("w"), "batch": number("b"),
                             "steps": number("t")}, index=cases.index)


def grid(preset=PRESET):
    """Every case and number of threads of the preset."""
    text = preset.read_text(encoding="utf-8")
    cases = re.findall(r"^--case=(\S+)", text, re.M)
    threads = [int(n) for n in re.search(r"^--threads=(\S+)", text, re.M).group(1).split(",")]
    rows = pandas.DataFrame([(case, n) for case in cases for n in threads], columns=["case", "threads"])
    return pandas.concat([rows, shapes(rows.case).drop(columns="case")], axis=1)


def verdict_of(values, met):
    """`met` of each value; NaN is none."""
    if not met[values.notna()].all():
        return "missed"
    return "incomplete" if values.isna().any() or values.empty else "met"


def shown(rows, column, value=None):
    """A value, by default the least, and the case of the least."""
    if rows[column].notna().sum() == 0:
        return ["", ""]
    worst = rows.loc[rows[column].idxmin()]
    return [f"{worst[column] if value is None else value:.3g}", f"{worst.case} threads={worst.threads:.0f}"]


def every_case(rows, least):
    """No case slower than `least` but by chance."""
    told = rows.verdict.where(rows.verdict != "cannot tell")
    failed = rows[told == "slower"]
    value = told.map({"slower": 0.0, "same": 1.0, "near": 1.0, "faster": 1.0})
    return [f"every case: ratio >= {least:g}, or no difference", f"{least:g}",
            *shown(failed if len(failed) else rows, "ratio"), verdict_of(value, value > 0)]


def judge(pairs, least):
    """Lines of the goals for one of our devices and one peer."""
    counted = pairs[(pairs["pass"] == "train") & (pairs.dtype == "fp32")]
    worst = counted.sort_values("ratio").drop_duplicates(["case", "threads"])
    rows = grid().merge(worst, how="left", on=["case", "threads"])
    lines = [every_case(rows, least)]
    for name, query, column, wanted, how in GOALS:
        group = rows.query(query)
        values = group[column]
        if how == "mean":
            mean = stats.gmean(values.dropna()) if values.notna().any() else numpy.nan
            # What a case that is missing would change is not known.
            word = "incomplete" if values.isna().any() else "met" if mean >= wanted else "missed"
            lines.append([name, f"{wanted:g}", *shown(group, column, mean), word])
        else:
            lines.append([name, f"{wanted:g}", *shown(group, column), verdict_of(values, values >= wanted)])
    return lines


def growth(rows):
    """Lines of the goals on length and depth; rows: a process's medians of our devices."""
    ours = rows[rows["pass"] == "train"]
    ours = pandas.concat([ours, shapes(ours.case).drop(columns="case")], axis=1)
    ours["family"] = ours.case.str.replace(r"/t\d+(?=/|$)", "", regex=True)
    ours["step_s"] = ours.time_s / ours.steps
    slower = []
    for (family, device, threads), group in ours.groupby(["family", "device", "threads"]):
        step = group.groupby("steps").step_s.median()
        if {512, 4096} <= set(step.index):
            slower.append((step[4096] / step[512], f"{family} {device} threads={threads}"))
    most = max(slower, default=(numpy.nan, ""))
    lines = [["a step at T = 4096, times that at 512, at most", "1.1", f"{most[0]:.3g}" if slower else "",
              most[1], "incomplete" if not slower else "met" if most[0] <= 1.1 else "missed"]]
    for depth in (8, 64, 256):
        group = ours[ours.depth == depth].rename(columns={"percent_of_floor": "floor"})
        lines.append([f"{depth} layers: % of the floor", "80", *shown(group, "floor"),
                      verdict_of(group.floor, group.floor >= 80)])
    return lines


def is_known_cpu(row):
    """Whether KNOWN holds for a row's processor and library."""
    core = row.peak_gflop_per_s / max(row.threads, 1)
    return (str(row.peer_implementation).startswith(KNOWN_VERSION) and
            abs(core / KNOWN_CORE_GFLOP_PER_S - 1) <= 0.05)


def below_known(pairs):
    """True where the peer, on the known processor, stays under 95 % of what is known of it."""
    under = pandas.Series(False, index=pairs.index)
    seen = pandas.concat([pairs, shapes(pairs.case).drop(columns="case")], axis=1)
    applies = seen.apply(is_known_cpu, axis=1) & (seen["pass"] == "train") & (seen.dtype == "fp32")
    for query, threads, low, _ in KNOWN:
        group = seen[applies].query(f"{query} and threads == {threads}")
        under[group.index[group.peer_peak < 0.95 * low]] = True
    return under


def beside_known(pairs):
    """The peer's share of the peak here beside what is known, a line each."""
    seen = pandas.concat([pairs, shapes(pairs.case).drop(columns="case")], axis=1)
    seen = seen[(seen["pass"] == "train") & (seen.dtype == "fp32")]
    lines = []
    for query, threads, low, high in KNOWN:
        group = seen.query(f"{query} and threads == {threads}")
        if len(group):
            here = f"{group.peer_peak.min():.0f} to {group.peer_peak.max():.0f}"
            lines.append([query, str(threads), here, f"{low} to {high}",
                          "rule" if seen.loc[group.index].apply(is_known_cpu, axis=1).all() else "hint"])
    return lines
