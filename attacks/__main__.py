"""``python -m attacks``: the signal sets of a study, from recordings and training on if need be."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.table import Table

from core.console import run_app
from core.options import BuildOption, DataOption, StudyOption, load

app = typer.Typer(help=__doc__, rich_markup_mode="markdown")


@app.command()
def attack(study: StudyOption, data: DataOption = None, build: BuildOption = None) -> None:
    """Make the clean, attacked and noisy recordings of a study; one set a (source, method, budget).

    Example: `python -m attacks --study studies/demo.toml`
    """
    loaded, root, where = load(study, data, build)
    from attacks.run import attack_study
    from ecg.prepare import prepare
    from models.run import train_study

    recordings = prepare(loaded, root, where)
    sets = attack_study(loaded, recordings, train_study(loaded, recordings, where), where)
    drawn = Table("signal set", "recordings", "largest mV", "L2 mV", "SNR dB", "sha256", title=loaded.title)
    for each in sets:
        snr = "" if each.snr_db is None else f"{each.snr_db:.1f}"
        drawn.add_row(each.name, f"{each.n:,}", f"{each.linf_mv:g}", f"{each.l2_mv:.3f}", snr, each.sha256[:12])
    Console().print(drawn)


if __name__ == "__main__":
    run_app(app)
