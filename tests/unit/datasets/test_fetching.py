"""A set of files arrives whole or not at all, whatever the network, the disk or the archive does."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from invkit.core.errors import InputError, PluginError
from invkit.core.evaluation import Source
from invkit.datasets import downloads, fetching
from invkit.datasets.downloads import Download
from invkit.datasets.fetching import absent, fetch

CONTENTS = {f"{'ab'[n // 3]}/{n % 3}.bin": bytes([n]) * (70_000 + n) for n in range(6)}
ARCHIVE = "set.zip"


class Server(BaseHTTPRequestHandler):
    """Serves ``CONTENTS`` under a first folder that says how: /plain/a/1.bin, /broken/..., /norange/..."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[tuple[str, str | None]]] = []
    failures: ClassVar[dict[str, int]] = {}
    trickle: ClassVar[threading.Event] = threading.Event()

    def do_GET(self):
        how, _, name = self.path[1:].partition("/")
        self.asked.append((self.path, self.headers.get("Range")))
        if how == "redirect":
            return self.empty(302, {"Location": f"/plain/{name}"})
        if how in ("404", "503"):
            return self.empty(int(how), {})
        body = CONTENTS[name]
        if how == "changed":
            body = body[:-1] + b"!"
        if how == "short":
            body = body[:-1]
        start = self.start(how)
        if start > len(body):
            return self.empty(416, {})
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        return self.send(how, body[start:])

    def start(self, how):
        asked = self.headers.get("Range")
        return int(asked.removeprefix("bytes=").removesuffix("-")) if asked and not how.startswith("norange") else 0

    def send(self, how, body):
        if how.endswith("broken") and self.failures.setdefault(self.path, 2) > 0:
            self.failures[self.path] -= 1
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        elif how == "always":
            self.close_connection = True
        elif how == "slow":
            self.wfile.write(body[:20_000])
            while not self.trickle.wait(0.02):  # a byte now and then, so that the client can hear a signal
                self.wfile.write(body[-1:])
            self.close_connection = True
        else:
            self.wfile.write(body)

    def empty(self, code, headers):
        self.send_response(code)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *arguments):
        pass

    def handle(self):
        with suppress(ConnectionError):  # from a client that was killed
            super().handle()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(downloads, "PAUSE", 0.0)
    Server.asked, Server.failures, Server.trickle = [], {}, threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        Server.trickle.set()
        running.shutdown()
        thread.join()


def source(url, name, content=None, **changes):
    content = CONTENTS[name] if content is None else content
    return Source(url, len(content), changes.pop("sha256", hashlib.sha256(content).hexdigest()), name, **changes)


def sources(server, how="plain"):
    return [source(f"{server}/{how}/{name}", name) for name in CONTENTS]


def whole(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == CONTENTS


def leftovers(folder):
    return [p.name for p in folder.parent.iterdir() if p != folder]


@pytest.mark.parametrize("how", ["plain", "redirect", "broken", "norange", "norange-broken"])
def test_a_set_arrives_whole_and_nothing_else_is_left(server, tmp_path, how):
    counted = []
    folder = tmp_path / "data" / "toy"
    assert fetch(sources(server, how), folder, watch=counted.append) == len(CONTENTS)
    assert whole(folder)
    assert leftovers(folder) == []
    assert sum(counted) == sum(map(len, CONTENTS.values()))


def test_a_whole_set_is_not_asked_for_again(server, tmp_path):
    fetch(sources(server), tmp_path / "toy")
    asked = len(Server.asked)
    assert fetch(sources(server), tmp_path / "toy") == 0
    assert len(Server.asked) == asked


def test_a_broken_connection_goes_on_where_it_stopped(server, tmp_path):
    content = CONTENTS["a/1.bin"]
    Download(f"{server}/broken/a/1.bin", tmp_path / "part", len(content)).run()
    assert (tmp_path / "part").read_bytes() == content
    half = len(content) // 2
    assert [asked for _, asked in Server.asked] == [
        None,
        f"bytes={half}-",
        f"bytes={half + (len(content) - half) // 2}-",
    ]


def test_a_part_longer_than_the_file_and_one_that_the_server_does_not_know_are_begun_anew(server, tmp_path):
    part = tmp_path / "part"
    part.write_bytes(b"x" * 100_000)
    Download(f"{server}/plain/a/1.bin", part, len(CONTENTS["a/1.bin"])).run()
    assert part.read_bytes() == CONTENTS["a/1.bin"]
    part.write_bytes(b"x" * 100_000)
    Download(f"{server}/plain/a/1.bin", part).run()  # of unknown size: the server answers 416
    assert part.read_bytes() == CONTENTS["a/1.bin"]


def test_a_resumed_file_that_turns_out_wrong_is_fetched_once_more_in_full(server, tmp_path):
    wanted = sources(server)[0]
    gathering = fetching.Gathering(tmp_path / "toy", [wanted], lambda count: None)
    gathering.parts.mkdir(parents=True)
    gathering.part(wanted).write_bytes(b"rubbish")
    assert fetch([wanted], tmp_path / "toy") == 1
    assert (tmp_path / "toy" / wanted.path).read_bytes() == CONTENTS[wanted.path]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("404", "answers 404"),
        ("503", "answers 503 Service Unavailable; check the connection"),
        ("always", "connection ended after 0 of 7"),
        ("changed", "has not the SHA-256"),
        ("short", "instead of 7"),
    ],
)
def test_one_bad_file_stops_the_set_and_what_came_is_used_the_next_time(server, tmp_path, how, said):
    good, folder = sources(server), tmp_path / "toy"
    bad = [*good[:-1], source(f"{server}/{how}/b/2.bin", "b/2.bin")]
    with pytest.raises(InputError, match=said):
        fetch(bad, folder)
    assert not folder.exists()
    Server.asked.clear()
    assert fetch(good, folder) == len(CONTENTS)
    assert whole(folder)
    assert len(Server.asked) <= len(CONTENTS)


