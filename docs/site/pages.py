"""What the docs as a site need beyond mkdocs.yml: the pages that lie beside docs/, and links that fit the site.

In: the files of docs/, README.md, CHANGELOG.md, CONTRIBUTING.md and CITATION.cff. Out: one flat folder of pages; a
notebook is one of them, with the outputs that are kept in it. In the repository a link from README.md says
``docs/studies.md`` and one from docs/ ``../README.md``; on the site all pages are beside each other and README.md is
the first.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
BESIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "SECURITY.md": "SECURITY.md",
}
NOTEBOOK = re.compile(r"(\]\([\w-]+)\.ipynb\)")
LINK = re.compile(r"(\]\()(?:\.\./|docs/)([^):]*\))")


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
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Turn the repository's links into the site's."""
    beside = LINK.sub(r"\1\2", markdown)
    beside = beside.replace("](README.md", "](index.md").replace("](CITATION.cff)", "](CITATION.txt)")
    return NOTEBOOK.sub(r"\1.md)", beside)


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
