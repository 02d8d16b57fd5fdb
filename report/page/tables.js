// Tables: sort by a header's button, filter by artifact and selects, a hundred rows at a time. What is chosen goes into
// the address (state.js). Everything else on the page is there without a script.
"use strict";

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

  // Turns each header of a table into a button; `sort` is called with the column and whether it is to fall. The first
  // click puts the best on top: the largest of what is marked so. `name`: of the table in the address.
  function sortable(table, name, sort) {
    const heads = [...table.querySelectorAll("thead th")];
    function by(column, down) {
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      heads[column].setAttribute("aria-sort", down ? "descending" : "ascending");
      sort(column, down);
    }
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const before = head.getAttribute("aria-sort");
        const down = before ? before === "ascending" : "best" in head.dataset;
        by(column, down);
        pageState.set({[`sort.${name}`]: `${column}.${down ? "down" : "up"}`});
      });
    });
    table.dataset.name = name;
    const [column, way] = (pageState.get(`sort.${name}`) ?? "").split(".");
    if (heads[column] && ["up", "down"].includes(way)) by(Number(column), way === "down");
  }

  function valueOf(cell) {
    const value = cell.dataset.value ?? cell.textContent.trim();
    if (value === "" || value === "-") return null;
    return Number.isNaN(Number(value)) ? value : Number(value);
  }

  // More rows than anyone reads at once are drawn a hundred at a time.
  function limited(table) {
    const body = table.tBodies[0];
    if (body.rows.length <= PAGE) return () => {};
    const more = document.createElement("button");
    let limit = PAGE;
    function draw() {
      [...body.rows].forEach((row, at) => { row.hidden = at >= limit; });
      more.hidden = limit >= body.rows.length;
      more.textContent = `Show ${Math.min(PAGE, body.rows.length - limit)} more of ${body.rows.length}`;
    }
    more.type = "button";
    more.className = "more";
    more.addEventListener("click", () => { limit += PAGE; draw(); });
    table.closest(".scroll").after(more);
    addEventListener("beforeprint", () => { for (const row of body.rows) row.hidden = false; });
    addEventListener("afterprint", draw);
    draw();
    return draw;
  }

  [...document.querySelectorAll("table.sortable")].forEach((table, at) => {
    const body = table.tBodies[0];
    const again = limited(table);
    sortable(table, String(at), (column, down) => {
      const rows = [...body.rows].map((row) => [valueOf(row.cells[column]), row]);
      rows.sort((a, b) => compare(a[0], b[0], down));
      body.append(...rows.map(([, row]) => row));
      again();
    });
  });

  for (const button of document.querySelectorAll("button[data-whole]")) {
    button.addEventListener("click", () => {
      const whole = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(whole));
      button.textContent = whole ? "Show the main numbers" : "Show every number";
      button.parentElement.nextElementSibling.querySelector("table").classList.toggle("whole", whole);
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
    artifact: (model, at) => `${model}/${get("recipe", at)}`,
    text: String, number: String, whole: (value) => value.toLocaleString("en"), auc, signed, three,
    interval: (low, at) => { const high = get("auc_high", at); return high === null ? "" : `[${auc(low)}, ${auc(high)}]`; },
    share: (value) => `${(100 * value).toFixed(1)} %`, one: (value) => value.toFixed(1),
    kilo: (value) => three(value / 1000), mega: (value) => three(value / 1e6),
  };

  function fill() {
    const part = document.createDocumentFragment();
    for (const at of found.slice(shown, shown + PAGE)) {
      const row = document.createElement("tr");
      for (const [key, name, form] of data.show) {
        const cell = document.createElement(form === "artifact" ? "th" : "td");
        if (form === "artifact") cell.scope = "row";
        else cell.dataset.label = name;
        const value = get(key, at);
        cell.textContent = value === null ? "-" : FORMS[form](value, at);
        if (key === "auc" && data.failed[at]) cell.textContent = data.failed[at];
        if (form === "text" || form === "artifact") cell.classList.add("left");
        if (data.card.includes(key) && value !== null) cell.classList.add("key");
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
  // The text means the artifact alone: who looks for a CNN does not look for what was made on one.
  const named = (model, recipe) => `${model}/${recipe}`.toLowerCase();

  const artifacts = [...document.querySelectorAll("table.results tbody tr")];
  let picked = "";
  // What does not change is not touched: else the browser would lay the whole table out again.
  function show(element, yes) {
    if (element.hidden === yes) element.hidden = !yes;
  }

  function filter() {
    const asked = Object.fromEntries(new FormData(form));
    const words = asked.text.toLowerCase().split(/\s+/).filter(Boolean);
    const keys = KEYS.filter((key) => asked[key]);
    found = order.filter((at) => keys.every((key) => String(get(key, at)) === asked[key])
      && words.every((word) => named(get("model", at), get("recipe", at)).includes(word)));
    for (const row of artifacts) {
      const own = ["device", "model", "recipe"].every((key) => !asked[key] || row.dataset[key] === asked[key]);
      const name = named(row.dataset.model, row.dataset.recipe);
      show(row, own && words.every((word) => name.includes(word)));
    }
    const budget = asked.budget_mv && asked.budget_mv !== "0" ? asked.budget_mv : "";
    if (budget !== picked) {
      for (const mark of document.querySelectorAll("table.results [data-budget]")) {
        const head = mark.closest("th"), table = head.closest("table");
        table.classList.toggle("picked", Boolean(budget));
        for (const row of table.rows) show(row.cells[head.cellIndex], !budget || mark.dataset.budget === budget);
      }
      picked = budget;
    }
    pageState.set(asked);
    again();
  }

  const head = document.createElement("tr");
  for (const [, name, form] of data.show) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = name;
    if (form === "text" || form === "artifact") cell.className = "left";
    if (form === "auc" && name !== "gap to it") cell.dataset.best = "";
    head.append(cell);
  }
  table.createTHead().append(head);
  table.createTBody();
  for (const element of form.elements) {
    const kept = element.name ? pageState.get(element.name) : null;
    if (kept !== null) element.value = kept;
  }
  sortable(table, "rows", (column, down) => {
    const [key, , shown] = data.show[column];
    const of = (at) => (shown === "artifact" ? FORMS.artifact(get(key, at), at) : get(key, at));
    order = [...order].sort((a, b) => compare(of(a), of(b), down) || a - b);
    filter();
  });
  more.addEventListener("click", fill);
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  filter();
})();
