// What the reader chose stands in the address, behind the section: #results?text=cnn&sort.rows=auc.down. So a link
// leads where its sender was, and a reload changes nothing. Here too: what folds is opened where a link leads, and on
// paper.
"use strict";

document.documentElement.className = "scripted";

const pageState = (() => {
  function parsed() {
    const [, anchor, rest] = /^#?([^?]*)\??(.*)$/s.exec(location.hash);
    return {anchor: decodeURIComponent(anchor), values: new URLSearchParams(rest)};
  }

  let {anchor, values} = parsed();
  const told = () => `#${encodeURIComponent(anchor)}${values.size ? `?${values}` : ""}`;

  // A page without any choice keeps a bare address.
  function write(how) {
    const address = anchor || values.size ? told() : "#";
    if (address !== (location.hash || "#")) history[how](null, "", address);
  }

  const get = (key) => values.get(key);

  // Written a moment later: who types changes it at every letter, and browsers allow only so many changes of an address.
  let later = null;
  function set(changes) {
    for (const [key, value] of Object.entries(changes)) {
      if (value === null || value === undefined || value === "") values.delete(key);
      else values.set(key, value);
    }
    clearTimeout(later);
    later = setTimeout(() => write("replaceState"), 150);
  }
  addEventListener("pagehide", () => write("replaceState"));

  // Opens what folds around an element, and inside it the section's own.
  function reveal(id) {
    const target = document.getElementById(id);
    if (!target) return false;
    for (let each = target; each; each = each.parentElement) if (each.localName === "details") each.open = true;
    const own = target.querySelector(":scope > details.fold");
    if (own) own.open = true;
    target.scrollIntoView();
    return true;
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const id = decodeURIComponent(link.getAttribute("href").slice(1));
    if (!reveal(id)) return;
    event.preventDefault();
    anchor = id;
    write("pushState");
    const to = document.querySelector(`#${CSS.escape(id)} > details.fold > summary`) ?? document.getElementById(id);
    to.focus({preventScroll: true});
  });

  // A section that was opened by hand is where a reload comes back to.
  for (const fold of document.querySelectorAll("details.fold")) {
    fold.querySelector("summary").addEventListener("click", () => {
      anchor = fold.open ? "" : fold.parentElement.id;  // as it stands before the click
      write("replaceState");
    });
  }

  addEventListener("popstate", () => {
    ({anchor, values} = parsed());
    if (anchor) reveal(anchor);
  });

  // Each section stands open on paper but for what fills pages and is of no use there (the style sheet leaves that out);
  // what folds inside of one is printed as it stands. Afterwards all is as before.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("section:not(.off-paper) > details.fold:not([open])")];
    for (const each of opened) each.open = true;
  });
  addEventListener("afterprint", () => {
    for (const each of opened) each.open = false;
    opened = [];
  });

  addEventListener("load", () => { if (anchor) reveal(anchor); });
  return {get, set};
})();
