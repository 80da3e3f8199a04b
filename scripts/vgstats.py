"""Is one set of times slower than another? The sample is a process's median, and a verdict needs
all of: a false-discovery rate of 5 % over the cases (exact Mann-Whitney, Benjamini-Hochberg), an
effect above max(3 %, the A/A floor), and a second run that confirms it at p < 0.05.
"""
import dataclasses

import numpy
from scipy import stats

FEWEST = 8          # processes a side: with 7 no slow-down of 5 % is found
LEAST_EFFECT = 0.03
DISCOVERY_RATE = 0.05
CONFIRMED = 0.05
RESAMPLES = 4000


@dataclasses.dataclass
class Finding:
    """What two sets of times say. ratio: the new median over the base's; p: exact, two-sided;
    p_adjusted: the smallest false-discovery rate at which it is one; flagged: a difference, until
    a second run says otherwise; nan where too few processes allow no test."""

    ratio: float
    p: float = numpy.nan
    p_adjusted: float = numpy.nan
    flagged: bool = False


def median(times):
    return float(numpy.median(times))


def ratio(base, new):
    return median(new) / median(base)


def p_value(base, new):
    return float(stats.mannwhitneyu(base, new, alternative="two-sided", method="exact").pvalue)


def enough(base, new):
    return min(len(base), len(new)) >= FEWEST


def threshold(floor):
    """The least effect that counts, as |ratio - 1|."""
    return max(LEAST_EFFECT, floor)


def find(pairs, effect):
    """A Finding for each (base times, new times)."""
    findings = [Finding(ratio(base, new)) for base, new in pairs]
    tested = [(finding, p_value(*pair)) for finding, pair in zip(findings, pairs) if enough(*pair)]
    if tested:
        adjusted = stats.false_discovery_control([p for _, p in tested])
        for (finding, p), q in zip(tested, adjusted):
            finding.p, finding.p_adjusted = p, float(q)
            finding.flagged = bool(q <= DISCOVERY_RATE) and abs(finding.ratio - 1) > effect
    return findings


def confirms(finding, base, new):
    """Whether a second run of a flagged case says the same, in the same direction."""
    if not len(base) or not len(new):
        return False
    return p_value(base, new) < CONFIRMED and (ratio(base, new) > 1) == (finding.ratio > 1)


def interval(base, new):
    """The 95 % interval of the ratio of medians: percentiles of a bootstrap over processes."""
    draw = numpy.random.default_rng(1)

    def medians(times):
        return numpy.median(draw.choice(numpy.asarray(times), (RESAMPLES, len(times))), axis=1)

    return tuple(float(x) for x in numpy.percentile(medians(new) / medians(base), (2.5, 97.5)))


def quartiles(times):
    return tuple(float(x) for x in numpy.percentile(times, (25, 75)))


def noise_floor(ratios):
    """The 95 % quantile of |ratio - 1| over the cases of two sets of runs of one build."""
    return float(numpy.quantile(numpy.abs(numpy.asarray(ratios) - 1), 0.95))
