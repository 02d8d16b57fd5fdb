"""How long one inference of a file takes on this host, by the very process in which a device's runner times it.

In: a file that was checked and run before, and recordings in memory. Out: a :class:`~face.results.FileLatency`. The
child of the runner (:mod:`runtime.child`) opens the file on one thread, warms up until it is steady, and times each
call; it dies alone if the file is bad.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from pulseproof.core.errors import InputError
from pulseproof.ecg.recordings import Recordings
from pulseproof.face.results import FileLatency
from pulseproof.runtime.condition import affinity
from pulseproof.runtime.condition.probe import fingerprint
from pulseproof.runtime.engines import available_engines
from pulseproof.runtime.files import read_json, sha256_file, write_array, write_bytes
from pulseproof.runtime.job import ChildJob
from pulseproof.runtime.supervise import run_child
from pulseproof.runtime.version import runner_sha256
from pulseproof.runtime.wire.bundle import Artifact, Bundle, RunRules, SignalSet
from pulseproof.runtime.wire.results import wanted

RULES = RunRules(threads=1, warmup_s=0.2, min_runs=200, min_s=2.0)  # as in every bundle
MOST = 256  # recordings that are cycled through
TIME_LIMIT_S = 300.0


def latency_of(file: Path, engine: str, given: Recordings, what: str) -> FileLatency:
    """Time ``file`` (.onnx or .tflite) on ``engine``. ``what`` begins every message. Raises InputError where it does
    not run to the end."""
    n = min(MOST, len(given))
    with tempfile.TemporaryDirectory(prefix="pulseproof-") as folder:
        root, out = Path(folder, "bundle"), Path(folder, "out")
        out.mkdir()
        write_bytes(root / file.name, file.read_bytes())
        write_array(root / "clean.npy", given.adc(np.arange(n)))
        write_array(root / "labels.npy", given.labels[:n])
        bundle = _bundle(root, file, given, n)
        (artifact,), (signals,) = bundle.artifacts, bundle.signals
        one = wanted(
            out,
            bundle,
            artifact,
            signals,
            device={"name": "host", "evidence": "measured-on-host", "fingerprint": fingerprint()},
            engine={"name": engine, "version": available_engines()[engine], "threads": RULES.threads},
            n=n,
            rules=RULES,
            runner=runner_sha256(),
        )
        job = ChildJob(
            root=root,
            artifact=root / file.name,
            engine=engine,
            shape=given.shape,
            classes=len(bundle.classes),
            adc_step_mv=bundle.adc_step_mv,
            n=n,
            rules=RULES,
            wanted=[one],
            processors=affinity.processors("auto", RULES.threads),
        )

        def on_report(report: dict[str, Any]) -> tuple[int, ...] | None:
            return bundle.hashed(report["needs"]) if "needs" in report else None

        lock = os.open(root / "labels.npy", os.O_RDONLY)  # any descriptor: nobody else measures in this folder
        try:
            reason = run_child(job, out, TIME_LIMIT_S, on_report, lock)
        finally:
            os.close(lock)
        if reason is not None:
            raise InputError(f"{what}: could not be timed: {reason}", "export it again, and try it in its engine")
        result = read_json(one.json)
    times = result["latency_ms"]
    doubts = tuple(mark for mark in result["marks"] if mark in ("noisy", "throttled"))
    return FileLatency(times["p50"], times["p99"], times["count"], RULES.threads, doubts)


def _bundle(root: Path, file: Path, given: Recordings, n: int) -> Bundle:
    """A bundle of one artifact and the clean recordings, of our own making: its files are in ``root``."""
    about = given.about
    sha256 = {path.name: sha256_file(path) for path in root.iterdir()}
    size = (root / file.name).stat().st_size
    form = file.suffix[1:]
    artifact = Artifact("own/as-given", "own", "as-given", form, file.name, None, sha256[file.name], size)
    clean = SignalSet("clean", "clean.npy", None, "clean", 0.0, sha256["clean.npy"])
    return Bundle(
        root=root,
        study="own",
        classes=about.classes,
        leads=about.leads,
        samples=given.shape[1],
        fs_hz=about.fs_hz,
        adc_step_mv=about.adc_step_mv,
        artifacts=(artifact,),
        signals=(clean,),
        run=RULES,
        n=n,
        sha256=sha256,
    )
