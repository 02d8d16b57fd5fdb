// Files out of the page itself, which was perhaps sent by mail: rows as CSV and JSON, tables as CSV, pictures as PNG.
// Everything is made on a click, of the data in the page; nothing is asked of a network.
"use strict";

(() => {
  const given = document.getElementById("files-data");
  const data = given ? JSON.parse(given.textContent) : {};

  function save(name, content, type) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], {type}));
    link.download = name;
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }

  // ---- rows ----

  let unpacked = null;
  function rowsText() {
    if (!unpacked) {
      const bytes = Uint8Array.from(atob(data.results), (letter) => letter.charCodeAt(0));
      unpacked = new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"))).text();
    }
    return unpacked;
  }

  // As report/numbers/texts.py writes it: a text that a spreadsheet would take for a formula gets an apostrophe.
  function cell(value) {
    if (value === null || value === undefined) return "";
    if (value === true) return "True";
    if (value === false) return "False";
    let text = String(value);
    if (typeof value === "string" && /^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]/.test(text)) text = `'${text}`;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }
  const csv = (lines) => lines.map((line) => `${line.map(cell).join(",")}\n`).join("");

  function rowsCsv(rows) {
    const keys = Object.keys(rows[0] ?? {});
    const flat = (value) => (value !== null && typeof value === "object" ? JSON.stringify(value) : value);
    return csv([keys, ...rows.map((row) => keys.map((key) => flat(row[key])))]);
  }

  function classesCsv(rows) {
    const heads = ["device", "model", "recipe", "signals", "name", "auc", "auc_low", "auc_high", "recordings", "patients"];
    const lines = rows.flatMap((row) => Object.entries(row.class_aucs ?? {}).map(([name, value]) => [
      row.device, row.model, row.recipe, row.signals, name, ...heads.slice(5).map((key) => value[key])]));
    return csv([heads, ...lines]);
  }

  const MADE = {
    "results.json": async () => rowsText(),
    "results.csv": async () => rowsCsv(JSON.parse(await rowsText())),
    "class-aucs.csv": async () => classesCsv(JSON.parse(await rowsText())),
    "per-class.csv": async () => data["per-class.csv"],
  };
  const there = (name) => (name === "per-class.csv" ? data[name] : data.results && "DecompressionStream" in window);

  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a.file");
    if (!link) return;
    const name = link.getAttribute("href");
    if (!MADE[name] || !there(name)) return; // the file beside the page then
    event.preventDefault();
    save(name, await MADE[name](), name.endsWith("json") ? "application/json" : "text/csv");
  });

  // ---- tables ----

  const plain = (text) => text.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").toLowerCase();

  function button(word, what, act) {
    const element = document.createElement("button");
    element.type = "button";
    element.className = "take";
    element.textContent = word;
    element.setAttribute("aria-label", `${word}: ${what}`);
    element.addEventListener("click", act);
    return element;
  }

  for (const table of document.querySelectorAll("table.sortable:not(#rows)")) {
    const region = table.closest(".scroll");
    const name = region.getAttribute("aria-label");
    const text = (each) => each.textContent.replace(/\s+/g, " ").trim();
    const value = (each) => (each.dataset.value !== undefined && each.dataset.value !== "" && !Number.isNaN(Number(each.dataset.value))
      ? Number(each.dataset.value) : text(each));
    region.after(button("CSV", name, () => {
      const lines = [...table.rows].map((row, at) => [...row.cells].map(at ? value : text));
      save(`${plain(name)}.csv`, csv(lines), "text/csv");
    }));
  }

  // ---- pictures ----

  const LOOKS = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "opacity",
    "font-size", "font-family", "font-weight", "paint-order"];
  const ZOOM = 2;

  // A drawing by itself: what style sheets say of its parts, as attributes.
  function alone(svg) {
    const copy = svg.cloneNode(true);
    const parts = [svg, ...svg.querySelectorAll("*")], copies = [copy, ...copy.querySelectorAll("*")];
    parts.forEach((part, at) => {
      const style = getComputedStyle(part);
      for (const name of LOOKS) copies[at].setAttribute(name, style.getPropertyValue(name));
      copies[at].removeAttribute("class");
    });
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    return new XMLSerializer().serializeToString(copy);
  }

  function painted(text) {
    return new Promise((resolve, reject) => {
      const image = new Image();
      image.onload = () => resolve(image);
      image.onerror = reject;
      image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
    });
  }

  // The figure as it stands on the screen: its drawings, and the names of panels and of the legend.
  async function picture(figure) {
    const frame = figure.getBoundingClientRect();
    const canvas = document.createElement("canvas");
    const ink = getComputedStyle(document.documentElement);
    const caption = figure.querySelector("figcaption")?.getBoundingClientRect();
    const height = caption?.height ? caption.top - frame.top : frame.height;
    canvas.width = ZOOM * Math.ceil(frame.width);
    canvas.height = ZOOM * Math.ceil(height);
    const brush = canvas.getContext("2d");
    brush.scale(ZOOM, ZOOM);
    brush.fillStyle = ink.getPropertyValue("--paper");
    brush.fillRect(0, 0, canvas.width, canvas.height);
    for (const svg of figure.querySelectorAll("svg")) {
      const box = svg.getBoundingClientRect();
      if (box.width) brush.drawImage(await painted(alone(svg)), box.left - frame.left, box.top - frame.top, box.width, box.height);
    }
    for (const each of figure.querySelectorAll("h4, .legend li")) {
      const style = getComputedStyle(each), range = document.createRange();
      range.selectNodeContents(each.lastChild);
      const box = range.getClientRects()[0];
      if (!box) continue;
      brush.fillStyle = style.color;
      brush.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
      brush.textBaseline = "middle";
      brush.fillText(each.lastChild.textContent.trim(), box.left - frame.left, box.top + box.height / 2 - frame.top);
    }
    return new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });
  }

  for (const figure of document.querySelectorAll("figure")) {
    if (!figure.querySelector("svg.chart, svg.ecg")) continue;
    const name = figure.id || figure.closest("section")?.id || "picture";
    const caption = figure.querySelector("figcaption");
    const act = async () => save(`${name}.png`, await picture(figure), "image/png");
    (caption ?? figure).append(" ", button("PNG", caption ? `this picture, ${plain(name).replaceAll("-", " ")}` : name, act));
  }
})();
