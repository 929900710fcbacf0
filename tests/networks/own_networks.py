"""Networks as a user might bring them: an ordinary one, and a Segmenter."""

import torch
from torch import Tensor, nn

from passion.networks import Decoding, Encoding, Segmenter
from passion.networks.early_fusion import Images


class TwoConvolutions(nn.Module):
    """Maps (B, channels, X, Y) to logits."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 6, 3, padding=1)
        self.last = nn.Conv2d(6, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(x)))


class SumOfModalities(Segmenter):
    """One convolution a modality; the sum of those that are seen, convolved once more."""

    def __init__(self, modalities: int, classes: int, spatial_dims: int, patch_size: int, hidden: int = 4) -> None:
        super().__init__(modalities, classes, spatial_dims, [patch_size] * spatial_dims)
        self.each = nn.ModuleList(nn.Conv2d(1, hidden, 3, padding=1) for _ in range(modalities))
        self.last = nn.Conv2d(hidden, classes, 1)

    def encode(self, images: Tensor, present: Tensor) -> Encoding:
        coded = torch.stack([layer(images[:, m, None]) for m, layer in enumerate(self.each)], 1)
        return Images(present, torch.where(present[:, :, None, None, None], coded, 0.0))

    def decode(self, encoding: Encoding, case: Tensor, subset: Tensor) -> Decoding:
        features = (encoding.images[case] * subset[:, :, None, None, None]).sum(1)
        return Decoding(self.last(features), (), features)


class BrightIsForeground(Segmenter):
    """Knows the answer: class 1 is where the mean of the modalities that are seen is above 2; nothing is learnt."""

    def __init__(self, modalities: int, classes: int, spatial_dims: int, patch_size: int) -> None:
        super().__init__(modalities, classes, spatial_dims, [patch_size] * spatial_dims)
        self.unused = nn.Parameter(torch.zeros(1))

    def encode(self, images: Tensor, present: Tensor) -> Encoding:
        return Images(present, images)

    def decode(self, encoding: Encoding, case: Tensor, subset: Tensor) -> Decoding:
        seen = subset.reshape(*subset.shape, *[1] * self.spatial_dims).float()
        mean = (encoding.images[case] * seen).sum(1, keepdim=True) / seen.sum(1, keepdim=True)
        logits = torch.cat([torch.zeros_like(mean), 10 * (mean - 2)], 1) + 0 * self.unused
        return Decoding(logits, (), mean)
