"""What an engine says when it does not open or run a file, made fit for people: the end that says something, and what
to do about it.

In comes a message or an exception of an engine; out come one line without control characters (an engine repeats names
from a stranger's file, and a terminal obeys some of them) and, where the message is a known one, advice. ONNX Runtime
puts its error code, the file's path and the C++ signature of the function that failed before the sentence, LiteRT the
place in its sources. A message that is still too long loses its middle.
"""

from __future__ import annotations

import re
from typing import Any

LONGEST = 300  # characters of a message that is kept
HEAD = 100  # of them from its beginning, where it had to be cut
READ = 6000  # characters that are looked at: all of a message that somebody wrote, not all of a hostile one
# What comes before the sentence: the code and the path; a source file with its line, and the C++ function there.
_CODE = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : (?:Load model from .*? failed: ?)?")
_PLACE = re.compile(
    r"(?:[\w./~-]*/)?\w[\w.-]*\.(?:cc|cpp|h|cu):\d+:? "
    r"(?:[\w:<>~&*, ]{0,120}?[\w>]::~?\w+\((?:[^()\"']|\([^()\"']*\))*\)(?: const)?(?: \[with [^\]]*\])? )?"
)

# (what a message holds, what to do), the first that fits. Seen with ONNX Runtime 1.31 and LiteRT; older ones say the
# same words.
_ADVICE = (
    (
        r"Unsupported model IR version",
        "export it again with a lower IR version (onnx.save after model.ir_version = N, or an older onnx), or update "
        "the engine",
    ),
    (
        r"[Oo]pset \d+ is under development|support for domain \S+ is till opset",
        "export it again with a lower operator set (opset_version of torch.onnx.export), or update the engine",
    ),
    (
        r"No Op registered for|is not a registered function/op|No opset import for domain|Could not find an "
        r"implementation for",
        "export it again with another operator set (opset_version of torch.onnx.export), or without that operator",
    ),
    (
        r"External data|external data|cannot get file size|model_path must not be empty",
        "copy the file that holds its weights beside it, or save the model with its weights inside",
    ),
    (
        r"[Uu]nresolved custom op|Select TensorFlow op|Flex\w+",
        "convert it with the operators of TFLite only (target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS])",
    ),
    (
        r"Didn't find op for builtin opcode|[Uu]nresolved-ops|Registration failed|newer model",
        "convert it with an older converter, or update the engine: this one does not have that version of an operator",
    ),
    (
        r"Protobuf parsing failed|INVALID_PROTOBUF|identifier '",
        "copy the file again, or export it again: it is damaged",
    ),
    (
        r"bad_alloc|[Ff]ailed to allocate|out of memory",
        "make it smaller and export it again: it does not fit into the memory here",
    ),
)


def printable(text: str) -> str:
    """The text without what a terminal, a page or a spreadsheet would obey: each control, format or bidirectional
    character, each line end, and each half of a surrogate pair (of a file name that is not UTF-8) becomes a space."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else " " for letter in text)


def printable_lines(text: str) -> str:
    """:func:`printable` of each line: of what is not printable, line feeds alone stay."""
    return "\n".join(map(printable, text.split("\n")))


def one_line(error: Any, longest: int = LONGEST) -> str:
    """An engine's message in one line of at most ``longest`` characters, the part that says something first.

    ``error``: an exception, or its text. An empty one is called by its type.
    """
    text = " ".join(printable(shortened(str(error), READ)).split())
    for before in (_CODE, _PLACE):
        text = before.sub("", text)
    text = text.strip() or type(error).__name__
    return shortened(text, longest)


def shortened(text: str, longest: int) -> str:
    """The text, without its middle where it is longer than ``longest``: the cause stands at an end, rarely between."""
    if len(text) <= longest:
        return text
    head = min(HEAD, longest // 3)
    return f"{text[:head].rstrip()} ... {text[len(text) - (longest - head - 5) :].lstrip()}"


def advice(said: str) -> str | None:
    """What to do about a message of an engine; None for one that is not known."""
    return next((mend for words, mend in _ADVICE if re.search(words, said)), None)


def explained(error: Any) -> str:
    """:func:`one_line`, and behind it what to do where that is known."""
    said = one_line(error)
    mend = advice(said)
    return said if mend is None else f"{said.rstrip('.')}; {mend}"
