"""A comparison as text of 80 columns, as Markdown and as JSON."""
import collections
import dataclasses
import json
import math
import textwrap

import vgstats
from vgresults import KEY
from vgverdicts import VERDICTS


@dataclasses.dataclass
class Comparison:
    """All that a reader of the result wants. sides: base, new; curves: of vgcurves.compare; notes:
    what was left out or is not known, a sentence each."""

    sides: tuple
    effect: float
    floor: float
    rows: list
    curves: list
    notes: list

    @property
    def regressed(self):
        return any(row.regressed for row in self.rows) or any(c["verdict"] == "differs" for c in self.curves)

    @property
    def compared(self):
        """Whether both sides tried to time the same, or where nothing was timed have a curve in common."""
        tried = any(row.reason or row.verdict not in ("missing", "new") for row in self.rows)
        return tried or self.regressed or bool(self.curves and not self.rows)

    @property
    def counts(self):
        return {verdict: sum(row.verdict == verdict for row in self.rows) for verdict in VERDICTS}


def _number(value):
    """Four digits that matter."""
    if value >= 1000:
        return f"{value:.0f}" if value < 1e6 else f"{value:.3g}"
    return f"{value:#.4g}".rstrip(".")


def _ratio(row):
    return f"{row.finding.ratio:.3f}" if row.finding else ""


def _interval(row):
    return "{:.2f}-{:.2f}".format(*row.interval) if row.interval else ""


def _side_cells(row):
    """base ms, new ms, new items/s"""
    return [_number(row.base.median * 1e3) if row.base else "", _number(row.new.median * 1e3) if row.new else "",
            _number(row.new.items_per_s) if row.new else ""]


def settings(keys):
    """A function from a key to what distinguishes it within its case: device and pass, and of
    threads (x2), binding and denormals those that vary."""
    varies = [len({key[i] for key in keys}) > 1 for i in range(len(KEY))]

    def words(key):
        out = [key[1], key[2]]
        out += [f"x{key[3]}"] if varies[3] else []
        out += [f"bind={key[4]}"] if varies[4] else []
        return " ".join(out + ([key[5]] if varies[5] else []))

    return words


def _sentences(c):
    """What stands below the table."""
    counted = [f"{n} {verdict}" for verdict, n in c.counts.items() if n]
    lines = [(", ".join(counted) or "nothing was measured") + (": a regression." if c.regressed else ".")]
    differ = [curve for curve in c.curves if curve["verdict"] == "differs"]
    if c.curves:
        lines.append(f"Gradient norms: {len(c.curves) - len(differ)} of {len(c.curves)} curves within tolerance.")
    else:
        lines.append("Gradient norms: no curve on both sides.")
    for reason, n in collections.Counter(row.reason for row in c.rows if row.reason).items():
        lines.append(f"{n} with: {reason}.")
    lines += c.notes
    return lines


def _wrapped(text, indent=""):
    return textwrap.fill(text, 79, initial_indent=indent, subsequent_indent=indent + "  ",
                         break_long_words=False, break_on_hyphens=False)


def _differing(c):
    return [f"{curve['case']} on {curve['device']}: {curve['reason']}" for curve in c.curves
            if curve["verdict"] == "differs"]


def text(c):
    words = settings([row.key for row in c.rows])
    out = [_wrapped(f"{side.name.lower()}: {side.described()}") for side in c.sides]
    out += ["", f"{'':26}{'base ms':>8}{'new ms':>8}{'items/s':>8}{'ratio':>7}{'95 % of it':>11}  verdict"]
    case = None
    for row in c.rows:
        if row.key[0] != case:
            case = row.key[0]
            out.append(case)
        a, b, items = _side_cells(row)
        out.append(f"  {words(row.key):24}{a:>8}{b:>8}{items:>8}{_ratio(row):>7}{_interval(row):>11}  {row.verdict}")
    out += ["", *(_wrapped(line) for line in _sentences(c))]
    if _differing(c):
        out += ["", "Gradients beyond their tolerance:", *(_wrapped(line, "  ") for line in _differing(c))]
    return "\n".join(out) + "\n"


def _markdown_table(header, rows):
    right = ["---"] + ["---:"] * (len(header) - 2) + ["---"]
    return ["| " + " | ".join(cells) + " |" for cells in [header, right, *rows]]


