#!/usr/bin/env python3
"""What is installed works where it is put: manual, completions, library, packages.
Usage: test_install.py BUILD [unittest's own arguments]"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else ""

# Loads a case on the oracle, runs it, and says whether its loss has a gradient.
CONSUMER = r"""
#include <stdio.h>
#include <stdlib.h>

#include "vg/case.h"
#include "vg/devices.h"
#include "vg/fill.h"
#include "vg/lower.h"

static int failed(vg_status status)
{
    if (status != VG_OK)
        printf("%s: %s\n", vg_status_name(status), vg_reason());
    return status != VG_OK;
}

int main(void)
{
    vg_model model;
    vg_program *program;
    if (failed(vg_case_parse("stack-tanh/d2/w3/b2/fp32/xavier/seed1", &model)) ||
        failed(vg_lower(&model, &(vg_lowering){.oracle = true}, &program)))
        return 1;
    const vg_driver *ref = vg_driver_find("ref");
    vg_device_info info;
    vg_device *device;
    vg_exec *exec;
    size_t count;
    if (failed(ref->list(&info, 1, &count)) ||
        failed(ref->open(&info, &(vg_device_options){.threads = 1}, &device)) ||
        failed(ref->load(device, &model, program, &exec)))
        return 1;
    for (uint32_t i = 0; i < program->tensor_count; i++) {
        const vg_tensor *t = &program->tensors[i];
        if (t->role != VG_ROLE_INPUT && t->role != VG_ROLE_WEIGHT && t->role != VG_ROLE_BIAS)
            continue;
        double *values = malloc(sizeof *values * t->mat.rows * t->mat.cols);
        if (failed(vg_fill(program, t, values)) || failed(ref->write(exec, t->mat, values)))
            return 1;
        free(values);
    }
    double seconds, dx[6] = {0};
    if (failed(ref->run(exec, VG_PASSES_TRAIN | VG_PASS_LOSS, 1, &seconds)) ||
        failed(ref->read(exec, vg_program_tensor(program, "dx")->mat, dx)))
        return 1;
    ref->unload(exec);
    ref->close(device);
    vg_program_free(program);
    puts(dx[0] != 0 ? "gradient" : "none");
}
"""


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False,
                          **options)
    if done.returncode:
        raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.top = tempfile.mkdtemp(prefix="vg_install_")
        cls.prefix = os.path.join(cls.top, "prefix with a space")
        run("cmake", "--install", BUILD, "--prefix", cls.prefix)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.top)

    def path(self, *parts):
        return os.path.join(self.prefix, *parts)

    def folder_of(self, name):
        found = [folder for folder, _, files in os.walk(self.prefix) if name in files]
        self.assertEqual(len(found), 1, name)
        return found[0]

    def test_the_program_runs(self):
        self.assertRegex(run(self.path("bin", "bench"), "--version"), r"\Abench \d+\.\d+\.\d+")

    def test_every_option_is_in_the_manual(self):
        page = self.path("share", "man", "man1", "bench.1")
        options = re.findall(r"^  --([a-z0-9_*-]+)", run(self.path("bin", "bench"), "--help"), re.M)
        self.assertGreater(len(options), 40)
        if shutil.which("groff"):
            done = subprocess.run(["groff", "-man", "-ww", "-Tascii", "-P-cbou", page],
                                  capture_output=True, text=True, timeout=60, check=True)
            self.assertEqual(done.stderr, "")
            text = done.stdout
        else:
            with open(page, encoding="utf-8") as file:
                text = file.read().replace("\\-", "-").replace("\\fB", "")
        for option in options:
            self.assertIn(f"--{option}", text)

    def complete(self, *words):
        """What bash offers for the last word; it splits at '='."""
        script = self.path("share", "bash-completion", "completions", "bench")
        command = ('compopt() { :; }; source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _bench;'
                   ' printf "%s\\n" "${COMPREPLY[@]}"')
        return run("bash", "-c", command, script, "bench", *words, cwd=self.top).split()

    def test_bash_completes(self):
        self.assertEqual(self.complete("--wid"), ["--width="])
        self.assertEqual(self.complete("--res"), ["--residual=", "--resume"])
        self.assertEqual(self.complete("--model", "=", "stack,l"), ["stack,lstm"])
        self.assertEqual(self.complete("--measure", "="), ["throughput", "gradient", "both"])
        self.assertIn("quick", self.complete("--preset", "=", "qu"))
        self.assertIn("auto", self.complete("--device", "=", ""))
        self.assertEqual(self.complete("--width", "=", "1"), [])
        with open(os.path.join(self.top, "some.txt"), "w", encoding="utf-8"):
            self.assertEqual(self.complete("--preset", "=", "some"), ["some.txt"])

    def test_other_shells_read_their_completions(self):
        for shell, *parts in (("zsh", "zsh", "vendor-completions", "_bench"),
                              ("fish", "fish", "vendor_completions.d", "bench.fish")):
            script = self.path("share", *parts)
            with self.subTest(shell=shell):
                if not shutil.which(shell):
                    self.skipTest(f"no {shell} here")
                run(shell, "-n", script)

    def test_a_program_finds_the_library_with_cmake(self):
        source = os.path.join(self.top, "with_cmake")
        os.mkdir(source)
        with open(os.path.join(source, "main.c"), "w", encoding="utf-8") as file:
            file.write(CONSUMER)
        with open(os.path.join(source, "CMakeLists.txt"), "w", encoding="utf-8") as file:
            file.write("cmake_minimum_required(VERSION 3.22)\nproject(consumer C CXX)\n"
                       "find_package(vgbench 0.1 REQUIRED)\nadd_executable(consumer main.c)\n"
                       "set_target_properties(consumer PROPERTIES LINKER_LANGUAGE CXX)\n"
                       "target_link_libraries(consumer vgbench::vgbench)\n")
        build = os.path.join(source, "build")
        run("cmake", "-S", source, "-B", build, "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={self.prefix}")
        run("cmake", "--build", build)
        self.assertEqual(run(os.path.join(build, "consumer")), "gradient\n")

    def test_a_program_finds_the_library_with_pkg_config(self):
        source, program = os.path.join(self.top, "main.c"), os.path.join(self.top, "consumer")
        with open(source, "w", encoding="utf-8") as file:
            file.write(CONSUMER)
        flags = run("pkg-config", f"--define-variable=prefix={self.prefix}".replace(" ", "\\ "),
                    "--cflags", "--libs", "vgbench",
                    env={**os.environ, "PKG_CONFIG_PATH": self.folder_of("vgbench.pc")})
        run("cc", source, "-o", program, *shlex.split(flags))
        self.assertEqual(run(program), "gradient\n")


class Packages(unittest.TestCase):
    def test_their_contents(self):
        for tool in ("dpkg-shlibdeps", "file"):  # CPack asks `file` which of what it packs are programs
            if not shutil.which(tool):
                self.skipTest(f"no {tool} here")
        with tempfile.TemporaryDirectory(prefix="vg_deb_") as top:
            run("cpack", "--config", os.path.join(BUILD, "CPackConfig.cmake"), "-B", top)
            packages = {name.split("_")[0]: os.path.join(top, name)
                        for name in os.listdir(top) if name.endswith(".deb")}
            self.assertEqual(set(packages), {"vgbench", "libvgbench-dev"})
            listed = run("dpkg-deb", "--contents", packages["vgbench"])
            for path in ("/usr/bin/bench", "/usr/share/man/man1/bench.1",
                         "/usr/share/bash-completion/completions/bench"):
                self.assertIn(f".{path}\n", listed)
            self.assertNotIn("/include/", listed)
            self.assertIn("hwloc", run("dpkg-deb", "--field", packages["vgbench"], "Depends"))
            self.assertIn("libvgbench.a\n", run("dpkg-deb", "--contents", packages["libvgbench-dev"]))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
