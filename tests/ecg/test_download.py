"""`make data` against a real HTTP server on this machine that misbehaves by script (:mod:`tests.ecg.http_making`)."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from pulseproof.core.errors import InputError
from pulseproof.ecg import download as ecg_download
from pulseproof.ecg import transfer
from pulseproof.ecg.download import MEMO, Summary, download
from pulseproof.ecg.physionet import DATABASES, SUMS, named, read_sums
from pulseproof.ecg.transfer import CHUNK, KeptSession, Retry, StoppedError, TransferError, partial_path
from tests.ecg.http_making import (
    DAT,
    FAST,
    LONG,
    MIT,
    NST,
    PTB,
    WANTED,
    Deed,
    Handler,
    Tree,
    break_off,
    break_off_silently,
    expected,
    final,
    found,
    hang_up,
    long_redirect,
    noise,
    other_range,
    redirect,
    serving,
    silence,
    status,
    sums_of,
    trickle,
    wrong_bytes,
)


@pytest.fixture
def tree(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tree]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as tree:
        yield tree


@pytest.mark.parametrize(("database", "root"), [("ptb-xl", PTB), ("mitdb", MIT), ("nstdb", NST)])
def test_a_database_arrives_whole_and_the_second_run_asks_only_for_the_list(
    tree: Tree, tmp_path: Path, database: str, root: str
) -> None:
    want = expected(tree, root)
    sizes = sum(len(body) for name, body in want.items() if name != SUMS)
    assert download(database, tmp_path, base_url=tree.address, **FAST) == Summary(len(want) - 1, 0, sizes)
    assert found(tmp_path / database) == want
    tree.log.clear()
    assert download(database, tmp_path, base_url=tree.address.rstrip("/"), **FAST) == Summary(0, len(want) - 1, 0)
    assert tree.log == [(f"/{root}{SUMS}", None)]
    assert found(tmp_path / database) == want


def test_any_database_arrives_whole_by_its_name_and_version(tree: Tree, tmp_path: Path) -> None:
    """Whole, less what bears the names of a downloader's own files, with the guarantees of those in the table."""
    root = "brugada-huca/2.1/"
    want = {f"files/{n}/{n}.dat": noise(n, 700 + n) for n in range(5)} | {"RECORDS": b"files/1/1\n", "notes.pdf": b"x"}
    hostile = {MEMO: b"{}", "sub/.verified.json": b"{}", "a.dat.partial": b"p", "b.dat.set-aside": b"q", SUMS: b"s"}
    tree.files |= {root + name: body for name, body in (want | hostile).items()}
    tree.files[root + SUMS] = sums_of(tree.files, root)
    tree.deeds[root + "files/3/3.dat"] = [wrong_bytes, hang_up]
    done = download("brugada-huca@2.1", tmp_path, base_url=tree.address, **FAST)
    assert done == Summary(len(want), 0, sum(map(len, want.values())))
    assert found(tmp_path / "brugada-huca") == want | {SUMS: tree.files[root + SUMS]}
    tree.log.clear()
    (tmp_path / "brugada-huca" / "notes.pdf").write_bytes(b"mine")
    assert download("brugada-huca@2.1", tmp_path, base_url=tree.address, **FAST) == Summary(1, len(want) - 1, 1)
    assert [path for path, _ in tree.log] == [f"/{root}{SUMS}", f"/{root}notes.pdf"]
    assert (tmp_path / "brugada-huca" / "notes.pdf.set-aside").read_bytes() == b"mine"


def test_a_version_fetches_what_the_table_leaves_out(tree: Tree, tmp_path: Path) -> None:
    download("nstdb@1.0.0", tmp_path, base_url=tree.address, **FAST)
    assert (tmp_path / "nstdb" / "118e24.dat").read_bytes() == b"noisy"
    assert not named("nstdb").wants("118e24.dat")


def test_a_list_without_files_is_no_database(tree: Tree, tmp_path: Path) -> None:
    tree.files["empty/1.0/" + SUMS] = b"\n"
    with pytest.raises(InputError, match="lists no file"):
        download("empty@1.0", tmp_path, base_url=tree.address, **FAST)
    with pytest.raises(InputError, match=r"afdb/9\.9\.9/SHA256SUMS\.txt: .*404"):
        download("afdb@9.9.9", tmp_path, base_url=tree.address, attempts=1, **FAST)
    assert final(tmp_path) == {}


