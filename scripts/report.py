#!/usr/bin/env python3
"""One page to look at, from any number of result folders.

  scripts/report.py DIR... -o report.html [--baseline=DIR]

The page opens from disk, without a network: gradient norms over depth and time, speed, devices side by
side, verdicts, remedies, every number in tables, and the environment; with a
baseline, what changed since then by the rules of scripts/compare.py. Needs the packages of
scripts/requirements.txt. Exit 0; 2 on bad usage, or a folder without usable results; 4 where the page
cannot be written.
"""
import argparse
import pathlib
import sys

import vgpackages

if __name__ == "__main__":
    vgpackages.need("numpy", "pandas", "scipy", "vl_convert")

import vgresults
from report_page import page


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="DIR")
    parser.add_argument("-o", "--output", required=True, metavar="FILE")
    parser.add_argument("--baseline", metavar="DIR")
    options = parser.parse_args(arguments)
    try:
        text = page.build(options.folders, options.baseline)
    except (vgresults.Malformed, page.Unusable) as error:
        print(f"report.py: {error}", file=sys.stderr)
        return 2
    try:
        pathlib.Path(options.output).write_text(text, encoding="utf-8")
    except OSError as error:
        print(f"report.py: {options.output}: {error.strerror}", file=sys.stderr)
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
