"""Metrics: how good an estimate is, after removal of a shift that no blind method can determine."""

from typing import TYPE_CHECKING

from ..core.lazy import lazy_attributes, lazy_names

if TYPE_CHECKING:
    from ..numerics.registration import Aligned, align, aligned_psnr, aligned_ssd, aligned_ssim
    from ..numerics.similarity import psnr, ssd, ssim

__all__ = ["Aligned", "align", "aligned_psnr", "aligned_ssd", "aligned_ssim", "psnr", "ssd", "ssim"]

FUNCTIONS = {
    **dict.fromkeys(
        ("Aligned", "align", "aligned_psnr", "aligned_ssd", "aligned_ssim"), "invkit.numerics.registration"
    ),
    **dict.fromkeys(("psnr", "ssd", "ssim"), "invkit.numerics.similarity"),
}

__getattr__ = lazy_attributes(__name__, FUNCTIONS)
__dir__ = lazy_names(__name__, FUNCTIONS)
