// Tables: sort by a header's button, filter by text and selects, and the table of all rows, a hundred at a time.
// Everything else on the page is there without a script.
"use strict";

document.documentElement.className = "scripted";

(() => {
  const PAGE = 100;
  const collator = new Intl.Collator("en", {numeric: true});

  // Nothing measured stands last, whichever way the rest is sorted.
  function compare(a, b, down) {
    const none = (value) => value === null || value === undefined || value === "";
    if (none(a) || none(b)) return none(a) - none(b);
    const order = typeof a === "number" && typeof b === "number" ? a - b : collator.compare(String(a), String(b));
    return down ? -order : order;
  }

  // Turns each header of a table into a button; `sort` is called with the column and whether it is to fall.
  function sortable(table, sort) {
    const heads = [...table.querySelectorAll("thead th")];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((each) => each.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        sort(column, down);
      });
    });
  }

  function valueOf(cell) {
    const value = cell.dataset.value ?? cell.textContent.trim();
    if (value === "" || value === "-") return null;
    return Number.isNaN(Number(value)) ? value : Number(value);
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    sortable(table, (column, down) => {
      const rows = [...body.rows].map((row) => [valueOf(row.cells[column]), row]);
      rows.sort((a, b) => compare(a[0], b[0], down));
      body.append(...rows.map(([, row]) => row));
    });
  }

  // ---- all rows ----

  const given = document.getElementById("rows-data");
  const form = document.getElementById("filters");
  if (!given || !form || !document.getElementById("rows")) return;
  const data = JSON.parse(given.textContent);
  const table = document.getElementById("rows");
  const more = document.getElementById("rows-more");
  const said = document.getElementById("rows-count");
  let order = Array.from({length: data.count}, (_, at) => at);
  let found = order;
  let shown = 0;

  function get(key, at) {
    const column = data.columns[key];
    if (Array.isArray(column)) return column[at];
    return column.at[at] < 0 ? null : column.texts[column.at[at]];
  }

  const auc = (value) => value.toFixed(3).replace(/^0\./, ".");
  const signed = (value) => (value < 0 ? "\u2212" : "+") + Math.abs(value).toFixed(3).replace(/^0\./, ".");
  const three = (value) => (value < 999.5 ? String(Number(value.toPrecision(3))) : Math.round(value).toLocaleString("en"));
  const FORMS = {
    text: String, number: String, whole: (value) => value.toLocaleString("en"), auc, signed, three,
    interval: (low, at) => { const high = get("auc_high", at); return high === null ? "" : `[${auc(low)}, ${auc(high)}]`; },
    share: (value) => `${(100 * value).toFixed(1)} %`, one: (value) => value.toFixed(1),
    kilo: (value) => three(value / 1000), mega: (value) => three(value / 1e6),
  };

  function fill() {
    const part = document.createDocumentFragment();
    for (const at of found.slice(shown, shown + PAGE)) {
      const row = document.createElement("tr");
      for (const [key, , form] of data.show) {
        const cell = document.createElement("td");
        const value = get(key, at);
        cell.textContent = value === null ? "-" : FORMS[form](value, at);
        if (key === "auc" && data.failed[at]) cell.textContent = data.failed[at];
        if (form === "text") cell.className = key === "note" ? "long" : "left";
        row.append(cell);
      }
      part.append(row);
    }
    table.tBodies[0].append(part);
    shown = Math.min(found.length, shown + PAGE);
    more.hidden = shown >= found.length;
    const all = data.count.toLocaleString("en");
    said.textContent = `${found.length.toLocaleString("en")} of ${all} rows, ${shown.toLocaleString("en")} shown`;
  }

  function again() {
    table.tBodies[0].replaceChildren();
    shown = 0;
    fill();
  }

  const KEYS = ["device", "model", "recipe", "method", "budget_mv"];
  const texts = new Map(); // what a row is searched in, made when it is first searched

  function searched(at) {
    if (!texts.has(at)) {
      const keys = [...KEYS, "source", "flags", "note"].filter((key) => key in data.columns);
      texts.set(at, keys.map((key) => get(key, at) ?? "").join(" ").toLowerCase());
    }
    return texts.get(at);
  }

  function filter() {
    const asked = Object.fromEntries(new FormData(form));
    const words = asked.text.toLowerCase().split(/\s+/).filter(Boolean);
    const keys = KEYS.filter((key) => asked[key]);
    found = order.filter((at) => keys.every((key) => String(get(key, at)) === asked[key])
      && words.every((word) => searched(at).includes(word)));
    for (const row of document.querySelectorAll("table.results tbody tr")) {
      const own = ["device", "model", "recipe"].every((key) => !asked[key] || row.dataset[key] === asked[key]);
      const name = `${row.dataset.device} ${row.dataset.model} ${row.dataset.recipe}`.toLowerCase();
      row.hidden = !own || !words.every((word) => name.includes(word));
    }
    for (const mark of document.querySelectorAll("table.results [data-budget]")) {
      const head = mark.closest("th");
      const hide = Boolean(asked.budget_mv) && asked.budget_mv !== "0" && mark.dataset.budget !== asked.budget_mv;
      for (const row of head.closest("table").rows) row.cells[head.cellIndex].hidden = hide;
    }
    again();
  }

  const head = document.createElement("tr");
  for (const [, name, form] of data.show) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = name;
    if (form === "text") cell.className = "left";
    head.append(cell);
  }
  table.createTHead().append(head);
  table.createTBody();
  sortable(table, (column, down) => {
    const key = data.show[column][0];
    order = [...order].sort((a, b) => compare(get(key, a), get(key, b), down) || a - b);
    filter();
  });
  more.addEventListener("click", fill);
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  filter();
  // What is folded away is printed too.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => { each.open = true; }));
})();
