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
        return {**out, "counts": {}, "regressed": 0, "notes": [str(error)], "measurements": [], "curves": []}
    rows = [{**{key: one[key] for key in ("case", "device", "pass", "threads", "bind", "denormals", "verdict", "reason",
                                          "ratio")},
             "base": one["base"] and one["base"]["time_s"], "new": one["new"] and one["new"]["time_s"],
             "low": one["interval"] and one["interval"][0], "high": one["interval"] and one["interval"][1],
             "p": one["p_adjusted"]} for one in found["measurements"]]
    differing = [{key: curve.get(key, "") for key in ("case", "device", "reason")} for curve in found["gradients"]
                 if curve["verdict"] == "differs"]
    sentence = (f"Gradient norms: {len(found['gradients']) - len(differing)} of {len(found['gradients'])} curves within "
                "tolerance.")
    return {**out, "counts": {key: n for key, n in found["counts"].items() if n}, "regressed": int(found["regressed"]),
            "notes": [sentence, *found["notes"]], "measurements": rows, "curves": differing}


def sentences(comparisons):
    """For the page's summary; why a folder has no comparison stands in its section."""
    compared_ones = [one for one in comparisons if one["counts"]]
    for one in compared_ones:
        counts = ", ".join(f"{n} {verdict}" for verdict, n in one["counts"].items())
        yield {"kind": "failed" if one["regressed"] else "stable", "lead": one["name"] + ":",
               "text": f"a regression: {counts}." if one["regressed"] else f"no regression: {counts}."}
    missing = len(comparisons) - len(compared_ones)
    if missing:
        yield {"kind": "failed", "lead": "No comparison", "text": f"for {missing} of {len(comparisons)} folders."}
