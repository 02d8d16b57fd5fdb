"""The command that cures: it adds the defended variant of a net to a study, runs what that needs, and says what it did.

In: a study that was run or not, the name of a net, a budget. Out: the study with a block more, its table, its answers
and its page. Everything that is done already stays; a run that was stopped goes on where it was.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pulseproof.attacks.commands import SchedulerOption, WorkersOption
from pulseproof.core.errors import InputError
from pulseproof.core.terminal.console import put, say
from pulseproof.core.terminal.options import BuildOption, DataOption, StudyOption, load

if TYPE_CHECKING:
    from pulseproof.core.study import DefenceSpec, Study

TRAINED = Literal["adversarial", "certified", "gradient", "noise", "smooth-input"]


def harden(
    study: StudyOption,
    model: Annotated[str, typer.Option(help="The net of the study that is trained anew, as in [models.NAME].")],
    budget: Annotated[float, typer.Option(help="The largest change of a sample that it is trained for, in mV.")] = 0.02,
    kind: Annotated[TRAINED, typer.Option(help="How: docs/defences.md compares them.")] = "adversarial",
    steps: Annotated[int, typer.Option(help="Steps of the attack that adversarial training makes.")] = 5,
    name: Annotated[str | None, typer.Option(help="The name of the variant. [default: NAME-hard]")] = None,
    to: Annotated[
        Path | None, typer.Option(help="Write the study with the variant there, and leave yours alone.", metavar="FILE")
    ] = None,
    data: DataOption = None,
    build: BuildOption = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
) -> None:
    """Add a net's variant that is trained against attacks to a study; train, export, attack, run it; write the page.

    Example: `pulseproof harden --study studies/demo.toml --model cnn --budget 0.02 --to hardened.toml`
    """
    from pulseproof.core.study import DefenceSpec, load_study
    from pulseproof.models.hardened.block import SUFFIX, hardened_text
    from pulseproof.runtime.files import write_bytes

    if not 0 < budget <= 1:
        raise InputError(f"--budget: {budget:g} mV", "give a budget above 0 and of at most 1 mV: 0.02 is usual")
    if not 1 <= steps <= 100:
        raise InputError(f"--steps: {steps}", "give 1 to 100: 1 is cheapest, 5 is usual")
    loaded, root, where = load(study, data, build)
    defence = DefenceSpec(kind=kind, budget_mv=budget, steps=steps)
    target = to or study
    # What was hardened there before is gone on with; a study of yours is not written over.
    base = target if to is not None and to.exists() and load_study(to).name == loaded.name else study
    if to is not None and to.exists() and base is study:
        raise InputError(f"{to}: another study is there", "give --to a file that is not there yet")
    if kind == "certified":
        _refuse_without_bounds(loaded, model, defence, root, where)
    text = base.read_bytes().decode("utf-8")  # bytes, so that line ends stay
    variant = name or f"{model}{SUFFIX}"
    made = hardened_text(base, text, load_study(base), model, variant, defence)
    if made != text or target != base:
        try:
            write_bytes(target, made.encode("utf-8"))
        except OSError as error:
            raise InputError(f"{target}: {error.strerror}", "name a file that can be written: --to FILE") from None
    said = "is there already" if made == text else "is added"
    say(f"{target}: [models.{variant}] {said} ({kind}, {budget:g} mV); what is not done yet is run")
    load_study(target)
    _run(target, root, where, workers, scheduler)


def _refuse_without_bounds(study: Study, model: str, defence: DefenceSpec, data: Path | None, build: Path) -> None:
    """Before the study is written: a net that has no bounds would be refused when its training begins."""
    import torch

    from pulseproof.ecg.prepare import prepare
    from pulseproof.models.hardened.defence import Hardening
    from pulseproof.models.modules import build_net
    from pulseproof.models.run import task_of
    from pulseproof.models.systems import resolve

    spec = study.models.get(model)
    system = None if spec is None else resolve(model, spec)
    if spec is None or system is None or system.net is None or spec.brought:
        return  # for other reasons, which are said better where the block is made
    recordings = prepare(study, data, build)
    net = build_net(f"[models.{model}]", system, spec, task_of(recordings))
    Hardening(net, defence, model, torch.from_numpy(recordings.signals(recordings.indices("train")[:2])))


def _run(study: Path, data: Path | None, build: Path, workers: int | None, scheduler: str | None) -> None:
    from pulseproof import reading, running
    from pulseproof.report.answers.questions import answers

    running.run(study, data=data, build=build, workers=workers, scheduler=scheduler)
    loaded, _, where = load(study, None, build)
    found = answers(reading.evaluation_of(loaded, where))
    (cure,) = [each for each in found.questions if each.id == "cure"]
    put("\n".join(["", cure.title, *(f"  - {each.text}\n    ({each.evidence})" for each in cure.sentences), ""]))
    reading.report(study, build)
