"""The report of a study: rows, pictures, and one page to read them on, with no network.

In comes an :class:`~bench.evaluation.Evaluation`; out comes a folder:

    index.html           the page, pictures inside
    results.json .csv    every row, as `python -m bench table` prints them
    *.png                the pictures by themselves, for a paper or a slide
"""

from __future__ import annotations

import base64
import functools
import html
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.evaluation import Evaluation
from bench.figures import auc_against_budget, latency_against_auc
from bench.heatmap import draw_matrix
from bench.matrix import matrices, outside
from bench.pivot import Line, by_device, fullest_budget, middle_budget
from bench.remarks import audited, banner, legend, not_applicable, remarks
from bench.table import NOTHING, as_csv, as_json, cells, describe_device, header
from bench.texts import budget_text
from runtime.files import write_text

STYLE = """
:root { color-scheme: light dark; --line: #8886; --dim: light-dark(#555, #aaa); --loud: light-dark(#a33c00, #ff9a57); }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 80rem; padding: 1rem 1.2rem 3rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.note { color: var(--loud); font-weight: 700; border-left: .3rem solid; padding-left: .7rem; }
.scroll { overflow-x: auto; } .scroll:focus-visible { outline: 2px solid; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--dim); padding-bottom: .4rem; }
th, td { padding: .28rem .7rem .28rem 0; text-align: right; white-space: nowrap; vertical-align: bottom; }
th:nth-child(-n+2), td:nth-child(-n+2), tbody th { text-align: left; }
thead th { border-bottom: 2px solid var(--line); } tbody tr.first > * { border-top: 1px solid var(--line); }
tbody th { font-weight: 600; } .dim, figcaption { color: var(--dim); font-size: .9rem; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; background: #fff; border-radius: .3rem; }
pre { overflow-x: auto; padding: .7rem; border: 1px solid var(--line); border-radius: .3rem; font-size: .86rem; }
@media print { body { max-width: none; font-size: 11px; } .scroll { overflow: visible; } }
"""


def write_report(evaluation: Evaluation, folder: Path) -> Path:
    """Write the report into ``folder`` and return the page's path."""
    write_text(folder / "results.json", as_json(evaluation.rows))
    write_text(folder / "results.csv", as_csv(evaluation.rows))
    sections = [_device(evaluation, name, lines, folder) for name, lines in by_device(evaluation).items()]
    page = folder / "index.html"
    write_text(page, _page(evaluation, sections or [f"<p>{NOTHING}</p>"]))
    return page


def _device(evaluation: Evaluation, name: str, lines: Sequence[Line], folder: Path) -> str:
    """The section of one device: its table, what must stand below it, its pictures."""
    says = "".join(f"<li>{html.escape(each)}</li>" for each in remarks(evaluation, name))
    budget = middle_budget([row for row in evaluation.rows if row.device == name])
    at = "clean" if budget is None else f"under the worst attack at {budget_text(budget)}"
    pictures: list[tuple[str, str, Callable[[Path], bool]]] = [
        (
            "auc-vs-budget",
            "Macro AUC against the budget of the attack, one panel a model. Solid: the lowest attack, hollow where it "
            "came from another model; dotted: the worst case of each recording; band: controls of the same budget; the "
            "marker says the recipe. The same numbers stand in the table.",
            lambda path: auc_against_budget(evaluation, lines, path),
        ),
        (
            "latency-vs-auc",
            f"Median latency of one inference against macro AUC {at}. Up and to the left is better.",
            lambda path: latency_against_auc(evaluation, lines, budget, path),
        ),
    ]
    fullest = fullest_budget(evaluation.rows)
    for each in [] if fullest is None else matrices(evaluation, fullest):
        if each.device != name:
            continue
        off = " ".join(outside(evaluation, each))
        pictures.append(
            (
                "matrix",
                f"Macro AUC at {budget_text(each.epsilon_mv)}, a line a target, a column a source. Framed: made on "
                f"this model or this file; starred: the strongest attack of the line. {off}".strip(),
                functools.partial(draw_matrix, evaluation, each),
            )
        )
    figures = ""
    for stem, caption, draw in pictures:
        path = folder / f"{stem}-{name}.png"
        path.unlink(missing_ok=True)
        if draw(path):
            data = base64.b64encode(path.read_bytes()).decode()
            figures += (
                f'<figure><img src="data:image/png;base64,{data}" alt="{html.escape(caption)}">'
                f"<figcaption>{html.escape(caption)}</figcaption></figure>\n"
            )
    return (
        f"<section>\n<h2>Device {html.escape(name)}</h2>\n{_table(evaluation, name, lines)}\n"
        f'<ul class="dim">{says}</ul>\n{figures}</section>'
    )


def _table(evaluation: Evaluation, name: str, lines: Sequence[Line]) -> str:
    names = [html.escape(head).replace(": ", "<br>") for head in header(lines)]
    heads = "".join(f'<th scope="col">{head}</th>' for head in names)
    body, before = [], None
    for line in lines:
        texts = [html.escape(text) for text in cells(line, lines)]
        first = ' class="first"' if line.clean.model != before else ""
        before = line.clean.model
        rest = "".join(f"<td>{text}</td>" for text in texts[1:])
        body.append(f'<tr{first}><th scope="row">{texts[0]}</th>{rest}</tr>')
    title = html.escape(describe_device(evaluation, name))
    rows = "\n".join(body)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Results on {html.escape(name)}"><table>\n'
        f"<caption>{title}</caption>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
    )


def _page(evaluation: Evaluation, sections: Sequence[str]) -> str:
    head = evaluation.head
    title = html.escape(head.title)
    note = f'<p class="note">{html.escape(banner(evaluation))}</p>' if evaluation.note else ""
    left_out = "".join(f"<li>{html.escape(each)}</li>" for each in not_applicable(evaluation))
    left_out = f"<section><h2>Not applicable</h2><ul>{left_out}</ul></section>" if left_out else ""
    flags = "".join(f"<li>{html.escape(each)}</li>" for each in audited(evaluation))
    flags = f"<section><h2>Audit of the attacks</h2><ul>{flags}</ul></section>" if flags else ""
    fingerprints = {each.name: each.fingerprint for each in evaluation.devices}
    data = "" if head.synthetic else " DATA=recordings"
    command = f"make bench STUDY={html.escape(head.study)}.toml{data}"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Pulseproof: {title}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{note}
<p class="dim">{html.escape(legend(evaluation))}</p>
{"".join(sections)}
{flags}
{left_out}
<section>
<h2>How to make it again</h2>
<pre>{command}</pre>
<p>Every row is beside this page, in results.csv and results.json. What was measured on:</p>
<pre>{html.escape(json.dumps(fingerprints, indent=1))}</pre>
</section>
</main>
</body>
</html>
"""