def test_no_network_is_said_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "PAUSE", 0.0)
    with pytest.raises(InputError, match=r"cannot be downloaded: .*refused.*; check the connection"):
        fetch([source("http://127.0.0.1:9/x", "a/1.bin")], tmp_path / "toy")


def test_a_file_of_more_bytes_than_said_is_cut_off(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "extent", lambda response: (0, None))
    with pytest.raises(InputError, match="more bytes than it should have"):
        Download(f"{server}/plain/a/1.bin", tmp_path / "part", 1000).run()
    assert (tmp_path / "part").stat().st_size <= 1000


def test_a_set_with_missing_files_is_completed_and_other_files_stay(server, tmp_path):
    folder = tmp_path / "toy"
    fetch(sources(server), folder)
    (folder / "a/1.bin").unlink()
    (folder / "mine.txt").write_text("mine")
    assert fetch(sources(server), folder) == 1
    assert (folder / "mine.txt").read_text() == "mine"
    assert absent(sources(server), folder) == []


def test_a_file_that_differs_is_replaced_only_when_asked(server, tmp_path):
    folder = tmp_path / "toy"
    fetch(sources(server), folder)
    (folder / "a/1.bin").write_text("edited")
    with pytest.raises(InputError, match=r"1 files in .* as a/1.bin.*--replace"):
        fetch(sources(server), folder)
    assert (folder / "a/1.bin").read_text() == "edited"
    assert fetch(sources(server), folder, replace=True) == 1
    assert whole(folder)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_fetch_leaves_no_set_and_goes_on(server, tmp_path, sent):
    folder, wanted = tmp_path / "toy", sources(server)
    slow = [*wanted[:-1], source(f"{server}/slow/b/2.bin", "b/2.bin")]
    code = f"""
from pathlib import Path
from invkit.core.evaluation import Source
from invkit.datasets.fetching import fetch
fetch({slow!r}, Path({str(folder)!r}))
"""
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    gathering = fetching.Gathering(folder, wanted, lambda count: None)
    slowest = gathering.part(wanted[-1])
    deadline = time.monotonic() + 30
    while not (all(map(gathering.arrived, wanted[:-1])) and slowest.exists() and slowest.stat().st_size >= 20_000):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(sent)
    _, said = process.communicate(timeout=30)
    assert process.returncode != 0
    assert ("KeyboardInterrupt" in said) == (sent == signal.SIGINT)
    assert not folder.exists()
    held = slowest.stat().st_size
    Server.asked.clear()
    Server.trickle.set()
    assert fetch(wanted, folder) == len(CONTENTS)
    assert whole(folder)
    assert Server.asked == [("/plain/b/2.bin", f"bytes={held}-")]


def test_two_fetches_of_a_set_do_not_mix(server, tmp_path):
    gathering = fetching.Gathering(tmp_path / "toy", sources(server), lambda count: None)
    with gathering.alone(), pytest.raises(InputError, match="by another process"):
        fetch(sources(server), tmp_path / "toy")
    assert fetch(sources(server), tmp_path / "toy") == len(CONTENTS)


def test_a_full_disk_is_said_before_and_while_it_happens(server, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(fetching.shutil, "disk_usage", lambda place: type("Usage", (), {"free": 100}))
        with pytest.raises(InputError, match=r"is full; free 0 MB, or name another folder"):
            fetch(sources(server), tmp_path / "toy")
    assert Server.asked == []

    def fails(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Download, "write", fails)
    with pytest.raises(InputError, match="is full"):
        fetch(sources(server), tmp_path / "toy")
    assert not (tmp_path / "toy").exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the administrator may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(server, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="nothing can be fetched to"):
        fetch(sources(server), tmp_path / "toy")
    tmp_path.chmod(0o700)


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "C:/x", "a\\x", ""])
def test_a_dataset_may_not_write_outside_its_folder(tmp_path, path):
    with pytest.raises(PluginError, match="must not write"):
        fetch([Source("http://127.0.0.1:9/x", 1, "0" * 64, path)], tmp_path / "toy")


