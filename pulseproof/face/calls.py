"""The functions of the face: what each takes and gives. What does the work is imported when one is called.

So ``help(pulseproof.attack_model)``, an editor's completion and a script's ``import pulseproof`` cost nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pulseproof.core.errors import InputError
from pulseproof.face.results import AttackResult, ExportedFile, FileReport

if TYPE_CHECKING:  # torch takes seconds
    from numpy.typing import ArrayLike
    from pandas import DataFrame
    from torch import nn

    from pulseproof.core.study import Method, Study
    from pulseproof.report.answers.types import Answers


def attack_model(
    module: nn.Module,
    signals_mv: ArrayLike,
    labels: ArrayLike,
    *,
    budgets_mv: Sequence[float],
    fs_hz: float,
    adc_step_mv: float = 0.001,
    patients: ArrayLike | None = None,
    references: tuple[ArrayLike, ArrayLike] | None = None,
    methods: Sequence[Method] = ("pgd", "apgd"),
    steps: int = 20,
    classes: Sequence[str] | None = None,
    seed: int = 1,
) -> AttackResult:
    """Attack a torch module by its gradient, and say what is left of its AUC at each budget.

    Every attack aims at the AUC itself, starts from a seed of its own, and ends as a recording: rounded to whole steps
    of the recorder, inside the budget. Beside it stands random noise of the same budget, which an attack has to beat.
    Equal input gives equal bytes. The module is copied, and left as it is.

    Args:
        module: takes float32 (k, leads, samples) in millivolts for any k, gives float32 (k, classes): a score a class,
            larger means likelier; logits are best. Normalisation belongs into it.
        signals_mv: float (n, leads, samples) in millivolts.
        labels: (n, classes), or (n,) for a single class, of 0 and 1.
        budgets_mv: the largest change of any sample in millivolts, rising; .01 mV is ten steps of PTB-XL's recorder.
        fs_hz: samples a second.
        adc_step_mv: millivolts of one step of the recorder. Signals are rounded to it first.
        patients: (n,) names or numbers; with them AUCs get 95 % intervals over patients.
        references: (signals_mv, labels) of other recordings, such as validation ones, which the attack plays against;
            default: the attacked recordings themselves.
        methods: those of a study that are made on one model and change no sample by more than the budget (``pgd``,
            ``apgd``, ``pgd-bce``, ``mi-fgsm``, ...).
        steps: gradient steps of each attack.
        classes: names of the columns of ``labels``, for sentences.
        seed: of all random numbers.

    Returns:
        AUC and attacked recordings a budget, clean AUC, audit flags.

    Raises:
        InputError: when the signals are not finite or not millivolts, labels are not 0 and 1, the module does not score
            the recordings or has no gradient, or a budget is below one step of the recorder.
    """
    from pulseproof.face.attacking import attack

    given = {"fs_hz": fs_hz, "adc_step_mv": adc_step_mv, "patients": patients, "classes": classes}
    return attack(module, signals_mv, labels, references, budgets_mv, methods, steps, seed, **given)


def check_file(
    path: str | os.PathLike[str],
    signals_mv: ArrayLike,
    labels: ArrayLike,
    *,
    fs_hz: float,
    budgets_mv: Sequence[float] = (0.01,),
    adc_step_mv: float = 0.001,
    patients: ArrayLike | None = None,
    references: tuple[ArrayLike, ArrayLike] | None = None,
    steps: int = 20,
    queries: int = 500,
    classes: Sequence[str] | None = None,
    input: Mapping[str, Any] | None = None,
    seed: int = 1,
) -> FileReport:
    """Run, time and attack an ``.onnx`` or ``.tflite`` file as it is, and say what it is worth.

    The file runs in processes of its own, limited in time and space: one that crashes or hangs costs that process
    and an InputError. It is attacked through its own graph with gradients where all of its operators are covered, which
    is first compared with the file; elsewhere by Square, which only asks for scores: an alarm, and no measure of
    robustness.

    Args:
        path: takes float32 (1, leads, samples) in millivolts, or the same in another layout, and gives (1, classes);
            float, int8 or int16 inside.
        signals_mv: float (n, leads, samples) in millivolts.
        labels: (n, classes), or (n,) for a single class, of 0 and 1.
        fs_hz: samples a second.
        budgets_mv: the largest change of any sample in millivolts, rising.
        adc_step_mv: millivolts of one step of the recorder. Signals are rounded to it first.
        patients: (n,) names or numbers; with them AUCs get 95 % intervals over patients.
        references: (signals_mv, labels) of other recordings, whom the attack plays against; default: those attacked.
        steps: gradient steps, where the file's own graph has gradients.
        queries: of each recording, where it has none; with a budget and n recordings that is queries * n inferences.
        classes: names of the columns of ``labels``, for sentences.
        input: what it was trained on, as ``[models.x.input]`` of a study: ``{"normalise": "zscore", "fs_hz": 250}``.
            It is put before its graph, and attacks go through it. Its ``leads`` are "lead 0", "lead 1", ...
        seed: of all random numbers.

    Returns:
        Parity between engines, latency here in milliseconds, clean and attacked AUC, attacked recordings, flags.

    Raises:
        InputError: when the file is missing, damaged, of another shape, or gives scores that are not finite; and for
            signals, labels and budgets as ``pulseproof.attack_model``.
    """
    from pulseproof.face.checking import check

    given = {"fs_hz": fs_hz, "adc_step_mv": adc_step_mv, "patients": patients, "classes": classes}
    return check(path, signals_mv, labels, references, budgets_mv, steps, queries, seed, input, **given)


def export_model(
    module: nn.Module,
    *,
    calibration: ArrayLike,
    to: str | os.PathLike[str],
    recipes: Sequence[str] | None = None,
    signals_mv: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    patients: ArrayLike | None = None,
    adc_step_mv: float = 0.001,
    classes: Sequence[str] | None = None,
    seed: int = 1,
) -> list[ExportedFile]:
    """Write a torch module as ONNX and TFLite files, float and quantized, and keep those that compute what it does.

    Every file is compared with the module on each engine installed here before it is put into the folder, as
    ``<recipe>.onnx`` or ``<recipe>.tflite``, whole or not at all. One of that name that lay there is replaced, and
    removed where this one is refused. The module is copied, and left as it is.

    Args:
        module: takes float32 (k, leads, samples) in millivolts, gives float32 (k, classes). Normalisation belongs into
            it: the whole pipeline is in the file.
        calibration: float (k, leads, samples) in millivolts, k > 7: training recordings, from which int8 ranges come.
        to: the folder, made if need be.
        recipes: such as ``onnx-fp32``, ``onnx-int8-static``, ``tflite-int8-full``; default: all that a study makes.
        signals_mv: float (n, leads, samples) in millivolts on which files are compared, best other patients; default:
            the calibration recordings.
        labels: (n, classes) or (n,) of 0 and 1, of what files are compared on. Without them the module's own scores
            stand for the truth, upper half against lower half.
        patients: (n,) names or numbers, for the interval of the change of AUC.
        adc_step_mv: millivolts of one step of the recorder. Signals are rounded to it first.
        classes: names of the columns of ``labels``, for sentences.
        seed: of the choice of recordings.

    Returns:
        One ``pulseproof.ExportedFile`` a recipe, in the order asked for: path, size and parity, or why there is
            none.

    Raises:
        InputError: for a recipe that there is not, signals that are not millivolts, a module that does not score them.
    """
    from pulseproof.face.exporting import export

    return export(module, calibration, Path(to), recipes, signals_mv, labels, patients, adc_step_mv, classes, seed)


def load_study(path: str | os.PathLike[str]) -> Study:
    """Read and check a study file (docs/studies.md lists every key).

    Args:
        path: of the TOML file.

    Returns:
        The study: a frozen pydantic model, budgets in millivolts, rates in Hz.

    Raises:
        InputError: when the file is missing, is not TOML, or holds an unknown or wrong key.
    """
    from pulseproof.core import study

    return study.load_study(Path(path))


def run_study(
    study: Study | str | os.PathLike[str],
    *,
    data: str | os.PathLike[str] | None = None,
    build: str | os.PathLike[str] = "build",
    workers: int | None = None,
) -> Path:
    """Do what is left of a study, from training to measuring every file on this host, as ``pulseproof bench`` does.

    Args:
        study: from ``load_study``, or the path of its file.
        data: the folder of recordings in PhysioNet's layout; default: ``PULSEPROOF_DATA``.
        build: where work goes.
        workers: processes that make signal sets; default: one a processor. A script that is run, and no notebook, needs
            the usual ``if __name__ == "__main__":`` around the call, for processes import it.

    Returns:
        The study's folder in ``build``.

    Raises:
        InputError: for what is wrong with the study or its recordings, or when none of its files could be made.
        NotHeldError: when a file failed on this host.
    """
    from pulseproof.bench.devices.local import run_here
    from pulseproof.pipeline import bundled

    loaded, where = _loaded(study), Path(build)
    root = os.environ.get("PULSEPROOF_DATA") if data is None else data
    with bundled(loaded, Path(root) if root else None, where, workers) as folder:
        if not any((folder / "artifacts").rglob("*.*")):
            manifest = where / loaded.name / "artifacts" / "manifest.json"
            raise InputError(f"study {loaded.name}: no file could be made, so nothing is run", f"{manifest} says why")
        run_here(folder, where / loaded.name / "results")
    return where / loaded.name


def answers_of(study: Study | str | os.PathLike[str], *, build: str | os.PathLike[str] = "build") -> Answers:
    """The answers of a study that was run: which file to ship, and what speaks against it. It prints as text.

    Args:
        study: from ``load_study``, or the path of its file.
        build: where work went.

    Returns:
        The recommendation, six questions with their sentences, and the comparisons they rest on; AUCs with 95 %
        intervals over patients, latencies in milliseconds, sizes in bytes, budgets in millivolts.

    Raises:
        InputError: when it was not run, or its results are damaged.
    """
    from pulseproof.face.printed import printed
    from pulseproof.reading import evaluation_of
    from pulseproof.report.answers.questions import answers

    return printed(answers(evaluation_of(_loaded(study), Path(build))))


def rows_of(study: Study | str | os.PathLike[str], *, build: str | os.PathLike[str] = "build") -> DataFrame:
    """Every number of a study that was run: a line a file, signal set and device, as a pandas ``DataFrame``.

    Args:
        study: from ``load_study``, or the path of its file.
        build: where work went.

    Returns:
        The columns of ``report/results.json`` (docs/formats.md), in their order: among them ``model``, ``recipe``,
        ``device``, ``method``, ``source``, ``budget_mv`` (millivolts), ``auc`` with ``auc_low`` and ``auc_high``,
        ``latency_p50_ms``, ``size_bytes``. Missing where nothing was measured; ``class_aucs`` holds dictionaries.

    Raises:
        InputError: when it was not run, its results are damaged, or pandas is not installed.
    """
    from pulseproof.reading import evaluation_of

    try:
        import pandas
    except ModuleNotFoundError:
        raise InputError("rows_of gives a pandas DataFrame, and pandas is not here", "pip install pandas") from None
    from pulseproof.report.numbers.rows import Row

    rows = evaluation_of(_loaded(study), Path(build)).rows
    return pandas.DataFrame([row.model_dump() for row in rows], columns=list(Row.model_fields))


def log_to(
    tracker: Literal["mlflow", "wandb"],
    study: Study | str | os.PathLike[str],
    *,
    build: str | os.PathLike[str] = "build",
    project: str | None = None,
) -> str:
    """Log a study that was run into MLflow or Weights & Biases: one run, with the numbers of every file as metrics, all
    rows as a table, and the answers as text.

    Where it goes is the tracker's own matter (``MLFLOW_TRACKING_URI``, ``WANDB_API_KEY``, ...). Metrics are called
    ``<model>/<recipe>/<device>/<number>``: ``auc``, ``latency_p50_ms``, ``size_bytes``, ``attacked_auc_0.02mV`` (the
    worst case over the attacks of that budget), and ``attacked_auc_0.02mV_flagged``, 1 where a flag says not to believe
    it.

    Args:
        tracker: which; the package comes with ``pip install 'pulseproof[mlflow]'`` or ``'pulseproof[wandb]'``.
        study: from ``load_study``, or the path of its file.
        build: where work went.
        project: the experiment (MLflow) or project (Weights & Biases); default: ``pulseproof``.

    Returns:
        The run's identifier (MLflow) or address (Weights & Biases).

    Raises:
        InputError: when the study was not run, its results are damaged, the package is not installed, or the tracker
            fails.
    """
    from pulseproof.face.tracking import log
    from pulseproof.reading import evaluation_of
    from pulseproof.report.answers.questions import answers

    loaded = _loaded(study)
    evaluation = evaluation_of(loaded, Path(build))
    return log(tracker, loaded, evaluation, answers(evaluation), project)


def _loaded(study: Study | str | os.PathLike[str]) -> Study:
    from pulseproof.core.study import Study

    return study if isinstance(study, Study) else load_study(study)
