"""axe-core on an open page: every rule, and the contrast of texts once for each way in which text is painted.

Of a page of results nearly all of axe's time goes into the contrast of thousands of cells that look alike. Two texts
are painted alike when they and every element around them agree in all that decides about contrast: colours, grounds,
sizes, weights, shadows, opacity, filters, how they are placed and shown. Of each such class the first, the middle one
and the last are looked at. All other rules see every element.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest

# {include: ...} of axe: some elements with text of their own from each class that is painted alike.
PAINTED = """(() => {
  const decides = ['color', 'backgroundColor', 'backgroundImage', 'backgroundClip', 'opacity', 'fontSize', 'fontWeight',
    'textShadow', 'webkitTextFillColor', 'webkitTextStrokeWidth', 'filter', 'mixBlendMode', 'position', 'zIndex',
    'display', 'visibility', 'overflow', 'clip', 'clipPath', 'transform'];
  const known = new Map(), numbers = new Map(), classes = new Map();
  const painted = (each) => {
    if (each === null) return '';
    if (!known.has(each)) {
      const style = getComputedStyle(each);
      const around = painted(each.parentElement);
      const way = JSON.stringify([each.localName, ...decides.map((key) => style[key]), around]);
      if (!numbers.has(way)) numbers.set(way, numbers.size);
      known.set(each, numbers.get(way));
    }
    return known.get(each);
  };
  const own = (node) => node.nodeType === Node.TEXT_NODE ? node.data.trim() : '';
  const said = (each) => [...each.childNodes].map(own).join('');
  for (const each of document.body.querySelectorAll('*')) {
    const text = said(each) || each.matches('input, select, textarea, button');
    const box = each.getBoundingClientRect();
    if (!text || !box.width || !box.height) continue;
    classes.set(painted(each), [...(classes.get(painted(each)) ?? []), each]);
  }
  return [...classes.values()].flatMap((all) => {
    const words = all.filter((each) => said(each).length > 1);  // of a single character axe does not judge
    const chosen = words.length ? words : all;
    return [chosen[0], chosen[chosen.length >> 1], chosen[chosen.length - 1]];
  });
})()"""
COLOURS = f"""axe.run({{include: [...new Set({PAINTED})]}},
  {{runOnly: ['color-contrast'], preload: false, resultTypes: ['violations']}})"""
OTHERS = """axe.run(document,
  {rules: {'color-contrast': {enabled: false}}, preload: false, resultTypes: ['violations']})"""


def look_with_axe(page: Any) -> None:
    """Bring axe-core into a page. Skips where there is none."""
    pytest.importorskip("axe_playwright_python", reason="no axe-core here: make setup installs it")
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8"))


def faults(page: Any) -> list[str]:
    """What axe finds amiss with a page as it stands."""
    found = page.evaluate(OTHERS)
    assert len(found["passes"]) > 20, "hardly a rule applied"
    return _said(found) + faults_of_colour(page)


def faults_of_colour(page: Any) -> list[str]:
    """:func:`faults` of contrast alone: what is another in the dark."""
    found = page.evaluate(COLOURS)
    assert found["passes"] or found["violations"], "no text was looked at"
    return _said(found)


def _said(found: Any) -> list[str]:
    return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found["violations"]]
