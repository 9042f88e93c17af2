"""The files of a dataset are downloaded, checked, found by hand or refused, whatever the network or an archive does."""

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
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from signal import Signals
from typing import Any, ClassVar, NoReturn

import pooch
import pytest

from invkit.core.errors import InputError, PluginError
from invkit.core.evaluation import DatasetFile
from invkit.datasets import fetching
from invkit.datasets.fetching import absent, fetch

# requests leaves the connection of a download that another thread's failure ends to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

CONTENTS = {f"{'ab'[n // 3]}/{n % 3}.bin": bytes([n]) * (70_000 + n) for n in range(6)}
ARCHIVE = "set.zip"


class Server(BaseHTTPRequestHandler):
    """Serves ``CONTENTS`` under a first folder that says how: /plain/a/1.bin, /broken/..., /short/..."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[str]] = []
    failures: ClassVar[dict[str, int]] = {}
    trickle: ClassVar[threading.Event] = threading.Event()

    def do_GET(self) -> None:
        how, _, name = self.path[1:].partition("/")
        self.asked.append(self.path)
        if how == "redirect":
            return self.empty(302, {"Location": f"/plain/{name}"})
        if how in ("404", "503"):
            return self.empty(int(how), {})
        body = CONTENTS[name]
        body = {"changed": body[:-1] + b"!", "short": body[:-1]}.get(how, body)
        self.send_response(200)
        if how != "unsized":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return self.send(how, body)

    def send(self, how: str, body: bytes) -> None:
        if how == "always" or (how == "broken" and self.failures.setdefault(self.path, 1) > 0):
            self.failures[self.path] = 0
            self.wfile.write(body[: len(body) // 2])
        elif how == "slow":
            while not self.trickle.wait(0.001):  # so that the client can hear a signal
                self.wfile.write(body[:1000])
        else:
            self.wfile.write(body)
        self.close_connection = True

    def empty(self, code: int, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass

    def handle(self) -> None:
        with suppress(ConnectionError):  # from a client that was killed
            super().handle()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)  # before another attempt
    Server.asked, Server.failures, Server.trickle = [], {}, threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        Server.trickle.set()
        running.shutdown()
        thread.join()


def entry(url: str, name: str, content: bytes | None = None, **changes: Any) -> DatasetFile:
    content = CONTENTS[name] if content is None else content
    return DatasetFile(url, len(content), changes.pop("sha256", hashlib.sha256(content).hexdigest()), name, **changes)


def entries(server: str, how: str = "plain") -> list[DatasetFile]:
    return [entry(f"{server}/{how}/{name}", name) for name in CONTENTS]


def contents_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def leftovers(folder: Path) -> list[str]:
    return [p.name for p in folder.parent.iterdir() if p != folder]


@pytest.mark.parametrize("how", ["plain", "redirect", "broken", "unsized"])
def test_a_dataset_arrives_whole_and_nothing_else_is_left(
    server: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], how: str
) -> None:
    counted: list[int] = []
    folder = tmp_path / "data" / "toy"
    assert fetch(entries(server, how), folder, watch=counted.append) == len(CONTENTS)
    assert contents_of(folder) == CONTENTS
    assert leftovers(folder) == []
    assert sum(counted) == sum(map(len, CONTENTS.values()))
    assert capfd.readouterr() == ("", "")


def test_a_whole_dataset_is_not_downloaded_again(server: str, tmp_path: Path) -> None:
    fetch(entries(server), tmp_path / "toy")
    Server.asked.clear()
    assert fetch(entries(server), tmp_path / "toy") == 0
    assert Server.asked == []


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("404", "the server answers 404 Not Found"),
        ("503", "the server answers 503 Service Unavailable; check the connection"),
        ("always", "the connection has broken"),
        ("changed", "does not have the expected SHA-256"),
        ("short", "does not have the expected SHA-256"),
    ],
)
def test_one_bad_file_stops_the_others_and_complete_files_are_kept(
    server: str, tmp_path: Path, how: str, said: str
) -> None:
    good, folder = entries(server), tmp_path / "toy"
    bad = [*good[:-1], entry(f"{server}/{how}/b/2.bin", "b/2.bin")]
    with pytest.raises(InputError, match=rf"{server}/{how}/b/2.bin .*{said}"):
        fetch(bad, folder)
    present = contents_of(folder)
    assert present.items() <= CONTENTS.items()
    assert "b/2.bin" not in present
    Server.asked.clear()
    assert fetch(good, folder) == len(CONTENTS) - len(present)
    assert contents_of(folder) == CONTENTS
    assert len(Server.asked) == len(CONTENTS) - len(present)


def test_without_a_network_the_message_says_what_to_do(server: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the server cannot be reached.*check the connection.*HTTPS_PROXY.*are kept"):
        fetch([entry("http://127.0.0.1:9/x", "a/1.bin")], tmp_path / "toy")


def test_missing_files_are_added_and_other_files_remain(server: str, tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    fetch(entries(server), folder)
    (folder / "a/1.bin").unlink()
    (folder / "mine.txt").write_text("mine")
    assert fetch(entries(server), folder) == 1
    assert (folder / "mine.txt").read_text() == "mine"
    assert absent(entries(server), folder) == []


def test_a_file_that_differs_is_replaced_only_on_request(server: str, tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    fetch(entries(server), folder)
    (folder / "a/1.bin").write_text("edited")
    with pytest.raises(InputError, match=r"1 files in .* for example a/1.bin.*--replace"):
        fetch(entries(server), folder)
    assert (folder / "a/1.bin").read_text() == "edited"
    assert fetch(entries(server), folder, replace=True) == 1
    assert contents_of(folder) == CONTENTS


def test_a_file_that_another_process_fetches_meanwhile_does_not_differ(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looked_too_early(folder: Path, file: DatasetFile) -> bool:
        (folder / file.path).parent.mkdir(parents=True)
        (folder / file.path).write_bytes(CONTENTS[file.path])
        return False

    monkeypatch.setattr(fetching, "is_present", looked_too_early)
    wanted = entries(server)[:1]
    assert absent(wanted, tmp_path / "toy") == wanted


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_after_an_interruption_only_the_rest_is_downloaded(server: str, tmp_path: Path, sent: Signals) -> None:
    folder, wanted = tmp_path / "toy", entries(server)
    slow = [*wanted[:-1], entry(f"{server}/slow/b/2.bin", "b/2.bin", bytes(10**9))]
    code = f"""
