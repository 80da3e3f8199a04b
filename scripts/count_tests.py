#!/usr/bin/env python3
"""Counts the tests in CTest's JUnit files: a cmocka program counts for each test that it ran.

Prints "N passed, N failed, N skipped"; exit 1 if any failed or none ran. A file that is no JUnit file, cut
off with the CTest that wrote it, is a failure.
"""
import re
import sys
import xml.etree.ElementTree as ElementTree

RAN = re.compile(r"^\[  PASSED  \] (\d+) test", re.M)
FAILED = re.compile(r"^\[  FAILED  \] \S+: (\d+) test|^\[  FAILED  \] (\d+) test", re.M)
SKIPPED = re.compile(r"^\[  SKIPPED \] (\d+) test", re.M)


def count(text, pattern):
    return sum(int(next(g for g in m.groups() if g)) for m in pattern.finditer(text))


def main(paths):
    passed = failed = skipped = 0
    for path in paths:
        try:
            root = ElementTree.parse(path).getroot()
        except ElementTree.ParseError as error:
            print(f"failed: {path}: {error}")
            failed += 1
            continue
        for case in root.iter("testcase"):
            text = case.findtext("system-out") or ""
            ok, bad, left = (count(text, p) for p in (RAN, FAILED, SKIPPED))
            status = case.get("status")
            if status in ("notrun", "disabled"):
                skipped += 1
                print(f"skipped: {case.get('name')}: {text.strip()[:200]}")
                continue
            if status == "fail" and not bad:
                bad = 1
            if status == "run" and not ok:
                ok = 1
            passed, failed, skipped = passed + ok, failed + bad, skipped + left
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
