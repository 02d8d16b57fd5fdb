"""Training: it learns, repeats to the bit, goes on where it was killed, and refuses what it cannot build."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch

from pulseproof.core.errors import InputError
from pulseproof.core.study import AugmentSpec, Study
from pulseproof.models.nets import Cnn
from pulseproof.models.run import load_metrics, train_study
from pulseproof.models.train import TrainingPlan, train_net
from pulseproof.runtime.files import read_json, write_json
from tests.models.making import small_recordings


def study(**models: dict[str, object]) -> Study:
    return Study.model_validate(
        {
            "name": "small",
            "title": "small",
            "data": {"source": "synthetic"},
            "models": {k.replace("_", "-"): v for k, v in models.items()},
        }
    )


SMALL = {"epochs": 6, "batch_size": 16, "options": {"width": 4}}


def test_all_six_learn_and_come_back(tmp_path: Path) -> None:
    recordings = small_recordings(tmp_path / "recordings")
    asked = study(
        decision_tree={"options": {"min_samples_leaf": 3}},
        random_forest={"options": {"trees": 10}},
        logistic_regression={},
        cnn=SMALL,
        lstm={**SMALL, "epochs": 12, "options": {"hidden": 16}},
        ecg_lens=SMALL,
    )
    trained = train_study(asked, recordings, tmp_path)
    metrics = load_metrics(asked, tmp_path)
    assert {name: one.differentiable for name, one in trained.items()} == {
        "decision-tree": False,
        "random-forest": False,
        "logistic-regression": True,
        "cnn": True,
        "lstm": True,
        "ecg-lens": True,
    }
    for name, found in metrics.items():
        assert found["test"]["auc"] > 0.75, name
        assert found["test"]["n"] == 36
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "small").rglob("*.*")}
    again = train_study(asked, recordings, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "small").rglob("*.*")} == stamps
    x = torch.from_numpy(recordings.signals(recordings.indices("test")))
    for name in trained:
        assert torch.equal(again[name].module(x), trained[name].module(x)), name


def test_one_changed_setting_trains_one_model_again(tmp_path: Path) -> None:
    recordings = small_recordings(tmp_path / "recordings", 60)
    short = {**SMALL, "epochs": 1}
    first = train_study(study(cnn=short, logistic_regression={}), recordings, tmp_path)
    second = train_study(study(cnn={**short, "epochs": 2}, logistic_regression={}), recordings, tmp_path)
    assert first["cnn"].digest != second["cnn"].digest
    assert first["logistic-regression"].digest == second["logistic-regression"].digest


def test_the_identity_holds_the_bytes_of_the_weights(tmp_path: Path) -> None:
    """Another machine, or another number of threads, may train other weights from the same settings."""
    recordings = small_recordings(tmp_path / "recordings", 60)
    asked = study(cnn={**SMALL, "epochs": 1}, twin={**SMALL, "epochs": 1, "system": "cnn"})
    trained = train_study(asked, recordings, tmp_path)
    assert trained["cnn"].digest != trained["twin"].digest
    folder = tmp_path / "small" / "models" / "cnn"
    stamp = read_json(folder / "train.stamp.json")
    stamp["outputs"]["weights.safetensors"]["sha256"] = "0" * 64
    write_json(folder / "train.stamp.json", stamp)
    assert train_study(asked, recordings, tmp_path)["cnn"].digest != trained["cnn"].digest


def test_a_lost_or_older_metrics_file_is_measured_again_and_nothing_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings = small_recordings(tmp_path / "recordings", 60)
    asked = study(logistic_regression={})
    first = train_study(asked, recordings, tmp_path)["logistic-regression"]
    folder = tmp_path / "small" / "models" / "logistic-regression"
    stamp, metrics = (folder / "train.stamp.json").read_bytes(), (folder / "metrics.json").read_bytes()

    def stays() -> bool:
        again = train_study(asked, recordings, tmp_path)["logistic-regression"]
        return again.digest == first.digest and (folder / "train.stamp.json").read_bytes() == stamp

    (folder / "metrics.json").unlink()
    assert stays() and (folder / "metrics.json").read_bytes() == metrics
    (folder / "metrics.json").write_text("{}\n")
    monkeypatch.setattr("pulseproof.models.measured.METRICS_VERSION", 1_000)
    assert stays() and (folder / "metrics.json").read_bytes() == metrics


def plan(seed: int = 1) -> TrainingPlan:
    return TrainingPlan(
        5,
        16,
        4e-3,
        0.01,
        augment=AugmentSpec(stretch=0.1, noise_mv=0.01, wavelet=0.3),
        epoch_records=None,
        balanced=False,
        seed=seed,
    )


def train(recordings, checkpoint: Path, stop_after: int | None = None):  # type: ignore[no-untyped-def]
    class KilledError(Exception):
        pass

    def after(epoch: int) -> None:
        if epoch == stop_after:
            raise KilledError

    torch.manual_seed(1)
    net = Cnn(2, 160, 3, width=4)
    try:
        history = train_net(net, recordings, plan(), checkpoint, "cnn", after)
    except KilledError:
        return None
    return net.state_dict(), history


def without_clock(line: dict[str, float]) -> dict[str, float]:
    return {key: value for key, value in line.items() if not key.endswith("seconds")}


@pytest.mark.parametrize("stopped", [[0], [2], [0, 1, 3]])
def test_a_stopped_training_ends_with_the_same_weights(tmp_path: Path, stopped: list[int]) -> None:
    recordings = small_recordings(tmp_path / "recordings", 90)
    whole, history = train(recordings, tmp_path / "whole.safetensors")
    for epoch in stopped:
        assert train(recordings, tmp_path / "parts.safetensors", epoch) is None
    parts, went_on = train(recordings, tmp_path / "parts.safetensors")
    assert [without_clock(line) for line in went_on] == [without_clock(line) for line in history]
    assert all(line["seconds"] > 0 and line["processor_seconds"] > 0 for line in went_on)
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_batch_larger_than_the_data_is_the_data(tmp_path: Path) -> None:
    recordings = small_recordings(tmp_path / "recordings", 60)
    whole = study(cnn={**SMALL, "epochs": 1, "batch_size": 100_000})
    exact = study(cnn={**SMALL, "epochs": 1, "batch_size": 36})
    one = train_study(whole, recordings, tmp_path / "a")["cnn"].module.state_dict()
    other = train_study(exact, recordings, tmp_path / "b")["cnn"].module.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_damaged_checkpoint_is_thrown_away(tmp_path: Path) -> None:
    recordings = small_recordings(tmp_path / "recordings", 90)
    whole, _ = train(recordings, tmp_path / "whole.safetensors")
    path = tmp_path / "damaged.safetensors"
    train(recordings, path, 1)
    path.write_bytes(path.read_bytes()[:-100])
    again, _ = train(recordings, path)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_balanced_drawing_takes_rare_classes_more_often(tmp_path: Path) -> None:
    import numpy as np

    from pulseproof.models.train import _draw

    labels = np.zeros((1000, 3), np.uint8)
    labels[:900, 0] = labels[900:980, 1] = labels[980:, 2] = 1
    drawn = labels[_draw(labels, 6000, True, torch.Generator().manual_seed(1))].mean(axis=0)
    roots = np.sqrt([900, 80, 20])
    assert drawn == pytest.approx(roots / roots.sum(), abs=0.03)
    once = _draw(labels, 1000, False, torch.Generator().manual_seed(1))
    assert sorted(once.tolist()) == list(range(1000))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"system": "cnn", "options": {"wide": 3}}, "cannot be built"),
        ({"factory": "no_such_module:net"}, "cannot import"),
        ({"factory": "tests.models.test_training:wrong_shape"}, "not (2, 3)"),
        ({"factory": "builtins:max"}, "cannot be built"),
        ({"factory": "tests.models.test_training:raises"}, "ValueError: no such width"),
        ({"estimator": "sklearn.svm:LinearSVC"}, "cannot be fitted"),
        ({"estimator": "sklearn.linear_model:LogisticRegression", "options": {"wide": 3}}, "cannot be built"),
    ],
)
def test_what_cannot_be_built_says_why(tmp_path: Path, model: dict[str, object], said: str) -> None:
    recordings = small_recordings(tmp_path / "recordings", 60)
    with pytest.raises(InputError) as raised:
        train_study(study(own=model), recordings, tmp_path)
    assert "[models.own]" in raised.value.what
    assert said in raised.value.what
    assert not list((tmp_path / "small").rglob("*.stamp.json"))


def raises(leads: int, samples: int, classes: int) -> torch.nn.Module:
    raise ValueError("no such width")


def wrong_shape(leads: int, samples: int, classes: int) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(leads * samples, classes + 1))


def own_net(leads: int, samples: int, classes: int, hidden: int = 8) -> torch.nn.Module:
    """As a user would write it, without a word of ours."""
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(leads * samples, hidden), torch.nn.GELU(), torch.nn.Linear(hidden, classes)
    )


def test_a_users_own_module_and_estimator_are_trained(tmp_path: Path) -> None:
    recordings = small_recordings(tmp_path / "recordings", exclusive=True)
    own = {"factory": "tests.models.test_training:own_net", "options": {"hidden": 6}, "epochs": 8, "batch_size": 16}
    trees = {"estimator": "sklearn.ensemble:ExtraTreesClassifier", "options": {"n_estimators": 7, "random_state": 3}}
    asked = study(own=own, extra=trees)
    trained = train_study(asked, recordings, tmp_path)
    assert trained["own"].differentiable
    assert not trained["extra"].differentiable
    for found in load_metrics(asked, tmp_path).values():
        assert found["test"]["auc"] > 0.8


def test_an_edited_net_of_a_user_is_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recordings = small_recordings(tmp_path / "recordings", 60)
    monkeypatch.syspath_prepend(str(tmp_path))
    text = (
        "from torch import nn\n"
        "def net(leads, samples, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(leads * samples, classes))\n"
    )
    digests = []
    for edited in (text, text, text.replace("classes))", "classes), nn.Identity())")):
        (tmp_path / "users_own_net.py").write_text(edited)
        sys.modules.pop("users_own_net", None)
        importlib.invalidate_caches()
        asked = study(own={"factory": "users_own_net:net", "epochs": 1, "batch_size": 16})
        digests.append(train_study(asked, recordings, tmp_path)["own"].digest)
    assert digests[0] == digests[1] != digests[2]


def test_a_damaged_model_folder_is_trained_again(tmp_path: Path) -> None:
    recordings = small_recordings(tmp_path / "recordings", 60)
    asked = study(cnn={**SMALL, "epochs": 1})
    first = train_study(asked, recordings, tmp_path)["cnn"].module.state_dict()
    weights = tmp_path / "small" / "models" / "cnn" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    again = train_study(asked, recordings, tmp_path)["cnn"].module.state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    small_recordings(tmp_path / "recordings", 300)
    script = textwrap.dedent("""
        import sys, torch
        from pathlib import Path
        from pulseproof.ecg.recordings import open_recordings
        from pulseproof.models.run import train_study
        from tests.models.test_training import study
        torch.set_num_threads(1)
        home = Path(sys.argv[1])
        asked = study(cnn={"epochs": 30, "batch_size": 8, "options": {"width": 4}})
        train_study(asked, open_recordings(home / "recordings"), home / sys.argv[2])
    """)
    command = [sys.executable, "-c", script, str(tmp_path)]
    subprocess.run([*command, "whole"], check=True, env={**os.environ, "PYTHONPATH": "."})
    for wait in (2.5, 4.0, 3.0):
        running = subprocess.Popen([*command, "killed"], env={**os.environ, "PYTHONPATH": "."})
        time.sleep(wait)
        running.send_signal(signal.SIGKILL)
        running.wait()
    subprocess.run([*command, "killed"], check=True, env={**os.environ, "PYTHONPATH": "."})
    name = "small/models/cnn/weights.safetensors"
    assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
