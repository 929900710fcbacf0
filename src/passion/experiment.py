"""The composition root: from a configuration to objects, and to a trained run."""

import logging
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader, Dataset, Subset

from passion import run_files
from passion.configuration import Configuration, DataSettings, build_network, build_objective
from passion.data.loading import PatchSettings, TrainingPatches, training_loader
from passion.data.split import Split, check_disjoint, read_split
from passion.data.store import PreparedStudy
from passion.data.whole_cases import WholeCase, WholeCases
from passion.errors import InputError, note, own_words
from passion.files import remove
from passion.missingness import SLICE_MARK, Presence, presence_of, read_presence
from passion.parallel import is_rank_zero
from passion.run_folder import (
    RunData,
    check_options_unchanged,
    check_run_folder,
    claim_run_folder,
    describe_run,
    epochs_done,
    is_begun,
)
from passion.runs import checkpoint_path
from passion.training.callbacks import AtomicCheckpoints, Checkpoint, History, ProgressBar
from passion.training.module import TrainingModule
from passion.training.settings import TrainingSettings
from passion.warm_start import start_from

TENSORBOARD = "tensorboard"
"""Folder of its files; they are made from the history whenever a run goes on, since killed they may end anywhere."""


def training_presence(data: DataSettings, prepared: PreparedStudy, split: Split) -> Presence:
    """Which training case has which modality in this run: what the files hold and what `data.presence` allows.

    Raises:
        InputError: a training case without a row or without a modality; a slice that its case does not have; a
            modality that no case has; or PDT with modalities missing.
    """
    if not split["train"]:
        raise InputError(f"{data.split}: there is no training case")
    cases = {name: prepared.case(name) for name in split["train"]}
    modalities = prepared.study.modalities
    own = presence_of({name: list(case.boxes) for name, case in cases.items()}, modalities)
    if data.setting == "pdt":
        _check_complete(data, own)
        return own
    if data.presence is None:
        return own.check(data.prepared)
    drawn = read_presence(data.presence, [*prepared.cases, *prepared.left_out], modalities)
    case_of = {row: row.partition(SLICE_MARK)[0] for row in drawn.cases}
    left_out = [name for name in own.cases if name not in case_of.values()]
    if left_out:
        raise InputError(f"{data.presence}: has no row for training case {left_out[0]!r}; draw it for this split")
    rows = [row for name in own.cases for row, case in case_of.items() if case == name]
    _check_slices({row: cases[case_of[row]].grid.shape[-1] for row in rows}, data.presence)
    held = own.restricted_to([case_of[row] for row in rows])
    allowed = drawn.restricted_to(rows)
    return Presence(allowed.cases, own.modalities, held.matrix & allowed.matrix).check(data.presence)


def _check_slices(depths: Mapping[str, int], source: Path) -> None:
    """Refuse rows of slices beyond the extent of their case, given by row, along the last axis."""
    for row, depth in depths.items():
        case, mark, position = row.partition(SLICE_MARK)
        if mark and int(position) >= depth:
            raise InputError(f"{source}: row {row!r}: case {case!r} has slices 0 to {depth - 1}; correct or remove it")


def _check_complete(data: DataSettings, own: Presence) -> None:
    if data.presence is not None:
        raise InputError("--data.presence: perfect data training has no missing modality; leave the option out")
    incomplete = [case for case, row in zip(own.cases, own.matrix, strict=True) if not row.all()]
    if incomplete:
        raise InputError(
            f"--data.setting pdt: training case {incomplete[0]!r} lacks a modality ({len(incomplete)} such cases); "
            "use idt or complete cases"
        )


@dataclass(frozen=True)
class Experiment:
    """All objects of a training run; `held_out` is what it is validated on, if it is."""

    given: RunData
    module: TrainingModule
    patches: TrainingPatches
    held_out: WholeCases | None


