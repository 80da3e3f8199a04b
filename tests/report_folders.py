"""Result folders for the tests of scripts/report.py: made by the program, committed, or made up."""
import csv
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "tests" / "fixtures" / "report"
OTHER, FAILURES = FIXTURES / "other", FIXTURES / "failures"
# One thread, for a machine whose processors are not this test's alone: a second would be waited for.
QUICK = ["--repetitions=2", "--min-time=1ms", "--warmup=1ms", "--threads=1", "--timeout=600s", "--quiet"]
SWEEPS = {"depth": ["--model=stack", "--activation=sigmoid,relu", "--depth=2,16", "--width=8", "--batch=4",
                    "--init=xavier"],
          "remedies": ["--model=stack", "--activation=sigmoid", "--depth=16", "--width=8", "--batch=4",
                       "--init=xavier,orthogonal", "--residual=off,on"],
          "time": ["--model=rnn,lstm", "--seq-len=8,300", "--width=8", "--batch=2"]}
HOSTILE = '</script ><script>window.hacked=1</script ><img src=x onerror="window.hacked=1"><!-- & "\''

sys.path.insert(0, str(ROOT / "scripts"))


def run(program, folder, devices="null,cpu"):
    """Folders of short sweeps, and their names in order."""
    for name, options in SWEEPS.items():
        command = [program, *QUICK, f"--device={devices}", *options, f"--out={folder / name}"]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
    return [folder / name for name in SWEEPS]


def changed(source, folder, change, files=("results.csv", "gradients.csv", "decay.csv")):
    """A copy of a folder with change(file, row), which changes a row, done to every row."""
    shutil.copytree(source, folder)
    for name in files:
        path = folder / name
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            header, rows = reader.fieldnames, list(reader)
        for row in rows:
            change(name, row)
            assert set(row) == set(header), set(row) - set(header)
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, header, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return folder


def hostile(folder):
    """Names that would run as a page's script or break its HTML, wherever a file has names."""
    def change(_, row):
        row["case"] = row["case"].replace("seed1", HOSTILE)
        row["device"] = HOSTILE
        for name in ("device_name", "implementation", "reason"):
            if name in row:
                row[name] = HOSTILE
    changed(OTHER, folder, change)
    text = (folder / "env.json").read_text().replace("Another processor", HOSTILE.replace('"', '\\"'))
    (folder / "env.json").write_text(text)
    return folder
