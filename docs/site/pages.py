"""What the docs as a site need beyond mkdocs.yml: the pages that lie beside docs/, and links that fit the site.

In: the files of docs/, README.md, CHANGELOG.md, CONTRIBUTING.md and CITATION.cff. Out: one flat folder of pages. In
the repository a link from README.md says ``docs/studies.md`` and one from docs/ ``../README.md``; on the site all pages
are beside each other and README.md is the first.
"""

from __future__ import annotations

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
LINK = re.compile(r"(\]\()(?:\.\./|docs/)([^):]*\))")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie beside docs/."""
    for name, page in BESIDE.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text("utf-8")))
    # GitHub shows a file without an end as text; a browser would save it.
    files.append(File.generated(config, "CITATION.txt", abs_src_path=str(ROOT / "CITATION.cff")))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Turn the repository's links into the site's."""
    beside = LINK.sub(r"\1\2", markdown)
    return beside.replace("](README.md", "](index.md").replace("](CITATION.cff)", "](CITATION.txt)")
