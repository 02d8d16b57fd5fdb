"""Run a bundle on an emulated ARM core: the packed runner, unmodified, under qemu-user.

In: a bundle and what is asked for; where that leaves it open, the study's ``[bench.emulated]`` as the bundle holds it.
Out: ``<results>/emulated-<core>/``, evidence ``emulated-count``. The core gets a smaller bundle of its own, beside the
study's: the same files (hard links), but only the signal sets and artifacts that it is to run, so that each model is
attacked by what was made on itself and nothing else needs to be read.
"""

from __future__ import annotations

import fnmatch
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.asked import Asked
from bench.emulated.checks import checked
from bench.emulated.cores import CORES
from bench.emulated.system import clean_environment, prepare
from bench.results import read_bundle
from bench.schema import ArtifactEntry, BundleHead, SignalEntry
from core.console import say
from core.errors import InputError, NotHeldError
from runtime.files import read_json, write_json

ALWAYS = ("labels.npy", "patients.npy", "runner.pyz")


def run_emulated(core: str, bundle: Path, results: Path, asked: Asked) -> None:
    """Run what is asked for and not there yet on an emulated ``core`` (a name of :data:`~bench.emulated.cores.CORES`).

    Raises InputError when the core is unknown, cannot be prepared or fails its checks, or when what is asked for
    matches nothing; NotHeldError when an artifact failed (its result says why).
    """
    if core not in CORES:
        raise InputError(f"emulated:{core}: no such core", f"cores there: {', '.join(CORES)}")
    head = read_bundle(bundle).head
    if asked.minutes:
        raise InputError(f"emulated:{core}: a sustained run needs a clock to be believed", "leave --minutes out")
    if (asked.threads or head.run.threads) != 1:
        raise InputError(f"emulated:{core}: instructions are counted on one thread", "set bench.threads = 1")
    system = checked(prepare(CORES[core], say), say)
    part = make_part(bundle, bundle.parent / "emulated" / CORES[core].device, system.formats, asked)
    out = results / CORES[core].device
    with tempfile.TemporaryDirectory(prefix="pulseproof-counts-") as counts:
        command = [*system.start, str(part / "runner.pyz"), "run", str(part), "--out", str(out)]
        command += ["--device", CORES[core].device, "--evidence", "emulated-count"]
        command += ["--limit", str(asked.limit or head.emulated.records)]
        hooks = {"PULSEPROOF_START": json.dumps(system.start), "PULSEPROOF_COUNTS": str(Path(counts, "count"))}
        status = subprocess.run(command, check=False, env=clean_environment() | system.environment | hooks).returncode
    if status in (130, -2):
        raise KeyboardInterrupt
    if status == 1:
        raise NotHeldError(f"some artifacts failed on emulated:{core}; the table names them and says why")
    if status == 2:
        raise InputError(f"{bundle}: the runner refused it", "make bundle makes it again; what it said is above")
    if status != 0:
        raise InputError(
            f"{core}: the emulated runner ended with status {status}", f"delete {system.home.parents[1]} and try again"
        )


def make_part(bundle: Path, folder: Path, formats: Sequence[str], asked: Asked) -> Path:
    """Make the bundle of an emulated device in ``folder``: what is asked for of ``bundle``, and of what its engines
    open (``formats``). Returns ``folder``. Raises InputError when that is nothing."""
    head = read_bundle(bundle).head
    artifacts, sets = choose(head, formats, asked)
    content = read_json(bundle / "bundle.json")
    content["artifacts"] = [each for each in content["artifacts"] if each["name"] in artifacts]
    content["signals"] = [{**each, "only": sets[each["name"]]} for each in content["signals"] if each["name"] in sets]
    files = [*ALWAYS, *(each["file"] for each in content["artifacts"] + content["signals"])]
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


def choose(head: BundleHead, formats: Sequence[str], asked: Asked) -> tuple[list[str], dict[str, list[str]]]:
    """The artifacts that an emulated device runs, and for each signal set the artifacts that are run on it.

    Patterns of ``asked`` come before those of the study. Raises InputError for a pattern that matches nothing.
    """
    only = asked.only or head.emulated.only
    _match(only, [each.name for each in head.artifacts], "artifact")
    named = asked.sets or head.emulated.sets or ()
    _match([pattern.replace("{model}", "*") for pattern in named], [each.name for each in head.signals], "signal set")
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
            f"{head.study}: nothing is left to run on an emulated device ({', '.join(formats)} files)",
            "look at [bench.emulated] of the study, or ask for other artifacts and signal sets",
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
    budgets = sorted(each.epsilon_mv for each in same)
    return [each.name for each in same if each.epsilon_mv == budgets[(len(budgets) - 1) // 2]]


def _match(patterns: Sequence[str], names: Sequence[str], what: str) -> None:
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
            raise InputError(f"no {what} matches {pattern!r}", f"there are: {', '.join(names)}"[:500])
