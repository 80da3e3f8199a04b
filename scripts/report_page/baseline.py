"""Each folder beside a baseline, by the rules of scripts/compare.py."""
import json
import pathlib

import compare
import vgverdicts


def compared(baseline, folder):
    """A comparison as the page wants it: a name, sentences, and a row for each measurement and for each
    gradient curve beyond its tolerance. vgresults.Malformed where a file is."""
    out = {"name": f"{pathlib.Path(folder).resolve().name} beside {pathlib.Path(baseline).resolve().name}"}
    try:
        options = compare.parse([str(baseline), str(folder), "--format=json"])
        found = json.loads(compare.compare(options)[1]["json"]())
    except vgverdicts.NotComparable as error:
        return {**out, "comparable": 0, "counts": {}, "regressed": 0, "notes": [str(error)], "measurements": [], "curves": []}
    rows = [{**{key: one[key] for key in ("case", "device", "pass", "threads", "bind", "denormals", "verdict", "reason")},
             "ratio": one.get("ratio"),
             "base": one["base"] and one["base"]["time_s"], "new": one["new"] and one["new"]["time_s"],
             "low": one["interval"] and one["interval"][0], "high": one["interval"] and one["interval"][1],
             "p": one.get("p_adjusted")} for one in found["measurements"]]
    differing = [{key: curve.get(key, "") for key in ("case", "device", "reason")} for curve in found["gradients"]
                 if curve["verdict"] == "differs"]
    curves = len(found["gradients"])
    sentence = (f"Gradient norms: {curves - len(differing)} of {curves} curves within tolerance." if curves else
                "Gradient norms: no curve on both sides.")
    return {**out, "comparable": 1, "counts": {key: n for key, n in found["counts"].items() if n}, "regressed": int(found["regressed"]),
            "notes": [sentence, *found["notes"]], "measurements": rows, "curves": differing}


def sentences(comparisons):
    """For the page's summary; why a folder has no comparison stands in its section."""
    compared_ones = [one for one in comparisons if one["comparable"]]
    for one in compared_ones:
        counts = ", ".join(f"{n} {verdict}" for verdict, n in one["counts"].items())
        told = one["counts"].keys() & {"same", "faster"} or not counts
        yield {"kind": "failed" if one["regressed"] else "stable" if told else "unknown", "lead": one["name"] + ":",
               "text": f"{'a regression' if one['regressed'] else 'no regression' if told else 'nothing can be told'}: "
                       f"{counts or one['notes'][0].removesuffix('.')}."}
    missing = len(comparisons) - len(compared_ones)
    if missing:
        yield {"kind": "failed", "lead": "No comparison", "text": f"for {missing} of {len(comparisons)} folders."}
