"""The section of the measured figures on counts of photons."""

from __future__ import annotations

from pathlib import Path

from tables import committed, row_table


def counts(results: Path) -> list[str]:
    """Total variation with two fidelities, and stopping Richardson-Lucy, if the result is committed in a folder."""
    report = committed(results / "counts.json")
    if report is None:
        return []
    return [
        "## Counts of photons\n\n"
        f"`{report['command']}`: eight pictures of scikit-image under two kernels; the brightest pixel sends 20, 100 "
        "or 1,000 photons. PSNR, dB, means over the 16 pictures. 'mse' and 'poisson' are the fidelities at the best of "
        "eight weights for each picture. The last columns compare these two: the smallest and the largest gain of "
        "'poisson', and the share of the pictures that it improves.\n\n"
        + row_table(report["tv"])
        + "\nRichardson-Lucy after some numbers of accelerated steps from the data, after the best number of them for "
        "each picture, and as the recipe does it, which starts from a smooth image and stops at the noise:\n\n"
        + row_table(report["richardson-lucy"])
    ]
