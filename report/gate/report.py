"""What the gate found, as a CI system shows it: JUnit XML, and Markdown for a job's summary page.

In come the checks of :mod:`report.gate.bounds`; out comes text, without characters that XML 1.0 forbids. JUnit as
Jenkins, GitLab and GitHub's readers take it: one test suite a device, one class a file, one case a bound (the schema of
Apache Ant's ``junitreport``).
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from pulseproof.core.markdown import markdown, markdown_table
from pulseproof.report.gate.bounds import Check
from pulseproof.runtime.words import printable


def as_junit(checks: Sequence[Check], title: str) -> str:
    """JUnit XML: a failure's message says what was found."""
    root = ElementTree.Element(
        "testsuites", name=printable(title), tests=str(len(checks)), failures=str(_failures(checks))
    )
    for device in dict.fromkeys(check.device for check in checks):
        held = [check for check in checks if check.device == device]
        attributes = {
            "name": printable(device),
            "tests": str(len(held)),
            "failures": str(_failures(held)),
            "errors": "0",
        }
        suite = ElementTree.SubElement(root, "testsuite", attributes)
        for check in held:
            file, bound, found = map(printable, (check.artifact, check.bound, check.found))
            case = ElementTree.SubElement(suite, "testcase", classname=file, name=bound)
            if check.held:
                ElementTree.SubElement(case, "system-out").text = found
            else:
                ElementTree.SubElement(case, "failure", message=found, type="bound").text = found
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def as_summary(checks: Sequence[Check], title: str) -> str:
    """Markdown: one sentence, and a table of what failed, then of what held."""
    failed = _failures(checks)
    said = f"{failed} of {len(checks)} checks do not hold" if failed else f"all {len(checks)} checks hold"
    lines = [
        [check.artifact, check.device, check.bound, check.found, "yes" if check.held else "**no**"]
        for check in sorted(checks, key=lambda check: check.held)
    ]
    table = markdown_table(["file", "device", "asked", "found", "held"], lines, left=5).replace(r"\*\*no\*\*", "**no**")
    return f"### Pulseproof gate: {markdown(title)}\n\n{said[:1].upper()}{said[1:]}.\n\n{table}\n"


def _failures(checks: Sequence[Check]) -> int:
    return sum(not check.held for check in checks)
