"""Pack what a device needs into one folder: artifacts, signal sets, labels and the runner (docs/formats.md).

In: the study, its recordings, the manifest of its artifacts and its signal sets. Out: ``build/<study>/bundle/``, where
``bundle.json`` lists every file with its size and SHA-256. Files are hard links where the file system has them, so a
bundle costs no second copy; a file that a later run makes anew gets a new inode and leaves the bundle's bytes alone.
"""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.attacks.grid.study import MadeSet, MadeSets
from pulseproof.bench.wire.head import WHOLES
from pulseproof.core.errors import InputError
from pulseproof.core.recipes import base_of, recipe_of
from pulseproof.core.steps import digest
from pulseproof.core.study import Study
from pulseproof.ecg.recordings import Recordings
from pulseproof.export.gate.bounds import BOUNDS
from pulseproof.export.manifest import Manifest, ManifestEntry
from pulseproof.models.hardened.pairs import described, seed_of
from pulseproof.models.run import folder_of, load_metrics
from pulseproof.models.systems import kind_of
from pulseproof.runtime.files import read_json, replacing, sha256_file, write_array, write_bytes, write_json
from pulseproof.runtime.version import sources
from pulseproof.runtime.wire import zipped

FORMAT = 1
MAIN = "from pulseproof.runtime.{room} import main\n\nraise SystemExit(main())\n"


def add_runner(archive: zipfile.ZipFile, room: str = "runner") -> None:
    """Put the runtime room into a zip file that Python runs, with fixed times, so that equal sources give equal bytes.
    ``room`` is the module whose ``main`` is called."""
    members = {"__main__.py": MAIN.format(room=room).encode(), **sources()}
    for name, content in members.items():
        archive.writestr(zipfile.ZipInfo(name, date_time=zipped.TIME), content, zipfile.ZIP_DEFLATED)


def runner_archive() -> bytes:
    """``runner.pyz``: the runtime room, packed."""
    buffer = io.BytesIO()
    buffer.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        add_runner(archive)
    return buffer.getvalue()


def make_bundle(study: Study, recordings: Recordings, manifest: Manifest, signals: MadeSets, build: Path) -> Path:
    """Make the bundle of a study, or leave it alone when it is what it should be. Returns its folder."""
    home = build / study.name
    folder = home / "bundle"
    rows = recordings.sample("test", study.test_records, study.seed)
    entries = [entry for entry in manifest.entries if _is_measured(study, entry)]
    artifacts = [entry for entry in entries if entry.status == "ok"]
    known = load_metrics(study, build)
    links = {str(entry.file): home / str(entry.file) for entry in artifacts}
    links |= {f"signals/{each.name}.npy": home / "signals" / f"{each.name}.npy" for each in signals.sets}
    head: dict[str, Any] = {
        "format": FORMAT,
        "study": study.name,
        "title": study.title,
        "note": _joined(recordings.about.note, _sample(recordings, rows)),
        "synthetic": recordings.about.synthetic,
        "origin": {
            "database": recordings.about.database,
            "part": _joined(recordings.about.part, _sample(recordings, rows)),
            "facts": list(recordings.about.facts),
            "doubts": list(recordings.about.doubts),
        },
        "task": {
            "classes": list(recordings.about.classes),
            "leads": list(recordings.about.leads),
            "fs_hz": recordings.about.fs_hz,
            "samples": recordings.shape[1],
            "adc_step_mv": recordings.about.adc_step_mv,
            "exclusive": recordings.about.exclusive,
            **({"join": recordings.about.join} if recordings.about.join else {}),
        },
        "artifacts": [
            {
                "name": entry.name,
                "model": entry.model,
                "recipe": entry.recipe,
                "format": entry.format,
                "kind": kind_of(entry.model, study.models[entry.model]),
                "file": entry.file,
                "note": entry.note,
                "not_on": entry.not_on,
                "input_step_mv": entry.calibration.input_step_mv if entry.calibration else None,
                "exact": entry.exact_on_devices,
                "tolerance": _tolerance(entry.recipe),
                **_thresholds(known.get(entry.model, {})),
                **described(study, entry.model, folder_of(study, build, entry.model)),
            }
            for entry in artifacts
        ],
        "signals": [_described(study, each) for each in signals.sets],
        "not_made": [{"name": each.name, "reason": each.reason} for each in signals.not_applicable],
        "not_applicable": [
            {"name": entry.name, "model": entry.model, "recipe": entry.recipe, "reason": _why(entry)}
            for entry in entries
            if entry.status != "ok"
        ],
        "run": {"threads": study.bench.threads, "warmup_s": 0.2, "min_runs": 200, "min_s": 2.0},
        "device": study.bench.device.model_dump(mode="json"),
        "emulated": study.bench.emulated.model_dump(mode="json"),
    }
    runner = runner_archive()
    hashed = {name: sha256_file(path) for name, path in links.items()}
    wanted = digest([head, hashed, runner.hex(), _test_side(recordings, rows)])
    if _is(folder, wanted):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    for name, path in links.items():
        _link(path, folder / name)
    write_array(folder / "labels.npy", recordings.labels[rows])
    write_array(folder / "patients.npy", recordings.patients[rows])
    if recordings.about.join:
        write_array(folder / WHOLES, recordings.wholes(rows))
    write_bytes(folder / "runner.pyz", runner)
    (folder / "runner.pyz").chmod(0o755)
    made = ["labels.npy", "patients.npy", "runner.pyz", *([WHOLES] if recordings.about.join else [])]
    names = sorted([*links, *made])
    head["files"] = {
        name: {"sha256": sha256_file(folder / name), "size_bytes": (folder / name).stat().st_size} for name in names
    }
    for name, sha256 in hashed.items():
        if head["files"][name]["sha256"] != sha256:
            raise InputError(f"{links[name]}: changed while the bundle was made", "let that end, and run again")
    head["digest"] = wanted
    write_json(folder / "bundle.json", head)  # last: a folder without it is no bundle
    return folder


