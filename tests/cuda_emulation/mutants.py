#!/usr/bin/env python3
"""Breaks the CUDA sources one line at a time and sees the tests notice.

    mutants.py TREE [NAME...]      TREE: a configured and built emulated tree

Each mutant of mutants.txt is one edit of one source file. The file is compiled with the edit, lightly
optimised and without debugging information, since most of the time goes into that; the tests named
with it are linked with that object before the library, whose own is then not taken, and run up to
their first failure; the first test that fails has caught it. A mutant that no test catches fails the run, and so
does one whose text is not found: the list follows the sources.

In mutants.txt a mutant is a paragraph:

    NAME  TEST[@SETTINGS][,...]  asan|tsan      the kind of tree that catches it; SETTINGS as in
                                                VG_EMULATION, with ; between them
    FILE
    < the text to be replaced, which stands in the file once; several lines: several of these
    > what comes in its place (none: nothing)
"""
import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent.parent
TIMEOUT_S = 120
# What a mutant is compiled with, beside what its file is: an edit may leave something unused.
LIGHTLY = ["-Og", "-g0", "-w"]


def mutants(path):
    """The paragraphs of the list as dicts; # begins a comment line."""
    for paragraph in path.read_text().split("\n\n"):
        lines = [line for line in paragraph.splitlines() if line and not line.startswith("#")]
        if not lines:
            continue
        name, tests, kind = lines[0].split()
        old = "\n".join(line[2:] for line in lines[2:] if line.startswith("<"))
        new = "\n".join(line[2:] for line in lines[2:] if line.startswith(">"))
        yield {"name": name, "tests": tests.split(","), "kind": kind, "file": lines[1],
               "old": old, "new": new}


def kind_of(tree):
    cache = (tree / "CMakeCache.txt").read_text()
    return "tsan" if "VG_SANITIZE:STRING=thread" in cache else "asan"


def link_command(tree, test):
    """The command that links a test, as an argument list run in the tree."""
    out = subprocess.run(["ninja", "-C", str(tree), "-t", "commands", "-s", f"tests/{test}"],
                         check=True, capture_output=True, text=True).stdout
    command = out.strip().splitlines()[-1].removeprefix(": && ").removesuffix(" && :")
    return shlex.split(command)


def compiled_from(tree, path):
    """The compile commands of the library's sources that are this file or include it."""
    commands = json.loads((tree / "compile_commands.json").read_text())
    entries = [c for c in commands if "vg_cuda.dir" in c["command"]]
    if path.suffix in (".cu", ".c", ".cc"):
        return [c for c in entries if c["file"] == str(path)]
    return [c for c in entries if f'#include "{path.name}"' in pathlib.Path(c["file"]).read_text()]


def compile_mutant(tree, mutant, folder):
    """Compiles what the edit changes; returns the objects, or none and a reason."""
    path, objects = SOURCE / mutant["file"], []
    text = path.read_text()
    found = text.count(mutant["old"]) if mutant["old"] else 0
    if found != 1:
        return [], f"its text stands {found} times in {mutant['file']}"
    for entry in compiled_from(tree, path):
        # A quoted header is first looked for beside the file that includes it.
        source = folder / pathlib.Path(entry["file"]).name
        source.write_text(pathlib.Path(entry["file"]).read_text())
        (folder / path.name).write_text(text.replace(mutant["old"], mutant["new"]))
        arguments = shlex.split(entry["command"])
        out = arguments.index("-o") + 1
        target = folder / pathlib.Path(arguments[out]).name
        arguments = [str(source) if a == entry["file"] else a for a in arguments]
        arguments[out] = str(target)
        arguments += ["-iquote", str(path.parent), *LIGHTLY]
        done = subprocess.run(arguments, cwd=entry["directory"], capture_output=True, text=True)
        if done.returncode != 0:
            return [], "does not compile: " + done.stderr[-600:]
        objects.append(target)
    return objects, ""


def ended(program, settings):
    """What a test says and how it ends, within the limit; None where it does not."""
    environment = dict(os.environ, TSAN_OPTIONS="halt_on_error=1", ASAN_OPTIONS="detect_leaks=0",
                       CMOCKA_TEST_ABORT="1", VG_EMULATION=settings.replace(";", ","))
    try:
        return subprocess.run([str(program)], capture_output=True, text=True, errors="replace",
                              timeout=TIMEOUT_S, env=environment)
    except subprocess.TimeoutExpired:
        return None


def caught_by(tree, mutant, objects, folder):
    """The first test that fails with the mutant, and how it says so; or None. One that does not end has
    failed where without the mutant it does."""
    for named in mutant["tests"]:
        test, _, settings = named.partition("@")
        program = folder / test
        arguments = link_command(tree, test)
        arguments[arguments.index("-o") + 1] = str(program)
        first = arguments.index("cuda/libvg_cuda.a")
        arguments[first:first] = ["-Wl,--strip-debug", *map(str, objects)]
        subprocess.run(arguments, cwd=tree, check=True, capture_output=True)
        done = ended(program, settings)
        if done is None and ended(tree / "tests" / test, settings) is None:
            raise TimeoutError(f"{test} takes more than {TIMEOUT_S} s here without the mutant too")
        if done is None:
            return test, f"no end within {TIMEOUT_S} s"
        if done.returncode not in (0, 77):
            lines = (done.stdout + done.stderr).splitlines()
            telling = [line for line in lines if any(word in line for word in (
                "WARNING: ThreadSanitizer", "ERROR:", "emulation:", "runtime error", "[  ERROR   ]"))]
            return test, (telling or lines or ["exit %d" % done.returncode])[0].strip()[:110]
    return None


def main(arguments):
    if not arguments:
        print(__doc__.split("\n\n")[1], file=sys.stderr)
        return 2
    tree, wanted = pathlib.Path(arguments[0]).resolve(), arguments[1:]
    kind, survived, count = kind_of(tree), 0, 0
    for mutant in mutants(HERE / "mutants.txt"):
        if mutant["kind"] != kind or (wanted and mutant["name"] not in wanted):
            continue
        count += 1
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            objects, reason = compile_mutant(tree, mutant, folder)
            caught = None
            try:
                caught = caught_by(tree, mutant, objects, folder) if objects else None
            except TimeoutError as error:
                reason = str(error)
        if caught:
            print(f"[       OK ] {mutant['name']}: {caught[0]}: {caught[1]}", flush=True)
        else:
            survived += 1
            print(f"[  FAILED  ] {mutant['name']}: {reason or 'no test noticed'}", flush=True)
    print(f"[  PASSED  ] {count - survived} test(s).")
    if survived:
        print(f"[  FAILED  ] mutants: {survived} test(s)")
    return 1 if survived or not count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
