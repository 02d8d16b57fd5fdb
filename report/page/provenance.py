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
from pulseproof.core.hints import command
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.machines import MachineLine, legend, machine_lines
from pulseproof.report.numbers.rows import HOST
from pulseproof.report.numbers.texts import auc_text
from pulseproof.report.page.markup import HtmlCell, Section, breakable, bullets, details, esc, paragraph, table
from pulseproof.report.tables.remarks import audited, not_applicable
from pulseproof.runtime.files import sha256_file

SHOWN = 16  # characters of a hash; 64 bits tell files apart, the whole one stands in bundle.json


def machines_section(evaluation: Evaluation, home: Path) -> Section | None:
    """The other devices beside this machine; None where there is none."""
    if not any(each.evidence != HOST for each in evaluation.devices):
        return None
    lines = machine_lines(home)
    body = paragraph(legend(lines), "dim measure") + "".join(
        _machine_table([line for line in lines if line.device == name], name)
        for name in dict.fromkeys(line.device for line in lines)
    )
    return Section("devices", "Other devices beside this machine", body)


def audit_section(evaluation: Evaluation) -> Section | None:
    """What the checks of the attacks and their audit say; None without attacks."""
    said = audited(evaluation)
    return Section("audit", "Checks of the attacks", bullets(said, "measure")) if said else None


def missing_section(evaluation: Evaluation) -> Section | None:
    """What there is no file or no signal set of, and why."""
    said = not_applicable(evaluation)
    return Section("missing", "Not applicable", bullets(said, "measure")) if said else None


def origin_section(evaluation: Evaluation, bundle: HostBundle | None, devices: Sequence[DeviceResults]) -> Section:
    """Recordings, fingerprints, versions, hashes, and the commands."""
    body = _recordings(evaluation) + _fingerprints(evaluation)
    if bundle is not None:
        body += _engines(devices) + _hashes(bundle)
    study = esc(evaluation.head.study)
    data = None if evaluation.head.synthetic else "recordings"
    # What is written here a reader types into a shell; a study's name is letters, digits and dots.
    file = f"studies/{study}.toml"
    runs = [command(name, study=file, data=data) for name in ("bench", "audit")]
    commands = "\n".join([*runs, command("report", study=file)])
    body += (
        "<h3>How to make it again</h3>"
        f'<pre tabindex="0" role="region" aria-label="Commands">{commands}</pre>'
        f"<p>Every row is beside this page, in results.csv and results.json; the pictures as PNG too. Intervals: "
        f"{evaluation.resamples:,} bootstrap resamples of {evaluation.patients:,} patients.</p>"
    )
    return Section("origin", "Where the numbers come from", body)


def _machine_table(lines: Sequence[MachineLine], device: str) -> str:
    heads = ["artifact", "signal set", "n", "AUC here", f"AUC on {esc(device)}", "apart", "M instr.", "/ fp32"]
    rows = []
    for line in lines:
        mark = ' <strong class="tag">larger than rounding</strong>' if line.verdict == "LARGER" else ""
        count = None if line.instructions is None else line.instructions / 1e6
        rows.append(
            [
                HtmlCell(breakable(f"{line.model}/{line.recipe}"), f"{line.model}/{line.recipe}"),
                HtmlCell(esc(line.signals), line.signals),
                HtmlCell(str(line.n), line.n),
                HtmlCell(auc_text(line.auc_host), line.auc_host),
                HtmlCell(auc_text(line.auc), line.auc),
                HtmlCell(f"{esc(line.text or '-')}{mark}", line.largest),
                HtmlCell("-" if count is None else f"{count:.3g}", count),
                HtmlCell("-" if line.ratio is None else f"{line.ratio:.2f}", line.ratio),
            ]
        )
    caption = f"The same files and the same recordings on {device} and on this machine, {len(rows)} runs."
    return table(caption, heads, rows, label=f"{device} beside this machine", classes="sortable", left=2)


def _recordings(evaluation: Evaluation) -> str:
    """The database by its name, what of it is here, and what was left out or taken for granted."""
    origin = evaluation.head.origin
    if origin is None:
        return ""
    said = [f"Database: {origin.database}{f', {origin.part}' if origin.part else ''}.", *origin.doubts, *origin.facts]
    return "<h3>Recordings</h3>" + bullets(said, "measure")


def _fingerprints(evaluation: Evaluation) -> str:
    keys = list(dict.fromkeys(key for each in evaluation.devices for key in each.fingerprint))
    rows = [
        [
            HtmlCell(esc(each.name), each.name),
            HtmlCell(esc(each.evidence), each.evidence),
            *(HtmlCell(esc(_plain(each.fingerprint.get(key)))) for key in keys),
        ]
        for each in evaluation.devices
    ]
    heads = ["device", "evidence", *(esc(plain(str(key)).replace("_", " ")) for key in keys)]
    drawn = table("What each device says of itself.", heads, rows, label="Devices", left=len(heads))
    return f"<h3>Devices</h3>{drawn}" if rows else ""


def _plain(value: Any) -> str:
    return "-" if value is None else plain(str(value))


def _engines(devices: Sequence[DeviceResults]) -> str:
    counts: dict[tuple[str, str, str], int] = {}
    for device in devices:
        for measured in device.results.values():
            engine = measured.result.engine
            if engine is not None:
                key = (device.name, engine.name, engine.version or "not installed")
                counts[key] = counts.get(key, 0) + 1
    rows = [
        [HtmlCell(esc(part), part) for part in key] + [HtmlCell(f"{count:,}", count)] for key, count in counts.items()
    ]
    if not rows:
        return ""
    drawn = table(
        "With what the results were made.", ["device", "engine", "version", "results"], rows, label="Engines", left=3
    )
    return f"<h3>Versions</h3>{drawn}"


def _hashes(bundle: HostBundle) -> str:
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
        [HtmlCell(esc(name), name), HtmlCell(f"<code>{sha256[:SHOWN]}</code>", sha256), HtmlCell(f"{size:,}", size)]
        for name, sha256, size in listed
    ]
    caption = f"The files of the bundle: the first {SHOWN} digits of their SHA-256, and bytes."
    drawn = table(caption, ["file", "SHA-256", "bytes"], rows, label="Files of the bundle", classes="sortable", left=2)
    return "<h3>Bytes</h3>" + details(f"{len(rows)} files with their hashes", drawn)
