"""Memory is flat in the number of recordings: no signal set, clean or attacked, is ever held whole."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

TRAIN = """
    import sys
    from pathlib import Path
    import numpy as np
    from pulseproof.core.study import Study
    from pulseproof.ecg.recordings import About, RecordingsWriter, open_recordings
    from pulseproof.models.run import train_study

    home, count = Path(sys.argv[1]), int(sys.argv[2])

    def write_recordings():
        rng = np.random.default_rng(0)
        leads = tuple(f"L{lead}" for lead in range(12))
        about = About("small", ("A", "B"), leads, 100.0, 0.001, (-32767, 32767), True, False, "SYNTHETIC")
        writer = RecordingsWriter(home / "recordings", about, 200 + count, 1000)
        for index in range(200 + count):
            side = "test" if index >= 200 else "train" if index % 2 else "validation"
            steps = rng.integers(-500, 500, (12, 1000), dtype=np.int16)
            writer.add(steps, rng.integers(0, 2, 2).astype(np.uint8), index, side, str(index))
        writer.close("memory")

    if not (home / "recordings").exists():
        write_recordings()
    models = {"cnn": {"epochs": 1, "options": {"width": 2}}}
    attacks = {"methods": ["fgsm", "random-sign"], "budgets_mv": [0.01], "references": 16, "shard": 32}
    study = {"name": "s", "title": "s", "data": {"source": "synthetic"}, "models": models, "attacks": attacks}
    study = Study.model_validate(study)
    recordings = open_recordings(home / "recordings")
    trained = train_study(study, recordings, home)
"""
# In a process of its own, which only opens what was trained: what training leaves of its memory would hide some.
ATTACK = """
    from pulseproof.attacks.grid.study import attack_study

    def status(key):
        return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith(key)))

    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = status("VmRSS")
    made = attack_study(study, recordings, trained, home, workers=0)
    assert [each.n for each in made.sets] == [count] * 3
    print(status("VmHWM") - before)
"""


def run(script: str, home: Path, count: int) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, str(home), str(count)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def grown(home: Path, count: int) -> float:
    """MB by which the peak lies above what was there before the sets of ``count`` recordings were made."""
    home.mkdir()
    train = textwrap.dedent(TRAIN)
    run(train, home, count)
    return int(run(train + textwrap.dedent(ATTACK), home, count)) * 1024 / 1e6


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads the peak of memory where Linux tells it")
def test_seven_times_the_recordings_need_no_more_memory(tmp_path: Path) -> None:
    some, more = grown(tmp_path / "some", 600), grown(tmp_path / "more", 4200)
    larger = (4200 - 600) * 12 * 1000 * np.dtype(np.int16).itemsize / 1e6  # MB by which one set grew
    assert larger > 80
    assert more - some < 25, f"{some:.0f} MB for 600 recordings, {more:.0f} MB for 4200"
