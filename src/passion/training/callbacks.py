"""What happens around the steps: the history, the progress bar, checkpoints that are never half-written."""

import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.io import TorchCheckpointIO
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

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


class History(Callback):
    """Writes `history.csv` after each epoch, and the same numbers to TensorBoard.

    Args:
        path: of the file; rows of earlier epochs are kept when a run is resumed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.table = pd.DataFrame(columns=HISTORY_COLUMNS)
        self.started = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read back what a resumed run has written, up to this epoch."""
        self.started = time.monotonic()
        if self.table.empty and trainer.current_epoch and self.path.exists():
            table = pd.read_csv(self.path, keep_default_na=False)
            self.table = table[table["epoch"] < trainer.current_epoch]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the epoch's means; every process takes part in working them out."""
        assert isinstance(pl_module, TrainingModule)
        averages = pl_module.averages
        averages.add("seconds", torch.tensor([time.monotonic() - self.started]))
        for name, values in pl_module.objective.coefficients().items():
            averages.add(name, values, averages.modalities)
        rows = averages.table(trainer.current_epoch)
        averages.clear()
        if trainer.is_global_zero:
            self.table = rows if self.table.empty else pd.concat([self.table, rows], ignore_index=True)
            with replacing(self.path) as beside:
                self.table.to_csv(beside, index=False)
            metrics = {
                f"{row.quantity}/{row.part}".rstrip("/"): float(row.value)  # type: ignore[arg-type]
                for row in rows.itertuples()
            }
            for logger in trainer.loggers:
                logger.log_metrics(metrics, step=trainer.current_epoch)


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
        assert isinstance(pl_module, TrainingModule)
        self.progress.advance(self.task)
        if batch_idx % REFRESH_STEPS == 0:
            terms = pl_module.latest_terms()
            text = "  ".join(f"{name} {value:.3f}" for name, value in terms.items())
            self.progress.update(self.task, description=f"epoch {trainer.current_epoch + 1}  {text}")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A line for logs."""
        if self.progress is not None and not self.console.is_terminal:
            text = f"{self.progress.tasks[0].description}  ({trainer.max_epochs} epochs in all)"
            self.console.print(text, soft_wrap=True)

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
