"""The process that does the work of one version: a word on its input, a line of JSON on its output.

Each version has a process of its own: what one sets for the process, as invkit the C library's allocator, or leaves
behind in memory, would change the others.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
from contextlib import redirect_stdout
from typing import Any, TextIO

from ...core.errors import InvkitError, is_out_of_memory
from .setting import Setting, Size

__all__ = ["arguments_of", "main"]


class Work:
    """A version, ready to be timed; raises `InvkitError` where there is no such device."""

    def __init__(self, version: str, setting: Setting) -> None:
        import torch

        from ...core.runtime.memory import OPT_OUT
        from ...pipeline.options import choose_device
        from .laps import Memory
        from .subjects import subject_of

        if setting.threads:
            torch.set_num_threads(setting.threads)
        self.device = choose_device(setting.device)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        self.memory, self.is_plain = Memory(self.device), version == "plain"
        self.allocator = os.environ.setdefault(OPT_OUT, "")
        self.subject = subject_of(version, setting.size, self.device)

    def answer(self, word: str) -> dict[str, Any]:
        """What a word asks for: "survey" or "run"."""
        return self.survey() if word == "survey" else self.run()

    def survey(self) -> dict[str, Any]:
        """Arithmetic, traffic and peaks of all stages, between two runs that do what only first runs do.

        The C library gives freed memory back for it: else each stage had the peak of those before it.
        """
        from ...core.runtime.memory import OPT_OUT, keep_large_blocks
        from .laps import Survey

        os.environ[OPT_OUT] = "1"
        keep_large_blocks.cache_clear()
        self.run()
        with Survey(self.device) as survey:
            self.subject.run(survey)
        os.environ[OPT_OUT] = self.allocator
        keep_large_blocks.cache_clear()
        if not self.is_plain:
            keep_large_blocks()
        self.run()
        self.memory.reset()
        return {"stages": survey.told(), "machine": machine(self.device)}

    def run(self) -> dict[str, Any]:
        """Seconds of the stages, and the most memory since the survey."""
        from .laps import Stopwatch

        watch = Stopwatch(self.device)
        self.subject.run(watch)
        return {"seconds": watch.seconds, "peak_bytes": self.memory.peak()}


def machine(device: Any) -> dict[str, Any]:
    """What figures depend on besides invkit."""
    import torch

    gpu = {"gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": str(device),
        **gpu,
        "processor": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def arguments_of(version: str, setting: Setting) -> list[str]:
    """The command line of a worker."""
    size = setting.size
    sizes = [size.channels, size.side, size.kernel, size.matrix, size.megabytes]
    told = json.dumps([version, sizes, setting.device, setting.threads])
    return [sys.executable, "-m", __name__, told]


def main(told: str, words: TextIO, answers: TextIO) -> None:
    """Answer words until there are none; an error that the user can mend is an answer too, and the last."""
    version, sizes, device, threads = json.loads(told)
    from .subjects import UnavailableError

    try:
        with redirect_stdout(sys.stderr):  # whatever libraries say is no answer
            work = Work(version, Setting(Size(*sizes), device, threads))
            for word in words:
                print(json.dumps(work.answer(word.strip())), file=answers, flush=True)
    except UnavailableError as error:
        print(json.dumps({"unavailable": str(error)}), file=answers, flush=True)
    except (InvkitError, RuntimeError, MemoryError) as error:
        if not isinstance(error, InvkitError) and not is_out_of_memory(error):
            raise
        print(json.dumps({"error": str(error)}), file=answers, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the command's, which ends its workers
    main(sys.argv[1], sys.stdin, sys.stdout)
