"""The door of WFDB records: headers, signal files and annotations of strangers, each loaded or refused in a sentence.

One table of records made to hurt, and 300 sound ones damaged at random by seed. Nothing is opened outside the record's
folder, whatever a header names, and neither time nor memory grows with what a file claims.
"""

from __future__ import annotations

import os
import random
import resource
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pulseproof.core.errors import InputError
from pulseproof.ecg.marked.reading import survey as beats_survey
from pulseproof.ecg.ptbxl import microvolts
from pulseproof.ecg.ptbxl_tables import RecordRow, rows_in, statements_in
from pulseproof.ecg.ptbxl_tasks import SUPERCLASS, columns_of, task_of
from pulseproof.ecg.wfdb.files import Record, read_record
from pulseproof.ecg.wfdb.header import read_header
from pulseproof.ecg.wfdb.marks import Marks, read_marks
from tests.ecg.making import BEATS_DATA, study_of, write_mitbih, write_ptbxl
from tests.ecg.wfdb_making import annotations, encode, mark, write_record

LENGTH, LEADS = 1000, ("MLII", "V1")
HALF_A_GB = 512 << 20
LONGEST_S = 10.0
opened: list[list[str]] = []  # by each who looks


def _seen(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        for names in opened:
            names.append(os.fsdecode(arguments[0]))


sys.addaudithook(_seen)


def make(folder: Path, fmt: str = "16") -> Path:
    """A sound record of two leads with annotations."""
    samples = np.random.default_rng(1).integers(-500, 500, (LENGTH, 2)).astype(np.int64)
    sums = [int(samples[:, at].sum()) % 65536 for at in range(2)]
    lines = [f"{fmt} 200/mV 12 0 {samples[0, at]} {sums[at]} 0 {LEADS[at]}" for at in range(2)]
    stem = write_record(folder, "r", samples.ravel(), lines, f"r 2 250 {LENGTH}", fmt)
    at = list(range(50, LENGTH, 90))
    (folder / "r.atr").write_bytes(annotations(at, ["NVAN"[k % 4] for k in range(len(at))]))
    return stem


def load(stem: Path) -> tuple[Record, Marks]:
    """What :mod:`ecg.marked` and :mod:`ecg.ptbxl` read of a record, and use of it."""
    header = read_header(stem)
    record = read_record(stem, header.leads, header, default_gain=200.0)
    marks = read_marks(stem, "atr", record.digital.shape[1], record.fs_hz, record.frame)
    assert np.isfinite((record.digital - record.baselines) / record.gains).all()
    assert record.digital.shape == record.missing.shape and record.digital.size
    assert ((marks.at >= 0) & (marks.at < record.digital.shape[1])).all() and (np.diff(marks.at) >= 0).all()
    microvolts(record)
    return record, marks


def headed(text: str | bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "r.hea").write_bytes(text if isinstance(text, bytes) else text.encode())


def lined(line: str, first: str = "r 1 250") -> Callable[[Path], object]:
    return headed(f"{first}\n{line}\n")


def marked(raw: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "r.atr").write_bytes(raw)


def linked(name: str, to: str) -> Callable[[Path], object]:
    def make_link(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(to)

    return make_link


def piped(name: str) -> Callable[[Path], object]:
    def make_pipe(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return make_pipe


def sparse(name: str, size: int) -> Callable[[Path], object]:
    return lambda folder: os.truncate(folder / name, size)


def long_and_sparse(folder: Path) -> None:
    """A whole record of 600 million samples that takes no room on the disk."""
    headed("r 1 250 600000000\nr.dat 16 200 12 0 0 0 0 II\n")(folder)
    os.truncate(folder / "r.dat", 1_200_000_000)


def bomb(folder: Path, header: str) -> None:
    """FLAC of silence: 300 kB that become 160 million samples."""
    headed(header)(folder)
    with soundfile.SoundFile(folder / "r.dat", "w", 250, 1, "PCM_16", format="FLAC") as file:
        for _ in range(160):
            file.write(np.zeros(1_000_000, np.int16))


def note(text: str) -> bytes:
    return mark(0, '"', text) + b"\x00\xec\xff\xff\xff\xff\x01\x00" + mark(500, "N") + b"\0\0"


SIGNAL = "16 200 12 0 0 0 0 II"
NAMES = ("../r.dat", "/etc/passwd", "a/../../r.dat", "..", ".", "~", "-", "a\0b", "a\x1b[2Jb", "a\u202eb", "b\\c")
TABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a header of 100 MB": (sparse("r.hea", 100 << 20), "more than"),
    "a header of a terabyte": (sparse("r.hea", 1 << 40), "more than"),
    "annotations of a terabyte": (sparse("r.atr", 1 << 40), "more than"),
    "a line of 100,000 characters": (headed(f"r 1 250 {'1' * 100_000}x\nr.dat {SIGNAL}\n"), "characters"),
    "a signal line without end": (lined(f"r.dat 16 {'1' * 500_000}x 12 0 0 0 0 II"), "characters"),
    "a billion signals": (headed("r 1000000000 250 10\n"), "signals"),
    "so many signals as 900 digits say": (headed(f"r {'9' * 900} 250 10\n"), "signals"),
    "a number of samples of 900 digits": (lined(f"r.dat {SIGNAL}", f"r 1 250 {'9' * 900}"), "number of samples"),
    "samples below none": (lined(f"r.dat {SIGNAL}", "r 1 250 -5"), "number of samples"),
    "twenty thousand signals": (
        headed("r 20000 250 10\n" + "r.dat 16 200 12 0 0 0 0 II\n" * 20_000),
        "signals",
    ),
    "more samples than the file has": (lined(f"r.dat {SIGNAL}", "r 1 250 999999999"), "too short"),
    "six hundred million samples": (long_and_sparse, "samples"),
    "a rate of none": (lined(f"r.dat {SIGNAL}", "r 1 0 10"), "sampling rate"),
    "a rate below none": (lined(f"r.dat {SIGNAL}", "r 1 -250 10"), "sampling rate"),
    "a rate of 1e308 Hz": (lined(f"r.dat {SIGNAL}", "r 1 1e308 10"), "sampling rate"),
    "a rate of 1e999 Hz": (lined(f"r.dat {SIGNAL}", "r 1 1e999 10"), "sampling rate"),
    "a rate of 1e-300 Hz": (lined(f"r.dat {SIGNAL}", "r 1 1e-300 10"), "sampling rate"),
    "a rate that is no number": (lined(f"r.dat {SIGNAL}", "r 1 NaN 10"), "sampling rate"),
    "a name that climbs": (lined(f"r.dat {SIGNAL}", f"../r 1 250 {LENGTH}"), "record line"),
    "a gain of 1e308": (lined("r.dat 16 1e308 12 0 0 0 0 II"), "gain"),
    "a gain of 1e999": (lined("r.dat 16 1e999 12 0 0 0 0 II"), "gain"),
    "a gain of 1e-308": (lined("r.dat 16 1e-308 12 0 0 0 0 II"), "gain"),
    "a gain of 1e-308 in nV": (lined("r.dat 16 1e-308/nV 12 0 0 0 0 II"), "gain"),
    "a gain below none": (lined("r.dat 16 -200 12 0 0 0 0 II"), "gain"),
    "a baseline of 30 digits": (lined(f"r.dat 16 200({'9' * 30}) 12 0 0 0 0 II"), "number"),
    "a zero of 30 digits": (lined(f"r.dat 16 200 12 {'9' * 30} 0 0 0 II"), "number"),
    "a checksum of 900 digits": (lined(f"r.dat 16 200 12 0 0 {'9' * 900} 0 II"), "number"),
    "a checksum that lies": (lined("r.dat 16 200 12 0 0 1 0 II", f"r 1 250 {LENGTH}"), "checksum"),
    "a converter of 900 bits": (lined("r.dat 16 200 900 0 0 0 0 II"), "bits"),
    "samples a frame of 900 digits": (lined(f"r.dat 16x{'9' * 900} 200 12 0 0 0 0 II"), "number"),
    "a billion samples a frame": (lined("r.dat 16x1000000000 200 12 0 0 0 0 II"), "frame"),
    "a skew of 900 digits": (lined(f"r.dat 16:{'9' * 900} 200 12 0 0 0 0 II"), "number"),
    "a preamble of 900 digits": (lined(f"r.dat 16+{'9' * 900} 200 12 0 0 0 0 II"), "number"),
    "a preamble longer than the file": (lined("r.dat 16+2000000000 200 12 0 0 0 0 II"), "too short"),
    "a format that is unknown": (lined("r.dat 17 200 12 0 0 0 0 II"), "format 17"),
    "a format of 900 digits": (lined(f"r.dat {'9' * 900} 200 12 0 0 0 0 II"), "format"),
    "FLAC that is none": (lined("r.dat 516 200 12 0 0 0 0 II"), "decoded"),
    "FLAC that claims to be long": (lined("r.dat 516 200 12 0 0 0 0 II", "r 1 250 99999999999"), "samples"),
    "a bomb of FLAC": (lambda folder: bomb(folder, "r 1 250 160000000\nr.dat 516 200 12 0 0 0 0 II\n"), "samples"),
    "a bomb of FLAC of unsaid length": (
        lambda folder: bomb(folder, "r 1 250\nr.dat 516 200 12 0 0 0 0 II\n"),
        "samples",
    ),
    "bytes that are no text": (headed(b"\xff\xfe\0r\0 \xfe"), "record line"),
    "UTF-16": (headed("r 1 250 10\nr.dat 16\n".encode("utf-16")), "record line"),
    "NULs": (headed(bytes(500)), "record line"),
    "a control character in a lead's name": (lined("r.dat 8 200 12 0 0 0 0 \x1b[31m\x9bII"), "format 8"),
    "another way to write in a lead's name": (lined("r.dat 8 200 12 0 0 0 0 \u202eII"), "format 8"),
    "a segment": (headed("r/2 1 250 10\na 5\nb 5\n"), "segments"),
    **{
        f"a signal file called {name!r}": (lined(f"{name} {SIGNAL}"), "only signal files beside the header")
        for name in NAMES
    },
    "a signal file with a name of 4,000 letters": (headed(f"r 1 250 10\n{'a' * 900} {SIGNAL}\n"), "beside the header"),
    "a header that is a link out": (linked("r.hea", "/etc/passwd"), "link"),
    "a header that is /dev/zero": (linked("r.hea", "/dev/zero"), "plain file"),
    "a header that is a loop": (linked("r.hea", "r.hea"), "r.hea"),
    "a header that is a pipe": (piped("r.hea"), "plain file"),
    "signals that are a link out": (linked("r.dat", "/etc/passwd"), "link"),
    "signals that are /dev/zero": (linked("r.dat", "/dev/zero"), "plain file"),
    "signals that are a pipe": (piped("r.dat"), "plain file"),
    "annotations that are a link out": (linked("r.atr", "/etc/passwd"), "link"),
    "annotations that are a pipe": (piped("r.atr"), "plain file"),
    "annotations that end in an interval": (marked(mark(5000, "N")[:3]), "cut short"),
    "annotations without end": (marked(b"\x01\x04" * 2000), "cut short"),
    "a time resolution of none": (marked(note("## time resolution: 0")), "time resolution"),
    "a time resolution of 1e-300 Hz": (marked(note("## time resolution: 1e-300")), "time resolution"),
    "a time resolution of 1e308 Hz": (marked(note("## time resolution: 1e308")), "time resolution"),
    "a time resolution of 1e999 Hz": (marked(note("## time resolution: 1e999")), "time resolution"),
    "a time resolution that is a command": (marked(note("## time resolution: \x1b[2J\x9b")), "time resolution"),
}


class Bounded:
    """Time, memory and the files that were opened of what is done inside."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def __enter__(self) -> None:
        tracemalloc.start()
        self._begun = time.monotonic()
        opened.append([])

    def __exit__(self, *_: object) -> None:
        names = opened.pop()
        spent = time.monotonic() - self._begun
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert spent < LONGEST_S
        assert peak < HALF_A_GB
        outside = [name for name in names if not Path(os.path.realpath(name)).is_relative_to(self._folder)]
        assert not [name for name in outside if not name.endswith((".py", ".pyc", ".so"))], outside


def expect_sentence(error: InputError, folder: Path) -> None:
    assert str(folder) in error.what
    assert error.what.isprintable() and error.mend.isprintable() and error.mend
    assert len(error.what) < 3000


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if "bomb" in name else []) for name in TABLE]
)
def test_a_hostile_record(name: str, tmp_path: Path) -> None:
    damage, said = TABLE[name]
    stem = make(tmp_path)
    load(stem)
    damage(tmp_path)
    with Bounded(tmp_path), pytest.raises(InputError) as refused:
        load(stem)
    expect_sentence(refused.value, tmp_path)
    assert said in refused.value.what.replace(str(tmp_path), "")


def within(folder: Path) -> None:
    (folder / "other.dat").write_bytes((folder / "r.dat").read_bytes())
    linked("r.dat", "other.dat")(folder)


def renamed(folder: Path) -> None:
    """As a file that was given another name."""
    header = folder / "r.hea"
    header.write_text(header.read_text().replace("r 2", "other 2"))


HARMLESS: dict[str, Callable[[Path], object]] = {
    "another record's name": renamed,
    "a link inside the folder": within,
    "lines that nobody announced": lambda folder: (folder / "r.hea").open("a").write("x\n" * 10_000),
    "long comments": lambda folder: (folder / "r.hea").open("a").write("# " + "c" * 100_000 + "\n"),
    "what follows the end of the annotations": lambda folder: (folder / "r.atr").open("ab").write(bytes(100_000)),
    "marks far outside": marked(annotations([50, 2**31 - 1, -(2**30)], "NNN")),
    "a definition of a symbol that is a command": marked(
        mark(0, '"', "42 \x1b[2J x")
        + b"\x00\xec\xff\xff\xff\xff\x01\x00"
        + (42 << 10 | 100).to_bytes(2, "little")
        + b"\0\0"
    ),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_odd_and_harmless(name: str, tmp_path: Path) -> None:
    stem = make(tmp_path)
    HARMLESS[name](tmp_path)
    with Bounded(tmp_path):
        record, _ = load(stem)
    assert record.digital.shape == (2, LENGTH)


@pytest.mark.parametrize("file", [*NAMES, "a" * 900, "x\x9b"])
def test_a_survey_looks_at_no_other_file(file: str, tmp_path: Path) -> None:
    """Before a record is read its files are listed: those that a header names as well."""
    write_mitbih(tmp_path)
    header = tmp_path / "mitdb" / "100.hea"
    header.write_text(header.read_text().replace("100.dat", file))
    spec: Any = study_of({"data": BEATS_DATA}["data"]).data
    with Bounded(tmp_path):
        beats_survey(spec, tmp_path / "mitdb")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """The bytes of three sound records, by format."""
    records = {}
    for fmt in ("16", "212", "310"):
        folder = tmp_path_factory.mktemp(fmt)
        load(make(folder, fmt))
        records[fmt] = {path.name: path.read_bytes() for path in folder.iterdir()}
    return records


TOKENS = (
    *("0", "-1", "1e308", "-1e-308", "NaN", "inf", "9" * 40, "9" * 5000, "16x65536", "212", "8", "516", "16+9999999"),
    *("16:99999999", "../r.dat", "/dev/zero", "~", "-", "r.hea", "r.atr", "\x1b[2J", "\u202e", "", "#", "\n", "\0"),
    *("200(9999999999)/mV", "200/", "(", "1/2", "r/2", "0/mV", "\udcff"),
)


def damaged(files: dict[str, bytes], rng: random.Random) -> dict[str, bytes]:
    """The files of a record after one to four damages at random."""
    files = dict(files)
    for _ in range(rng.randint(1, 4)):
        name = rng.choice(["r.hea", "r.hea", "r.hea", "r.atr", "r.dat"])
        raw = bytearray(files[name])
        how = rng.randrange(6)
        if not raw:
            continue
        if how == 0:
            raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        elif how == 1:
            del raw[rng.randrange(len(raw)) :]
        elif how == 2:
            at = rng.randrange(len(raw))
            raw[at:at] = rng.randbytes(rng.randint(1, 40))
        elif how == 3:
            at = rng.randrange(len(raw))
            del raw[at : at + rng.randint(1, 40)]
        elif how == 4:
            at = rng.randrange(len(raw))
            raw[at:at] = raw[: rng.randint(1, len(raw))]
        elif name == "r.hea":
            words = raw.split(b" ")
            words[rng.randrange(len(words))] = rng.choice(TOKENS).encode("utf-8", "surrogateescape")
            raw = bytearray(b" ".join(words))
        else:
            raw[:] = rng.randbytes(rng.randint(0, 3000))
        files[name] = bytes(raw)
    return files


@pytest.mark.parametrize("block", range(10))
def test_thirty_random_damages(block: int, sound: dict[str, dict[str, bytes]], tmp_path: Path) -> None:
    refused = 0
    for seed in range(30 * block, 30 * (block + 1)):
        rng = random.Random(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        for name, data in damaged(sound[rng.choice(list(sound))], rng).items():
            (folder / name).write_bytes(data)
        with Bounded(folder):
            try:
                load(folder / "r")
            except InputError as error:
                expect_sentence(error, folder)
                refused += 1
    assert 5 < refused < 30  # the damages bite, and not all of them


@pytest.fixture(autouse=True)
def nothing_beyond_four_gb() -> Iterator[None]:
    """What grows without bound fails at once, rather than taking the machine with it."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (4 << 30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_DATA, before)


def test_the_bytes_of_a_signal_file_are_any_bytes(tmp_path: Path) -> None:
    """Of a length and a checksum that fit: they are samples, whatever they are."""
    stem = make(tmp_path)
    samples = np.random.default_rng(2).integers(-(2**15) + 1, 2**15, LENGTH).astype(np.int64)
    (tmp_path / "r.dat").write_bytes(encode(samples, "16"))
    headed(f"r 1 250 {LENGTH}\nr.dat 16 20000 16 0 0 {int(samples.sum()) % 65536} 0 II\n")(tmp_path)
    assert np.array_equal(load(stem)[0].digital[0], samples)


def rewritten(name: str, before: str, after: str) -> Callable[[Path], object]:
    def rewrite(folder: Path) -> None:
        path = folder / name
        text = path.read_text("utf-8")
        assert before in text
        path.write_text(text.replace(before, after), "utf-8")

    return rewrite


DATABASE, STATEMENTS = "ptbxl_database.csv", "scp_statements.csv"
LISTED = "records100/00000/00005_lr"
TABLES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a table of a terabyte": (sparse(DATABASE, 1 << 40), "more than"),
    "a table that is a pipe": (piped(STATEMENTS), "plain file"),
    "a table that is a link out": (linked(DATABASE, "/etc/passwd"), "link"),
    "a column's name of a megabyte": (rewritten(DATABASE, "ecg_id", "e" * 1_000_000), "not csv"),
    "a cell of a megabyte": (rewritten(DATABASE, LISTED, "r" * 1_000_000), "not csv"),
    "a number of a record beyond all": (rewritten(DATABASE, "\n5,", "\n1e300,"), "ecg_id"),
    "a patient beyond all": (rewritten(DATABASE, "105.0", "9" * 400), "patient_id"),
    "a patient that is no number": (rewritten(DATABASE, "105.0", "inf"), "patient_id"),
    "codes nested deep": (rewritten(DATABASE, "{'NORM': 100.0, ", "{" + "[" * 5000), "scp_codes"),
    "codes that are a command": (rewritten(DATABASE, "{'NORM': 100.0, ", "{'\x1b[2J': 1, "), "SCP code"),
    "codes that are a program": (rewritten(DATABASE, "{'NORM': 100.0, ", "__import__('os').abort() or {"), "scp_codes"),
    "a record outside": (rewritten(DATABASE, LISTED, "../00005_lr"), "not a path inside"),
    "a record of anywhere": (rewritten(DATABASE, LISTED, "/etc/passwd"), "not a path inside"),
    "a record with a NUL": (rewritten(DATABASE, LISTED, "a\0b"), "not"),
    "a class that is a command": (rewritten(STATEMENTS, "1.0,NORM", "1.0,\x1b[2J"), "diagnostic_class"),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_hostile_table(name: str, tmp_path: Path) -> None:
    damage, said = TABLES[name]
    write_ptbxl(tmp_path)
    folder = tmp_path / "ptb-xl"
    superclass_rows(folder)
    damage(folder)
    with Bounded(tmp_path), pytest.raises(InputError) as refused:
        superclass_rows(folder)
    assert refused.value.what.replace("\n", "").isprintable() and str(folder) in refused.value.what
    assert said in refused.value.what.replace(str(tmp_path), "")


def superclass_rows(folder: Path) -> list[RecordRow]:
    statements = statements_in(folder / STATEMENTS, columns_of(SUPERCLASS))
    return rows_in(folder / DATABASE, task_of(SUPERCLASS, statements, 0, STATEMENTS))


@pytest.mark.parametrize("likelihood", ["'\\ud800'", "1e999", "[[]]", "None", "b'x'", "9" * 400])
def test_a_likelihood_that_is_none_is_not_looked_at(likelihood: str, tmp_path: Path) -> None:
    write_ptbxl(tmp_path)
    folder = tmp_path / "ptb-xl"
    rewritten(DATABASE, "{'NORM': 100.0, ", f"{{'NORM': {likelihood}, ")(folder)
    assert len(superclass_rows(folder)) == 12
