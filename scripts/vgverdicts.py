"""From two sets of runs to a verdict for each measurement: what is compared with what, and why not."""
import dataclasses
import re

import numpy
import pandas

import vgstats
from vgresults import KEY, SAMPLE, counted, samples

VERDICTS = ["slower", "faster", "same", "cannot tell", "missing", "new"]


class NotComparable(Exception):
    """Both sides are well formed, but what they say cannot stand beside each other."""


@dataclasses.dataclass
class Side:
    """Runs of one build on one machine."""

    name: str
    results: object  # vgresults.Results
    hardware_id: str
    build_id: str
    time_utc: str
    facts: dict  # env.json of one of its runs; {} where there is none
    others: int  # builds of the same machine that were left out

    @property
    def commit(self):
        return self.facts.get("build", {}).get("commit", "")

    @property
    def compiler(self):
        return self.facts.get("build", {}).get("compiler", "")

    @property
    def toolchains(self):
        """Name and major version of each compiler: {"GNU": "12", "nvcc": "13"}."""
        text = f"{self.compiler}, {self.facts.get('build', {}).get('parts', '')}"
        return dict(re.findall(r"(?:^|, )(\w+) (\d+)", text))

    @property
    def machine(self):
        machine = self.facts.get("machine", {})
        return "; ".join(filter(None, (machine.get("cpu_model"), machine.get("gpus")))) or "machine"

    @property
    def dtypes(self):
        return set(self.results.results.dtype)

    def described(self):
        """The side in one line: commit, compiler, machine and how many runs."""
        runs = self.results.results.run_id.nunique()
        commit = f"commit {self.commit}" if self.commit else f"build {self.build_id}"
        parts = [commit, self.compiler, f"{self.machine} ({self.hardware_id})",
                 f"{runs} run{'s' * (runs != 1)}", self.time_utc]
        return ", ".join(filter(None, parts))


def newest(name, results, hardware_id=None):
    """The newest build of a source, on this machine; without one, on that of its newest run."""
    rows = results.results
    if rows.empty:
        raise NotComparable(f"no baseline: {name} holds no row")
    hardware_id = hardware_id or rows.loc[rows.time_utc.idxmax()].hardware_id
    here = rows[rows.hardware_id == hardware_id]
    if here.empty:
        there = ", ".join(sorted(set(rows.hardware_id)))
        raise NotComparable(f"no baseline: {name} holds no run of hardware {hardware_id}, only of "
                            f"{there}; --cross sets the two side by side")
    last = here.loc[here.time_utc.idxmax()]
    of_build = here[here.build_id == last.build_id]
    runs = list(of_build.run_id.unique())
    facts = next((results.env[run] for run in runs if run in results.env), {})
    return Side(name, results.only(runs), hardware_id, last.build_id, of_build.time_utc.min(), facts,
                here.build_id.nunique() - 1)


def differences(base, new):
    """In what the two sides are not alike, a line each; [] where they may be compared."""
    out = []
    if base.hardware_id != new.hardware_id:
        out.append(f"hardware {base.machine} ({base.hardware_id}) and {new.machine} ({new.hardware_id})")
    if not base.dtypes & new.dtypes:
        out.append(f"dtype {', '.join(sorted(base.dtypes))} and {', '.join(sorted(new.dtypes))}")
    a, b = base.toolchains, new.toolchains
    if any(a[name] != b[name] for name in a.keys() & b.keys()) or (a and b and not a.keys() & b.keys()):
        out.append(f"toolchain {_versions(a)} and {_versions(b)}")
    schemas = [set(side.results.results.schema_version) for side in (base, new)]
    if schemas[0] != schemas[1]:
        out.append("schema " + " and ".join(",".join(f"{v:g}" for v in sorted(s)) for s in schemas))
    return out


def _versions(toolchains):
    return ", ".join(f"{name} {major}" for name, major in sorted(toolchains.items()))


@dataclasses.dataclass
class Times:
    """Of one measurement and side: the processes' medians, and items a second of each."""

    seconds: numpy.ndarray
    items: numpy.ndarray

    @property
    def median(self):
        return vgstats.median(self.seconds)

    @property
    def items_per_s(self):
        return vgstats.median(self.items)


