"""Remove from a device what we put there, and nothing else.

In come a device and a study's bundle; out goes a line that says what was removed. Only a folder with our marker in it
is ours (:mod:`bench.devices.session`); a link is removed by nobody but its owner, and none is followed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pulseproof.bench.devices.connection import Connection
from pulseproof.bench.devices.session import FOREIGN, MARKER, Session
from pulseproof.bench.devices.spec import DeviceSpec
from pulseproof.core.errors import InputError

# $1: the folder of all studies, $2: that of this one, $3: the marker. The virtual environment goes with the last study.
REMOVE = f"""
if test -h "$2"; then echo {FOREIGN}
elif test -f "$2/$3"; then rm -rf -- "$2" && echo removed || exit 1
elif test -e "$2"; then echo {FOREIGN}
else echo nothing; fi
venv=$1/venv
if test -h "$venv" || ! test -f "$venv/$3"; then exit 0; fi
for each in "$1"/*/"$3"; do
    if test -f "$each" && test "$each" != "$venv/$3"; then exit 0; fi
done
rm -rf -- "$venv"
"""


def forget(device: DeviceSpec, bundle: Path, say: Callable[[str], None], connection: Connection | None = None) -> None:
    """Remove what was put there for this study; with the last study, the virtual environment that --setup made."""
    session = Session(connection or Connection(device, say), bundle, bundle.parent / "results")
    session.settle()
    arguments = ["sh", "-c", REMOVE, "sh", session.folder, session.home, MARKER]
    said = session.ask(arguments, b"", "cleaning", within_s=session.connection.slow_s).strip()
    if said == FOREIGN.encode():
        raise InputError(f"{device.address}: {session.home} there has no {MARKER}", "it is not ours: remove it by hand")
    if said not in (b"removed", b"nothing"):
        raise session.odd("cleaning", said, "'removed'")
    say(f"{said.decode()} {session.home}")
