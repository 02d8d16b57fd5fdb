"""The sets of one study as work: what each depends on, where it lies, how it is put together, why it cannot be made.

In: a study, its recordings, trained models and exported files. Out: for each :class:`~attacks.grid.sets.WantedSet` its
step, its job for the grid and its two files, or the reason that is kept in their place. :mod:`attacks.grid.study` says
what is done with it.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pulseproof.attacks.aim.precision import PRECISIONS, ChosenPrecision, choose, is_convolutional, may_take_half
from pulseproof.attacks.aim.recorder import Recorder
from pulseproof.attacks.aim.sources import Source
from pulseproof.attacks.code import code_of_clean, code_of_set
from pulseproof.attacks.grid.context import opened_of, references_of
from pulseproof.attacks.grid.sets import CHUNK, MadeSet, NotApplicable, WantedSet, measured, wanted_sets
from pulseproof.attacks.grid.tasks import PREPARE, SetJob, one_thread
from pulseproof.attacks.method import Precision, expect_declared
from pulseproof.attacks.methods import METHODS
from pulseproof.core.code_digest import Code
from pulseproof.core.compute.device import CPU, kind_of, resolved
from pulseproof.core.engines import here
from pulseproof.core.steps import Step, digest
from pulseproof.core.study import AttackSpec, Study
from pulseproof.core.terminal.console import say
from pulseproof.ecg.recordings import Recordings
from pulseproof.export.manifest import Manifest
from pulseproof.models.brought.files import FileModel
from pulseproof.models.run import Trained
from pulseproof.runtime.condition.processor import features
from pulseproof.runtime.files import read_array, read_json, replacing, sha256_file, write_json

# Bump when the same settings would give other bytes for a reason that no digest of code sees (attacks/code.py).
VERSION = 3
SIGMA_RECORDS = 2000
REASON = ".reason"  # behind a set's name: why it cannot be made
SHARD = 2048  # recordings of a task on an accelerator, at least


class SetWork:
    """The sets of one study: what they depend on, where they lie, how they are put together."""

    def __init__(
        self,
        study: Study,
        recordings: Recordings,
        trained: Mapping[str, Trained],
        build: Path,
        manifest: Manifest | None,
        data: Path | None,
    ) -> None:
        self.study, self.recordings, self.trained = study, recordings, trained
        about = recordings.about
        self.recorder = Recorder(about.adc_step_mv, *about.adc_range)
        self.home = build.absolute() / study.name
        self.folder = self.home / "signals"
        self.rows = recordings.sample("test", study.test_records, study.seed)
        self.noise = None if data is None else data.absolute() / study.attacks.noise_path
        wanted, self.missing = wanted_sets(study, self.recorder, trained, manifest, self.home)
        self.wanted = [want for want in wanted if not self._is_missing(want)]
        self._noise_seen: dict[str, str] = {}
        self._precision: dict[str, Precision] = {}
        self._chosen: dict[str, ChosenPrecision] = {}
        self.accelerator = resolved(study.compute)
        self._device: dict[str, str] = {}

    def _is_missing(self, want: WantedSet) -> bool:
        """Recorded noise that is not there is not applicable; all that is wrong with what is there is an error."""
        kind = _noise_kind(want)
        if kind is None:
            return False
        if self.noise is not None and any(self.noise.glob(f"{kind}.*")):
            return False
        where = "no data folder was given" if self.noise is None else f"there is no {kind} in {self.noise.name}/"
        self.missing.append(NotApplicable(want.name, f"recorded noise (MIT-BIH noise stress test): {where}"))
        return True

    @functools.cached_property
    def sigma_mv(self) -> float:
        """The standard deviation of training recordings about each lead's mean, mV."""
        rows = self.recordings.sample("train", SIGMA_RECORDS, self.study.seed)
        squares = [
            float(part.astype(np.float64).var(axis=2).sum())
            for first in range(0, len(rows), CHUNK)
            for part in (self.recordings.signals(rows[first : first + CHUNK]),)
        ]
        return float(np.sqrt(sum(squares) / (len(rows) * self.recordings.shape[0])))

    def precision(self, want: WantedSet) -> Precision:
        """In which the steps of a set are taken, or were.

        What is there and fresh stays, whichever of the allowed precisions it was made in: another machine's choice
        reached the same AUC, and sets of minutes are not made again because a folder moved. The same goes for the
        shards of a run that was killed. Else the driver decides here, once a source.
        """
        if want.name not in self._precision:
            self._precision[want.name] = self._settled(want)
        return self._precision[want.name]

    def _settled(self, want: WantedSet) -> Precision:
        if want.method == "clean" or want.source is None or METHODS[want.method].way != "gradient":
            return "float32"
        asked = self.study.attacks.precision
        if asked == "float32" or not may_take_half(METHODS[want.method].make(self.study.attacks)):
            return "float32"
        if asked == "auto" and self.device(want) != CPU:
            return "float32"  # what a processor is probed for says nothing of an accelerator
        allowed = PRECISIONS if asked == "auto" else (asked,)
        for precision in allowed:
            if self.step(want, precision).fresh() or self.known_reason(want, precision) is not None:
                return precision
        for precision in allowed:
            if self.job(want, precision).step(PREPARE).fresh():
                return precision
        return self._choice(want.source).precision

    def _choice(self, source: Source) -> ChosenPrecision:
        """The decision about a source: by its own net, on this processor."""
        if source.name not in self._chosen:
            chosen = ChosenPrecision("float32")
            if all(is_convolutional(self.trained[place.name].module) for place in source.models):
                asked = self.recordings, self.study.attacks, self.study.seed
                references = references_of(*asked)
                with one_thread():
                    model = opened_of(*asked, source, "gradient").model
                    assert isinstance(model, torch.nn.Module)
                    chosen = choose(model, references, pinned=self.study.attacks.precision == "bfloat16")
            if chosen.reason is not None:
                say(f"{source.name}: its steps are taken in float32: {chosen.reason}")
            self._chosen[source.name] = chosen
        return self._chosen[source.name]

    def device(self, want: WantedSet) -> str:
        """Where the steps of a set are taken: the device that was asked for, and the processor for what takes none.

        Of ``auto`` a set that is there and fresh stays, made on whatever, and the shards of a run that was killed.
        """
        if self.accelerator == CPU or want.method == "clean" or METHODS[want.method].way not in ("gradient", "twin"):
            return CPU
        if want.name not in self._device:
            there = self.study.compute == "auto" and self._is_there(want, CPU)
            self._device[want.name] = CPU if there else self.accelerator
        return self._device[want.name]

    def _is_there(self, want: WantedSet, device: str) -> bool:
        self._device[want.name] = device  # what a step and its precision are asked for
        precisions = PRECISIONS if self.study.attacks.precision == "auto" else (self.study.attacks.precision,)
        steps = [self.step(want, each) for each in precisions]
        steps += [self.job(want, each).step(PREPARE) for each in precisions]
        return any(step.fresh() for step in steps)

    def settings_on(self, device: str) -> AttackSpec:
        """The study's attacks, in larger shards on an accelerator: 64 recordings leave it idle."""
        attacks = self.study.attacks
        return attacks if device == CPU else attacks.model_copy(update={"shard": max(attacks.shard, SHARD)})

    def inputs(self, want: WantedSet, precision: Precision | None = None) -> dict[str, Any]:
        """All that the bytes of a set depend on. ``precision``: in which its steps are taken, default the decided one;
        what was asked for (``auto``) is none of them. Of the device its kind counts, and of the processor nothing is
        said."""
        inputs: dict[str, Any] = {
            "version": VERSION,
            "recordings": self.recordings.fingerprint,
            "leads": self.recordings.about.leads,
            "window": self.recordings.window,
            "rows": hashlib.sha256(self.rows.astype(np.int64).tobytes()).hexdigest(),
            "method": want.method,
            "budget_mv": want.budget_mv,
            "seed": self.study.seed,
        }
        if want.method != "clean":
            shard = self.settings_on(self.device(want)).shard
            inputs |= {"settings": self.settings(want), "shard": shard, "torch": torch.__version__}
            if self.device(want) != CPU:
                inputs["compute"] = kind_of(self.device(want))
        if want.source is not None:
            inputs["source"] = want.source.digest
            inputs["precision"] = precision or self.precision(want)
        kind = _noise_kind(want)
        if kind is not None and self.noise is not None:
            inputs["noise"] = self._noise_of(kind)
        return inputs

    def _noise_of(self, kind: str) -> str:
        if kind not in self._noise_seen:
            assert self.noise is not None
            files = sorted(self.noise.glob(f"{kind}.*"))
            self._noise_seen[kind] = " ".join(f"{path.name}={sha256_file(path)}" for path in files)
        return self._noise_seen[kind]

    def settings(self, want: WantedSet) -> dict[str, Any]:
        """The settings of the study on which a set depends, and what its method is in our own words."""
        if want.method == "clean":
            return {}
        entry = METHODS[want.method]
        chosen = self.study.attacks.model_dump(mode="json", include=set(entry.settings))
        return chosen | {"attack": repr(entry.make(self.study.attacks))}

    def step(self, want: WantedSet, precision: Precision | None = None) -> Step:
        return Step(self.folder, want.name, self.inputs(want, precision), self.code(want))

    def reason_step(self, want: WantedSet, precision: Precision | None = None) -> Step:
        """The step whose result is that a set cannot be made. It depends on the engines as well: a twin is held against
        what they compute, on this processor."""
        inputs = self.inputs(want, precision) | {"engines": here(), "processor": features()}
        return Step(self.folder, want.name + REASON, inputs, self.code(want))

    def known_reason(self, want: WantedSet, precision: Precision | None = None) -> str | None:
        """Why a set cannot be made, where that was found before."""
        told = self.folder / f"{want.name}{REASON}.json"
        if not told.exists() or not self.reason_step(want, precision).fresh():
            return None
        reason: str = read_json(told)["reason"]
        return reason

    def keep_reason(self, want: WantedSet, reason: str) -> None:
        told = self.folder / f"{want.name}{REASON}.json"
        write_json(told, {"set": want.name, "reason": reason})
        self.reason_step(want).done([told])

    def forget_reason(self, want: WantedSet) -> None:
        """A set that is there can be made."""
        for suffix in (".stamp.json", ".json"):
            (self.folder / f"{want.name}{REASON}{suffix}").unlink(missing_ok=True)

    def code(self, want: WantedSet) -> tuple[Code, ...]:
        """The code that makes a set."""
        if want.method == "clean":
            return code_of_clean()
        entry, source = METHODS[want.method], want.source
        files = () if source is None else (self.trained[place.name].module for place in source.models)
        through_twin = entry.way == "twin" or any(isinstance(module, FileModel) for module in files)
        made, noise = entry.make(self.study.attacks), entry.noise is not None
        return code_of_set(made, source, through_twin=through_twin, noise=noise)

    def job(self, want: WantedSet, precision: Precision | None = None) -> SetJob:
        assert want.method != "clean"
        expect_declared(want.method, METHODS[want.method].make(self.study.attacks))
        precision = precision or self.precision(want)
        inputs, code = self.inputs(want, precision), self.code(want)
        key = digest([inputs, [each.digest for each in code]])[:12]
        return SetJob(
            name=want.name,
            method=want.method,
            budget_mv=want.budget_mv,
            source=want.source,
            settings=self.settings_on(self.device(want)),
            seed=self.study.seed,
            recordings=self.recordings,
            rows=self.rows,
            inputs=inputs,
            folder=self.folder / "shards" / f"{want.name}-{key}",
            noise=None if _noise_kind(want) is None else self.noise,
            code=code,
            precision=precision,
            device=self.device(want),
        )

    def make_clean(self, want: WantedSet) -> None:
        """The set that is no attack."""
        self.step(want).run(lambda: self.write(want, self.clean_parts, [{}]))

    def put_together(self, want: WantedSet, job: SetJob) -> None:
        """Make a set of the shards of its job, which go; what is there can be made."""
        self.step(want).run(functools.partial(self.assemble, want, job))
        self.forget_reason(want)
        shutil.rmtree(job.folder)

    def clean_parts(self) -> Any:
        """The clean recordings, some at a time."""
        for first in range(0, len(self.rows), CHUNK):
            yield self.recordings.adc(self.rows[first : first + CHUNK])

    def assemble(self, want: WantedSet, job: SetJob) -> list[Path]:
        """Put the shards of a set together."""
        parts = functools.partial(_read_all, [job.folder / f"{shard}.npy" for shard in job.shards])
        facts = [{k: v.numpy() for k, v in job.facts(shard).items()} for shard in job.shards]
        return self.write(want, parts, facts, tuple(job.notes()))

    def write(
        self,
        want: WantedSet,
        parts: Callable[[], Any],
        facts: list[dict[str, NDArray[np.float64]]],
        notes: tuple[str, ...] = (),
    ) -> list[Path]:
        """Write a set and its description, ``parts`` of recordings one after the other; returns the two files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        array, about = self.folder / f"{want.name}.npy", self.folder / f"{want.name}.json"
        shape = (len(self.rows), *self.recordings.shape)
        # Not mapped: a mapped file counts as memory while it is written, and one that outgrows the disk ends the
        # process without a word.
        with replacing(array) as temporary, temporary.open("wb") as file:
            head = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.int16)), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, head)
            for part in parts():
                file.write(part.tobytes())
        clean = read_array(array if want.method == "clean" else self.folder / "clean.npy", mapped=True)
        found = measured(clean, read_array(array, mapped=True), self.recordings, self.sigma_mv, want.budget_mv)
        described = MadeSet(
            name=want.name,
            source=want.source.name if want.source else None,
            method=want.method,
            budget_mv=want.budget_mv,
            n=shape[0],
            settings=self.settings(want),
            sha256=sha256_file(array),
            facts={name: float(np.concatenate([each[name] for each in facts]).mean()) for name in facts[0]},
            precision=self._precision_told(want),
            notes=notes,
            **found,
        )
        write_json(about, asdict(described))
        return [array, about]

    def _precision_told(self, want: WantedSet) -> Precision | None:
        """None for what takes no steps along a gradient."""
        stepless = want.method == "clean" or METHODS[want.method].way not in ("gradient", "twin")
        return None if stepless else self.precision(want)

    def sweep(self) -> None:
        """Remove sets that the study no longer asks for: the folder holds what the study says."""
        keep = {want.name for want in self.wanted}
        for stamp in self.folder.glob("*.stamp.json"):
            name = stamp.name.removesuffix(".stamp.json")
            if name.removesuffix(REASON) not in keep:
                for suffix in (".stamp.json", ".npy", ".json"):
                    (self.folder / f"{name}{suffix}").unlink(missing_ok=True)
        for shards in (self.folder / "shards").glob("*"):
            if shards.name.rpartition("-")[0] not in keep:
                shutil.rmtree(shards, ignore_errors=True)


def _noise_kind(want: WantedSet) -> str | None:
    """Which recorded noise a set needs, if any."""
    return None if want.method == "clean" else METHODS[want.method].noise


def _read_all(files: list[Path]) -> Any:
    for path in files:
        yield read_array(path)
