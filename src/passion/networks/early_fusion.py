"""Any ordinary network as one that can be asked about subsets: modalities are channels, zeros where one is not seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from passion.errors import InputError
from passion.networks.blocks import upsample
from passion.networks.contract import Decoding, Encoding, PerModality, Segmenter
from passion.plugins import import_class

FROM_STUDY = ("in_channels", "out_channels", "spatial_dims")
"""Arguments that MONAI's networks have, and that follow from the study."""

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class Images(Encoding):
    """Nothing is encoded: the images themselves.

    Args:
        images: (B, M, *space).
    """

    images: Tensor


class EarlyFusion(Segmenter, PerModality):
    """A network that maps (B, M, *space) to logits, made to answer for subsets by filling zeros in.

    Its deep heads, if it has any, are the further entries of a list that it returns, or of a tensor
    (B, heads, K, *space) as MONAI's DynUNet stacks them. A network without deep heads is supervised and distilled at
    the final level alone. The features are what enters the last convolution that has K output channels, up-sampled
    to full size where they are coarser.

    Args:
        modalities: M.
        classes: K, the background included.
        spatial_dims: 2 or 3.
        patch_size: extent of a window, one number or one a spatial axis; what is allowed depends on the network.
        class_path: of the network's class, such as `monai.networks.nets.BasicUNet`.
        init_args: its arguments; `in_channels`, `out_channels` and `spatial_dims` are filled in where it has them.
        features_layer: name of the layer, as in `named_modules()`, whose input are the features; None: see above.

    Raises:
        InputError: no such class, arguments that do not fit, or no layer to take features from.

    >>> options = {"class_path": "monai.networks.nets.SegResNet", "init_args": {"init_filters": 8}}
    >>> network = EarlyFusion(modalities=2, classes=3, spatial_dims=2, patch_size=32, **options)
    >>> encoding = network.encode(torch.ones(1, 2, 32, 32), torch.tensor([[True, True]]))
    >>> network.decode(encoding, torch.tensor([0]), torch.tensor([[True, False]])).features.shape
    torch.Size([1, 8, 32, 32])
    """

    TINY: ClassVar = {"init_args": {"features": [4, 4, 8, 8, 16, 4]}}

    def __init__(
        self,
        modalities: int,
        classes: int,
        spatial_dims: int = 3,
        patch_size: int | Sequence[int] = 80,
        class_path: str = "monai.networks.nets.BasicUNet",
        init_args: Mapping[str, Any] | None = None,
        features_layer: str | None = None,
    ) -> None:
        sizes = [patch_size] * spatial_dims if isinstance(patch_size, int) else patch_size
        super().__init__(modalities, classes, spatial_dims, sizes)
        filled = dict(zip(FROM_STUDY, (modalities, classes, spatial_dims), strict=True))
        self.network = construct(class_path, {**filled, **(init_args or {})}, optional=FROM_STUDY)
        self.register_buffer("order", torch.arange(modalities))
        self._entered: Tensor | None = None
        for layer in self._feature_layers(features_layer):
            layer.register_forward_pre_hook(self._note_input)

    order: Tensor

    def _feature_layers(self, name: str | None) -> list[nn.Module]:
        layers = dict(self.network.named_modules())
        if name is not None:
            if name not in layers:
                raise InputError(f"--network.features_layer {name}: no such layer; the last is {list(layers)[-1]!r}")
            return [layers[name]]
        found: list[nn.Module] = [
            layer for layer in layers.values() if isinstance(layer, CONVOLUTIONS) and layer.out_channels == self.classes
        ]
        if not found:
            raise InputError(
                f"{type(self.network).__name__}: no convolution has {self.classes} output channels; name the layer "
                "whose input are the features with --network.features_layer"
            )
        return found

    def _note_input(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._entered = inputs[0]

    def reorder_modalities(self, order: Tensor) -> None:
        """See `PerModality`."""
        self.order.copy_(order.argsort()[self.order])

    def encode(self, images: Tensor, present: Tensor) -> Images:
        """See `Segmenter.encode`."""
        return Images(present, images)

    def decode(self, encoding: Encoding, case: Tensor, subset: Tensor) -> Decoding:
        """See `Segmenter.decode`."""
        assert isinstance(encoding, Images)
        images = encoding.images
        seen = (subset & encoding.present[case]).to(images.device, non_blocking=True)
        rows = images[case.to(images.device, non_blocking=True)]
        rows = torch.where(seen.view(*seen.shape, *[1] * self.spatial_dims), rows, 0.0)
        logits, *deep = self._heads(self.network(rows[:, self.order]))
        size = rows.shape[2:]
        if logits.shape[1:] != (self.classes, *size):
            raise InputError(
                f"{type(self.network).__name__} answers with {tuple(logits.shape[1:])}, expected "
                f"{(self.classes, *size)}: {self.classes} classes at full size"
            )
        entered, self._entered = self._entered, None
        assert entered is not None
        return Decoding(logits, tuple(deep), upsample(entered, size))

    def _heads(self, out: Any) -> Sequence[Tensor]:
        if isinstance(out, Tensor):
            return out.unbind(1) if out.ndim == self.spatial_dims + 3 else (out,)
        return tuple(out)


def construct(class_path: str, arguments: Mapping[str, Any], optional: Sequence[str]) -> nn.Module:
    """An object of a class; those of the `optional` arguments that it has not are left out.

    Raises:
        InputError: no such class, or arguments that do not fit.
    """
    cls = import_class(class_path, nn.Module)
    known = signature(cls).parameters
    takes_any = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in known.values())
    taken = {key: value for key, value in arguments.items() if takes_any or key in known or key not in optional}
    try:
        return cls(**taken)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"network {class_path}: {' '.join(str(error).split())}; see --network.init_args") from error
