// What the theme lacks: a search that works where pages are opened as files (the theme's asks a web server for its index),
// a button that copies a block of code, and tables that the keyboard scrolls.
"use strict";

(() => {
  const at = (path) => `${base_url.replace(/\/$/, "")}/${path}`;
  const load = (path) =>
    new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = at(path);
      script.onload = resolve;
      script.onerror = () => reject(new Error(`${path} is not beside the pages`));
      document.head.append(script);
    });

  // The index is fetched by the first search alone.
  let ready = null;
  const index = () => {
    ready ??= Promise.all([load("search/lunr.js"), load("search/search_index.js")]).then(() => {
      const pages = new Map(window.searchIndex.docs.map((each) => [each.location, each]));
      const lines = lunr(function () {
        this.ref("location");
        this.field("title", { boost: 5 });
        this.field("text");
        for (const page of pages.values()) this.add(page);
      });
      return { lines, pages };
    });
    return ready;
  };

  // Every word must be there, the last one may be the beginning of one.
  const find = ({ lines, pages }, asked) => {
    const words = lunr.tokenizer(asked).map(String);
    const found = lines.query((query) => {
      words.forEach((word, place) => {
        const presence = lunr.Query.presence.REQUIRED;
        const wildcard = place === words.length - 1 ? lunr.Query.wildcard.TRAILING : lunr.Query.wildcard.NONE;
        query.term(lines.pipeline.runString(word), { presence, wildcard });
      });
    });
    return found.slice(0, 30).map((each) => pages.get(each.ref));
  };

  const line = (page, pages) => {
    const whole = pages.get(page.location.split("#")[0]);
    const article = document.createElement("article");
    const [title, link, text] = ["h3", "a", "p"].map((name) => document.createElement(name));
    link.href = at(page.location);
    link.textContent = whole && whole !== page ? `${whole.title}: ${page.title}` : page.title;
    text.textContent = page.text.slice(0, 200);
    title.append(link);
    article.append(title, text);
    return article;
  };

  const field = document.getElementById("mkdocs-search-query");
  const results = document.getElementById("mkdocs-search-results");
  results.setAttribute("aria-live", "polite");
  field.form.addEventListener("submit", (event) => event.preventDefault());
  field.addEventListener("input", async () => {
    const asked = field.value.trim();
    const all = await index();
    const found = asked.length > 1 ? find(all, asked) : [];
    if (asked !== field.value.trim()) return; // typed on meanwhile
    results.replaceChildren(...found.map((page) => line(page, all.pages)));
    if (!found.length && asked.length > 1) results.textContent = results.dataset.noResultsText;
  });

  // The same page of another version, where there are several beside each other (docs/site/publish.py).
  const told = document.getElementById("site-version");
  if (told && window.siteVersions.length > 1) {
    const choice = document.createElement("select");
    choice.setAttribute("aria-label", "Version of these docs");
    choice.append(...window.siteVersions.map((each) => new Option(`Pulseproof ${each}`, each)));
    choice.value = told.dataset.version;
    choice.addEventListener("change", () => {
      const here = location.href.split("#")[0].slice(new URL(at("."), location.href).href.length);
      location.href = at(`../${choice.value}/${here}`);
    });
    told.replaceChildren(choice);
  }

  for (const block of document.querySelectorAll(".codehilite")) {
    const code = block.querySelector("code");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(code.textContent.replace(/^\$ /gm, ""));
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    block.prepend(button);
  }
})();
