"""The words of the page, each in a line: those of docs/glossary.md that stand on it.

A page that was sent by mail has no documentation beside it, so it brings its glossary along; a test holds each line
against the one in the docs. Out comes HTML.
"""

from __future__ import annotations

from pulseproof.report.page.markup import Section, section

WORDS = (
    ("artifact", "one exported file of a model, named by its recipe: cnn/tflite-int8-static. What is measured, attacked and shipped"),
    ("attacked AUC", "the AUC on an adversarial signal set; the table shows the lowest over all sources and methods"),
    ("AUC", "macro average over classes of the one-vs-rest area under the ROC curve: how well scores rank recordings"),
    ("audit", "the attacks of a study repeated with more effort, other starts and other objectives, to find those not to be believed: make audit"),
    ("budget", "how far an attack may move any sample, in millivolts (budget_mv), in whole steps of the recorder"),
    ("clean", "of the test recordings as they are"),
    ("control", "noise of the same budget or energy: an attack that is not surely below it found nothing"),
    ("delta", "the largest difference of AUC that does not matter ([bench] delta, .01): \"no difference\" means none as large"),
    ("deployed file", "an artifact that is attacked itself, through its twin or by queries, and not only through its float parent"),
    ("evidence", "where a number comes from: measured-on-device, measured-on-host, emulated-count, compiler-estimate; or not-applicable, with the reason"),
    ("flag", "a sign that an attack was weak, so that its number proves nothing: no-better-than-noise, transfer-stronger, ..."),
    ("float parent", "the float file that a quantized one is held against, of the same model and format"),
    ("front", "the files that no other is as good as in cost, size, clean and attacked AUC at once"),
    ("host", "this machine"),
    ("interval", "95 %, by a bootstrap over patients"),
    ("loses .05 at", "the budget at which .05 of the clean AUC is gone"),
    ("model", "a trained system; several artifacts are made of it"),
    ("patient", "whose recordings a bootstrap draws together; never on two sides of a split"),
    ("proof", "bounds of a file's scores through its own operators, and the AUC that no disturbance within a budget brings lower: pulseproof certify. Attacks reach the upper side of the bracket, the proof is its lower; the gap lies between"),
    ("recipe", "how a model becomes a file: format and kind of numbers, onnx-fp32, tflite-int8-static"),
    ("recorder's step", "the smallest voltage that the recorder tells apart (adc_step_mv); every recording is a whole number of them"),
    ("signal set", "the clean test recordings, or one attacked or noisy version of them: source, method, budget, SHA-256"),
    ("source", "what an attack was made on: a model, a deployed file, all other models together. In the gate of export: what a file was made of"),
    ("study", "what one TOML file asks for: recordings, models, files, attacks, devices"),
    ("target", "the artifact on which a signal set is tried"),
    ("transfer", "an attack made on one model, tried on another"),
    ("twin", "a deployed file as a differentiable module with the file's own rounding, so that the file itself can be attacked"),
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
