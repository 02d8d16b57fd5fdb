"""Keep the site of each version beside those before it: ``make site PUBLIC=public`` adds this one.

In: a site that was built, and a folder. Out: ``<folder>/<version>/`` with the pages, and in each version's
``site/versions.js`` the list of all, from which its pages make a choice (site/site.js); ``<folder>/index.html`` leads
to the newest. A version that is there already is replaced, the others keep their pages.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIST = "site/versions.js"
FIRST = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Pulseproof</title>
<meta http-equiv="refresh" content="0; url={version}/index.html"></head>
<body><main><h1>Pulseproof</h1><p><a href="{version}/index.html">The docs of version {version}</a></p></main></body>
</html>
"""


def version() -> str:
    """This version, as pyproject.toml says it."""
    told: str = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    return told


def publish(site: Path, folder: Path, name: str) -> list[str]:
    """Put ``site`` into ``folder`` as version ``name``; returns all versions there, the newest first."""
    place, incoming = folder / name, folder / f".{name}"
    shutil.rmtree(incoming, ignore_errors=True)
    shutil.copytree(site, incoming)
    shutil.rmtree(place, ignore_errors=True)
    incoming.rename(place)
    versions = sorted((path.parents[1].name for path in folder.glob(f"[!.]*/{LIST}")), key=_order, reverse=True)
    for each in versions:
        (folder / each / LIST).write_text(f"window.siteVersions = {json.dumps(versions)};\n", "utf-8")
    (folder / "index.html").write_text(FIRST.format(version=versions[0]), "utf-8")
    return versions


def _order(name: str) -> list[int]:
    """0.10.0 is newer than 0.9.1."""
    return [int(figure) for figure in re.findall(r"\d+", name)]


if __name__ == "__main__":
    print(*publish(Path(sys.argv[1]), Path(sys.argv[2]), version()))  # noqa: T201
