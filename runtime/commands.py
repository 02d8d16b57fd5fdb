"""The runner's commands for a person: ``run``, ``verify``, ``probe``, and those of :mod:`runtime.wire.carry`.

In come the arguments of the command line; out comes the exit status, as :mod:`runtime.runner` says. What is wrong is
one sentence on standard error.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import sys
from pathlib import Path
from typing import Sequence

from pulseproof.runtime import emulation
from pulseproof.runtime.condition import affinity, noise
from pulseproof.runtime.condition.probe import condition, fingerprint
from pulseproof.runtime.condition.providers import PROVIDERS
from pulseproof.runtime.engines import available_engines
from pulseproof.runtime.run import Options, run_bundle
from pulseproof.runtime.terminal import plain_streams
from pulseproof.runtime.wire import carry
from pulseproof.runtime.wire.bundle import SET_NAME, open_bundle
from pulseproof.runtime.wire.outfolder import UsageError
from pulseproof.runtime.wire.untrusted import BundleError

EVIDENCE = ("measured-on-device", "measured-on-host", emulation.EVIDENCE)


def main(arguments: Sequence[str]) -> int:
    """Run one command; return the exit status."""
    with plain_streams():
        return guarded(_parser().parse_args(arguments))


def guarded(asked: argparse.Namespace) -> int:
    """Do what was parsed; what is wrong is one sentence on standard error. Returns the exit status."""
    try:
        return int(asked.action(asked))
    except (BundleError, UsageError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a full disk, a card that was pulled out
        print(f"error: {error.filename or asked.command}: {error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return 130


def run(asked: argparse.Namespace) -> int:
    """``run``, with the options of :func:`add_run_options` and ``bundle``, its folder."""
    if not re.fullmatch(SET_NAME, asked.device):
        raise UsageError(f"--device {asked.device!r} is not a name (letters, digits, '.', '+', '-', single '_')")
    try:
        emulation.python_command()
    except ValueError as error:
        raise UsageError(str(error)) from None
    emulator = emulation.emulator()
    if emulator and asked.evidence != emulation.EVIDENCE:
        raise UsageError(
            f"this processor is emulated by {emulator}, where a latency means nothing: --evidence {emulation.EVIDENCE} "
            "counts instructions instead"
        )
    if asked.minutes and asked.evidence == emulation.EVIDENCE:
        raise UsageError("--minutes: an emulated processor has no latency over time")
    options = Options(**{field: getattr(asked, field) for field in Options.__dataclass_fields__})
    failures = run_bundle(asked.bundle, asked.out, options)
    print(f"{asked.out}: " + (f"{failures} artifact(s) failed" if failures else "all results are there"))
    return 1 if failures else 0


def _verify(asked: argparse.Namespace) -> int:
    bundle = open_bundle(asked.bundle)
    counts = f"{len(bundle.artifacts)} artifacts, {len(bundle.signals)} signal sets of {bundle.n} recordings"
    print(f"{asked.bundle}: whole, {counts}")
    return 0


def _probe(asked: argparse.Namespace) -> int:
    about = {"fingerprint": fingerprint(), "condition": condition(), "engines": available_engines()}
    print(json.dumps(about, indent=1))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="runner.pyz", description="Run a Pulseproof bundle on this device.")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="run | verify | probe | have | take | give | pack | start | follow"
    )
    running = commands.add_parser(
        "run", help="run every artifact on every signal set; go on where an earlier run stopped"
    )
    running.add_argument("bundle", type=Path, help="the bundle's folder")
    add_run_options(running)
    running.set_defaults(action=run)
    verify = commands.add_parser("verify", help="check a bundle: every field, size, hash and array header")
    verify.add_argument("bundle", type=Path, help="the bundle's folder")
    verify.set_defaults(action=_verify)
    probe = commands.add_parser("probe", help="print what this device is and which engines it has, as JSON")
    probe.set_defaults(action=_probe)
    carry.add_commands(commands)
    return parser


def add_run_options(run: argparse.ArgumentParser, out: Path | None = None) -> None:
    """Add the options of ``run``. ``out``: where results go by default."""
    run.add_argument(
        "--out", type=Path, required=out is None, default=out, help="where results go; nothing is written elsewhere"
    )
    run.add_argument("--only", action="append", default=[], metavar="NAME", help="only these artifacts, as 'cnn/*'")
    run.add_argument("--sets", action="append", default=[], metavar="NAME", help="only these signal sets, as 'clean'")
    run.add_argument("--threads", type=_positive, metavar="N", help="threads of the engine (default: the bundle's)")
    run.add_argument(
        "--provider",
        choices=PROVIDERS,
        help="the execution provider or delegate that computes; what the engine here does not offer is not applicable "
        "(default: as the engine chooses)",
    )
    run.add_argument("--limit", type=_positive, metavar="N", help="only the first N recordings of each set")
    run.add_argument("--device", default=platform.node() or "device", metavar="NAME", help="name of this device")
    run.add_argument("--evidence", choices=EVIDENCE, default=EVIDENCE[0], help="what the latencies are of")
    run.add_argument(
        "--time-limit",
        dest="time_limit_s",
        type=_seconds,
        default=300.0,
        metavar="S",
        help="kill an artifact that takes longer for one step: loading, or a single inference (default: 300 s)",
    )
    run.add_argument(
        "--affinity",
        type=affinity.parse,
        default="auto",
        metavar="N,N",
        help="the processors to run on; 'none' leaves it to the system (default: 'auto', the fastest, one a thread)",
    )
    run.add_argument(
        "--noise-limit",
        type=_share,
        default=noise.LIMIT,
        metavar="SHARE",
        help=f"mark latencies as noisy above this spread of a fixed piece of work (default: {noise.LIMIT:g})",
    )
    run.add_argument(
        "--minutes",
        type=_minutes,
        default=0.0,
        metavar="M",
        help="then run each artifact for so long, and write its latency over time (default: not at all)",
    )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 100:
        raise argparse.ArgumentTypeError(f"{value} is not a share")
    return value


def _minutes(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 10_000:
        raise argparse.ArgumentTypeError(f"{value} is not a time in minutes")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{value} is not a time in seconds")
    return value
