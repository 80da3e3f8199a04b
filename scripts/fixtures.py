#!/usr/bin/env python3
"""Writes tests/fixtures/pytorch.txt: small models in PyTorch, float64, for the oracle to agree with.

Run by hand, on any machine with PyTorch; its output is committed. Inputs, weights and states are
short decimals; outputs, final states and every gradient follow with 17 digits. The loss is
1/2 sum |y - target|^2 / B ("mse"), sum y ("ones") or sum y target ("random").
"""
import argparse
import pathlib
import re

import torch
import torch.nn.functional as F

CASES = """
stack-identity/d2/w4/i3/b2/fp64/xavier/seed1
stack-sigmoid/d3/w5/i4/b3/fp64/xavier/seed1
stack-tanh/d3/w5/i7/b2/fp64/xavier/seed1
stack-relu/d3/w6/i5/b3/fp64/he/seed1
stack-leaky_relu/d2/w5/b3/fp64/he/alpha0.2/seed1
stack-maxout/d2/w5/i3/b3/fp64/lecun/seed1
stack-maxout/d2/w4/b2/fp64/lecun/pieces3/seed1
stack-relu+sigmoid/d3/w5/b3/fp64/he/seed1
stack-tanh+sigmoid/d2/w5/o3/b3/fp64/xavier/seed1
stack-tanh/d3/w5/i4/b2/fp64/xavier/residual/seed1
stack-relu/d3/w5/b3/fp64/he/residual/seed1
stack-sigmoid/d2/w5/b3/fp64/xavier/loss-ones/seed1
stack-tanh/d1/w1/b1/fp64/xavier/loss-random/seed1
rnn-tanh/d1/w5/i3/b2/t6/fp64/uniform/seed1
rnn-tanh/d2/w4/b3/t4/fp64/uniform/at-all/seed1
rnn-relu/d2/w5/i3/b2/t5/fp64/uniform/seed1
rnn-tanh/d1/w4/o2/b3/t4/fp64/uniform/at-all/seed1
lstm/d1/w5/i3/b2/t6/fp64/uniform/seed1
lstm/d2/w4/i5/b3/t4/fp64/uniform/at-all/seed1
lstm/d1/w4/o3/b2/t5/fp64/uniform/seed1
lstm/d1/w1/b1/t1/fp64/uniform/seed1
lstm/d1/w3/b2/t40/fp64/uniform/loss-random/seed1
gru/d1/w5/i3/b2/t6/fp64/uniform/seed1
gru/d2/w4/i5/b3/t4/fp64/uniform/at-all/seed1
gru/d1/w4/o3/b2/t5/fp64/uniform/at-all/seed1
gru/d1/w3/b2/t40/fp64/uniform/loss-ones/seed1
""".split()


class Case:
    """The parts of a case's name that matter here."""

    def __init__(self, name):
        self.name = name
        self.model, _, self.activation = name.split("/")[0].partition("-")
        self.activation, _, self.output_activation = self.activation.partition("+")
        self.depth, self.width = self.number("d"), self.number("w")
        self.input = self.number("i", self.width)
        self.output = self.number("o", 0)
        self.batch, self.steps = self.number("b"), self.number("t", 1)
        self.alpha = self.number("alpha", 0.01)
        self.pieces = int(self.number("pieces", 2))
        self.residual = "/residual" in name
        self.at_all = "/at-all" in name
        self.loss = re.search(r"/loss-(\w+)", name)[1] if "/loss-" in name else "mse"
        if not self.output_activation:
            self.output_activation = "identity" if self.output else self.activation

    def number(self, letter, default=None):
        found = re.search(rf"/{letter}([0-9.]+)(?=/)", self.name)
        if not found:
            return default
        return float(found[1]) if "." in found[1] else int(found[1])


def leaf(*shape, scale=1.0):
    """A random tensor of short decimals that wants a gradient."""
    values = (torch.randn(*shape, dtype=torch.float64) * scale).mul(1000).round().div(1000)
    return values.requires_grad_()