def _keys(rows):
    """The key of each row; threads that are not known are 0."""
    columns = rows[KEY].fillna({"threads": 0}).astype({"threads": int})
    return pandas.Series(list(columns.itertuples(index=False, name=None)), rows.index, dtype=object)


def times(side):
    """Times of each measurement of a side, by its key."""
    taken = samples(counted(side.results.results), ("time_s", "items_per_s"))
    return {key: Times(group.time_s.to_numpy(), group.items_per_s.to_numpy())
            for key, group in taken.groupby(_keys(taken), sort=False)}


def uncounted(sides):
    """Keys that have rows of results on both sides, and no sample on either."""
    known = [set(_keys(side.results.results)) - set(times(side)) for side in sides]
    return sorted(known[0] & known[1])


@dataclasses.dataclass
class Measurement:
    """One case and pass on one device: the verdict, the reason where it is not plain, and what it
    rests on. failed: it ran before and no longer does, or not every time."""

    key: tuple
    verdict: str
    reason: str = ""
    base: Times = None
    new: Times = None
    finding: vgstats.Finding = None
    interval: tuple = None
    confirmed: bool = None
    failed: bool = False

    @property
    def regressed(self):
        return self.verdict == "slower" or self.failed


def _settle(row, effect, second):
    """The verdict of what both sides measured. second: (base, new) dicts of the run that confirms."""
    base, new, finding = row.base.seconds, row.new.seconds, row.finding
    if not vgstats.enough(base, new):
        (b1, b3), (n1, n3) = vgstats.quartiles(base), vgstats.quartiles(new)
        row.reason = (f"fewer than {vgstats.FEWEST} processes a side; quartiles "
                      f"{'overlap' if n1 <= b3 and b1 <= n3 else 'lie apart'}")
        return
    row.interval = vgstats.interval(base, new)
    low, high = row.interval
    if finding.flagged:
        if second is not None:
            a, b = (side.get(row.key) for side in second)
            row.confirmed = bool(a and b) and vgstats.confirms(finding, a.seconds, b.seconds)
            if not row.confirmed:
                row.reason = "a second run did not confirm it"
                return
        row.verdict = "slower" if finding.ratio > 1 else "faster"
        row.reason = "" if second is not None else "not confirmed by a second run"
    elif 1 - effect < low and high < 1 + effect:
        row.verdict = "same"
    else:
        row.reason = f"the interval reaches beyond {effect:.1%}"


def _rows(side, key, others):
    """What results.csv has of a measurement: a failure too that names its settings as nobody's, since it came
    before they were known. others: keys of the other measurements."""
    rows = side.results.results
    rows = rows[(rows.case == key[0]) & (rows.device == key[1]) & (rows["pass"] == key[2])]
    keys = _keys(rows)
    return rows[keys.isin([key]) | ((rows.status != "ok") & ~keys.isin(others))]


def _failures(rows):
    """Those of runs that were not just stopped."""
    return rows[~rows.status.isin({"ok", "interrupted"})]


def _in_words(failure):
    return f"{failure.status}: {failure.reason}".rstrip(": ")


def _absent(rows):
    """Why a side has no sample of a measurement: (absent, failed or uncounted; in words)."""
    failures = _failures(rows)
    if len(failures):
        return "failed", _in_words(failures.iloc[0])
    rows = rows[(rows.status == "ok") & (rows.time_s > 0)]
    if rows.empty:
        return "absent", ""
    return "uncounted", "not verified" if (rows.verified == "no").all() else "always disturbed"


def _one_sided(key, base, new, sides, others):
    """A measurement that one side has no sample of."""
    lacking = sides[1] if base else sides[0]
    kind, words = _absent(_rows(lacking, key, others))
    reason = f"{words} in {lacking.name}" if words else ""
    verdict = "cannot tell" if kind == "uncounted" else "missing" if base else "new"
    return Measurement(key, verdict, reason, base, new, failed=kind == "failed" and bool(base))


