"""How the page says what it knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .jobs import Job
from .store import KeptRun

__all__ = ["duration", "facts_in_words", "headline", "sentence", "when"]

ENDED_EARLY = {"interrupted": "stopped by hand, the result so far", "time limit": "stopped by the time limit"}


def duration(seconds: float) -> str:
    """``8 s``, ``2 min 5 s``, ``1 h 4 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def sentence(words: str) -> str:
    """An error's words as a sentence; a name that they begin with is left as it is."""
    begun = words[:1].upper() + words[1:] if words.startswith("the ") else words
    return begun if begun.endswith((".", "?", "!")) else f"{begun}."


def headline(job: Job, place: int) -> str:
    """What is happening to a job."""
    if job.state == "waiting":
        return "Next in the queue" if place == 1 else f"In the queue, {place} before it"
    if job.state == "saving":
        return f"Writing the files, after {duration(job.seconds)}"
    if job.step is None:
        return f"Getting ready, {duration(job.seconds)}"
    return f"At work for {duration(job.seconds)}"


def facts_in_words(kept: KeptRun) -> list[str]:
    """What is worth knowing of a run, each in a few words."""
    facts: Mapping[str, Any] = kept.facts
    said = [f"Recipe {facts['recipe']}", f"{facts['width']} × {facts['height']} pixels"]  # noqa: RUF001  times
    if facts.get("kernel"):
        height, width = facts["kernel"]
        said.append(f"kernel {width} × {height}")  # noqa: RUF001
    said.append(f"{duration(facts['seconds'])}, {facts['iterations']} iterations")
    if facts["stopped"] in ENDED_EARLY:
        said.append(ENDED_EARLY[facts["stopped"]])
    return said


def when(kept: KeptRun) -> str:
    """When a run was asked for: its name tells."""
    day, time = kept.id.split("-")[:2]
    return f"{day[:4]}-{day[4:6]}-{day[6:]} {time[:2]}:{time[2:4]}"
