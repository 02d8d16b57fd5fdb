"""The whole path of a study in order: recordings, models, artifacts, signal sets, bundle.

Each room does only what is not done yet, so calling this again after nothing changed costs seconds. Only ``bench``
knows all rooms; nothing imports ``bench``.
"""

from __future__ import annotations

from pathlib import Path

from bench.bundle import make_bundle
from core.study import Study


def bundle_study(
    study: Study, data: Path | None, build: Path, workers: int | None = None, scheduler: str | None = None
) -> Path:
    """Do what is left to do up to the bundle, and give its folder. ``workers`` and ``scheduler`` say where the signal
    sets are made (:mod:`attacks.run`); their bytes are the same everywhere."""
    # torch and scikit-learn take seconds to import; a wrong option or a missing file must not wait for them.
    from ecg.prepare import prepare
    from models.before import refuse_unsuitable

    refuse_unsuitable(study, build)
    recordings = prepare(study, data, build)
    from attacks.run import attack_study
    from export.run import export_study
    from models.run import train_study

    trained = train_study(study, recordings, build)
    manifest = export_study(study, recordings, trained, build)
    signals = attack_study(study, recordings, trained, build, manifest, data, workers, scheduler)
    return make_bundle(study, recordings, manifest, signals, build)
