"""The tables of the page Measured: their titles, the commands that make them, and remarks."""

from __future__ import annotations

__all__ = ["REMARKS", "SUITES"]

SUITES = {
    "calibration": (
        "Photographs that nobody looked at",
        "python benchmarks/calibration/make.py\n"
        "python benchmarks/calibration/report.py --recipe fast --recipe best --cases 76 --processes 2 "
        "--output benchmarks/results/calibration.md",
    ),
    "table3": (
        "Levin's 32 images by every method",
        "invkit bench run benchmarks/table3.toml --preset cpu --output benchmarked/table3\n"
        "invkit bench table benchmarked/table3 --metrics psnr,ssim,error-ratio,cpu-seconds --interval none "
        "--published --output benchmarks/results/table3.md",
    ),
    "table3_true": (
        "The same with the true kernel sizes",
        "invkit bench run benchmarks/table3.toml --preset true-sizes --recipes fast-map,cho-lee,pan-l0 "
        "--output benchmarked/table3_true\n"
        "invkit bench table benchmarked/table3_true --metrics psnr,ssim,error-ratio,cpu-seconds --interval none "
        "--output benchmarks/results/table3_true.md",
    ),
    "levin_2011": (
        "Levin's 32 images by levin-2011, with two last steps",
        "invkit bench run benchmarks/levin_2011.toml --output benchmarked/levin_2011\n"
        "invkit bench table benchmarked/levin_2011 --interval none --published "
        "--output benchmarks/results/levin_2011.md",
    ),
    "levin_2011_true": (
        "The same with the true kernel sizes, with the last step of the recipe",
        "invkit bench run benchmarks/levin_2011.toml --preset true-sizes --recipes levin-2011 "
        "--output benchmarked/levin_2011_true\n"
        "invkit bench table benchmarked/levin_2011_true --interval none "
        "--output benchmarks/results/levin_2011_true.md",
    ),
    "unknown": (
        "Levin's images, unknown kernel size",
        "invkit bench run benchmarks/levin_harder.toml --preset unknown --recipes fast,best "
        "--output benchmarked/unknown\n"
        "invkit bench table benchmarked/unknown --metrics psnr,ssim,error-ratio,cpu-seconds --interval none "
        "--output benchmarks/results/unknown.md",
    ),
    **{
        f"noise{percent}": (
            f"Levin's images with additional noise of {percent / 100}",
            f"invkit bench run benchmarks/levin_harder.toml --preset noise{percent} "
            f"--output benchmarked/noise{percent}\n"
            f"invkit bench table benchmarked/noise{percent} --metrics psnr,ssim,error-ratio,cpu-seconds "
            f"--interval none --output benchmarks/results/noise{percent}.md",
        )
        for percent in (1, 2, 5)
    },
    "noise1_network": (
        "Four of Levin's images with additional noise of 0.01, with a network",
        "invkit bench run benchmarks/levin_harder.toml --preset noise1 --limit 4 "
        "--recipes selfdeblur-small,fast,pan-l0 --output benchmarked/noise1_network\n"
        "invkit bench table benchmarked/noise1_network --metrics psnr,ssim,error-ratio,cpu-seconds --interval none "
        "--output benchmarks/results/noise1_network.md",
    ),
    "held_out": (
        "Photographs on which no setting was chosen",
        "python benchmarks/held_out.py\n"
        "invkit bench run benchmarks/held_out.toml --output benchmarked/held_out\n"
        "invkit bench table benchmarked/held_out --metrics aligned-psnr,aligned-ssim,kernel-similarity,cpu-seconds "
        "--interval none --output benchmarks/results/held_out.md",
    ),
    "ablation": (
        "The contribution of each part of fast and best",
        "python benchmarks/held_out.py\n"
        "invkit bench run benchmarks/ablation.toml --output benchmarked/ablation\n"
        "invkit bench table benchmarked/ablation --interval none --output benchmarks/results/ablation.md",
    ),
    "table4_best": (
        "Twenty of Lai's images",
        "invkit bench run benchmarks/table4.toml --preset cpu --recipes best,fast --limit 20 "
        "--output benchmarked/table4_best\n"
        "invkit bench table benchmarked/table4_best --by category --metrics psnr-paper,psnr,cpu-seconds "
        "--interval none --output benchmarks/results/table4_best.md",
    ),
    "table4_fast": (
        "Lai's 100 images",
        "invkit bench run benchmarks/table4.toml --preset cpu --recipes fast --output benchmarked/table4_fast\n"
        "invkit bench table benchmarked/table4_fast --by category --metrics psnr-paper,psnr,cpu-seconds "
        "--interval none --published --output benchmarks/results/table4_fast.md",
    ),
    "table4_five": (
        "Five of Lai's images by nine methods",
        "invkit bench run benchmarks/table4.toml --preset cpu --recipes zuo-2016,sun-2013,srn,pan-l0,fast,"
        "chan-wong-tv,levin-2011,perrone-favaro,michaeli-irani --limit 5 --output benchmarked/table4_five\n"
        "invkit bench table benchmarked/table4_five --metrics psnr-paper,ssim-paper,cpu-seconds --interval none "
        "--published --output benchmarks/results/table4_five.md",
    ),
    "table4": (
        "Lai's 100 images by single candidates",
        "invkit bench run benchmarks/table4.toml --preset cpu --recipes fast-map,pan-l0 --output benchmarked/table4\n"
        "invkit bench table benchmarked/table4 --by category --metrics psnr-paper,psnr,cpu-seconds --interval none "
        "--published --output benchmarks/results/table4.md",
    ),
    "successors": (
        "Successors of SelfDeblur",
        "pip install ./plugins/invkit-wdip ./plugins/invkit-vdip ./plugins/invkit-noise-robust\n"
        "invkit bench run benchmarks/successors.toml --output benchmarked/successors\n"
        "invkit bench table benchmarked/successors --interval none --output benchmarks/results/successors.md",
    ),
    "table1": (
        "Joint or alternating optimisation",
        "invkit bench run benchmarks/table1.toml --preset cpu --output benchmarked/table1\n"
        "invkit bench table benchmarked/table1 --published --output benchmarks/results/table1.md",
    ),
    "table1_squared": (
        "Joint or alternating optimisation, with the loss of the paper",
        "invkit bench run benchmarks/table1.toml --preset squared --output benchmarked/table1_squared\n"
        "invkit bench table benchmarked/table1_squared --interval none --output benchmarks/results/table1_squared.md",
    ),
    "table2": (
        "Networks for the kernel",
        "invkit bench run benchmarks/table2.toml --preset cpu --output benchmarked/table2\n"
        "invkit bench table benchmarked/table2 --published --output benchmarks/results/table2.md",
    ),
    "table2_squared": (
        "Networks for the kernel, with the loss of the paper",
        "invkit bench run benchmarks/table2.toml --preset squared --output benchmarked/table2_squared\n"
        "invkit bench table benchmarked/table2_squared --interval none --output benchmarks/results/table2_squared.md",
    ),
}
"""The tables that may be committed, by file name: title, and the commands that make the table."""

