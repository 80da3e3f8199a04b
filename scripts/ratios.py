#!/usr/bin/env python3
"""Our devices beside each peer of the same run: how many times faster, case by case.

  scripts/ratios.py DIR... [--markdown] [--least=0.97] [--goals] [--growth=DIR]

A ratio is the peer's median time over ours; the sample is a process's median over its repetitions.
Only rows count that are verified, interleaved and not disturbed, whose measured FMA peak is at least the
best rate seen on as many threads of that processor or GPU. `same`: no difference at p < 0.05 (Mann-Whitney, two-sided; from 4
processes a side on). Then the geometric mean and the worst of each peer, and, of ours, the share of the
measured peak and of the floor. --goals adds what scripts/goals.py wants of the preset "peers" and whether
it is met, --growth what it wants of a second folder's long sequences and deep stacks.
Exit 0; 1 where a case is slower than --least and that is no chance, or a goal is missed; 2 bad usage or
nothing to compare.
"""
import argparse
import sys

import vgpackages

if __name__ == "__main__":
    vgpackages.need("numpy", "pandas", "scipy")

import numpy
import pandas
from scipy import stats

import goals
import vgresults

SETTINGS = ["hardware_id", "case", "pass", "dtype", "threads", "bind", "denormals"]
NEEDED = ["interleaved", "implementation", "percent_of_peak", "percent_of_floor", "gflop_per_s", "peak_gflop_per_s"]
NOT_COMPARED = {"ref", "null"}
FEWEST = 4  # processes a side: with less the test cannot reach 5 %


def load(folders):
    """All rows of real devices that went well, one frame; threads that are not known are 0. Raises
    vgresults.Malformed, a ValueError."""
    rows = pandas.concat([vgresults.read(folder, also=NEEDED).results for folder in folders], ignore_index=True)
    rows = rows[(rows.status == "ok") & ~rows.device.isin(NOT_COMPARED)]
    return rows.assign(threads=rows.threads.fillna(0).astype(int), place=rows.device.map(place))


def place(device):
    """What a device and its peers run on: cpu of cpu.onednn, cuda:1 of cuda.cudnn:1."""
    family, colon, index = device.partition(":")
    return family.split(".")[0] + colon + index


def read(folders):
    """The rows that count and how many do not; raises ValueError where there are none."""
    rows = load(folders)
    counted = vgresults.counted(rows)
    counted = counted[(counted.interleaved == 1) & (counted.disturbed == 0)]
    best = counted.groupby(["hardware_id", "place", "dtype", "threads"]).gflop_per_s.transform("max")
    counted = counted[~(counted.peak_gflop_per_s < best)]
    if counted.empty:
        raise ValueError("no row is verified, interleaved and undisturbed")
    return counted, len(rows) - len(counted)


def is_peer(rows):
    """Peers carry their library's name; ours is the project's."""
    return ~rows.implementation.str.startswith("vgbench")


def ours_of(folders):
    """Verified rows of our devices, a peer beside them or not."""
    rows = vgresults.counted(load(folders))
    return rows[~is_peer(rows)]


def samples(rows):
    """A process's median time for each setting and device, with our percentages."""
    columns = ["time_s", "percent_of_peak", "percent_of_floor", "peak_gflop_per_s"]
    return vgresults.samples(rows, columns, [*SETTINGS, "device", "implementation"])


def compare(rows):
    """A row for each setting and pair of one of our devices and a peer at the same place; of several machines
    each of ours bears its own."""
    peers = set(rows[is_peer(rows)].device)
    taken, out = samples(rows), []
    for setting, group in taken.groupby(SETTINGS, dropna=False, sort=False):
        by_device = dict(list(group.groupby("device", sort=False)))
        for peer in sorted(peers & set(by_device)):
            for ours in sorted(set(by_device) - peers):
                if place(ours) != place(peer):
                    continue
                a, b = by_device[ours].time_s, by_device[peer].time_s
                several = len(a) > 1 and len(b) > 1
                p = stats.mannwhitneyu(a, b).pvalue if several else numpy.nan
                out.append({**dict(zip(SETTINGS, setting)), "ours": ours, "peer": peer,
                            "ours_ms": 1e3 * a.median(), "peer_ms": 1e3 * b.median(),
                            "ratio": b.median() / a.median(), "p": p, "processes": min(len(a), len(b)),
                            "peak": by_device[ours].percent_of_peak.median(),
                            "floor": by_device[ours].percent_of_floor.median(),
                            "peer_peak": by_device[peer].percent_of_peak.median(),
                            "peak_gflop_per_s": by_device[peer].peak_gflop_per_s.median(),
                            "peer_implementation": by_device[peer].implementation.iloc[0]})
    if not out:
        raise ValueError("no case was run by one of our devices and by a peer beside it")
    pairs = pandas.DataFrame(out)
    if pairs.hardware_id.nunique() > 1:
        pairs.ours += " @ " + pairs.hardware_id
    return pairs


