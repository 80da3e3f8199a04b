/* Filters, theme, and the order of the sections. */
const FILTERS = [
  ["kind", "Network"], ["device", "Device"], ["dtype", "Format"], ["init", "Initialiser"],
  ["status", "Status"]
];
const off = new Map(FILTERS.map(([key]) => [key, new Set()]));  // what is unticked
let search = "";

const keep = row => FILTERS.every(([key]) => row[key] === undefined || !off.get(key).has(row[key])) &&
    (!search || search.toLowerCase().split(/\s+/).every(word => row.case.toLowerCase().includes(word)));

function buildFilters() {
  const choices = document.getElementById("choices");
  for (const [key, title] of FILTERS) {
    const values = unique(ROWS.map(row => row[key] ?? "")).filter(value => value !== "");
    if (values.length < 2) continue;
    const boxes = values.map(value => {
      const box = make("input", {
        type: "checkbox",
        checked: true,
        name: key,
        value,
        onchange: () => {
          off.get(key)[box.checked ? "delete" : "add"](value);
          later();
        }
      });
      return make("label", {class: "chip"}, box, value);
    });
    choices.append(make("fieldset", {"data-filter": key}, make("legend", {}, title), ...boxes));
  }
  const field = make("input", {
    type: "search",
    id: "search",
    placeholder: "lstm t1024",
    autocomplete: "off",
    oninput: () => {
      search = field.value.trim();
      later();
    }
  });
  const reset = make("button", {
    type: "button",
    id: "reset",
    onclick: () => {
      off.forEach(set => set.clear());
      choices.querySelectorAll("input[type=checkbox]").forEach(box => {
        box.checked = true;
      });
      field.value = search = "";
      show();
    }
  },
                     "Reset");
  choices.append(make("label", {class: "field"}, "Case", field), reset);
}

let waiting = 0;
function later() {
  clearTimeout(waiting);
  waiting = setTimeout(show, 150);
}

function show() {
  round += 1;
  const sections = document.getElementById("sections");
  sections.replaceChildren();
  const shown = ROWS.filter(keep);
  document.getElementById("count").textContent =
      `${shown.length.toLocaleString("en")} of ${ROWS.length.toLocaleString("en")} measurements shown`;
  if (!shown.length) sections.append(note("Nothing fits these filters."));
  DATA.notes.forEach(words => sections.append(note(words)));
  if (shown.length) {
    changeSection(keep);
    curveSection("depth", keep);
    curveSection("time", keep);
    verdictSection(keep);
    remedySection(keep);
    speedSection(keep);
    deviceSection(keep);
    roofSection(keep);
    caseSection(keep);
    decaySection(keep);
  }
  environmentSection();
  document.querySelector("nav ul").replaceChildren(...[...sections.querySelectorAll("section.part")].map(
      section =>
          make("li", {}, make("a", {href: `#${section.id}`}, section.querySelector("h2").textContent))));
  const mine = round;
  queue = queue.then(() => {
    if (mine === round) document.body.dataset.ready = mine;
  });
}

function theme() {
  const names = ["system", "light", "dark"], button = document.getElementById("theme");
  let at = 0;
  button.addEventListener("click", () => {
    at = (at + 1) % names.length;
    if (at)
      document.documentElement.dataset.theme = names[at];
    else
      delete document.documentElement.dataset.theme;
    button.textContent = `Theme: ${names[at]}`;
  });
}

document.querySelector("#summary ul")
    .append(...DATA.summary.map(({kind, lead, text: words}) =>
                                    make("li", {class: kind}, make("b", {}, lead), " ", words)));
if (narrow()) document.querySelector("#filters details").removeAttribute("open");
theme();
/* What stays on top when the page scrolls does not cover the section that a link leads to. */
const bar = document.getElementById("filters");
new ResizeObserver(
    () => document.documentElement.style.setProperty(
        "--bar", getComputedStyle(bar).position === "sticky" ? `${bar.offsetHeight}px` : "0px"))
    .observe(bar);
buildFilters();
document.getElementById("filters").addEventListener("submit", event => event.preventDefault());
show();
