"""Steps: done once, done again when something that matters changed, and never half done."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulseproof.core.steps import Step, digest


def make(folder: Path, inputs: dict[str, object], content: bytes = b"result") -> bool:
    def action() -> list[Path]:
        (folder / "out.bin").write_bytes(content)
        return [folder / "out.bin"]

    return Step(folder, "one", inputs).run(action)


def test_a_step_is_done_once(tmp_path: Path) -> None:
    assert make(tmp_path, {"a": 1})
    assert not make(tmp_path, {"a": 1})
    assert make(tmp_path, {"a": 2})


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b"resulT"),  # same size, other bytes
        lambda path: path.write_bytes(b"res"),
        lambda path: (path.parent / "one.stamp.json").write_text("{"),
        lambda path: (path.parent / "one.stamp.json").write_text("[]"),
        lambda path: (path.parent / "one.stamp.json").write_text('{"digest": null, "outputs": 3}'),
        lambda path: (path.parent / "one.stamp.json").unlink(),
    ],
)
def test_a_damaged_output_is_made_again(tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path, {"a": 1})
    damage(tmp_path / "out.bin")
    assert make(tmp_path, {"a": 1})
    assert (tmp_path / "out.bin").read_bytes() == b"result"


def test_a_touched_output_is_still_good(tmp_path: Path) -> None:
    make(tmp_path, {"a": 1})
    os.utime(tmp_path / "out.bin", ns=(1, 1))
    assert not make(tmp_path, {"a": 1})


def test_a_killed_step_leaves_no_stamp(tmp_path: Path) -> None:
    make(tmp_path, {"a": 1})

    def action() -> list[Path]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Step(tmp_path, "one", {"a": 2}).run(action)
    assert not Step(tmp_path, "one", {"a": 1}).fresh()
    assert not Step(tmp_path, "one", {"a": 2}).fresh()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), json_values))
def test_the_digest_does_not_depend_on_the_order_of_keys(value: dict[str, object]) -> None:
    assert digest(value) == digest(dict(reversed(list(value.items()))))


@given(json_values, json_values)
def test_different_inputs_have_different_digests(one: object, other: object) -> None:
    import json

    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (digest(one) == digest(other)) == same
