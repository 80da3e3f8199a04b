/* Tables that sort by their headers, and the sections that are tables. */
const PAGE_ROWS = 50;
/* What tells rows of one case and device apart, where it varies. */
const settingColumns = rows =>
    SETTINGS_COLUMNS.filter(key => unique(rows.map(row => row[key])).length > 1)
        .map(key => ({key, title: key, kind: key === "threads" ? "number" : "text"}));
const CELL = {
  text: (row, column) => [text(row[column.key])],
  name: (row, column) => [row[column.key]],
  case: (row, column) => [make(
      "code", {},
      ...String(row[column.key]).split("/").flatMap((part, i) => i ? ["/", make("wbr"), part] : [part]))],
  number: (row, column) => [text(row[column.key])],
  verdict: (row, column) => [make("span", {
    class: "verdict",
    "data-verdict": row[column.key] ?? "",
    style: `--tint: var(--${VERDICTS.includes(row[column.key]) ? row[column.key] : "panel"})`
  },
                                  row[column.key] ?? "")],
  status: (row, column) => [row[column.key] === "ok" ?
                                "ok" :
                                make("span", {class: "bad", title: row.reason}, row[column.key])],
  repeat: row => {
    const button = make("button", {
      type: "button",
      title: command(row),
      "aria-label": `Copy the command that repeats ${row.case} on ${row.device}`,
      onclick: async () => {
        if (!await copy(command(row))) return;
        button.textContent = "Copied";
        setTimeout(() => {
          button.textContent = "Copy";
        }, 1500);
      }
    },
                        "Copy");
    return [button];
  },
};

const cellClass = column => ["number", "case", "name", "repeat"].includes(column.kind) ? column.kind : null;

/* Whether the words are in the clipboard. From disk it may be closed to a page: then they are shown,
 * selected, to be copied by hand. */
async function copy(words) {
  try {
    await navigator.clipboard.writeText(words);
    return true;
  } catch {
    prompt("The command that repeats the case", words);
    return false;
  }
}

/* Rows in the order of a column; what is not known stands last either way. */
function inOrder(rows, key, down) {
  const known = row => row[key] !== null && row[key] !== undefined && row[key] !== "";
  const rank = value => value === "-inf" ? -Infinity : value === "inf" ? Infinity : value;
  const sorted = rows.filter(known)
                     .map(row => [rank(row[key]), row])
                     .sort(([a], [b]) => {
                       if (typeof a === "number" && typeof b === "number") return a - b;
                       return String(a).localeCompare(String(b), "en", {numeric: true});
                     })
                     .map(([, row]) => row);
  return (down ? sorted.reverse() : sorted).concat(rows.filter(row => !known(row)));
}

function sortable(columns, rows, {caption}) {
  const body = make("tbody");
  const more = make("button", {
    type: "button",
    class: "more",
    onclick: () => {
      shown += 10 * PAGE_ROWS;
      fill();
    }
  });
  let ordered = rows, shown = PAGE_ROWS;
  const fill = () => {
    body.replaceChildren(...ordered.slice(0, shown).map(
        row => make(
            "tr", {},
            ...columns.map(
                column => make("td", {class: cellClass(column)},
                               ...CELL[column.kind ?? "text"](row, column))))));
    more.hidden = ordered.length <= shown;
    more.textContent = `Show more (${shown.toLocaleString("en")} of ${ordered.length.toLocaleString("en")})`;
  };
  const headers = columns.map(column => {
    const header = make("th", {scope: "col", "data-title": column.title, class: cellClass(column)});
    header.append(column.kind === "repeat" ?
                      column.title :
                      make("button", {
                        type: "button",
                        title: column.help ?? null,
                        onclick: () => {
                          const down = header.getAttribute("aria-sort") ?
                              header.getAttribute("aria-sort") === "ascending" :
                              column.kind === "number";
                          headers.forEach(other => other.removeAttribute("aria-sort"));
                          header.setAttribute("aria-sort", down ? "descending" : "ascending");
                          ordered = inOrder(rows, column.sort ?? column.key, down);
                          fill();
                        }
                      },
                           column.title));
    return header;
  });
  fill();
  return make("div", {},
              make("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": caption},
                   make("table", {}, make("thead", {}, make("tr", {}, ...headers)), body)),
              more);
}