def _sometimes_failed(row, sides, others):
    """Processes of NEW that failed where none of BASE did are a regression, whatever the rest took."""
    told = []
    for side in sides:
        rows = _rows(side, row.key, others)
        failures = _failures(rows)
        told.append("")
        if len(failures):
            bad, of = (len(r[SAMPLE].drop_duplicates()) for r in (failures, rows))
            told[-1] = f"{bad} of {of} processes in {side.name}: {_in_words(failures.iloc[0])}"
    row.reason = "; ".join(filter(None, [*told, row.reason]))
    row.failed = bool(told[1]) and not told[0]
    if row.failed and row.verdict != "slower":
        row.verdict = "cannot tell"


def _places(rows):
    """Case, device and pass of rows."""
    return set(rows[KEY[:3]].itertuples(index=False, name=None))


def _failed_untimed(sides, known):
    """What BASE ran without a time that counts, as a run of gradients alone does, and fails in NEW."""
    base, new = (side.results.results for side in sides)
    well = _places(base[base.status == "ok"]) - _places(_failures(base)) - {key[:3] for key in known}
    for place, failures in _failures(new).groupby(KEY[:3], sort=False):
        if place in well:
            yield Measurement(_keys(failures).iloc[0], "missing", f"{_in_words(failures.iloc[0])} in {sides[1].name}",
                              failed=True)


def measurements(sides, effect, second=None):
    """A Measurement for each key that either side has, or that NEW fails at. second: the sides of the confirming run."""
    base, new = (times(side) for side in sides)
    both = [key for key in base if key in new]
    findings = dict(zip(both, vgstats.find([(base[k].seconds, new[k].seconds) for k in both], effect)))
    second = second and [times(side) for side in second]
    rows = []
    cases = dict.fromkeys(key[0] for key in [*base, *new])  # a case's rows stand together
    order = {case: i for i, case in enumerate(cases)}
    known = dict.fromkeys([*base, *new])
    failing = set.union(*(_places(_failures(side.results.results)) for side in sides))
    for key in sorted(known, key=lambda key: order[key[0]]):
        if key not in findings:
            rows.append(_one_sided(key, base.get(key), new.get(key), sides, known.keys() - {key}))
            continue
        row = Measurement(key, "cannot tell", "", base[key], new[key], findings[key])
        _settle(row, effect, second)
        if key[:3] in failing:
            _sometimes_failed(row, sides, known.keys() - {key})
        rows.append(row)
    return [*rows, *_failed_untimed(sides, known)]


def left_out(side):
    """Rows of a side that do not count, as (how many, of how many, why)."""
    rows = side.results.results
    timed = rows[rows.time_s.notna()]
    return [(int(n), len(timed), why) for n, why in
            (((timed.disturbed == 1).sum(), "disturbed"), ((timed.verified == "no").sum(), "not verified"))
            if n]


def pooled(side):
    """Measurements whose samples are of several algorithms: (how many, one key, its algorithms)."""
    rows = counted(side.results.results)
    if "algorithm" not in rows:
        return 0, None, []
    rows = rows[[*KEY, "algorithm"]].drop_duplicates()
    several = rows[rows.duplicated(KEY, keep=False)]
    if several.empty:
        return 0, None, []
    keys = _keys(several)
    return keys.nunique(), keys.iloc[0], list(several.algorithm[keys == keys.iloc[0]])


def crossed(sides):
    """Pairs (case, pass, base setting, new setting, base Times, new Times) of two machines: equal
    settings pair, and of the rest each with each. A setting is (device, threads, bind, denormals);
    where the dtypes differ a case is compared without its own."""
    bare = not sides[0].dtypes & sides[1].dtypes
    grouped = []
    for side in sides:
        groups = {}
        for (case, device, timed, *rest), value in times(side).items():
            name = "/".join(p for p in case.split("/") if not bare or p not in side.dtypes)
            groups.setdefault((name, timed), {})[(device, *rest)] = value
        grouped.append(groups)
    pairs = []
    for what in grouped[0].keys() & grouped[1].keys():
        a, b = grouped[0][what], grouped[1][what]
        equal = a.keys() & b.keys()
        for x in a:
            for y in [x] if x in equal else [y for y in b if y not in equal]:
                pairs.append((*what, x, y, a[x], b[y]))
    order = {what: i for i, what in enumerate(grouped[0])}
    return sorted(pairs, key=lambda pair: order[pair[:2]])
