"""Export every trained system of a study to every file it asks for, and say what became of each.

In: a study, its recordings, the trained systems. Out: ``build/<study>/artifacts/``:

    manifest.json             one entry a (model, recipe), see :mod:`export.manifest`
    <model>/<recipe>.onnx     or .tflite: the file, there only when it passed the gate
    <model>/<recipe>.json     its entry, there also when it was refused, so that it is not tried again in vain

Each file is a step of its own: it is made again when what it depends on changed, or when it is damaged. Models are
exported side by side, one process each, as many as there are cores (:mod:`export.workers`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pulseproof.core.engines import here
from pulseproof.core.errors import InputError
from pulseproof.core.study import Study
from pulseproof.core.terminal.console import follow
from pulseproof.core.terminal.time_left import TimeLeft
from pulseproof.ecg.recordings import Recordings
from pulseproof.export import workers
from pulseproof.export.manifest import Manifest, ManifestEntry, load_manifest, manifest_path
from pulseproof.export.model_files import ModelFiles
from pulseproof.models.run import Trained
from pulseproof.runtime.files import read_json, write_json


def export_study(
    study: Study,
    recordings: Recordings,
    trained: Mapping[str, Trained],
    build: Path,
    jobs: int | None = None,
) -> Manifest:
    """Make every file that the study asks for and that is not there yet, and write the manifest of all.

    A file that cannot be made or that does not pass the gate is an entry with a reason, not an error. ``trained`` may
    hold some of the study's models only: what the manifest says of the others stays. ``jobs``: how many models are
    exported at a time; default: as many as there are cores.
    """
    files = {name: ModelFiles(study, recordings, model, build) for name, model in trained.items()}
    owed = {(recipe, name): each for name, each in files.items() for recipe in each.recipes if not each.fresh(recipe)}
    stale = list(dict.fromkeys(owed.values()))
    total = sum(len(each.recipes) for each in stale)
    left = TimeLeft.of(owed, workers=workers.at_a_time(stale, jobs))
    for _ in follow(workers.export_all(stale, jobs, left), "exporting", total, left):
        pass
    entries = [each.made(recipe) for each in files.values() for recipe in each.recipes]
    entries = _with_the_others(study, build, entries)
    manifest = Manifest(study=study.name, engines=here(), entries=tuple(entries))
    path, content = manifest_path(study, build), manifest.model_dump(mode="json")
    if not (path.exists() and _same(path, content)):
        write_json(path, content)
    return manifest


def _with_the_others(study: Study, build: Path, entries: list[ManifestEntry]) -> list[ManifestEntry]:
    """``entries``, and of the study's models that have none there what the last manifest says, in the study's order."""
    exported = {entry.model for entry in entries}
    others = [name for name in study.models if name not in exported]
    if others:
        try:
            entries = entries + [entry for entry in load_manifest(study, build).entries if entry.model in others]
        except InputError:  # none yet, or none that can be read: they are exported when they are asked for
            return entries
    places = {name: place for place, name in enumerate(study.models)}
    return sorted(entries, key=lambda entry: places.get(entry.model, len(places)))


def _same(path: Path, content: Any) -> bool:
    try:
        return bool(read_json(path) == content)
    except (OSError, ValueError):
        return False
