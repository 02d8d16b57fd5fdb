"""A hint names a command that this user has."""

from __future__ import annotations

import pytest

from pulseproof.core.terminal import hints


def test_by_make_in_a_checkout() -> None:
    assert hints.IN_CHECKOUT
    assert hints.command("bench") == "make bench"
    assert hints.command("audit", study="studies/x.toml", data=None) == "make audit STUDY=studies/x.toml"


def test_by_its_name_where_it_was_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "IN_CHECKOUT", False)
    assert hints.command("bench") == "pulseproof bench"
    assert hints.command("bench", study="x.toml", data="d") == "pulseproof bench --study x.toml --data d"