from pathlib import Path
from invkit.core.evaluation import DatasetFile
from invkit.datasets.fetching import fetch
fetch({slow!r}, Path({str(folder)!r}))
"""
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while len(absent(wanted, folder)) > 1 or "/slow/b/2.bin" not in Server.asked:
        assert time.monotonic() < deadline
        assert process.poll() is None
        threading.Event().wait(0.02)
    process.send_signal(sent)
    _, said = process.communicate(timeout=30)
    assert process.returncode != 0
    assert ("KeyboardInterrupt" in said) == (sent == signal.SIGINT)
    Server.asked.clear()
    assert fetch(wanted, folder) == 1
    assert CONTENTS.items() <= contents_of(folder).items()
    assert Server.asked == ["/plain/b/2.bin"]


def test_a_full_disk_is_named(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: Any) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", fails)
    with pytest.raises(InputError, match=r"toy cannot be written: .*No space left.*; free space on its disk, or name"):
        fetch(entries(server), tmp_path / "toy")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the administrator may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(server: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be written"):
        fetch(entries(server), tmp_path / "toy")
    tmp_path.chmod(0o700)


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "C:/x", "a\\x", ""])
def test_a_dataset_may_not_write_outside_its_folder(tmp_path: Path, path: str) -> None:
    with pytest.raises(PluginError, match="must not write"):
        fetch([DatasetFile("http://127.0.0.1:9/x", 1, "0" * 64, path)], tmp_path / "toy")


def test_entries_without_a_web_address_or_a_digest_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="neither http nor https"):
        fetch([DatasetFile("file:///etc/passwd", 1, "0" * 64, "x")], tmp_path / "toy")
    with pytest.raises(PluginError, match="no SHA-256"):
        fetch([DatasetFile("http://127.0.0.1:9/x", 1, "0", "x")], tmp_path / "toy")


def by_hand() -> list[DatasetFile]:
    return [entry("", name) for name in CONTENTS]


def zipped(contents: dict[str, bytes] = CONTENTS) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(f"somewhere/else/{name.replace('/', '-')}", content)
    return buffer.getvalue()


def test_files_are_found_by_contents_in_a_folder_an_archive_or_the_address_of_one(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine" / "deep"
    mine.mkdir(parents=True)
    for name, content in CONTENTS.items():
        (mine / name.replace("/", "_")).write_bytes(content)
    (tmp_path / "set.zip").write_bytes(zipped())
    with tarfile.open(tmp_path / "set.tar.gz", "w:gz") as archive:
        archive.add(mine, "x")
    monkeypatch.setitem(CONTENTS, ARCHIVE, zipped())
    address = f"{server}/plain/{ARCHIVE}"
    for number, origin in enumerate([tmp_path / "mine", tmp_path / "set.zip", tmp_path / "set.tar.gz", address]):
        folder = tmp_path / f"all{number}" / "toy"
        counted: list[int] = []
        wanted = [each for each in by_hand() if each.path != ARCHIVE]
        assert fetch(wanted, folder, origin=str(origin), watch=counted.append) == len(wanted)
        assert absent(wanted, folder) == []
        assert leftovers(folder) == []
        assert sum(counted) == sum(each.size for each in wanted)
    assert len(list(mine.iterdir())) == len(wanted)  # the user's own download is unchanged


def test_files_that_ones_own_download_lacks_are_named_and_the_others_are_kept(tmp_path: Path) -> None:
    folder, names = tmp_path / "data" / "toy", list(CONTENTS)
    for number, chosen in enumerate([names[:4], names[4:]]):
        (tmp_path / f"{number}.zip").write_bytes(zipped({name: CONTENTS[name] for name in chosen}))
    with pytest.raises(InputError, match=r"6 files of the dataset have no address, for example a/0.bin, .*--from"):
        fetch(by_hand(), folder)
    with pytest.raises(InputError, match=r"2 files .* for example b/1.bin, and .*0.zip contains none"):
        fetch(by_hand(), folder, origin=str(tmp_path / "0.zip"))
    assert fetch(by_hand(), folder, origin=str(tmp_path / "1.zip")) == 2
    assert contents_of(folder) == CONTENTS


def test_files_that_ones_own_download_lacks_are_downloaded_if_they_have_an_address(server: str, tmp_path: Path) -> None:
    (tmp_path / "some.zip").write_bytes(zipped({"a/0.bin": CONTENTS["a/0.bin"]}))
    assert fetch(entries(server), tmp_path / "toy", origin=str(tmp_path / "some.zip")) == len(CONTENTS)
    assert contents_of(tmp_path / "toy") == CONTENTS
    assert len(Server.asked) == len(CONTENTS) - 1


def test_one_file_of_ones_own_may_serve_two_of_the_dataset(tmp_path: Path) -> None:
    twins = [entry("", "a/0.bin"), DatasetFile(**vars(entry("", "a/0.bin")) | {"path": "twin"})]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").write_bytes(CONTENTS["a/0.bin"])
    assert fetch(twins, tmp_path / "toy", origin=str(tmp_path / "mine")) == 2
    assert absent(twins, tmp_path / "toy") == []


def test_an_origin_that_is_no_archive_or_does_not_exist_is_refused(server: str, tmp_path: Path) -> None:
    (tmp_path / "page.zip").write_text("<html>sign in</html>")
    with pytest.raises(InputError, match="neither a zip nor a tar file"):
        fetch(by_hand(), tmp_path / "toy", origin=str(tmp_path / "page.zip"))
    with pytest.raises(InputError, match=r"there is no .*nothing"):
        fetch(by_hand(), tmp_path / "toy", origin=str(tmp_path / "nothing"))
    with pytest.raises(InputError, match=r"404/set.zip cannot be downloaded"):
        fetch(by_hand(), tmp_path / "toy", origin=f"{server}/404/set.zip")
    assert list(tmp_path.iterdir()) == [tmp_path / "page.zip"]


def test_an_archive_of_a_dataset_is_unpacked_once(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONTENTS, ARCHIVE, zipped({"a/0.bin": b"inside"}))
    for path in ("pictures", "."):
        wanted = [DatasetFile(**vars(entry(f"{server}/plain/{ARCHIVE}", ARCHIVE)) | {"path": path, "unpack": True})]
        folder = tmp_path / path.replace(".", "dot") / "toy"
        assert fetch(wanted, folder) == 1
        inside = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
        name = f"{path}/somewhere/else/a-0.bin".removeprefix("./")
        assert sorted(inside) == sorted([f"{fetching.UNPACKED_RECORDS}/{wanted[0].sha256}", name])
        assert (folder / name).read_bytes() == b"inside"
        assert fetch(wanted, folder) == 0
