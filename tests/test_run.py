#!/usr/bin/env python3
"""The program from end to end: files, columns, the table.
Usage: test_run.py PROGRAM [unittest's own arguments]"""

import csv
import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import termios

from run_program import FILES, PROGRAM, QUICK, SMALL, TINY, Run, keys_of, main, rows_of, text_of


class Files(Run):
    def test_rows_and_columns(self):
        self.bench(*SMALL, "--seed=1,2")
        rows = rows_of(self.out, "results.csv")
        self.assertEqual(len(rows), 2 * 3 * 2)
        self.assertEqual(len(set(keys_of(self.out))), len(rows))
        first = rows[0]
        self.assertEqual(first["case"], "stack-tanh/d3/w8/b2/fp32/xavier/seed1")
        self.assertEqual(first["status"], "ok")
        self.assertEqual(first["verified"], "no")
        self.assertEqual(first["interleaved"], "0")
        flop = 2.0 * 2 * 3 * 8 * 8
        self.assertEqual(float(first["flop"]), flop)
        self.assertEqual(float(first["time_s"]), 1e-6 + flop / 1e9)
        self.assertEqual(float(first["gflop_per_s"]), flop / float(first["time_s"]) * 1e-9)
        self.assertEqual(first["energy_j"], "")
        self.assertRegex(first["checksum"], "^[0-9a-f]{16}$")
        layers = {(r["tensor"], r["layer"]) for r in rows_of(self.out, "gradients.csv")}
        self.assertEqual(layers, {("dh", str(n)) for n in range(4)} |
                         {(t, str(n)) for t in ("dweight", "dbias") for n in (1, 2, 3)})
        self.assertEqual([r["direction"] for r in rows_of(self.out, "decay.csv")], ["depth"] * 2)

    def test_two_runs_differ_in_their_ids_alone(self):
        self.bench(*SMALL)
        first = {name: text_of(self.out, name) for name in FILES[:2]}
        run_id = json.loads(text_of(self.out, "env.json"))["run_id"]
        shutil.rmtree(self.out)
        self.bench(*SMALL)
        again = json.loads(text_of(self.out, "env.json"))["run_id"]
        self.assertNotEqual(run_id, again)
        for name, text in first.items():
            self.assertEqual(text_of(self.out, name).replace(again, run_id), text)

    def test_env_holds_what_drivers_say(self):
        self.bench(*TINY, *QUICK, "--device=cpu.scalar")
        (device,) = json.loads(text_of(self.out, "env.json"))["devices"]
        self.assertEqual(device["cpu.kernels"], "scalar")
        self.assertGreater(float(device["peak_fp32_flop_per_s"]), 0)
        self.assertNotIn("topology.xml", device)
        self.assertIn("topology.xml", os.listdir(self.out))

    def test_no_path_stands_in_any_file(self):
        self.bench(*TINY, *QUICK, "--device=null,ref", f"--dump={self.top}/dump")
        for name in os.listdir(self.out):
            with open(os.path.join(self.out, name), encoding="utf-8") as file:
                text = file.read()
            for path in (self.top, os.path.dirname(PROGRAM), os.uname().nodename):
                self.assertFalse(len(path) > 2 and path in text, f"{path} in {name}")

    def test_results_alone_go_to_stdout(self):
        done = self.bench(*SMALL, "--out=-", out=False)
        rows = list(csv.DictReader(done.stdout.splitlines(), strict=True))
        self.assertEqual(len(rows), 6)
        self.assertEqual(os.listdir(self.top), [])

    def test_default_folder(self):
        self.bench(*SMALL, out=False)
        (name,) = os.listdir(self.top)
        self.assertTrue(name.startswith("bench-2"), name)

    def test_devices_take_turns(self):
        self.bench(*TINY, *QUICK, "--device=null,ref", "--repetitions=3")
        rows = rows_of(self.out, "results.csv")
        self.assertEqual({r["interleaved"] for r in rows}, {"1"})
        self.assertEqual({r["verified"] for r in rows if r["device"] == "ref"}, {"full"})
        self.assertEqual(len({r["checksum"] for r in rows if r["device"] == "ref"}), 1)

    def test_disturbed_samples_are_marked_and_counted(self):
        for peak, disturbed, attempts in (("steady", "0", "1"), ("wanders", "1", "3")):
            shutil.rmtree(self.out, ignore_errors=True)
            done = self.bench(*SMALL, f"--device-option=null.peak={peak}")
            rows = rows_of(self.out, "results.csv")
            self.assertEqual([(row["status"], row["disturbed"], row["attempts"]) for row in rows],
                             [("ok", disturbed, attempts)] * 6)
            told = [line for line in done.stderr.splitlines() if "repetitions" in line]
            self.assertEqual(told, ["6 of 6 repetitions measured again, 6 disturbed to the end."]
                             if attempts == "3" else [])

    def test_a_case_that_leaves_no_room_for_peaks_is_measured(self):
        self.bench(*SMALL, "--device-option=null.fail=memory", "--device-option=null.at=peaks")
        rows = rows_of(self.out, "results.csv")
        self.assertEqual([(row["status"], row["percent_of_peak"]) for row in rows], [("ok", "")] * 6)

    def test_processes(self):
        self.bench(*SMALL, "--processes=3")
        self.assertEqual([r["process"] for r in rows_of(self.out, "results.csv")],
                         [str(p) for p in range(3) for _ in range(6)])
        self.assertEqual(len(rows_of(self.out, "decay.csv")), 1)

    def test_processes_agree(self):
        self.bench(*TINY[:1], "--device=ref", "--depth=2", "--width=8", "--batch=2", *QUICK,
                   "--processes=2")
        rows = rows_of(self.out, "results.csv")
        self.assertEqual(len(rows), 12)
        self.assertEqual({r["verified"] for r in rows}, {"full"})
        self.assertEqual(len({r["checksum"] for r in rows}), 1)

    def test_gradient_alone(self):
        self.bench(*TINY, "--device=null", "--measure=gradient")
        (row,) = rows_of(self.out, "results.csv")
        self.assertEqual((row["status"], row["pass"], row["repetition"], row["time_s"]),
                         ("ok", "", "", ""))

    def test_throughput_alone(self):
        self.bench(*SMALL, "--measure=throughput")
        self.assertEqual(rows_of(self.out, "gradients.csv"), [])
        self.assertEqual(len(rows_of(self.out, "results.csv")), 6)
        shutil.rmtree(self.out)
        self.bench("--device=ref", "--model=rnn,lstm,gru", "--width=4", "--batch=2", "--seq-len=3",
                   *QUICK, "--measure=throughput")
        self.assertEqual({r["verified"] for r in rows_of(self.out, "results.csv")}, {"full"})

    def test_same_settings_are_measured_once(self):
        self.bench(*SMALL, "--threads=1,2", "--denormals=keep,flush")
        self.assertEqual(len(set(keys_of(self.out))), 4 * 6)
        self.assertEqual(len(keys_of(self.out)), 4 * 6)
        self.assertEqual([r["denormals"] for r in rows_of(self.out, "decay.csv")],
                         ["keep", "flush"])

    def test_gradients_after_a_failure(self):
        """What failed after its first repetition left no gradients; the next thread count does."""
        arguments = (*TINY, *QUICK, "--device=cpu.scalar", "--pass=train")
        self.bench(*arguments, "--threads=1")
        whole = {name: len(rows_of(self.out, name)) for name in ("gradients.csv", "decay.csv")}
        for name in whole:
            path = os.path.join(self.out, name)
            header = text_of(self.out, name).splitlines(keepends=True)[0]
            with open(path, "w", encoding="utf-8") as file:
                file.write(header)
        rows = rows_of(self.out, "results.csv")
        rows[1].update(status="timeout", repetition="", time_s="")
        with open(os.path.join(self.out, "results.csv"), "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        self.bench(*arguments, "--threads=1,2", "--resume")
        self.assertEqual(len(rows_of(self.out, "results.csv")), 2 + 2)
        self.assertEqual({name: len(rows_of(self.out, name)) for name in whole}, whole)

    def test_dump_that_fails(self):
        """The rows of the others are there, the device's own follow with --resume."""
        name = "stack-tanh_d3_w8_b2_fp32_xavier_seed1"
        blocked = os.path.join(self.top, "dump", name, "ref", "x.npy")
        os.makedirs(blocked)
        arguments = (*TINY, *QUICK, "--device=null,ref", f"--dump={self.top}/dump")
        done = self.bench(*arguments, code=4)
        self.assertIn("x.npy", done.stderr)
        self.assertEqual({row["device"] for row in rows_of(self.out, "results.csv")},
                         {"null"})
        os.rmdir(blocked)
        self.bench(*arguments, "--resume")
        self.assertEqual({row["device"] for row in rows_of(self.out, "results.csv")},
                         {"null", "ref"})

    def test_dump(self):
        dump = f"--dump={self.top}/dump"
        name = "stack-tanh_d3_w8_b2_fp32_xavier_seed1"
        self.bench(*TINY, *QUICK, "--device=ref,null", dump)
        self.assertEqual(set(os.listdir(os.path.join(self.top, "dump", name))), {"ref", "null"})
        shutil.rmtree(os.path.join(self.top, "dump"))
        shutil.rmtree(self.out)
        self.bench(*TINY, *QUICK, "--device=ref", dump)
        folder = os.path.join(self.top, "dump", name)
        names = set(os.listdir(folder))
        self.assertLessEqual({"x.npy", "y.npy", "dx.npy"}, names)
        with open(os.path.join(folder, "x.npy"), "rb") as file:
            data = file.read()
        length = struct.unpack("<H", data[8:10])[0]
        header = eval(data[10:10 + length])  # the format's own notation
        self.assertEqual((header["descr"], header["shape"]), ("<f8", (2, 8)))
        self.assertEqual(len(data), 10 + length + 2 * 8 * 8)

    def test_one_profile_stands_beside_all_threads(self):
        done = self.bench(*SMALL, "--threads=1,2")
        rows = [line for line in done.stderr.splitlines() if line.startswith("  null x")]
        self.assertEqual(len(rows), 2)
        self.assertEqual(rows[0].replace("x1", "x2"), rows[1])
        self.assertIn("null x1 was as fast as null x2, within 1 %.", done.stderr)

    def test_a_table_fits_its_terminal(self):
        for columns in (80, 110, 120, 160):
            shutil.rmtree(self.out, ignore_errors=True)
            text = self.terminal(columns, "--device=ref", "--activation=sigmoid", "--depth=600",
                                 "--width=4", "--batch=2", "--verify=off", *QUICK)
            lines = [re.sub("\033[^mK]*[mK]", "", line) for line in text]
            self.assertTrue(any("lost after" in line for line in lines), text)
            for line in lines:
                if self.out not in line:
                    self.assertLessEqual(len(line), columns, line)

    def terminal(self, columns, *arguments):
        """The lines of stderr on a terminal that wide."""
        try:
            master, slave = pty.openpty()
        except OSError as error:
            self.skipTest(f"no pseudo-terminal: {error}")
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        subprocess.run([PROGRAM, *arguments, f"--out={self.out}"], stderr=slave, check=True)
        os.close(slave)
        text = b""
        try:
            while part := os.read(master, 4096):
                text += part
        except OSError:
            pass
        os.close(master)
        return [line.split("\r")[-1] for line in
                text.decode().replace("\r\n", "\n").split("\n")]

    def test_narrow_terminal(self):
        lines = self.terminal(60, *SMALL)
        self.assertTrue(any("\033[" in line for line in lines))
        self.assertTrue(any("GFLOP/s" in line for line in lines))
        for line in lines:
            if self.out not in line and "/seed" not in line:
                self.assertLessEqual(len(line), 60 + line.count("\033[") * 5, line)


if __name__ == "__main__":
    main()
