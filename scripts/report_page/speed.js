/* How fast: throughput over each axis, and devices side by side. */
const METRICS = {
  gflop: {
    title: "GFLOP/s",
    of: (row, pass) => row[`${pass}_flop`] / row[`${pass}_time`] / 1e9,
    span: (row, pass) => ["high", "low"].map(end => row[`${pass}_flop`] / row[`${pass}_${end}`] / 1e9)
  },
  items: {
    title: "samples or tokens per second",
    of: (row, pass) => row[`${pass}_items`] / row[`${pass}_time`],
    span: (row, pass) => ["high", "low"].map(end => row[`${pass}_items`] / row[`${pass}_${end}`])
  },
  peak: {
    title: "% of measured peak",
    of: (row, pass) => row[`${pass}_peak`],
    span: (row, pass) => [row[`${pass}_peak`], row[`${pass}_peak`]]
  },
  time: {
    title: "milliseconds a pass",
    of: (row, pass) => row[`${pass}_time`] * 1e3,
    span: (row, pass) => ["low", "high"].map(end => row[`${pass}_${end}`] * 1e3)
  },
};
const MOST_POINTS = 500;  // of a panel
const MOST_LINES = 40;
const AXES = {
  depth: "depth",
  seq_len: "sequence length",
  width: "width",
  batch: "batch"
};
const SPEED = {
  metric: "gflop",
  pass: PASSES[0],
  reference: null
};

const timed = (keep, pass) => ROWS.filter(row => row.status === "ok" && finite(row[`${pass}_time`]) &&
                                              keep(row) && row.plain_device !== "null");

/* Settings that a device was measured with in more than one way: one that it has a single way of (a GPU's
 * number of threads) is none to tell its rows apart by, nor from those of other devices. */
const VARIES = new Map([...groupBy(ROWS.filter(row => row.status === "ok"), row => row.device)].map(
    ([device, rows]) =>
        [device, SETTINGS_COLUMNS.filter(key => unique(rows.map(row => row[key])).length > 1)]));
const settingOf = (row, but = "") =>
    VARIES.get(row.device).filter(key => key !== but).map(key => `${key} ${row[key]}`).join(" ");

/* Rows that differ in nothing but `axis` and where they ran. */
const restOf = (row, axis, setting = settingOf(row)) =>
    PARTS.filter(([key]) => key !== axis && key !== "device" && !SETTINGS_COLUMNS.includes(key) &&
                     !(key === "input" && axis === "width"))
        .map(([key, write]) => row[key] === null || row[key] === undefined ? "" : write(row[key]))
        .concat(setting)
        .join(" ");

/* Groups of rows of one case on several devices: alike in the settings that both have several of, each
 * device with its best where the other has but one. */
function besideEachOther(rows, pass) {
  const out = [];
  for (const mine of groupBy(rows, row => row.case).values()) {
    const several = mine.filter(row => settingOf(row)), single = mine.filter(row => !settingOf(row));
    const groups = [...groupBy(several, settingOf).values()];
    const best = [...groupBy(several, row => row.device).values()].map(
        same => same.reduce((a, b) => b[`${pass}_time`] < a[`${pass}_time`] ? b : a));
    out.push(...groups, ...(single.length ? [single.concat(best)] : []));
  }
  return out.filter(group => unique(group.map(row => row.device)).length > 1);
}

function speedSection(keep) {
  const usable = timed(keep, SPEED.pass).filter(row => !CHECKING.has(row.plain_device));
  const axes = Object.keys(AXES).filter(axis => [...groupBy(usable, row => restOf(row, axis)).values()].some(
                                            group => unique(group.map(row => row[axis])).length > 1));
  if (!usable.length) return;
  const holder = part("speed", "Throughput",
                      "The median of all repetitions; bars span the fastest and the slowest.", "");
  const bar = make("div", {class: "bar"});
  holder.before(bar);
  const show = () => {
    const set = key => value => {
      SPEED[key] = value;
      redraw(bar, show);
      if (key !== "pass") return;
      deviceSection(keep);
      roofSection(keep);
    };
    bar.replaceChildren(
        ...[choice("Show", Object.entries(METRICS).map(([key, metric]) => [key, metric.title]), SPEED.metric,
                   set("metric")),
            choice("Pass", PASSES.map(pass => [pass, pass]), SPEED.pass, set("pass"))]
            .filter(Boolean));
    holder.replaceChildren();
    const rows = timed(keep, SPEED.pass).filter(row => !CHECKING.has(row.plain_device));
    if (!axes.length && rows.length) caseFigure(holder, rows);
    for (const axis of axes) {
      const swept = sweeps(rows, axis).flat();
      const panels = [...groupBy(swept, row => row.kind)];
      if (!panels.length) continue;
      const grid = make("div", {class: "grid"});
      holder.append(make("h3", {}, `Over ${AXES[axis]}`), grid);
      for (const [kind, mine] of panels.slice(0, MOST_PANELS)) axisFigure(grid, kind, axis, mine);
      if (panels.length > MOST_PANELS)
        holder.append(
            note(`${MOST_PANELS} of ${panels.length} networks are drawn; the filters choose others.`));
    }
  };
  show();
}

