"""cuda_emulation/mutants.py on programs made up for it: when one that does not end has caught a mutant."""
import pathlib
import sys
import tempfile
import unittest
import unittest.mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "cuda_emulation"))
import mutants  # pylint: disable=wrong-import-position

LINK = ["sh", "-c", 'cp mutated "$1"', "-o", "OUT", "cuda/libvg_cuda.a"]  # $0 is -o, $1 what comes after it


class Ends(unittest.TestCase):
    def caught(self, whole, mutated):
        """What is said of a mutant of these two programs."""
        with tempfile.TemporaryDirectory(prefix="vg_mutants_") as name, \
                unittest.mock.patch.object(mutants, "link_command", lambda *_: list(LINK)), \
                unittest.mock.patch.object(mutants, "TIMEOUT_S", 2):
            tree = pathlib.Path(name)
            (tree / "tests").mkdir()
            for path, text in ((tree / "tests" / "one", whole), (tree / "mutated", mutated)):
                path.write_text(f"#!/bin/sh\n{text}\n")
                path.chmod(0o755)
            return mutants.caught_by(tree, {"tests": ["one"]}, [], tree)

    def test_a_failure_and_none(self):
        self.assertEqual(self.caught("exit 0", "echo ERROR: here; exit 1"), ("one", "ERROR: here"))
        self.assertIsNone(self.caught("exit 0", "exit 0"))

    def test_no_end(self):
        self.assertEqual(self.caught("exit 0", "exec sleep 60"), ("one", "no end within 2 s"))

    def test_no_end_without_the_mutant_either(self):
        with self.assertRaisesRegex(TimeoutError, "one takes more than 2 s here without the mutant too"):
            self.caught("exec sleep 60", "exec sleep 60")


if __name__ == "__main__":
    unittest.main()
