"""Result files as untrusted input: what belongs to a bundle, and what is left unused with its reason. Damaged ones:
tests/hostile/bundle/test_results_at_home.py."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulseproof.bench.wire.results import DeviceResults, HostBundle, read_bundle, read_device, read_results
from pulseproof.core.errors import InputError
from tests.bench.making import change_json, entry, make_build, make_bundle, make_scores, write_result

FLOAT = ("cnn/onnx-fp32", "clean")


@dataclass(frozen=True)
class Made:
    """A build on the disk; ``json`` and ``npy`` are the files of the clean result of cnn/onnx-fp32."""

    build: Path
    head: dict[str, Any]

    @property
    def results(self) -> Path:
        return self.build / "results" / "host"

    @property
    def json(self) -> Path:
        return self.results / "cnn__onnx-fp32" / "clean.json"

    @property
    def npy(self) -> Path:
        return self.json.with_suffix(".npy")

    def bundle(self) -> HostBundle:
        return read_bundle(self.build / "bundle")

    def read(self) -> DeviceResults:
        return read_device(self.bundle(), self.results)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path / "made", make_build(tmp_path / "made", budgets=(0.02,)))


def put_scores(made: Made, data: bytes) -> None:
    """Replace the scores, and the hash that the result names with them."""
    made.npy.write_bytes(data)
    change_json(made.json, scores__sha256=entry(made.npy)["sha256"])


def npy(array: np.ndarray, version: tuple[int, int] = (1, 0)) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version, allow_pickle=True)
    return file.getvalue()


def without(path: Path, key: str) -> None:
    value = json.loads(path.read_text())
    del value[key]
    path.write_text(json.dumps(value))


def linked(path: Path) -> None:
    """Move a file or folder elsewhere and leave a link to it: the bytes are right, the place is not."""
    elsewhere = path.parent.parent.parent / f"elsewhere-{path.name}"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def test_a_whole_build_is_read_whole(made: Made) -> None:
    bundle = made.bundle()
    (device,) = read_results(bundle, made.build / "results")
    assert (device.name, device.stale) == ("host", ())
    assert device.device is not None
    assert device.device.evidence == "measured-on-host"
    assert set(device.results) == {
        (artifact["name"], signals["name"]) for artifact in made.head["artifacts"] for signals in made.head["signals"]
    }
    for artifact in made.head["artifacts"]:
        for signals in made.head["signals"]:
            found = device.results[artifact["name"], signals["name"]]
            assert found.failure is None
            assert found.scores is not None
            np.testing.assert_array_equal(found.scores, make_scores(bundle.labels, artifact, signals))


def test_a_pipe_is_not_waited_for(made: Made) -> None:
    made.npy.unlink()
    os.mkfifo(made.npy)
    with pytest.raises(InputError, match="missing"):
        made.read()


def test_a_device_that_is_a_link_is_refused(made: Made) -> None:
    elsewhere = made.build / "elsewhere" / "host"
    elsewhere.parent.mkdir()
    made.results.rename(elsewhere)
    made.results.symlink_to(elsewhere)
    with pytest.raises(InputError, match="a link"):
        read_results(made.bundle(), made.build / "results")


def test_the_array_that_would_run_code_does_not(made: Made) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(made.build / "ran"),))

    array = np.empty((60, 3), object)
    array[:] = Payload()
    put_scores(made, npy(array))
    with pytest.raises(InputError, match="never unpickled"):
        made.read()
    assert not (made.build / "ran").exists()


STALE: dict[str, tuple[Callable[[Made], object], str]] = {
    "artifact": (lambda m: change_json(m.json, artifact__sha256="0" * 64), "another version of the artifact"),
    "signals": (lambda m: change_json(m.json, signals__sha256="0" * 64), "another version of the signal set"),
    "study": (lambda m: change_json(m.json, study="ptb-xl"), "for the study ptb-xl"),
    "step": (lambda m: change_json(m.json, asked={"adc_step_mv": 0.005}), "another recorder step"),
    "n": (lambda m: change_json(m.json, n=61), "more recordings than there are"),
    "threads": (lambda m: change_json(m.json, engine__threads=4), "another number of threads"),
    "warm-up": (lambda m: change_json(m.json, asked={"adc_step_mv": 0.001, "warmup_s": 0.0}), "another time or number"),
    "runs": (lambda m: change_json(m.json, asked={"adc_step_mv": 0.001, "min_runs": 20}), "another time or number"),
    "scores of another n": (
        lambda m: (put_scores(m, npy(np.zeros((61, 3), np.float32))), change_json(m.json, n=61)),
        "more recordings than there are",
    ),
    "no scores at all": (
        lambda m: (m.npy.unlink(), change_json(m.json, artifact__sha256="0" * 64)),
        "another version of the artifact",
    ),
}


@pytest.mark.parametrize("what", STALE)
def test_what_was_measured_on_something_else_is_named_and_not_used(made: Made, what: str) -> None:
    change, reason = STALE[what]
    change(made)
    device = made.read()
    (stale,) = device.stale
    assert (stale.path, stale.key) == (made.json, FLOAT)
    assert reason in stale.reason
    assert FLOAT not in device.results
    assert len(device.results) == len(made.head["artifacts"]) * len(made.head["signals"]) - 1
    assert device.device is not None


def test_the_first_recordings_alone_are_a_result(made: Made) -> None:
    scores = np.load(made.npy)[:20]
    put_scores(made, npy(scores))
    change_json(made.json, n=20)
    device = made.read()
    assert device.stale == ()
    found = device.results[FLOAT].scores
    assert found is not None
    np.testing.assert_array_equal(found, scores)


def test_fewer_scores_than_the_result_says_are_refused(made: Made) -> None:
    change_json(made.json, n=59)
    with pytest.raises(InputError, match=r"clean.npy: float32 \(60, 3\), not float \(59, 3\)"):
        made.read()


@pytest.mark.parametrize(("key", "kept"), [("artifacts", 3), ("signals", 4)])
def test_what_left_the_bundle_is_stale(made: Made, key: str, kept: int) -> None:
    head = made.build / "bundle" / "bundle.json"
    change_json(head, **{key: made.head[key][:-1]})
    device = made.read()
    assert len(device.results) == kept
    assert {each.reason for each in device.stale} == {"no longer in the bundle"}
    assert len(device.stale) == 6 - kept


def test_what_is_no_longer_for_this_artifact_is_stale(made: Made) -> None:
    signals = [each | {"only": ["lstm"] if each["method"] == "pgd" else None} for each in made.head["signals"]]
    change_json(made.build / "bundle" / "bundle.json", signals=signals)
    device = made.read()
    assert {each.key[1] for each in device.stale} == {"pgd-cnn-0.02mV"}
    assert {each.reason for each in device.stale} == {"no longer in the bundle"}
    assert len(device.results) == 4


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"engine__version": "1.30.0"}, "measured with onnxruntime 1.30.0, most of this device with 1.31.1"),
        (
            {"device__fingerprint": {"machine": "aarch64", "cpu": "Cortex-A72"}},
            "measured with processor aarch64 Cortex-A72, most of this device with x86_64 Test CPU",
        ),
    ],
)
def test_results_of_another_version_than_most_are_not_mixed_in(made: Made, changed: dict[str, Any], said: str) -> None:
    change_json(made.json, **changed)
    device = made.read()
    assert [(each.path, each.key, each.reason) for each in device.stale] == [(made.json, FLOAT, said)]
    assert FLOAT not in device.results
    assert len(device.results) == 5


def test_processors_of_one_name_with_other_instructions_are_not_mixed(made: Made) -> None:
    """A virtual machine calls them all "AMD EPYC"; older results, which noted no instructions, stay."""
    paths = sorted(made.results.glob("*/*.json"))
    for path in paths[1:]:
        about = json.loads(path.read_text())["device"]["fingerprint"]
        features = "avx2 fma" if path == paths[1] else "avx2 fma avx512_vnni"
        change_json(path, device__fingerprint={**about, "features": features})
    device = made.read()
    said = "measured with processor features avx2 fma, most of this device with avx2 fma avx512_vnni"
    assert [(each.path, each.reason) for each in device.stale] == [(paths[1], said)]
    assert len(device.results) == 5


def test_of_two_versions_with_as_many_results_one_stays_whatever_the_order(made: Made) -> None:
    paths = sorted(made.results.glob("*/*.json"))
    for path in paths[:3]:
        change_json(path, engine__version="1.9.9")
    device = made.read()
    versions = {each.result.engine.version for each in device.results.values() if each.result.engine}
    assert versions == {"1.9.9"}  # the last by name
    assert {each.path for each in device.stale} == set(paths[3:])


def test_a_failed_run_of_another_version_carries_no_number_and_stays(made: Made) -> None:
    change_json(made.json, status="failed", reason="crashed", scores=None, engine__version="1.0")
    device = made.read()
    assert device.stale == ()
    assert device.results[FLOAT].failure == "crashed"


def test_a_result_by_the_same_rules_and_one_that_does_not_say_are_used(made: Made) -> None:
    change_json(made.json, asked={"adc_step_mv": 0.001, "warmup_s": 0.2, "min_runs": 200, "min_s": 2.0})
    assert made.read().stale == ()
    change_json(made.json, asked={"adc_step_mv": 0.001})
    assert made.read().stale == ()


def test_each_engine_has_its_own_version(made: Made) -> None:
    for path in made.results.glob("*int8*/*.json"):
        change_json(path, engine={"name": "ai_edge_litert", "version": "2.3.0", "threads": 1})
    assert made.read().stale == ()


def test_a_device_of_stale_results_alone_is_no_device(made: Made) -> None:
    change_json(made.build / "bundle" / "bundle.json", study="renamed")
    device = made.read()
    assert device.device is None
    assert device.results == {}
    assert len(device.stale) == 6


def test_labels_may_change_while_scores_stay(made: Made) -> None:
    """Scores do not depend on labels: nothing is stale, and the numbers are made from the new labels."""
    bundle = made.build / "bundle"
    labels = 1 - np.load(bundle / "labels.npy")
    np.save(bundle / "labels.npy", labels)
    change_json(bundle / "bundle.json", files=made.head["files"] | {"labels.npy": entry(bundle / "labels.npy")})
    assert made.read().stale == ()
    np.testing.assert_array_equal(made.bundle().labels, labels)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_score_that_is_no_number_fails_its_result_alone(made: Made, value: float) -> None:
    scores = np.load(made.npy)
    scores[5, 1] = value
    put_scores(made, npy(scores))
    device = made.read()
    assert device.results[FLOAT].scores is None
    what = "NaN" if np.isnan(value) else "infinite"
    assert device.results[FLOAT].failure == f"its scores are {what} in 1 of 60 recordings (the first: 5)"
    assert sum(each.scores is not None for each in device.results.values()) == 5


@pytest.mark.parametrize(
    ("reason", "said"),
    [("engine: no such operator", "engine: no such operator"), (None, "no reason given"), ("\x1b[2Ja\nb", "[2Ja b")],
)
def test_a_failed_result_keeps_its_reason(made: Made, reason: str | None, said: str) -> None:
    artifact, signals = made.head["artifacts"][0], made.head["signals"][0]
    made.npy.unlink()
    write_result(made.results, made.head, artifact, signals, None, reason=reason)
    found = made.read().results[FLOAT]
    assert (found.scores, found.failure) == (None, said)


def test_a_device_may_use_another_float_and_say_more_than_is_asked(made: Made) -> None:
    put_scores(made, npy(np.load(made.npy).astype(np.float64)))
    change_json(made.json, extra={"anything": [1, 2]}, engine__build="of its own")
    found = made.read().results[FLOAT]
    assert found.scores is not None
    assert found.scores.dtype == np.float64


def test_missing_results_and_temporary_files_are_passed_over(made: Made) -> None:
    made.json.unlink()
    (made.json.parent / ".clean.x1.partial.json").write_text("{")
    (made.json.parent / "_sustained.json").write_text("latency over time is no result")
    (made.results / "device.json").write_text("not read here")
    (made.build / "results" / "notes.txt").write_text("neither")
    (device,) = read_results(made.bundle(), made.build / "results")
    assert FLOAT not in device.results
    assert (len(device.results), device.stale) == (5, ())


def test_no_results_yet_and_an_empty_device(made: Made) -> None:
    assert read_results(made.bundle(), made.build / "none") == ()
    (made.build / "results" / "pi4").mkdir()
    names = {each.name: each for each in read_results(made.bundle(), made.build / "results")}
    assert set(names) == {"host", "pi4"}
    assert names["pi4"] == DeviceResults("pi4", None, {}, ())


def test_each_device_has_its_own_evidence(made: Made) -> None:
    labels = made.bundle().labels
    for artifact in made.head["artifacts"]:
        device = {"name": "pi4", "evidence": "measured-on-device", "fingerprint": {}}
        signals = made.head["signals"][0]
        folder = made.build / "results" / "pi4"
        write_result(folder, made.head, artifact, signals, make_scores(labels, artifact, signals), device=device)
    found = read_results(made.bundle(), made.build / "results")
    assert [each.device.evidence for each in found if each.device] == ["measured-on-host", "measured-on-device"]


def test_words_of_a_stranger_are_plain(tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle")
    change_json(tmp_path / "bundle" / "bundle.json", title="\x1b]0;title\x07 a\r\nb" + "c" * 900)
    title = read_bundle(tmp_path / "bundle").head.title
    assert title.startswith("]0;title a bc")
    assert title.isprintable()
    assert len(title) == 500
