/* Figures: a Vega-Lite view, its numbers as a table, and the picture to keep. */
const COLOURS = Array.from({length: 12}, (_, i) => `var(--c${i})`);
const FONT = 'system-ui, "Liberation Sans", "DejaVu Sans", sans-serif';
const CONFIG = {
  background: null,
  font: FONT,
  padding: 2,
  view: {stroke: null},
  mark: {aria: false},  // a chart has one name; its numbers stand in a table
  axis: {
    labelColor: "var(--soft)",
    titleColor: "var(--soft)",
    gridColor: "var(--line)",
    domainColor: "var(--line)",
    tickColor: "var(--line)",
    labelFontSize: 12,
    titleFontSize: 12,
    titleFontWeight: "normal",
    labelOverlap: true
  },
  legend: {
    labelColor: "var(--ink)",
    titleColor: "var(--soft)",
    labelFontSize: 12,
    titleFontSize: 12,
    labelLimit: 320,
    symbolStrokeWidth: 3
  },
  text: {color: "var(--ink)", fontSize: 12},
  rule: {color: "var(--soft)"},
};

/* An expression that writes log10 values as powers of ten. */
const POWER_LABEL = "datum.value === 0 ? '1' : '10' + " +
    Object.entries(SUPERSCRIPT)
        .reduce((inner, [from, to]) => `replace(${inner}, regexp('${from}', 'g'), '${to}')`,
                "'' + datum.value");

let queue = Promise.resolve();  // figures are drawn one after the other, so that the page answers meanwhile
let round = 0;

/* The tooltip of the nearest point: the datum of a Voronoi cell is the point's mark, whose datum is the row.
 */
function ofNearest(spec) {
  for (const {encode} of spec.marks) {
    const {isVoronoi, tooltip: hint} = encode?.update ?? {};
    if (isVoronoi && hint) hint.signal = hint.signal.replaceAll("datum[", "datum.datum[");
  }
  return spec;
}

function draw(element, spec) {
  const mine = round;
  queue = queue.then(async () => {
    if (mine !== round || !element.isConnected) return;
    try {
      const result =
          await vegaEmbed(element, {$schema: "https://vega.github.io/schema/vega-lite/v6.json", ...spec}, {
            renderer: "svg",
            actions: false,
            ast: true,
            patch: ofNearest,
            config: CONFIG,
            tooltip: {theme: "none", offsetY: 16},
          });
      element.view = result.view;
      element.querySelector("svg")?.setAttribute("aria-label", spec.description);
    } catch (error) {
      element.textContent = "This chart could not be drawn.";
      console.error(error);
    }
  });
}

/* A picture that stands alone: in the colours of the theme as they are now, without what only a pointer
 * brings to light. */
function alone(svg) {
  const picture = new DOMParser().parseFromString(svg, "image/svg+xml");
  picture.querySelectorAll('[opacity="0"], [style*="opacity: 0;"]').forEach(element => element.remove());
  const probe = make("i");
  document.body.append(probe);
  const colour = name => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const out = new XMLSerializer()
                  .serializeToString(picture)
                  .replace(/var\((--\w+)\)/g, (_, name) => colour(name))
                  .replace(/<svg([^>]*)>/,
                           (tag) => `${tag}<rect width="100%" height="100%" fill="${colour("--paper")}"/>`);
  probe.remove();
  return out;
}

async function save(element, name) {
  const blob = new Blob([alone(await element.view.toSVG())], {type: "image/svg+xml"});
  const link = make(
      "a",
      {href: URL.createObjectURL(blob), download: `${name.replace(/[^\w.-]+/g, "-").toLowerCase()}.svg`});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/* A chart with a title, a caption, and its rows as a table for those who want numbers or see no chart. */
function figure(grid, {title, caption = "", spec, columns, rows}) {
  const chart = make("div", {class: "chart"});
  const numbers = make("div");
  const details = make("details", {
    ontoggle: () => {
      if (details.open && !numbers.hasChildNodes()) numbers.append(sortable(columns, rows, {caption: title}));
    }
  },
                       make("summary", {}, `The numbers (${rows.length.toLocaleString("en")})`), numbers);
  const picture = make(
      "button",
      {type: "button", onclick: () => save(chart, title), "aria-label": `Save the chart ${title} as SVG`},
      "Save SVG");
  grid.append(make("figure", {}, make("h3", {}, title), caption ? make("figcaption", {}, caption) : null,
                   chart, make("div", {class: "tools"}, details, picture)));
  draw(chart, {
    width: "container",
    height: 240,
    ...spec,
    description: `${title}. ${caption} The numbers stand in a table below.`
  });
}

/* An axis of names; where there is little room in two lines, at " · " or else at the first space. */
function splitAt(mark, otherwise) {
  const at = `indexof(datum.label, '${mark}')`;
  return `${at} < 0 ? ${otherwise} : [slice(datum.label, 0, ${at}), slice(datum.label, ${at} + ${mark.length})]`;
}
const SPLIT = splitAt(" · ", `(${splitAt(" ", "datum.label")})`);
const nameAxis = () => (
    {labelLimit: narrow() ? 140 : 420, ...(narrow() ? {labelExpr: SPLIT} : {}), ticks: false, domain: false});
const tooltip = fields => fields.map(([field, title]) => ({field, title, type: "nominal"}));
/* At most so many of a list, evenly chosen, with both ends. */
const evenly = (list, most) => list.length <= most ?
    list :
    Array.from({length: most}, (_, i) => list[Math.round(i * (list.length - 1) / (most - 1))]);
const ticks = (low, high) =>
    Array.from({length: 40}, (_, i) => i - 15)
        .flatMap(power => [1, 2, 5].map(first => first * 10 ** power))
        .filter(value => value >= low && value <= high)
        .filter((_, i, all) => all.length <= 7 || String(all[i].toExponential()).startsWith("1"));
const narrow = () => document.documentElement.clientWidth < 640;

/* Colours of the series in `present`; where `all` is given, each keeps its colour in every chart. */
function colourOf(present, extra = {}, all = present) {
  return {
    field: "series",
    type: "nominal",
    scale: {domain: all, range: all.map((_, i) => COLOURS[i % COLOURS.length])},
    legend: present.length > 1 ? {
      title: null,
      orient: "bottom",
      direction: "vertical",
      columns: narrow() || Math.max(...present.map(word => word.length)) > 26 ? 1 : 2,
      symbolType: "stroke",
      values: present,
      ...extra
    } :
                                 null
  };
}

/* Draws anew what holds the focus; it comes back to the control of the same name. */
function redraw(element, draw) {
  const name = element.contains(document.activeElement) &&
      document.activeElement.closest("label")?.firstChild.textContent;
  draw();
  if (name)
    [...element.querySelectorAll("label")]
        .find(label => label.firstChild.textContent === name)
        ?.querySelector("select")
        .focus();
}

/* A section of the page, in the place of the one with this id if there is one; the element for its figures. */
function part(id, title, text, className = "grid") {
  const grid = make("div", {class: className});
  const element =
      make("section", {class: "part", id, "aria-labelledby": `${id}-title`},
           make("h2", {id: `${id}-title`}, title), make("p", {class: "soft"}, ...[text].flat()), grid);
  const old = document.getElementById(id);
  if (old)
    old.replaceWith(element);
  else
    document.getElementById("sections").append(element);
  return grid;
}

const note = text => make("p", {class: "note"}, text);
