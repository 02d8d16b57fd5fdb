"""A step of work that is done once, and done again only when what it depends on changed.

A step has a dictionary of inputs (plain JSON: settings, versions, hashes of earlier files), the code that does it
(:mod:`core.code_digest`), and files that it makes. When it ends it leaves a stamp, ``<name>.stamp.json``, with the
digests of the inputs and of the code and the SHA-256 of every output. It is *fresh* when both digests are the same and
every output still has its bytes: edited code, and a damaged, truncated or missing file, make the step run again. A
killed step leaves no stamp, so it runs again as well.

The code is no part of :attr:`Step.digest`: what is made again to the same bytes is the same to whatever depends on it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from pulseproof.core.code_digest import Code
from pulseproof.runtime.files import read_json, sha256_file, write_json


def digest(inputs: Any) -> str:
    """Return the SHA-256 of a JSON value in one canonical spelling: equal values give equal digests."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


class Step:
    """One step: ``folder/name`` is its identity, ``inputs`` and ``code`` what it depends on. ``unsaid_is_fresh``: a
    stamp of an older version, which does not say by which code, counts as this code's: for what is dear to make, and
    was made by code whose version stands among its inputs.

    >>> step = Step(Path("build/demo/models/cnn"), "train", {"seed": 1})
    >>> if not step.fresh():
    ...     train()                                 # writes weights.safetensors
    ...     step.done([weights])
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        inputs: dict[str, Any],
        code: Sequence[Code] = (),
        *,
        unsaid_is_fresh: bool = False,
    ) -> None:
        self.folder = Path(folder)
        self.name = name
        self.inputs = inputs
        self.digest = digest(inputs)
        self.code = digest([each.digest for each in code]) if code else None
        self.unsaid_is_fresh = unsaid_is_fresh
        self.stamp = self.folder / f"{name}.stamp.json"

    def fresh(self) -> bool:
        """True when the step was done with these inputs and its files are as it left them."""
        try:
            stamp = read_json(self.stamp)
            if stamp["digest"] != self.digest or not self._by_this_code(stamp):
                return False
            unchanged = "code" in stamp or self.code is None
            for name, seen in stamp["outputs"].items():
                status = (self.folder / name).stat()
                if (status.st_size, status.st_mtime_ns) != (seen["size"], seen["mtime_ns"]):
                    unchanged = False
                    if status.st_size != seen["size"] or sha256_file(self.folder / name) != seen["sha256"]:
                        return False
            # Only touched or copied, or an older version's: remember the new times and the code, so that it is not
            # hashed again, and an edit from here on is seen.
            if not unchanged:
                self.done(self.folder / name for name in stamp["outputs"])
            return True
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False

    def _by_this_code(self, stamp: dict[str, Any]) -> bool:
        unsaid = self.unsaid_is_fresh and "code" not in stamp
        return unsaid or bool(stamp.get("code") == self.code)

    def outputs(self) -> dict[str, str]:
        """Return {file name relative to the folder: SHA-256} of a step that is done."""
        return {name: seen["sha256"] for name, seen in read_json(self.stamp)["outputs"].items()}

    def done(self, outputs: Iterable[Path]) -> None:
        """Leave the stamp: this step is done, and these are its files."""
        seen = {}
        for path in outputs:
            with path.open("rb") as file:  # what is hashed is what the times are of, whatever is renamed over it
                status, sha256 = os.fstat(file.fileno()), hashlib.file_digest(file, "sha256").hexdigest()
            seen[str(path.relative_to(self.folder))] = {
                "sha256": sha256,
                "size": status.st_size,
                "mtime_ns": status.st_mtime_ns,
            }
        write_json(self.stamp, {"digest": self.digest, "code": self.code, "inputs": self.inputs, "outputs": seen})

    def run(self, action: Callable[[], Iterable[Path]]) -> bool:
        """Do ``action`` unless the step is fresh; it returns the files it made. True when there was work."""
        if self.fresh():
            return False
        self.stamp.unlink(missing_ok=True)
        self.done(list(action()))
        return True
