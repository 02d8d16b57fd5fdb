"""Which processors an artifact is held to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pulseproof.runtime.condition import affinity


def board(root: Path, **files: list[int]) -> Path:
    """A machine with a capacity or a clock for each processor."""
    for name, values in files.items():
        for number, value in enumerate(values):
            path = root / f"sys/devices/system/cpu/cpu{number}" / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{value}\n")
    return root


@pytest.mark.parametrize(
    ("files", "threads", "chosen"),
    [
        ({}, 1, [3]),  # all alike: not the first, to which interrupts go
        ({}, 2, [2, 3]),
        ({"cpu_capacity": [1024, 1024, 400, 400]}, 1, [1]),
        ({"cpu_capacity": [1024, 1024, 400, 400]}, 3, [0, 1, 3]),
        ({"cpufreq__cpuinfo_max_freq": [1_500_000, 2_400_000, 1_500_000, 1_500_000]}, 1, [1]),
        ({}, 9, [0, 1, 2, 3]),
    ],
)
def test_the_fastest_and_last_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, list[int]], threads: int, chosen: list[int]
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3})
    assert affinity.processors("auto", threads, board(tmp_path, **files)) == chosen


@pytest.mark.parametrize("name", ["core_cpus_list", "thread_siblings_list"])
@pytest.mark.parametrize(
    ("siblings", "threads", "chosen"),
    [
        (["0-1", "0-1", "2-3", "2-3"], 1, [3]),
        (["0-1", "0-1", "2-3", "2-3"], 2, [1, 3]),  # as clouds and small PCs number them
        (["0,2", "1,3", "0,2", "1,3"], 2, [2, 3]),  # as most PCs do
        (["0-1", "0-1", "2-3", "2-3"], 3, [1, 2, 3]),
    ],
)
def test_two_threads_are_not_held_to_one_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, siblings: list[str], threads: int, chosen: list[int]
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3})
    for number, text in enumerate(siblings):
        path = tmp_path / f"sys/devices/system/cpu/cpu{number}/topology" / name
        path.parent.mkdir(parents=True)
        path.write_text(f"{text}\n")
    assert affinity.processors("auto", threads, tmp_path) == chosen


def test_what_was_asked_for_is_taken_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 2})
    assert affinity.processors("0,2", 1) == [0, 2]
    assert affinity.processors("none", 1) is None
    with pytest.raises(ValueError, match=r"processor 1 is not among those of this process \(0, 2\)"):
        affinity.processors("1,2", 1)


@pytest.mark.parametrize(("text", "parsed"), [("auto", "auto"), ("none", "none"), ("3,1,3", "1,3")])
def test_parse(text: str, parsed: str) -> None:
    assert affinity.parse(text) == parsed


@pytest.mark.parametrize("text", ["", "a", "-1", "1;2"])
def test_parse_refuses(text: str) -> None:
    with pytest.raises(ValueError):
        affinity.parse(text)


def test_a_process_is_held() -> None:
    before = os.sched_getaffinity(0)
    try:
        last = max(before)
        assert affinity.hold([last]) == [last]
        assert os.sched_getaffinity(0) == {last}
        assert affinity.hold([100_000]) is None  # there is no such processor: it stays where it is
    finally:
        os.sched_setaffinity(0, before)
    assert affinity.hold(None) is None
