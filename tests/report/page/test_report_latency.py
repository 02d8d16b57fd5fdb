"""Latencies in the report: what was timed is drawn, what is damaged or of other bytes is refused or passed over."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from pulseproof.bench.wire.results import read_bundle, read_results
from pulseproof.core.errors import InputError
from pulseproof.report.page.latency import latency_section, read_latencies
from pulseproof.runtime.files import write_array
from tests.bench.making import change_json
from tests.report.making_report import make_study


@pytest.fixture
def home(tmp_path: Path) -> Path:
    make_study(tmp_path, models=("cnn",), recipes=("onnx-fp32", "onnx-int8-static"), sources=("cnn",), further=())
    return tmp_path


def timed(home: Path) -> list:  # type: ignore[type-arg]
    bundle = read_bundle(home / "bundle")
    return read_latencies(bundle, read_results(bundle, home / "results"), home / "results")


def place(home: Path) -> Path:
    return home / "results" / "host" / "cnn__onnx-fp32"


def test_every_call_is_read_where_it_was_kept(home: Path) -> None:
    found = {each.artifact: each for each in timed(home)}
    assert list(found) == ["cnn/onnx-fp32", "cnn/onnx-int8-static"]  # the emulated core has no time
    kept = found["cnn/onnx-fp32"]
    times = np.load(place(home) / "_clean.times.npy")
    np.testing.assert_array_equal(kept.samples_ms, times / 1e6)
    assert kept.sustained is not None
    assert len(kept.sustained.windows) == 120
    assert found["cnn/onnx-int8-static"].samples_ms is None
    assert found["cnn/onnx-int8-static"].sustained is None


def test_the_section_says_what_it_shows(home: Path) -> None:
    section = latency_section(timed(home))
    assert section is not None
    assert "not kept of 1 of 2" in section.body
    assert "Latency over time, cnn/onnx-fp32 on host: p50 " in section.body
    assert len(re.findall('class="density" d=', section.body)) == 1
    assert latency_section([]) is None


def test_calls_beyond_the_axis_are_counted(home: Path) -> None:
    path = place(home) / "_clean.times.npy"
    times = np.load(path)
    times[:7] = 10 * times.max()
    write_array(path, times)
    result = json.loads((place(home) / "clean.json").read_text())
    from tests.bench.making import entry

    change_json(place(home) / "clean.json", times={**result["times"], "sha256": entry(path)["sha256"]})
    section = latency_section(timed(home))
    assert section is not None
    assert ">+7</text>" in section.body


def damage_bytes(home: Path) -> None:
    path = place(home) / "_clean.times.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")


def damage_shape(home: Path) -> None:
    change_json(place(home) / "clean.json", latency_ms={"count": 299, "p50": 0.5, "p90": 0.6, "p99": 0.7})


def damage_link(home: Path) -> None:
    path = place(home) / "_clean.times.npy"
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def damage_course(home: Path) -> None:
    (place(home) / "_sustained.json").write_text('{"windows": 3}')


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (damage_bytes, "SHA-256 differs"),
        (damage_shape, r"not the int64 \(299,\)"),
        (damage_link, "a link"),
        (damage_course, "_sustained.json: artifact: Field required"),
    ],
)
def test_a_damaged_file_is_refused(home: Path, damage, says: str) -> None:  # type: ignore[no-untyped-def]
    damage(home)
    with pytest.raises(InputError, match=says):
        timed(home)


def test_a_course_of_another_version_of_the_artifact_is_passed_over(home: Path) -> None:
    change_json(place(home) / "_sustained.json", artifact__sha256="0" * 64)
    assert all(each.sustained is None for each in timed(home))
