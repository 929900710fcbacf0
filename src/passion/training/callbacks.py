"""What happens around the steps: the history, the progress bar, checkpoints that are never half-written."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from passion.errors import InputError
from passion.files import replacing
from passion.training.averages import HISTORY_COLUMNS
from passion.training.module import TrainingModule

REFRESH_STEPS = 5
"""Steps between looks at the losses: each look waits for the device."""


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place, syncs it and renames it."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """See Lightning's `CheckpointIO`."""
        with replacing(Path(path)) as beside:
            torch.save(checkpoint, beside)


class Checkpoint(ModelCheckpoint):
    """Lightning's, which would forget the best score where a run folder has been moved."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Bring the paths of the state, which are absolute, to where the folder is now."""
        assert self.dirpath is not None
        folder = Path(self.dirpath)

        def moved(path: str) -> str:
            return str(folder / Path(path).name) if path else path

        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        best = {moved(path): score for path, score in state_dict["best_k_models"].items()}
        own = {"dirpath": self.dirpath, "best_k_models": best, **{name: moved(state_dict[name]) for name in paths}}
        super().load_state_dict({**state_dict, **own})


class History(Callback):
    """Writes `history.csv` after each epoch, and the same numbers to TensorBoard, before the epoch's checkpoint.

    Args:
        path: of the file; rows of earlier epochs are kept when a run is resumed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.table = pd.DataFrame(columns=HISTORY_COLUMNS)
        self.started = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read back what a resumed run has written, up to this epoch; to TensorBoard it is written anew."""
        if trainer.is_global_zero and trainer.current_epoch and self.path.exists():
            table = pd.read_csv(self.path, keep_default_na=False, float_precision="round_trip")
            self.table = table[table["epoch"] < trainer.current_epoch]
            for epoch in range(trainer.current_epoch):
                self._log(trainer, epoch, self.table[self.table["epoch"] == epoch])

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self.started = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the epoch's means; every process takes part in working them out.

        Raises:
            InputError: one of them is not finite: the training has diverged.
        """
        assert isinstance(pl_module, TrainingModule)
        averages = pl_module.averages
        averages.add("seconds", torch.tensor([time.monotonic() - self.started]))
        for name, values in pl_module.objective.coefficients().items():
            averages.add(name, values, averages.modalities)
        rows = averages.table(trainer.current_epoch)
        averages.clear()
        broken = rows[~np.isfinite(rows["value"])]
        if len(broken):
            first, rate = broken.iloc[0], pl_module.settings.learning_rate
            raise InputError(
                f"epoch {trainer.current_epoch + 1}: {first['quantity']} is {first['value']}, the training has "
                f"diverged; train anew with a smaller --training.learning_rate than {rate:g}"
            )
        if trainer.is_global_zero:
            self.table = rows if self.table.empty else pd.concat([self.table, rows], ignore_index=True)
            with replacing(self.path) as beside:
                self.table.to_csv(beside, index=False)
            self._log(trainer, trainer.current_epoch, rows)

    def _log(self, trainer: Trainer, epoch: int, rows: pd.DataFrame) -> None:
        metrics = {
            f"{row.quantity}/{row.part}".rstrip("/"): float(row.value)  # type: ignore[arg-type]
            for row in rows.itertuples()
        }
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=epoch)
            logger.save()


class ProgressBar(Callback):
    """One bar over all steps with the time left and the current loss; a line an epoch where nobody watches."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self.progress: Progress | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar."""
        if trainer.is_global_zero:
            columns = (
                TextColumn("Training", table_column=Column(min_width=len("Training"))), BarColumn(20),
                MofNCompleteColumn(), TimeRemainingColumn(),
                TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis")),
            )  # fmt: skip
            self.progress = Progress(*columns, console=self.console)
            self.progress.start()
            steps = int(trainer.num_training_batches)
            self.task = self.progress.add_task(
                "", total=steps * (trainer.max_epochs or 0), completed=steps * trainer.current_epoch
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move on; now and then look at the loss terms."""
        if self.progress is None:
            return
        self.progress.advance(self.task)
        if self.console.is_terminal and batch_idx % REFRESH_STEPS == 0:
            self.progress.update(self.task, description=_state(trainer, pl_module))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A line for logs."""
        if self.progress is not None and not self.console.is_terminal:
            self.console.print(f"{_state(trainer, pl_module)}  ({trainer.max_epochs} epochs in all)", soft_wrap=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the bar as it stands."""
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the bar as it stands."""
        self._stop()

    def _stop(self) -> None:
        if self.progress is not None:
            self.progress.stop()
            self.progress = None


def _state(trainer: Trainer, module: LightningModule) -> str:
    """The epoch and its latest losses, for people."""
    assert isinstance(module, TrainingModule)
    terms = "  ".join(f"{name} {value:.3f}" for name, value in module.latest_terms().items())
    return f"epoch {trainer.current_epoch + 1}  {terms}"