def markdown(c):
    words = settings([row.key for row in c.rows])
    title = "Regression" if c.regressed else "No regression found"
    out = [f"### {title}", "", *(f"* **{side.name.lower()}**: {side.described()}" for side in c.sides), ""]
    plain = [row for row in c.rows if row.verdict == "same"]
    shown = [row for row in c.rows if row.verdict != "same"]
    header = ["measurement", "base ms", "new ms", "new items/s", "ratio", "95 % of it", "verdict"]

    def cells(row):
        why = f" ({row.reason})" if row.reason else ""
        return [f"`{row.key[0]}` {words(row.key)}", *_side_cells(row), _ratio(row), _interval(row),
                f"**{row.verdict}**{why}" if row.regressed else row.verdict + why]

    if shown:
        out += [*_markdown_table(header, [cells(row) for row in shown]), ""]
    if plain:
        out += [f"<details><summary>{len(plain)} the same</summary>", "",
                *_markdown_table(header, [cells(row) for row in plain]), "", "</details>", ""]
    out += [f"* {line}" for line in [*_sentences(c), *(f"**{line}**" for line in _differing(c))]]
    return "\n".join(out) + "\n"


def _finite(value):
    """JSON has no NaN; what is not known is null."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _of_side(taken):
    if taken is None:
        return None
    return {"time_s": taken.median, "time_quartiles_s": vgstats.quartiles(taken.seconds),
            "items_per_s": taken.items_per_s, "processes": len(taken.seconds)}


def as_json(c):
    rows = []
    for row in c.rows:
        found = dataclasses.asdict(row.finding or vgstats.Finding(math.nan))
        rows.append({**dict(zip(KEY, row.key)), "verdict": row.verdict, "reason": row.reason,
                     "regressed": row.regressed, "base": _of_side(row.base), "new": _of_side(row.new),
                     **found, "interval": row.interval, "confirmed": row.confirmed})
    sides = {side.name.lower(): {"hardware_id": side.hardware_id, "build_id": side.build_id,
                                 "commit": side.commit, "compiler": side.compiler,
                                 "time_utc": side.time_utc} for side in c.sides}
    return json.dumps(_finite({"schema_version": 1, **sides, "effect": c.effect, "aa_floor": c.floor,
                               "regressed": c.regressed, "counts": c.counts, "measurements": rows,
                               "gradients": c.curves, "notes": c.notes}), indent=2) + "\n"


def _setting(setting, others):
    """A device, with its threads where several are there."""
    device, threads = setting[:2]
    return f"{device} x{threads}" if len({s[1] for s in others if s[0] == device}) > 1 else device


def cross_rows(pairs):
    """Cells of the table that compares hardware: case, pass, the two devices, their times in ms,
    the speed-up and its 95 % interval."""
    out = []
    of_base, of_new = [{pair[i] for pair in pairs} for i in (2, 3)]
    for case, timed, a, b, base, new in pairs:
        # The interval is of times, the speed-up its inverse.
        low, high = vgstats.interval(new.seconds, base.seconds) if min(len(base.seconds), len(new.seconds)) > 1 else (0, 0)
        out.append([case, timed, _setting(a, of_base), _setting(b, of_new), _number(base.median * 1e3),
                    _number(new.median * 1e3), f"{base.median / new.median:.2f}",
                    f"{low:.2f}-{high:.2f}" if high else ""])
    return out


def cross_text(sides, different, pairs):
    out = ["Comparing hardware, not builds: " + ("; ".join(different) or "nothing differs") + ".", ""]
    out = [_wrapped(out[0]), *(_wrapped(f"{s.name.lower()}: {s.described()}") for s in sides), "",
           f"{'':37}{'base ms':>9}{'new ms':>9}{'speed-up':>9}{'95 % of it':>14}"]
    case = None
    for name, timed, a, b, base, new, ratio, interval in cross_rows(pairs):
        if name != case:
            case = name
            out.append(case)
        devices = a if a == b else f"{a} / {b}"
        out.append(f"  {devices + ' ' + timed:35}{base:>9}{new:>9}{ratio:>9}{interval:>14}")
    return "\n".join(out) + "\n"


def cross_markdown(sides, different, pairs):
    header = ["case", "pass", "base on", "new on", "base ms", "new ms", "speed-up", "95 % of it"]
    rows = [[f"`{row[0]}`", *row[1:]] for row in cross_rows(pairs)]
    return "\n".join(["### Comparing hardware, not builds", "", *(f"* {line}" for line in different),
                      *(f"* **{side.name.lower()}**: {side.described()}" for side in sides), "",
                      *_markdown_table(header, rows)]) + "\n"


def cross_json(sides, different, pairs):
    header = ["case", "pass", "base_setting", "new_setting", "base", "new"]
    rows = [{**dict(zip(header, (*pair[:4], _of_side(pair[4]), _of_side(pair[5])))),
             "speed_up": pair[4].median / pair[5].median} for pair in pairs]
    return json.dumps(_finite({"schema_version": 1, "comparing": "hardware", "differences": different,
                               "hardware_ids": [side.hardware_id for side in sides],
                               "measurements": rows}), indent=2) + "\n"
