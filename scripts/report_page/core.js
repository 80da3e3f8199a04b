/* The data as rows, and how its values are written. */
const DATA = JSON.parse(document.getElementById("data").textContent);

/* Columns to rows: lists of numbers, one value for all, or texts by their place in `names` or `known`. */
function rowsOf(columns, known = {}) {
  const keys = Object.keys(columns);
  const get = keys.map(key => {
    const column = columns[key];
    if (Array.isArray(column)) return column;
    if ("all" in column) return Array(column.count).fill(column.all);
    const names = column.names ?? known[key];
    return column.at.map(at => names[at]);
  });
  const count = keys.length ? get[0].length : 0;
  return Array.from({length: count}, (_, i) => Object.fromEntries(keys.map((key, k) => [key, get[k][i]])));
}

const unique = list => [...new Set(list)];
const CASES = new Map(rowsOf(DATA.cases).map(one => [one.case, one]));
const known = {
  case: [...CASES.keys()]
};
const ROWS = rowsOf(DATA.rows, known).map(row => ({...CASES.get(row.case), ...row}));
const DECAY = rowsOf(DATA.decay, known).map(row => ({...CASES.get(row.case), ...row}));
const CURVES = rowsOf(DATA.curves, known).map((head, i) => ({
                                                ...CASES.get(head.case),
                                                ...head,
                                                from: DATA.points.start[i],
                                                to: DATA.points.start[i + 1]
                                              }));
const PASSES = ["train", "fwd", "bwd", "bwd_data", "bwd_weights"].filter(pass => `${pass}_time` in DATA.rows);
const SETTINGS_COLUMNS = ["threads", "bind", "denormals"];
const CHECKING = new Set(["ref", "null"]);  // devices that compute for checking, not for speed

const DEVICES = unique(ROWS.map(row => row.device)).sort(), KINDS = unique(ROWS.map(row => row.kind)).sort();
const finite = value => typeof value === "number" && isFinite(value);
const by = (...keys) => (a, b) => keys.reduce((order, key) => order ||
                                                  (a[key] < b[key]     ? -1 :
                                                       a[key] > b[key] ? 1 :
                                                                         0),
                                              0);

function groupBy(list, key) {
  const out = new Map();
  for (const item of list) {
    const name = key(item);
    if (!out.has(name)) out.set(name, []);
    out.get(name).push(item);
  }
  return out;
}
const geometric = list => Math.exp(list.reduce((sum, x) => sum + Math.log(x), 0) / list.length);

const SUPERSCRIPT = {
  "-": "⁻",
  ...Object.fromEntries([..."⁰¹²³⁴⁵⁶⁷⁸⁹"].map((c, i) => [i, c]))
};
const superscript = value => [...String(value)].map(c => SUPERSCRIPT[c] ?? c).join("");

/* A number of `digits` places, short; what is not finite as it stands in the file. */
function text(value, digits = 4) {
  if (value === null || value === undefined || value === "") return "";
  if (!finite(value)) return String(value);
  const size = Math.abs(value);
  if (size >= 1e6 || (size < 1e-3 && size > 0)) return value.toExponential(digits - 1);
  return Number(value.toPrecision(digits)).toLocaleString("en", {maximumSignificantDigits: digits});
}

/* A norm from its log10, beyond the range of doubles too. */
function norm(log10) {
  if (log10 === "-inf") return "0";
  if (!finite(log10)) return log10 === null ? "" : String(log10);
  if (log10 > -3 && log10 < 4) return text(10 ** log10, 5);
  const whole = Math.floor(log10);
  return `${(10 ** (log10 - whole)).toFixed(3)} × 10${superscript(whole)}`;
}
const milliseconds = seconds => finite(seconds) ? text(seconds * 1e3) : "";
const shell = word => /^[\w@%+=:,.\/-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/* The command that repeats a row's case. */
function command(row) {
  const words = [`--case=${row.case}`, `--device=${row.plain_device}`];
  if (finite(row.threads)) words.push(`--threads=${row.threads}`);
  if (row.bind && row.bind !== "core") words.push(`--bind=${row.bind}`);
  if (row.denormals && row.denormals !== "keep") words.push(`--denormals=${row.denormals}`);
  return ["build/bench", ...words.map(shell)].join(" ");
}

/* Names that say only what differs within `rows`. */
const PARTS = [
  ["kind", v => v], ["depth", v => `d${v}`], ["width", v => `w${v}`], ["input", v => `i${v}`],
  ["output", v => `o${v}`], ["batch", v => `b${v}`], ["seq_len", v => `t${v}`], ["dtype", v => v],
  ["init", v => v], ["extra", v => v], ["layer", v => `layer ${v}`],
  ["threads", v => v === 1 ? "1 thread" : `${v} threads`], ["bind", v => `bind ${v}`],
  ["denormals", v => `denormals ${v}`], ["device", v => v]
];
function labels(rows, always = ["kind"], never = []) {
  const differing =
      PARTS.filter(([key]) => !never.includes(key) &&
                       (always.includes(key) || unique(rows.map(row => row[key] ?? "")).length > 1));
  return row => differing.map(([key, write]) => (row[key] ?? "") === "" ? "" : write(row[key]))
                    .filter(Boolean)
                    .join(" ") ||
      row.case;
}

/* An element with attributes, and children that are elements or text. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on"))
      element.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null)
      element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter(child => child !== null && child !== undefined));
  return element;
}
