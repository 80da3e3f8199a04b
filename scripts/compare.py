#!/usr/bin/env python3
"""Is NEW slower than BASE? A verdict for each case and pass, and gradient norms within tolerance.

  scripts/compare.py BASE NEW [--confirm BASE2 NEW2] [--floor=PERCENT] [--format=F] [--write=F:FILE]
  scripts/compare.py BASE NEW --cross       two machines, dtypes or toolchains: a table of speed-ups
  scripts/compare.py --aa RUNS [RUNS...]    the noise floor, from repeated runs of one build
  scripts/compare.py RUNS --format=F        one side alone, in another tool's format

A source is a folder that `bench --out` wrote, a folder of such folders, or a results.csv. Of several
builds the newest counts, of several machines that of NEW.

The sample is a process's median time over its undisturbed repetitions; rows that are not verified do
not count. slower and faster need a false-discovery rate of 5 % over all measurements (Mann-Whitney,
exact; Benjamini-Hochberg), a ratio off 1 by more than 3 % and than --floor, and, with --confirm, p <
0.05 in a second run. same: the 95 % interval of the ratio lies inside that effect. All else is
"cannot tell": so is what has fewer than 8 processes a side (bench --processes=15 makes 15).

Formats: text, markdown, json; of one side (NEW) google-benchmark, customSmallerIsBetter and
customBiggerIsBetter (github-action-benchmark), bencher (Bencher Metric Format); otava (CSV, a row for
each build of all sources).

Exit 0; 1 a regression: something slower, or no longer running, or failing in some processes that all
ran before, or a gradient norm beyond its tolerance; 2 usage, or a malformed file; 3 not comparable: no
baseline for this hardware, no measurement on both sides, a second run of other builds, or another dtype,
compiler of another major version, or schema, without --cross. Faster never fails.
"""
import argparse
import itertools
import pathlib
import sys

import vgpackages

if __name__ == "__main__":
    vgpackages.need("numpy", "pandas", "scipy")

import vgcurves
import vgexports
import vgrender
import vgresults
import vgstats
import vgverdicts
from vgarguments import percent

RENDER = {"text": (vgrender.text, vgrender.cross_text), "markdown": (vgrender.markdown, vgrender.cross_markdown),
          "json": (vgrender.as_json, vgrender.cross_json)}
FORMATS = [*RENDER, *vgexports.OF_ONE_SIDE, "otava"]


def target(text):
    """'json:FILE' as (format, file)."""
    form, colon, file = text.partition(":")
    if not colon or not file or form not in FORMATS:
        raise argparse.ArgumentTypeError(f"{text!r}: expected FORMAT:FILE, FORMAT one of {', '.join(FORMATS)}")
    return form, file


