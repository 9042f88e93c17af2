"""Everything that only a GPU can show, within ten minutes: its tests, an iteration, and SelfDeblur at its full length.

    INVKIT_DATA=/path/to/data python benchmarks/speed/gpu.py [--budget 600] [--output benchmarks/results/gpu.json]
    python benchmarks/speed/gpu.py --device cpu --tiny --output FILE   # all parts with tiny sizes, without a GPU

| part | content | share of the budget |
|---|---|---:|
| tests | the tests that need a GPU | 10 % |
| iteration | `selfdeblur` and `selfdeblur-released` in float32, TF32 and bfloat16: plain PyTorch, and invkit with and \
without graphs | 20 % |
| images | both recipes on Levin's images one by one, 5000 iterations; PSNR, also of the published image | 35 % |
| batch | the same on the four images of a kernel at once; their networks are branches of one graph | 25 % |
| command | `invkit bench speed` of three recipes | 10 % |

The parts run in this order, each in a process of its own: a part that fails or hangs costs itself alone. A part that
ends early leaves its time to the later ones. Each single result is written to the file at once. An end by force loses
only what is being measured. Without Levin's images, the bundled photograph with synthetic blurs takes their place.

"float32" of a recipe means TF32 on a GPU: torch rounds the factors of convolutions unless it is told not to. Here, TF32
is called by its name, and "float32" is without this rounding.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from invkit.core.files import write_atomically
from invkit.media.output import strict_json

SPEED = Path(__file__).parent
RESULTS = SPEED.parent / "results" / "gpu.json"
SHARES = {"tests": 0.10, "iteration": 0.20, "images": 0.35, "batch": 0.25, "command": 0.10}
"""The parts in their order, the most important first, with their shares of the budget."""

GRACE = 3.0  # seconds that a part may take longer than its time, as it looks at the clock between two measurements
LAST_LINES = 20  # of the messages of a part that failed


@dataclass(frozen=True)
class PartRequest:
    """What a part is asked for.

    Attributes:
        part: its name.
        device: as for `invkit.deblur`.
        tiny: whether all sizes are tiny.
        data: the folder of all data, or None.
        seconds: the time that it has.
    """

    part: str
    device: str
    tiny: bool
    data: str | None
    seconds: float


def run_part(request: PartRequest, keep: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Run a part in a process of its own, which is killed if it takes longer than its time.

    Args:
        request: the part.
        keep: is called with each result as soon as it is there.

    Returns:
        ``status`` ("done", "cut" or "failed"), ``seconds``, and the ``error`` of a part that failed.
    """
    words = [sys.executable, str(SPEED / "gpu_parts.py"), json.dumps(asdict(request))]
    started, lines = time.monotonic(), queue.Queue[str | None]()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as messages:
        # A session of its own, so that the processes that it starts are killed with it.
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=messages, text=True, encoding="utf-8", start_new_session=True
        )
        assert process.stdout is not None
        reader = threading.Thread(target=pass_on, args=(process.stdout, lines), daemon=True)
        reader.start()
        try:
            is_complete = receive(lines, started + request.seconds + GRACE, keep)
            code = process.wait(GRACE) if is_complete else None
        except subprocess.TimeoutExpired:  # all results are there, and only the end of the process hangs
            code = 0
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            reader.join(GRACE)
        outcome = {"status": "cut" if code is None else "failed" if code else "done"}
        if code:
            messages.seek(0)
            outcome["error"] = f"exit code {code}: " + "".join(messages.readlines()[-LAST_LINES:])
    return {**outcome, "seconds": round(time.monotonic() - started, 1)}


