"""The section of the measured figures on intervals: how many true pixels lie in them."""

from __future__ import annotations

from pathlib import Path

from tables import committed, row_table


def coverage(results: Path) -> list[str]:
    """The coverage with known and unknown kernels, if the result is committed in a folder."""
    report = committed(results / "coverage.json")
    if report is None:
        return []
    return [
        "## How sure\n\n"
        f"`{report['command']}`: three photographs of scikit-image, grey, blurred by a kernel of camera shake, with "
        "white noise. `coverage` is the share of true pixels in the 90 % interval of `uncertainty=True`; it should be "
        "0.9. `deviation` and `error` are root mean squares. `correlation` is that of the deviations with the "
        "absolute errors. The true kernel:\n\n"
        + row_table(report["known kernel"], ["ratio"])
        + "\nAn unknown kernel, at the shift of least squared error:\n\n"
        + row_table(report["blind"], ["ratio"])
    ]