def parse(arguments):
    parser = argparse.ArgumentParser(prog="compare.py", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", metavar="SOURCE")
    parser.add_argument("--confirm", nargs=2, metavar=("BASE2", "NEW2"))
    parser.add_argument("--floor", type=percent, default=0.0, metavar="PERCENT")
    parser.add_argument("--cross", action="store_true")
    parser.add_argument("--aa", action="store_true")
    parser.add_argument("--format", choices=FORMATS, default="text")
    parser.add_argument("--write", type=target, action="append", default=[], metavar="FORMAT:FILE")
    options = parser.parse_args(arguments)
    options.write.append((options.format, None))
    exports_alone = not any(form in RENDER for form, _ in options.write)
    if not options.aa and len(options.sources) > 2:
        parser.error(f"{len(options.sources)} sources: expected BASE and NEW")
    if not options.aa and len(options.sources) == 1 and not exports_alone:
        parser.error("one source: expected BASE and NEW, or --format=... of another tool, or --aa")
    if options.cross and (options.confirm or options.aa):
        parser.error("--cross goes without --confirm and --aa")
    if options.aa and (options.confirm or options.format not in ("text", "json") or len(options.write) > 1):
        parser.error("--aa goes with --format=text or json alone")
    return options


def sides_of(names, any_schema=False):
    """(sources, sides): all that was read, and of it what is compared, NEW's machine deciding."""
    sources = []
    for name, path in zip(("BASE", "NEW"), names):
        try:
            sources.append((name, vgresults.read(path, any_schema)))
        except vgresults.Empty as error:
            raise vgverdicts.NotComparable(f"no baseline: {error}" if name == "BASE" else str(error)) from error
    new = vgverdicts.newest(*sources[-1])
    base = [vgverdicts.newest(*sources[0], None if any_schema else new.hardware_id)] if len(sources) > 1 else []
    return sources, [*base, new]


def confirming(names, sides):
    """The sides of a second run, which must be of the same builds and machine."""
    second = sides_of(names)[1]
    for first, again in zip(sides, second):
        for what, a, b in (("hardware", first.hardware_id, again.hardware_id),
                           ("build", first.build_id, again.build_id)):
            if a != b:
                raise vgverdicts.NotComparable(f"not comparable: --confirm: {first.name} is of {what} {a}, its second "
                                               f"run of {b}")
    return second


def notes(sources, sides, confirmed, options):
    """What was left out or is not known, a sentence each."""
    both = set.intersection(*(set(results.results.hardware_id) for _, results in sources))
    out = [f"Hardware {other} has runs on both sides and was not compared."
           for other in sorted(both - {sides[1].hardware_id})]
    out += [f"{n} of {of} repetitions in {side.name} were {why}: left out."
           for side in sides for n, of, why in vgverdicts.left_out(side)]
    out += [f"{side.name}: {side.others} older builds of this machine left out." for side in sides if side.others]
    out += [f"{side.name} has no env.json: its compiler is not known." for side in sides if not side.facts]
    if neither := vgverdicts.uncounted(sides):
        out.append(f"{len(neither)} measurements count on neither side: failed, not verified or disturbed.")
    for side in sides:
        count, key, algorithms = vgverdicts.pooled(side)
        if count:
            out.append(f"{count} measurements of {side.name} pool several algorithms: {' '.join(key[:3])}: "
                       f"{', '.join(algorithms)}.")
    if sides[0].build_id == sides[1].build_id:
        out.append("Both sides are one build.")
    if not options.confirm and confirmed:
        out.append("A second run confirms or clears what is slower or faster: --confirm.")
    return out


def compare(options):
    """The exit code, and a function from a format to its text."""
    sources, sides = sides_of(options.sources, options.cross)
    exporters = {form: lambda export=export: export(sides[-1]) for form, export in vgexports.OF_ONE_SIDE.items()}
    exporters["otava"] = lambda: vgexports.otava(vgexports.builds(sources, sides[-1].hardware_id))
    if len(sides) == 1:
        return 0, exporters
    different = vgverdicts.differences(*sides)
    if options.cross:
        pairs = vgverdicts.crossed(sides)
        if not pairs:
            raise vgverdicts.NotComparable("no case was measured on both sides")
        renders = {form: lambda render=render: render(sides, different, pairs) for form, (_, render) in RENDER.items()}
        return 0, {**exporters, **renders}
    if different:
        raise vgverdicts.NotComparable(f"not comparable: {'; '.join(different)}; --cross sets them side by side")
    effect = vgstats.threshold(options.floor)
    second = confirming(options.confirm, sides) if options.confirm else None
    rows = vgverdicts.measurements(sides, effect, second)
    curves = vgcurves.compare(sides[0].results, sides[1].results)
    flagged = any(row.finding and row.finding.flagged for row in rows)
    comparison = vgrender.Comparison(tuple(sides), effect, options.floor, rows, curves,
                                     notes(sources, sides, flagged, options))
    if not comparison.compared:
        raise vgverdicts.NotComparable(f"not comparable: no measurement counts on both sides, {len(rows)} on one alone")
    renders = {form: lambda render=render: render(comparison) for form, (render, _) in RENDER.items()}
    return int(comparison.regressed), {**exporters, **renders}


def noise(options):
    """The A/A floor: over all pairs of the sources, or of the odd and even processes of one."""
    read = [vgverdicts.newest(name, vgresults.read(name)) for name in options.sources]
    if len({(side.hardware_id, side.build_id) for side in read}) > 1:
        raise vgverdicts.NotComparable("--aa: the runs are of several builds or machines")
    taken = [{key: value.seconds for key, value in vgverdicts.times(side).items()} for side in read]
    if len(taken) == 1:
        taken = [{key: seconds[half::2] for key, seconds in taken[0].items() if len(seconds) > 1} for half in (0, 1)]
    ratios = [vgstats.ratio(a[key], b[key]) for a, b in itertools.combinations(taken, 2) for key in a if key in b]
    if not ratios:
        raise vgverdicts.NotComparable("--aa: no measurement was made twice: expected several sets of runs, "
                                       "or several processes")
    floor, processes = vgstats.noise_floor(ratios), min(len(s) for one in taken for s in one.values())
    words = (f"A/A floor: {floor:.2%} (95 % quantile of |ratio - 1| over {len(ratios)} pairs of at least "
             f"{processes} process{'es' * (processes != 1)})\ncompare.py --floor={floor:.2%}\n")
    as_json = vgrender.json.dumps({"schema_version": 1, "aa_floor": floor, "pairs": len(ratios),
                                   "processes": processes, "hardware_id": read[0].hardware_id,
                                   "build_id": read[0].build_id}) + "\n"
    return 0, {"text": lambda: words, "json": lambda: as_json}


def main(arguments):
    options = parse(arguments)
    try:
        code, rendered = (noise if options.aa else compare)(options)
        for form, file in options.write:
            if file:
                pathlib.Path(file).write_text(rendered[form](), encoding="utf-8")
            else:
                sys.stdout.write(rendered[form]())
        return code
    except (vgverdicts.NotComparable, vgresults.OtherSchema) as error:
        words, code = error, 3
    except (vgresults.Malformed, OSError) as error:
        words, code = error, 2
    print(f"compare.py: {words}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
