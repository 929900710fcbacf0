"""The training step, as the paper writes it."""

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from passion.data.loading import Batch
from passion.data.study import Study
from passion.data.whole_cases import WholeCase
from passion.evaluation.metrics import dice, region_mask
from passion.inference import answerable, segment
from passion.networks.contract import Segmenter, all_subsets
from passion.objectives import Losses, Objective, measure_preference
from passion.training.averages import Averages
from passion.training.settings import TrainingSettings


class TrainingModule(LightningModule):
    """A network, an objective, and AdamW with poly decay.

    Modules of a modality's own, such as its encoder, get no gradient where no sample of a step has the modality, and
    AdamW passes them over: neither weight decay nor old moments act on them. The part of a shared parameter that is
    for an absent modality has a gradient of 0, and weight decay and old moments go on moving it.

    Args:
        network: to train.
        objective: what to minimise.
        study: names of modalities and regions.
        settings: of the optimiser and of what is measured.
    """

    def __init__(self, network: Segmenter, objective: Objective, study: Study, settings: TrainingSettings) -> None:
        super().__init__()
        self.network = network
        self.objective = objective
        self.study = study
        self.settings = settings
        self.averages = Averages(study.modalities)
        self._latest: dict[str, Tensor] = {}

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """One step on a batch."""
        if self.settings.compile:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        # Dropout follows from seed, step and process alone, so that resuming is exact.
        seeds = np.random.SeedSequence([self.settings.seed, self.global_step, self.global_rank])
        torch.manual_seed(int(seeds.generate_state(1)[0]))
        losses: Losses = self.objective(self.network, batch)
        self._latest = {name: term.per_sample.detach().mean() for name, term in losses.terms.items()}
        self.averages.add_losses(losses, batch.present)
        every = self.settings.preference_every
        if losses.preference is None and every and batch_index % every == 0:
            self.averages.add_preference(measure_preference(self.network, batch), batch.present)
        return losses.total

    def latest_terms(self) -> dict[str, float]:
        """Weighted loss terms of the latest step, for people; waits for the device."""
        return {name: float(value) for name, value in self._latest.items()}

    def validation_step(self, whole: WholeCase, batch_index: int) -> None:
        """Dice of one case, averaged over the subsets that it can answer, for each region."""
        subsets = answerable(all_subsets(len(self.study.modalities)), whole.present[0])
        labels = segment(self.network, whole.images, whole.present, subsets).numpy()
        reference = whole.case.read_target(whole.box)
        scores = []
        for region in self.study.regions:
            classes = self.study.region_classes(region)
            truth = region_mask(reference, classes)
            scores.append(sum(dice(region_mask(label, classes), truth) for label in labels) / len(labels))
        self.averages.add("validation_dice", torch.tensor(scores), list(self.study.regions))

    def on_validation_epoch_end(self) -> None:
        """Make the mean over cases, subsets and averaged regions known to the checkpoints."""
        averaged = torch.tensor([region.averaged for region in self.study.regions.values()])
        mean = self.averages.mean("validation_dice")[averaged].mean()
        self.log("validation_dice", mean.float(), sync_dist=False, logger=False)

    def on_train_epoch_start(self) -> None:
        """Set the learning rate from the epoch alone, so that there is no schedule to restore."""
        rate = self.settings.learning_rate * self._decay()
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate
        self.averages.add("learning_rate", torch.tensor([rate]))

    def _decay(self) -> float:
        return float((1 - self.current_epoch / self.settings.epochs) ** self.settings.power)

    def on_train_epoch_end(self) -> None:
        """Let the objective move on; the callbacks before have noted what held in this epoch."""
        self.objective.end_epoch()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over network and objective."""
        settings = self.settings
        return torch.optim.AdamW(
            self.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            amsgrad=settings.amsgrad,
            fused=True,
        )

    def transfer_batch_to_device(
        self, batch: Batch | WholeCase, device: torch.device, dataloader_idx: int
    ) -> Batch | WholeCase:
        """Masks stay on the CPU, where rows are picked; what the workers left of augmentation is done on the device."""
        moved = batch.to(device)
        return moved.augmented() if isinstance(moved, Batch) else moved
