"""Folders made up for scripts/compare.py, for its tests."""
import contextlib
import io
import json
import pathlib
import tempfile
import unittest

from made_results import rows, write

import compare

NOISE = [1 + 0.001 * ((7 * i) % 15 - 7) for i in range(15)]  # 15 processes within 0.7 %
WIDE = [1 + 0.04 * ((7 * i) % 15 - 7) for i in range(15)]


def times(factor=1.0, noise=tuple(NOISE)):
    return [factor * t for t in noise]


class Folders(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = pathlib.Path(folder.name)

    def run_compare(self, *arguments):
        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            try:
                code = compare.main([str(argument) for argument in arguments])
            except SystemExit as stop:
                code = stop.code
        return code, out.getvalue(), errors.getvalue()

    def sides(self, base, new, **more):
        """Writes two folders; a list of times becomes rows."""
        for name, table in (("base", base), ("new", new)):
            table = rows(table) if table and not isinstance(table[0], dict) else table
            write(self.top / name, table, **{k: v[name] for k, v in more.items()})
        return self.top / "base", self.top / "new"

    def verdicts(self, base, new, *arguments, **more):
        """(exit code, the JSON) of a comparison."""
        code, out, errors = self.run_compare(*self.sides(base, new, **more), "--format=json", *arguments)
        self.assertTrue(out, errors)
        return code, json.loads(out)

    def only(self, base, new, *arguments, **more):
        code, told = self.verdicts(base, new, *arguments, **more)
        (row,) = told["measurements"]
        return code, row["verdict"], row["reason"]