def test_addresses_of_files_and_digests_that_are_none_are_refused(tmp_path):
    with pytest.raises(PluginError, match="neither http nor https"):
        fetch([Source("file:///etc/passwd", 1, "0" * 64, "x")], tmp_path / "toy")
    with pytest.raises(PluginError, match="no SHA-256"):
        fetch([Source("http://127.0.0.1:9/x", 1, "0", "x")], tmp_path / "toy")


def by_hand():
    return [source("", name) for name in CONTENTS]


def zipped(contents=CONTENTS):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(f"somewhere/else/{name.replace('/', '-')}", content)
    return buffer.getvalue()


def test_files_are_found_by_contents_in_a_folder_an_archive_or_the_address_of_one(server, tmp_path, monkeypatch):
    mine = tmp_path / "mine" / "deep"
    mine.mkdir(parents=True)
    for name, content in CONTENTS.items():
        (mine / name.replace("/", "_")).write_bytes(content)
    (tmp_path / "set.zip").write_bytes(zipped())
    with tarfile.open(tmp_path / "set.tar.gz", "w:gz") as archive:
        archive.add(mine, "x")
    monkeypatch.setitem(CONTENTS, ARCHIVE, zipped())
    address = f"{server}/broken/{ARCHIVE}"
    for number, given in enumerate([tmp_path / "mine", tmp_path / "set.zip", tmp_path / "set.tar.gz", address]):
        folder = tmp_path / f"all{number}" / "toy"
        wanted = [each for each in by_hand() if each.path != ARCHIVE]
        assert fetch(wanted, folder, given=str(given)) == len(wanted)
        assert absent(wanted, folder) == []
        assert leftovers(folder) == []
    assert len(list(mine.iterdir())) == len(wanted)  # one's own download is left as it was


def test_what_is_not_in_ones_own_download_is_named_and_the_rest_is_kept(tmp_path):
    folder, names = tmp_path / "data" / "toy", list(CONTENTS)
    for number, chosen in enumerate([names[:4], names[4:]]):
        (tmp_path / f"{number}.zip").write_bytes(zipped({name: CONTENTS[name] for name in chosen}))
    with pytest.raises(InputError, match=r"6 files of the set have no address, as a/0.bin; .*--from"):
        fetch(by_hand(), folder)
    with pytest.raises(InputError, match=r"2 files of the set are not in .*0.zip, as b/1.bin"):
        fetch(by_hand(), folder, given=str(tmp_path / "0.zip"))
    assert not folder.exists()
    assert fetch(by_hand(), folder, given=str(tmp_path / "1.zip")) == len(CONTENTS)
    assert whole(folder)


def test_what_ones_own_download_lacks_is_downloaded_where_it_has_an_address(server, tmp_path):
    (tmp_path / "some.zip").write_bytes(zipped({"a/0.bin": CONTENTS["a/0.bin"]}))
    assert fetch(sources(server), tmp_path / "toy", given=str(tmp_path / "some.zip")) == len(CONTENTS)
    assert whole(tmp_path / "toy")
    assert len(Server.asked) == len(CONTENTS) - 1


def test_one_file_of_ones_own_may_serve_two_of_the_set(tmp_path):
    twins = [source("", "a/0.bin"), Source(**vars(source("", "a/0.bin")) | {"path": "twin"})]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").write_bytes(CONTENTS["a/0.bin"])
    assert fetch(twins, tmp_path / "toy", given=str(tmp_path / "mine")) == 2
    assert absent(twins, tmp_path / "toy") == []


def test_a_download_that_is_no_archive_or_nowhere_is_refused(tmp_path):
    (tmp_path / "page.zip").write_text("<html>sign in</html>")
    with pytest.raises(InputError, match="neither a zip nor a tar file"):
        fetch(by_hand(), tmp_path / "toy", given=str(tmp_path / "page.zip"))
    with pytest.raises(InputError, match=r"there is no .*nothing"):
        fetch(by_hand(), tmp_path / "toy", given=str(tmp_path / "nothing"))


def test_an_archive_of_a_set_is_unpacked_once(server, tmp_path, monkeypatch):
    monkeypatch.setitem(CONTENTS, ARCHIVE, zipped({"a/0.bin": b"inside"}))
    for path in ("pictures", "."):
        wanted = [Source(**vars(source(f"{server}/plain/{ARCHIVE}", ARCHIVE)) | {"path": path, "unpack": True})]
        folder = tmp_path / path.replace(".", "dot") / "toy"
        assert fetch(wanted, folder) == 1
        assert (folder / path / "somewhere/else/a-0.bin").read_bytes() == b"inside"
        assert fetch(wanted, folder) == 0
