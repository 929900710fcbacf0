"""Segmentation of multi-modal medical images whose modalities are missing at unequal rates.

Shi et al., "PASSION: Towards Effective Incomplete Multi-Modal Medical Image Segmentation with Imbalanced
Missing Rates", ACM Multimedia 2024.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from passion.inference import InferenceSettings
    from passion.prediction import Predictor, predict
    from passion.segmentation import Segmentation

__version__ = "0.1.0"
__all__ = ["InferenceSettings", "Predictor", "Segmentation", "predict"]

_MODULES = {"InferenceSettings": "inference", "Segmentation": "segmentation"}


def __getattr__(name: str) -> Any:
    """What is imported when it is asked for, so that `import passion` and the command line start at once."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"passion.{_MODULES.get(name, 'prediction')}"), name)