def _sample(recordings: Recordings, rows: NDArray[np.intp]) -> str:
    """What of the test side the numbers are of, where it is not all of it."""
    n, whole = (len(recordings.firsts(each)) for each in (rows, recordings.indices("test")))
    return "" if n == whole else f"sample of {n:,} of {whole:,} test recordings"


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _thresholds(metrics: dict[str, Any]) -> dict[str, Any]:
    """What validation recordings gave a model to decide by; those at fixed specificities where it has them."""
    fixed = metrics.get("specificity_thresholds")
    return {"thresholds": metrics.get("thresholds")} | ({"specificity_thresholds": fixed} if fixed else {})


def _described(study: Study, each: MadeSet) -> dict[str, Any]:
    """A signal set as the head holds it. One that was made on a file serves the files of that model alone: whoever
    ships another model does not have its graph. So does one that was made on a further training: it is there to show
    how far trainings differ."""
    model = (each.source or "").partition("/")[0]
    alone = "/" in (each.source or "") or seed_of(study, model) is not None
    return {
        "name": each.name,
        "file": f"signals/{each.name}.npy",
        "source": each.source,
        "method": each.method,
        "budget_mv": each.budget_mv,
        "only": [model] if alone else None,
        "linf_mv": each.linf_mv,
        "l2_mv": each.l2_mv,
        "rms_mv": each.rms_mv,
        "snr_db": each.snr_db,
        "sigma": each.sigma,
        "outside_band": each.outside_band,
        "second_difference": each.second_difference,
        "facts": dict(each.facts),
        "precision": each.precision,
        "notes": list(each.notes),
    }


def _is_measured(study: Study, entry: ManifestEntry) -> bool:
    """True for a file (or the lack of one) that the study's bundle is to hold."""
    if study.bench.recipes is None:
        return recipe_of(entry.recipe).measured
    return base_of(entry.recipe) in study.bench.recipes


def _tolerance(recipe: str) -> float:
    """How far the scores of a provider may be from the processor's, in their standard deviations: what the export's
    gate allows such a file on the engine that decides about it."""
    return BOUNDS[recipe_of(recipe).bound].tolerance


def _why(entry: ManifestEntry) -> str:
    return f"refused: {entry.reason}" if entry.status == "refused" else str(entry.reason)


def _test_side(recordings: Recordings, rows: NDArray[np.intp]) -> list[str]:
    return [recordings.fingerprint, *(str(name) for name in recordings.ids[rows])]


def _is(folder: Path, wanted: str) -> bool:
    """True when the bundle there was made from the same and still has its bytes."""
    try:
        head = read_json(folder / "bundle.json")
        files = head["files"].items()
        return head["digest"] == wanted and all(sha256_file(folder / name) == entry["sha256"] for name, entry in files)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)
