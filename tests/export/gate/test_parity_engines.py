"""The gate on several engines: the first decides about a file, and another one that is wrong is named, not believed."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pulseproof.core import engines, limited
from pulseproof.ecg.recordings import Recordings
from pulseproof.export.gate import bounds, parity
from pulseproof.export.quiet import quiet
from pulseproof.export.tflite import files as tflite_files
from pulseproof.models.run import Trained
from tests.export.making import job_for

pytestmark = pytest.mark.slow  # the converter


@pytest.fixture(scope="module")
def reference(trained: dict[str, Trained], recordings: Recordings) -> parity.Reference:
    return parity.make_reference(trained["cnn"].module, recordings, recordings.indices("validation"), False)


@pytest.fixture(scope="module")
def float_tflite(trained: dict[str, Trained], recordings: Recordings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tflite") / "cnn.tflite"
    with quiet():
        tflite_files.write_float(job_for(trained["cnn"].module, recordings.shape, out))
    return out


def test_a_file_as_given_is_its_own_source(
    trained: dict[str, Trained], reference: parity.Reference, float_tflite: Path
) -> None:
    elsewhere = replace(reference, scores=reference.scores[::-1].copy())  # what the source gave does not matter
    verdict = parity.check(float_tflite, "tflite-as-given", elsewhere, trained["cnn"].module, None)
    assert verdict.reason is None and [one.reason for one in verdict.parity] == [None] * len(verdict.parity)
    assert verdict.parity[0].max_difference == 0
    assert all(one.max_difference < 1e-4 for one in verdict.parity)
    refused = parity.check(float_tflite, "tflite-int8-static", elsewhere, trained["cnn"].module, None)
    assert refused.reason is not None


@pytest.fixture
def _asked_anew() -> Iterator[None]:
    engines.here.cache_clear()
    yield
    engines.here.cache_clear()


@pytest.mark.usefixtures("_asked_anew")
@pytest.mark.parametrize(
    ("does", "says"),
    [
        ("kill -11 $$", "tflite_runtime does not run it: it crashed its process (SIGSEGV)"),
        ("exec sleep 60", "tflite_runtime does not run it: it did not come to an end in time"),
        ('exec {python} -c "{program}" nan', "of 60 validation recordings get a score that is not finite"),
        ('exec {python} -c "{program}" 1', "its scores differ from the torch module's by"),
    ],
)
def test_what_goes_wrong_on_another_engine_is_said_and_the_file_stays(
    does: str,
    says: str,
    trained: dict[str, Trained],
    reference: parity.Reference,
    float_tflite: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = "numpy.arange(180, dtype=numpy.float32).reshape(60, 3) * numpy.float32(sys.argv[1])"
    program = (  # what runtime.score says of a file that it opened and ran
        "import struct, sys, numpy; out = sys.stdout.buffer; nothing = numpy.zeros(0, numpy.float32); "
        "say = lambda kind, row: (out.write(struct.pack('<II', kind, len(row)) + row.tobytes()), out.flush()); "
        f"say(1, nothing); [sys.stdin.buffer.read({reference.signals[0].nbytes}) and say(2, row) for row in {made}]"
    )
    script = tmp_path / "python"
    does = does.format(python=sys.executable, program=program)
    script.write_text(f'#!/bin/sh\nif [ "$1" = -c ]; then echo 2.14.0 1.26.4; exit; fi\n{does}\n')
    script.chmod(0o755)
    monkeypatch.setenv(engines.VARIABLE, str(script))
    assert engines.here()["tflite_runtime"] == "2.14.0"
    monkeypatch.setattr(limited, "START_S", 15)
    monkeypatch.setattr(limited, "SILENCE_S", 15)
    verdict = parity.check(float_tflite, "tflite-fp32", reference, trained["cnn"].module, None)
    assert verdict.reason is None and verdict.parity[0].reason is None
    assert verdict.parity[1].engine == "tflite_runtime" and says in str(verdict.parity[1].reason)


def needs_tflite_runtime() -> None:
    """Skip where there is no wheel of tflite-runtime; where there is one, ``make setup`` has installed it."""
    if "tflite_runtime" in engines.here():
        return
    if sys.platform != "linux" or sys.version_info >= (3, 12) or platform.machine() not in ("x86_64", "aarch64"):
        pytest.skip("tflite-runtime has no wheel for this Python or processor")
    pytest.fail("tflite-runtime is not there: make setup installs it")


def quantized_linear(source: Path, out: Path, granularity: str) -> Path:
    """The linear layers in int8 weights (``dynamic_wi8_afp32``), one scale a row or one a matrix."""
    from ai_edge_quantizer import quantizer
    from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName

    tool = quantizer.Quantizer(str(source))
    operator = TFLOperationName.FULLY_CONNECTED
    tool.add_dynamic_config(".*", operator, num_bits=8, granularity=QuantGranularity[granularity])
    with quiet():
        out.write_bytes(tool.quantize(enable_progress_report=False).quantized_model)
    return out


def test_a_file_that_tflite_runtime_computes_wrong_without_an_error_is_caught(
    trained: dict[str, Trained], reference: parity.Reference, float_tflite: Path, tmp_path: Path
) -> None:
    """tflite-runtime 2.14 gives wrong scores for a FULLY_CONNECTED with int8 weights that have one scale a row."""
    needs_tflite_runtime()
    module, recipe = trained["cnn"].module, "tflite-int8-dynamic"
    by_row = quantized_linear(float_tflite, tmp_path / "by-row.tflite", "CHANNELWISE")
    verdict = parity.check(by_row, recipe, reference, module, float_tflite)
    assert verdict.reason is None and [one.engine for one in verdict.parity] == ["ai_edge_litert", "tflite_runtime"]
    assert verdict.parity[0].reason is None and verdict.parity[0].label_agreement > 0.9
    assert verdict.parity[1].reason is not None

    written = tmp_path / "as-we-write-it.tflite"
    with quiet():
        tflite_files.write_dynamic(job_for(module, reference.signals.shape[1:], written, float_tflite))
    verdict = parity.check(written, recipe, reference, module, float_tflite)
    assert [one.reason for one in verdict.parity] == [None, None]
    assert all(one.label_agreement > 0.9 for one in verdict.parity)


def test_the_float_file_is_right_on_every_engine(
    trained: dict[str, Trained], reference: parity.Reference, float_tflite: Path
) -> None:
    needs_tflite_runtime()
    verdict = parity.check(float_tflite, "tflite-fp32", reference, trained["cnn"].module, None)
    assert verdict.reason is None and len(verdict.parity) == 2
    assert all(one.max_difference <= 1e-5 for one in verdict.parity)


def test_a_slow_file_is_run_on_fewer_recordings_on_the_other_engine(
    trained: dict[str, Trained], reference: parity.Reference, float_tflite: Path
) -> None:
    needs_tflite_runtime()
    names = ("signals", "labels", "patients", "scores")
    thrice = replace(reference, **{name: np.concatenate([getattr(reference, name)] * 3) for name in names})
    verdict = parity.check(float_tflite, "tflite-int16x8", thrice, trained["cnn"].module, None)
    assert [one.records for one in verdict.parity] == [180, bounds.INT16X8.records]
