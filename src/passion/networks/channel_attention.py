"""M2FTrans's fusion of the coarse levels: the channels of a fused map attend to those of the modalities' maps."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from passion.networks.blocks import CONVOLUTIONS, convolution
from passion.networks.contract import ModalityList
from passion.networks.modalitywise import Pairs

EXPANSION = 4
CHANNEL_NORM_EPS = 1e-6


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each voxel."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=CHANNEL_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(P, C, *space) -> the same shape."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


def grouped_mixing(spatial_dims: int, channels: int, expansion: int) -> nn.Sequential:
    """1x1, 3x3 in `channels` groups, 1x1: each followed by a channel norm, the first two by GELU.

    Args:
        spatial_dims: 2 or 3.
        channels: C, in and out.
        expansion: the middle has `expansion` C channels.
    """
    operation = CONVOLUTIONS[spatial_dims]
    middle = expansion * channels
    grouped = operation(middle, middle, 3, padding=1, groups=channels)
    nn.init.kaiming_normal_(grouped.weight)
    return nn.Sequential(
        convolution(spatial_dims, channels, middle, kernel=1), ChannelNorm(middle), nn.GELU(),
        grouped, ChannelNorm(middle), nn.GELU(),
        convolution(spatial_dims, middle, channels, kernel=1), ChannelNorm(channels),
    )  # fmt: skip


class ChannelAttention(nn.Module):
    """The channels of a fused map attend to the channels of the modalities' maps.

    Args:
        spatial_dims: 2 or 3.
        modalities: M.
        channels: C of every map.
        dropout: rate on the result.
    """

    def __init__(self, spatial_dims: int, modalities: int, channels: int, dropout: float) -> None:
        super().__init__()
        self.query_map = grouped_mixing(spatial_dims, channels, 1)
        self.key_maps = ModalityList(grouped_mixing(spatial_dims, channels, 1) for _ in range(modalities))
        self.value_maps = ModalityList(grouped_mixing(spatial_dims, channels, 1) for _ in range(modalities))
        self.project = grouped_mixing(spatial_dims, channels, 1)
        self.drop = nn.Dropout(dropout)

    def forward(self, fused: Tensor, maps: Tensor, pairs: Pairs) -> Tensor:
        """Fused (P, C, *space) and maps (Q, C, *space), one a pair -> (P, C, *space)."""
        query = self.query_map(fused).flatten(2)
        shape = (len(fused), len(self.key_maps), *query.shape[1:])
        seen = torch.zeros(shape[:3], dtype=torch.bool, device=fused.device)
        seen[pairs.answer, pairs.modality] = True
        keys, values = (
            place(_of_each(layers, maps, pairs).flatten(2), pairs, shape).flatten(1, 2)
            for layers in (self.key_maps, self.value_maps)
        )
        mixed = F.scaled_dot_product_attention(query, keys, values, seen.flatten(1, 2).unsqueeze(1))
        out: Tensor = fused + self.drop(self.project(mixed.view(fused.shape)))
        return out


def _of_each(layers: ModalityList, maps: Tensor, pairs: Pairs) -> Tensor:
    """Each pair's map (Q, C, *space) through the layers of its modality."""
    parts = [layer(maps[group]) for layer, group in zip(layers, pairs.groups, strict=True) if len(group)]
    return torch.cat(parts)[pairs.place]


def place(values: Tensor, pairs: Pairs, shape: Sequence[int]) -> Tensor:
    """One value a pair, (Q, ...), in its place of (P, M, ...); zeros elsewhere."""
    return values.new_zeros(*shape).index_put((pairs.answer, pairs.modality), values)


class CrossBlock(nn.Module):
    """Channel attention, then feed-forward networks on the fused map and on the modalities' maps.

    Args:
        spatial_dims: 2 or 3.
        modalities: M.
        channels: C of every map.
        dropout: rate in the attention.
        last: whether no block follows, so that the modalities' maps are not needed any more.
    """

    def __init__(self, spatial_dims: int, modalities: int, channels: int, dropout: float, last: bool) -> None:
        super().__init__()
        self.attention = ChannelAttention(spatial_dims, modalities, channels, dropout)
        self.feed_fused = grouped_mixing(spatial_dims, channels, EXPANSION)
        self.feed_maps = None if last else grouped_mixing(spatial_dims, channels, EXPANSION)

    def forward(self, fused: Tensor, maps: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Fused (P, C, *space) and maps (Q, C, *space) -> the same, one block later."""
        fused = self.attention(fused, maps, pairs)
        fused = F.gelu(fused + self.feed_fused(fused))
        return fused, maps if self.feed_maps is None else F.gelu(maps + self.feed_maps(maps))
