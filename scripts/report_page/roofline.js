/* The roofline: work for each byte against speed, under the measured peaks. */
const ROOF_HEIGHT = 300, LINE_HEIGHT = 15;  // pixels

/* A device's roofs at one number of threads: its compute peak, and the bandwidths of what it measured. */
function roofs(row) {
  const {compute, levels} = DATA.runs[row.run].roofs[row.plain_device] ?? {};
  const same = Math.abs(Math.log(compute / row.peak_gflop)) < .3;  // or it was measured on other threads
  return same && levels.length ? levels : finite(row.peak_gb) ? [["memory", row.peak_gb]] : [];
}

/* What stands at the left end of each slope; slopes with no room for words between them share one. */
function roofNames(slopes, low, least, top) {
  const out = [];
  for (const [level, gb] of slopes) {
    const word = `${level} ${text(gb, 3)} GB/s`, last = out[out.length - 1];
    const apart = last ? ROOF_HEIGHT * Math.log(last.gb / gb) / Math.log(top / least) : Infinity;
    if (apart < LINE_HEIGHT)
      Object.assign(last, {text: `${last.text.replace(/ GB\/s$/, "")}, ${word}`, gb});
    else
      out.push({text: word, x: Math.max(low, least / gb), y: Math.max(least, gb * low), gb});
  }
  return out;
}

function roofSection(keep) {
  const pass = SPEED.pass;
  const rows = timed(keep, pass)
                   .filter(row => !CHECKING.has(row.plain_device) && finite(row.peak_gflop) &&
                               row[`${pass}_bytes`] > 0);
  const groups = [...groupBy(rows,
                             row => `${row.device}${
                                 unique(rows.map(r => r.threads)).length > 1 ?
                                     `, ${row.threads === 1 ? "1 thread" : `${row.threads} threads`}` :
                                                              ""                         }`)];
  if (!groups.length) {
    document.getElementById("roofline")?.remove();
    return;
  }
  groups.sort(([, a], [, b]) => b.length - a.length);
  const grid = part(
      "roofline", "Roofline",
      `Work for each byte that a ${
          pass} pass must move at least, against the speed it reached. The roofs are measured: the flat one is compute, the slopes are memory and caches. Above a slope, the data came from a nearer level.`);
  grid.style.setProperty("--least", "460px");
  for (const [name, mine] of groups.slice(0, MOST_PANELS)) {
    const values = evenly(mine, MOST_POINTS)
                       .map(row => ({
                              series: row.kind,
                              x: row[`${pass}_flop`] / row[`${pass}_bytes`],
                              y: METRICS.gflop.of(row, pass),
                              case: row.case,
                              speed: `${text(METRICS.gflop.of(row, pass))} GFLOP/s`,
                              work: `${text(row[`${pass}_flop`] / row[`${pass}_bytes`])} FLOP/byte`,
                              share: finite(row[`${pass}_peak`]) ? `${text(row[`${pass}_peak`], 3)} %` : "",
                              repeat: command(row)
                            }));
    const top = Math.max(...mine.map(row => row.peak_gflop)), slopes = roofs(mine[0]);
    const low = Math.min(...values.map(value => value.x), ...slopes.map(([, gb]) => top / gb)) / 2,
          high = Math.max(...values.map(value => value.x), ...slopes.map(([, gb]) => top / gb)) * 2;
    const least = Math.min(top / 10, ...values.map(value => value.y / 2));
    const highest = top * 1.6, decades = (from, to) => Math.log10(to / from);
    const lines =
        slopes.flatMap(([level, gb]) => [{level, x: Math.max(low, least / gb), y: Math.max(least, gb * low)},
                                         {level, x: top / gb, y: top}]);
    const names = roofNames(slopes, low, least, highest);
    const x = {
      field: "x",
      type: "quantitative",
      title: "FLOP per byte",
      scale: {type: "log", nice: false, domain: [low, high]},
      axis: {format: "~g", values: ticks(low, high)}
    };
    const y = {
      field: "y",
      type: "quantitative",
      title: "GFLOP/s",
      scale: {type: "log", nice: false, domain: [least, highest]},
      axis: {format: "~g", values: ticks(least, highest)}
    };
    const roof = {x, y, color: null};
    figure(grid, {
      title: name,
      caption: mine.length > values.length ?
          `${values.length} of ${mine.length.toLocaleString("en")} points; the filters choose others.` :
          "",
      columns: [
        {key: "case", title: "case", kind: "case"}, {key: "x", title: "FLOP/byte", kind: "number"},
        {key: "y", title: "GFLOP/s", kind: "number"}, {key: "share", title: "% of peak", kind: "number"}
      ],
      rows: values,
      spec: {
        height: ROOF_HEIGHT,
        data: {values},
        encoding: {x, y},
        layer: [
          {
            data: {
              values: [{x: Math.min(...slopes.map(([, gb]) => top / gb), high), y: top}, {x: high, y: top}]
            },
            mark: {type: "line", color: "var(--ink)", strokeWidth: 2},
            encoding: roof
          },
          ...(!slopes.length ? [] : [{
            data: {values: lines},
            mark: {type: "line", color: "var(--soft)", strokeWidth: 1.5},
            encoding: {...roof, detail: {field: "level"}}
          }]),
          {
            data: {values: [{x: high, y: top, text: `compute ${text(top, 3)} GFLOP/s`}]},
            mark: {type: "text", align: "right", dy: -8, fontSize: 11},
            encoding: {...roof, text: {field: "text"}}
          },
          ...(!slopes.length ? [] : [{
            data: {values: names},
            mark: {
              type: "text",
              align: "left",
              dx: 5,
              dy: -3,
              fontSize: 10.5,
              color: "var(--soft)",
              angle: {  // of a slope of 1
                expr: `-atan2(height / ${decades(least, highest)}, width / ${decades(low, high)}) * 180 / PI`
              },
              baseline: "bottom"
            },
            encoding: {...roof, text: {field: "text"}}
          }]),
          {
            mark: {type: "point", filled: true, size: 60, opacity: .9, clip: true},
            encoding: {
              color: colourOf(unique(mine.map(row => row.kind)).sort(), {symbolType: "circle"}, KINDS),
              tooltip: tooltip([
                ["case", "case"], ["speed", "speed"], ["work", "work"], ["share", "of peak"],
                ["repeat", "repeat with"]
              ])
            }
          }
        ]
      }
    });
  }
  if (groups.length > MOST_PANELS)
    grid.after(note(`${MOST_PANELS} of ${groups.length} devices are drawn; the filters choose others.`));
}
