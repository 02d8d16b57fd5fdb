"""Models from a hub: a local server of the hub's layout, every byte held by a hash, nothing asked for twice."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import ValidationError

from pulseproof.core.errors import InputError
from pulseproof.core.hub import PINS, local_file
from pulseproof.core.study import ModelSpec
from pulseproof.models.brought.before import refuse_unsuitable
from pulseproof.models.brought.named import spec_for
from pulseproof.models.run import task_of, train_study
from pulseproof.models.systems import kind_of
from pulseproof.runtime.files import read_json, sha256_file, write_json
from tests.models.making import small_recordings
from tests.models.test_brought import graph
from tests.models.test_brought import study as asked

COMMIT = "c" * 40
FILE = "hf://hearts/beats/onnx/m.onnx@main"


class Hub:
    """``files`` by "owner/name/path"; ``log`` of what was asked; ``cut``: so many answers end in the middle."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.log: list[str] = []
        self.cut, self.size = 0, 0
        self.address = ""

    def handler(hub) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self.serve(with_body=False)

            def do_GET(self) -> None:
                self.serve(with_body=True)

            def serve(self, with_body: bool) -> None:
                hub.log.append(f"{self.command} {self.path}")
                match = re.fullmatch(r"/(\w+/\w+)/resolve/([\w.-]+)/(.+)", self.path)
                fault = "RepoNotFound" if match is None or match[1] != "hearts/beats" else None
                if match is not None and fault is None:
                    fault = None if match[2] in ("main", COMMIT) else "RevisionNotFound"
                body = hub.files.get(f"{match[1]}/{match[3]}") if match is not None else None
                if fault is not None or body is None:
                    self.answer(404, {"X-Error-Code": fault or "EntryNotFound"}, b"")
                    return
                headers = {"ETag": f'"{hashlib.md5(body).hexdigest()}"', "X-Repo-Commit": COMMIT}
                start = int((self.headers.get("Range") or "bytes=0-")[6:].partition("-")[0])
                if start:
                    headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
                if with_body and hub.cut and not start:
                    hub.cut -= 1
                    self.answer(200, headers, body, len(body) // 2)
                    return
                if hub.size:
                    headers["X-Linked-Size"] = str(hub.size)
                self.answer(206 if start else 200, headers, body[start:], None if with_body else 0)

            def answer(self, status: int, headers: dict[str, str], body: bytes, most: int | None = None) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body if most is None else body[:most])
                self.wfile.flush()
                self.close_connection = most not in (None, 0)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    made = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), made.handler())
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    made.address = f"http://127.0.0.1:{server.server_port}"
    made.files["hearts/beats/onnx/m.onnx"] = graph(tmp_path / "m.onnx").read_bytes()
    monkeypatch.setenv("HF_ENDPOINT", made.address + "/")
    monkeypatch.setenv("PULSEPROOF_HUB", str(tmp_path / "hub"))
    yield made
    server.shutdown()


@pytest.fixture
def here(hub: Hub) -> str:
    return hashlib.sha256(hub.files["hearts/beats/onnx/m.onnx"]).hexdigest()


