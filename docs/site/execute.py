"""``make notebook``: execute the notebook of the docs, and keep its outputs in it.

In: docs/notebook.ipynb, and the recordings that PULSEPROOF_DATA names, if any. Out: the same file, each cell with what
it gave, without the times at which it ran.

    python docs/site/execute.py docs/notebook.ipynb
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from pulseproof.runtime.files import write_text

LIMIT_S = 600  # of one cell, on a busy machine


def executed(path: Path) -> Any:
    """The notebook at ``path`` with new outputs, run in an empty folder. Raises nbclient's CellExecutionError."""
    notebook = nbformat.read(path, as_version=4)
    root = path.absolute().parents[1]
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get("PYTHONPATH")
        data = os.environ.get("PULSEPROOF_DATA")
        os.environ["PYTHONPATH"] = os.pathsep.join(part for part in (str(root), before) if part)
        if data:
            os.environ["PULSEPROOF_DATA"] = str(Path(data).absolute())
        try:
            client = NotebookClient(notebook, timeout=LIMIT_S, resources={"metadata": {"path": folder}})
            client.execute()
        finally:
            for name, value in (("PYTHONPATH", before), ("PULSEPROOF_DATA", data)):
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when it ran
    notebook.metadata.language_info = {"name": "python"}
    return notebook


def main(path: Path) -> None:
    """Execute it and write it, whole or not at all."""
    write_text(path, nbformat.writes(executed(path)).rstrip("\n") + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
