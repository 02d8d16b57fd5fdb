"""The noise stress records: their missing gain, their rate, their mean, and what is said of damaged ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb
from numpy.typing import NDArray

from pulseproof.core.errors import InputError
from pulseproof.ecg.noise_records import NOISES, read_noise_records

FS, SECONDS = 360, 20


def digital() -> NDArray[np.int64]:
    """int64 (samples, 2): 100 ADC units of 5 Hz about 40, and of 1 Hz about -300."""
    t = np.arange(FS * SECONDS) / FS
    return np.rint(np.stack([40 + 100 * np.sin(2 * np.pi * 5 * t), -300 + 100 * np.sin(2 * np.pi * t)], axis=1)).astype(
        np.int64
    )


def write(folder: Path, name: str, gain: float | None = None, **changes: Any) -> None:
    """A record as the database has it: format 212, and gain 0 in the header (wrsamp does not write that itself)."""
    folder.mkdir(parents=True, exist_ok=True)
    settings: dict[str, Any] = {
        "fs": FS,
        "units": ["mV"] * 2,
        "sig_name": ["noise1", "noise2"],
        "fmt": ["212"] * 2,
        "adc_gain": [200.0 if gain is None else gain] * 2,
        "baseline": [0] * 2,
        "d_signal": digital(),
    }
    wfdb.wrsamp(name, write_dir=str(folder), **(settings | changes))
    if gain is None:
        header = folder / f"{name}.hea"
        text = header.read_text()
        assert " 212 200.0(0)/mV 12 " in text
        header.write_text(text.replace(" 212 200.0(0)/mV 12 ", " 212 0 12 "))


def test_a_gain_of_0_is_wfdb_s_default_of_200(tmp_path: Path) -> None:
    write(tmp_path, "bw")
    (noise,) = read_noise_records(tmp_path, FS).values()
    expected = digital().T / 200
    assert noise.dtype == np.float32 and noise.shape == (2, FS * SECONDS)
    np.testing.assert_allclose(noise, expected - expected.mean(axis=1, keepdims=True), atol=1e-6)


def test_a_gain_in_the_header_is_believed(tmp_path: Path) -> None:
    write(tmp_path, "em", gain=1000.0)
    (noise,) = read_noise_records(tmp_path, FS).values()
    assert np.abs(noise).max() == pytest.approx(0.1, rel=0.01)


@pytest.mark.parametrize("fs_hz", [100.0, 125.0, 250.0, 360.0, 500.0])
def test_is_brought_to_the_rate_of_the_recordings(tmp_path: Path, fs_hz: float) -> None:
    write(tmp_path, "ma")
    (noise,) = read_noise_records(tmp_path, fs_hz).values()
    t = np.arange(noise.shape[1]) / fs_hz
    assert noise.shape == (2, round(fs_hz * SECONDS))
    inner = slice(round(fs_hz), round(fs_hz * (SECONDS - 1)))  # the filter knows nothing beyond the ends
    expected = 0.5 * np.stack([np.sin(2 * np.pi * 5 * t), np.sin(2 * np.pi * t)])
    np.testing.assert_allclose(noise[:, inner], expected[:, inner], atol=0.006)  # an ADC unit is 0.005 mV


def test_gives_what_is_there(tmp_path: Path) -> None:
    assert read_noise_records(tmp_path / "nstdb", 100.0) == {}
    for name in ("ma", "bw"):
        write(tmp_path / "nstdb", name)
        write(tmp_path / "nstdb", f"other{name}")
    assert list(read_noise_records(tmp_path / "nstdb", 100.0)) == ["bw", "ma"]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "bw.dat").unlink(), r"bw\.dat: no such signal file"),
        (lambda folder: (folder / "bw.hea").unlink(), r"bw\.hea: no such header"),
        (lambda folder: (folder / "bw.dat").write_bytes((folder / "bw.dat").read_bytes()[:900]), r"bw\.dat: too short"),
        (lambda folder: (folder / "bw.dat").write_bytes(b"\1" * 21600), r"bw\.dat: damaged.*checksum"),
        (lambda folder: (folder / "bw.hea").write_text("rubbish\n"), r"bw\.hea: damaged header"),
        (lambda folder: (folder / "bw.hea").write_bytes(b""), r"bw\.hea: damaged header"),
    ],
    ids=["no signals", "no header", "cut short", "other bytes", "no header line", "empty header"],
)
def test_a_damaged_record_is_named(tmp_path: Path, damage: Any, says: str) -> None:
    write(tmp_path, "bw")
    damage(tmp_path)
    with pytest.raises(InputError, match=says):
        read_noise_records(tmp_path, 100.0)


def test_a_rate_out_of_reach_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "bw")
    with pytest.raises(InputError, match=r"bw\.hea: 360 Hz cannot be resampled to 99\.9997 Hz"):
        read_noise_records(tmp_path, 99.9997)


@pytest.mark.real
def test_the_real_records(data_root: Path) -> None:
    noises = read_noise_records(data_root / "nstdb", 100.0)
    assert list(noises) == list(NOISES)
    for name, noise in noises.items():
        assert noise.shape == (2, 180_556) and np.isfinite(noise).all()
        assert np.abs(noise.mean(axis=1)).max() < 1e-3
        assert 0.1 < noise.std(axis=1).min() < noise.std(axis=1).max() < 1, name
    # Only baseline wander is nearly all drift, only electrode motion is strong in between, and only muscles are fast.
    drift, motion, fast = ({k: _share(v, *band) for k, v in noises.items()} for band in ((0, 0.5), (0.5, 10), (20, 50)))
    assert drift["bw"] > 0.95 > drift["ma"] > drift["em"]
    assert motion["em"] > 0.4 > max(motion["bw"], motion["ma"])
    assert fast["ma"] > 0.05 > max(fast["bw"], fast["em"])


def _share(noise: NDArray[np.float32], low_hz: float, high_hz: float) -> float:
    """The share of the power between two frequencies."""
    power = (np.abs(np.fft.rfft(noise)) ** 2).mean(axis=0)
    hz = np.fft.rfftfreq(noise.shape[1], 0.01)
    return float(power[(hz >= low_hz) & (hz < high_hz)].sum() / power.sum())
