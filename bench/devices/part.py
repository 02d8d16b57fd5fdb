"""The part of a bundle that one device gets: what it is asked for, and no file more.

In: a bundle, what is asked for, and the study's own words for such devices (``[bench.device]``, ``[bench.emulated]``)
where that is left open. Out: a smaller bundle beside the study's, of the same files (hard links): each model meets what
was made on itself and what was made on nothing, so that a run ends while somebody waits for it.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.wire.head import WHOLES
from pulseproof.bench.wire.results import read_bundle
from pulseproof.bench.wire.schema import ArtifactEntry, BundleHead, Part, SignalEntry
from pulseproof.core.errors import InputError
from pulseproof.runtime.files import read_json, write_json

ALWAYS = ("labels.npy", "patients.npy", "runner.pyz")
FORMATS = ("onnx", "tflite")


def make_part(bundle: Path, folder: Path, asked: Asked, part: Part, formats: Sequence[str] = FORMATS) -> Path:
    """Make the bundle of a device in ``folder``: what is asked for of ``bundle``, else ``part``, and of that what its
    engines open (``formats``). Returns ``folder``. Raises InputError when that is nothing."""
    head = read_bundle(bundle).head
    artifacts, sets = choose(head, asked, part, formats)
    content = read_json(bundle / "bundle.json")
    content["artifacts"] = [each for each in content["artifacts"] if each["name"] in artifacts]
    content["signals"] = [{**each, "only": sets[each["name"]]} for each in content["signals"] if each["name"] in sets]
    files = [
        *ALWAYS,
        *([WHOLES] if head.task.join else []),
        *(each["file"] for each in content["artifacts"] + content["signals"]),
    ]
    content["files"] = {name: content["files"][name] for name in dict.fromkeys(files)}
    if _is_there(folder, content):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    for name in content["files"]:
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(bundle / name, place)
        except OSError:  # another file system, or one without links
            shutil.copyfile(bundle / name, place)
    write_json(folder / "bundle.json", content)
    return folder


def _is_there(folder: Path, content: dict[str, Any]) -> bool:
    """True when the part is there as it is wanted; the runner looks at every byte of it."""
    try:
        same = bool(read_json(folder / "bundle.json") == content)
        return same and all((folder / name).is_file() for name in content["files"])
    except (OSError, ValueError):
        return False


def choose(
    head: BundleHead, asked: Asked, part: Part, formats: Sequence[str] = FORMATS
) -> tuple[list[str], dict[str, list[str]]]:
    """The artifacts that a device runs, and for each signal set the artifacts that are run on it.

    Patterns of ``asked`` come before those of the study. Raises InputError for a pattern that matches nothing.
    """
    _match(asked.only, [each.name for each in head.artifacts], "artifact")
    _match([one.replace("{model}", "*") for one in asked.sets], [each.name for each in head.signals], "signal set")
    only, named = asked.only or part.only, asked.sets or part.sets or ()
    artifacts = [
        each
        for each in head.artifacts
        if each.format in formats and (not only or any(fnmatch.fnmatchcase(each.name, pattern) for pattern in only))
    ]
    sets: dict[str, list[str]] = {}
    for artifact in artifacts:
        for name in _sets_of(head, artifact, named):
            sets.setdefault(name, []).append(artifact.name)
    kept = {name for names in sets.values() for name in names}
    if not kept:
        raise InputError(
            f"{head.study}: nothing is left to run on this device ({', '.join(formats)} files)",
            "look at [bench] of the study, or ask for other artifacts and signal sets",
        )
    return [each.name for each in artifacts if each.name in kept], sets


def _sets_of(head: BundleHead, artifact: ArtifactEntry, patterns: Sequence[str]) -> list[str]:
    """The signal sets that an artifact is run on: those that match, ``{model}`` standing for its model; without
    patterns the clean one and one attack."""
    meant = [each for each in head.signals if each.is_for(artifact)]
    if not patterns:
        return [each.name for each in meant if each.method == "clean"] + _attack_on(meant, artifact)
    filled = [pattern.replace("{model}", artifact.model) for pattern in patterns]
    return [each.name for each in meant if any(fnmatch.fnmatchcase(each.name, pattern) for pattern in filled)]


def _attack_on(signals: Sequence[SignalEntry], artifact: ArtifactEntry) -> list[str]:
    """The first attack on the artifact's own model at the middle of its budgets; none where nobody attacked it."""
    own = [each for each in signals if each.source == artifact.model and each.attack]
    same = [each for each in own if each.method == own[0].method]
    budgets = sorted(each.budget_mv for each in same)
    return [each.name for each in same if each.budget_mv == budgets[(len(budgets) - 1) // 2]]


def _match(patterns: Sequence[str], names: Sequence[str], what: str) -> None:
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
            raise InputError(f"no {what} matches {pattern!r}", f"there are: {', '.join(names)}"[:500])
