"""A run that is followed: what it says, and a sign of life while it says nothing."""

from __future__ import annotations

import fcntl
import io
import os
import threading
import time
from pathlib import Path

import pytest

from pulseproof.runtime import detached


@pytest.mark.parametrize("beat", [True, False])
def test_a_silent_run_sends_a_beat_that_counts_as_nothing(
    beat: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detached, "BEAT_S", 0.05)
    monkeypatch.setattr(detached, "POLL_S", 0.01)
    (tmp_path / detached.LOG).write_bytes(b"a line\nwith a NUL: \0\n")
    (tmp_path / detached.STATUS).write_text("0\n")
    held = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    said = io.BytesIO()

    def go_on() -> None:
        time.sleep(0.5)
        with (tmp_path / detached.LOG).open("ab") as log:
            log.write(b"the end\n")
        os.close(held)

    run = threading.Thread(target=go_on)
    run.start()
    assert detached.follow(tmp_path, said, len(b"a line\n"), beat) == 0
    run.join()
    beats = said.getvalue().count(detached.BEAT)
    assert (2 <= beats <= 11) if beat else beats == 0
    assert said.getvalue().replace(detached.BEAT, b"") == b"with a NUL:  \nthe end\n"