def test_the_first_fetch_says_the_line_to_add_and_notes_the_hash(
    hub: Hub, here: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = local_file("theirs", ModelSpec(file=FILE))
    assert path.suffix == ".onnx" and sha256_file(path) == here
    said = "".join(capsys.readouterr())
    assert "under [models.theirs] add" in said and f'sha256 = "{here}"' in said
    (pin,) = read_json(tmp_path / "hub" / PINS).items()
    assert pin[0] == f"{hub.address}/hearts/beats/resolve/main/onnx/m.onnx" and pin[1]["sha256"] == here
    asked = len(hub.log)
    assert (
        local_file("theirs", ModelSpec(file=FILE)) == path
        and local_file("t", ModelSpec(file=FILE, sha256=here)) == path
    )
    assert len(hub.log) == asked, "what is here is not asked for again"
    assert not "".join(capsys.readouterr())


def test_a_pinned_file_is_fetched_without_a_word(hub: Hub, here: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert sha256_file(local_file("theirs", ModelSpec(file=FILE, sha256=here))) == here
    assert "sha256" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("pinned", [True, False])
def test_other_bytes_than_those_that_are_pinned_are_refused(hub: Hub, here: str, pinned: bool, tmp_path: Path) -> None:
    spec = ModelSpec(file=FILE, sha256=here if pinned else None)
    path = local_file("theirs", spec)
    path.write_bytes(b"spoilt on the disk")
    hub.files["hearts/beats/onnx/m.onnx"] = graph(tmp_path / "m.onnx", listed=True).read_bytes()
    other = hashlib.sha256(hub.files["hearts/beats/onnx/m.onnx"]).hexdigest()
    with pytest.raises(InputError, match=f"the hub sends a file with the SHA-256 {other}, .* {here}") as error:
        local_file("theirs", spec)
    assert "name a commit" in error.value.mend
    with pytest.raises(InputError, match="the study pins"):
        local_file("theirs", ModelSpec(file=FILE, sha256="0" * 64))


def test_a_note_that_names_a_file_elsewhere_deletes_nothing(hub: Hub, here: str, tmp_path: Path) -> None:
    local_file("theirs", ModelSpec(file=FILE))
    own = tmp_path / "own.onnx"
    own.write_bytes(b"not the hub's")
    (address,) = read_json(tmp_path / "hub" / PINS)
    write_json(tmp_path / "hub" / PINS, {address: {"sha256": here, "path": str(own)}})
    assert sha256_file(local_file("theirs", ModelSpec(file=FILE))) == here
    assert own.read_bytes() == b"not the hub's"


def test_a_transfer_that_breaks_goes_on(hub: Hub, here: str) -> None:
    hub.cut = 1
    assert sha256_file(local_file("theirs", ModelSpec(file=FILE, sha256=here))) == here


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("hf://hearts/none/m.onnx@main", "has no hearts/none"),
        ("hf://hearts/beats/onnx/m.onnx@v9", "it has no revision 'v9'"),
        ("hf://hearts/beats/m.tflite@main", "that revision has no m.tflite"),
    ],
)
def test_what_the_hub_has_not_is_said(hub: Hub, file: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(said)) as error:
        local_file("theirs", ModelSpec(file=file))
    assert f"[models.theirs]: {file}" in str(error.value)
    assert not (tmp_path / "hub" / PINS).exists()


def test_a_hub_that_is_not_there_and_a_file_of_gigabytes_are_refused(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.size = 3 << 30
    with pytest.raises(InputError, match="it has more than 2 GiB"):
        local_file("theirs", ModelSpec(file=FILE))
    assert not [each for each in hub.log if each.startswith("GET")]
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)  # it tries for half a minute
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"cannot be fetched from http://127\.0\.0\.1:9") as error:
        local_file("theirs", ModelSpec(file=FILE))
    assert "HF_ENDPOINT" in error.value.mend


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("hf://hearts/beats/m.onnx", "the revision is missing"),
        ("hf://beats/m.onnx@main", "write hf://owner/name/file.onnx@revision"),
        ("hf://hearts/beats/../../m.onnx@main", "write hf://owner/name/file.onnx@revision"),
        ("hf://hearts/beats/m.pt@main", "match pattern"),
        ("m.onnx@main", "is no .onnx, .tflite or .skops file"),
    ],
)
def test_an_address_that_is_none_is_said_at_once(file: str, said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        ModelSpec(file=file)
    if file.startswith("hf"):
        with pytest.raises(InputError, match=re.escape(said)):
            spec_for(file)


def test_a_hash_goes_with_a_hub_and_the_kind_is_that_of_the_file() -> None:
    with pytest.raises(ValidationError, match=r"it goes with file = 'hf://\.\.\.'"):
        ModelSpec(file="m.onnx", sha256="0" * 64)
    assert spec_for(FILE).suffix == ".onnx" and kind_of("theirs", spec_for(FILE)) == "deep"
    assert kind_of("theirs", ModelSpec(file="hf://hearts/beats/m.skops@v1.0")) == "classical"


def test_a_study_takes_it_as_its_own(hub: Hub, here: str, tmp_path: Path) -> None:
    recordings = small_recordings(tmp_path)
    study = asked(theirs={"file": FILE, "sha256": here})
    with pytest.raises(InputError, match=r"hf://hearts/beats/onnx/m\.onnx@main: its input is"):  # of 12 leads
        refuse_unsuitable(study, tmp_path / "build")
    taken = train_study(study, recordings, tmp_path / "build")["theirs"]
    assert sha256_file(tmp_path / "build" / study.name / "models" / "theirs" / "given.onnx") == here
    assert task_of(recordings).classes and taken.module is not None