/* Where nothing is swept: a line for each case. */
function caseFigure(holder, rows) {
  const metric = METRICS[SPEED.metric], pass = SPEED.pass;
  const word = labels(rows, ["kind"], ["device"]);
  const shown = rows.slice(0, MOST_LINES);
  const values = shown.map(row => {
    const [low, high] = metric.span(row, pass), y = metric.of(row, pass);
    return {
      name: word(row),
      series: row.device,
      case: row.case,
      x: y,
      low,
      high,
      value: text(y),
      range: `${text(low)} to ${text(high)}`,
      ms: milliseconds(row[`${pass}_time`]),
      repeat: command(row)
    };
  });
  const devices = unique(values.map(value => value.series)).sort();
  const names = unique(values.map(value => value.name));
  const x = field => ({field, type: "quantitative", title: metric.title, axis: {tickCount: narrow() ? 4 : 8}});
  const grid = make("div", {class: "grid one"});
  holder.append(grid);
  figure(grid, {
    title: `Each case, ${pass}`,
    caption: (devices.length === 1 ? `On ${devices[0]}. ` : "") +
        (shown.length < rows.length ? `${shown.length} of ${rows.length.toLocaleString("en")} rows.` : ""),
    columns: [
      {key: "case", title: "case", kind: "case"}, {key: "series", title: "device"},
      {key: "x", title: metric.title, kind: "number"}, {key: "ms", title: `ms (${pass})`, kind: "number"}
    ],
    rows: values,
    spec: {
      height: 30 + names.length * Math.max(narrow() ? 38 : 30, 16 * devices.length),
      data: {values},
      encoding: {
        y: {field: "name", type: "nominal", sort: names, title: null, axis: nameAxis()},
        yOffset: {field: "series", type: "nominal", sort: devices},
        color: colourOf(devices, {symbolType: "circle"}, DEVICES)
      },
      layer: [
        {
          mark: {type: "bar", height: {band: .6}, opacity: .3, tooltip: null},
          encoding: {x: x("x")}
        },
        {mark: {type: "rule", strokeWidth: 1.5, tooltip: null}, encoding: {x: x("low"), x2: {field: "high"}}},
        {
          mark: {type: "point", filled: true, size: 60, opacity: 1},
          encoding: {
            x: x("x"),
            tooltip: tooltip([
              ["case", "case"], ["series", "device"], ["value", metric.title],
              ["range", "slowest to fastest"], ["ms", `ms (${pass})`], ["repeat", "repeat with"]
            ])
          }
        },
        {
          mark: {type: "text", align: "left", dx: 8, fontSize: 11, tooltip: null},
          encoding: {x: x("high"), text: {field: "value"}, color: null}
        }
      ]
    }
  });
}

/* Rows of each sweep over an axis: of 3 values, or of 2 where none has more. */
function sweeps(rows, axis) {
  const groups = [...groupBy(rows, row => `${row.device} ${restOf(row, axis)}`).values()].map(
      group => ({group, count: unique(group.map(row => row[axis])).length}));
  const least = groups.some(({count}) => count > 2) ? 3 : 2;
  return groups.filter(({count}) => count >= least).map(({group}) => group);
}

