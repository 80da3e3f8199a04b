/* Remedies, as small multiples. */
/* "+31" of a ratio of 1.31. */
function percentMore(ratio) {
  const percent = Math.round(100 * (ratio - 1));
  return (percent < 0 ? "−" : "+") + text(Math.abs(percent));
}

/* The same network with another initialiser, residual, clip or forget bias. */
function remedySection(keep) {
  const base = curve => [curve.kind, `d${curve.depth}`, `w${curve.width}`, `b${curve.batch}`,
                         curve.seq_len ? `t${curve.seq_len}` : "", curve.dtype]
                            .filter(Boolean)
                            .join(" ");
  const all = CURVES.filter(curve => curve.tensor === "dh" && keep(curve) &&
                                curve.direction === (curve.model === "stack" ? "depth" : "time"));
  const groups = [
    ...groupBy(chosen(all.filter(c => c.direction === "depth"), "depth", {
                 lengths: "all"
               }).out.concat(chosen(all.filter(c => c.direction === "time"), "time", {lengths: "all"}).out),
               base)
  ].filter(([, curves]) => unique(curves.map(curve => `${curve.init} ${curve.extra}`)).length > 1);
  if (!groups.length) return;
  const grid = part(
      "remedies", "Remedies",
      "The same network with another initialiser, a residual, a clip or a forget bias: how far each carries the gradient, and what a pass costs beside the plainest.");
  for (const [name, curves] of groups.slice(0, MOST_PANELS)) {
    const ordered = [...curves].sort(plainFirst).slice(0, MOST_CURVES);
    const times =
        new Map(ordered.map(curve => [curve,
                                      ROWS.find(row => row.case === curve.case &&
                                                    row.device === curve.device && row.status === "ok")]));
    const pass = PASSES.find(p => ordered.every(curve => finite(times.get(curve)?.[`${p}_time`])));
    const cost = curve => pass && curve !== ordered[0] ?
        ` (${pass} ${
            percentMore(times.get(curve)[`${pass}_time`] / times.get(ordered[0])[`${pass}_time`])} %)` :
        "";
    const word = labels(ordered, ["init"], ["kind"]);
    const {values, spec} =
        curveSpec(ordered, curve => word(curve) + cost(curve), ordered[0].direction, {legend: {columns: 1}});
    figure(grid,
           {title: name, caption: `On ${ordered[0].device}.`, spec, columns: CURVE_COLUMNS, rows: values});
  }
  if (groups.length > MOST_PANELS)
    grid.after(note(`${MOST_PANELS} of ${groups.length} networks are drawn; the filters choose others.`));
}
