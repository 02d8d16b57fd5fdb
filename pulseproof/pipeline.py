"""The whole path of a study in order: recordings, models, artifacts, proofs, signal sets, bundle.

Each room does only what is not done yet. To find that out takes models, engines and seconds; where no file that the
last run read or wrote has changed (:mod:`pulseproof.unchanged`) its bundle is given at once. Only ``bench`` knows all
rooms; nothing imports ``bench``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pulseproof.core.locks import hold_build
from pulseproof.core.study import Study
from pulseproof.core.terminal.console import say
from pulseproof.unchanged import Unchanged

BUNDLE = "bundle"
MADE = (BUNDLE, "look", "models", "artifacts", "certified", "certified.json", "signals")  # of a study's build


@contextmanager
def bundled(
    study: Study, data: Path | None, build: Path, workers: int | None = None, scheduler: str | None = None
) -> Iterator[Path]:
    """Do what is left to do up to the bundle, and give its folder, which stays as it is to the end of the context.
    ``workers`` and ``scheduler`` say where the signal sets are made (:mod:`attacks.grid.study`); their bytes are the
    same everywhere."""
    unchanged = _unchanged(study, data, build)
    if unchanged is not None and unchanged.path.exists():
        with hold_build(study, build):
            if unchanged.holds():
                folder = build / study.name / BUNDLE
                say(f"{folder}: nothing has changed since it was made")
                yield folder
                return
    # torch and scikit-learn take seconds to import; a wrong option or a missing file must not wait for them.
    from pulseproof.ecg.look import keep_look
    from pulseproof.ecg.prepare import prepare
    from pulseproof.models.brought.before import refuse_unsuitable

    refuse_unsuitable(study, build)
    recordings = prepare(study, data, build)
    from pulseproof.attacks.grid.study import attack_study
    from pulseproof.bench.bundle import make_bundle
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
        folder = make_bundle(study, recordings, manifest, signals, build)
        if unchanged is not None and signals.settled:
            unchanged.keep([recordings.folder])
        yield folder


def _unchanged(study: Study, data: Path | None, build: Path) -> Unchanged | None:
    """What tells whether a run of the study is needed; None where it cannot be told: by code of the user's own, which
    may read what it likes."""
    if any(spec.factory or spec.estimator for spec in study.models.values()):
        return None
    settings = {"study": study.model_dump(mode="json"), "data": None if data is None else str(data.absolute())}
    return Unchanged(build / study.name, BUNDLE, settings, _read_by(study, data), MADE)


def _read_by(study: Study, data: Path | None) -> Iterable[Path]:
    """The files and folders of the user's that a run of the study reads."""
    if data is not None:
        yield data / study.attacks.noise_path
        if study.data.source != "synthetic":
            yield data / getattr(study.data, "home", getattr(study.data, "path", ""))
    for spec in study.models.values():
        yield from (Path(path) for path in (spec.file, spec.weights) if path is not None)


def bundle_study(
    study: Study, data: Path | None, build: Path, workers: int | None = None, scheduler: str | None = None
) -> Path:
    """:func:`bundled`, for who is alone in the build: the next run may change the folder."""
    with bundled(study, data, build, workers, scheduler) as folder:
        return folder
