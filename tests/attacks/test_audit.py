"""The audit of a small study: what it writes, what it computes again, and what it says on the terminal."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from pulseproof.attacks.audit.file import Audit, FlagEntry, audit_path, read_audit
from pulseproof.attacks.audit.study import audit_study
from pulseproof.attacks.audit.tables import tables
from pulseproof.attacks.grid.study import attack_study
from pulseproof.core.errors import InputError
from pulseproof.core.study import Study
from pulseproof.ecg.recordings import Recordings
from pulseproof.export.manifest import Manifest
from pulseproof.export.run import export_study
from pulseproof.models.run import Trained, train_study
from pulseproof.models.train import scores_of
from pulseproof.runtime.auc import macro_auc
from pulseproof.twins import open_twin
from tests.models.making import small_recordings


def study(**attacks: object) -> Study:
    settings = {"budgets_mv": [0.05, 0.4], "steps": 6, "references": 16, "deployed": ["onnx-fp32"]} | attacks
    models = {"cnn": {"epochs": 3, "batch_size": 16, "options": {"width": 4}}, "logistic-regression": {}}
    content = {"name": "s", "title": "s", "data": {"source": "synthetic"}, "models": models, "attacks": settings}
    return Study.model_validate(content | {"export": {"recipes": ["onnx-fp32"]}, "bench": {"bootstrap": 100}})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audited")


@pytest.fixture(scope="module")
def recordings(home: Path) -> Recordings:
    return small_recordings(home / "recordings", 240)


@pytest.fixture(scope="module")
def trained(home: Path, recordings: Recordings) -> dict[str, Trained]:
    return train_study(study(), recordings, home)


@pytest.fixture(scope="module")
def manifest(home: Path, recordings: Recordings, trained: dict[str, Trained]) -> Manifest:
    return export_study(study(), recordings, trained, home, jobs=1)


def audited(
    asked: Study, recordings: Recordings, trained: dict[str, Trained], home: Path, manifest: Manifest | None = None
) -> Audit:
    made = attack_study(asked, recordings, trained, home, manifest=manifest, workers=0)
    return audit_study(asked, recordings, trained, made, home, manifest)


def kept(home: Path) -> dict[str, int]:
    folder = home / "s" / "audit"
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*.npy")}


def test_every_model_meets_every_set(home: Path, recordings: Recordings, trained: dict[str, Trained]) -> None:
    made = attack_study(study(), recordings, trained, home, workers=0)
    audit = audit_study(study(), recordings, trained, made, home)
    sets = {(each.source, each.method, each.budget_mv) for each in made.sets}
    for target in trained:
        seen = [(cell.source, cell.method, cell.budget_mv) for cell in audit.cells if cell.target == target]
        assert len(seen) == len(sets)
        assert set(seen) == sets
    assert audit.sets == {each.name: each.sha256 for each in made.sets}
    assert audit.recordings == audit.rechecked == audit.patients == len(recordings.indices("test"))
    assert {(one.source, one.budget_mv, one.says) for one in audit.rechecks} == {
        (source, budget, says)
        for source in trained
        for budget, says in [
            (0.05, "twice the steps"),
            (0.05, "the better of two starts"),
            *((budget, f"the {name} objective") for budget in (0.05, 0.4) for name in ("cross-entropy", "linear")),
        ]
    }
    assert read_audit(audit_path(study(), home)) == audit


def test_the_audit_measures_what_it_says(home: Path, recordings: Recordings, trained: dict[str, Trained]) -> None:
    audit = audited(study(), recordings, trained, home)
    test = recordings.indices("test")
    for name, model in trained.items():
        (clean,) = [cell for cell in audit.cells if (cell.target, cell.method) == (name, "clean")]
        assert clean.auc == pytest.approx(macro_auc(scores_of(model.module, recordings, test), recordings.labels[test]))
        assert clean.low is not None and clean.high is not None and clean.low <= clean.auc <= clean.high
        own = {cell.budget_mv: cell.auc for cell in audit.cells if (cell.target, cell.source) == (name, name)}
        assert {(one.source, one.budget_mv): one.before for one in audit.rechecks}[name, 0.05] == own[0.05]


def test_nothing_is_computed_twice(home: Path, recordings: Recordings, trained: dict[str, Trained]) -> None:
    first, before = audited(study(), recordings, trained, home), kept(home)
    assert len(before) > 20
    assert (audited(study(), recordings, trained, home), kept(home)) == (first, before)
    damaged = home / "s" / "audit" / "cnn" / "clean.npy"
    damaged.write_bytes(damaged.read_bytes()[:-4])
    assert audited(study(), recordings, trained, home) == first
    after = kept(home)
    assert {name for name in after if after[name] != before[name]} == {"cnn/clean.npy"}


def test_what_the_study_no_longer_asks_for_is_removed(
    home: Path, recordings: Recordings, trained: dict[str, Trained]
) -> None:
    audited(study(), recordings, trained, home)
    assert any("0.4mV" in name for name in kept(home))
    audit = audited(study(budgets_mv=[0.05]), recordings, trained, home)
    assert not any("0.4mV" in name for name in kept(home))
    assert {cell.budget_mv for cell in audit.cells} == {0.0, 0.05}


def test_a_deployed_file_is_scored_on_its_engine(
    home: Path, recordings: Recordings, trained: dict[str, Trained], manifest: Manifest
) -> None:
    asked = study(budgets_mv=[0.05], further_methods=["square"], queries=10)
    audit = audited(asked, recordings, trained, home, manifest)
    assert audit.engines["cnn/onnx-fp32"] == "onnxruntime"
    cells = {(cell.target, cell.source, cell.method): cell for cell in audit.cells}
    own = cells["cnn/onnx-fp32", "cnn/onnx-fp32", "square"]
    assert own.kind == "queries"
    # A float file gives its model's scores, and meets the sets of its model.
    assert cells["cnn/onnx-fp32", "cnn", "pgd"].auc == pytest.approx(cells["cnn", "cnn", "pgd"].auc, abs=1e-3)
    assert ("cnn/onnx-fp32", "logistic-regression", "pgd") not in cells


def test_a_twin_is_held_to_its_file(
    home: Path,
    recordings: Recordings,
    trained: dict[str, Trained],
    manifest: Manifest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = study(budgets_mv=[0.05], further_methods=["twin"])
    honest = audited(asked, recordings, trained, home, manifest)
    assert {one.file: one.reason for one in honest.twins} == {f"{name}/onnx-fp32": None for name in trained}
    assert "twin-differs" not in {flag.name for flag in honest.flags}
    other = home / "s" / "artifacts" / "logistic-regression" / "onnx-fp32.onnx"
    monkeypatch.setattr("pulseproof.attacks.audit.study.open_twin", lambda path: open_twin(other))
    flags = [flag for flag in audited(asked, recordings, trained, home, manifest).flags if flag.name == "twin-differs"]
    assert [flag.target for flag in flags] == ["cnn/onnx-fp32"]
    assert "its scores differ" in flags[0].sentence


def test_the_tables_mark_the_diagonal(home: Path, recordings: Recordings, trained: dict[str, Trained]) -> None:
    audit = audited(study(), recordings, trained, home)
    flag = FlagEntry(name="unsettled", sentence="[0.3] becomes 0.2", target="cnn", source="cnn", budget_mv=0.05)
    console = Console(width=200, file=io.StringIO())
    for table in tables(audit.model_copy(update={"flags": (flag,)})):
        console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    (own,) = [c.auc for c in audit.cells if (c.target, c.source, c.budget_mv) == ("cnn", "cnn", 0.05)]
    assert f"{own:.3f} *" in text
    assert text.count(" *") == 2 * len(trained) + text.count("* made on")  # a model's own at each budget
    assert "[0.3] becomes 0.2" in text
    assert "AUC at 0.4 mV" in text
    assert audit.note in text


@pytest.mark.parametrize("content", ["", "{}", '{"format": 2}', "[1]"])
def test_a_damaged_audit_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "audit.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"audit\.json: not a readable audit[\s\S]*make it again"):
        read_audit(path)


@pytest.mark.slow
def test_the_command_goes_all_the_way(tmp_path: Path) -> None:
    """From nothing but a study file."""
    path = tmp_path / "small.toml"
    path.write_text(
        'name = "small"\ntitle = "t"\n[data]\nsource = "synthetic"\nrecords = 120\n[models.logistic-regression]\n'
        '[export]\nrecipes = ["onnx-fp32"]\n[bench]\nbootstrap = 100\n'
        "[attacks]\nbudgets_mv = [0.01, 0.05]\nsteps = 3\nreferences = 16\n"
    )
    command = [sys.executable, "-m", "pulseproof", "audit", "--study", str(path), "--build", str(tmp_path / "build")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    assert "AUC at 0.05 mV" in done.stdout
    assert "SYNTHETIC" in done.stdout
    assert read_audit(tmp_path / "build" / "small" / "audit.json").study == "small"
