"""The page's first sentences: what stands in the tables, in plain words."""
import numpy
import pandas

NOT_COMPARED = {"ref", "null"}  # devices that are there for checking
MOST = 8
WHERE = {"depth": ("layer", "layers"), "time": ("step", "steps")}


def joined(words):
    words = list(words)
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def counted(count, one, many=None):
    return f"{count:,} {one if count == 1 else many or one + 's'}"


SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power(log10):
    """10^log10 as people write it."""
    if not numpy.isfinite(log10):
        return "nothing" if log10 < 0 else "no finite number"
    return f"{10 ** log10:.3g} times" if -3 < log10 < 3 else "10" + f"{log10:.0f}".translate(SUPERSCRIPT)


def gradient_sentence(row):
    one, many = WHERE[row.direction]
    length = int(row.depth if row.direction == "depth" else row.seq_len)
    text = {"vanishing": f"vanishes: at the far end {power(row.log10_ratio)} of it is left",
            "exploding": f"explodes to {power(row.log10_ratio)} of itself",
            "stable": f"travels all the way ({power(row.log10_ratio)} of itself at the far end)",
            "dead": "is dead: it is exactly zero at the far end",
            "overflow": "overflows: it is not finite at the far end"}.get(row.verdict, row.verdict)
    if row.verdict == "vanishing" and row.reach >= 0:
        text += f", under 1/1000 after {counted(int(row.reach) + 1, one, many)}"
    if row.verdict in ("vanishing", "exploding") and row.rate > 0:
        text += f", ×{row.rate:.3g} a {one}"
    return f"{counted(length, one, many)}: the gradient {text}."


def gradients(decay, cases):
    """For each kind of network the plainest case (no remedy) that is deepest or longest, worst first."""
    rows = decay.merge(cases, on="case")
    rows = rows[~rows.plain_device.isin({"null"})]
    along = rows.model.where(rows.model == "stack", "time").replace("stack", "depth")
    rows = rows[rows.direction == along]
    rows = rows.assign(length=rows.seq_len.where(rows.direction == "time", rows.depth), layer=rows.layer.fillna(0),
                       oracle=rows.plain_device.isin(NOT_COMPARED))
    rows = rows[rows.length.notna()]  # a name that says no size is none of ours
    rows = rows.sort_values(["plain", "length", "oracle"], ascending=[False, False, True], kind="stable")
    rows = rows.drop_duplicates("kind").sort_values("log10_ratio", key=abs, ascending=False, kind="stable")
    for row in rows.head(MOST).itertuples():
        yield {"kind": row.verdict, "lead": f"{row.kind} ({row.init}, {row.dtype})", "text": gradient_sentence(row)}


def main_pass(rows):
    return next((name for name in ("train", "bwd", "fwd") if f"{name}_time" in rows), None)


SETTING = ["threads", "bind", "denormals"]


def opened(rows):
    """The rows with the settings of a kind of device (cpu, cuda) that ran with one alone replaced by each that
    the others ran the case with: a GPU's one thread is not what a processor's are."""
    kind = rows.plain_device.str.extract(r"^(\w*)")[0] + [
        device.removeprefix(plain) for device, plain in zip(rows.device, rows.plain_device)]
    alone = kind.map(rows.groupby(kind).apply(lambda of_kind: len(of_kind[SETTING].drop_duplicates()) == 1))
    others = rows[~alone]
    settings = others[["case", *SETTING]].drop_duplicates()
    return pandas.concat([others, rows[alone].drop(columns=SETTING).merge(settings, on="case", how="left")])


def speed(rows, cases):
    """The fastest device, over the cases that several devices ran, and the nearest to the peak."""
    name = main_pass(rows)
    rows = rows[~rows.plain_device.isin(NOT_COMPARED)]
    if name is None or rows.empty:
        return
    rows = rows[rows[f"{name}_time"].notna()].copy()
    if rows.empty:
        return
    best = opened(rows).groupby(["case", *SETTING, "device"], sort=False, dropna=False)[f"{name}_time"].min().unstack("device")
    shared = best[best.notna().sum(axis=1) > 1]
    if not shared.empty:
        wins = shared.idxmin(axis=1).value_counts()
        others = []
        for device in shared.columns.drop(wins.index[0]):
            ratio = numpy.exp(numpy.log(shared[device] / shared[wins.index[0]]).mean())
            if numpy.isfinite(ratio):
                others.append(f"{ratio:.2f} × {device}")
        yield {"kind": "speed", "lead": wins.index[0],
               "text": f"was fastest in {wins.iloc[0]:,} of {counted(len(shared), 'case')} that several devices "
                       f"ran: {joined(others)} (geometric mean, {name})."}
    share = rows[f"{name}_peak"]
    if share.notna().any():
        row = rows.loc[share.idxmax()]
        yield {"kind": "speed", "lead": row.device,
               "text": f"comes to {share.max():.0f} % of its measured peak of {row.peak_gflop:.0f} GFLOP/s at best "
                       f"({row.case})."}


def failures(rows):
    bad = rows[~rows.status.isin({"ok", "unsupported"})]
    if not bad.empty:
        kinds = bad.status.value_counts()
        yield {"kind": "failed", "lead": counted(len(bad), "failure"),
               "text": "of " + counted(len(rows), "measurement") + ": "
                       + joined(f"{count} {status}" for status, count in kinds.items()) + "."}


def summary(rows, decay, cases):
    return [*failures(rows), *gradients(decay, cases), *speed(rows, cases)]
