/* How far gradients travel: curves over depth and over time. */
const MOST_CURVES = 8, MOST_PANELS = 9;
const DOTS = 45;  // of a curve, or they grow into a thick line
const BACK = {
  depth: "layers back from the loss",
  time: "time steps back from the loss"
};
const TENSOR = {
  dh: "∂L/∂h",
  dc: "∂L/∂c",
  dweight: "∂L/∂W",
  dweight_hh: "∂L/∂W_hh"
};
const VERDICTS = ["stable", "vanishing", "exploding", "dead", "overflow"];

function lineKey() {
  const sample = (inner, word) => {
    const span = make("span");
    span.innerHTML = `<svg viewBox="0 0 34 12" aria-hidden="true">${inner}</svg>`;
    span.append(` ${word}`);
    return span;
  };
  return make(
      "span", {class: "key"},
      sample('<path d="M0 6h34" stroke-width="2.5"/>', "exact, carried with exponents that cannot underflow"),
      sample(
          '<circle cx="6" cy="6" r="2.5"/><circle cx="17" cy="6" r="2.5"/><circle cx="28" cy="6" r="2.5"/>',
          "as the format held it"),
      sample('<path d="M0 6h34" stroke-width="1.5" stroke-dasharray="5 4"/>', "as theory predicts"));
}

function pointsOf(curve, series) {
  const {x, exact, held, predicted} = DATA.points;
  const count = curve.to - curve.from, every = Math.ceil(count / DOTS);
  return Array.from({length: count}, (_, k) => {
    const i = curve.from + k;
    const plain = held[i] === "" ? exact[i] : held[i];
    const last = finite(plain) && (k === count - 1 || held[i + 1] === "-inf");
    return {
      series,
      x: x[i],
      exact: finite(exact[i]) ? exact[i] : null,
      held: finite(plain) ? plain : null,
      dot: k % every === 0 || last,
      predicted: finite(predicted[i]) ? predicted[i] : null,
      exactText: norm(exact[i]),
      heldText: norm(plain),
      predictedText: norm(predicted[i]) || "no prediction",
      case: curve.case,
      device: curve.device,
      repeat: command(curve)
    };
  });
}

function curveSpec(curves, label, direction, extra = {}) {
  const series = unique(curves.map(label));
  const values = curves.flatMap(curve => pointsOf(curve, label(curve)));
  const lowest = Math.min(...values.flatMap(v => [v.exact, v.predicted]).filter(finite));
  const highest = Math.max(...values.flatMap(v => [v.exact, v.predicted]).filter(finite));
  const pad = Math.max(.5, (highest - lowest) * .04);
  const limits =
      unique(curves.map(curve => curve.dtype))
          .filter(dtype => DATA.limits[dtype])
          .flatMap(dtype => DATA.limits[dtype].map(
                       (y, i) => ({y, below: i, text: `smallest ${["normal", "subnormal"][i]} ${dtype}`})))
          .filter(limit => lowest < limit.y + 4);
  const lines = [...groupBy(limits, limit => limit.y).values()].map(
      group => ({...group[0], text: group.map(limit => limit.text).join(", ")}));
  const domain = [Math.min(lowest - pad, ...lines.map(line => line.y - pad)), highest + pad];
  const x = {
    field: "x",
    type: "quantitative",
    title: BACK[direction],
    axis: {tickMinStep: 1, grid: false, tickCount: extra.wide ? 16 : 5},
    scale: {nice: false}
  };
  const y = field => ({
    field,
    type: "quantitative",
    title: `norm of ${TENSOR[curves[0].tensor]}`,
    scale: {zero: false, domain, nice: false},
    axis: {labelExpr: POWER_LABEL, tickMinStep: 1, tickCount: 6}
  });
  // A network has one colour on the page, where none has two curves here.
  const kinds = unique(curves.map(curve => curve.kind)), own = kinds.length === series.length;
  const color = colourOf(series, extra.legend);
  if (own) color.scale.range = curves.map(curve => COLOURS[KINDS.indexOf(curve.kind) % COLOURS.length]);
  const hint = tooltip([
    ["case", "case"], ["x", direction === "depth" ? "layers back" : "steps back"],
    ["exactText", "exact norm"], ["heldText", "as held"], ["predictedText", "predicted"],
    ["device", "device"], ["repeat", "repeat with"]
  ]);
  return {
    values,
    spec: {
      data: {values},
      encoding: {x, color},
      layer: [
        ...(lines.length ?
                [
                  {
                    data: {values: lines},
                    mark: {type: "rule", strokeDash: [2, 3]},
                    encoding: {x: null, color: null, y: {field: "y", type: "quantitative"}}
                  },
                  ...[0, 1]
                      .filter(below => lines.some(line => line.below === below))
                      .map(below => ({
                             data: {values: lines.filter(line => line.below === below)},
                             mark: {
                               type: "text",
                               align: "left",
                               baseline: below ? "top" : "bottom",
                               dx: 4,
                               dy: below ? 3 : -3,
                               color: "var(--soft)",
                               fontSize: 11
                             },
                             encoding: {
                               x: {value: 0},
                               color: null,
                               y: {field: "y", type: "quantitative"},
                               text: {field: "text"}
                             }
                           }))
                ] :
                []),
        ...(values.some(value => finite(value.predicted)) ? [{
          mark: {type: "line", strokeDash: [5, 4], strokeWidth: 1.4, opacity: .9},
          encoding: {y: y("predicted")}
        }] :
                                                            []),
        {mark: {type: "line", strokeWidth: 2.2}, encoding: {y: y("exact")}},
        {
          transform: [{filter: "datum.dot"}],
          mark: {type: "point", filled: true, size: 22, opacity: 1},
          encoding: {y: y("held")}
        },
        {
          params: [
            {name: "near", select: {type: "point", on: "pointerover", nearest: true, clear: "pointerout"}}
          ],
          mark: {type: "point", size: 90, strokeWidth: 2},
          encoding: {
            y: y("exact"),
            opacity: {condition: {param: "near", empty: false, value: 1}, value: 0},
            tooltip: hint
          }
        },
      ],
      ...extra.spec
    }
  };
}

