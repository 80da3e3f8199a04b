"""How far the norms of a whole net may be from the reference: the formulas of include/vg/tolerance.h once
more, for scripts that compare files. Needs no package.
"""
import math

KINKED = {"relu", "leaky_relu", "maxout"}
EPS = {"fp64": 2.0**-52, "fp32": 2.0**-23, "tf32": 2.0**-10, "bf16": 2.0**-8}


def is_kinked(case):
    """Whether an activation in the case's name has a kink."""
    return bool(KINKED & set(case.split("/")[0].replace("+", "-").split("-")))


def norm(dtype, kink, reduction, passed, derivative):
    """|ln| of the ratio of two norms; vg_tolerance_norm."""
    least = 0.02 if kink or dtype in ("tf32", "bf16") else 1e-12 if dtype == "fp64" else 1e-5
    slope = derivative if 0 < derivative < 1 else 1
    return max(least, 4 * EPS[dtype] * (1 + math.ceil(math.log2(reduction))) * max(passed, 1) / slope)


def chaos(layers, width, batch, derivative):
    """The same beyond the depth at which chaos parts two correct devices; vg_tolerance_chaos."""
    return max(0.5, 2 * math.sqrt(3 * layers * (3 / derivative - 1) / width / batch))
