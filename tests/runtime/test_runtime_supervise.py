"""What an artifact's process reports is bounded, and a full disk is no artifact's failure."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pulseproof.runtime import supervise
from pulseproof.runtime.commands import main
from pulseproof.runtime.files import ROOM
from tests.runtime import tiny_bundle as tiny

GOOD = {"linear/onnx-fp32": tiny.onnx_linear}
# What code that took an artifact's process over may do with the pipe of its reports.
REPORTS = {
    "endless lines": ("while True: print('{\"done\": 1}')", "reports without end"),
    "an endless line": ("while True: print('x' * 9999, end='')", "what is no report"),
    "no JSON": ("print('Segmentation fault')", "what is no report"),
    "deep": ("print('[' * 60000)", "what is no report"),
    "a list": ("print([])", "what is no report"),
    "another field": ('print(\'{"root": "/"}\')', "what is no report"),
    "another type": ('print(\'{"done": "all"}\')', "what is no report"),
    "less than nothing": ("print('{\"done\": -1}')", "what is no report"),
    "no number": ("print('{\"sustained_s\": NaN}')", "what is no report"),
    "another file": ('print(\'{"needs": "../../etc/passwd"}\')', "what is no report"),
    "another set": ('print(\'{"written": "other", "ok": true}\')', "what is no report"),
    "a set without a word": ('print(\'{"written": "clean"}\')', "what is no report"),
    "a long reason": ("print('{\"failed\": \"' + 'long ' * 9999 + '\"}'); sys.exit(1)", "long long ... long long"),
    "a terminal's command": ('print(\'{"failed": "\\\\u001b[31mred"}\'); sys.exit(1)', " [31mred"),
    "a full disk that is not": ('print(\'{"failed": "no room", "full": true}\'); sys.exit(1)', "no room"),
}


def run(bundle: Path, out: Path) -> int:
    return main(["run", str(bundle), "--out", str(out), "--device", "here", "--evidence", "measured-on-host"])


@pytest.mark.parametrize("name", REPORTS)
def test_a_process_that_reports_what_none_of_ours_does(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is killed, that artifact has failed in one sentence, and the run comes to its end."""
    says, reason = REPORTS[name]
    script = tmp_path / "taken_over.py"
    script.write_text(f"import sys, time\n{says}\nsys.stdout.flush()\ntime.sleep(100)\n")
    monkeypatch.setattr(supervise, "own_command", lambda: ([sys.executable, str(script)], tmp_path))
    begun = time.monotonic()
    assert run(tiny.write_bundle(tmp_path / "bundle", GOOD), tmp_path / "out") == 1
    assert time.monotonic() - begun < 60
    results = [json.loads(path.read_text()) for path in (tmp_path / "out" / "linear__onnx-fp32").glob("*.json")]
    assert [one["status"] for one in results] == ["failed"] * 2
    for one in results:
        assert reason in one["reason"] and len(one["reason"]) < 1200 and one["reason"].isprintable()
    assert "Traceback" not in capsys.readouterr().err


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(place)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here (it takes root): nothing is tried without room")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_the_run_s_failure(small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As it is wherever else the disk is full; the artifact is asked again once there is room."""
    bundle = tiny.write_bundle(tmp_path / "bundle", GOOD | {"more/onnx-fp32": tiny.onnx_linear})
    out, filler = small_disk / "out", small_disk / "filler"
    out.mkdir()
    statuses = set()
    for pages in (1, 2, 3, 4, 6, 8, 12):
        filler.write_bytes(b"")
        room = shutil.disk_usage(small_disk).free - 4096 * pages
        assert room > ROOM
        filler.write_bytes(bytes(room))
        statuses.add(status := run(bundle, out))
        said = capsys.readouterr()
        if status:
            assert said.err.rstrip().splitlines()[-1].startswith("error: ") and "No space left" in said.err
            assert "FAILED" not in said.err
        shutil.rmtree(out)
        out.mkdir()
    assert 2 in statuses and 1 not in statuses
    filler.unlink()
    assert run(bundle, out) == 0
