// The viewer: a recording on ECG paper (25 mm/s, 10 mm/mV), clean and attacked over each other, the difference magnified
// below, and the scores of one artifact before and after. Everything comes from the block of data in the page.
"use strict";

(() => {
  const given = document.getElementById("viewer-data");
  if (!given || !document.getElementById("viewer")) return;
  const data = JSON.parse(given.textContent);
  const SPEED = 25, GAIN = 10; // mm/s, mm/mV
  const PULSE = 8, MARGIN = 5; // mm: room of the calibration pulse, and around
  const KINDS = {i1: Int8Array, i2: Int16Array, i4: Int32Array, f4: Float32Array};
  const NONE = "noise: on nothing";
  const select = Object.fromEntries(["record", "method", "source", "budget", "lead", "artifact"]
    .map((key) => [key, document.getElementById(`viewer-${key}`)]));
  const size = data.leads.length * data.samples;
  const unpacked = new Map();

  // Raw DEFLATE in base64 to an array of numbers, little-endian as every browser's machine is.
  function unpack(text, kind) {
    if (!unpacked.has(text)) {
      const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
      unpacked.set(text, new Response(stream).arrayBuffer().then((buffer) => new KINDS[kind](buffer)));
    }
    return unpacked.get(text);
  }

  function options(element, values, keep) {
    const before = keep ?? element.value;
    element.replaceChildren(...values.map(([value, name]) => new Option(name, value)));
    const there = values.some(([value]) => String(value) === before);
    element.value = there ? before : String(values.length ? values[0][0] : "");
  }

  const distinct = (values) => [...new Set(values)];
  const named = (each) => each.source ?? NONE;

  // Each select offers what there is with those before it, and keeps what was chosen where that still exists.
  function offer() {
    options(select.method, distinct(data.sets.map((each) => each.method)).map((one) => [one, one]));
    const made = data.sets.filter((each) => each.method === select.method.value);
    options(select.source, distinct(made.map(named)).map((one) => [one, one]));
    const sized = made.filter((each) => named(each) === select.source.value);
    options(select.budget, sized.map((each) => each.budget).sort((a, b) => a - b).map((one) => [one, `${one} mV`]));
  }

  function chosen() {
    return data.sets.findIndex((each) => each.method === select.method.value && named(each) === select.source.value
      && String(each.budget) === select.budget.value);
  }

  const NS = "http://www.w3.org/2000/svg";
  function draw(name, attributes, text) {
    const element = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return element;
  }

  // The ruling: thin lines every millimeter, thick ones every fifth.
  function ruling(width, height) {
    const thin = [], thick = [];
    for (let x = 0; x <= width; x += 1) (x % 5 ? thin : thick).push(`M${x},0V${height}`);
    for (let y = 0; y <= height; y += 1) (y % 5 ? thin : thick).push(`M0,${y}H${width}`);
    return [draw("path", {class: "mm", d: thin.join("")}), draw("path", {class: "five", d: thick.join("")})];
  }

  // Values (mV) as a line; `zero` is the height of 0 mV on the paper.
  function trace(values, zero, gain, kind) {
    const step = SPEED / data.fs;
    const points = Array.from(values, (value, at) => `${(MARGIN + PULSE + at * step).toFixed(2)},${(zero - gain * value).toFixed(2)}`);
    return draw("path", {class: `trace ${kind}`, d: `M${points.join("L")}`});
  }

  // The largest of 1, 2, 5, 10, ... times 10 mm/mV at which the largest difference is at most 6 mm.
  function magnification(largest) {
    if (!largest) return 1;
    let best = 1;
    for (let power = 1; power <= 1e6; power *= 10) {
      for (const factor of [1, 2, 5]) if (factor * power * GAIN * largest <= 6) best = factor * power;
    }
    return best;
  }

  const millivolts = (steps) => Float64Array.from(steps, (each) => each * data.step);
  const largest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

  function paper(record, clean, difference, factor) {
    const leads = select.lead.value === "all" ? data.leads.map((_, at) => at) : [Number(select.lead.value)];
    const step5 = (value) => 5 * Math.ceil(value / 5);
    const parts = [];
    let top = 0;
    for (const lead of leads) {
      const from = record * size + lead * data.samples;
      const before = millivolts(clean.subarray(from, from + data.samples));
      const change = millivolts(difference.subarray(from, from + data.samples));
      const after = before.map((value, at) => value + change[at]);
      const high = Math.max(1, ...before, ...after), low = Math.min(0, ...before, ...after);
      const zero = top + step5(GAIN * high + 3);
      const below = step5(zero - top + GAIN * -low + 2) + top;
      const middle = below + 10;
      parts.push(draw("path", {class: "trace pulse", d: `M${MARGIN},${zero}h1.5v-${GAIN}h5v${GAIN}h1.5`}));
      parts.push(draw("text", {x: MARGIN + PULSE + 1, y: top + 4}, data.leads[lead]));
      parts.push(trace(before, zero, GAIN, "clean"), trace(after, zero, GAIN, "attacked"));
      parts.push(trace(change, middle, factor * GAIN, "difference"));
      parts.push(draw("text", {x: MARGIN, y: middle + 1, class: "soft"}, `\u00d7${factor}`));
      top = below + 20;
    }
    const width = Math.ceil(2 * MARGIN + PULSE + SPEED * data.samples / data.fs);
    const sheet = draw("svg", {class: "ecg", viewBox: `0 0 ${width} ${top}`, width: `${width}mm`, height: `${top}mm`, role: "img"});
    sheet.append(...ruling(width, top), ...parts);
    return sheet;
  }

  function decisions(scores, thresholds) {
    if (data.exclusive) {
      const best = scores.indexOf(Math.max(...scores));
      return scores.map((_, at) => at === best);
    }
    return thresholds ? scores.map((score, at) => score >= thresholds[at]) : null;
  }

  function table(record, artifact, before, after) {
    const said = [decisions(before, artifact.thresholds), decisions(after, artifact.thresholds)];
    const words = (score, yes) => `${score.toFixed(3)}${yes === undefined ? "" : yes ? " yes" : " no"}`;
    const element = document.getElementById("viewer-scores");
    element.replaceChildren();
    element.createCaption().textContent = `Scores of ${artifact.name} for this recording`
      + (said[0] ? (data.exclusive ? "; yes: the class of the highest score." : "; yes: at or above the threshold from validation recordings.") : ".");
    const head = element.createTHead().insertRow();
    for (const name of ["class", "true label", "clean", "attacked", "change", "decision"]) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = name;
      if (name === "class") cell.className = "left";
      head.append(cell);
    }
    const body = element.createTBody();
    let flips = 0;
    data.classes.forEach((name, at) => {
      const row = body.insertRow();
      const header = document.createElement("th");
      header.scope = "row";
      header.className = "left";
      header.textContent = name;
      row.append(header);
      const flip = said[0] !== null && said[0][at] !== said[1][at];
      flips += flip;
      const change = after[at] - before[at];
      for (const text of [
        data.records[record].labels[at] ? "yes" : "no",
        words(before[at], said[0]?.[at]),
        words(after[at], said[1]?.[at]),
        (change < 0 ? "\u2212" : "+") + Math.abs(change).toFixed(3),
      ]) row.insertCell().textContent = text;
      const last = row.insertCell();
      last.textContent = said[0] === null ? "no threshold" : flip ? "flips" : "stays";
      if (flip) last.className = "flip";
    });
    return said[0] === null ? "" : ` ${artifact.name}: ${flips} of ${data.classes.length} decisions flip.`;
  }

  let latest = 0;

  async function show() {
    const turn = ++latest;
    const record = Number(select.record.value), at = chosen();
    const artifact = data.artifacts.find((each) => each.name === select.artifact.value);
    if (at < 0 || !artifact) return;
    const packed = data.differences[at];
    const [clean, difference, scores] = await Promise.all(
      [unpack(data.clean, "i2"), unpack(packed.data, packed.kind), unpack(artifact.scores, "f4")]);
    if (turn !== latest) return; // something else was chosen meanwhile
    const change = largest(millivolts(difference.subarray(record * size, (record + 1) * size)));
    const factor = magnification(change);
    const set = data.sets[at], about = data.records[record];
    const sheet = paper(record, clean, difference, factor);
    document.getElementById("viewer-paper").replaceChildren(sheet);
    const classes = data.classes.length, records = data.records.length;
    const pick = (which) => Array.from(scores.subarray((which * records + record) * classes, (which * records + record + 1) * classes));
    const before = pick(0), after = pick(at + 1);
    let outcome = ` ${artifact.name} was not run on this signal set.`;
    if (Number.isNaN(after[0])) document.getElementById("viewer-scores").replaceChildren();
    else outcome = table(record, artifact, before, after);
    const true_ = data.classes.filter((_, k) => about.labels[k]).join(", ") || "none";
    const text = `Recording ${about.row} (${about.why}; labels: ${true_}), ${set.method}${set.source ? ` made on ${set.source}` : ""} at `
      + `${set.budget} mV: the largest change is ${Number(change.toPrecision(3))} mV, drawn ${factor} times magnified.${outcome}`;
    document.getElementById("viewer-said").textContent = text;
    sheet.setAttribute("aria-label", `ECG, lead ${select.lead.selectedOptions[0].textContent}. ${text}`);
  }

  options(select.record, data.records.map((each, at) => [at, `${each.row}: ${each.why}`]));
  const second = Math.max(0, data.leads.indexOf("II"));
  options(select.lead, [...data.leads.map((name, at) => [at, name]), ...(data.leads.length > 1 ? [["all", "all"]] : [])], String(second));
  options(select.artifact, data.artifacts.map((each) => [each.name, each.name]), data.first.artifact);
  // The first attack on the artifact that is shown, at the budget at which the recordings were chosen.
  const model = select.artifact.value.split("/")[0];
  const own = data.sets.filter((each) => each.source === model && each.method === "pgd");
  const start = own.find((each) => each.budget === data.first.budget) ?? own[0] ?? data.sets[0];
  // What the address says comes first; each of method, source and budget offers what there is with those before it.
  function choose(key, otherwise) {
    for (const value of [otherwise, pageState.get(`paper.${key}`)]) {
      if (value !== null && value !== undefined && [...select[key].options].some((one) => one.value === value)) {
        select[key].value = value;
      }
    }
    offer();
  }
  offer();
  choose("method", start?.method);
  choose("source", start && named(start));
  choose("budget", start && String(start.budget));
  for (const key of ["record", "lead", "artifact"]) choose(key);
  for (const [key, element] of Object.entries(select)) {
    element.addEventListener("change", () => {
      offer();
      pageState.set(Object.fromEntries(["method", "source", "budget", key].map((each) => [`paper.${each}`, select[each].value])));
      show();
    });
  }
  if ("DecompressionStream" in window) show();
  else document.getElementById("viewer-said").textContent = "This browser is too old for the viewer (it lacks DecompressionStream).";
})();
