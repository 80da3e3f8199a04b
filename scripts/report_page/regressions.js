/* What changed since a baseline, by the verdicts of scripts/compare.py. */
const CHANGE = {
  slower: "var(--c1)",
  missing: "var(--c6)",
  "cannot tell": "var(--c7)",
  same: "var(--c2)",
  faster: "var(--c0)",
  new: "var(--c5)"
};
const MOST_CHANGES = 30;
/* "rnn-tanh w8 b2 · cpu.avx2 train", where there is little room: the network, its sizes, where it ran. */
const THREE_LINES = "indexof(datum.label, ' ') < indexof(datum.label, ' · ') ? " +
    "[slice(datum.label, 0, indexof(datum.label, ' ')), slice(datum.label, indexof(datum.label, ' ') + 1, " +
    "indexof(datum.label, ' · ')), slice(datum.label, indexof(datum.label, ' · ') + 3)] : " + SPLIT;

function changeSection(keep) {
  if (!DATA.comparisons.length) return;
  const grid = part(
      "changes", "Changes since the baseline",
      "New time over old, with the 95 % interval: to the right of 1 is slower. A verdict needs a false-discovery rate of 5 % and an effect above the noise; all else is same, or cannot be told.",
      "grid one");
  grid.style.setProperty("--least", "100%");
  for (const comparison of DATA.comparisons) {
    const rows = comparison.measurements
                     .map(row => ({
                            ...CASES.get(row.case),
                            ...row,
                            plain_device: row.device,
                            base_ms: row.base && row.base * 1e3,
                            new_ms: row.new && row.new * 1e3
                          }))
                     .filter(keep);
    grid.append(make("p", {class: "note"}, make("b", {}, `${comparison.name}: `),
                     comparison.notes.map(words => words.replace(/\.?$/, ".")).join(" ")));
    if (comparison.curves.length)
      grid.append(sortable(
          [
            {key: "case", title: "case", kind: "case"}, {key: "device", title: "device"},
            {key: "reason", title: "gradient beyond its tolerance"}
          ],
          comparison.curves, {caption: "Gradients beyond their tolerance"}));
    if (!rows.length) continue;
    const word = labels(rows, ["kind"], ["device"]);
    const timed = rows.filter(row => finite(row.ratio))
                      .sort((a, b) => Math.abs(Math.log(b.ratio)) - Math.abs(Math.log(a.ratio)));
    const values = timed.slice(0, MOST_CHANGES)
                       .sort((a, b) => b.ratio - a.ratio)
                       .map(row => ({
                              ...row,
                              name: `${word(row)} · ${row.device} ${row.pass}`,
                              low: row.low ?? row.ratio,
                              high: row.high ?? row.ratio,
                              times: `${text(row.ratio, 4)} (${text(row.low, 3)} to ${text(row.high, 3)})`,
                              was: milliseconds(row.base),
                              is: milliseconds(row.new),
                              repeat: command(row)
                            }));
    const present = Object.keys(CHANGE).filter(verdict => values.some(value => value.verdict === verdict));
    const y = {
      field: "name",
      type: "nominal",
      sort: values.map(value => value.name),
      title: null,
      axis: {...nameAxis(), ...(narrow() ? {labelExpr: THREE_LINES, labelLimit: 190, labelFontSize: 11} : {})}
    };
    const x = field => ({
      field,
      type: "quantitative",
      title: "times the baseline's time",
      scale: {type: "log", base: 2, nice: false, padding: 12},
      axis: {format: "~g", tickCount: 6}
    });
    const columns = [
      {key: "case", title: "case", kind: "case"}, {key: "device", title: "device"},
      {key: "pass", title: "pass"}, {key: "verdict", title: "verdict"},
      {key: "ratio", title: "new / old", kind: "number"}, {key: "low", title: "from", kind: "number"},
      {key: "high", title: "to", kind: "number"}, {key: "base_ms", title: "old ms", kind: "number"},
      {key: "new_ms", title: "new ms", kind: "number"}, {key: "p", title: "p", kind: "number"},
      {key: "reason", title: "reason"}, {key: "repeat", title: "repeat", kind: "repeat"}
    ];
    if (values.length)
      figure(grid, {
        title: comparison.name,
        caption: timed.length > values.length ? `The ${values.length} farthest from 1, of ${timed.length}.` :
                                                "",
        columns,
        rows,
        spec: {
          height: 40 + (narrow() ? 48 : 20) * values.length,
          data: {values},
          encoding: {
            y,
            color: {
              field: "verdict",
              type: "nominal",
              scale: {domain: present, range: present.map(verdict => CHANGE[verdict])},
              legend: {title: null, orient: "bottom", symbolType: "circle"}
            }
          },
          layer: [
            {
              data: {values: [{one: 1}]},
              mark: {type: "rule", strokeDash: [4, 3]},
              encoding: {x: x("one"), y: null, color: null}
            },
            {mark: {type: "rule", strokeWidth: 2}, encoding: {x: x("low"), x2: {field: "high"}}}, {
              mark: {type: "point", filled: true, size: 70, opacity: 1},
              encoding: {
                x: x("ratio"),
                tooltip: tooltip([
                  ["case", "case"], ["device", "device"], ["pass", "pass"], ["verdict", "verdict"],
                  ["reason", "reason"], ["times", "new / old"], ["was", "old ms"], ["is", "new ms"],
                  ["repeat", "repeat with"]
                ])
              }
            }
          ]
        }
      });
    else
      grid.append(sortable(columns, rows, {caption: comparison.name}));
  }
}
