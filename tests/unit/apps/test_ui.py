"""The parts of the web page that need no browser: what is asked, limits, pictures, the folder, the recipes."""

from __future__ import annotations

import asyncio
import io
import socket
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

pytest.importorskip("nicegui", reason="NiceGUI is not installed; get it with pip install 'invkit[ui]'")

from invkit.apps.ui.asked import AUTO, Asked
from invkit.apps.ui.choosing import offered
from invkit.apps.ui.limits import Limits, read_photo
from invkit.apps.ui.pictures import shown, shown_samples, thumbnail
from invkit.apps.ui.serving import free_port
from invkit.apps.ui.store import FACTS, VIEW, Store, new_id
from invkit.apps.ui.uploads import Uploads, without_path
from invkit.apps.ui.words import duration, sentence
from invkit.core import registry
from invkit.core.errors import InputError
from invkit.recipes.model import load_recipe

FACTS_OF_A_RUN = '{"recipe": "fast", "asked": {"photo": "../a b.png"}}'


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path / "ui")
    yield opened
    opened.close()


def kept(store, **files):
    made = store.new_work() / "made"
    (made / VIEW).mkdir(parents=True)
    (made / VIEW / FACTS).write_text(FACTS_OF_A_RUN)
    for name, content in files.items():
        (made / name.replace("_", ".")).write_bytes(content)
    run = new_id()
    store.keep(made, run)
    return store.run(run)


def picture_file(path, shape=(8, 12), kind="PNG"):
    Image.fromarray(np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)).save(path, format=kind)
    return path


def test_serving_the_page_imports_no_torch():
    code = "import sys, invkit.apps.ui.serving; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_imports_neither_torch_nor_nicegui():
    code = (
        "import sys; sys.argv = ['invkit', 'ui', '--help']\nfrom invkit.apps.cli.main import main\ntry: main()\n"
        "except SystemExit: pass\nassert not {'torch', 'nicegui'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("kernel_size", 0, "the kernel size should be a whole number"),
        ("kernel_size", 7.5, "the kernel size should be a whole number"),
        ("time_limit", -1, "the time limit should be"),
        ("seed", -1, "seed should be"),
        ("crop", {"left": -1, "top": 0, "width": 5, "height": 5}, "the part should be within"),
        ("crop", {"left": 0, "top": 0, "width": 0, "height": 5}, "the part should be within"),
        ("color", "green", "color should be luma"),
    ],
)
def test_what_a_page_sends_is_checked(field, value, words):
    with pytest.raises(InputError, match=words):
        Asked.checked(photo="a.png", **{field: value})


@given(st.text(max_size=300))
def test_a_download_has_a_name_that_is_no_path(photo):
    stem = Asked(photo=photo).stem
    assert 0 < len(stem) <= 80
    assert all(letter.isalnum() or letter in "-_" for letter in stem)


@pytest.mark.parametrize(
    ("given", "name"),
    [("C:\\photos\\cat.jpg", "cat.jpg"), ("/etc/passwd", "passwd"), ("cat.jpg", "cat.jpg"), ("a/", "photo")],
)
def test_names_of_uploads_lose_their_folders(given, name):
    assert without_path(given) == name


def test_every_recipe_that_is_offered_restores_one_photograph():
    recipes = offered()
    assert list(recipes)[:3] == [AUTO, "fast", "best"]
    assert not {"tomography", "sense", "multi-frame", "inpaint-tv", "sparse-admm", "wiener", "super-resolution"} & set(
        recipes
    )
    for name in set(recipes) - {AUTO}:
        operator = registry.load("operators", load_recipe(name).operator.name)
        assert operator.data_range is not None, f"{name} does not take pictures"
        assert not load_recipe(name).is_nonblind, f"{name} needs a kernel"


def test_a_broken_recipe_is_left_out():
    registry.register("recipes", "torn", "name = [")
    try:
        assert "torn" not in offered()
    finally:
        registry.unregister("recipes", "torn")


def test_a_text_is_refused_by_its_owners_name(tmp_path):
    path = tmp_path / "photo"
    path.write_text("no picture")
    with pytest.raises(InputError, match=r"^notes\.txt is not a photograph .* PNG, JPEG, TIFF, BMP, WebP$"):
        read_photo(path, "notes.txt", Limits())


def test_a_torn_picture_is_refused_by_its_owners_name(tmp_path):
    path = picture_file(tmp_path / "photo", (64, 64), "BMP")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"^cat\.png is truncated or damaged"):
        read_photo(path, "cat.png", Limits())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP"])
def test_pixels_are_counted_before_they_are_read(tmp_path, kind, monkeypatch):
    path = picture_file(tmp_path / "photo", (20, 60), kind)
    monkeypatch.setattr("invkit.apps.ui.limits.decode", lambda path: pytest.fail("the pixels were read"))
    with pytest.raises(InputError, match=r"60 x 20 pixels, more than 0\.001 megapixels"):
        read_photo(path, "cat", Limits(megapixels=0.001))


