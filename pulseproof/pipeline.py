"""The whole path of a study in order: recordings, models, artifacts, proofs, signal sets, bundle.

Each room does only what is not done yet, so calling this again after nothing changed costs seconds. Only ``bench``
knows all rooms; nothing imports ``bench``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pulseproof.bench.bundle import make_bundle
from pulseproof.core.locks import hold_build
from pulseproof.core.study import Study


@contextmanager
def bundled(
    study: Study, data: Path | None, build: Path, workers: int | None = None, scheduler: str | None = None
) -> Iterator[Path]:
    """Do what is left to do up to the bundle, and give its folder, which stays as it is to the end of the context.
    ``workers`` and ``scheduler`` say where the signal sets are made (:mod:`attacks.grid.study`); their bytes are the
    same everywhere."""
    # torch and scikit-learn take seconds to import; a wrong option or a missing file must not wait for them.
    from pulseproof.ecg.look import keep_look
    from pulseproof.ecg.prepare import prepare
    from pulseproof.models.brought.before import refuse_unsuitable

    refuse_unsuitable(study, build)
    recordings = prepare(study, data, build)
    from pulseproof.attacks.grid.study import attack_study
    from pulseproof.certify.study import certify_study, is_to_be_certified
    from pulseproof.export.run import export_study
    from pulseproof.models.run import train_study
    from pulseproof.planning import say_plan

    with hold_build(study, build):
        say_plan(study, recordings, build)
        keep_look(recordings, build / study.name)
        trained = train_study(study, recordings, build)
        manifest = export_study(study, recordings, trained, build)
        if is_to_be_certified(study, build):
            certify_study(study, recordings, manifest, build)
        signals = attack_study(study, recordings, trained, build, manifest, data, workers, scheduler)
        yield make_bundle(study, recordings, manifest, signals, build)


def bundle_study(
    study: Study, data: Path | None, build: Path, workers: int | None = None, scheduler: str | None = None
) -> Path:
    """:func:`bundled`, for who is alone in the build: the next run may change the folder."""
    with bundled(study, data, build, workers, scheduler) as folder:
        return folder
