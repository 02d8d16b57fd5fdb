"""The recordings of the page: chosen as it says, and unpacked to the very steps and scores that were measured."""

from __future__ import annotations

import base64
import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import pulseproof.report.page.viewer
from pulseproof.bench.wire.results import read_bundle, read_results
from pulseproof.report.numbers.evaluation import evaluate
from pulseproof.report.page.viewer import AT_RANDOM, MOST_CHANGED, choose, deflated, viewer_data
from tests.bench.making import make_scores, write_result
from tests.report.making_report import make_study

TYPES = {"i1": np.int8, "i2": np.int16, "i4": np.int32, "f4": np.float32}


def unpacked(text: str, kind: str) -> Any:
    return np.frombuffer(zlib.decompress(base64.b64decode(text), -zlib.MAX_WBITS), TYPES[kind])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("viewer")
    make_study(folder)
    return folder


def shown(home: Path) -> dict[str, Any]:
    bundle = read_bundle(home / "bundle")
    rows = evaluate(home, 50).rows
    viewer = viewer_data(bundle, read_results(bundle, home / "results"), rows, "cnn/onnx-fp32", 0.02)
    assert viewer is not None
    return dict(json.loads(re.sub(r"</?script[^>]*>", "", viewer.data)))


@settings(max_examples=50, deadline=None)
@given(arrays(np.int16, st.tuples(st.integers(0, 4), st.integers(1, 50))))
def test_what_is_packed_comes_out_again(array: Any) -> None:
    np.testing.assert_array_equal(unpacked(deflated(array), "i2"), array.ravel())


def test_every_set_and_score_comes_out_as_it_was_measured(home: Path) -> None:
    data = shown(home)
    rows = [each["row"] for each in data["records"]]
    clean = np.load(home / "bundle" / "signals" / "clean.npy")[rows].astype(int)
    np.testing.assert_array_equal(unpacked(data["clean"], "i2"), clean.ravel())
    for each, packed in zip(data["sets"], data["differences"], strict=True):
        attacked = np.load(home / "bundle" / "signals" / f"{each['name']}.npy")[rows].astype(int)
        np.testing.assert_array_equal(unpacked(packed["data"], packed["kind"]), (attacked - clean).ravel())
    names = ["clean", *(each["name"] for each in data["sets"])]
    for artifact in data["artifacts"]:
        scores = unpacked(artifact["scores"], "f4").reshape(len(names), len(rows), len(data["classes"]))
        for name, values in zip(names, scores, strict=True):
            path = home / "results" / "host" / artifact["name"].replace("/", "__") / f"{name}.npy"
            if path.exists():
                np.testing.assert_array_equal(values, np.load(path)[rows])
            else:
                assert np.isnan(values).all()
    labels = np.load(home / "bundle" / "labels.npy")
    assert [each["labels"] for each in data["records"]] == labels[rows].tolist()


def test_those_are_chosen_that_change_most(tmp_path: Path) -> None:
    head = make_study(tmp_path)
    labels = np.load(tmp_path / "bundle" / "labels.npy")
    moved = [7, 3, 41, 20, 59]
    attack = next(each for each in head["signals"] if each["method"] == "pgd" and each["budget_mv"] == 0.02)
    for artifact in head["artifacts"]:
        clean = make_scores(labels, artifact, head["signals"][0])
        for signals in head["signals"]:
            if signals["only"] is None or artifact["model"] in signals["only"]:
                scores = clean.copy()
                if signals is attack:
                    scores[moved] += np.array([50, 40, 30, 20, 10], np.float32)[:, np.newaxis]
                write_result(tmp_path / "results" / "host", head, artifact, signals, scores)
    bundle = read_bundle(tmp_path / "bundle")
    device = next(each for each in read_results(bundle, tmp_path / "results") if each.name == "host")
    chosen = choose(bundle, device, 0.02)
    assert list(chosen.rows[:MOST_CHANGED]) == moved
    assert len(set(chosen.rows)) == MOST_CHANGED + AT_RANDOM
    assert chosen.why == ("changed most",) * MOST_CHANGED + ("at random",) * AT_RANDOM
    assert choose(bundle, device, 0.02) == chosen
    assert set(choose(bundle, device, None).why) == {"at random"}


def test_what_has_no_room_is_counted(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = read_bundle(home / "bundle")
    rows, devices = evaluate(home, 50).rows, read_results(bundle, home / "results")
    monkeypatch.setattr(pulseproof.report.page.viewer, "MOST_BYTES", 30_000)
    viewer = viewer_data(bundle, devices, rows, None, None)
    assert viewer is not None
    kept = json.loads(re.sub(r"</?script[^>]*>", "", viewer.data))["sets"]
    assert 0 < len(kept) < len(bundle.head.signals) - 1
    assert viewer.left_out == len(bundle.head.signals) - 1 - len(kept)
    assert {each["method"] for each in kept} == {"pgd"}  # what is asked for first is kept first
