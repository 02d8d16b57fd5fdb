"""All 21,799 recordings of PTB-XL are usable within 1 GiB: nothing reads them into memory at once."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from pulseproof.ecg.recordings import About
from pulseproof.runtime.files import write_array, write_json

RECORDS = 21_799
SCRIPT = """
    import sys
    from pathlib import Path
    import torch
    from pulseproof.core.study import Study
    from pulseproof.ecg.recordings import open_recordings
    from pulseproof.models.run import train_study
    torch.set_num_threads(2)
    home = Path(sys.argv[1])
    models = {
        "logistic-regression": {"options": {"C": 1e-4}},
        "cnn": {"epochs": 1, "options": {"width": 8}},
    }
    data = {"source": "synthetic"}
    study = Study.model_validate({"name": "full", "title": "full", "data": data, "models": models})
    recordings = open_recordings(home / "recordings")
    assert len(recordings) == 21799
    train_study(study, recordings, home)
    print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.slow
def test_training_on_as_many_recordings_as_ptb_xl_stays_within_one_gibibyte(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    leads = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")
    about = About("full", ("NORM", "MI"), leads, 100.0, 0.001, (-32767, 32767), True, False, "SYNTHETIC")
    rng = np.random.default_rng(0)
    signals = np.lib.format.open_memmap(folder / "signals.npy", "w+", np.int16, (RECORDS, 12, 1000))
    for first in range(0, RECORDS, 500):
        block = signals[first : first + 500]
        block[:] = rng.integers(-500, 500, block.shape, dtype=np.int16)
    signals.flush()
    del signals, block
    write_array(folder / "labels.npy", rng.integers(0, 2, (RECORDS, 2)).astype(np.uint8))
    write_array(folder / "patients.npy", np.arange(RECORDS))
    write_array(folder / "splits.npy", (np.arange(RECORDS) % 10).clip(7).astype(np.uint8) - 7)
    write_array(folder / "ids.npy", np.arange(RECORDS).astype(np.str_))
    from dataclasses import asdict

    write_json(folder / "recordings.json", {"format": 1, "fingerprint": "full", "about": asdict(about)})
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kilobytes = int(done.stdout.split()[-1])
    assert kilobytes < 1 << 20, f"{kilobytes / 1024:.0f} MiB at the peak"
