"""Ctrl-C ends the web page soon, quietly, and with the exit code of an interruption, whatever a browser is doing."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from narrow import known

pytest.importorskip("nicegui", reason="NiceGUI is not installed; get it with pip install 'invkit[ui]'")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no Ctrl-C to one process"),
]

SECONDS = 20  # 1 s for open requests, .3 s for the page, and what a busy machine needs to end an interpreter
HEAD = "POST /upload?name=a.png HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Invkit: 1\r\n"
REQUESTS = {
    "nothing": "",
    "half a head": HEAD[:40],
    "half an upload": HEAD + "Content-Length: 1000\r\n\r\n" + "x" * 500,
    "half an upload in pieces": HEAD + "Transfer-Encoding: chunked\r\n\r\n5\r\nxxxxx\r\n",
    "a page": "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n",
}


@pytest.mark.parametrize("request_text", REQUESTS.values(), ids=list(REQUESTS))
def test_ctrl_c_ends_the_page(tmp_path: Path, request_text: str) -> None:
    command = [sys.executable, "-c", "from invkit.apps.cli.main import main; main()"]
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    with subprocess.Popen(
        [*command, "ui", "--no-open", "--port", "0", "--folder", str(tmp_path / "ui")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=outside,
    ) as process:
        try:
            port = int(known(re.search(r":(\d+) and keeps", known(process.stdout).readline()))[1])
            with connected(port) as browser:
                browser.sendall(request_text.format(port=port).encode())
                if "upload" in request_text and "\r\n\r\n" in request_text:
                    wait_for_upload(tmp_path / "ui" / "work")
                process.send_signal(signal.SIGINT)
                begun = time.monotonic()
                said, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert time.monotonic() - begun < SECONDS
    assert process.returncode == 130
    assert said == ""
    assert not list((tmp_path / "ui" / "work").iterdir())


def connected(port: int) -> socket.socket:
    """A connection to the page, once it listens."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            return socket.create_connection(("127.0.0.1", port))
        time.sleep(0.1)
    raise AssertionError("the page does not listen")


def wait_for_upload(work: Path) -> None:
    """Wait until the page has begun to write an upload."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if [path for path in work.glob("*/photo") if path.exists()]:
            return
        time.sleep(0.05)
    raise AssertionError("the upload has not begun")
