"""Signal files: every format of signal(5) against the wfdb package and bytes made here; frames, skew, length."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from pulseproof.core.errors import InputError
from pulseproof.ecg.wfdb.files import check_whole, read_record
from pulseproof.ecg.wfdb.header import FORMATS
from tests.ecg.wfdb_making import encode, write_record

PLAIN = [name for name, (_, size) in FORMATS.items() if size is not None]
FLAC = [name for name, (_, size) in FORMATS.items() if size is None]


def draw(fmt: str, count: int, seed: int) -> Any:
    """int64 (count,): any values of the format but its mark of a missing sample."""
    top = 2 ** (FORMATS[fmt][0] - 1)
    return np.random.default_rng(seed).integers(-top + 1, top, count)


@settings(max_examples=120, deadline=None)
@given(fmt=st.sampled_from(PLAIN), leads=st.integers(1, 4), frames=st.integers(1, 40), seed=st.integers(0, 2**16))
def test_formats_are_read_as_signal_5_packs_them_and_as_wfdb_reads_them(
    fmt: str, leads: int, frames: int, seed: int
) -> None:
    samples = draw(fmt, leads * frames, seed)
    names = [f"L{place}" for place in range(leads)]
    sums = samples.reshape(frames, leads).sum(axis=0)
    lines = [f"{fmt} 200 12 0 0 {total % 65536} 0 {name}" for name, total in zip(names, sums, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        stem = write_record(Path(folder), "r", samples, lines, f"r {leads} 250 {frames}", fmt)
        record = read_record(stem, names)
        other: Any = wfdb.rdrecord(str(stem), physical=False)
    assert np.array_equal(record.digital, samples.reshape(frames, leads).T)
    assert np.array_equal(record.digital, other.d_signal.T)
    assert not record.missing.any()


@pytest.mark.parametrize("fmt", FLAC)
@pytest.mark.parametrize("leads", [1, 3])
def test_flac(tmp_path: Path, fmt: str, leads: int) -> None:
    samples = draw(fmt, 900 * leads, 1).reshape(900, leads)
    names = [f"L{place}" for place in range(leads)]
    settings_: dict[str, Any] = {"units": ["mV"] * leads, "sig_name": names, "fmt": [fmt] * leads}
    wfdb.wrsamp(
        "r", 250, d_signal=samples, adc_gain=[200.0] * leads, baseline=[0] * leads, write_dir=str(tmp_path), **settings_
    )
    assert np.array_equal(read_record(tmp_path / "r", names).digital, samples.T)
    header = tmp_path / "r.hea"
    header.write_text(header.read_text().replace(" 250 900", " 250 0"))
    assert read_record(tmp_path / "r", names).digital.shape == (leads, 900)
    (tmp_path / "r.dat").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match=r"r\.dat: the signals cannot be decoded"):
        read_record(tmp_path / "r", names)


@pytest.mark.parametrize("fmt", PLAIN)
@pytest.mark.parametrize("length", ["", " 0"])
def test_a_length_that_the_header_leaves_open_is_the_file_s(tmp_path: Path, fmt: str, length: str) -> None:
    samples = draw(fmt, 2 * 30, 2)
    lines = [f"{fmt} 200 12 0 0 0 0 I", f"{fmt} 200 12 0 0 0 0 II"]  # 0 stands where the sum is not known
    stem = write_record(tmp_path, "r", samples, lines, f"r 2 250{length}", fmt)
    assert np.array_equal(read_record(stem, ["II"]).digital, samples.reshape(-1, 2).T[1:])


@pytest.mark.parametrize("fmt", PLAIN)
def test_a_preamble_is_passed_over_and_a_short_file_is_told(tmp_path: Path, fmt: str) -> None:
    samples = draw(fmt, 30, 3)
    stem = write_record(tmp_path, "r", samples, [f"{fmt}+9 200 12 0 0 {samples.sum() % 65536} 0 I"], "r 1 250 30", fmt)
    (tmp_path / "r.dat").write_bytes(b"preamble!" + encode(samples, fmt))
    assert np.array_equal(read_record(stem, ["I"]).digital[0], samples)
    (tmp_path / "r.dat").write_bytes(b"preamble!" + encode(samples[:27], fmt))
    with pytest.raises(InputError, match=r"r\.dat: too short, .* \(30 samples of 1 signals\)"):
        read_record(stem, ["I"])


def test_several_samples_a_frame_are_read_at_their_own_rate(tmp_path: Path) -> None:
    ecg, resp = draw("16", 4 * 50, 4), draw("16", 50, 5)
    frames = np.concatenate([ecg.reshape(50, 4), resp.reshape(50, 1)], axis=1).ravel()
    lines = [f"16x4 200 12 0 0 {ecg.sum() % 65536} 0 ECG", f"16 9/l 12 0 0 {resp.sum() % 65536} 0 Resp"]
    stem = write_record(tmp_path, "r", frames, lines, "r 2 62.5 50")
    record = read_record(stem, ["ecg"])
    assert (record.fs_hz, record.frame) == (250.0, 4)
    assert np.array_equal(record.digital[0], ecg)
    expanded: Any = wfdb.rdrecord(str(stem), physical=False, smooth_frames=False)
    assert np.array_equal(expanded.e_d_signal[0], ecg)


def test_skewed_signals_are_brought_to_their_place(tmp_path: Path) -> None:
    one, two, three = (draw("16", 40, seed) for seed in (6, 7, 8))
    lines = [f"16:{skew} 200 12 0 0 {each.sum() % 65536} 0 L{skew}" for skew, each in ((0, one), (3, two), (5, three))]
    stem = write_record(tmp_path, "r", np.stack([one, two, three], axis=1).ravel(), lines, "r 3 250 40")
    record = read_record(stem, ["L0", "L3", "L5"])  # two different skews: wfdb 4.3 fails on them
    assert np.array_equal(record.digital[0], one)
    assert np.array_equal(record.digital[1, :37], two[3:]) and np.array_equal(record.digital[2, :35], three[5:])
    assert record.missing.sum(axis=1).tolist() == [0, 3, 5] and record.missing[2, 35:].all()
    with pytest.raises(InputError, match=r"lead 'L3' has 3 missing samples, the first at 0\.15 s"):
        check_whole(record)


@pytest.mark.parametrize("fmt", PLAIN)
def test_each_format_s_mark_of_a_missing_sample(tmp_path: Path, fmt: str) -> None:
    samples = draw(fmt, 30, 9)
    samples[[4, 29]] = -(2 ** (FORMATS[fmt][0] - 1))
    stem = write_record(tmp_path, "r", samples, [f"{fmt} 200 12 0 0 {samples.sum() % 65536} 0 I"], "r 1 250 30", fmt)
    assert np.flatnonzero(read_record(stem, ["I"]).missing[0]).tolist() == [4, 29]


@pytest.mark.parametrize(("units", "gain", "millivolts"), [("mV", 200, 200), ("uV", 0.2, 200), ("V", 200e3, 200)])
def test_units_become_millivolts(tmp_path: Path, units: str, gain: float, millivolts: float) -> None:
    stem = write_record(tmp_path, "r", np.arange(10), [f"16 {gain}(2)/{units} 12 0 0 45 0 I"], "r 1 250 10")
    record = read_record(stem, ["I"])
    assert record.gains[0, 0] == pytest.approx(millivolts) and record.baselines[0, 0] == 2
    assert record.assumed == ()


def test_a_gain_is_assumed_only_where_the_user_says_so(tmp_path: Path) -> None:
    stem = write_record(tmp_path, "r", np.arange(10), ["16 0 12 0 0 45 0 I"], "r 1 250 10")
    with pytest.raises(InputError, match="not calibrated") as caught:
        read_record(stem, ["I"])
    assert "default_gain" in caught.value.mend and "200" in caught.value.mend
    record = read_record(stem, ["I"], default_gain=200.0)
    assert (record.gains.tolist(), record.assumed) == ([[200.0]], ("I",))
