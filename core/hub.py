"""A trained model from a hub: ``file = "hf://owner/name/path.onnx@revision"``, fetched once, and held by its hash.

In comes a study's ``[models.<name>]``; out comes the path of its file on this machine. What is fetched is what the
study's ``sha256`` says, byte for byte: a branch or a tag may be moved to another file, and numbers of two files would
stand under one name. Without that key the first fetch notes the hash beside the files (:data:`PINS`) and says the line
to add; from then on the noted one holds. A file that is here, with the bytes that it must have, is not asked for again.

``huggingface_hub`` does the transfer: it resumes, and knows the user's token and proxy. ``HF_ENDPOINT`` names another
hub of the same layout (``<endpoint>/<owner>/<name>/resolve/<revision>/<path>``).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pulseproof.core.cache import cache_folder
from pulseproof.core.errors import InputError
from pulseproof.core.studies.hub_files import HubFile, hub_file
from pulseproof.core.study import ModelSpec
from pulseproof.core.terminal.console import say
from pulseproof.runtime.files import read_json, sha256_file, write_json
from pulseproof.runtime.words import explained

FOLDER = "PULSEPROOF_HUB"  # names another folder for what was fetched
ENDPOINT, HUB = "HF_ENDPOINT", "https://huggingface.co"
PINS = "pins.json"  # {address: {"sha256", "path"}} of what was fetched
MAX_BYTES = 2 << 30  # more than one protobuf message or one flatbuffer can hold is no file of ours


def local_file(name: str, spec: ModelSpec) -> Path:
    """Where the ``file`` of a model is: the path that the study says, or that of a hub's file, which is fetched where
    it is not here. Raises InputError when it cannot be had, or its bytes are not those that the study pins."""
    asked = hub_file(spec.file or "")
    if asked is None:
        return Path(spec.file or "")
    what, folder = f"[models.{name}]: {spec.file}", hub_folder()
    endpoint = os.environ.get(ENDPOINT, HUB).rstrip("/")
    address = f"{endpoint}/{asked.repository}/resolve/{asked.revision}/{asked.path}"
    noted = _pins(folder).get(address, {})
    pinned = spec.sha256 or noted.get("sha256")
    here = Path(noted.get("path", ""))
    if pinned is not None and here.is_file() and sha256_file(here) == pinned:
        return here
    if here.is_file() and here.resolve().is_relative_to(folder.resolve()):  # spoilt; whatever stands in the notes, ours
        for spoilt in (here.resolve(), here):  # the bytes, and the name that links to them
            spoilt.unlink(missing_ok=True)
    path = _fetched(asked, endpoint, folder, what)
    found = sha256_file(path)
    if pinned is not None and found != pinned:
        whose = "the study pins" if spec.sha256 else f"{folder / PINS} notes of the first time"
        raise InputError(
            f"{what}: the hub sends a file with the SHA-256 {found}, {whose} {pinned}",
            "a branch or a tag may have been moved: name a commit, or look at the new file and pin that one",
        )
    if spec.sha256 is None:
        say(f'{what}: fetched; pin it: under [models.{name}] add\n    sha256 = "{found}"')
    try:
        write_json(folder / PINS, {**_pins(folder), address: {"sha256": found, "path": str(path)}})
    except OSError as error:
        raise InputError(f"{folder / PINS}: cannot be written ({error.strerror})", f"set {FOLDER}") from None
    return path


def hub_folder() -> Path:
    """Where files of hubs are kept: ``PULSEPROOF_HUB``, else a folder of the user's caches."""
    return Path(os.environ.get(FOLDER) or cache_folder() / "hub")


def _pins(folder: Path) -> dict[str, dict[str, str]]:
    try:
        found = read_json(folder / PINS)
    except (OSError, ValueError):  # none yet, or damaged: then files are fetched again
        return {}
    return {str(key): value for key, value in found.items() if isinstance(value, dict)} if found else {}


def _fetched(asked: HubFile, endpoint: str, folder: Path, what: str) -> Path:
    """The file, from the hub or from what the folder has of it."""
    for name in ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_PROGRESS_BARS"):
        os.environ.setdefault(name, "1")
    from huggingface_hub import errors, hf_hub_download  # late: few studies name a hub

    where: dict[str, Any] = {
        "repo_id": asked.repository,
        "filename": asked.path,
        "revision": asked.revision,
        "cache_dir": folder,
        "endpoint": endpoint,
    }
    try:
        size = hf_hub_download(**where, dry_run=True).file_size
        if size is not None and size > MAX_BYTES:
            raise InputError(f"{what}: it has more than 2 GiB", "a wearable has no room for it: make it smaller")
        return Path(hf_hub_download(**where))
    except errors.GatedRepoError:
        raise InputError(f"{what}: its owner gives it to those who ask", "ask there, then: hf auth login") from None
    except errors.RepositoryNotFoundError:
        raise InputError(
            f"{what}: {endpoint} has no {asked.repository}, or shows it to its owner alone",
            "look at the spelling; for a private one: hf auth login",
        ) from None
    except errors.RevisionNotFoundError:
        raise InputError(f"{what}: it has no revision {asked.revision!r}", "name a commit, a tag or a branch") from None
    except errors.RemoteEntryNotFoundError:
        raise InputError(f"{what}: that revision has no {asked.path}", "look at the files of the repository") from None
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise InputError(
            f"{what}: cannot be fetched from {endpoint}: {explained(error)}",
            f"check the network, or name another hub: {ENDPOINT}=https://...",
        ) from None
    except (OSError, ValueError) as error:  # the disk; an answer that is none
        raise InputError(f"{what}: cannot be fetched from {endpoint}: {explained(error)}", "try again") from None
