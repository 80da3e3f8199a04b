"""The workflows of .github/: their form, what they permit, and the shell of every step. With an
actionlint on the PATH that too. Exits 77 where the packages of scripts/requirements.txt are missing."""
import pathlib
import shutil
import subprocess
import sys
import sysconfig

try:
    from ruamel.yaml import YAML
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
INSTALLED = pathlib.Path(sysconfig.get_path("scripts"))


def steps(path):
    """(where, script) of every step that runs something."""
    for job, body in YAML(typ="safe").load(path)["jobs"].items():
        for number, step in enumerate(body["steps"], 1):
            if "run" in step:
                yield f"{path.name}: {job}, step {number}", step["run"]


def ran(what, command, **options):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        print(f"{what}:\n{done.stdout}{done.stderr}")
    return done.returncode == 0


def main():
    checks = [[INSTALLED / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", *FILES],
              [INSTALLED / "zizmor", "--offline", "--quiet", "--no-progress", *FILES]]
    if actionlint := shutil.which("actionlint"):
        checks.append([actionlint, *FILES])
    well = [ran(command[0].name if isinstance(command[0], pathlib.Path) else command[0], command)
            for command in checks]
    for path in FILES:
        # GitHub runs a step with -e and pipefail; what it sources is looked at by itself.
        well += [ran(where, ["shellcheck", "-s", "bash", "-S", "warning", "-e", "SC1091,SC2154", "-"], input=script)
                 for where, script in steps(path)]
    return 0 if FILES and all(well) else 1


if __name__ == "__main__":
    sys.exit(main())
