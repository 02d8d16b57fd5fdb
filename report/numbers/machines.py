"""Other machines beside this one, boards and emulated cores, ARM and x86: for each artifact how far its scores are
apart, its AUC on both, and instructions.

In come a bundle and the results of its devices; out comes a line an (artifact, signal set, device), as text for a
terminal, as markdown, as csv. Everything is of the same recordings on both sides: the first n, where a device ran n.
Instructions are counts, evidence ``emulated-count``: no cycles, no milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from pulseproof.bench.wire.firmware import FirmwareFacts, read_firmware
from pulseproof.bench.wire.results import DeviceResults, HostBundle, read_bundle, read_results
from pulseproof.bench.wire.schema import ArtifactEntry, plain
from pulseproof.core.errors import InputError
from pulseproof.core.markdown import markdown, markdown_table
from pulseproof.core.terminal.console import Terminal
from pulseproof.core.terminal.hints import command
from pulseproof.report.numbers.rows import known, parent_of
from pulseproof.report.numbers.score_difference import HOST, ScoreDifference, host_of, score_differences
from pulseproof.report.numbers.texts import auc_text, csv_text
from pulseproof.runtime.auc import macro_auc


@dataclass(frozen=True)
class MachineLine:
    """One artifact on one signal set on one device: ``auc`` there and ``auc_host`` here on the same ``n`` recordings;
    ``largest`` difference of a score, the ``step`` of a quantized file's scores, the ``share`` of recordings that
    differ, the ``verdict`` (report/numbers/score_difference.py) and the same in a ``text``; ``instructions`` an
    inference, the median, and its ``ratio`` to the float file of the same model and format; the processor there
    (``cpu``) and here (``cpu_host``), as the kernel calls it and with the instructions that int8 arithmetic depends
    on; ``flash_kb``, ``ram_kb`` and ``stack_kb`` (of 1024 bytes) of the firmware on a microcontroller's core."""

    device: str
    model: str
    recipe: str
    signals: str
    n: int
    auc: float | None
    auc_host: float | None
    largest: float | None
    step: float | None
    share: float | None
    verdict: str | None
    text: str | None
    instructions: float | None
    ratio: float | None
    cpu: str | None
    cpu_host: str | None
    flash_kb: float | None
    ram_kb: float | None
    stack_kb: float | None


def machine_lines(build: Path) -> list[MachineLine]:
    """The lines of ``build/<study>``, in the order of the bundle. Raises InputError for a damaged file, and when only
    this machine ran the bundle."""
    bundle = read_bundle(build / "bundle")
    devices = read_results(bundle, build / "results")
    host = host_of(devices)
    others = [each for each in devices if each.device is not None and each.device.evidence != HOST]
    if not others:
        raise InputError(
            f"{build / 'results'}: no results of another machine", command("bench", device="emulated:cortex-a72")
        )
    apart = {each.name: score_differences(bundle, each, host) for each in others}
    facts = {
        (each.name, artifact.name): _firmware(build, bundle, each, artifact)
        for each in others
        for artifact in bundle.head.artifacts
    }
    return [
        _line(
            bundle,
            device,
            host,
            artifact,
            signals.name,
            apart[device.name].get((artifact.name, signals.name)),
            facts[device.name, artifact.name],
        )
        for artifact in bundle.head.artifacts
        for signals in bundle.head.signals
        for device in others
        if _scored(device, artifact.name, signals.name) is not None
    ]


def _line(
    bundle: HostBundle,
    device: DeviceResults,
    host: DeviceResults | None,
    artifact: ArtifactEntry,
    signals: str,
    apart: ScoreDifference | None,
    firmware: FirmwareFacts | None,
) -> MachineLine:
    scores = _scored(device, artifact.name, signals)
    assert scores is not None
    here = None if host is None else _scored(host, artifact.name, signals)
    n = len(scores) if here is None else min(len(scores), len(here))
    labels = bundle.labels[:n]
    count = instructions(device, artifact.name, signals)
    parent = instructions(device, parent_of(artifact), signals)
    return MachineLine(
        device=device.name,
        model=artifact.model,
        recipe=artifact.recipe,
        signals=signals,
        n=n,
        auc=known(macro_auc(scores[:n], labels)),
        auc_host=None if here is None else known(macro_auc(here[:n], labels)),
        largest=apart.largest if apart else None,
        step=apart.step if apart else None,
        share=apart.share if apart else None,
        verdict=apart.verdict if apart else None,
        text=apart.text if apart else None,
        instructions=count,
        ratio=count / parent if count and parent else None,
        cpu=_cpu(device),
        cpu_host=None if host is None else _cpu(host),
        flash_kb=firmware.flash_bytes / 1024 if firmware else None,
        ram_kb=firmware.ram_bytes / 1024 if firmware else None,
        stack_kb=firmware.stack_bytes / 1024 if firmware else None,
    )


def _firmware(build: Path, bundle: HostBundle, device: DeviceResults, artifact: ArtifactEntry) -> FirmwareFacts | None:
    """What the firmware of an artifact takes, where there is one of these very bytes."""
    found = read_firmware(build / "results" / device.name, artifact.name)
    return found if found is not None and found.sha256 == bundle.head.files[artifact.file].sha256 else None


def _cpu(device: DeviceResults) -> str | None:
    about = {} if device.device is None else device.device.fingerprint
    found = [plain(str(about[key])) for key in ("cpu", "features") if key in about]
    return ": ".join(found) or None


