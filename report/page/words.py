"""The words of the page: its glossary, and the words and signs that stand in the tables of results.

In comes an :class:`~report.numbers.evaluation.Evaluation`; out come what a legend says, the notes on files, each once,
and the section of the glossary. A page that was sent by mail has no documentation beside it, so it brings its glossary
along: those lines of docs/glossary.md that it needs, against which a test holds them.
"""

from __future__ import annotations

from collections.abc import Sequence

from pulseproof.report.numbers.attacked_through import Made
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.pivot import DeviceLine
from pulseproof.report.numbers.rows import latency_marks
from pulseproof.report.page.markup import Section, section
from pulseproof.report.tables.remarks import any_proved

AT_MOST = "\u2264"  # before an AUC: an attack was not measured
# By where an attack was made: the word in a table, and what it means.
MADE: dict[Made, tuple[str, str]] = {
    "white-box": ("direct", "made on this very model, by its gradient"),
    "twin": ("own graph", "made through the deployed file's own graph"),
    "from its float parent": ("parent", "made on the float file that this one comes from"),
    "queries": ("queries", "made by asking the file for scores, without a gradient"),
    "another file": ("sibling", "made on another file of the same model"),
    "ensemble": ("ensemble", "made on all the other models together"),
    "transfer": ("transfer", "made on another model"),
}
# By control.
NOISE_WORDS = {
    "random-sign": ("signs", "random signs, of the same largest change"),
    "gaussian": ("white", "white noise of the same energy"),
    "noise-bw": ("wander", "baseline wander of the same energy"),
    "noise-em": ("electrode", "electrode motion of the same energy"),
    "noise-ma": ("muscle", "muscle noise of the same energy"),
}

WORDS = (
    (
        "artifact",
        "one exported file of a model, named by its recipe: cnn/tflite-int8-static. What is measured, "
        "attacked and shipped",
    ),
    ("attacked AUC", "the AUC on an adversarial signal set; the table shows the lowest over all sources and methods"),
    ("AUC", "macro average over classes of the one-vs-rest area under the ROC curve: how well scores rank recordings"),
    (
        "audit",
        "the attacks of a study repeated with more effort, other starts and other objectives, to find those "
        "not to be believed: make audit",
    ),
    ("budget", "how far an attack may move any sample, in millivolts (budget_mv), in whole steps of the recorder"),
    ("clean", "of the test recordings as they are"),
    ("control", "noise of the same budget or energy: an attack that is not surely below it found nothing"),
    (
        "delta",
        'the largest difference of AUC that does not matter ([bench] delta, .01): "no difference" means none as large',
    ),
    (
        "deployed file",
        "an artifact that is attacked itself, through its twin or by queries, and not only through its float parent",
    ),
    (
        "evidence",
        "where a number comes from: measured-on-device, measured-on-host, emulated-count, compiler-estimate; "
        "or not-applicable, with the reason",
    ),
    (
        "flag",
        "a sign that an attack was weak, so that its number proves nothing: no-better-than-noise, transfer-"
        "stronger, ...",
    ),
    ("float parent", "the float file that a quantized one is held against, of the same model and format"),
    ("front", "the files that no other is as good as in cost, size, clean and attacked AUC at once"),
    ("host", "this machine"),
    ("interval", "95 %, by a bootstrap over patients"),
    ("loses .05 at", "the budget at which .05 of the clean AUC is gone"),
    ("model", "a trained system; several artifacts are made of it"),
    ("patient", "whose recordings a bootstrap draws together; never on two sides of a split"),
    (
        "proof",
        "bounds of a file's scores through its own operators, and the AUC that no disturbance within a budget"
        " brings lower: pulseproof certify. Attacks reach the upper side of the bracket, the proof is its "
        "lower; the gap lies between",
    ),
    ("recipe", "how a model becomes a file: format and kind of numbers, onnx-fp32, tflite-int8-static"),
    (
        "recorder's step",
        "the smallest voltage that the recorder tells apart (adc_step_mv); every recording is a whole number of them",
    ),
    (
        "signal set",
        "the clean test recordings, or one attacked or noisy version of them: source, method, budget, SHA-256",
    ),
    (
        "source",
        "what an attack was made on: a model, a deployed file, all other models together. In the gate of "
        "export: what a file was made of",
    ),
    ("study", "what one TOML file asks for: recordings, models, files, attacks, devices"),
    ("target", "the artifact on which a signal set is tried"),
    ("transfer", "an attack made on one model, tried on another"),
    (
        "twin",
        "a deployed file as a differentiable module with the file's own rounding, so that the file itself can"
        " be attacked",
    ),
    ("verdict", "what the statistics carry of a difference: better, worse, none as large as delta, undecided"),
    ("white box", "an attack by gradient through the target itself"),
    ("worst case", "each recording as the one attack of that budget that harms the AUC most: what a file is judged by"),
)
# Where Pulseproof's documentation says more: a page of docs/, and what it is about.
PAGES = (
    ("docs/numbers.md", "how each number is defined"),
    ("docs/attacks.md", "the attacks, their checks and the audit"),
    ("docs/defences.md", "defences and proofs"),
    ("docs/report.md", "this page"),
    ("docs/formats.md", "the columns of results.csv"),
    ("docs/glossary.md", "all words"),
)


