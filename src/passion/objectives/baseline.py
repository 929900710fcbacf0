"""The baseline that the paper compares with: the task loss alone (Eq. 2)."""

from torch import Tensor

from passion.data.loading import Batch
from passion.networks.contract import Segmenter
from passion.objectives.contract import Losses, Objective, Term
from passion.objectives.segmentation import task_terms, unimodal_losses


class Baseline(Objective):
    """L_seg plus the sum of L_reg over the modalities that are present; it is also row 1 of Table 2."""

    needs_unimodal_decoder = True

    def feed(self, batch: Batch) -> Tensor:
        """What the fused prediction sees, (B, M) bool."""
        return batch.fed

    def forward(self, network: Segmenter, batch: Batch) -> Losses:
        """See `Objective.forward`."""
        encoding = network.encode(batch.images, batch.present)
        fused = network.decode(encoding, batch.every_case, self.feed(batch))
        alone = unimodal_losses(network, encoding, batch.target)
        return Losses({**task_terms(fused, batch.target), "unimodal": Term(alone)})
