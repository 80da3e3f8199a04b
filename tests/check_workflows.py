"""The workflows of .github/: their form, what they permit, the names that they use, and the shell of every
step. With an actionlint on the PATH that too. Exits 77 where the packages of scripts/requirements.txt are
missing. Usage: check_workflows.py [FOLDER of workflows]"""
import pathlib
import re
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
FOLDER = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
INSTALLED = pathlib.Path(sysconfig.get_path("scripts"))
CONTEXTS = {"github", "env", "vars", "job", "jobs", "steps", "runner", "secrets", "strategy", "matrix", "needs",
            "inputs"}  # docs.github.com, "Contexts reference"


def steps(workflow):
    """(where, script) of every step that runs something."""
    for job, body in workflow["jobs"].items():
        for number, step in enumerate(body["steps"], 1):
            if "run" in step:
                yield f"{job}, step {number}", step["run"]


def texts(value):
    """Every text of nested tables and lists."""
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(inner)


def unknown_names(workflow):
    """Names that stand for nothing: jobs that are needed, contexts, keys of a job's matrix."""
    jobs = workflow["jobs"]
    for job, body in jobs.items():
        needed = body.get("needs", [])
        for name in [needed] if isinstance(needed, str) else needed:
            if name not in jobs:
                yield f"{job} needs {name}, which is no job"
        matrix = body.get("strategy", {}).get("matrix", {})
        expressions = [body.get("if", ""), *re.findall(r"\$\{\{(.*?)\}\}", "\n".join(texts(body)), re.S)]
        for expression in map(lambda text: re.sub(r"'[^']*'", "", text), expressions):
            for context, key in re.findall(r"(?<![\w.])([a-z]\w*)\.(\w+)", expression):
                if context not in CONTEXTS or (context == "matrix" and key not in matrix):
                    yield f"{job}: {context}.{key} stands for nothing"


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
        workflow = YAML(typ="safe").load(path)
        for fault in unknown_names(workflow):
            print(f"{path.name}: {fault}")
            well.append(False)
        if workflow.get("defaults", {}).get("run", {}).get("shell") != "bash":
            print(f"{path.name}: defaults.run.shell is not bash: without it a step has no pipefail")
            well.append(False)
        # What a step sources is looked at by itself.
        well += [ran(f"{path.name}: {where}",
                     ["shellcheck", "-s", "bash", "-S", "warning", "-e", "SC1091,SC2154", "-"], input=script)
                 for where, script in steps(workflow)]
    return 0 if FILES and all(well) else 1


if __name__ == "__main__":
    sys.exit(main())
