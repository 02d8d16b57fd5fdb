"""Where the numbers come from: other devices beside this machine, the audit, what is missing, fingerprints and hashes,
and how to make them again.

In come an :class:`~report.numbers.evaluation.Evaluation` and the files of ``build/<study>``; out comes HTML.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pulseproof.bench.wire.results import DeviceResults, HostBundle
from pulseproof.bench.wire.schema import plain
from pulseproof.core.terminal.hints import command
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.machines import MachineLine, legend, machine_lines
from pulseproof.report.numbers.rows import HOST
from pulseproof.report.numbers.texts import auc_text
from pulseproof.report.page.markup import HtmlCell, HtmlTable, Section, artifact_cell, section, text_cell
from pulseproof.report.tables.remarks import audited, not_applicable
from pulseproof.runtime.files import sha256_file

SHOWN = 16  # characters of a hash; 64 bits tell files apart, the whole one stands in bundle.json


def machines_section(evaluation: Evaluation, home: Path) -> Section | None:
    """The other devices beside this machine; None where there is none."""
    if not any(each.evidence != HOST for each in evaluation.devices):
        return None
    lines = machine_lines(home)
    names = list(dict.fromkeys(line.device for line in lines))
    tables = [_machine_table([line for line in lines if line.device == name], name) for name in names]
    larger = sum(line.verdict == "LARGER" for line in lines)
    gist = f"Of {len(lines):,} runs on {', '.join(names)}, {larger or 'none'} "
    gist += f"{'has' if larger == 1 else 'have'} scores further from this machine's than rounding explains."
    return section("devices", "Other devices beside this machine", gist, legend=legend(lines), tables=tables)


def audit_section(evaluation: Evaluation) -> Section | None:
    """What the checks of the attacks and their audit say; None without attacks."""
    said = audited(evaluation)
    raised = len(evaluation.flags.raised)
    gist = f"{raised} flag{'s' * (raised != 1)} raised by the checks of what was measured; the attacks were "
    gist += (
        "repeated with more effort." if evaluation.audit is not None else "not repeated with more effort (no audit)."
    )
    return section("audit", "Checks of the attacks", gist, template="said", said=said) if said else None


def missing_section(evaluation: Evaluation) -> Section | None:
    """What there is no file or no signal set of, and why."""
    said = not_applicable(evaluation)
    gist = f"{len(said)} reason{'s' * (len(said) != 1)} why a file or a signal set that one could ask for is not there."
    return section("missing", "Not applicable", gist, template="said", said=said) if said else None


def origin_section(evaluation: Evaluation, bundle: HostBundle | None, devices: Sequence[DeviceResults]) -> Section:
    """Recordings, fingerprints, versions, hashes, and the commands."""
    data = None if evaluation.head.synthetic else "recordings"
    # What is written here a reader types into a shell; a study's name is letters, digits and dots.
    file = f"studies/{evaluation.head.study}.toml"
    runs = [command(name, study=file, data=data) for name in ("bench", "audit")]
    said = (
        "Every row is beside this page, in results.csv and results.json; the pictures as PNG too. Intervals: "
        f"{evaluation.resamples:,} bootstrap resamples of {evaluation.patients:,} patients."
    )
    return section(
        "origin",
        "Where the numbers come from",
        f"{len(evaluation.devices)} device{'s' * (len(evaluation.devices) != 1)}, their engines and versions, the "
        "hashes of all files, and the commands that make the numbers again.",
        database=_recordings(evaluation),
        fingerprints=_fingerprints(evaluation),
        engines=None if bundle is None else _engines(devices),
        hashes=None if bundle is None else _hashes(bundle),
        commands="\n".join([*runs, command("report", study=file)]),
        said=said,
    )


def _machine_table(lines: Sequence[MachineLine], device: str) -> HtmlTable:
    heads = ["artifact", "signal set", "n", "AUC here", f"AUC on {device}", "apart", "M instr.", "/ fp32"]
    rows = []
    for line in lines:
        mark = "larger than rounding" if line.verdict == "LARGER" else ""
        count = None if line.instructions is None else line.instructions / 1e6
        rows.append(
            [
                artifact_cell(f"{line.model}/{line.recipe}"),
                text_cell(line.signals),
                HtmlCell(str(line.n), line.n),
                HtmlCell(auc_text(line.auc_host), line.auc_host),
                HtmlCell(auc_text(line.auc), line.auc),
                HtmlCell(line.text or "-", line.largest, tag=mark),
                HtmlCell("-" if count is None else f"{count:.3g}", count),
                HtmlCell("-" if line.ratio is None else f"{line.ratio:.2f}", line.ratio),
            ]
        )
    caption = f"The same files and the same recordings on {device} and on this machine, {len(rows)} runs."
    return HtmlTable(caption, heads, rows, f"{device} beside this machine", "sortable", left=2)


def _recordings(evaluation: Evaluation) -> list[str]:
    """The database by its name, what of it is here, and what was left out or taken for granted."""
    origin = evaluation.head.origin
    if origin is None:
        return []
    return [f"Database: {origin.database}{f', {origin.part}' if origin.part else ''}.", *origin.doubts, *origin.facts]


def _fingerprints(evaluation: Evaluation) -> HtmlTable:
    keys = list(dict.fromkeys(key for each in evaluation.devices for key in each.fingerprint))
    rows = [
        [
            text_cell(each.name),
            text_cell(each.evidence),
            *(HtmlCell(_plain(each.fingerprint.get(key))) for key in keys),
        ]
        for each in evaluation.devices
    ]
    heads = ["device", "evidence", *(plain(str(key)).replace("_", " ") for key in keys)]
    return HtmlTable("What each device says of itself.", heads, rows, "Devices", left=len(heads))


def _plain(value: Any) -> str:
    return "-" if value is None else plain(str(value))


def _engines(devices: Sequence[DeviceResults]) -> HtmlTable:
    counts: dict[tuple[str, str, str], int] = {}
    for device in devices:
        for measured in device.results.values():
            engine = measured.result.engine
            if engine is not None:
                key = (device.name, engine.name, engine.version or "not installed")
                counts[key] = counts.get(key, 0) + 1
    rows = [[*map(text_cell, key), HtmlCell(f"{count:,}", count)] for key, count in counts.items()]
    heads = ["device", "engine", "version", "results"]
    return HtmlTable("With what the results were made.", heads, rows, "Engines", left=3)


def _hashes(bundle: HostBundle) -> HtmlTable:
    head = bundle.head
    listed = [
        ("bundle.json", sha256_file(bundle.folder / "bundle.json"), (bundle.folder / "bundle.json").stat().st_size)
    ]
    named = [
        "labels.npy",
        "patients.npy",
        *(each.file for each in head.artifacts),
        *(each.file for each in head.signals),
    ]
    listed += [(name, head.files[name].sha256, head.files[name].size_bytes) for name in named]
    rows = [
        [text_cell(name), HtmlCell(sha256[:SHOWN], sha256, kind="code"), HtmlCell(f"{size:,}", size)]
        for name, sha256, size in listed
    ]
    caption = f"The files of the bundle: the first {SHOWN} digits of their SHA-256, and bytes."
    return HtmlTable(caption, ["file", "SHA-256", "bytes"], rows, "Files of the bundle", "sortable", left=2)
