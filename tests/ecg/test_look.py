"""What is said of recordings before anything learns from them, held against the arrays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pulseproof.core.errors import InputError
from pulseproof.ecg.look import PERCENTILES, keep_look, kept_look, look
from pulseproof.ecg.prepare import prepare
from pulseproof.ecg.recordings import Recordings
from pulseproof.ecg.write_arrays import write_recordings
from pulseproof.looking import look as look_command
from pulseproof.report.page.look import as_html, look_section
from tests.ecg.making import study_of

LABELS = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
SIDES = ["train", "train", "train", "validation", "validation", "test", "test", "test"]


def recordings_of(tmp_path: Path, classes: tuple[str, str, str] = ("N", "AF", "PVC")) -> Recordings:
    signals = np.random.default_rng(3).normal(0, 0.4, (8, 2, 500))
    signals[4, 1] = 0.25  # a lead that does not move
    write_recordings(
        tmp_path / "data" / "mine",
        signals,
        LABELS,
        classes=classes,
        leads=["V1", "II"],
        fs_hz=100,
        adc_step_mv=0.002,
        patients=[1, 1, 2, 3, 3, 4, 5, 6],
        splits=SIDES,
        note="A TRY",
    )
    return prepare(study_of({"source": "arrays", "path": "mine"}), tmp_path / "data", tmp_path / "build")


def test_counts_amplitudes_and_strips(tmp_path: Path) -> None:
    recordings = recordings_of(tmp_path)
    found = look(recordings)
    assert [(side.recordings, side.people, side.classes) for side in found.sides] == [
        (3, 2, (2, 2, 0)),
        (2, 1, (0, 0, 1)),
        (3, 3, (1, 1, 1)),
    ]
    assert (found.without, found.several, found.sampled) == (1, 1, 8)
    for lead, amplitude in enumerate(found.amplitudes):
        values = recordings.steps[:, lead] * 0.002
        wanted = np.percentile(values, PERCENTILES, method="inverted_cdf")
        assert np.allclose(amplitude.percentiles, wanted, atol=1e-9)
        swings = values.max(axis=1) - values.min(axis=1)
        assert amplitude.swing == pytest.approx(np.median(swings))
        assert amplitude.largest_swing == pytest.approx(swings.max())
        assert amplitude.flat == lead
    strips = {strip.class_name: strip for strip in found.strips}
    assert {name: strip.recording for name, strip in strips.items()} == {"N": "000000", "AF": "000001", "PVC": "000003"}
    assert all(strip.lead == "II" for strip in found.strips)
    assert np.array_equal(strips["AF"].millivolts, recordings.signals(np.array([1], np.intp))[0, 1])


def test_the_page_has_a_strip_a_class_and_obeys_no_text(tmp_path: Path) -> None:
    recordings = recordings_of(tmp_path, ("N", "<script>alert(1)</script>", 'a"b'))
    html = as_html("A <title>", look(recordings))
    assert html.count('<svg class="ecg"') == 3 and "A TRY" in html
    assert "<script>alert" not in html and "&lt;script&gt;alert" in html and "A &lt;title&gt;" in html
    assert "Made by Pulseproof from the recordings that were read." in html


def test_what_is_kept_is_a_section_of_the_report(tmp_path: Path) -> None:
    recordings, home = recordings_of(tmp_path, ("N", "<script>alert(1)</script>", "PVC")), tmp_path / "home"
    assert kept_look(home) is None
    keep_look(recordings, home)
    kept, found = kept_look(home), look(recordings)
    assert kept is not None
    assert replace(kept, strips=()) == replace(found, strips=())
    for one, other in zip(kept.strips, found.strips, strict=True):
        assert np.allclose(one.millivolts, other.millivolts, atol=5e-5)
        assert replace(one, millivolts=other.millivolts) == other
    body = look_section(kept).body
    assert body.count('<svg class="ecg"') == 3 and "&lt;script&gt;alert" in body and "<script>" not in body
    written = home / "look" / "look.json"
    before = written.stat().st_mtime_ns
    keep_look(recordings, home)
    assert written.stat().st_mtime_ns == before  # nothing changed
    keep_look(recordings.select(["II"], None, "a test"), home)
    again = kept_look(home)
    assert again is not None and again.about.leads == ("II",)
    written.write_text('{"about": 3}')
    with pytest.raises(InputError, match="not what was kept of a look"):
        kept_look(home)


def test_the_command_prints_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recordings_of(tmp_path)
    study = tmp_path / "mine.toml"
    study.write_text('name = "mine"\ntitle = "Mine"\n[data]\nsource = "arrays"\npath = "mine"\n[models.cnn]\n')
    look_command(study, tmp_path / "data", tmp_path / "build")
    said = capsys.readouterr()
    assert "PVC" in said.out and "largest" in said.out and "Recordings of several classes: 1; of none: 1." in said.out
    assert (tmp_path / "build" / "mine" / "look" / "index.html").stat().st_size > 10_000
