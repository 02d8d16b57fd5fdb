"""What the docs as a site need beyond mkdocs.yml: the pages that lie beside docs/, and links that fit the site.

In: the files of docs/, README.md, CHANGELOG.md, CONTRIBUTING.md and CITATION.cff. Out: one flat folder of pages; a
notebook is one of them, with the outputs that are kept in it. In the repository a link from README.md says
``docs/studies.md`` and one from docs/ ``../README.md``; on the site all pages are beside each other and README.md is
the first. The pages are opened as files too, so the index of the search is a script (site/site.js reads it), and the
colours of code are two sheets.
"""

from __future__ import annotations

import base64
import json
import re
import tomllib
from pathlib import Path
from typing import Any

from markdown.extensions.toc import slugify
from mkdocs.structure.files import File, Files
from pygments.formatters import HtmlFormatter

ROOT = Path(__file__).parents[2]
BESIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "SECURITY.md": "SECURITY.md",
}
NOTEBOOK = re.compile(r"(\]\([\w-]+)\.ipynb\)")
LINK = re.compile(r"(\]\()(?:\.\./|docs/)([^):]*\))")
# The place of "## 1. The model": a name that begins with a figure is none that the theme's script can look up.
NUMBERED = re.compile(r"(\]\([\w.-]*#)(?=\d)")
BEFORE_A_FIGURE = "step-"
COLOURS = {"site/code-light.css": "default", "site/code-dark.css": "github-dark"}
WIDE = '<div class="wide" tabindex="0" role="group" aria-label="Table">'


def on_config(config: Any) -> Any:
    """Name the places of a page, by a function, which mkdocs.yml cannot; and say which version this is."""
    config.mdx_configs["toc"]["slugify"] = _place
    told = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    config.copyright = f'<span id="site-version" data-version="{told}">Pulseproof {told}</span>'
    return config


def _place(title: str, separator: str) -> str:
    name: str = slugify(title, separator)
    return f"{BEFORE_A_FIGURE}{name}" if name[:1].isdigit() else name


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie beside docs/."""
    for name, page in BESIDE.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text("utf-8")))
    for path in sorted((ROOT / "docs").glob("*.ipynb")):
        text, pictures = notebook_page(path)
        files.append(File.generated(config, f"{path.stem}.md", content=text))
        for name, picture in pictures.items():
            files.append(File.generated(config, name, content=picture))
    # GitHub shows a file without an end as text; a browser would save it.
    files.append(File.generated(config, "CITATION.txt", abs_src_path=str(ROOT / "CITATION.cff")))
    for name, style in COLOURS.items():
        colours: str = HtmlFormatter(style=style).get_style_defs(".codehilite")
        files.append(File.generated(config, name, content=colours))
    # Which versions are published beside this one: docs/site/publish.py fills it in.
    files.append(File.generated(config, "site/versions.js", content="window.siteVersions = [];\n"))
    # That of the theme starts a worker, which a page that was opened as a file may not; site.js searches.
    config.extra_javascript.remove("search/main.js")
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Turn the repository's links into the site's."""
    beside = LINK.sub(r"\1\2", markdown)
    numbered = NUMBERED.sub(rf"\1{BEFORE_A_FIGURE}", beside)
    numbered = NOTEBOOK.sub(r"\1.md)", numbered)
    return numbered.replace("](README.md", "](index.md").replace("](CITATION.cff)", "](CITATION.txt)")


def on_page_content(html: str, **_: Any) -> str:
    """What is wide scrolls by itself, by the keyboard too."""
    tables = html.replace("<table>", f"{WIDE}<table>").replace("</table>", "</table></div>")
    return tables.replace("<pre>", '<pre tabindex="0">')


def on_post_page(output: str, **_: Any) -> str:
    """The bar above is the page's banner: the theme does not say so, and a reader of screens would miss it."""
    return output.replace('<div class="navbar fixed-top', '<div role="banner" class="navbar fixed-top', 1)


def on_post_build(config: Any) -> None:
    """Write the index of the search as a script beside the JSON."""
    folder = Path(config.site_dir) / "search"
    index = (folder / "search_index.json").read_text("utf-8")
    (folder / "search_index.js").write_text(f"window.searchIndex = {index};\n", "utf-8")


def notebook_page(path: Path) -> tuple[str, dict[str, bytes]]:
    """A notebook as Markdown, and the pictures that it shows by their names: its cells, with what each gave below."""
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            text = "".join(output.get("text", []) or data.get("text/plain", []))
            if "image/png" in data:
                name = f"{path.stem}-{len(pictures) + 1}.png"
                pictures[name] = base64.b64decode("".join(data["image/png"]))
                parts.append(f"![What the cell above draws]({name})")
            elif text:
                parts.append(f"```text\n{text.rstrip()}\n```")
    return "\n\n".join(parts) + "\n", pictures
