"""Files of Keras' converter, of nets trained on scaled beats of MIT-BIH: taken, fed right, and told to be so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from pulseproof.core.engines import score
from pulseproof.core.errors import InputError
from pulseproof.core.studies.model_input import InputSpec
from pulseproof.core.study import ModelSpec, Study, completed, load_study
from pulseproof.ecg.prepare import prepare
from pulseproof.ecg.recordings import Recordings
from pulseproof.export.bring.looks import look
from pulseproof.export.bring.proposal import block
from pulseproof.export.bring.trial_run import Proposal, run_trials
from pulseproof.export.bring.trials import ScalingTrial, choose, tailed
from pulseproof.export.bring.ways import said, ways_in
from pulseproof.main import app
from pulseproof.models.brought.files import take_file
from pulseproof.models.brought.model import fitting_of
from pulseproof.models.class_auc import chance_warning
from pulseproof.models.front.fitting import Fitting
from pulseproof.models.front.tail import make_tail
from pulseproof.models.run import task_of
from pulseproof.runtime.auc import macro_auc

FILES = Path(__file__).parents[2] / "models" / "strangers"
TOLD = json.loads((FILES / "auc.json").read_text())  # TensorFlow's own


@pytest.fixture(scope="module")
def beats() -> Study:
    return load_study(FILES / "beats.toml")


@pytest.fixture(scope="module")
def recordings(beats: Study, data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    return prepare(beats, data_root, tmp_path_factory.mktemp("build"))


@pytest.fixture(scope="module")
def validation(recordings: Recordings) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    rows = recordings.indices("validation")
    return recordings.signals(rows), recordings.labels[rows]


# file: (whose AUC TensorFlow told, what the study says of it, by how much quantization may move it)
KERAS = {
    "conv1d": ("conv1d", {"normalise": "zscore"}, {}, 0.001),
    "conv1d_uint8": ("conv1d", {"normalise": "zscore"}, {}, 0.005),
    "conv2d": ("conv2d", {"normalise": "zscore"}, {"output": "beat"}, 0.001),
    "dense_int8": ("dense", {"normalise": "minmax"}, {}, 0.005),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", KERAS)
def test_a_file_ranks_as_tensorflow_said(
    name: str, recordings: Recordings, validation: tuple[NDArray[np.float32], NDArray[np.uint8]], tmp_path: Path
) -> None:
    of, about, more, within = KERAS[name]
    file = FILES / f"{name}.tflite"
    spec = ModelSpec(file=str(file), input=InputSpec.model_validate(about), **more)
    signals, labels = validation
    kept = tmp_path / "given.tflite"
    taken = take_file(file, "m", signals[:24], 2, kept, fitting=fitting_of(spec, task_of(recordings)))
    assert taken.front is not None and "RESHAPE" in taken.front
    scores = score(kept, signals, "ai_edge_litert")
    assert macro_auc(scores, labels) == pytest.approx(TOLD[of]["validation"], abs=within)


def proposed(name: str, beats: Study, recordings: Recordings) -> Proposal:
    return run_trials(beats, recordings, look(FILES / f"{name}.tflite"), "mine", None, InputSpec(), 500)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "how"), [("conv1d", "zscore"), ("dense_int8", "minmax")])
def test_bring_finds_out_how_the_beats_were_scaled(name: str, how: str, beats: Study, recordings: Recordings) -> None:
    found = proposed(name, beats, recordings)
    assert found.block.endswith(f'[models.mine.input]\nnormalise = "{how}"')
    assert any(f"put before and behind its own graph: {how}" in line for line in found.told)


def test_an_integer_input_that_clips_is_refused(
    validation: tuple[NDArray[np.float32], NDArray[np.uint8]], tmp_path: Path
) -> None:
    file, signals = FILES / "dense_int8.tflite", validation[0][:24]
    kept = tmp_path / "given.tflite"
    with pytest.raises(InputError, match=r"holds 0 to 1, and \d+% of the samples lie beyond"):
        take_file(file, "m", signals, 2, kept, fitting=Fitting((1, 100), 2))
    assert not kept.exists()


def test_a_look_says_what_it_is() -> None:
    said_of = look(FILES / "conv1d_int8.tflite").text()
    assert "int8 (any, 100, 1), holding" in said_of and "one lead of 100 samples" in said_of
    assert "MAX_POOL_2D" in said_of and "DELEGATE" not in said_of
    assert "2 leads of 100 samples as (samples, leads)" in look(FILES / "two_leads.tflite").text()


def test_without_a_study_it_is_looked_at_alone() -> None:
    done = CliRunner().invoke(app, ["bring", str(FILES / "dense.tflite")])
    assert done.exit_code == 0 and "FULLY_CONNECTED" in done.output


@pytest.mark.parametrize(
    ("name", "says"),
    [("m.pkl", "not a file that is looked at here"), ("m.keras", "no such file"), ("m.tflite", "no such file")],
)
def test_what_is_no_such_file_is_refused(name: str, says: str) -> None:
    error = CliRunner().invoke(app, ["bring", name]).exception
    assert isinstance(error, InputError) and says in error.what


def test_what_cannot_fit_is_refused_before_torch_is_there(tmp_path: Path) -> None:
    """In a second or two, and no recording was read: there are none."""
    study = tmp_path / "s.toml"
    head = (FILES / "beats.toml").read_text().partition("[models")[0]
    study.write_text(f'{head}[models.own]\nfile = "{FILES / "two_leads.tflite"}"\n')
    script = (
        "import sys\nfrom pathlib import Path\nfrom pulseproof.core.study import load_study\n"
        "from pulseproof.core.errors import InputError\n"
        "from pulseproof.models.brought.before import refuse_unsuitable\n"
        "try:\n    refuse_unsuitable(load_study(Path(sys.argv[1])), Path('build'))\n"
        "except InputError as error:\n    print(error.what)\n"
        "print('torch' in sys.modules, 'sklearn' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(study)], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    assert "(any, 100, 2), the recordings are (1, 1, 100)" in done.stdout
    assert done.stdout.splitlines()[-1] == "False False"


def test_other_leads_rates_and_windows_are_tried() -> None:
    one_of_two = ways_in((1, 100), Fitting((2, 100), 2, 100.0, ("I", "II")), "m")
    assert [way.leads for way in one_of_two] == [("I",), ("II",)]
    longer = ways_in((1, 187, 1), Fitting((1, 360), 2, 360.0, ("II",)), "m")
    assert longer[0].fs_hz == pytest.approx(187.0)  # all of it
    assert any(way.window_s == pytest.approx(187 / 360) and way.fs_hz is None for way in longer)
    with pytest.raises(InputError, match="the recordings are"):
        ways_in((1, 7, 9), Fitting((2, 100), 2, 100.0, ("I", "II")), "m")


def test_the_likelier_of_two_that_rank_alike_is_chosen() -> None:
    def trial(auc: float | None, order: tuple[str, ...] = (), **about: str) -> ScalingTrial:
        return ScalingTrial(InputSpec.model_validate(about), auc, {}, order=order)

    plain, scored, ranged = trial(0.7), trial(0.95, normalise="zscore"), trial(0.96, normalise="minmax")
    assert choose([plain, scored, ranged]) is scored
    assert choose([plain, trial(0.955, ("B", "A"), unit="uV"), ranged]) is ranged
    assert choose([trial(None)]) is None


def test_a_tail_in_numpy_is_the_one_that_is_written() -> None:
    raw = np.array([[0.2, 0.7]], np.float32)
    assert tailed(raw[:, 1:], make_tail(1, 2, True, "m")) == pytest.approx(np.array([[0.3, 0.7]]))
    assert tailed(raw, make_tail(2, 1, False, "m")) == pytest.approx(np.array([[0.5]]))
    assert tailed(raw, make_tail(2, 2, True, "m", ("A", "B"), ("B", "A"))) == pytest.approx(raw[:, ::-1])


def test_a_proposal_is_what_a_study_reads(tmp_path: Path) -> None:
    spec = ModelSpec(file="m.tflite", classes=("V", "N"), input=InputSpec(normalise="robust", scale=0.5))
    text = 'name = "s"\ntitle = "s"\n[data]\nsource = "synthetic"\n' + block("mine", spec)
    (tmp_path / "s.toml").write_text(text)
    assert load_study(tmp_path / "s.toml").models["mine"] == spec
    assert said(InputSpec()) == "millivolts as they are"


def test_a_model_near_chance_is_said_loudly() -> None:
    assert chance_warning("own", 0.9, "m.onnx") is None
    below = chance_warning("own", 0.366, "m.onnx")
    assert below is not None and "below chance (AUC 0.366)" in below and "pulseproof bring m.onnx" in below


def test_files_alone_get_a_surrogate_and_square() -> None:
    def study(attacks: dict[str, object], **models: dict[str, object]) -> Study:
        head = {"name": "s", "title": "s", "data": {"source": "synthetic"}}
        return completed(Study.model_validate(head | {"models": models, "attacks": attacks}))

    alone = study({}, mine={"file": "m.tflite"})
    assert alone.models["surrogate"].system == "cnn" and alone.models["surrogate"].recipes == ()
    assert alone.attacks.further_methods == ("square",)
    assert "surrogate" not in study({"surrogate": "none"}, mine={"file": "m.tflite"}).models
    assert "surrogate" not in study({}, mine={"file": "m.tflite"}, cnn={}).models
    assert study({"further_methods": ["apgd"]}, mine={"file": "m.onnx"}).attacks.further_methods == ("apgd",)


def test_ends_are_said_of_files_alone() -> None:
    with pytest.raises(ValueError, match="goes with file or factory"):
        ModelSpec(system="cnn", input=InputSpec())
