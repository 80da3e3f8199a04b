"""Gradient norms over depth and over time, thinned to what a screen shows."""
import numpy
import pandas

TENSORS = ["dh", "dc", "dweight", "dweight_hh"]
KEYS = ["case", "device", "plain_device", "denormals", "tensor", "direction", "layer"]
VALUES = ["log10_norm_exact", "log10_norm", "predicted_log10_norm"]
MOST, FEWEST = 240, 8  # points of a curve: a panel is some 400 pixels wide


def curves(gradients):
    """A frame of single points, each with the number of its curve, and a frame of the curves.

    x counts layers or steps back from the loss, so that 0 is where the gradient enters. Over depth
    stand the norms over all steps; over time a curve for each layer.
    """
    rows = gradients[gradients.tensor.isin(TENSORS)]
    time = rows.step.notna()
    rows = rows.assign(direction=numpy.where(time, "time", "depth"), place=rows.step.where(time, rows.layer),
                       layer=rows.layer.where(time))
    rows = rows[rows.place.notna()]
    groups = rows.groupby(KEYS, dropna=False, sort=False)
    rows = rows.assign(curve=groups.ngroup())
    rows["x"] = (rows.groupby("curve").place.transform("max") - rows.place).astype(int)
    rows = rows.sort_values(["curve", "x"], kind="stable")
    heads = rows.drop_duplicates("curve")[["curve", *KEYS]].set_index("curve")
    several = rows.curve.value_counts() > 1
    heads = heads[heads.index.map(several)]
    return rows[rows.curve.isin(heads.index)][["curve", "x", *VALUES]], heads


def thin(x, y, most):
    """Indices of at most `most` points that keep the shape of y over x: largest-triangle-three-buckets
    (Steinarsson 2013), with both ends. Points that are not finite count as the lowest there is."""
    if len(x) <= most:
        return numpy.arange(len(x))
    finite = numpy.isfinite(y)
    y = numpy.where(finite, y, y[finite].min() if finite.any() else 0)
    edges = numpy.linspace(1, len(x) - 1, most - 1).astype(int)
    chosen = [0]
    for first, last, after in zip(edges, edges[1:], [*edges[2:], len(x)]):
        here = slice(first, last)
        ahead = slice(last, max(after, last + 1))
        ax, ay, cx, cy = x[chosen[-1]], y[chosen[-1]], x[ahead].mean(), y[ahead].mean()
        area = abs((ax - cx) * (y[here] - ay) - (ax - x[here]) * (cy - ay))
        chosen.append(first + int(area.argmax()))
    return numpy.array([*chosen, len(x) - 1])


def thinned(points, most):
    """The points that are drawn: of each curve at most `most` by its exact reading, and the last one
    that the dtype held."""
    kept = []
    for _, curve in points.groupby("curve", sort=False):
        taken = set(thin(curve.x.to_numpy(float), curve.log10_norm_exact.to_numpy(float), most).tolist())
        held = numpy.flatnonzero(numpy.isfinite(curve.log10_norm.to_numpy(float)))
        if 0 < len(held) < len(curve):
            taken.add(int(held[-1]))
        kept.append(curve.iloc[sorted(taken)])
    return pandas.concat(kept) if kept else points
