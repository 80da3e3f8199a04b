#!/usr/bin/env python3
"""Draws gradient norm over depth, or over time, from a result folder's gradients.csv.

  scripts/plot_decay.py DIR -o decay.svg [--device=NAME] [--direction=depth|time]

One curve a case: what the dtype held (dots), the rescaled reading (line) and theory's prediction
(dashes), with fp32's smallest normal and subnormal numbers drawn in.
Needs the packages of scripts/requirements.txt. Exit 2 on bad usage or a folder without such rows.
"""
import argparse
import pathlib
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "vgbench"
import matplotlib.pyplot as plt  # noqa: E402  (the backend is chosen first)
import pandas as pd  # noqa: E402

FP32_LOG10_MIN_NORMAL, FP32_LOG10_MIN_SUBNORMAL = -37.93, -44.85


def read(folder, device, direction):
    path = pathlib.Path(folder) / "gradients.csv"
    rows = pd.read_csv(path)
    rows = rows[rows.tensor == "dh"]
    if device:
        rows = rows[rows.device == device]
    rows = rows[rows.step.isna()] if direction == "depth" else rows[rows.step.notna()]
    if rows.empty:
        raise ValueError(f"{path}: no rows of dh over {direction}" + (f" on {device}" if device else ""))
    return rows[rows.device == rows.device.iloc[0]]


def draw(rows, direction, axes):
    place = "layer" if direction == "depth" else "step"
    for colour, (case, curve) in zip(plt.cm.tab10.colors * 9, rows.groupby("case", sort=False)):
        curve = curve.sort_values(place)
        axes.plot(curve[place], curve.log10_norm_exact, color=colour, lw=1.8, label=case)
        axes.plot(curve[place], curve.log10_norm, ".", color=colour, ms=4)
        axes.plot(curve[place], curve.predicted_log10_norm, "--", color=colour, lw=1, alpha=0.8)
    lowest = min(axes.get_ylim()[0], 0)
    for level, what in ((FP32_LOG10_MIN_NORMAL, "smallest normal fp32"),
                        (FP32_LOG10_MIN_SUBNORMAL, "smallest subnormal fp32")):
        if lowest < level + 5:
            axes.axhline(level, color="grey", lw=0.8, ls=":")
            axes.annotate(what, (1, level), xycoords=("axes fraction", "data"), ha="right", va="bottom",
                          fontsize=8, color="grey")
    axes.set_xlabel("layer (0 is the input, the loss is on the right)" if direction == "depth"
                    else "time step (0 is the initial state, the loss is on the right)")
    axes.set_ylabel("log10 of the gradient norm, dL/dh")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, title="line: exact, dots: as held, dashes: theory", title_fontsize=8)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--device")
    parser.add_argument("--direction", choices=["depth", "time"], default="depth")
    options = parser.parse_args(arguments)
    try:
        rows = read(options.folder, options.device, options.direction)
    except (OSError, ValueError) as error:
        print(f"plot_decay.py: {error}", file=sys.stderr)
        return 2
    figure, axes = plt.subplots(figsize=(8, 4.8), layout="constrained")
    draw(rows, options.direction, axes)
    figure.savefig(options.output, metadata={"Date": None})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