function axisFigure(grid, kind, axis, rows) {
  const metric = METRICS[SPEED.metric], pass = SPEED.pass;
  const word = labels(rows, [], ["kind", axis, "device", ...(axis === "width" ? ["input"] : [])]);
  const work = group => Math.max(...group.map(row => row[`${pass}_flop`]));
  const threads = new Map([...groupBy(rows, row => row.device)].map(
      ([device, mine]) => [device, Math.max(...mine.map(row => row.threads))]));
  const onAll = row => row.threads === threads.get(row.device);
  const sorted = groups => [...groups].sort(([, a], [, b]) => work(b) - work(a));
  const full = sorted(groupBy(rows.filter(onAll), row => restOf(row, axis, settingOf(row, "threads"))));
  const fewer = sorted(groupBy(rows.filter(row => !onAll(row)), row => restOf(row, axis)));
  const rests = full.concat(fewer), alike = full.length > 1 ? full : rests;
  const ends = unique([alike[0], alike[alike.length - 1]]);  // the sweeps of most and of least work
  const name = ([, group]) => word(group[0]) === group[0].case ? "" : word(group[0]);
  const values = ends.flatMap(([rest, group], place) =>
                                  evenly(group.sort(by(axis)), MOST_POINTS).map(row => ({row, rest, place})))
                     .map(({row, rest, place}) => {
                       const [low, high] = metric.span(row, pass), y = metric.of(row, pass);
                       return {
                         series: row.device,
                         group: `${row.device} ${rest}`,
                         place,
                         x: row[axis],
                         y,
                         low,
                         high,
                         value: text(y),
                         case: row.case,
                         range: `${text(low)} to ${text(high)}`,
                         ms: milliseconds(row[`${pass}_time`]),
                         repeat: command(row)
                       };
                     })
                     .filter(value => finite(value.y))
                     .sort(by("x"));
  if (!values.length) return;
  const places = unique(values.map(value => value.x)).sort((a, b) => a - b);
  const doubling = places[0] > 0 && places[places.length - 1] / places[0] >= 8;
  const x = {
    field: "x",
    type: "quantitative",
    title: AXES[axis],
    scale: doubling ? {type: "log", base: 2, nice: false} : {nice: false, zero: false},
    axis: {...(places.length <= 12 ? {values: places} : {tickCount: 6}), grid: false, format: "d"}
  };
  const y = {field: "y", type: "quantitative", title: metric.title, axis: {tickCount: 5}};
  const hint = tooltip([
    ["case", "case"], ["series", "device"], ["value", metric.title], ["range", "slowest to fastest"],
    ["ms", `ms (${pass})`], ["repeat", "repeat with"]
  ]);
  const drawn = unique(values.map(value => value.series)).sort();
  const sizes = ends.length > 1 ? `Solid ${name(ends[0])}, dashed ${name(ends[1])}` : name(ends[0]);
  const dash =
      {field: "place", type: "ordinal", scale: {domain: [0, 1], range: [[1, 0], [4, 3]]}, legend: null};
  figure(grid, {
    title: kind,
    caption: (drawn.length === 1 ? `On ${drawn[0]}. ` : "") +
        [sizes, rests.length > ends.length ? `${ends.length} of ${rests.length} sweeps` : ""]
            .filter(Boolean)
            .join("; "),
    columns: [
      {key: "case", title: "case", kind: "case"}, {key: "series", title: "device"},
      {key: "x", title: AXES[axis], kind: "number"}, {key: "y", title: metric.title, kind: "number"},
      {key: "ms", title: `ms (${pass})`, kind: "number"}
    ],
    rows: values,
    spec: {
      height: 220,
      data: {values},
      encoding: {x, y, color: colourOf(drawn, {}, DEVICES)},
      layer: [
        {mark: {type: "line", strokeWidth: 2}, encoding: {detail: {field: "group"}, strokeDash: dash}}, {
          mark: {type: "rule", strokeWidth: 1.5, tooltip: null},
          encoding: {y: {field: "low", type: "quantitative"}, y2: {field: "high"}}
        },
        {mark: {type: "point", filled: true, size: 50, opacity: 1}, encoding: {tooltip: hint}}
      ]
    }
  });
}

/* The device that others are best set beside: of those that share most cases with them the slowest. */
function referenceOf(names, shared, pass) {
  const time = (group, name) => group.find(row => row.device === name)?.[`${pass}_time`];
  const ran = name => shared.filter(group => time(group, name)).length;
  const most = Math.max(...names.map(ran));
  return names.filter(name => ran(name) === most).reduce((a, b) => {
    const both = shared.filter(group => time(group, a) && time(group, b));
    return both.length && geometric(both.map(group => time(group, b) / time(group, a))) > 1 ? b : a;
  });
}

