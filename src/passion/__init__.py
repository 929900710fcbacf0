"""Segmentation of multi-modal medical images whose modalities are missing at unequal rates.

Shi et al., "PASSION: Towards Effective Incomplete Multi-Modal Medical Image Segmentation with Imbalanced
Missing Rates", ACM Multimedia 2024.
"""

__version__ = "0.1.0"
