"""Headers: every field of header(5) in its spellings, honoured, or refused in words that are true."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulseproof.core.errors import InputError
from pulseproof.ecg.wfdb.files import read_record
from pulseproof.ecg.wfdb.header import Header, Signal, read_header
from tests.ecg.wfdb_making import write_record


def header_of(folder: Path, text: str) -> Header:
    (folder / "r.hea").write_bytes(text.encode("utf-8"))
    return read_header(folder / "r")


def signal_of(folder: Path, line: str) -> Signal:
    return header_of(folder, f"r 1 360 1000\n{line}\n").signals[0]


@pytest.mark.parametrize(
    ("line", "fs_hz", "samples"),
    [
        ("r 0", 250.0, None),
        ("r 0 360", 360.0, None),
        ("r 0 360.", 360.0, None),
        ("r 0 3.6e2 650000", 360.0, 650_000),  # header(5)'s own example; wfdb's pattern reads 3.6 Hz
        ("r 0 360/73.4(12.5) 10", 360.0, 10),
        ("r 0 360/73.4 10", 360.0, 10),
        ("r 0 128 0", 128.0, None),  # unspecified
        ("r 0 128 10 13:5:0 25/4/1989", 128.0, 10),
        ("\tr\t0\t128\t10", 128.0, 10),
        ("# said before\n\nr 0 500 10\r", 500.0, 10),
    ],
)
def test_record_lines(tmp_path: Path, line: str, fs_hz: float, samples: int | None) -> None:
    found = header_of(tmp_path, line)
    assert (found.fs_hz, found.samples, found.signals) == (fs_hz, samples, ())


# gain field: gain, baseline (with an ADC zero of 7), units, one unit in mV
GAINS = [
    ("200", 200.0, 7, "mV", 1.0),
    ("200.", 200.0, 7, "mV", 1.0),
    ("2e2", 200.0, 7, "mV", 1.0),
    ("2.0E+02", 200.0, 7, "mV", 1.0),
    ("+200.0", 200.0, 7, "mV", 1.0),
    (".5", 0.5, 7, "mV", 1.0),
    ("200(0)", 200.0, 0, "mV", 1.0),
    ("200(-1024)", 200.0, -1024, "mV", 1.0),
    ("200(1024)/mV", 200.0, 1024, "mV", 1.0),
    ("200/mV", 200.0, 7, "mV", 1.0),
    ("200/MV", 200.0, 7, "MV", 1.0),
    ("0.2(0)/uV", 0.2, 0, "uV", 0.001),
    ("0.2/µV", 0.2, 7, "µV", 0.001),
    ("0.2/μV", 0.2, 7, "μV", 0.001),
    ("200000/V", 200000.0, 7, "V", 1000.0),
    ("200(70000)/mmHg", 200.0, 70_000, "mmHg", None),
    ("0", 0.0, 7, "mV", 1.0),
    ("0(5)/mV", 0.0, 5, "mV", 1.0),
    ("1234.5678(3)/mV", 1234.5678, 3, "mV", 1.0),
]


@pytest.mark.parametrize(("field", "gain", "baseline", "units", "millivolts"), GAINS, ids=[each[0] for each in GAINS])
def test_gains(tmp_path: Path, field: str, gain: float, baseline: int, units: str, millivolts: float | None) -> None:
    signal = signal_of(tmp_path, f"r.dat 16 {field} 11 7 995 -22131 0 MLII")
    assert (signal.gain, signal.baseline, signal.units, signal.millivolts) == (gain, baseline, units, millivolts)
    assert (signal.lead, signal.bits, signal.zero, signal.checksum) == ("MLII", 11, 7, -22131)


@pytest.mark.parametrize(
    ("field", "frame", "skew", "offset"),
    [("16", 1, 0, 0), ("16x4", 4, 0, 0), ("16:3", 1, 3, 0), ("16+24", 1, 0, 24), ("16x4:8+512", 4, 8, 512)],
)
def test_format_modifiers(tmp_path: Path, field: str, frame: int, skew: int, offset: int) -> None:
    signal = signal_of(tmp_path, f"r.dat {field} 200 12 0 0 0 0 II")
    assert (signal.format, signal.frame, signal.skew, signal.byte_offset) == ("16", frame, skew, offset)


def test_fields_that_are_left_out_have_header_5_s_defaults(tmp_path: Path) -> None:
    signal = signal_of(tmp_path, "data0 16")
    assert (signal.gain, signal.units, signal.baseline, signal.zero) == (0.0, "mV", 0, 0)
    assert (signal.bits, signal.checksum, signal.lead) == (12, None, "signal 0")
    assert signal_of(tmp_path, "data0 80").bits == 8
    assert signal_of(tmp_path, "r.dat 16 200 12 0 0 0 0 ECG signal 0").lead == "ECG signal 0"


def test_a_micro_sign_of_an_older_program(tmp_path: Path) -> None:
    (tmp_path / "r.hea").write_bytes(b"r 1 250 10\nr.dat 16 0.2(0)/\xb5V 16 0 0 0 0 II\n")
    (signal,) = read_header(tmp_path / "r").signals
    assert (signal.units, signal.millivolts, signal.lead) == ("µV", 0.001, "II")


def test_leads_of_one_name_are_numbered_and_extra_lines_are_not_read(tmp_path: Path) -> None:
    lines = "\n".join(f"r.dat 16 200 12 0 0 0 0 {name}" for name in ("ECG", "ecg", "ECG", "ECG-2", "Resp"))
    assert header_of(tmp_path, f"r 4 250 10\n{lines}\n").leads == ("ECG", "ecg-2", "ECG-3", "ECG-2-2")


REFUSED = [
    ("r/2 2 250 10\na 5\nb 5", "a record made of segments is not supported (r has 2)"),
    ("r 2 250 10\nr.dat 16 200", "it announces 2 signals and describes 1"),
    ("r 1 0 10\nr.dat 16", "its sampling rate is 0"),
    ("r 1 fast 10\nr.dat 16", "its sampling rate is 'fast', not a number"),
    ("r 1 250 ten\nr.dat 16", "its number of samples is 'ten'"),
    ("r", "its first line is not a WFDB record line"),
    ("", "it has no record line"),
    ("r 1 250 10\nr.dat ??", "line 2 'r.dat ??': '??' is not a signal format"),
    ("r 1 250 10\nr.dat 16 .(0)", "'.(0)' is not a gain"),
    ("r 2 250 10\nr.dat 16 200\nr.dat 212 200", "r.dat is said to have several formats"),
    ("r 3 250 10\na.dat 16\nb.dat 16\na.dat 16", "the signals of a.dat do not stand together"),
]


@pytest.mark.parametrize(("text", "says"), REFUSED, ids=[each[1][:30] for each in REFUSED])
def test_headers_that_are_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        header_of(tmp_path, text)
    assert says in caught.value.what
    assert ("damaged" in caught.value.what) == ("not supported" not in says and "together" not in says)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("8 200 12 0 0 0 0 II", "format 8 of lead 'II' is not supported"),
        ("0 200 12 0 0 0 0 II", "format 0 of lead 'II' is not supported"),
        ("311x2 -5 12 0 0 0 0 II", "a negative gain (-5) is not supported"),
        ("16 5/Pa 12 0 0 0 0 II", "lead 'II' is in Pa, which is no voltage"),
        ("16 0 12 0 0 0 0 II", "lead 'II' is not calibrated (gain 0)"),
    ],
)
def test_what_is_not_supported_is_never_called_damaged(tmp_path: Path, line: str, says: str) -> None:
    stem = write_record(tmp_path, "r", np.zeros(10, np.int64), [line], "r 1 250 10")
    with pytest.raises(InputError) as caught:
        read_record(stem, ["II"])
    assert says in caught.value.what
    assert "damaged" not in str(caught.value) and "fetch" not in str(caught.value)


@pytest.mark.parametrize("file", ["../other.dat", "/etc/passwd", "~", "-", "a\\b.dat"])
def test_only_files_beside_the_header_are_read(tmp_path: Path, file: str) -> None:
    (tmp_path / "r.hea").write_text(f"r 1 250 10\n{file} 16 200 12 0 0 0 0 II\n")
    with pytest.raises(InputError, match="only signal files beside the header are read"):
        read_record(tmp_path / "r", ["II"])


def test_a_record_without_signals_has_none_to_read(tmp_path: Path) -> None:
    (tmp_path / "r.hea").write_text("r 0 250 10\n")  # header(5): a record of annotations alone
    with pytest.raises(InputError, match="the record has no lead 'II'") as caught:
        read_record(tmp_path / "r", ["II"])
    assert "leads there: none" in caught.value.mend
    with pytest.raises(InputError, match="the record has no signals"):
        read_record(tmp_path / "r", [])


def test_a_lead_that_nobody_asked_for_does_no_harm(tmp_path: Path) -> None:
    stem = write_record(tmp_path, "r", np.arange(10), ["16 200 12 0 0 45 0 II"], "r 2 250 10")
    with (tmp_path / "r.hea").open("a") as file:
        file.write("gone.dat 8 0/degC 12 0 0 0 0 Temp\n")
    assert read_record(stem, ["II"]).digital.tolist() == [list(range(10))]


@settings(max_examples=60, deadline=None)
@given(
    gain=st.floats(1e-3, 1e6).map(lambda value: float(f"{value:.6g}")),
    spelling=st.sampled_from(["{:.9g}", "{:.9e}", "{:.9E}", "{:f}"]),
    baseline=st.one_of(st.none(), st.integers(-70_000, 70_000)),
    zero=st.integers(-2000, 2000),
    units=st.sampled_from([None, "mV", "uV", "V", "mmHg"]),
    bits=st.integers(1, 24),
    checksum=st.integers(-32768, 32767),
    lead=st.sampled_from(["II", "ECG signal 0", "aVF", "12 lead", "µ"]),
)
def test_any_signal_line_is_read_as_it_was_written(
    gain: float,
    spelling: str,
    baseline: int | None,
    zero: int,
    units: str | None,
    bits: int,
    checksum: int,
    lead: str,
) -> None:
    field = spelling.format(gain) + ("" if baseline is None else f"({baseline})") + (f"/{units}" if units else "")
    with tempfile.TemporaryDirectory() as folder:
        signal = signal_of(Path(folder), f"r.dat 16 {field} {bits} {zero} 0 {checksum} 0 {lead}")
    assert signal.gain == pytest.approx(gain, rel=1e-8, abs=1e-6)
    assert (signal.baseline, signal.units) == (zero if baseline is None else baseline, units or "mV")
    assert (signal.bits, signal.zero, signal.checksum, signal.lead) == (bits, zero, checksum, lead)
