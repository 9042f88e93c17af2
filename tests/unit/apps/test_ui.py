"""The parts of the web page that need no browser: requests, limits, pictures, the folder, the recipes."""

from __future__ import annotations

import asyncio
import io
import socket
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from narrow import known
from PIL import Image

pytest.importorskip("nicegui", reason="NiceGUI is not installed; get it with pip install 'invkit[ui]'")

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from invkit.apps.ui.components import as_sentence
from invkit.apps.ui.guard import Guard
from invkit.apps.ui.messages import AUTO_CHOICE, RestorationRequest
from invkit.apps.ui.page import offered_recipes
from invkit.apps.ui.photo_reader import read_apart
from invkit.apps.ui.server import base_name, free_port
from invkit.apps.ui.store import FACTS_FILE, VIEW_FOLDER, KeptRun, RunStore, new_id
from invkit.apps.ui.uploads import THUMBNAIL_SIDE, UploadLimits, Uploads, browser_jpeg, read_photo, stored_jpeg
from invkit.core import registry
from invkit.core.errors import InputError
from invkit.recipes.model import load_recipe

FACTS_OF_A_RUN = (
    '{"request": {"photo": "../a b.png"}, "recipe": "fast", "stopped": "finished", "seconds": 1.5, "iterations": 7, '
    '"width": 12, "height": 8, "kernel": [3, 5], "warnings": ["dark"]}'
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    opened = RunStore(tmp_path / "ui")
    yield opened
    opened.close()


def kept(store: RunStore, **files: bytes) -> KeptRun:
    made = store.new_work() / "run"
    (made / VIEW_FOLDER).mkdir(parents=True)
    (made / VIEW_FOLDER / FACTS_FILE).write_text(FACTS_OF_A_RUN)
    for name, content in files.items():
        (made / name.replace("_", ".")).write_bytes(content)
    run = new_id()
    store.keep(made, run)
    return known(store.find(run))


def picture_file(path: Path, shape: tuple[int, int] = (8, 12), kind: str = "PNG") -> Path:
    Image.fromarray(np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)).save(path, format=kind)
    return path


def test_serving_the_page_imports_no_torch() -> None:
    code = "import sys, invkit.apps.ui.server; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_imports_neither_torch_nor_nicegui() -> None:
    code = (
        "import sys; sys.argv = ['invkit', 'ui', '--help']\nfrom invkit.apps.cli.main import main\ntry: main()\n"
        "except SystemExit: pass\nassert not {'torch', 'nicegui'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("kernel_size", 0, "the kernel size must be a whole number of pixels above 0, or empty; got 0"),
        ("kernel_size", 7.5, "the kernel size must be a whole number"),
        ("time_limit", -1, "the time limit must be a number of seconds"),
        ("seed", -1, "the seed must be a whole number"),
        ("crop", {"left": -1, "top": 0, "width": 5, "height": 5}, "the crop must be a region within the photograph"),
        ("crop", {"left": 0, "top": 0, "width": 0, "height": 5}, "the crop must be a region within the photograph"),
        ("color", "green", "the color must be 'luma', 'rgb' or empty; got 'green'"),
    ],
)
def test_the_values_of_the_form_are_checked(field: str, value: float | dict[str, int] | str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        RestorationRequest.from_form({"photo": "a.png", field: value})


@given(st.text(max_size=300))
def test_a_download_has_a_name_that_is_no_path(photo: str) -> None:
    stem = RestorationRequest(photo=photo).file_stem
    assert 0 < len(stem) <= 80
    assert all(letter.isalnum() or letter in "-_" for letter in stem)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("C:\\photos\\cat.jpg", "cat.jpg"),
        ("/etc/passwd", "passwd"),
        ("cat.jpg", "cat.jpg"),
        ("/", "photo"),
        (300 * "a", 200 * "a"),
    ],
)
def test_names_of_uploads_lose_their_folders(given: str, name: str) -> None:
    assert base_name(given) == name


def test_every_recipe_that_is_offered_restores_one_photograph() -> None:
    recipes = offered_recipes()
    assert list(recipes)[:3] == [AUTO_CHOICE, "fast", "best"]
    assert not {"tomography", "sense", "multi-frame", "inpaint-tv", "sparse-admm", "wiener", "super-resolution"} & set(
        recipes
    )
    for name in set(recipes) - {AUTO_CHOICE}:
        operator = registry.load("operators", load_recipe(name).operator.name)
        assert operator.data_range is not None, f"{name} does not take pictures"
        assert not load_recipe(name).is_nonblind, f"{name} needs a kernel"


def test_a_broken_recipe_is_left_out() -> None:
    registry.register("recipes", "torn", "name = [")
    try:
        assert "torn" not in offered_recipes()
    finally:
        registry.unregister("recipes", "torn")


