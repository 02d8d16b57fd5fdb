"""What Pulseproof is installed with: a table of licences, and a bill of materials, from the lock files.

    python docs/site/dependencies.py

In: the lock files (names, versions, SHA-256 of every file) and the metadata of what is installed from them. Out:
``docs/results/dependencies.md``, the table of docs/dependencies.md, and ``docs/sbom.cdx.json``, CycloneDX 1.6. Both are
equal for equal locks. A licence is what the distribution says of itself: its licence expression, else its licence
field, else its classifier, else the first words of its licence file; nobody's judgement of ours.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pulseproof.core.terminal.console import say
from pulseproof.runtime.files import write_text

ROOT = Path(__file__).parents[2]
TABLE, BILL, PAGE = ROOT / "docs/results/dependencies.md", ROOT / "docs/sbom.cdx.json", ROOT / "docs/dependencies.md"
LOCKS = ("requirements.lock", "requirements-torch-cpu.lock")
GET = (
    "make setup (of TensorFlow: pulseproof bring model.keras --with-tensorflow; of firmware: pip install --no-deps "
    "--require-hashes -r requirements-firmware.lock --target .venv/firmware/lib/python3.11/site-packages)"
)
APART = ("tflite-runtime", "tensorflow", "firmware")  # environments of their own: requirements-NAME.lock, in .venv/NAME
PINNED = re.compile(r"^([\w.-]+)==([\w.+-]+)((?: \\\n +--hash=sha256:[0-9a-f]{64})+)", re.MULTILINE)
SHA256 = re.compile(r"[0-9a-f]{64}")
UNSAID = "not stated"
# What people write, and what SPDX calls it. A classifier that says BSD does not say which.
SPDX = {
    "apache 2.0": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "apache license": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "mit license": "MIT",
    "bsd license": "BSD",
    "bsd 3-clause license": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}
NO_LICENCE = {"UNKNOWN", "OSI Approved", "DFSG approved"}


@dataclass(frozen=True)
class Locked:
    """One distribution of a lock. ``needs``: the refs of those of the same lock that it asks for itself; ``use``: what
    asks for it."""

    name: str
    version: str
    hashes: tuple[str, ...]
    licence: str
    needs: tuple[str, ...]
    use: str

    @property
    def ref(self) -> str:
        return ref_of(self.name, self.version)


def ref_of(name: str, version: str) -> str:
    """A distribution as a package URL, by which the bill of materials speaks of it."""
    return f"pkg:pypi/{name}@{version}"


def pins(text: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """{name: (version, SHA-256 of its files)} of a lock file."""
    found = PINNED.findall(text)
    return {canonicalize_name(name): (version, tuple(SHA256.findall(files))) for name, version, files in found}


def licence(distribution: Distribution) -> str:
    """What a distribution says of its licence, in SPDX's words where they are known."""
    said = distribution.metadata
    field = (said.get("License") or "").strip()
    classifiers = [each.split(" :: ")[-1] for each in said.get_all("Classifier") or [] if each.startswith("License")]
    names = [each for each in (said.get("License-Expression") or "", field, *classifiers) if "\n" not in each]
    for each in (*names, *(_title(text) for text in (field, *_licence_texts(distribution)))):
        if each and each not in NO_LICENCE:
            return SPDX.get(each.lower(), each)
    return UNSAID


def _licence_texts(distribution: Distribution) -> Iterator[str]:
    for file in distribution.files or []:
        if file.parent.name.endswith((".dist-info", "licenses")) and re.match(r"(?i)licen[cs]e", file.name):
            yield file.read_text(encoding="utf-8")


def _title(text: str) -> str:
    """Which licence a text is, by the words that only that one has."""
    words = " ".join(text.split())
    known = {
        "Apache-2.0": "Apache License Version 2.0",
        "MIT": "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and",
        "BSD-3-Clause": "Neither the name of",
    }
    return next((name for name, sign in known.items() if sign in words), "")


def _asked(distribution: Distribution, extras: Iterable[str] = ()) -> Iterator[tuple[str, set[str]]]:
    """(name, extras) of what a distribution asks for on this machine."""
    for text in distribution.requires or []:
        requirement = Requirement(text)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": each}) for each in ("", *extras)):
            yield canonicalize_name(requirement.name), requirement.extras


def _reached(names: Iterable[str], installed: dict[str, Distribution]) -> set[str]:
    """The names, and all that they need."""
    open_ = [(canonicalize_name(Requirement(each).name), frozenset(Requirement(each).extras)) for each in names]
    seen = set(open_)
    while open_:
        name, extras = open_.pop()
        if name in installed:
            more = {(asked, frozenset(with_)) for asked, with_ in _asked(installed[name], extras)} - seen
            seen |= more
            open_ += more
    return {name for name, _ in seen}


