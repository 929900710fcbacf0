"""The composition root: from a configuration to objects, from a run folder to a network."""

import inspect
import logging
import subprocess
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader

import passion
from passion.data.augment import AugmentationSettings
from passion.data.loading import (
    Crop,
    PatchSettings,
    Setting,
    TrainingPatches,
    WholeCases,
    training_loader,
)
from passion.data.split import Split, check_disjoint, read_split, write_split
from passion.data.store import PreparedStudy
from passion.data.study import Study, read_run_study
from passion.errors import InputError
from passion.files import write_json, write_text
from passion.missingness import SLICE_MARK, Presence, presence_of, read_presence
from passion.networks import Segmenter, build, network_class
from passion.objectives import Objective, objective_class
from passion.parallel import leads
from passion.training.callbacks import AtomicCheckpoints, History, ProgressBar
from passion.training.module import TrainingModule
from passion.training.settings import TrainingSettings

CheckpointName = Literal["last", "best"]


@dataclass(frozen=True)
class DataSettings:
    """What is trained on.

    Args:
        prepared: folder of the prepared study.
        split: CSV file of the split.
        presence: CSV file of the presence matrix; none: what the files themselves hold.
        setting: "idt", where a missing modality stays invisible, or "pdt", where all are there and a random
            subset is fed at each step.
        spatial_dims: 2 trains on slices along the last axis of a study of volumes; none: as the study has it.
        patch_size: extent of a patch along each axis: one number, or one a spatial axis.
        crop: where in a case's box a patch is taken, "random" or "centre".
        batch_size: patches a step.
        samples_per_epoch: patches an epoch; none: one of each case.
        workers: processes that load.
        augment: whether patches are augmented.
        augmentation: how much.
    """

    prepared: Path
    split: Path
    presence: Path | None = None
    setting: Setting = "idt"
    spatial_dims: Literal[2, 3] | None = None
    patch_size: int | list[int] = 80
    crop: Crop = "random"
    batch_size: int = 1
    samples_per_epoch: int | None = None
    workers: int = 2
    augment: bool = True
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)


@dataclass(frozen=True)
class Configuration:
    """A training run.

    Args:
        data: what is trained on.
        training: how.
        network: `name`, and arguments of the network's class.
        objective: `name`, and arguments of the objective's class.
    """

    data: DataSettings
    training: TrainingSettings
    network: Mapping[str, Any]
    objective: Mapping[str, Any]

    def to_yaml(self) -> str:
        """As a configuration file."""
        return yaml.safe_dump(_plain(asdict(self)), sort_keys=False)

    @classmethod
    def from_file(cls, path: Path) -> "Configuration":
        """The configuration that `to_yaml` wrote.

        Raises:
            InputError: unreadable, or not such a file.
        """
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            data = content["data"]
            paths = {name: Path(data[name]) for name in ("prepared", "split", "presence") if data[name]}
            augmentation = AugmentationSettings(**data["augmentation"])
            return cls(
                data=DataSettings(**{**data, **paths, "augmentation": augmentation}),
                training=TrainingSettings(**content["training"]),
                network=content["network"],
                objective=content["objective"],
            )
        except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path}: is not the configuration of a run ({reason}); train again") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value


def build_objective(options: Mapping[str, Any], inverse_presence: np.ndarray[Any, Any]) -> Objective:
    """The objective that `options` name.

    Raises:
        InputError: unknown name or options.
    """
    arguments = dict(options)
    name = arguments.pop("name")
    try:
        return objective_class(name)(torch.from_numpy(inverse_presence).float(), **arguments)
    except TypeError as error:
        raise InputError(f"objective {name!r}: {error}") from error


def build_network(
    options: Mapping[str, Any], study: Study, patch_size: int | list[int], objective: Objective
) -> Segmenter:
    """The network that `options` name, with the second decoder only where the objective asks for it.

    Raises:
        InputError: unknown name or options.
    """
    arguments = dict(options)
    name = arguments.pop("name")
    if "unimodal_decoder" in inspect.signature(network_class(name)).parameters:
        arguments["unimodal_decoder"] = objective.needs_unimodal_decoder
    return build(
        name,
        modalities=len(study.modalities),
        classes=len(study.classes),
        spatial_dims=study.spatial_dims,
        patch_size=patch_size,
        **arguments,
    )


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
    augmentation = data.augmentation if data.augment else None
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


def _strategy(devices: int) -> str | DDPStrategy:
    """Encoders of modalities that are absent get no gradient; each process keeps its own sums until an epoch ends."""
    return DDPStrategy(find_unused_parameters=True, broadcast_buffers=False) if devices > 1 else "auto"


def _check_unchanged(asked: Configuration, own: Configuration, out: Path) -> None:
    lines = zip(asked.to_yaml().splitlines(), own.to_yaml().splitlines(), strict=False)
    for now, then in lines:
        if now != then:
            raise InputError(
                f"--resume: {out} was trained with `{then.strip()}`, not `{now.strip()}`; leave the option out, or "
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


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on, and the git revision of this package where it lies in a checkout."""
    packages = {name: version(name) for name in ("torch", "lightning", "monai", "numpy", "nibabel")}
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        revision = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        revision = "unknown"
    return {"passion": passion.__version__, "git_revision": revision, **packages}


def checkpoint_path(run: Path, name: CheckpointName) -> Path:
    """Where a run's checkpoint is."""
    return run / "checkpoints" / f"{name}.ckpt"


@dataclass(frozen=True)
class TrainedRun:
    """What a run folder holds for those who apply it.

    Args:
        configuration: it was trained with.
        study: names of modalities, classes and regions.
        network: in evaluation mode.
        epoch: how many epochs the checkpoint has seen.
    """

    configuration: Configuration
    study: Study
    network: Segmenter
    epoch: int


def load_run(run: Path, checkpoint: CheckpointName, device: torch.device) -> TrainedRun:
    """Read a run folder; nothing in it is executed.

    Raises:
        InputError: not a run folder, or without that checkpoint.
    """
    study = read_run_study(run)
    configuration = Configuration.from_file(run / "config.yaml")
    objective = build_objective(configuration.objective, np.ones(len(study.modalities)))
    network = build_network(configuration.network, study, configuration.data.patch_size, objective)
    path = checkpoint_path(run, checkpoint)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        remedy = "--checkpoint last" if checkpoint == "best" else "train it first"
        raise InputError(f"{path}: no such checkpoint; {remedy}") from error
    except Exception as error:
        raise InputError(f"{path}: cannot be read as a checkpoint; resume or repeat the run") from error
    state = {
        name.removeprefix("network."): value
        for name, value in content["state_dict"].items()
        if name.startswith("network.")
    }
    network.load_state_dict(state)
    return TrainedRun(configuration, study, network.to(device).eval(), content["epoch"] + 1)
