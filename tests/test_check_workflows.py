"""tests/check_workflows.py finds a fault of each kind, planted in our own workflows. Exits 77 where its
packages are not here."""
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
WORKFLOWS = HERE.parent / ".github" / "workflows"
PLANTED = [  # file, text, in its place, what is said
    ("ci.yml", "runs-on: ubuntu-24.04", "runs_on: ubuntu-24.04", "check-jsonschema"),
    ("gpu.yml", "cmake --build build\n", "cmake --build ${{ github.head_ref }}\n", "template-injection"),
    ("gpu.yml", "exit 0; fi\n", "exit 0\n", "SC1046"),
    ("gpu.yml", "needs: measure\n", "needs: measurement\n", "needs measurement, which is no job"),
    ("gpu.yml", "vars.GPU_FLOOR", "variables.GPU_FLOOR", "variables.GPU_FLOOR stands for nothing"),
    ("ci.yml", "shell: bash\n", "shell: sh\n", "ci.yml: defaults.run.shell is not bash"),
    ("ci.yml", "matrix.part", "matrix.prat", "matrix.prat stands for nothing"),
]


def check(folder):
    return subprocess.run([sys.executable, HERE / "check_workflows.py", folder], capture_output=True, text=True, check=False)


class Planted(unittest.TestCase):
    def test_ours_have_none(self):
        self.assertEqual(OURS.returncode, 0, OURS.stdout)

    def test_each_is_found(self):
        for name, text, planted, told in PLANTED:
            with self.subTest(planted), tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(shutil.copytree(WORKFLOWS, pathlib.Path(folder) / "workflows")) / name
                self.assertIn(text, path.read_text())
                path.write_text(path.read_text().replace(text, planted, 1))
                done = check(path.parent)
                self.assertEqual(done.returncode, 1, done.stdout)
                self.assertIn(told, done.stdout)


OURS = check(WORKFLOWS)
if OURS.returncode == 77:
    print(OURS.stdout)
    sys.exit(77)
if __name__ == "__main__":
    unittest.main()
