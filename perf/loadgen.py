"""MLPerf's load generator around an ONNX Runtime session: a referee for the runner's latencies.

    python -m perf.loadgen FILE SIGNALS SUMMARY --step-mv STEP

In: an ``.onnx`` file and a ``.npy`` of int16 ``(n, leads, samples)`` recorder steps. Out: ``SUMMARY``, JSON with
``p50``, ``p90``, ``p95`` and ``p99`` in ms, as the load generator counts them in its SingleStream scenario (one query
after the other, at least 200 and 2 s of them; Reddi et al., MLPerf Inference Benchmark, ISCA 2020). The session is
opened as a user opens it, one thread, and shares no code with the runner.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from pulseproof.runtime.files import write_json

WARM_UP = 50
LINE = re.compile(r"^(\d+)\.00 percentile latency \(ns\)\s*: (\d+)$", re.MULTILINE)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="perf.loadgen", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("signals", type=Path)
    parser.add_argument("summary", type=Path)
    parser.add_argument("--step-mv", type=float, required=True)
    asked = parser.parse_args()
    steps = np.load(asked.signals, allow_pickle=False)
    write_json(asked.summary, single_stream(asked.file, steps.astype(np.float32) * np.float32(asked.step_mv)))


def single_stream(file: Path, signals: np.ndarray) -> dict[str, float]:
    """{percentile: ms} of one file on float32 ``signals`` (n, leads, samples) mV, batch 1."""
    import mlperf_loadgen
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0].name
    for index in range(WARM_UP):
        session.run(None, {entry: signals[index % len(signals)][None]})

    def issue(queries: list[Any]) -> None:
        for query in queries:
            session.run(None, {entry: signals[query.index][None]})
            mlperf_loadgen.QuerySamplesComplete([mlperf_loadgen.QuerySampleResponse(query.id, 0, 0)])

    settings = mlperf_loadgen.TestSettings()
    settings.scenario = mlperf_loadgen.TestScenario.SingleStream
    settings.mode = mlperf_loadgen.TestMode.PerformanceOnly
    settings.min_query_count, settings.min_duration_ms = 200, 2000
    settings.single_stream_expected_latency_ns = 10_000  # queries are made beforehand: enough for the fastest file
    with tempfile.TemporaryDirectory() as folder:
        output = mlperf_loadgen.LogOutputSettings()
        output.outdir, output.copy_summary_to_stdout = folder, False
        log = mlperf_loadgen.LogSettings()
        log.log_output, log.enable_trace = output, False
        system = mlperf_loadgen.ConstructSUT(issue, _nothing)
        library = mlperf_loadgen.ConstructQSL(len(signals), len(signals), _nothing, _nothing)
        mlperf_loadgen.StartTestWithLogSettings(system, library, settings, log)
        mlperf_loadgen.DestroyQSL(library)
        mlperf_loadgen.DestroySUT(system)
        said = (Path(folder) / "mlperf_log_summary.txt").read_text()
    return {f"p{percentile}": int(latency) / 1e6 for percentile, latency in LINE.findall(said)}


def _nothing(*_: Any) -> None:
    """Nothing to load and nothing to flush."""


if __name__ == "__main__":
    main()