def activate(case, name, z):
    if name == "maxout":
        return z.reshape(z.shape[0], case.pieces, -1).max(1).values
    if name == "leaky_relu":
        return F.leaky_relu(z, case.alpha)
    return {"identity": lambda v: v, "sigmoid": torch.sigmoid, "tanh": torch.tanh,
            "relu": torch.relu}[name](z)


def dense(case, leaves, suffix, x, out, activation):
    """One layer: its weights join `leaves`."""
    rows = out * (case.pieces if activation == "maxout" else 1)
    weight = leaves[f"weight_{suffix}"] = leaf(rows, x.shape[-1], scale=x.shape[-1] ** -0.5)
    bias = leaves[f"bias_{suffix}"] = leaf(rows, scale=0.3)
    return activate(case, activation, F.linear(x, weight, bias))


def stack(case, leaves):
    x = leaves["x"] = leaf(case.batch, case.input)
    for i in range(case.depth):
        last = i == case.depth - 1 and not case.output
        y = dense(case, leaves, i, x, case.width,
                  case.output_activation if last else case.activation)
        x = y + x if case.residual and y.shape == x.shape else y
    if case.output:
        x = dense(case, leaves, "out", x, case.output, case.output_activation)
    return {"y": x}, x


def recurrent(case, leaves):
    kind = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[case.model]
    extra = {"nonlinearity": case.activation} if case.model == "rnn" else {}
    net = kind(case.input, case.width, case.depth, **extra).double()
    x = leaves["x"] = leaf(case.steps, case.batch, case.input)
    states = ["h", "c"] if case.model == "lstm" else ["h"]
    suffixes = [f"_l{i}" if case.depth > 1 else "" for i in range(case.depth)]
    start = {}
    for s in states:
        rows = [leaf(1, case.batch, case.width, scale=0.5) for _ in suffixes]
        leaves.update({f"{s}_0{suffix}": row for suffix, row in zip(suffixes, rows)})
        start[s] = torch.cat(rows)
    for name, parameter in net.named_parameters():
        with torch.no_grad():
            parameter.copy_(leaf(*parameter.shape, scale=0.8 * case.width ** -0.5))
        leaves[name] = parameter
    y, end = net(x, (start["h"], start["c"]) if len(states) > 1 else start["h"])
    out = {}
    for s, state in zip(states, end if len(states) > 1 else (end,)):
        out.update({f"{s}_n{suffix}": row for suffix, row in zip(suffixes, state)})
    seen = y if case.at_all else y[-1]
    if case.output:
        y = seen = dense(case, leaves, "out", seen, case.output, case.output_activation)
    out["y"] = y
    return out, seen


def write(stream, role, name, tensor):
    values = tensor.detach().reshape(-1).tolist()
    digits = "{:.17g}" if role == "expect" else "{:.4g}"
    stream.write(f"{role} {name} {len(values)}\n{' '.join(digits.format(v) for v in values)}\n")


def fixture(stream, name):
    case, leaves = Case(name), {}
    outputs, seen = (stack if case.model == "stack" else recurrent)(case, leaves)
    target = leaf(*seen.shape)
    if case.loss == "mse":
        loss = ((seen - target) ** 2).sum() / 2 / case.batch
    else:
        loss = seen.sum() if case.loss == "ones" else (seen * target).sum()
    loss.backward()
    stream.write(f"case {name}\n")
    if case.loss != "ones":
        write(stream, "given", "target", target)
    for key, tensor in leaves.items():
        write(stream, "given", key, tensor)
    for key, tensor in outputs.items():
        write(stream, "expect", key, tensor)
    for key, tensor in leaves.items():
        write(stream, "expect", f"d{key}", tensor.grad)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "pytorch.txt"
    parser.add_argument("--out", type=pathlib.Path, default=default)
    out = parser.parse_args().out
    torch.manual_seed(1)
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", encoding="ascii") as stream:
        stream.write(f"# PyTorch {torch.__version__}, float64, by scripts/fixtures.py\n")
        for name in CASES:
            fixture(stream, name)
    print(f"{out}: {len(CASES)} cases, {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