FORMER = "`fast` and `best` are here as they were before decision 18."
REMARKS = {
    "calibration": "The part `report` of the calibration set, on which nothing was chosen. The kernel size is unknown. "
    "The gap is the distance to the restoration with the true kernel by the recipe's own last step. The seconds of "
    "`best` were measured while other programs used the machine. Where the camera turned, which it did in half of the "
    "shaken cases, that kernel is the one at the centre of the picture.",
    "noise2": FORMER,
    "noise5": FORMER,
    "noise1_network": FORMER,
    "held_out": FORMER,
    "ablation": FORMER,
    "table4_best": FORMER,
    "successors": "SelfDeblur's authors report failures on image 3 with kernel 6 and on image 4 with kernel 8; the "
    "small network succeeds on both. VDIP is better than SelfDeblur on three of the four images, W-DIP on two. The "
    "noise-robust method is made for noise and is worse without it; its settings for 800 iterations were not tuned.",
    "table3": "The published rows of classical methods end with another deconvolution: with the true kernel it gives "
    "34.53 dB, and the one used here 35.60. `zuo-2016` has a schedule learned here, not its authors'; it loses most on "
    "kernel 6, whose faint stroke it finds on one of the four images only. With large kernels, `perrone-favaro` and "
    "`chan-wong-tv` lose at the middle scales of their pyramid; the rule that `chan-wong-tv` follows to normalise its "
    "kernel was chosen after both rules were seen on four of these images. `srn` has the weights of a small network "
    "that was trained for minutes and knows a single kernel. `selfdeblur-small` was measured with an earlier version. "
    "Other programs ran at the same time, which affects the seconds of the processor a little.",
    "noise1": f"{FORMER} On one image (4, 4) `best` selects a wrong kernel, and `fast` does not: with more candidates, "
    "it happens more often that a wrong one looks best because of noise.",
    "table4_five": "One image of each category, with different kernels; the published rows are means over all 100, so "
    "they do not compare.",
    "table4": "Both recipes end with the deconvolution as it was before decision 11.",
    "table4_fast": f"{FORMER} The seconds are those of the processor; other programs ran at the same time.",
    "table1": "In the paper, joint optimisation is 2.5 dB better after 5000 iterations. In this preset, whose loss is "
    "1 - SSIM after 100 iterations, alternating optimisation is half a decibel better on these three images. With the "
    "loss of the paper (next table), the order is that of the paper.",
    "table2": "As in the paper, one hidden layer is best, two layers are slightly worse, and no hidden layer is worst. "
    "In contrast to the paper, Double-DIP is not worse, with either loss, in 600 iterations of a small network; the "
    "reason was not found.",
}
"""A remark below the commands of a table."""
