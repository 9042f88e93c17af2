"""The section of the measured figures on intervals: how many true pixels lie in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tables import table


def coverage(results: Path) -> list[str]:
    """The coverage with known and unknown kernels, if the result is committed in a folder."""
    file = results / "coverage.json"
    if not file.exists():
        return []
    report = json.loads(file.read_text(encoding="utf-8"))
    return [
        "## How sure\n\n"
        f"`{report['command']}`: three photographs of scikit-image, grey, blurred by a kernel of camera shake, with "
        "white noise. `coverage` is the share of true pixels in the 90 % interval of `uncertainty=True`; it should be "
        "0.9. `deviation` and `error` are root mean squares. `correlation` is that of the deviations with the "
        "absolute errors. The true kernel:\n\n"
        + figures(report["known kernel"])
        + "\nAn unknown kernel, at the shift of least squared error:\n\n"
        + figures(report["blind"])
    ]


def figures(rows: list[dict[str, Any]]) -> str:
    """A table of a report's rows."""
    shown = [name for name in rows[0] if name != "ratio"]
    return table(shown, [[str(row[name]) for name in shown] for row in rows])