def _locked(
    pinned: dict[str, tuple[str, tuple[str, ...]]], installed: dict[str, Distribution], uses: dict[str, set[str]]
) -> list[Locked]:
    rows = []
    for name, (version, hashes) in sorted(pinned.items()):
        here = installed.get(name)
        if here is None:
            sys.exit(f"{name} {version} is locked and not installed: {GET}, then again")
        use = next((use for use, names in uses.items() if name in names), None)
        if use is None:
            sys.exit(f"{name} is locked and asked for by nothing: take it out of the lock")
        needs = tuple(ref_of(each, pinned[each][0]) for each in sorted({one for one, _ in _asked(here)} & set(pinned)))
        rows.append(Locked(name, version, hashes, licence(here), needs, use))
    return rows


def dependencies() -> list[Locked]:
    """Everything that ``make setup`` installs, by name; behind the rest the environments of tflite-runtime and of
    TensorFlow, which is installed on request, and the source that firmware is linked with."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    installed = {canonicalize_name(each.name): each for each in distributions()}
    extras = project["optional-dependencies"]
    uses = {"use": _reached(project["dependencies"], installed)}
    uses |= {use: _reached(asked, installed) for use, asked in extras.items()}
    pinned = pins((ROOT / LOCKS[0]).read_text())
    cpu = pins((ROOT / LOCKS[1]).read_text())  # another build of what stands in the first: its file is one more
    pinned = {name: (version, hashes + cpu.get(name, ("", ()))[1]) for name, (version, hashes) in pinned.items()}
    rows = _locked(pinned, installed, uses)
    for name in APART:
        folders = [str(each) for each in Path(sys.prefix).glob(f"{name}/lib/python*/site-packages")]
        found = {canonicalize_name(each.name): each for each in distributions(path=folders)}
        rows += _locked(pins((ROOT / f"requirements-{name}.lock").read_text()), found, {name: set(found)})
    return _once(rows)


def _once(rows: list[Locked]) -> list[Locked]:
    """One row a version, in whichever environments it is: for all that asks for it in any, with the files of each."""
    seen: dict[str, Locked] = {}
    for row in rows:
        first = seen.get(row.ref, row)
        if first is not row:
            hashes = tuple(dict.fromkeys(first.hashes + row.hashes))
            first = replace(first, hashes=hashes, use=f"{first.use}, {row.use}")
        seen[row.ref] = first
    return list(seen.values())


def table(rows: list[Locked]) -> str:
    """The licences as Markdown: how many distributions are under each, then each distribution."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.licence] = counts.get(row.licence, 0) + 1
    lines = ["| licence | distributions |", "|---|---:|"]
    lines += [f"| {name} | {count} |" for name, count in sorted(counts.items(), key=lambda each: (-each[1], each[0]))]
    lines += ["", "| distribution | version | licence | for |", "|---|---|---|---|"]
    lines += [f"| {row.name} | {row.version} | {row.licence} | {row.use} |" for row in rows]
    return "\n".join(lines) + "\n"


def bill(rows: list[Locked]) -> dict[str, Any]:
    """The bill of materials: CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/), without a time of its own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    root = {
        "type": "application",
        "bom-ref": "pulseproof",
        "name": "pulseproof",
        "version": project["version"],
        "licenses": [{"license": {"id": project["license"]}}],
    }
    needs = [{"ref": row.ref, "dependsOn": list(row.needs)} for row in rows]
    asked = {canonicalize_name(Requirement(each).name) for each in project["dependencies"]}
    ours = [row.ref for row in rows if row.name in asked and not row.use.startswith(APART)]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": root},
        "components": [_component(row) for row in rows],
        "dependencies": [{"ref": "pulseproof", "dependsOn": sorted(ours)}, *needs],
    }


def _component(row: Locked) -> dict[str, Any]:
    # One file is installed of several that may be: the standard's place for their hashes is the distribution.
    files = [
        {"type": "distribution", "url": row.ref, "hashes": [{"alg": "SHA-256", "content": each}]} for each in row.hashes
    ]
    return {
        "type": "library",
        "bom-ref": row.ref,
        "name": row.name,
        "version": row.version,
        "purl": row.ref,
        "scope": "required" if row.use.split(", ")[0] == "use" else "optional",
        "licenses": [{"license": {"name": row.licence}}],
        "externalReferences": files,
    }


def _lines(value: dict[str, Any]) -> str:
    """JSON with each component and each of its dependencies on a line of its own, so that a change can be read."""
    text = json.dumps(value, separators=(",", ":"))
    return re.sub(r'(\{"(?:type":"library|ref)"|"(?:components|dependencies)":)', r"\n\1", text) + "\n"


def main() -> None:
    """Write the table, the page that holds it, and the bill."""
    from pulseproof.report.docs import fill

    rows = dependencies()
    write_text(TABLE, table(rows))
    write_text(BILL, _lines(bill(rows)))
    fill(PAGE, ROOT)
    unsaid = [row.name for row in rows if row.licence == UNSAID]
    say(f"{len(rows)} distributions in {TABLE.relative_to(ROOT)} and {BILL.relative_to(ROOT)}")
    if unsaid:
        say(f"no word on a licence in {', '.join(unsaid)}")


if __name__ == "__main__":
    main()
