"""The process that restores one photograph, ``python -m invkit.apps.ui.worker``.

It gets ready, which takes seconds that nobody should have to wait for, and says so. Then it waits for one `Order` on
its standard input and tells `News` on its standard output. It ends when that input is closed: with the page, however
that ended.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import traceback
from typing import TYPE_CHECKING, TextIO

from ...core.errors import InvkitError
from .messages import FINISH, Done, Failed, Order, Ready

if TYPE_CHECKING:
    from .messages import News

__all__ = ["main"]


class Teller:
    """Writes news to what was the standard output; what libraries print there goes to the standard error instead."""

    def __init__(self) -> None:
        self.channel: TextIO = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def __call__(self, news: News) -> None:
        """One line; ends the process where nobody hears it."""
        try:
            self.channel.write(news.model_dump_json() + "\n")
            self.channel.flush()
        except BrokenPipeError:
            os._exit(1)


def main() -> None:
    """Do one order and end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # heard during a solve (`deferred_interrupt`); else of no effect
    tell = Teller()
    from .restoring import restored, warm_up

    warm_up()
    tell(Ready())
    line = sys.stdin.readline()
    if not line.strip():
        return
    threading.Thread(target=listen, daemon=True).start()
    try:
        restored(Order.model_validate_json(line), tell)
        tell(Done())
    except (InvkitError, OSError) as error:
        tell(Failed(words=str(error)))
    except Exception as error:
        traceback.print_exc()
        kind = type(error).__name__
        tell(Failed(words=f"invkit met a fault of its own ({kind}: {error}); where is written in its terminal"))


def listen() -> None:
    """Hear what the page says during the solve."""
    for line in sys.stdin:
        if line.strip() == FINISH:
            _thread.interrupt_main()
    os._exit(1)  # the page is gone, and nobody will look at the result


if __name__ == "__main__":
    main()
