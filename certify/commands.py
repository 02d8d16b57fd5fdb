"""``pulseproof certify``: what no disturbance within a budget can do to the files of a study."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from pulseproof.core.locks import hold_build
from pulseproof.core.terminal.console import Terminal, say
from pulseproof.core.terminal.options import BuildOption, DataOption, StudyOption, load

if TYPE_CHECKING:
    from pulseproof.certify.file import Certified


def certify(study: StudyOption, data: DataOption = None, build: BuildOption = None) -> None:
    """Prove how low any disturbance within each budget can bring the AUC of each file.

    Example: `pulseproof certify --study studies/demo.toml`
    """
    from pulseproof.certify.study import certify_study
    from pulseproof.ecg.prepare import prepare
    from pulseproof.export.run import export_study
    from pulseproof.models.run import train_study

    loaded, root, where = load(study, data, build)
    recordings = prepare(loaded, root, where)
    with hold_build(loaded, where):
        trained = train_study(loaded, recordings, where)
        manifest = export_study(loaded, recordings, trained, where)
        certified = certify_study(loaded, recordings, manifest, where)
    Terminal().print(table(certified))
    for each in certified.unproved:
        say(f"nothing is proved of {each.artifact}: {each.reason}")


def table(certified: Certified) -> Table:
    """A line a file: the macro AUC that is proved at each budget."""
    budgets = sorted({each.budget_mv for each in certified.proofs})
    drawn = Table(
        "file",
        *(f"{budget:g} mV" for budget in budgets),
        title=Text(
            f"proved macro AUC, {certified.recordings:,} recordings{' · ' * bool(certified.note)}{certified.note}"
        ),
    )
    for artifact in dict.fromkeys(each.artifact for each in certified.proofs):
        found = certified.of(artifact)
        cells = [found[budget].auc for budget in budgets]
        drawn.add_row(artifact, *("" if auc is None else f"{auc:.3f}" for auc in cells))
    return drawn