def words_section() -> Section:
    """The glossary, and where the documentation says more."""
    gist = f"What {len(WORDS)} words of this page mean, a line each, and which page of the documentation says more."
    return section("words", "Words", gist, off_paper=True, words=WORDS, pages=PAGES)


def legend(evaluation: Evaluation, lines: Sequence[DeviceLine]) -> list[tuple[str, str]]:
    """The words and signs that stand in the tables, each with what it means."""
    cells = [cell for line in lines for cell in line.cells.values()]
    said = [
        (
            "AUC",
            f"macro one-vs-rest, [95 % interval] of {evaluation.resamples:,} bootstrap resamples of "
            f"{evaluation.patients:,} patients",
        ),
        ("p50, p99", "latency of one inference at batch 1 on clean recordings"),
    ]
    if not cells:
        return said
    said += [
        ("int - float", "clean AUC less that of the float file; *: by more than .01"),
        ("a budget's column", "AUC under the lowest of all attacks of that size, and where that attack was made:"),
        *(MADE[name] for name in MADE if any(cell.made == name for cell in cells)),
        ("worst", "each recording as the attack that hurts it most: what a file counts for"),
        *(NOISE_WORDS[name] for name in NOISE_WORDS if any(cell.noise == name for cell in cells)),
        (
            "-.05 at, .5 at",
            "the budget at which the worst case has lost .05 of the clean AUC, and at which it crosses .5",
        ),
        ("< and >", "below the smallest budget, above the largest"),
    ]
    signs = (
        (
            "^",
            "held to a file that was attacked through its own graph",
            any(c.counted and c.counted.held_to for c in cells),
        ),
        (AT_MOST, "an attack was not measured: the truth may be lower", not all(cell.complete for cell in cells)),
        ("flag", "a check of the attacks doubts this number", any(cell.flags for cell in cells)),
        ("?", "a latency not to be believed", any(latency_marks(line.clean) for line in lines)),
        ("proved", "what no disturbance of that size brings the AUC below", any_proved(lines)),
    )
    return [*said, *((sign, meaning) for sign, meaning, there in signs if there)]


def notes(evaluation: Evaluation) -> list[tuple[str, str]]:
    """What is said beside rows, once, with the files of which it is said; what is said of all stands above the page."""
    files: dict[str, dict[str, None]] = {}
    for row in evaluation.rows:
        if row.device is None or not row.note:
            continue
        own = row.note.removeprefix(evaluation.note or "").strip("; ")
        for part in filter(None, own.split("; ")):
            files.setdefault(part, {})[row.artifact] = None
    every = len({row.artifact for row in evaluation.rows if row.device is not None})
    return [(note, "all files" if len(names) == every else ", ".join(names)) for note, names in files.items()]
