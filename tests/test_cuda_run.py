#!/usr/bin/env python3
"""The program from end to end on an emulated GPU: what a user of the CUDA devices types.
Usage: test_cuda_run.py PROGRAM [unittest's own arguments]; PROGRAM from an emulated build."""

import os

from run_program import QUICK, Run, main, rows_of

SMALL = ["--depth=3", "--width=9", "--batch=2", *QUICK]
CHAIN = ["--seq-len=5", "--width=9", "--batch=2", *QUICK]

# The peaks are measured around every repetition, those of memory over a 64th of all: little of it.
os.environ["VG_EMULATION"] = f"memory={128 << 20}"


def emulating(settings):
    return {"env": dict(os.environ, VG_EMULATION=f"{os.environ['VG_EMULATION']},{settings}")}


class OnGpu(Run):
    def test_the_first_example(self):
        done = self.bench("--device=cuda", *SMALL)
        rows = rows_of(self.out, "results.csv")
        self.assertEqual({row["model"] + row["activation"] for row in rows},
                         {"stacksigmoid", "stacktanh", "stackrelu"})
        self.assertEqual({row["pass"] for row in rows}, {"fwd", "bwd", "train"})
        for row in rows:
            self.assertEqual((row["status"], row["verified"]), ("ok", "full"))
            self.assertIn("cuBLASLt", row["implementation"])
            self.assertGreater(float(row["time_s"]), 0)
            self.assertGreater(float(row["percent_of_peak"]), 0)
        self.assertIn("cuda:0", done.stderr)
        decays = rows_of(self.out, "decay.csv")
        self.assertEqual(len(decays), 3)

    def test_the_algorithm_says_the_regime(self):
        for scan in "LMSC":
            self.out = os.path.join(self.top, scan)
            self.bench("--device=cuda", "--model=lstm", f"--device-option=cuda.scan={scan}",
                       "--measure=throughput", "--pass=train", *CHAIN)
            for row in rows_of(self.out, "results.csv"):
                self.assertIn(f"scan={scan}", row["algorithm"])
                self.assertEqual(row["verified"], "full")

    def test_formats(self):
        done = self.bench("--device=cuda", "--check", "--model=rnn,lstm,gru", "--dtype=fp32,tf32,bf16",
                          *CHAIN, out=False)
        self.assertEqual(done.stdout.count("ok cuda:0"), 9, done.stdout)

    def test_beside_cudnn(self):
        self.bench("--device=cuda,cuda.cudnn", "--model=gru", "--measure=throughput", *CHAIN)
        rows = rows_of(self.out, "results.csv")
        self.assertEqual({row["device"]: row["verified"] for row in rows},
                         {"cuda:0": "full", "cuda.cudnn:0": "norm"})
        self.assertEqual({row["interleaved"] for row in rows}, {"1"})

    def test_a_peer_may_choose_anew_in_every_process(self):
        self.bench("--device=cuda.cudnn", "--model=lstm", "--measure=throughput", "--pass=fwd", *CHAIN,
                   "--repetitions=1", "--processes=3")
        rows = rows_of(self.out, "results.csv")
        self.assertEqual([row["status"] for row in rows], ["ok"] * 3)
        self.assertEqual({row["verified"] for row in rows}, {"norm"})

    def test_two_of_a_kind_agree(self):
        self.bench("--device=cuda:0,cuda:1", "--model=lstm", *CHAIN, **emulating("devices=2"))
        rows = rows_of(self.out, "results.csv")
        self.assertEqual({row["device"] for row in rows}, {"cuda:0", "cuda:1"})
        self.assertEqual(len({row["checksum"] for row in rows}), 1)

    def test_no_room_is_a_row(self):
        self.bench("--device=cuda", "--activation=tanh", "--batch=32768,2", "--depth=3", "--width=64",
                   "--measure=throughput", "--pass=fwd", *QUICK, code=1, **emulating("memory=100000000"))
        statuses = {row["case"].split("/")[3]: row["status"] for row in rows_of(self.out, "results.csv")}
        self.assertEqual(statuses, {"b32768": "no_memory", "b2": "ok"})

    def test_a_lost_device_is_a_row(self):
        self.bench("--device=cuda,ref", "--activation=tanh", *SMALL, code=1, **emulating("lose=600"))
        statuses = {row["device"]: row["status"] for row in rows_of(self.out, "results.csv")}
        self.assertEqual(statuses, {"cuda:0": "device_lost", "ref": "ok"})

    def test_no_gpu_is_told_before_anything_runs(self):
        for settings, word in (("driver=0", "driver"), ("driver=11000", "driver"),
                               ("devices=0", "device"), ("cc=70", "sm_70")):
            done = self.bench("--device=cuda", *SMALL, code=3, out=False, **emulating(settings))
            self.assertIn(word, done.stderr, settings)
            self.assertEqual((len(done.stderr.splitlines()), os.listdir(self.top)), (1, []), done.stderr)


if __name__ == "__main__":
    main()
