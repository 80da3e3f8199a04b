/* A heat map of verdicts over depth and over sequence length. */
function verdictSection(keep) {
  const grid = part(
      "verdicts", "Verdicts",
      "What is left of the gradient at the far end, as a power of ten: stable between 1/1000 and 1000 times. Where several measurements share a cell, the one farthest from 1.",
      "grid one");
  grid.style.setProperty("--least", "100%");
  let any = false;
  for (const direction of ["depth", "time"]) {
    const length = direction === "time" ? "seq_len" : "depth";
    const rows =
        DECAY.filter(row => row.direction === direction && (row.model === "stack" || direction === "time") &&
                         keep(row) && finite(row[length]) && row.plain_device !== "null");
    if (!rows.length) continue;
    any = true;
    const word = labels(rows, ["kind"], [length, "device", "layer", "width", "batch", "input", "output"]);
    const size = row => finite(row.log10_ratio) ? Math.abs(row.log10_ratio) : Infinity;
    const cells = [...groupBy(rows, row => `${word(row)} ${row[length]}`).values()].map(group => {
      const worst = group.reduce((a, b) => size(b) > size(a) ? b : a);
      const ratio = worst.log10_ratio;
      return {
        ...worst,
        row: word(worst),
        length: worst[length],
        count: group.length,
        ratio: norm(ratio),
        repeat: command(worst),
        short: !finite(ratio)   ? (ratio === "-inf" ? "0" : worst.verdict) :
            Math.abs(ratio) <= 3 ? text(10 ** ratio, 2) :
                                  `10${superscript(Math.round(ratio))}`,
        rateText: text(worst.rate),
        halfText: text(worst.half_life)
      };
    });
    const order = unique(cells.map(cell => cell.row)), shown = new Set(order.slice(0, 40));
    const values = cells.filter(cell => shown.has(cell.row));
    const unit = direction === "time" ? "step" : "layer";
    const at = {
      x: {
        field: "length",
        type: "ordinal",
        title: direction === "time" ? "sequence length" : "depth",
        axis: {labelAngle: 0, orient: "top"}
      },
      y: {field: "row", type: "nominal", sort: order, title: null, axis: nameAxis()}
    };
    figure(grid, {
      title: direction === "time" ? "Recurrent nets over sequence length" : "Stacks over depth",
      caption: order.length > shown.size ?
          `${shown.size} of ${order.length} networks; the filters choose others.` :
          "",
      columns: [
        {key: "case", title: "case", kind: "case"}, {key: "device", title: "device"},
        {key: "verdict", title: "verdict", kind: "verdict"},
        {key: "ratio", title: "left at the far end", kind: "number", sort: "log10_ratio"},
        {key: "rate", title: `rate a ${unit}`, kind: "number"}
      ],
      rows: values,
      spec: {
        height: (narrow() ? 38 : 30) * shown.size + 60,
        data: {values},
        encoding: at,
        layer: [
          {
            mark: {type: "rect", stroke: "var(--paper)", strokeWidth: 2},
            encoding: {
              color: {
                field: "verdict",
                type: "nominal",
                scale: {domain: VERDICTS, range: VERDICTS.map(v => `var(--${v})`)},
                legend: {
                  title: null,
                  orient: "bottom",
                  symbolType: "square",
                  symbolStrokeWidth: 0,
                  symbolSize: 200,
                  columns: narrow() ? 2 : 5,
                  values: VERDICTS.filter(v => values.some(cell => cell.verdict === v))
                }
              },
              tooltip: tooltip([
                ["case", "case"], ["verdict", "verdict"], ["ratio", "left at the far end"],
                ["rateText", `rate a ${unit}`], ["halfText", "half-life"], ["device", "device"],
                ["count", "measurements in this cell"], ["repeat", "repeat with"]
              ])
            }
          },
          {mark: {type: "text", tooltip: null}, encoding: {text: {field: "short"}}}
        ]
      }
    });
  }
  if (!any) grid.closest("section").remove();
}
