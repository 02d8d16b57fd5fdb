"""Small recordings for tests: two leads, 160 samples, three classes that differ in the height of a bump."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pulseproof.ecg.recordings import About, Recordings, RecordingsWriter, open_recordings


def small_recordings(folder: Path, n: int = 180, exclusive: bool = False, seed: int = 0) -> Recordings:
    """``n`` recordings on three sides (60, 20 and 20 percent), each of a patient of its own."""
    rng = np.random.default_rng(seed)
    about = About("small", ("A", "B", "C"), ("I", "II"), 100.0, 0.001, (-32767, 32767), True, exclusive, "SYNTHETIC")
    writer = RecordingsWriter(folder, about, n, 160)
    bump = np.exp(-(((np.arange(160) - 80) / 12) ** 2))
    for index in range(n):
        labels = np.eye(3, dtype=np.uint8)[index % 3] if exclusive else (rng.random(3) < 0.4).astype(np.uint8)
        wave = 0.1 * rng.normal(size=(2, 160))
        wave[0] += 0.4 * labels[0] * bump - 0.4 * labels[1] * np.roll(bump, 40)
        wave[1] += 0.4 * labels[2] * np.roll(bump, -40)
        split = ("train", "train", "train", "validation", "test")[index % 5]
        writer.add(np.rint(wave * 1000).astype(np.int16), labels, index, split, str(index))  # type: ignore[arg-type]
    writer.close(f"small-{n}-{seed}-{exclusive}")
    return open_recordings(folder)
