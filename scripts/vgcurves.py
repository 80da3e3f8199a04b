"""Gradient norm curves of two runs beside each other, within the tolerances of vgtolerance."""
import math
import types

import numpy

import vgtolerance

POINT = ["case", "device", "denormals", "tensor", "layer", "step"]
CURVES = ["case", "device", "denormals"]
SHAPE = ["model", "dtype", "depth", "width", "input", "seq_len", "batch"]


class Tolerance:
    """Of one case: from its shape, the least mean |f'| that was seen, and the rate that theory
    predicts (nan: not known)."""

    def __init__(self, case, shape, derivative, rate):
        self.shape, self.derivative = shape, derivative
        self.kink = vgtolerance.is_kinked(case)
        self.stack = shape.model == "stack"
        self.forward = shape.depth if self.stack else shape.seq_len
        eps = vgtolerance.EPS["fp32" if shape.dtype == "fp64" else shape.dtype]
        self.divergence = math.log(1 / eps) / math.log(rate) if rate > 1 else math.inf

    def at(self, layer=math.inf, step=math.nan):
        """Of a norm that stands so far from the loss; without a layer, of the way forward."""
        shape = self.shape
        far = self.forward
        if not math.isinf(layer):
            steps = shape.seq_len - (0 if math.isnan(step) else step)
            far = shape.depth - min(layer, shape.depth) + 1 + (0 if self.stack else steps)
        if max(far, self.forward) > self.divergence:
            return vgtolerance.chaos(max(far, self.forward), shape.width, shape.batch, self.derivative)
        reduction = max(shape.input, shape.width) * shape.seq_len * shape.depth
        return vgtolerance.norm(shape.dtype, self.kink, reduction, far, self.derivative)


def _tolerance(results, side, curve):
    """The Tolerance of a curve, from the side that is taken as right; None where no row says of
    what shape the case is."""
    rows = results.results
    rows = rows[(rows.case == curve[0]) & rows.width.notna()]
    if rows.empty:
        return None
    shape = types.SimpleNamespace(**rows.iloc[0][SHAPE])
    if shape.dtype not in vgtolerance.EPS:
        return None
    seen = side.mean_abs_derivative[(side.mean_abs_derivative > 0) & (side.mean_abs_derivative < 1)]
    decay = results.decay
    direction = "depth" if shape.model == "stack" else "time"
    rates = decay[(decay.case == curve[0]) & (decay.direction == direction)].predicted_rate.dropna()
    return Tolerance(curve[0], shape, seen.min() if len(seen) else 1.0, rates.max() if len(rates) else 1.0)


def _norms(side):
    """log10 of every norm: the exact reading where there is one, which no format's end cuts."""
    return side.log10_norm_exact.fillna(side.log10_norm)


def _worst(base, new, tolerance):
    """(error / tolerance, what) of the two curves' worst point: nan where one is and the other is not."""
    worst, where = 0.0, ""
    points = (zip(base.ln, new.ln), zip(base.census, new.census))
    for (_, _, _, tensor, layer, step), norms, census in zip(base.index, *points):
        for what, (a, b), limit in (("ln of the norm", norms, tolerance.at(layer, step)),
                                    ("ln of mean |f'|", census, tolerance.at())):
            error = 0.0 if a == b or (math.isnan(a) and math.isnan(b)) else abs(a - b)
            if not error / limit <= worst:
                worst = math.inf if math.isnan(error) else float(error / limit)
                at = f"{tensor}, layer {layer:g}" + ("" if math.isnan(step) else f", step {step:g}")
                where = f"{at}: {what} {b:.7g}, was {a:.7g}, tolerance {limit:.2g}"
    return worst, where


def _indexed(rows):
    rows = rows.drop_duplicates(POINT)  # the same in every run of a build
    with numpy.errstate(divide="ignore"):
        census = numpy.log(rows.mean_abs_derivative)
    return rows.assign(ln=_norms(rows) * math.log(10), census=census).set_index(POINT)


def compare(base, new):
    """A dict for each curve that both sides have: its key, `verdict` (same, differs), `worst`
    (error as a multiple of its tolerance), `points`, and a `reason`."""
    rows = []
    new_curves = dict(list(new.gradients.groupby(CURVES, sort=False)))
    for curve, side in base.gradients.groupby(CURVES, sort=False):
        tolerance = _tolerance(base, side, curve) if curve in new_curves else None
        if tolerance is None:
            continue
        a, b = _indexed(side), _indexed(new_curves[curve])
        common = a.index.intersection(b.index)
        worst, reason = _worst(a.loc[common], b.loc[common], tolerance)
        if len(common) < max(len(a), len(b)):
            worst, reason = math.inf, f"{len(a)} points in BASE, {len(b)} in NEW"
        rows.append({**dict(zip(CURVES, curve)), "verdict": "same" if worst <= 1 else "differs",
                     "worst": worst, "points": len(common), "reason": "" if worst <= 1 else reason})
    return rows