def assemble(configuration: Configuration) -> Experiment:
    """Build everything that a run needs; nothing is written.

    Raises:
        InputError: anything in the configuration that does not fit.
    """
    data, settings = configuration.data, configuration.training
    for option, value, least in (
        ("training.epochs", settings.epochs, 1), ("training.validate_every", settings.validate_every, 0),
        ("training.preference_every", settings.preference_every, 0), ("training.devices", settings.devices, 1),
        ("data.batch_size", data.batch_size, 1), ("data.samples_per_epoch", data.samples_per_epoch, 1),
        ("data.workers", data.workers, 0), ("training.learning_rate", settings.learning_rate, 0),
        ("training.weight_decay", settings.weight_decay, 0), ("training.seed", settings.seed, 0),
    ):  # fmt: skip
        if value is not None and value < least:
            raise InputError(f"--{option} {value}: must be at least {least}")
    _accelerator(settings)
    prepared = PreparedStudy.open(data.prepared)
    split = read_split(data.split, prepared.cases, prepared.left_out)
    check_disjoint(split, data.split)
    if settings.validate_every and not split["val"]:
        raise InputError(f"{data.split}: has no case of part val; add some, or --training.validate_every 0")
    seen = [*split["train"], *(split["val"] if settings.validate_every else ())]
    prepared.check_sizes(seen)
    unlabelled = [name for name in seen if prepared.case(name).target_box is None]
    if unlabelled:
        raise InputError(f"{data.split}: case {unlabelled[0]!r} has no label file; take it out of train and val")
    presence = training_presence(data, prepared, split)
    inverse = np.ones(len(presence.modalities)) if data.setting == "pdt" else presence.inverse_presence
    study = replace(prepared.study, spatial_dims=data.spatial_dims or prepared.study.spatial_dims)
    torch.manual_seed(settings.seed)
    objective = build_objective(configuration.objective, inverse)
    network = build_network(configuration.network, study, data.patch_size, objective)
    if settings.recompute:
        network.recompute_activations()
    augmentation = data.augmentation if data.augment else None
    if settings.compile:
        network.compile_parts(mode="reduce-overhead")
    patch_settings = PatchSettings(network.patch_size, data.crop, data.setting, augmentation, settings.seed)
    patches = TrainingPatches(prepared, presence, patch_settings)
    module = TrainingModule(network, objective, study, settings)
    held_out = (
        WholeCases(prepared, split["val"], study.modalities, data.crop, network.patch_size)
        if settings.validate_every
        else None
    )
    return Experiment(RunData(prepared, study, split, presence), module, patches, held_out)


def train(configuration: Configuration, out: Path, resume: bool = False) -> bool:
    """Train, and leave in `out` all that evaluation and report need.

    Args:
        configuration: of the run.
        out: the run folder; without `resume` there must be no run in it.
        resume: go on after the last epoch that `out` has a checkpoint of; begin where it has none.

    Returns:
        False where the run was trained to its end already.

    Raises:
        InputError: the configuration does not fit, `out` is not as expected, or another process trains there.
    """
    first = is_rank_zero(configuration.training.devices)
    if first:
        check_run_folder(out, resume)
    begun = is_begun(out)
    if begun:
        check_options_unchanged(configuration, out)
        if epochs_done(out) >= configuration.training.epochs:
            return False
    experiment = assemble(configuration)
    if configuration.training.start_from and not checkpoint_path(out, "last").exists():
        _warm_start(configuration.training.start_from, experiment, configuration)
    with claim_run_folder(out, resume) if first else nullcontext():
        if first:
            describe_run(experiment.given, configuration, out)
        _fit(experiment, configuration, out)
    return True