def pass_on(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    """Put each line of a stream into a queue, and None after the last one; close the stream."""
    with stream:
        for line in stream:
            lines.put(line)
    lines.put(None)


def receive(lines: queue.Queue[str | None], deadline: float, keep: Callable[[dict[str, Any]], None]) -> bool:
    """Keep each line, which is a result as JSON, until the last one or the deadline; returns whether all were received.

    Args:
        lines: as `pass_on` fills it.
        deadline: on the monotonic clock, seconds.
        keep: is called with each result.
    """
    while True:
        try:
            line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return False
        if line is None:
            return True
        keep(json.loads(line))


class GPUReport:
    """The one file, written again after each result.

    Args:
        path: the file.
        facts: the command and its options.
    """

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        self.path = path
        self.content: dict[str, Any] = {**facts, "machine": {}, "parts": {}}

    def save(self) -> None:
        """Write the file, completely or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, strict_json(self.content).encode())

    def keep(self, part: str, result: dict[str, Any]) -> None:
        """Add a result to a part; it replaces an earlier one with the same key, which it continues.

        Args:
            part: the name of the part.
            result: JSON-like, with a "key"; the key "machine" belongs to the whole file.
        """
        key = result.pop("key")
        if key == "machine":
            self.content["machine"] = result
        else:
            rows = {row["key"]: row for row in self.content["parts"][part]["results"]} | {key: {"key": key, **result}}
            self.content["parts"][part]["results"] = list(rows.values())
        self.save()


def run_all(options: argparse.Namespace, report: GPUReport) -> None:
    """Run the chosen parts within the budget; a part may take what the earlier ones have left of their time."""
    deadline, parts = time.monotonic() + options.budget, chosen_parts(options.parts)
    for place, part in enumerate(parts):
        later = sum(SHARES[other] for other in parts[place + 1 :]) / sum(SHARES[other] for other in parts)
        seconds = deadline - time.monotonic() - later * options.budget - GRACE
        entry = report.content["parts"][part] = {"status": "running", "limit_seconds": round(seconds, 1), "results": []}
        if seconds <= 0:
            report.content["parts"][part] = {"status": "skipped", "error": "no time was left", "results": []}
            report.save()
            continue
        report.save()
        print(f"{part}: at most {seconds:.0f} s", flush=True)
        request = PartRequest(part, options.device, options.tiny, options.data, seconds)
        entry |= run_part(request, lambda result, part=part: report.keep(part, result))  # type: ignore[misc]
        report.save()
        print(f"{part}: {entry['status']} after {entry['seconds']:.0f} s, {len(entry['results'])} results", flush=True)


def chosen_parts(names: str | None) -> list[str]:
    """The parts of a comma-separated list, in their order; all if there is no list."""
    wanted = list(SHARES) if names is None else names.split(",")
    unknown = sorted(set(wanted) - set(SHARES))
    if unknown:
        raise SystemExit(f"there is no part '{unknown[0]}'; the parts are {', '.join(SHARES)}")
    return [part for part in SHARES if part in wanted]


def failed_parts(parts: Iterable[tuple[str, dict[str, Any]]]) -> list[str]:
    """The names of the parts that failed."""
    return [name for name, part in parts if part["status"] == "failed"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="as for invkit deblur")
    parser.add_argument("--budget", type=float, default=600.0, metavar="SECONDS", help="of all parts together")
    parser.add_argument(
        "--data", default=os.environ.get("INVKIT_DATA"), help="folder of all data; default: INVKIT_DATA"
    )
    parser.add_argument("--parts", metavar="A,B,...", help=f"some of {', '.join(SHARES)}")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, to check that all parts work")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.output == RESULTS and (options.tiny or options.device == "cpu"):
        parser.error(f"{RESULTS.name} is for the figures of a GPU at full size; give another --output")
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM)
    )  # the running part is killed on the way out
    facts = {"command": shlex.join(["python", *sys.argv]), "budget_seconds": options.budget, "tiny": options.tiny}
    report = GPUReport(options.output, facts)
    run_all(options, report)
    print(f"written to {options.output}")
    failed = failed_parts(report.content["parts"].items())
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}; see 'error' in {options.output}")


if __name__ == "__main__":
    main()
