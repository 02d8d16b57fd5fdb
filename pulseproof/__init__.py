"""Which exported ECG classifier should I ship, and does it stay accurate when the signal is disturbed?

For notebooks and other people's code::

    import pulseproof as pp

    result = pp.attack_model(module, signals_mv, labels, budgets_mv=[0.01, 0.02], fs_hz=100)
    files = pp.export_model(module, calibration=signals_mv, recipes=["onnx-int8-static"], to="out")
    report = pp.check_file("out/onnx-int8-static.onnx", signals_mv, labels, fs_hz=100)

The rooms are packages in here (``pulseproof.export``, ``pulseproof.attacks``, ...). This module imports nothing until
one of its names is used: a device runs ``pulseproof.runtime`` with numpy and one engine alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors, type checkers and the docs
    from pulseproof.core.errors import InputError, NotHeldError
    from pulseproof.ecg.write_arrays import write_recordings
    from pulseproof.face.calls import (
        answers_of,
        attack_model,
        check_file,
        export_model,
        load_study,
        log_to,
        rows_of,
        run_study,
    )
    from pulseproof.face.results import AttackedBudget, AttackResult, ExportedFile, FileLatency, FileReport

# Where each name is, imported when it is first used.
_PLACES = {
    "InputError": "pulseproof.core.errors",
    "NotHeldError": "pulseproof.core.errors",
    "AttackResult": "pulseproof.face.results",
    "AttackedBudget": "pulseproof.face.results",
    "ExportedFile": "pulseproof.face.results",
    "FileReport": "pulseproof.face.results",
    "FileLatency": "pulseproof.face.results",
    "answers_of": "pulseproof.face.calls",
    "attack_model": "pulseproof.face.calls",
    "check_file": "pulseproof.face.calls",
    "export_model": "pulseproof.face.calls",
    "load_study": "pulseproof.face.calls",
    "log_to": "pulseproof.face.calls",
    "rows_of": "pulseproof.face.calls",
    "run_study": "pulseproof.face.calls",
    "write_recordings": "pulseproof.ecg.write_arrays",
}
__all__ = [
    "AttackResult",
    "AttackedBudget",
    "ExportedFile",
    "FileLatency",
    "FileReport",
    "InputError",
    "NotHeldError",
    "answers_of",
    "attack_model",
    "check_file",
    "export_model",
    "load_study",
    "log_to",
    "rows_of",
    "run_study",
    "write_recordings",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(_PLACES[name]), name)
    globals()[name] = found  # the next use does not come by here
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
