"""A prepared emulated core for a test, or the reason why this machine cannot have one."""

from __future__ import annotations

import shutil

import pytest

from pulseproof.bench.devices.emulated.checks import checked
from pulseproof.bench.devices.emulated.cores import CORES
from pulseproof.bench.devices.emulated.system import PreparedSystem, prepare
from pulseproof.core.errors import InputError

UNREACHABLE = ("cannot fetch", "cannot read the list")


def prepared(core: str) -> PreparedSystem:
    """The checked system of a core; the test is skipped where its parts cannot be had."""
    for program in ("apt-get", "dpkg-deb", "gcc"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not on this machine")
    try:
        return checked(prepare(CORES[core], print), print)
    except InputError as error:
        if any(words in error.what for words in UNREACHABLE):
            pytest.skip(error.what)
        raise
