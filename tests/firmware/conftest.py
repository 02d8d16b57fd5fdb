"""The source of CMSIS-NN and folders for compiled kernels, once a process."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pulseproof.core.errors import InputError
from pulseproof.firmware.build import CROSS, QEMU
from pulseproof.firmware.kernels import cmsis_nn


@pytest.fixture(scope="session")
def kernels() -> Path:
    """The source of CMSIS-NN; skips where no package index gives it."""
    try:
        return cmsis_nn(fetch=True)
    except InputError as error:
        if "could not be fetched" not in error.what:
            raise
        pytest.skip(error.what)


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each core's compiled kernels, and one for this machine's."""
    names = ("host", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55")
    return {name: tmp_path_factory.mktemp(f"objects-{name}") for name in names}


@pytest.fixture(scope="session")
def tools() -> None:
    """Skips without the cross compiler or QEMU."""
    for tool in (CROSS, QEMU):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed here: .ci/run names the packages")
