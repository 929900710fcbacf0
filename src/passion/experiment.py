"""The composition root: from a configuration to objects, and to a trained run."""

import logging
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader

from passion.configuration import Configuration, DataSettings, build_network, build_objective
from passion.data.loading import PatchSettings, TrainingPatches, training_loader
from passion.data.split import Split, check_disjoint, read_split, write_split
from passion.data.store import PreparedStudy
from passion.data.study import Study
from passion.data.whole_cases import WholeCases
from passion.errors import InputError, note
from passion.files import write_json, write_text
from passion.missingness import SLICE_MARK, Presence, presence_of, read_presence
from passion.parallel import leads
from passion.runs import checkpoint_path, versions
from passion.training.callbacks import AtomicCheckpoints, History, ProgressBar
from passion.training.module import TrainingModule
from passion.warm_start import start_from


def training_presence(data: DataSettings, prepared: PreparedStudy, split: Split) -> Presence:
    """Which training case has which modality in this run: what the files hold and what `data.presence` allows.

    Raises:
        InputError: a training case without a row, without a modality or without a label file; a modality that no
            case has; or PDT with modalities missing.
    """
    if not split["train"]:
        raise InputError(f"{data.split}: there is no training case")
    cases = {name: prepared.case(name) for name in split["train"]}
    unlabelled = [name for name, case in cases.items() if case.target_box is None]
    if unlabelled:
        raise InputError(f"{data.split}: training case {unlabelled[0]!r} has no label file; take it out")
    modalities = prepared.study.modalities
    own = presence_of({name: list(case.boxes) for name, case in cases.items()}, modalities)
    if data.setting == "pdt":
        _check_complete(data, own)
        return own
    if data.presence is None:
        return own.check(data.prepared)
    drawn = read_presence(data.presence, prepared.cases, modalities)
    case_of = {row: row.partition(SLICE_MARK)[0] for row in drawn.cases}
    left_out = [name for name in own.cases if name not in case_of.values()]
    if left_out:
        raise InputError(f"{data.presence}: has no row for training case {left_out[0]!r}; draw it for this split")
    rows = [row for name in own.cases for row, case in case_of.items() if case == name]
    held = own.restricted_to([case_of[row] for row in rows])
    allowed = drawn.restricted_to(rows)
    return Presence(allowed.cases, own.modalities, held.matrix & allowed.matrix).check(data.presence)


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
    """All objects of a training run."""

    prepared: PreparedStudy
    study: Study
    split: Split
    presence: Presence
    module: TrainingModule
    patches: TrainingPatches


def assemble(configuration: Configuration) -> Experiment:
    """Build everything that a run needs; nothing is written.

    Raises:
        InputError: anything in the configuration that does not fit.
    """
    data, settings = configuration.data, configuration.training
    for value, option in ((settings.epochs, "training.epochs"), (data.batch_size, "data.batch_size")):
        if value < 1:
            raise InputError(f"--{option} {value}: must be at least 1")
    prepared = PreparedStudy.open(data.prepared)
    split = read_split(data.split, prepared.cases)
    check_disjoint(split, data.split)
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
    return Experiment(prepared, study, split, presence, module, patches)


def train(configuration: Configuration, out: Path, resume: bool = False) -> None:
    """Train, and leave in `out` all that evaluation and report need.

    Args:
        configuration: of the run.
        out: the run folder; must not exist unless `resume`.
        resume: go on after the last epoch that `out` has a checkpoint of.

    Raises:
        InputError: the configuration does not fit, or `out` is not as expected.
    """
    last = checkpoint_path(out, "last")
    if out.exists() and not resume and leads():
        raise InputError(f"--out {out}: exists; choose another folder, or --resume to continue that run")
    if resume and not last.exists():
        raise InputError(f"--out {out}: has no checkpoint to resume from; leave out --resume and remove the folder")
    if resume:
        _check_unchanged(configuration, Configuration.from_file(out / "config.yaml"), out)
    experiment = assemble(configuration)
    if configuration.training.start_from and not last.exists():
        _warm_start(configuration.training.start_from, experiment, configuration)
    if not resume and leads():
        _describe(experiment, configuration, out)
    data, settings = configuration.data, configuration.training
    _quieten_lightning()
    trainer = Trainer(
        default_root_dir=out,
        accelerator=settings.accelerator,
        devices=settings.devices,
        strategy=_strategy(settings.devices),
        precision=settings.precision,
        max_epochs=settings.epochs,
        logger=TensorBoardLogger(out, name="tensorboard", version=""),
        callbacks=_callbacks(out),
        plugins=[AtomicCheckpoints()],
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
    )
    held_out = WholeCases(
        experiment.prepared, experiment.split["val"], experiment.study.modalities, data.crop,
        experiment.module.network.patch_size,
    ) if settings.validate_every else None  # fmt: skip
    validation = DataLoader(held_out, batch_size=None) if held_out else None
    trainer.fit(experiment.module, loader, validation, ckpt_path=last if resume else None, weights_only=True)


def _warm_start(run: Path, experiment: Experiment, configuration: Configuration) -> None:
    module = experiment.module
    begun = start_from(run, module.network, module.objective, experiment.study, configuration)
    if leads():
        note(begun)


def _strategy(devices: int) -> str | DDPStrategy:
    """Encoders of modalities that are absent get no gradient; each process keeps its own sums until an epoch ends."""
    return DDPStrategy(find_unused_parameters=True, broadcast_buffers=False) if devices > 1 else "auto"


def _check_unchanged(asked: Configuration, own: Configuration, out: Path) -> None:
    lines = zip(asked.to_yaml().splitlines(), own.to_yaml().splitlines(), strict=False)
    for wanted, given in lines:
        if wanted != given:
            raise InputError(
                f"--resume: {out} was trained with `{given.strip()}`, not `{wanted.strip()}`; leave the option out, or "
                "start another run"
            )


def _quieten_lightning() -> None:
    """Its advice is for those who write loops, not for those who run ours."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")


def _callbacks(out: Path) -> list[Callback]:
    folder = checkpoint_path(out, "last").parent
    return [
        History(out / "history.csv"),
        ProgressBar(),
        ModelCheckpoint(
            folder,
            filename="best",
            monitor="validation_dice",
            mode="max",
            save_top_k=1,
            enable_version_counter=False,
            save_on_train_epoch_end=False,
        ),
        ModelCheckpoint(
            folder, filename="last", save_top_k=1, enable_version_counter=False, save_on_train_epoch_end=True
        ),
    ]


def _describe(experiment: Experiment, configuration: Configuration, out: Path) -> None:
    out.mkdir(parents=True)
    write_text(out / "config.yaml", configuration.to_yaml())
    write_json(out / "study.json", experiment.study.to_dict())
    write_split(out / "split.csv", experiment.split)
    experiment.presence.write(out / "presence.csv")
    write_json(out / "versions.json", versions())
