"""The two ways a command ends badly, and the exit status of each.

``InputError`` (status 2): something that came in is wrong: a file, a setting, a name. ``NotHeldError`` (status 1): the
command ran, and what it was asked to show does not hold. Anything else that escapes is a defect of Pulseproof.
"""

from __future__ import annotations

from pulseproof.runtime.words import printable_lines, shortened

LONGEST = 4000  # characters: what repeats a stranger's file cannot flood a terminal, a page or a report


class InputError(Exception):
    """Bad input. ``what`` names the file (or setting) and what is wrong with it, ``mend`` says what to do. Both repeat
    what strangers wrote, without what a terminal or a page would obey."""

    def __init__(self, what: str, mend: str) -> None:
        what, mend = shortened(printable_lines(what), LONGEST), shortened(printable_lines(mend), LONGEST)
        super().__init__(f"{what}\n  {mend}")
        self.what = what
        self.mend = mend

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str]]:  # so that it comes back from another process
        return InputError, (self.what, self.mend)


class NotHeldError(Exception):
    """The run completed, and a gate or a comparison failed."""