def _fit(experiment: Experiment, configuration: Configuration, out: Path) -> None:
    data, settings = configuration.data, configuration.training
    accelerator = _accelerator(settings)
    _quieten_lightning()
    if settings.devices == 1:
        # Lightning has read it from variables of whatever surrounds us.
        rank_zero_only.rank = 0  # type: ignore[attr-defined]
    if is_rank_zero(settings.devices):
        remove(out / TENSORBOARD)
    trainer = Trainer(
        default_root_dir=out,
        accelerator=accelerator,
        devices=settings.devices,
        strategy=_strategy(settings.devices),
        precision=settings.precision,
        max_epochs=settings.epochs,
        logger=TensorBoardLogger(out, name=TENSORBOARD, version=""),
        callbacks=_callbacks(out),
        plugins=_plugins(settings.devices),
        check_val_every_n_epoch=settings.validate_every or None,
        limit_val_batches=1.0 if settings.validate_every else 0,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1_000_000,
    )
    loader = training_loader(
        experiment.patches,
        data.batch_size,
        data.samples_per_epoch,
        data.workers,
        trainer.global_rank,
        trainer.world_size,
        epochs_done(out),
        gpu=accelerator == "cuda",
    )
    validation = None
    if experiment.held_out:
        held_out = _own_share(experiment.held_out, trainer.global_rank, trainer.world_size)
        validation = DataLoader(held_out, batch_size=None)
    last = checkpoint_path(out, "last")
    try:
        from_last = last if last.exists() else None
        trainer.fit(experiment.module, loader, validation, ckpt_path=from_last, weights_only=True)
    except InputError as error:
        raise InputError(own_words(error)) from error
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):  # which Lightning makes an exit of its own of
            raise KeyboardInterrupt from stop
        raise


def _own_share(cases: WholeCases, rank: int, processes: int) -> Dataset[WholeCase]:
    """What one of the processes validates on: means over all are weighted by how many cases each had.

    All of them where there are fewer cases than processes, since each must have one to have a mean.
    """
    return cases if len(cases) < processes else Subset(cases, range(rank, len(cases), processes))


def _accelerator(settings: TrainingSettings) -> Literal["cpu", "cuda"]:
    """What is trained on, in Lightning's words.

    Raises:
        InputError: it is not available here.
    """
    asked, gpus = settings.accelerator, torch.cuda.device_count()
    if asked == "cpu" or (asked == "auto" and not gpus):
        return "cpu"
    if not gpus or asked not in ("auto", "gpu", "cuda"):
        raise InputError(f"--training.accelerator {asked}: is not available here; use auto or cpu")
    if settings.devices > gpus:
        raise InputError(f"--training.devices {settings.devices}: there are {gpus} GPUs here; use as many or fewer")
    return "cuda"


def _plugins(devices: int) -> list[Any]:
    """Under SLURM Lightning would, asked to requeue, leave checkpoints of half epochs and go on from them.

    A process by itself has nothing to ask SLURM, which may have started others beside it.
    """
    if devices == 1:
        return [AtomicCheckpoints(), LightningEnvironment()]
    requeue = [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []
    return [AtomicCheckpoints(), *requeue]


def _warm_start(run: Path, experiment: Experiment, configuration: Configuration) -> None:
    module = experiment.module
    begun = start_from(run, module.network, module.objective, experiment.given.study, configuration)
    if is_rank_zero(configuration.training.devices):
        note(begun)


def _strategy(devices: int) -> str | DDPStrategy:
    """Encoders of modalities that are absent get no gradient; each process keeps its own sums until an epoch ends."""
    return DDPStrategy(find_unused_parameters=True, broadcast_buffers=False) if devices > 1 else "auto"


def _quieten_lightning() -> None:
    """Its advice is for those who write loops, not for those who run ours."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")


def _callbacks(out: Path) -> list[Callback]:
    """In this order within an epoch: `best` after validation, then the history, and last of all `last`."""
    folder = checkpoint_path(out, "last").parent
    return [
        History(out / run_files.HISTORY),
        ProgressBar(),
        Checkpoint(
            folder,
            filename="best",
            monitor="validation_dice",
            mode="max",
            save_top_k=1,
            enable_version_counter=False,
            save_on_train_epoch_end=False,
        ),
        Checkpoint(folder, filename="last", save_top_k=1, enable_version_counter=False, save_on_train_epoch_end=True),
    ]
