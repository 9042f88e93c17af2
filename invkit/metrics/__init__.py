"""How good an estimate is, once a shift that no blind method can know has been taken out."""

from __future__ import annotations

from ..numerics.registration import Aligned, align, aligned_psnr, aligned_ssd, aligned_ssim, psnr, ssd, ssim

__all__ = ["Aligned", "align", "aligned_psnr", "aligned_ssd", "aligned_ssim", "psnr", "ssd", "ssim"]
