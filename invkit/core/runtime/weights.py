"""Files of weights that other libraries load: numbers are read from them, and no code is run."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["weights_only"]

FORCE, FORCE_NO = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
_environment = threading.RLock()


@contextmanager
def weights_only() -> Iterator[None]:
    """Let ``torch.load`` refuse everything but weights, whatever its caller asks for.

    ``torch.hub.load_state_dict_from_url``, through which deepinv and torchvision load their weights, runs the code of a
    pickle by default, also of a file that lies in torch's folder already. Torch's own variable of the environment
    overrides this. The variables are restored afterwards; other threads wait.
    """
    with _environment:
        before = {name: os.environ.pop(name, None) for name in (FORCE, FORCE_NO)}
        os.environ[FORCE] = "1"
        try:
            yield
        finally:
            del os.environ[FORCE]
            os.environ.update({name: value for name, value in before.items() if value is not None})