def test_a_text_file_is_refused_by_the_name_that_the_visitor_knows(tmp_path: Path) -> None:
    path = tmp_path / "photo"
    path.write_text("no picture")
    with pytest.raises(InputError, match=r"^notes\.txt is not a photograph .* PNG, JPEG, TIFF, BMP, WebP$"):
        read_photo(path, "notes.txt", UploadLimits())


def test_a_damaged_picture_is_refused_by_the_name_that_the_visitor_knows(tmp_path: Path) -> None:
    path = picture_file(tmp_path / "photo", (64, 64), "BMP")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"^cat\.png is truncated or damaged"):
        read_photo(path, "cat.png", UploadLimits())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP"])
def test_pixels_are_counted_before_they_are_read(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = picture_file(tmp_path / "photo", (20, 60), kind)
    monkeypatch.setattr("invkit.apps.ui.uploads.decode", lambda path: pytest.fail("the pixels were read"))
    with pytest.raises(InputError, match=r"60 x 20 pixels, more than 0\.001 megapixels"):
        read_photo(path, "cat", UploadLimits(megapixels=0.001))


def test_a_file_is_refused_as_soon_as_it_is_too_large(store: RunStore) -> None:
    read = []

    async def chunks() -> AsyncIterator[bytes]:
        for index in range(100):
            read.append(index)
            yield bytes(1000)

    uploads = Uploads(store, UploadLimits(megabytes=0.01))
    with pytest.raises(InputError, match=r"larger than 0\.01 MB"):
        asyncio.run(uploads.receive(chunks(), store.new_work()))
    assert len(read) == 11  # ten are just allowed


def test_an_upload_has_a_name_made_here_and_is_deleted_on_request(store: RunStore, tmp_path: Path) -> None:
    uploads = Uploads(store, UploadLimits())
    upload = uploads.copy(picture_file(tmp_path / "x.png"), "../../evil.png")
    assert (upload.width, upload.height) == (12, 8)
    assert upload.path == store.work / upload.id / "original.png"
    assert store.work_file(upload.id, "photo.jpg") is not None
    uploads.delete(upload.id)
    assert not list(store.work.iterdir())


def test_a_large_picture_is_shown_smaller_and_a_small_one_as_it_is() -> None:
    large, small = np.zeros((300, 4000, 3)), np.zeros((30, 40))
    assert Image.open(io.BytesIO(browser_jpeg(large))).size == (1600, 120)
    assert Image.open(io.BytesIO(browser_jpeg(small))).size == (40, 30)
    assert Image.open(io.BytesIO(browser_jpeg(large, THUMBNAIL_SIDE))).size == (320, 24)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_tiff_of_any_depth_is_shown_in_its_greys(tmp_path: Path, dtype: type[Any]) -> None:
    white = 1.0 if dtype == np.float32 else np.iinfo(dtype).max
    tifffile.imwrite(tmp_path / "a.tif", np.full((16, 16), white / 2).astype(dtype))
    picture = np.asarray(Image.open(io.BytesIO(stored_jpeg(read_photo(tmp_path / "a.tif", "a", UploadLimits())))))
    assert np.abs(picture.astype(int) - 127).max() <= 2  # rounding, and JPEG of a flat area


def test_opacity_is_not_browser_jpeg() -> None:
    half_opaque = np.dstack([np.full((16, 16, 3), 255, np.uint8), np.full((16, 16), 128, np.uint8)])
    assert np.asarray(Image.open(io.BytesIO(browser_jpeg(half_opaque)))).min() == 255


def test_the_newest_run_is_first_and_deleted_ones_are_gone(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter(["20260101-000000-00000000", "20260102-000000-00000000"])
    monkeypatch.setattr(sys.modules[__name__], "new_id", lambda: next(names))
    older, newer = kept(store), kept(store)
    assert [run.id for run in store.gallery()] == [newer.id, older.id]
    store.delete(newer.id)
    assert [run.id for run in store.gallery()] == [older.id]
    assert store.changes == 3


def test_a_folder_without_facts_is_no_run(store: RunStore) -> None:
    (store.runs / new_id()).mkdir()
    (store.runs / "notes").mkdir()
    assert store.gallery() == []


@pytest.mark.parametrize("run", ["..", "../work", "", "20260101-000000-0000000g", "20260101-000000-00000000/.."])
def test_no_name_leads_out_of_the_folder(store: RunStore, run: str) -> None:
    assert store.find(run) is None
    assert store.work_file(run, "photo.jpg") is None
    store.delete(run)
    assert store.runs.is_dir()


@pytest.mark.parametrize("name", ["../facts.json", "view/facts.json", "facts.json", "..", "view"])
def test_only_files_of_a_run_can_be_loaded(store: RunStore, name: str) -> None:
    assert kept(store, image_png=b"1").file(name) is None


def test_the_archive_holds_the_files_of_a_run_in_a_folder_of_a_plain_name(store: RunStore) -> None:
    run = kept(store, image_png=b"1", result_json=b"2")
    with zipfile.ZipFile(store.write_archive(run)) as archive:
        assert sorted(archive.namelist()) == ["___a_b/image.png", "___a_b/result.json"]


def test_a_folder_serves_one_page_at_a_time(store: RunStore) -> None:
    with pytest.raises(InputError, match="another invkit ui uses"):
        RunStore(store.folder)


def test_unfinished_work_is_removed_at_the_next_start(tmp_path: Path) -> None:
    first = RunStore(tmp_path)
    left = first.new_work()
    first._lock.release()  # as after a crash
    second = RunStore(tmp_path)
    assert not left.exists()
    second.close()


def test_a_folder_that_cannot_be_made_is_refused_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be written .* give another --folder"):
        RunStore(tmp_path / "file" / "ui")


def test_a_port_that_is_taken_is_replaced_by_another() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        assert free_port("127.0.0.1", taken) not in (0, taken)


def test_an_address_of_another_machine_is_refused_with_a_remedy() -> None:
    with pytest.raises(InputError, match=r"cannot be served at 192\.0\.2\.1 .* give another --host"):
        free_port("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("message", "text"), [("the file is", "The file is."), ("a.png?", "a.png?"), ("a.png", "a.png.")]
)
def test_messages_become_sentences(message: str, text: str) -> None:
    assert as_sentence(message) == text


# Doors.


@pytest.mark.parametrize(
    "facts",
    [
        "",
        "[" * 100_000,
        '{"request": {"photo": "a.png"}}',
        FACTS_OF_A_RUN.replace("1.5", "1e999"),
        FACTS_OF_A_RUN.replace("[3, 5]", "[3]"),
        FACTS_OF_A_RUN.replace('"fast"', "7"),
        FACTS_OF_A_RUN.replace("7", "9" * 5000),
    ],
)
def test_a_damaged_run_is_named_and_hides_no_other(store: RunStore, facts: str) -> None:
    whole, broken = kept(store), kept(store)
    (broken.folder / VIEW_FOLDER / FACTS_FILE).write_text(facts)
    assert [run.id for run in store.gallery()] == [whole.id]
    assert store.damaged() == [broken.id]
    assert store.find(broken.id) is None


def answered(origin: str | None, kind: str = "http") -> list[dict[str, Any]]:
    """What the guard sends for a request to localhost:8712; the app behind it answers everything."""
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    given = [(b"host", b"localhost:8712")] + ([] if origin is None else [(b"origin", origin.encode())])
    asyncio.run(Guard(app)({"type": kind, "headers": given, "method": "GET", "path": "/"}, receive, send))
    return sent


@pytest.mark.parametrize("origin", [None, "http://localhost:8712", "http://LOCALHOST:8712"])
def test_the_page_cannot_be_framed_by_other_sites(origin: str | None) -> None:
    [start] = answered(origin)
    headers = dict(start["headers"])
    assert start["status"] == 200
    assert headers[b"x-frame-options"] == b"DENY"
    assert headers[b"content-security-policy"] == b"frame-ancestors 'none'"
    assert headers[b"x-content-type-options"] == b"nosniff"


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:9999", "", "http://[::1"])
def test_requests_and_websockets_of_other_sites_are_refused(origin: str) -> None:
    assert answered(origin)[0]["status"] == 403
    assert answered(origin, "websocket") == [{"type": "websocket.close", "code": 1008}]


def test_an_upload_that_no_page_has_taken_is_removed(store: RunStore, tmp_path: Path) -> None:
    uploads = Uploads(store, UploadLimits())
    kept_one, lost = (uploads.copy(picture_file(tmp_path / "x.png"), "x.png") for _ in range(2))
    assert uploads.take(kept_one.id) == kept_one
    uploads.remove_untaken(3600)
    assert set(uploads.by_id) == {kept_one.id, lost.id}
    uploads.remove_untaken(0)
    assert set(uploads.by_id) == {kept_one.id}
    assert [path.name for path in store.work.iterdir()] == [kept_one.id]


def test_an_upload_is_read_in_a_process_that_is_killed_in_time(tmp_path: Path) -> None:
    size = asyncio.run(read_apart(picture_file(tmp_path / "photo"), "x.png", UploadLimits()))
    assert size == (12, 8)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["original.png", "photo.jpg"]
    with pytest.raises(InputError, match="the file is larger than 1e-09 MB"):
        asyncio.run(read_apart(tmp_path / "photo.jpg", "y.png", UploadLimits(megabytes=1e-9)))
    with pytest.raises(InputError, match=r"^y\.png could not be read within 0\.01 s"):
        asyncio.run(read_apart(tmp_path / "photo.jpg", "y.png", UploadLimits(), 0.01))