@pytest.mark.real
@pytest.mark.parametrize("database", DATABASES)
def test_the_table_of_databases_takes_every_real_file(data_root: Path, database: str) -> None:
    home = data_root / database
    if not home.is_dir():
        pytest.skip(f"no {database} in the data folder")
    about = DATABASES[database]
    names = [path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()]
    left_out = [name for name in names if not about.pattern.fullmatch(name)]
    assert all(name == SUMS or name.startswith((".", "records500/")) for name in left_out)
    assert all(name in names for name in about.needed)


@pytest.mark.real
def test_the_real_list_of_mit_bih_names_48_records(data_root: Path) -> None:
    listed = data_root / "mitdb" / SUMS
    if not listed.is_file():
        pytest.skip("no list of MIT-BIH in the data folder")
    sums = read_sums(listed.read_text(), SUMS)
    wanted = {path: sha for path, sha in sums.items() if DATABASES["mitdb"].pattern.fullmatch(path)}
    assert len(wanted) == 3 * 48 + 2
    for name in ("100.hea", "100.atr", "RECORDS", "ANNOTATORS"):
        assert hashlib.sha256((listed.parent / name).read_bytes()).hexdigest() == wanted[name]


def test_verified_files_are_not_hashed_again_but_changed_ones_are(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    download("mitdb", tmp_path, base_url=tree.address, **FAST)
    home = tmp_path / "mitdb"
    hashed: list[str] = []

    def counting(path: Path) -> str:
        hashed.append(path.name)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr(ecg_download, "sha256_file", counting)
    download("mitdb", tmp_path, base_url=tree.address, **FAST)
    assert hashed == []
    os.utime(home / "100.hea", ns=(1, 1))
    (home / "100.atr").write_bytes(b"spoiled")
    assert download("mitdb", tmp_path, base_url=tree.address, **FAST) == Summary(1, 4, 4000)
    assert sorted(hashed) == ["100.atr", "100.hea"]
    assert final(home) == expected(tree, MIT)


@pytest.mark.parametrize(
    "memo", ["", "[]", '{"100.dat": 1}', '{"100.dat": ["x", 1, 2]}', '{"100.dat": ["x", "y", null]}']
)
def test_a_damaged_memo_costs_time_only(tree: Tree, tmp_path: Path, memo: str) -> None:
    download("mitdb", tmp_path, base_url=tree.address, **FAST)
    (tmp_path / "mitdb" / MEMO).write_text(memo)
    tree.log.clear()
    assert download("mitdb", tmp_path, base_url=tree.address, **FAST).kept == 5
    assert len(tree.log) == 1
    assert len(json.loads((tmp_path / "mitdb" / MEMO).read_text())) == 5


@pytest.mark.parametrize(
    ("deeds", "ranges"),
    [
        pytest.param([break_off], [None, f"bytes={3 * CHUNK}-"], id="truncated, then resumed"),
        pytest.param([break_off, hang_up], [None, f"bytes={3 * CHUNK}-", f"bytes={3 * CHUNK}-"], id="twice"),
        pytest.param([hang_up], [None, None], id="dropped before the answer"),
        pytest.param([wrong_bytes], [None, None], id="wrong hash once"),
        pytest.param([break_off_silently], [None, None], id="truncated without a length"),
        pytest.param([status(503, Retry_After="0")], [None, None], id="503"),
        pytest.param([status(429), status(500), status(502)], [None] * 4, id="429 500 502"),
        pytest.param(
            [break_off, other_range, wrong_bytes], [None, f"bytes={3 * CHUNK}-", None, None], id="another range"
        ),
        pytest.param([break_off, status(200)], [None, f"bytes={3 * CHUNK}-", None], id="an error page with status 200"),
        pytest.param([redirect(f"/{PTB}{DAT}")], [None, None], id="redirect on the same server"),
    ],
)
def test_it_recovers(tree: Tree, tmp_path: Path, deeds: list[Deed], ranges: list[str | None]) -> None:
    tree.deeds[PTB + DAT] = list(deeds)
    assert download("ptb-xl", tmp_path, base_url=tree.address, **FAST).fetched == 7
    assert found(tmp_path / "ptb-xl") == expected(tree, PTB)
    # What lies in a library's buffer when the connection drops may be lost; only whole chunks are promised.
    assert tree.asked(DAT) == ranges


def test_connections_are_kept_for_many_small_files(tree: Tree, tmp_path: Path) -> None:
    small = {f"{MIT}{number:03}.hea": noise(number, 50) for number in range(200, 500)}
    tree.files |= small
    tree.files[MIT + SUMS] = sums_of(tree.files, MIT)
    assert download("mitdb", tmp_path, base_url=tree.address, **FAST).fetched == 305
    assert len(tree.log) == 306
    assert tree.connections <= 1 + FAST["workers"]  # one for the list, one a worker


def test_a_server_without_ranges_starts_over(tree: Tree, tmp_path: Path) -> None:
    tree.ranges = False
    tree.deeds[MIT + "100.dat"] = [break_off]
    download("mitdb", tmp_path, base_url=tree.address, **FAST)
    assert tree.asked("100.dat") == [None, f"bytes={3 * CHUNK}-"]
    assert found(tmp_path / "mitdb") == expected(tree, MIT)


@pytest.mark.parametrize(
    ("left", "ranges"),
    [
        pytest.param(WANTED[MIT + "100.dat"][:1000], ["bytes=1000-"], id="a beginning"),
        pytest.param(WANTED[MIT + "100.dat"], [f"bytes={LONG}-"], id="complete, not yet renamed"),
        pytest.param(b"x" * 1000, ["bytes=1000-", None], id="other bytes"),
        pytest.param(b"x" * (LONG + 5), [f"bytes={LONG + 5}-", None], id="longer than the file"),
        pytest.param(b"", [None], id="empty"),
    ],
)
def test_a_partial_file_of_an_earlier_run(tree: Tree, tmp_path: Path, left: bytes, ranges: list[str | None]) -> None:
    partial = partial_path(tmp_path / "mitdb" / "100.dat")
    partial.parent.mkdir()
    partial.write_bytes(left)
    partial_path(tmp_path / "mitdb" / SUMS).write_bytes(b"half a list")
    download("mitdb", tmp_path, base_url=tree.address, **FAST)
    assert tree.asked("100.dat") == ranges
    assert found(tmp_path / "mitdb") == expected(tree, MIT)


def test_an_attempt_that_gets_further_is_not_a_failed_one(tree: Tree, tmp_path: Path) -> None:
    def one_more_chunk(handler: Handler, body: bytes) -> None:
        first = int((handler.headers.get("Range") or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        where = {"Content-Range": f"bytes {first}-{len(body) - 1}/{len(body)}"}
        handler.answer(206 if first else 200, body[first : first + CHUNK + 10], where, length=len(body) - first)
        handler.drop()

    tree.deeds[MIT + "100.dat"] = [one_more_chunk] * 5
    download("mitdb", tmp_path, base_url=tree.address, attempts=2, **FAST)
    assert found(tmp_path / "mitdb") == expected(tree, MIT)


@pytest.mark.parametrize(
    ("deed", "requests_made", "reason"),
    [
        pytest.param(status(404), 1, "HTTP 404", id="404"),
        pytest.param(status(403), 1, "HTTP 403", id="403"),
        pytest.param(status(206, Content_Range="bytes 0-4/5"), 1, "HTTP 206", id="a part that was not asked for"),
        pytest.param(wrong_bytes, 2, "wrong SHA-256", id="wrong hash always"),
        pytest.param(status(503), 4, "HTTP 503 Service Unavailable; 4 attempts", id="503 always"),
        pytest.param(hang_up, 4, "Remote end closed connection without response; 4 attempts", id="dropped always"),
        pytest.param(
            redirect("file:///etc/passwd"), 1, "redirected to file:///etc/passwd, which is refused", id="file"
        ),
        pytest.param(redirect("ftp://127.0.0.1/x"), 1, "which is refused", id="ftp"),
        pytest.param(redirect("http://[bad/x"), 1, "not an address", id="bad address"),
        pytest.param(long_redirect, 1, "HTTP 404", id="long body of a redirect"),
        pytest.param(redirect(""), 6, "more than 5 redirects", id="redirect loop"),
    ],
)
def test_a_file_that_cannot_be_had_is_named_and_the_others_arrive(
    tree: Tree, tmp_path: Path, deed: Deed, requests_made: int, reason: str
) -> None:
    tree.deeds[MIT + "100.atr"] = [deed] * 100
    with pytest.raises(InputError) as error:
        download("mitdb", tmp_path, base_url=tree.address, attempts=4, **FAST)
    assert "1 of 5 files are missing" in error.value.what
    assert "100.atr: " in error.value.what
    assert reason in error.value.what
    assert len(tree.asked("100.atr")) == requests_made
    assert final(tmp_path / "mitdb") == expected(tree, MIT, "100.atr")
    tree.deeds.clear()
    tree.log.clear()
    assert download("mitdb", tmp_path, base_url=tree.address, **FAST) == Summary(1, 4, 4000)
    assert len(tree.log) == 2
    assert final(tmp_path / "mitdb") == expected(tree, MIT)


def test_wrong_bytes_under_a_final_name_do_not_stay_when_the_server_fails(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "mitdb").mkdir()
    (tmp_path / "mitdb" / "100.dat").write_bytes(b"wrong")
    tree.deeds[MIT + "100.dat"] = [status(404)]
    with pytest.raises(InputError, match=r"100\.dat: HTTP 404"):
        download("mitdb", tmp_path, base_url=tree.address, **FAST)
    assert final(tmp_path / "mitdb") == expected(tree, MIT, "100.dat")
    assert (tmp_path / "mitdb" / "100.dat.set-aside").read_bytes() == b"wrong"


def test_a_file_without_end_is_cut_off(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "MAX_FILE_BYTES", len(WANTED[MIT + "100.dat"]))
    cut_off = threading.Event()

    def without_end(handler: Handler, body: bytes) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(1000):
                handler.wfile.write(bytes(1 << 16))
        except OSError:
            cut_off.set()
        handler.close_connection = True

    tree.deeds[MIT + "100.atr"] = [without_end]
    with pytest.raises(InputError, match=r"100\.atr: larger than"):
        download("mitdb", tmp_path, base_url=tree.address, **FAST)
    assert cut_off.wait(30)
    assert found(tmp_path / "mitdb") == expected(tree, MIT, "100.atr")


def test_a_silent_server_times_out(tree: Tree, tmp_path: Path) -> None:
    tree.deeds[MIT + "100.hea"] = [silence] * 2
    with pytest.raises(InputError, match=r"100\.hea: no answer for 0\.2 s; 2 attempts"):
        download("mitdb", tmp_path, base_url=tree.address, attempts=2, backoff_s=0.01, timeout_s=0.2)


def test_when_the_server_is_gone_it_gives_up_early(tree: Tree, tmp_path: Path) -> None:
    names = [f"{number:03}.dat" for number in range(200, 500)]
    for name in names:
        tree.files[MIT + name] = b"x"
        tree.deeds[MIT + name] = [hang_up] * 100
    tree.files[MIT + SUMS] = sums_of(WANTED | dict.fromkeys((MIT + name for name in names), b"x"), MIT)
    with pytest.raises(InputError, match="of 305 files are missing") as error:
        download("mitdb", tmp_path, base_url=tree.address, attempts=1, **FAST)
    tried = {path for path, _ in tree.log if path.removeprefix("/") in tree.deeds}
    assert ecg_download.GIVE_UP_AFTER <= len(tried) < 100
    here = final(tmp_path / "mitdb")
    assert here.items() <= expected(tree, MIT).items()
    assert f" {305 - (len(here) - 1)} of 305 files are missing" in error.value.what


A, B = "a" * 64, "b" * 64


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (f"{A} ../evil", "'../evil', which is refused"),
        (f"{A} /etc/x", "'/etc/x', which is refused"),
        (f"{A} records100/../../evil", "which is refused"),
        (f"{A} a//b", "which is refused"),
        (f"{A} ./a", "which is refused"),
        (f"{A} a/", "which is refused"),
        (f"{A} ..\\evil", "which is refused"),
        (f"{A} C:evil", "which is refused"),
        (f"{A} a\0b", "which is refused"),
        (f"{A} a\x1b[2Jb", "which is refused"),
        (f"{A} a\u202eb", "which is refused"),
        (f"{A} \u0661\u0660\u0660.dat", "which is refused"),
        (f"{A} 100.dat\n{B} 100.dat", "line 2 gives 100.dat another hash"),
        (f"{A} 100.dat\n{A[:-1]} 100.hea", "line 2 is not"),
        (f"{A}", "line 1 is not"),
        ("<!DOCTYPE html>", "line 1 is not"),
        ("", "does not list RECORDS"),
        (f"{A} 100.dat", "does not list RECORDS"),
    ],
)
def test_a_bad_list_is_refused_and_nothing_is_fetched(tree: Tree, tmp_path: Path, text: str, complaint: str) -> None:
    tree.files[MIT + SUMS] = text.encode()
    with pytest.raises(InputError) as error:
        download("mitdb", tmp_path / "data", base_url=tree.address, **FAST)
    assert complaint in error.value.what
    assert len(tree.log) == 1
    assert final(tmp_path) == {}


@given(st.text(min_size=1))
def test_a_path_that_read_sums_takes_stays_inside_its_folder(path: str) -> None:
    try:
        taken = list(read_sums(f"{A} {path}\n", "list"))
    except InputError:
        return
    root = Path("/data/mitdb")
    for name in taken:
        inside = Path(os.path.normpath(root / name))
        assert root in inside.parents
        assert "\\" not in name
        assert name.isprintable()


def test_read_sums_takes_both_forms_of_sha256sum_and_equal_duplicates() -> None:
    text = f"{A} one.dat\r\n{A}  two/three.dat\n\n{B.upper()} *four.dat\n{A} one.dat\n"
    assert read_sums(text, "list") == {"one.dat": A, "two/three.dat": A, "four.dat": B}


@pytest.mark.parametrize(
    ("deeds", "complaint"),
    [
        ([status(404)], "HTTP 404"),
        ([status(503)] * 3, "3 attempts"),
        ([redirect("file:///etc/passwd")], "which is refused"),
        ([lambda handler, body: handler.answer(200, b"\xff\xfe\x00")], "not text"),
    ],
)
def test_no_list_no_download(tree: Tree, tmp_path: Path, deeds: list[Deed], complaint: str) -> None:
    tree.deeds[MIT + SUMS] = list(deeds)
    with pytest.raises(InputError, match=complaint):
        download("mitdb", tmp_path, base_url=tree.address, attempts=3, **FAST)
    assert final(tmp_path) == {}


def test_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as taken:  # bound and not listening: a connection is refused
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(InputError, match="2 attempts"):
            download("mitdb", tmp_path, base_url=f"http://127.0.0.1:{taken.getsockname()[1]}", attempts=2, **FAST)


@pytest.mark.parametrize(
    ("database", "settings", "complaint"),
    [
        ("ptb", {}, "no database 'ptb'"),
        ("ptb@", {}, "no database 'ptb@'"),
        ("../up@1.0.0", {}, "no database '../up@1.0.0'"),
        ("ptbdb@../1", {}, "no database 'ptbdb@../1'"),
        ("ptbdb@1..0", {}, "no database 'ptbdb@1..0'"),
        ("PTB@1.0.0", {}, "no database 'PTB@1.0.0'"),
        ("mitdb", {"base_url": "file:///tmp"}, "not the address"),
        ("mitdb", {"base_url": "physionet.org/files"}, "not the address"),
        ("mitdb", {"base_url": "http://"}, "not the address"),
        ("mitdb", {"base_url": "http://[x"}, "not the address"),
        ("mitdb", {"base_url": "http://a/b?c=d"}, "not the address"),
        ("mitdb", {"workers": 0}, "workers 0"),
        ("mitdb", {"attempts": 0}, "attempts 0"),
        ("mitdb", {"timeout_s": 0.0}, "timeout 0.0"),
    ],
)
def test_wrong_settings(tmp_path: Path, database: str, settings: dict, complaint: str) -> None:
    with pytest.raises(InputError) as error:
        download(database, tmp_path, **settings)
    assert complaint in error.value.what
    assert list(tmp_path.iterdir()) == []


class Recorder(threading.Event):
    """A stop event that notes how long it was waited for, and does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        return self.is_set()


def test_pauses_grow_and_follow_retry_after_within_bounds(tree: Tree, tmp_path: Path) -> None:
    tomorrow = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)
    yesterday = format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)
    asked = ["", "7", tomorrow, yesterday, "soon", "9" * 5000, "-3"]
    tree.deeds[MIT + "100.hea"] = [status(503, **({"Retry_After": text} if text else {})) for text in asked]
    stop = Recorder()
    body = WANTED[MIT + "100.hea"]
    with KeptSession() as session:
        transfer.fetch(
            session,
            f"{tree.address}{MIT}100.hea",
            tmp_path / "100.hea",
            hashlib.sha256(body).hexdigest(),
            Retry(attempts=20, timeout_s=20, backoff_s=1.0),
            stop,
        )
    assert (tmp_path / "100.hea").read_bytes() == body
    first, seven, day, *rest = stop.waits
    assert 0.5 <= first <= 1.0
    assert seven == 7.0
    assert day == transfer.MAX_WAIT_S
    for failures, wait in enumerate(rest, 4):
        assert 2.0 ** (failures - 2) <= wait <= 2.0 ** (failures - 1)


def test_a_stop_ends_the_transfer_and_keeps_what_arrived(tree: Tree, tmp_path: Path) -> None:
    stop = threading.Event()

    def stop_on_the_way(handler: Handler, body: bytes) -> None:
        handler.answer(200, body[: 2 * CHUNK], length=len(body))
        stop.set()
        handler.drop()

    tree.deeds[MIT + "100.dat"] = [stop_on_the_way]
    target = tmp_path / "100.dat"
    with KeptSession() as session, pytest.raises(StoppedError):
        transfer.fetch(session, f"{tree.address}{MIT}100.dat", target, A, Retry(), stop)
    assert not target.exists()
    assert WANTED[MIT + "100.dat"].startswith(partial_path(target).read_bytes())


def test_a_redirect_away_from_tls_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = requests.Response()
    answer.status_code = 302
    answer.raw = io.BytesIO()
    answer.headers["Location"] = "http://127.0.0.1/x"
    with KeptSession() as session:
        monkeypatch.setattr(session, "get", lambda url, **_: answer)
        with pytest.raises(TransferError, match="refused: not https"):
            transfer._get(session, "https://127.0.0.1/x", {}, 1.0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk(tree: Tree, tmp_path: Path) -> None:
    home = tmp_path / "mitdb"
    home.mkdir()
    partial_path(home / "100.dat").symlink_to("/dev/full")
    with pytest.raises(InputError, match="the disk is full") as error:
        download("mitdb", tmp_path, base_url=tree.address, **FAST)
    assert "goes on from here" in error.value.mend
    assert not (home / "100.dat").exists()
    assert final(home).items() <= expected(tree, MIT).items()
    partial_path(home / "100.dat").unlink()
    download("mitdb", tmp_path, base_url=tree.address, **FAST)
    assert found(home) == expected(tree, MIT)


def test_a_folder_in_the_way_and_a_file_in_the_way(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "mitdb" / "100.dat").mkdir(parents=True)
    with pytest.raises(InputError, match=r"100\.dat"):
        download("mitdb", tmp_path, base_url=tree.address, **FAST)
    (tmp_path / "ptb-xl").write_text("not a folder")
    with pytest.raises(InputError, match="ptb-xl"):
        download("ptb-xl", tmp_path, base_url=tree.address, **FAST)


CHILD = """
import sys
from pathlib import Path
from pulseproof.ecg.download import download
download("mitdb", Path(sys.argv[1]), base_url=sys.argv[2], timeout_s=600)
"""


@pytest.fixture
def stuck(tree: Tree, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A download in another process that has everything but the rest of 100.dat, for which it waits."""
    tree.deeds[MIT + "100.dat"] = [trickle]
    command = [sys.executable, "-c", CHILD, str(tmp_path), tree.address]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL) as child:
        partial = partial_path(tmp_path / "mitdb" / "100.dat")
        others = [tmp_path / "mitdb" / name for name in expected(tree, MIT, "100.dat")]
        pause = threading.Event()
        while not (partial.exists() and partial.stat().st_size >= CHUNK and all(path.exists() for path in others)):
            assert child.poll() is None, "the child ended by itself"
            pause.wait(0.02)
        yield child
        child.kill()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_or_interrupted_download_goes_on(
    tree: Tree, tmp_path: Path, stuck: subprocess.Popen[bytes], how: signal.Signals
) -> None:
    with pytest.raises(InputError, match="another download"):
        download("mitdb", tmp_path, base_url=tree.address, **FAST)
    stuck.send_signal(how)
    assert stuck.wait(timeout=60) != 0  # well before its own time-out of 600 s
    assert final(tmp_path / "mitdb") == expected(tree, MIT, "100.dat")
    assert (tmp_path / "mitdb" / MEMO).exists() == (how is signal.SIGINT)
    arrived = partial_path(tmp_path / "mitdb" / "100.dat").stat().st_size
    tree.log.clear()
    assert download("mitdb", tmp_path, base_url=tree.address, **FAST) == Summary(1, 4, LONG)
    assert tree.asked("100.dat") == [f"bytes={arrived}-"]
    assert found(tmp_path / "mitdb") == expected(tree, MIT)
