"""The address of a file on a model hub, as a study writes it: ``hf://owner/name/path.onnx@revision``.

In: a text. Out: its parts, or a sentence about what is wrong with it. Nothing is fetched here (:mod:`core.hub`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SCHEME = "hf://"
_PART = r"[A-Za-z0-9_][A-Za-z0-9._+-]*"  # never ".." nor hidden
_ADDRESS = re.compile(
    rf"{SCHEME}(?P<repository>{_PART}/{_PART})/(?P<path>{_PART}(?:/{_PART})*)@(?P<revision>{_PART}(?:/{_PART})*)"
)


@dataclass(frozen=True)
class HubFile:
    """``path`` within ``repository`` (``owner/name``) at a ``revision``: a commit, a tag or a branch."""

    repository: str
    path: str
    revision: str


def hub_file(text: str) -> HubFile | None:
    """The parts of an address; None for what is a path here. Raises ValueError for an address that is not whole."""
    if not text.startswith(SCHEME):
        return None
    match = _ADDRESS.fullmatch(text)
    if match is None:
        without = "" if "@" in text else ": the revision is missing, a commit, a tag or a branch"
        raise ValueError(f"{text[:200]!r} is no file of a hub{without}; write hf://owner/name/file.onnx@revision")
    return HubFile(**match.groupdict())


def path_of(text: str) -> str:
    """A path, or that within its repository: what tells the kind of file."""
    found = hub_file(text)
    return text if found is None else found.path
