"""What a training run can be told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained; the defaults are the paper's settings for BraTS2020.

    Args:
        epochs: passes over the training cases.
        learning_rate: of AdamW at the start.
        weight_decay: of AdamW.
        amsgrad: the AMSGrad variant (as in the published code).
        power: the learning rate of epoch e is learning_rate (1 - e / epochs)^power.
        precision: "32-true", or "bf16-mixed" for bf16 in the network; the losses are always computed in fp32.
        recompute: activation checkpointing: less memory for more time, the same results.
        compile: compile encoders and decoders with `torch.compile`, on a GPU as CUDA graphs, one for each count of
            present modalities; the first steps then take minutes.
        start_from: folder of a run whose weights to begin with, of the same network; modalities are matched by name.
        seed: of initial weights, order, patches, augmentation and dropout.
        validate_every: epochs between validations over all subsets; 0: never.
        preference_every: steps between measurements of relative preference where the objective does not measure
            it itself; 0: never.
        accelerator: cpu, gpu, or auto: a GPU where there is one that runs CUDA or ROCm.
        devices: how many processes or devices.
    """

    epochs: int = 300
    learning_rate: float = 2e-4
    weight_decay: float = 1e-4
    amsgrad: bool = True
    power: float = 0.9
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    recompute: bool = False
    start_from: Path | None = None
    compile: bool = False
    seed: int = 0
    validate_every: int = 10
    preference_every: int = 10
    accelerator: str = "auto"
    devices: int = 1
