"""A brought file as it is kept: its own graph, and before and behind it what it lacks to be one of ours.

In: a file that was checked, and what the study says of its ends. Out: the same bytes where nothing is lacking, else the
file with a front and a tail (:mod:`models.front`). A TFLite file is read and written by a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pulseproof.models.brought.onnx_checks import OnnxFacts, check_onnx, pull_together
from pulseproof.models.brought.tflite_checks import TfliteFacts, check_tflite
from pulseproof.models.front.fitting import Fitting, Steps
from pulseproof.models.front.plan import Front
from pulseproof.models.front.tail import Tail
from pulseproof.models.front.tflite_child import write_dressed
from pulseproof.runtime.files import replacing, write_bytes


@dataclass(frozen=True)
class Dressing:
    """``quantized`` and ``given``: see the checks of each format. ``front``: what stands before its graph; ``steps``:
    of an input of whole numbers. ``write(path, kept, tail)``: keep the file at ``path`` as ``kept``; without a tail its
    scores are as it gives them."""

    quantized: bool
    given: int | None
    front: Front
    steps: Steps | None
    write: Callable[[Path, Path, Tail | None], None]
    operators: tuple[str, ...]

    def says(self) -> str:
        """What stands before its graph, in words; empty for nothing."""
        return "" if self.front.nothing else self.front.says()


def dress_of(path: Path, what: str, fitting: Fitting) -> Dressing:
    """What the file at ``path`` lacks, checked. ``what`` begins every message. Raises InputError."""
    if path.suffix == ".onnx":
        facts = check_onnx(path, what, fitting.shape, fitting.classes, fitting)

        def write_onnx(source: Path, kept: Path, tail: Tail | None) -> None:
            _write_onnx(source, kept, facts, tail, what)

        return Dressing(facts.quantized, facts.given, facts.front, None, write_onnx, facts.operators)
    found = check_tflite(path, what, fitting.shape, fitting.classes, fitting)

    def write_tflite(source: Path, kept: Path, tail: Tail | None) -> None:
        _write_tflite(source, kept, found, fitting, tail, what)

    return Dressing(found.quantized, found.given, found.front, found.steps, write_tflite, found.operators)


def _write_onnx(path: Path, kept: Path, facts: OnnxFacts, tail: Tail | None, what: str) -> None:
    import onnx

    from pulseproof.models.front.onnx_front import keep_output, put_front, put_tail

    if facts.front.nothing and facts.plain and tail is None:
        if facts.data:
            with replacing(kept) as temporary:
                pull_together(path, temporary)
        else:
            write_bytes(kept, path.read_bytes())
        return
    model = onnx.load(path)
    keep_output(model, facts.output)
    if not facts.front.nothing:
        put_front(model, facts.front, what)
    if tail is not None or not facts.plain:
        assert tail is not None or facts.given is not None
        put_tail(model, tail or Tail(facts.given or 0, facts.given or 0))
    with replacing(kept) as temporary:
        onnx.save_model(model, temporary)


def _write_tflite(path: Path, kept: Path, facts: TfliteFacts, fitting: Fitting, tail: Tail | None, what: str) -> None:
    if facts.plain and tail is None:
        write_bytes(kept, path.read_bytes())
        return
    given = facts.given or fitting.classes
    with replacing(kept) as temporary:
        front, tail = facts.front, tail or Tail(given, given)
        write_dressed(path, temporary, fitting, facts.declared, front.others, tail, facts.output, what)
