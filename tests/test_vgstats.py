"""The statistics of scripts/compare.py on simulated times.
  test_vgstats.py [--slow] [unittest's own arguments]
Exits 77 where its packages are not here."""
import sys
import unittest

import made_results  # noqa: F401 (ends the test where the packages are missing)
import numpy

import vgstats

SLOW = "--slow" in sys.argv


class Simulated(unittest.TestCase):
    """2 % of noise, 20 cases, 15 processes a side, seeds that do not change."""

    CASES, PROCESSES, NOISE = 20, 15, 0.02

    def run_once(self, draw, factors):
        """For each case whether it is flagged and a second run confirms it."""
        def pairs():
            shape = (self.CASES, self.PROCESSES)
            return list(zip(draw.normal(1, self.NOISE, shape), factors[:, None] * draw.normal(1, self.NOISE, shape)))

        found, second = vgstats.find(pairs(), 0.03), pairs()
        return numpy.array([f.flagged and vgstats.confirms(f, *pair) for f, pair in zip(found, second)])

    def share_found(self, slow, runs):
        draw = numpy.random.default_rng(2)
        factors = numpy.where(numpy.arange(self.CASES) < slow, 1.05, 1.0)
        found = sum(self.run_once(draw, factors)[:slow].sum() for _ in range(runs))
        return found / slow / runs

    def test_a_slow_down_is_found(self):
        runs = 1000 if SLOW else 100
        for slow in (1, 20):
            self.assertGreaterEqual(self.share_found(slow, runs), 0.95, f"{slow} of 20 slower")

    def test_no_alarm_without_cause(self):
        draw, runs = numpy.random.default_rng(3), 3000 if SLOW else 200
        alarms = sum(self.run_once(draw, numpy.ones(self.CASES)).any() for _ in range(runs))
        self.assertLess(alarms, 0.01 * runs)


if __name__ == "__main__":
    unittest.main(argv=[argument for argument in sys.argv if argument != "--slow"])