def _scored(device: DeviceResults, artifact: str, signals: str) -> NDArray[np.floating[Any]] | None:
    measured = device.results.get((artifact, signals))
    return None if measured is None else measured.scores


def instructions(device: DeviceResults, artifact: str, signals: str) -> float | None:
    """Instructions of one inference, the median; None where they were not counted."""
    measured = device.results.get((artifact, signals))
    counted = None if measured is None else measured.result.instructions
    return None if counted is None else counted.p50


def as_csv(lines: Sequence[MachineLine]) -> str:
    """One header line, one line a line of the table, full precision, empty where there is nothing."""
    return csv_text([each.name for each in fields(MachineLine)], (asdict(line).values() for line in lines))


def as_markdown(lines: Sequence[MachineLine]) -> str:
    """The table and what its columns mean."""
    return f"{markdown_table(header(lines), cells(lines))}\n\n{markdown(legend(lines))}\n"


def micro_markdown(lines: Sequence[MachineLine]) -> str:
    """The table of microcontrollers, a row a core, and what its columns mean."""
    rows = [
        [
            f"{line.model}/{line.recipe}",
            line.signals,
            line.device.removeprefix("emulated-"),
            str(line.n),
            auc_text(line.auc_host),
            *_four(line)[:3],
            *_memory(line),
        ]
        for line in lines
    ]
    names = ["artifact", "signal set", "core", "n", "AUC here", *COLUMNS[:3], *MEMORY]
    return f"{markdown_table(names, rows)}\n\n{markdown(legend(lines))}\n"


def print_terminal(lines: Sequence[MachineLine], console: Console) -> None:
    """Print the table to ``console``, whole also where it is wider than the terminal."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for at, name in enumerate(header(lines)):
        table.add_column(name, justify="left" if at < 3 else "right", no_wrap=True)
    for row in cells(lines):
        table.add_row(*row)
    whole = Terminal(file=console.file, width=1000)
    whole.width = max(console.width, whole.measure(table).maximum)
    whole.print(table)
    console.print(legend(lines), soft_wrap=True)


COLUMNS = ("AUC", "apart", "M instr", "/ fp32")
MEMORY = ("flash kB", "RAM kB", "stack kB")  # of a microcontroller
LEGEND = (
    "AUC: macro one-vs-rest on the same first n recordings. Apart: the largest difference of any score from this "
    "machine's, for a quantized file in steps of its output and the share of recordings that differ. M instr: million "
    "instructions an inference (emulated-count; no time), and their ratio to the float file of the model and format."
)
OF_MICRO = (
    " Flash and RAM: what the linker laid out for the core, the arena and one recording in it; stack: the deepest that "
    "was seen; 1 kB is 1024 bytes."
)


def legend(lines: Sequence[MachineLine]) -> str:
    """What the columns mean, and which processor "here" is."""
    here = sorted({line.cpu_host for line in lines if line.cpu_host is not None})
    return LEGEND + (OF_MICRO if _micro(lines) else "") + (f" Here: {', '.join(here)}." if here else "")


def header(lines: Sequence[MachineLine]) -> list[str]:
    """The columns: what was run, the AUC here, then four a device; of a microcontroller what it takes, too."""
    parts = [
        f"{name.removeprefix('emulated-')} {what}"
        for name in _devices(lines)
        for what in ((*COLUMNS[:3], *MEMORY) if name in _micro(lines) else COLUMNS)
    ]
    return ["artifact", "signal set", "n", "AUC here", *parts]


def cells(lines: Sequence[MachineLine]) -> list[list[str]]:
    """A row an (artifact, signal set, number of recordings), its devices side by side."""
    rows: dict[tuple[str, str, int], dict[str, MachineLine]] = {}
    for line in lines:
        rows.setdefault((f"{line.model}/{line.recipe}", line.signals, line.n), {})[line.device] = line
    found = []
    for (artifact, signals, n), by_device in rows.items():
        row = [artifact, signals, str(n), auc_text(next(iter(by_device.values())).auc_host)]
        for device in _devices(lines):
            one, micro = by_device.get(device), device in _micro(lines)
            if one is None:
                row += ["-"] * (len(COLUMNS[:3]) + len(MEMORY) if micro else len(COLUMNS))
            else:
                row += [*_four(one)[:3], *_memory(one)] if micro else _four(one)
        found.append(row)
    return found


def _four(line: MachineLine) -> list[str]:
    mark = " LARGER" if line.verdict == "LARGER" else ""
    count = "-" if line.instructions is None else f"{line.instructions / 1e6:.3g}"
    return [auc_text(line.auc), f"{line.text or '-'}{mark}", count, "-" if line.ratio is None else f"{line.ratio:.2f}"]


def _memory(line: MachineLine) -> list[str]:
    return ["-" if one is None else f"{one:.1f}" for one in (line.flash_kb, line.ram_kb, line.stack_kb)]


def _micro(lines: Sequence[MachineLine]) -> set[str]:
    """The devices that have firmware."""
    return {line.device for line in lines if line.flash_kb is not None}


def apart(lines: Sequence[MachineLine]) -> tuple[list[MachineLine], list[MachineLine]]:
    """The lines of microcontrollers, and those of other machines."""
    micro = _micro(lines)
    return [one for one in lines if one.device in micro], [one for one in lines if one.device not in micro]


def _devices(lines: Sequence[MachineLine]) -> list[str]:
    return sorted({line.device for line in lines})