function caseSection(keep) {
  const rows = ROWS.filter(keep);
  const decay = new Map();
  for (const row of DECAY) {
    const wanted = row.direction === (row.model === "stack" ? "depth" : "time");
    if (wanted) decay.set(`${row.case} ${row.device} ${row.denormals}`, row);  // the top layer stands last
  }
  const all = rows.map(row => {
    const found = decay.get(`${row.case} ${row.device} ${row.denormals}`) ?? {};
    const pass = PASSES.find(p => finite(row[`${p}_time`]));
    return {
      ...row,
      verdict: found.verdict,
      rate: found.rate,
      half_life: found.half_life,
      log10_ratio: found.log10_ratio,
      left: norm(found.log10_ratio ?? null),
      ...Object.fromEntries(
          PASSES.map(p => [`${p}_ms`, finite(row[`${p}_time`]) ? row[`${p}_time`] * 1e3 : null])),
      gflop: pass ? METRICS.gflop.of(row, pass) : null,
      items: pass ? METRICS.items.of(row, pass) : null,
      share: pass ? row[`${pass}_peak`] : null,
      floor: pass ? row[`${pass}_floor`] : null
    };
  });
  const columns =
      [
        {key: "case", title: "case", kind: "case"}, {key: "device", title: "device", kind: "name"},
        ...settingColumns(rows),
        ...(rows.some(row => row.status !== "ok") ? [{key: "status", title: "status", kind: "status"}] : []),
        ...PASSES.map(pass => ({key: `${pass}_ms`, title: `${pass} ms`, kind: "number"})),
        {key: "gflop", title: "GFLOP/s", kind: "number"},
        {key: "items", title: "items/s", kind: "number", help: "samples of a stack, tokens of a sequence"},
        {key: "share", title: "% peak", kind: "number", help: "of the measured FMA rate"}, {
          key: "floor",
          title: "% floor",
          kind: "number",
          help: "the least time that compute and cache bandwidth allow, over the time taken"
        },
        {key: "verdict", title: "gradient", kind: "verdict"},
        {key: "left", title: "left at the far end", kind: "number", sort: "log10_ratio"}, {
          key: "rate",
          title: "rate",
          kind: "number",
          help: "factor a layer of a stack, or a step of a recurrent net"
        },
        {
          key: "half_life",
          title: "half-life",
          kind: "number",
          help: "layers or steps that halve (or double) the norm"
        },
        {key: "verified", title: "verified"},
        ...(rows.some(row => row.reason) ? [{key: "reason", title: "reason"}] : []),
        {key: "repeat", title: "repeat", kind: "repeat"}
      ].filter(column => ["case", "repeat"].includes(column.kind) ||
                   all.some(row => (row[column.key] ?? "") !== ""));
  part("cases", "All cases",
       `A row for each case and device. GFLOP/s, items/s and the shares are of the ${
           PASSES[0] ?? "first"} pass where there is one.`,
       "")
      .append(sortable(columns, all, {caption: "All cases"}));
}

function decaySection(keep) {
  const rows = DECAY.filter(keep);
  if (!rows.length) return;
  const numbers = [
    ["layer", "layer"], ["rate", "rate", "factor a layer or step, by least squares"],
    ["half_life", "half-life"], ["reach", "reach", "the farthest layer or step where 1/1000 is left"],
    ["subnormal_at", "subnormal at", "where the first subnormal number stands"],
    ["underflow_at", "lost at", "from here the norm as held is off by over 1 %"],
    ["log10_ratio", "log10 left"], ["r2", "r²"], ["predicted_rate", "predicted rate"],
    ["predicted_log10_ratio", "predicted log10 left"], ["sigma_max", "σ max"],
    ["spectral_radius", "spectral radius"], ["bound_log10_ratio", "log10 bound"]
  ];
  const columns = [
    {key: "case", title: "case", kind: "case"}, {key: "device", title: "device", kind: "name"},
    ...settingColumns(rows), {key: "direction", title: "over"},
    {key: "verdict", title: "verdict", kind: "verdict"},
    ...numbers.map(([key, title, help]) => ({key, title, help, kind: "number"}))
  ].filter(column => rows.some(row => (row[column.key] ?? "") !== ""));
  part(
      "decay", "Decay",
      "A row for each case, device and direction: how the norm falls, where the format gives out, and what theory and linear algebra say of the same weights.",
      "")
      .append(sortable(columns, rows, {caption: "Decay"}));
}

function environmentSection() {
  const runs = DATA.runs;
  const keys = unique(runs.flatMap(run => run.environment.map(([key]) => key)));
  const value = runs.map(run => new Map(run.environment));
  const table = (names, wanted) =>
      make("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": "Environment"},
           make("table", {},
                make("thead", {},
                     make("tr", {}, make("th", {scope: "col"}, ""),
                          ...runs.map(run => make("th", {scope: "col"}, run.name)))),
                make("tbody", {},
                     ...names.map(
                         key => make("tr", {}, make("th", {scope: "row"}, key),
                                     ...runs.map((_, i) => make("td", {class: "value"}, wanted(i, key))))))));
  const facts = runs.map(run => new Map([
                           ["run", run.run_id], ["time", run.time], ["hardware", run.hardware_id],
                           ["build", run.build_id], ...run.facts
                         ]));
  const holder = part("environment", "Environment",
                      "Compare figures of different machines with these lines in view.", "");
  holder.append(table(unique(facts.flatMap(fact => [...fact.keys()])), (i, key) => facts[i].get(key) ?? ""));
  if (!keys.length) return;
  const differing = keys.filter(key => unique(value.map(one => one.get(key))).length > 1);
  const all = (names, title) => names.length ?
      holder.append(make("details", {}, make("summary", {}, `${title} (${names.length})`),
                         table(names, (i, key) => value[i].get(key) ?? ""))) :
      null;
  if (runs.length > 1) all(differing, "Lines that differ");
  all(keys, "All lines");
}
