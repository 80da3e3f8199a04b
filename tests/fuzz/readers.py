#!/usr/bin/env python3
"""Mutations of result folders, the same every time: the reader reads them, or refuses them with one line.
Usage: readers.py [SECONDS of the processor's time, default 12]. Exits 77 where its packages are not here."""
import json
import pathlib
import random
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import made_results as made
import vgresults

INTERESTING = ["", "\n", "\r\n", ",", '"', '""', "\0", "\xff", "nan", "inf", "-1", "1e999", "{", "}", "[", "null", "\\u0000",
               "9" * 400, "=cmd()", "é"]


def mutated(data, random_of):
    """Up to four bytes of it changed, put in, taken out, or doubled."""
    data = bytearray(data)
    for _ in range(random_of.randint(1, 4)):
        at, length = random_of.randrange(len(data) + 1), random_of.choice((1, 1, 2, 8, 64))
        part = random_of.choice(INTERESTING).encode("latin-1", "replace")
        data[at:at + random_of.choice((0, length))] = random_of.choice((part, bytes(data[at:at + length])))
    return bytes(data)


def main(seconds):
    random_of, count, refused = random.Random(1), 0, 0
    with tempfile.TemporaryDirectory(prefix="vg_fuzz_") as top:
        folder = made.write(pathlib.Path(top) / "run", list(made.rows([1.0, 2.0])), [made.POINT],
                            facts=made.env())
        good = {path: path.read_bytes() for path in sorted(folder.iterdir())}
        end = time.process_time() + seconds
        while time.process_time() < end:
            path = random_of.choice(list(good))
            path.write_bytes(mutated(good[path], random_of))
            try:
                vgresults.read(folder)
            except vgresults.Malformed as error:
                refused += 1
                assert len(str(error).splitlines()) == 1 and str(folder) in str(error), repr(str(error))
            except Exception:
                print(f"{path.name}: {json.dumps(path.read_bytes().decode('latin-1'))}", file=sys.stderr)
                raise
            path.write_bytes(good[path])
            count += 1
    print(f"{count} mutations, {refused} refused")
    return 0 if 0 < refused < count else 1


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 12))