const CURVE_COLUMNS = [
  {key: "case", title: "case", kind: "case"}, {key: "device", title: "device"},
  {key: "x", title: "steps back", kind: "number"},
  {key: "exactText", title: "exact", kind: "number", sort: "exact"},
  {key: "heldText", title: "as held", kind: "number", sort: "held"},
  {key: "predictedText", title: "predicted", kind: "number", sort: "predicted"}
];

/* Of the curves that a view may show: those of one device; of a net of several layers the top layer over
 * time; of a sweep over the length the longest of each. */
function chosen(curves, direction, settings) {
  const networks = list => unique(list.map(curve => curve.kind)).length;
  const devices = [...groupBy(curves, curve => curve.device)]
                      .sort(([a, x], [b, y]) =>
                                CHECKING.has(a.split(" ")[0]) - CHECKING.has(b.split(" ")[0]) ||
                                networks(y) - networks(x) || y.length - x.length)
                      .map(([name]) => name);
  const device = devices.includes(settings.device) ? settings.device : devices[0];
  let out = curves.filter(curve => curve.device === device);
  if (direction === "time") {
    const top = groupBy(out, curve => `${curve.case} ${curve.denormals}`);
    out = [...top.values()].flatMap(
        group => group.filter(curve => curve.layer === Math.max(...group.map(c => c.layer))));
  }
  if (settings.lengths !== "all") {
    const length = direction === "time" ? "seq_len" : "depth";
    const rest =
        curve => [curve.kind, curve.width, curve.input, curve.output, curve.batch, curve.dtype, curve.init,
                  curve.extra, curve.denormals, direction === "time" ? curve.depth : curve.seq_len]
                     .join(" ");
    out =
        [...groupBy(out, rest).values()].map(group => group.reduce((a, b) => b[length] > a[length] ? b : a));
  }
  return {out, device, devices};
}

/* As many curves as a chart bears, first the plainest of each network, then one more of each; in the
 * order in which they end, the highest first. */
function spread(curves, most) {
  const groups = [...groupBy(curves, curve => curve.kind).values()];
  const order = groups.flatMap(group => group.sort(plainFirst).map((curve, place) => ({curve, place})));
  return order.sort(by("place")).slice(0, most).map(one => one.curve).sort((a, b) => end(b) - end(a));
}
const plainFirst = (a, b) => b.plain - a.plain || a.extra.length - b.extra.length || by("init")(a, b);
const end = curve => finite(DATA.points.exact[curve.to - 1]) ? DATA.points.exact[curve.to - 1] : -Infinity;

const SETTINGS = {
  depth: {tensor: "dh"},
  time: {tensor: "dh"}
};

function choice(label, options, value, onchange) {
  if (options.length < 2) return null;
  const select =
      make("select", {onchange: () => onchange(select.value)},
           ...options.map(([key, word]) => make("option", {value: key, selected: key === value}, word)));
  return make("label", {class: "field"}, label, select);
}

function curveSection(direction, keep) {
  const all = CURVES.filter(curve => curve.direction === direction &&
                                (direction === "time" || curve.depth > 1) && keep(curve));
  if (!all.length) return;
  const settings = SETTINGS[direction];
  const grid = part(direction, direction === "depth" ? "Gradients over depth" : "Gradients over time",
                    lineKey(), "grid one");
  grid.style.setProperty("--least", "100%");
  const bar = make("div", {class: "bar"});
  grid.before(bar);
  const show = () => {
    const tensors = unique(all.map(curve => curve.tensor));
    const tensor = tensors.includes(settings.tensor) ? settings.tensor : tensors[0];
    const {out, device, devices} = chosen(all.filter(curve => curve.tensor === tensor), direction, settings);
    const set = key => value => {
      settings[key] = value;
      redraw(bar, show);
    };
    bar.replaceChildren(
        ...[choice("Gradient", tensors.map(t => [t, TENSOR[t]]), tensor, set("tensor")),
            choice("Device", devices.map(d => [d, d]), device, set("device")),
            choice(
                direction === "depth" ? "Depths" : "Lengths",
                [["longest", direction === "depth" ? "deepest of each" : "longest of each"], ["all", "all"]],
                settings.lengths ?? "longest", set("lengths"))]
            .filter(Boolean));
    grid.replaceChildren();
    const shown = spread(out, MOST_CURVES);
    const {values, spec} = curveSpec(
        shown, labels(shown), direction,
        {wide: !narrow(), spec: {height: narrow() ? 300 : 400}, legend: {columns: narrow() ? 1 : 3}});
    figure(grid, {
      title: `Norm of ${TENSOR[tensor]} over ${direction}`,
      caption: `On ${device}. The loss is on the left; the ${
          direction === "depth" ? "input" : "first step"} is on the right.${
          out.length > shown.length ?
              ` ${shown.length} of ${out.length.toLocaleString("en")} curves; the filters choose others.` :
              ""}`,
      spec,
      columns: CURVE_COLUMNS,
      rows: values
    });
  };
  show();
}
