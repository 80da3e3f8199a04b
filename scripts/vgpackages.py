"""The packages of scripts/requirements.txt, asked for before a script imports what needs them."""
import importlib.util
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv" / "bin" / "python"


def need(*names):
    """Returns where the packages are here; else starts the script again with .venv's Python, or, where
    there is none, says how to get it and exits 2."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if not missing:
        return
    if PYTHON.exists() and pathlib.Path(sys.prefix) != ROOT / ".venv":
        os.execv(PYTHON, [str(PYTHON), *sys.argv])
    print(f"{pathlib.Path(sys.argv[0]).name}: no Python package {', '.join(missing)}. In {ROOT.name}: python3 -m venv "
          ".venv && .venv/bin/pip install -r scripts/requirements.txt", file=sys.stderr)
    sys.exit(2)