def verdict(row, least):
    if row.processes < FEWEST:
        return "cannot tell"
    if row.p >= 0.05:
        return "same"
    return "faster" if row.ratio > 1 else "slower" if row.ratio < least else "near"


def table(lines, markdown):
    """Columns of text, the first to the left; or a Markdown table."""
    if markdown:
        rule = ["---"] + ["---:"] * (len(lines[0]) - 1)
        return "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(w) if i == 0 else cell.rjust(w)
                               for i, (cell, w) in enumerate(zip(line, widths))).rstrip()
                     for line in lines)


def number(value, form):
    return "" if numpy.isnan(value) else format(value, form)


def detail(pairs, markdown):
    lines = [["case", "pass", "threads", "ours", "peer", "ours ms", "peer ms", "ratio", "p",
              "% peak", "% floor", "peer % peak", "verdict"]]
    for row in pairs.rename(columns={"pass": "timed"}).itertuples():
        lines.append([row.case, row.timed, str(row.threads), row.ours, row.peer,
                      f"{row.ours_ms:.4g}", f"{row.peer_ms:.4g}", f"{row.ratio:.3f}",
                      number(row.p, ".2g"), number(row.peak, ".1f"), number(row.floor, ".1f"),
                      number(row.peer_peak, ".1f"), row.verdict])
    return table(lines, markdown)


def summary(pairs, markdown):
    lines = [["ours / peer", "dtype", "threads", "cases", "geometric mean", "worst", "in", "slower"]]
    for (ours, peer, dtype, threads), group in pairs.groupby(["ours", "peer", "dtype", "threads"]):
        worst = group.loc[group.ratio.idxmin()]
        lines.append([f"{ours} / {peer}", dtype, str(threads), str(len(group)),
                      f"{stats.gmean(group.ratio):.3f}", f"{worst.ratio:.3f}", worst.case,
                      str((group.verdict == "slower").sum())])
    return table(lines, markdown)


def judged(pairs, options, growing):
    """What --goals and --growth print, and whether a goal is missed."""
    texts, missed = [], False
    head = ["goal", "wanted", "worst or mean", "in", ""]
    for (ours, peer), group in pairs.groupby(["ours", "peer"]):
        lines = goals.judge(group, options.least)
        missed = missed or any(line[-1] == "missed" for line in lines)
        texts += [f"{ours} / {peer}", table([head, *lines], options.markdown)]
    known = goals.beside_known(pairs)
    if known:
        texts += ["The peer, % of the FMA peak, beside what is known of oneDNN 2.6 at 262 GFLOP/s a core:",
                  table([["cases", "threads", "here", "known", ""], *known], options.markdown)]
    if growing is not None:
        lines = goals.growth(growing)
        missed = missed or any(line[-1] == "missed" for line in lines)
        texts.append(table([head, *lines], options.markdown))
    return texts, missed


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="DIR")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--least", type=float, default=0.97)
    parser.add_argument("--goals", action="store_true")
    parser.add_argument("--growth", metavar="DIR")
    options = parser.parse_args(arguments)
    options.goals = options.goals or options.growth is not None
    try:
        rows, left_out = read(options.folders)
        pairs = compare(rows)
        under = goals.below_known(pairs)
        pairs = pairs[~under]
        if pairs.empty:
            raise ValueError("the peer stays below what is known of it in every case")
        growing = samples(ours_of([options.growth])) if options.growth else None
    except ValueError as error:
        print(f"ratios.py: {error}", file=sys.stderr)
        return 2
    pairs = pairs.assign(verdict=[verdict(row, options.least) for row in pairs.itertuples()])
    print(detail(pairs, options.markdown), summary(pairs, options.markdown), sep="\n\n")
    if left_out:
        print(f"\n{left_out} rows left out: not verified, not interleaved, disturbed, or with a peak below a "
              "rate that was seen")
    if under.any():
        print(f"\n{under.sum()} cases left out: the peer stays below 95 % of what is known of it")
    missed = False
    if options.goals:
        texts, missed = judged(pairs, options, growing)
        print("", *texts, sep="\n\n")
    return 1 if missed or (pairs.verdict == "slower").any() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