function deviceSection(keep) {
  const pass = SPEED.pass;
  const rows = timed(keep, pass).filter(row => !CHECKING.has(row.plain_device));
  const shared = besideEachOther(rows, pass);
  if (!shared.length) {
    document.getElementById("devices")?.remove();
    return;
  }
  const grid =
      part("devices", "Devices side by side",
           `How many times faster than the reference a ${
               pass} pass is, for every case that both ran. A tick is a case, a dot the geometric mean.`,
           "grid one");
  grid.style.setProperty("--least", "100%");
  const bar = make("div", {class: "bar"});
  grid.before(bar);
  const names = unique(shared.flat().map(row => row.device)).sort();
  const first = referenceOf(names, shared, pass);
  const show = () => {
    const reference = names.includes(SPEED.reference) ? SPEED.reference : first;
    bar.replaceChildren(choice("Reference", names.map(name => [name, name]), reference, value => {
      SPEED.reference = value;
      redraw(bar, show);
    }));
    grid.replaceChildren();
    const values = shared.flatMap(group => {
      const base = group.find(row => row.device === reference);
      return !base ? [] :
                     group.filter(row => row !== base && row.device !== reference)
                         .map(row => ({
                                series: row.device,
                                kind: row.kind,
                                case: row.case,
                                ratio: base[`${pass}_time`] / row[`${pass}_time`],
                                times: `${text(base[`${pass}_time`] / row[`${pass}_time`], 3)} ×`,
                                ms: milliseconds(row[`${pass}_time`]),
                                reference: milliseconds(base[`${pass}_time`]),
                                repeat: command(row)
                              }));
    });
    const others = unique(values.map(value => value.series)).sort();
    const means = [...groupBy(values, value => `${value.kind} ${value.series}`).values()].map(group => {
      const ratios = group.map(value => value.ratio), ratio = geometric(ratios);
      return {
        series: group[0].series,
        kind: group[0].kind,
        ratio,
        best: Math.max(...ratios),
        count: group.length,
        label: `${ratio.toFixed(2)} ×`
      };
    });
    const ratios = values.map(value => value.ratio).concat(1), span = Math.max(...ratios) / Math.min(...ratios);
    const y = {field: "kind", type: "nominal", title: null, axis: nameAxis()};
    const offset = {field: "series", type: "nominal", sort: others};
    const x = field => ({
      field,
      type: "quantitative",
      title: `times as fast as ${reference}`,
      scale: {type: "log", base: 2, nice: false, padding: 44},  // the labels stand in it
      axis: {
        format: "~g",
        tickCount: 6,
        labelOverlap: "greedy",
        values: span < 6 ? [.2, .3, .5, .7, 1, 1.5, 2, 3, 4, 5] :
                           [1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
      }
    });
    figure(grid, {
      title: `${others.join(", ")} beside ${reference}`,
      columns: [
        {key: "case", title: "case", kind: "case"}, {key: "series", title: "device"},
        {key: "ms", title: "ms", kind: "number"},
        {key: "reference", title: `${reference} ms`, kind: "number"},
        {key: "ratio", title: "times as fast", kind: "number"}
      ],
      rows: values,
      spec: {
        height: 70 +
            unique(values.map(value => value.kind)).length *
                (others.length > 1 ? 22 * others.length : 34),
        data: {values},
        encoding: {
          y,
          yOffset: offset,
          color: colourOf(others, {symbolType: "circle", columns: narrow() ? 1 : 4}, DEVICES)
        },
        layer: [
          {
            data: {values: [{ratio: 1}]},
            mark: {type: "rule", strokeDash: [4, 3]},
            encoding: {x: x("ratio"), y: null, yOffset: null, color: null}
          },
          {
            mark: {type: "tick", thickness: 2, opacity: .55},
            encoding: {
              x: x("ratio"),
              tooltip: tooltip([
                ["case", "case"], ["series", "device"], ["times", `times ${reference}`], ["ms", "ms"],
                ["reference", `${reference} ms`], ["repeat", "repeat with"]
              ])
            }
          },
          {
            data: {values: means},
            mark: {type: "point", filled: true, size: 110, opacity: 1},
            encoding: {
              x: x("ratio"),
              tooltip: tooltip([
                ["kind", "network"], ["series", "device"], ["label", "geometric mean"], ["count", "cases"]
              ])
            }
          },
          {
            data: {values: means},
            mark: {type: "text", align: "left", dx: 10, fontSize: 11, tooltip: null},
            encoding: {x: x("best"), text: {field: "label"}, color: null}
          }
        ]
      }
    });
  };
  show();
}