def test_a_file_is_refused_as_soon_as_it_is_too_large(store):
    read = []

    async def chunks():
        for index in range(100):
            read.append(index)
            yield bytes(1000)

    uploads = Uploads(store, Limits(megabytes=0.01))
    with pytest.raises(InputError, match=r"larger than 0\.01 MB"):
        asyncio.run(uploads.receive(chunks(), store.new_work()))
    assert len(read) == 11  # ten are just allowed


def test_an_upload_lies_under_a_name_of_ours_and_goes_when_dropped(store, tmp_path):
    uploads = Uploads(store, Limits())
    upload = uploads.take(picture_file(tmp_path / "x.png"), "../../evil.png")
    assert (upload.width, upload.height) == (12, 8)
    assert upload.path == store.work / upload.id / "original.png"
    assert store.working_file(upload.id, "photo.jpg") is not None
    uploads.drop(upload.id)
    assert not list(store.work.iterdir())


def test_a_large_picture_is_shown_smaller_and_a_small_one_as_it_is():
    large, small = np.zeros((300, 4000, 3)), np.zeros((30, 40))
    assert Image.open(io.BytesIO(shown(large))).size == (1600, 120)
    assert Image.open(io.BytesIO(shown(small))).size == (40, 30)
    assert Image.open(io.BytesIO(thumbnail(large))).size == (320, 24)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_tiff_of_any_depth_is_shown_in_its_greys(tmp_path, dtype):
    white = 1.0 if dtype == np.float32 else np.iinfo(dtype).max
    tifffile.imwrite(tmp_path / "a.tif", np.full((16, 16), white / 2).astype(dtype))
    picture = np.asarray(Image.open(io.BytesIO(shown_samples(read_photo(tmp_path / "a.tif", "a", Limits())))))
    assert np.abs(picture.astype(int) - 127).max() <= 2  # rounding, and JPEG of a flat area


def test_opacity_is_not_shown():
    half_opaque = np.dstack([np.full((16, 16, 3), 255, np.uint8), np.full((16, 16), 128, np.uint8)])
    assert np.asarray(Image.open(io.BytesIO(shown(half_opaque)))).min() == 255


def test_the_newest_run_is_first_and_deleted_ones_are_gone(store, monkeypatch):
    names = iter(["20260101-000000-00000000", "20260102-000000-00000000"])
    monkeypatch.setattr(sys.modules[__name__], "new_id", lambda: next(names))
    older, newer = kept(store), kept(store)
    assert [run.id for run in store.gallery()] == [newer.id, older.id]
    store.delete(newer.id)
    assert [run.id for run in store.gallery()] == [older.id]
    assert store.changes == 3


def test_a_folder_without_facts_is_no_run(store):
    (store.runs / new_id()).mkdir()
    (store.runs / "notes").mkdir()
    assert store.gallery() == []


@pytest.mark.parametrize("run", ["..", "../work", "", "20260101-000000-0000000g", "20260101-000000-00000000/.."])
def test_no_name_leads_out_of_the_folder(store, run):
    assert store.run(run) is None
    assert store.working_file(run, "photo.jpg") is None
    store.delete(run)
    assert store.runs.is_dir()


@pytest.mark.parametrize("name", ["../facts.json", "view/facts.json", "facts.json", "..", "view"])
def test_only_files_of_a_run_are_given(store, name):
    assert kept(store, image_png=b"1").file(name) is None


def test_the_archive_holds_the_files_of_a_run_in_a_folder_of_a_plain_name(store):
    run = kept(store, image_png=b"1", result_json=b"2")
    with zipfile.ZipFile(store.zipped(run)) as archive:
        assert sorted(archive.namelist()) == ["___a_b/image.png", "___a_b/result.json"]


def test_a_folder_serves_one_page_at_a_time(store):
    with pytest.raises(InputError, match="another invkit ui uses"):
        Store(store.folder)


def test_what_was_left_of_work_is_gone_at_the_next_start(tmp_path):
    first = Store(tmp_path)
    left = first.new_work()
    first._lock.release()  # as after a crash
    second = Store(tmp_path)
    assert not left.exists()
    second.close()


def test_a_folder_that_cannot_be_made_is_refused_in_words(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be written .* give another --folder"):
        Store(tmp_path / "file" / "ui")


def test_a_port_that_is_taken_is_replaced_by_another():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        assert free_port("127.0.0.1", taken) not in (0, taken)


def test_an_address_of_another_machine_is_refused_in_words():
    with pytest.raises(InputError, match=r"cannot be served at 192\.0\.2\.1 .* give another --host"):
        free_port("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"), (3840, "1 h 4 min")]
)
def test_durations(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("words", "said"), [("the file is", "The file is."), ("a.png?", "a.png?"), ("a.png", "a.png.")]
)
def test_words_become_sentences(words, said):
    assert sentence(words) == said
