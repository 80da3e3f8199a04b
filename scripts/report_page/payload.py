"""What the page draws from, as compact JSON: tables by column, repeated texts by number.

A frame's column becomes a list of numbers (six digits, null where not known, "inf", "-inf" and "nan"
spelled so) or {"names": [...], "at": [...]}, a list of distinct texts and where each row finds its own.
A column of one value is {"all": value, "count": rows}; a column of names that stand in another table
already, {"at": [...]}.
"""
import json
import math

import numpy
import pandas

DIGITS = 6


def number(value):
    """A JSON value of six digits; None where it is not known."""
    if isinstance(value, (int, numpy.integer)):
        return int(value)
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def column(series):
    if len(series) > 1 and series.nunique(dropna=False) == 1:
        value = series.iloc[0]
        return {"all": value if isinstance(value, str) else number(value), "count": len(series)}
    if pandas.api.types.is_numeric_dtype(series):
        return [number(value) for value in series.tolist()]
    codes, names = pandas.factorize(series.fillna("").astype(str))
    return {"names": list(names), "at": codes.tolist()}


def columns(frame, **known):
    """known: for a column's name, the texts of which it is made, in their order."""
    return {name: {"at": pandas.Index(known[name]).get_indexer(frame[name]).tolist()} if name in known
            else column(frame[name]) for name in frame}


def head(table, count):
    """The first rows of what columns() made."""
    return {name: value[:count] if isinstance(value, list) else {**value, "count": count} if "all" in value
            else {**value, "at": value["at"][:count]} for name, value in table.items()}


def dump(value):
    """JSON that may stand in a <script>: no `<`, `>`, `&`, nor a line end that JavaScript knows."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
