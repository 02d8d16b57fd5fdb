"""A C project built: for this machine, to compare it with the file, and for a core, to run it.

In: a :class:`~firmware.project.MadeProject`. Out: an executable; of one for a core also what the linker says of its
flash and RAM. The compilers are the host's ``gcc`` and Debian's ``gcc-arm-none-eabi`` with newlib's headers.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pulseproof.core.errors import InputError
from pulseproof.firmware.cores import MicroCore
from pulseproof.firmware.project import BOARD, INCLUDES, OPTIMISE, SECTIONS, MadeProject

CROSS = "arm-none-eabi-gcc"
QEMU = "qemu-system-arm"
INSTALL = "apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
LIMIT_S = 600
TRACED = ("-DPULSEPROOF_TRACE",)
ON_HOST = (
    "-D__GNUC_PYTHON__",
    "-D__RESTRICT=__restrict",
)  # CMSIS-NN's own word for a compiler that is not for an Arm core
SAID = 300


@dataclass(frozen=True)
class CoreProgram:
    """A program for a core. ``flash_bytes``: code, constants and the initial values of variables; ``ram_bytes``:
    variables, the arena among them, without a stack. Both as the linker laid them out, with the few hundred bytes of
    our board's own code."""

    elf: Path
    flash_bytes: int
    ram_bytes: int
    compiler: str


def missing_tool() -> str | None:
    """The first of the tools for cores that this machine does not have; None when all are there."""
    return next((tool for tool in (CROSS, QEMU) if shutil.which(tool) is None), None)


def build_here(project: MadeProject, out: Path, objects: Path, traced: bool = False) -> Path:
    """The program that reads recordings and writes scores, for this machine; ``traced``: it writes what each operator
    computed instead. ``objects``: a folder in which what CMSIS-NN's files became is kept for the next project, with the
    same kernels and core. Raises InputError."""
    options = ("-O1", *ON_HOST)  # somebody waits for the compiler, and it gives the same
    _compile(["gcc"], project, ["host/predict.c"], out, objects, options, TRACED if traced else ())
    return out


def build_for(core: MicroCore, project: MadeProject, out: Path, objects: Path, traced: bool = False) -> CoreProgram:
    """The program for a core's board; ``objects`` and ``traced`` as above. Raises InputError: without a compiler, or
    where it does not fit into the board's memory."""
    link = ("-nostartfiles", "-Wl,--gc-sections", "-T", str(project.folder / "board" / f"{core.name}.ld"))
    _compile([CROSS], project, BOARD, out, objects, (*core.flags, *SECTIONS), TRACED if traced else (), link)
    sizes = _run([CROSS.removesuffix("gcc") + "size", str(out)], "its size cannot be read").splitlines()[-1].split()
    text, data, bss = (int(one) for one in sizes[:3])
    return CoreProgram(out, text + data, data + bss, compiler_version())


@functools.cache
def compiler_version() -> str:
    """The compiler for cores, its version and our options. Raises InputError without one."""
    version = _run([CROSS, "-dumpfullversion"], f"{CROSS} does not say its version").strip()
    return f"{CROSS} {version} {' '.join(OPTIMISE)}"


def _compile(
    compiler: list[str],
    project: MadeProject,
    more: Sequence[str],
    out: Path,
    objects: Path,
    options: Sequence[str],
    defined: Sequence[str],
    link: Sequence[str] = (),
) -> None:
    if shutil.which(compiler[0]) is None:
        raise InputError(f"{compiler[0]}: not found on this machine", INSTALL if compiler == [CROSS] else "install gcc")
    what = f"{compiler[0]} does not build the firmware of {project.name}"
    command = [*compiler, "-std=gnu11", *OPTIMISE, "-w", *options]
    command += [f"-I{(project.folder / one).resolve()}" for one in INCLUDES]
    kernels = [project.folder.resolve() / one for one in project.kernels]
    missing = [str(one) for one in kernels if not (objects / f"{one.stem}.o").exists()]
    if missing:
        with tempfile.TemporaryDirectory(dir=objects) as name:
            _run([*command, "-c", *missing], what, Path(name))
            for made in Path(name).iterdir():
                made.replace(objects / made.name)
    sources = [str(project.folder / one) for one in (*project.sources, *more)]
    linked = [str(objects / f"{one.stem}.o") for one in kernels]
    _run([*command, *defined, *sources, *linked, *link, "-o", str(out)], what)


def _run(command: list[str], what: str, folder: Path | None = None) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=LIMIT_S, cwd=folder
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"{what} ({error})"[:SAID], INSTALL) from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line or "overflowed" in line] or ["no message"]
        raise InputError(f"{what}: {lines[0][:SAID]}", "look at what the compiler says")
    return done.stdout
