"""``log_to``: what a tracker is given is what the rows say, and what is missing is said in a sentence."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import pulseproof as pp
from pulseproof.core.study import Study
from pulseproof.face.tracking import metrics
from pulseproof.report.numbers.resampled import WORST
from pulseproof.report.numbers.rows import Row
from tests.report.making_report import evaluated, make_study

STUDY = {"name": "made", "title": "Made", "data": {"source": "synthetic"}, "models": {"cnn": {}}}
KEY = "cnn/onnx-fp32/host"


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tracked")
    make_study(folder / "made")
    return folder


@pytest.fixture(scope="module")
def study() -> Study:
    return Study.model_validate(STUDY | {"bench": {"bootstrap": 100}})


@pytest.fixture(scope="module")
def rows(build: Path) -> tuple[Row, ...]:
    return evaluated(build / "made")[0].rows


class Recorder(ModuleType):
    """A tracker that notes what it is given. ``spoilt``: its server answers nothing."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.noted: dict[str, Any] = {}
        self.spoilt = False


class Wandb(Recorder):
    def init(self, project: str, name: str, config: dict[str, Any]) -> Any:
        if self.spoilt:
            raise ConnectionError("no route\nto host")
        self.noted |= {"project": project, "name": name, "config": config, "log": {}, "summary": {}, "ended": False}
        return self

    Table = staticmethod(lambda columns, data: SimpleNamespace(columns=columns, data=data))
    url, id = None, "run-1"

    def __enter__(self) -> Wandb:
        return self

    def __exit__(self, *error: object) -> None:
        self.noted["ended"] = True

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = self.noted["summary"]
        return found

    def log(self, values: dict[str, Any]) -> None:
        self.noted["log"] |= values

    def Artifact(self, name: str, type: str) -> Any:  # noqa: N802
        files: dict[str, str] = {}
        self.noted["files"] = files
        return SimpleNamespace(add_file=lambda path, name: files.__setitem__(name, Path(path).read_text()))

    def log_artifact(self, artifact: Any) -> Any:
        return SimpleNamespace(wait=lambda: None)


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wandb]:
    made = Wandb("wandb")
    monkeypatch.setitem(sys.modules, "wandb", made)
    yield made


def test_metrics_are_the_numbers_of_the_rows_with_their_flags(rows: tuple[Row, ...]) -> None:
    found = metrics(rows)
    own = [row for row in rows if row.artifact == "cnn/onnx-fp32" and row.device == "host"]
    (clean,) = [row for row in own if row.method == "clean"]
    assert found[f"{KEY}/auc"] == clean.auc and found[f"{KEY}/size_bytes"] == clean.size_bytes
    worst = {row.budget_mv: row for row in own if row.method == WORST}
    for budget, row in worst.items():
        assert found[f"{KEY}/attacked_auc_{budget:g}mV"] == row.auc
        assert found[f"{KEY}/attacked_auc_{budget:g}mV_flagged"] == float(bool(row.unreliable))
    assert any(row.unreliable for row in worst.values()) and len(worst) == 4
    assert all(isinstance(value, float) for value in found.values())


def test_weights_and_biases_gets_metrics_rows_and_answers(
    wandb: Wandb, study: Study, build: Path, rows: tuple[Row, ...]
) -> None:
    assert pp.log_to("wandb", study, build=build, project="hearts") == "run-1"
    noted = wandb.noted
    assert (noted["project"], noted["name"], noted["ended"]) == ("hearts", "made", True)
    assert noted["summary"][f"{KEY}/auc"] == metrics(rows)[f"{KEY}/auc"]
    table = noted["log"]["rows"]
    assert table.columns == list(Row.model_fields) and len(table.data) == len(rows)
    assert not any(isinstance(cell, dict) for line in table.data for cell in line)
    assert json.loads(noted["files"]["rows.json"])[0]["model"] == rows[0].model
    assert (
        noted["files"]["answers.md"].startswith("**") and noted["config"]["recommended"] in noted["files"]["answers.md"]
    )


def test_a_tracker_that_fails_says_so_in_a_sentence(wandb: Wandb, study: Study, build: Path) -> None:
    wandb.spoilt = True
    with pytest.raises(pp.InputError, match="wandb: the run could not be logged: no route to host"):
        pp.log_to("wandb", study, build=build)


def test_a_tracker_that_is_not_here_is_named_with_what_brings_it(
    study: Study, build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(pp.InputError, match=r"mlflow is not installed here\n.*pip install 'pulseproof\[mlflow\]'"):
        pp.log_to("mlflow", study, build=build)
    with pytest.raises(pp.InputError, match="no tracker 'tensorboard' here"):
        pp.log_to("tensorboard", study, build=build)  # type: ignore[arg-type]
    with pytest.raises(pp.InputError, match="no bundle there yet"):
        pp.log_to("mlflow", study, build=build / "none")


class Mlflow(Recorder):
    """As above, with MLflow's names of things."""

    def set_experiment(self, name: str) -> None:
        self.noted["experiment"] = name

    @contextlib.contextmanager
    def start_run(self, run_name: str) -> Iterator[Any]:
        self.noted |= {"name": run_name, "texts": {}}
        yield SimpleNamespace(info=SimpleNamespace(run_id="r1"))

    def log_params(self, values: dict[str, Any]) -> None:
        self.noted["params"] = values

    def log_metrics(self, values: dict[str, float]) -> None:
        self.noted["metrics"] = values

    def log_text(self, text: str, file: str) -> None:
        self.noted["texts"][file] = text


def test_mlflow_gets_the_same(
    study: Study, build: Path, monkeypatch: pytest.MonkeyPatch, rows: tuple[Row, ...]
) -> None:
    made = Mlflow("mlflow")
    monkeypatch.setitem(sys.modules, "mlflow", made)
    assert pp.log_to("mlflow", study, build=build) == "r1"
    assert made.noted["experiment"] == "pulseproof" and made.noted["metrics"] == metrics(rows)
    assert set(made.noted["texts"]) == {"answers.md", "rows.csv", "rows.json"}


def test_mlflow_gets_the_same_by_its_real_package(
    study: Study, build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: tuple[Row, ...]
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the extra pulseproof[mlflow] is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(tmp_path.as_uri())
    found = mlflow.get_run(pp.log_to("mlflow", study, build=build))
    assert found.info.run_name == "made" and found.data.params["recommended"]
    assert found.data.metrics == {key.replace("+", "-"): value for key, value in metrics(rows).items()}
    answers = mlflow.artifacts.load_text(f"{found.info.artifact_uri}/answers.md")
    assert answers.startswith("**")
