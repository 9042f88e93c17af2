"""Pictures come back as they were, at every depth; what cannot be restored is refused in one sentence."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

from invkit.core.errors import InputError, OutOfMemoryError
from invkit.core.result import Array
from invkit.media.decoding import MAX_PIXELS, upright
from invkit.media.images import check_image, from_bchw, read_image, to_bchw, write_image

SIZE = (13, 17)
LOSSLESS = [("png", 8), ("png", 16), ("tif", 8), ("tiff", 16), ("npy", 8), ("npy", 16), ("webp", 8), ("bmp", 8)]
DTYPES = {8: np.uint8, 16: np.uint16}
PROFILE = b"any bytes that a colour profile might be" * 9


def samples(bits: int, *shape: int, seed: int = 0) -> np.ndarray:
    """Random integers that use the whole depth: the low byte of 16 bits matters."""
    return np.random.default_rng(seed).integers(0, 2**bits, shape, dtype=DTYPES[bits])


def scene(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


# Round trips


@pytest.mark.parametrize("channels", [(), (2,), (3,), (4,)], ids=["grey", "grey+alpha", "rgb", "rgba"])
@pytest.mark.parametrize(("suffix", "bits"), LOSSLESS)
def test_integers_come_back_exactly(tmp_path: Path, suffix: str, bits: int, channels: tuple[int, ...]) -> None:
    if suffix == "bmp" and channels in ((2,), (4,)):
        with pytest.raises(InputError, match="no transparency"):
            write_image(tmp_path / "a.bmp", samples(bits, *SIZE, *channels), bits)
        return
    stored = samples(bits, *SIZE, *channels)
    write_image(tmp_path / f"a.{suffix}", stored, bits)
    photo = read_image(tmp_path / f"a.{suffix}")
    colour, alpha = (stored[..., :-1], stored[..., -1]) if channels in ((2,), (4,)) else (stored, None)
    white = 2**bits - 1
    grey = channels in ((), (2,)) and suffix != "webp"  # WebP has no grey, it stores three equal channels
    expected = np.broadcast_to(colour.reshape(*SIZE, -1), (*SIZE, 1 if grey else 3)) / white
    np.testing.assert_allclose(photo.pixels, np.squeeze(expected), rtol=1e-6)  # float32 holds 16 bits to 6e-8
    assert photo.bits == bits
    assert photo.pixels.shape == (SIZE if grey else (*SIZE, 3))
    assert (photo.alpha is None) == (alpha is None)
    write_image(tmp_path / f"b.{suffix}", photo.put_back(photo.pixels), photo.bits)
    again = read_image(tmp_path / f"b.{suffix}")
    np.testing.assert_array_equal(again.pixels, photo.pixels)
    if alpha is not None:
        np.testing.assert_array_equal(np.rint(photo.alpha * white), alpha)
        np.testing.assert_array_equal(again.alpha, photo.alpha)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("suffix", ["tif", "npy"])
@pytest.mark.parametrize("channels", [(), (3,), (4,)])
def test_floats_come_back_exactly(tmp_path: Path, suffix: str, dtype: type[Any], channels: tuple[int, ...]) -> None:
    stored = scene(*SIZE, *channels).astype(dtype) ** 3
    write_image(tmp_path / f"a.{suffix}", stored)
    photo = read_image(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(photo.put_back(photo.pixels), stored)
    assert photo.pixels.dtype == dtype
    assert photo.bits == 32


@pytest.mark.parametrize("bits", [8, 16])
def test_every_level_survives_float32(tmp_path: Path, bits: int) -> None:
    levels = np.arange(2**bits, dtype=DTYPES[bits]).reshape(2 ** (bits // 2), -1)
    write_image(tmp_path / "a.png", levels)
    write_image(tmp_path / "b.png", read_image(tmp_path / "a.png").pixels, bits)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_16_bit_png_is_what_pillow_understands_too(tmp_path: Path) -> None:
    stored = samples(16, *SIZE)
    write_image(tmp_path / "a.png", stored, icc_profile=PROFILE)
    with Image.open(tmp_path / "a.png") as seen:
        np.testing.assert_array_equal(np.asarray(seen), stored)
        assert seen.info["icc_profile"] == PROFILE


def test_16_bit_rgb_keeps_the_low_byte(tmp_path: Path) -> None:
    stored = np.full((*SIZE, 3), 300, np.uint16)
    stored[0, 0] = 301
    write_image(tmp_path / "a.png", stored)
    assert np.ptp(read_image(tmp_path / "a.png").pixels) == pytest.approx(1 / 65535, rel=1e-3)  # float32 near 0.005


def test_jpeg_is_close_and_not_shifted(tmp_path: Path) -> None:
    y, x = np.mgrid[:64, :64] / 63
    smooth = np.stack([x, y, (x + y) / 2], -1).astype(np.float32)
    write_image(tmp_path / "a.jpg", smooth)
    assert np.abs(read_image(tmp_path / "a.jpg").pixels - smooth).max() < 4 / 255  # quality 95 on a smooth ramp


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_colour_profile_is_put_back(tmp_path: Path, suffix: str) -> None:
    write_image(tmp_path / f"a.{suffix}", samples(8, *SIZE, 3), icc_profile=PROFILE)
    assert read_image(tmp_path / f"a.{suffix}").icc_profile == PROFILE


@settings(deadline=None, max_examples=25)
@given(hnp.arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3, 4]))))
def test_png_of_any_size_comes_back(tmp_path_factory: pytest.TempPathFactory, stored: np.ndarray) -> None:
    stored[0, 0, 0] = 65535 - stored[-1, -1, 0] // 2  # rarely constant; where it is, that is refused
    path = tmp_path_factory.mktemp("any") / "a.png"
    write_image(path, stored, 16)
    colour = stored[..., :-1] if stored.shape[-1] == 4 else stored
    if (colour == colour[:1, :1]).all():
        with pytest.raises(InputError, match="constant"):
            read_image(path)
        return
    photo = read_image(path)
    back = photo.put_back(photo.pixels).reshape(stored.shape)
    np.testing.assert_array_equal(np.rint(back * 65535.0), stored)


def test_a_tiff_of_three_rows_is_not_taken_for_three_planes(tmp_path: Path) -> None:
    stored = samples(8, 3, 17, 3)
    write_image(tmp_path / "a.tif", stored)
    np.testing.assert_array_equal(np.rint(read_image(tmp_path / "a.tif").pixels * 255), stored)


# What files may be like inside


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = samples(8, *SIZE, 3)
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extratags=[(0x0112, "H", 1, orientation, True)])
    with Image.open(tmp_path / "a.png") as seen:
        expected = np.asarray(ImageOps.exif_transpose(seen)) / 255
    np.testing.assert_allclose(read_image(tmp_path / "a.png").pixels, expected, rtol=1e-6)
    np.testing.assert_allclose(read_image(tmp_path / "a.tif").pixels, expected, rtol=1e-6)


def test_an_orientation_that_does_not_exist_is_ignored() -> None:
    values = samples(8, *SIZE)
    np.testing.assert_array_equal(upright(values, 99), values)


def test_unreadable_exif_does_not_spoil_a_photograph(tmp_path: Path) -> None:
    stored = samples(8, *SIZE, 3)
    Image.fromarray(stored).save(tmp_path / "a.png", exif=b"Exif\0\0not a header at all")
    np.testing.assert_array_equal(np.rint(read_image(tmp_path / "a.png").pixels * 255), stored)


@pytest.mark.parametrize("transparent", [False, True])
def test_palette_becomes_rgb(tmp_path: Path, transparent: bool) -> None:
    indices = Image.fromarray(samples(8, *SIZE) % 4).convert("P")
    colours = [255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30]
    indices.putpalette(colours)
    options: dict[str, Any] = {"transparency": 2} if transparent else {}
    indices.save(tmp_path / "a.png", **options)
    photo = read_image(tmp_path / "a.png")
    chosen = samples(8, *SIZE) % 4
    np.testing.assert_array_equal(np.rint(photo.pixels * 255), np.reshape(colours, (4, 3))[chosen])
    if transparent:
        np.testing.assert_array_equal(photo.alpha, chosen != 2)
    else:
        assert photo.alpha is None


def test_tiff_palette_becomes_rgb(tmp_path: Path) -> None:
    colours = samples(8, 3, 256, seed=1)
    indices = samples(8, *SIZE)
    tifffile.imwrite(tmp_path / "a.tif", indices, photometric="palette", colormap=colours.astype(np.uint16) * 257)
    expected = np.moveaxis(colours[:, indices], 0, -1)
    np.testing.assert_array_equal(np.rint(read_image(tmp_path / "a.tif").pixels * 255), expected)


def test_one_bit_png_is_black_and_white(tmp_path: Path) -> None:
    stored = samples(8, *SIZE) > 127
    Image.fromarray(stored).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").pixels, stored)


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk_becomes_rgb(tmp_path: Path, suffix: str) -> None:
    inks = np.zeros((32, 32, 4), np.uint8)
    inks[:, 16:] = [255, 0, 0, 51]  # cyan and a fifth of black: (0, .8, .8)
    Image.frombytes("CMYK", (32, 32), inks.tobytes()).save(tmp_path / f"a.{suffix}", icc_profile=PROFILE)
    photo = read_image(tmp_path / f"a.{suffix}")
    assert photo.icc_profile is None  # it speaks of inks, and would spoil the colours of RGB
    pixels = photo.pixels
    assert pixels.shape == (32, 32, 3)
    np.testing.assert_allclose(pixels[4, 4], 1, atol=0.02)  # JPEG loses a little
    np.testing.assert_allclose(pixels[28, 28], [0, 0.8, 0.8], atol=0.02)


def test_tiff_where_white_is_zero(tmp_path: Path) -> None:
    stored = samples(16, *SIZE)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite")
    np.testing.assert_allclose(read_image(tmp_path / "a.tif").pixels, 1 - stored / 65535, atol=1e-6)


def test_tiff_in_planes_and_tiles(tmp_path: Path) -> None:
    stored = samples(8, 3, 40, 40)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig="separate", tile=(16, 16))
    np.testing.assert_array_equal(np.rint(read_image(tmp_path / "a.tif").pixels * 255), np.moveaxis(stored, 0, -1))


def test_tiff_of_12_bits_has_4095_for_white(tmp_path: Path) -> None:
    stored = samples(16, *SIZE) // 16
    try:
        tifffile.imwrite(tmp_path / "a.tif", stored, bitspersample=12, photometric="minisblack")
    except NotImplementedError:
        pytest.skip("this imagecodecs cannot write 12 bits; pip install --upgrade imagecodecs")
    photo = read_image(tmp_path / "a.tif")
    np.testing.assert_allclose(photo.pixels, stored / 4095, rtol=1e-6)
    assert photo.bits == 16


def test_colours_multiplied_by_alpha_are_divided_again(tmp_path: Path) -> None:
    colour = scene(*SIZE, 3).astype(np.float32)
    alpha = np.full((*SIZE, 1), 0.5, np.float32)
    rgba = np.concatenate([colour * alpha, alpha], -1)
    tifffile.imwrite(tmp_path / "a.tif", rgba, photometric="rgb", extrasamples=["assocalpha"])
    np.testing.assert_allclose(read_image(tmp_path / "a.tif").pixels, colour, rtol=1e-6)


def test_previews_in_a_tiff_are_not_pages(tmp_path: Path) -> None:
    stored = samples(8, *SIZE, 3)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(stored, photometric="rgb", metadata=None)
        file.write(stored[::4, ::4], photometric="rgb", subfiletype=1, metadata=None)
    np.testing.assert_array_equal(np.rint(read_image(tmp_path / "a.tif").pixels * 255), stored)


def test_big_endian_arrays_are_read(tmp_path: Path) -> None:
    stored = samples(16, *SIZE)
    np.save(tmp_path / "a.npy", stored.astype(">u2"))
    np.testing.assert_allclose(read_image(tmp_path / "a.npy").pixels, stored / 65535, rtol=1e-6)


def test_the_content_counts_and_not_the_suffix(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", samples(8, *SIZE))
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert read_image(tmp_path / "a.jpg").format == "PNG"


# Refusals


def photo_bytes(kind: str, **options: Any) -> bytes:
    return encoded(Image.fromarray(samples(8, 60, 80, 3)), kind, **options)


def npy(array: np.ndarray) -> bytes:
    buffer = BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def tiff(array: np.ndarray, **options: Any) -> bytes:
    buffer = BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def bomb() -> bytes:
    header = struct.pack(">IIBBBBB", 20_000, 10_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")


def tiff_bomb() -> bytes:
    width, height = (struct.pack("<HHII", code, 4, 1, 32) for code in (256, 257))  # the two tags of a 32 x 32 TIFF
    content = tiff(np.zeros((32, 32), np.uint8))
    assert width in content
    assert height in content
    for old, code, value in ((width, 256, 20_000), (height, 257, 10_000)):
        content = content.replace(old, struct.pack("<HHII", code, 4, 1, value))
    return content


def tiff_with_a_hole() -> bytes:
    """One strip is said to have no bytes, which tifffile reads as black."""
    whole = tiff(samples(8, 32, 32), rowsperstrip=16, compression="zlib")
    with tifffile.TiffFile(BytesIO(whole)) as file:
        counts = file.pages.first.tags["StripByteCounts"]
        size = counts.valuebytecount // 2
        second = counts.valueoffset + size
    return whole[:second] + bytes(size) + whole[second + size :]


def tiff_with_tags(content: bytes, *, following: int | None = None, **values: int) -> bytes:
    """A little-endian TIFF whose first directory has other values, by the codes of the tags, and another successor."""
    first = struct.unpack_from("<I", content, 4)[0]
    end = first + 2 + 12 * struct.unpack_from("<H", content, first)[0]
    for place in range(first + 2, end, 12):
        code = struct.unpack_from("<H", content, place)[0]
        if f"tag{code}" in values:
            content = content[:place] + struct.pack("<HHII", code, 4, 1, values[f"tag{code}"]) + content[place + 12 :]
    return content if following is None else content[:end] + struct.pack("<I", following) + content[end + 4 :]


def tiff_of_many_tags() -> bytes:
    """A thousand tags that share one value as large as the file."""
    tags = b"".join(struct.pack("<HHII", 65000 + i % 500, 1, 2**16, 8) for i in range(1000))
    content = b"II*\0" + struct.pack("<I", 2**16 + 8) + bytes(2**16)
    return content + struct.pack("<H", 1000) + tags + bytes(4)


def tiff_of_large_jpeg() -> bytes:
    """A strip of 16 x 16 pixels that holds a JPEG of 4000 x 4000."""
    large = encoded(Image.new("L", (4000, 4000)), "JPEG")
    small = tiff(np.zeros((16, 16), np.uint8), photometric="minisblack", compression="jpeg", rowsperstrip=16)
    return tiff_with_tags(small + large, tag273=len(small), tag279=len(large))


def imagej_stack() -> bytes:
    """ImageJ's way to save large stacks: one page is described, the others just follow it in the file."""
    text = "ImageJ=1.11a\nimages=3\nslices=3\nloop=false\n"
    whole = tiff(samples(8, 96, 32), photometric="minisblack", description=text, metadata=None, rowsperstrip=96)
    for code in (257, 278):  # height, and rows of the only strip
        whole = whole.replace(struct.pack("<HHII", code, 4, 1, 96), struct.pack("<HHII", code, 4, 1, 32))
    return whole.replace(struct.pack("<HHII", 279, 4, 1, 96 * 32), struct.pack("<HHII", 279, 4, 1, 32 * 32))


def animated(kind: str) -> bytes:
    frames = [Image.fromarray(samples(8, 20, 20, 3, seed=i)) for i in range(3)]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


def with_value(value: float) -> np.ndarray:
    array = scene(*SIZE)
    array[3, 4] = value
    return array


REFUSED: dict[str, tuple[Callable[[], bytes], list[str]]] = {
    "empty": (lambda: b"", ["is empty (0 bytes)"]),
    "text": (lambda: b"not an image at all", ["not an image", "PNG, JPEG"]),
    "gif": (lambda: photo_bytes("GIF"), ["not an image of a format", "WebP"]),
    "pickle": (lambda: npy(np.array([{}, 1], object)), ["truncated or damaged", "NPY"]),
    "png cut": (lambda: photo_bytes("PNG")[:3000], ["truncated", "PNG"]),
    "png header": (lambda: photo_bytes("PNG")[:12], ["truncated", "PNG"]),
    "jpeg cut": (lambda: photo_bytes("JPEG")[:2000], ["truncated", "JPEG"]),
    "webp cut": (lambda: photo_bytes("WEBP", lossless=True)[:2000], ["truncated", "WebP"]),
    "bmp cut": (lambda: photo_bytes("BMP")[:2000], ["truncated", "BMP"]),
    "tiff cut": (lambda: tiff(samples(8, 60, 80, 3), photometric="rgb")[:6000], ["truncated", "TIFF"]),
    "tiff header": (lambda: tiff(samples(8, 60, 80))[:20], ["truncated", "TIFF"]),
    "tiff zip cut": (
        lambda: tiff(samples(8, 60, 80), compression="zlib", rowsperstrip=8)[:3000],
        ["truncated", "TIFF"],
    ),
    "npy cut": (lambda: npy(scene(*SIZE))[:300], ["truncated", "NPY"]),
    "png 16 bit flipped": (lambda: damaged(), ["damaged", "PNG"]),
    "bomb": (bomb, [f"more than the {MAX_PIXELS} pixels", "crop or shrink"]),
    "tiff bomb": (tiff_bomb, [f"20000 x 10000 pixels, more than the {MAX_PIXELS}"]),
    "tiff loop": (
        lambda: tiff_with_tags(tiff(samples(8, 32, 32), metadata=None), following=8),
        ["truncated", "its chain of directories returns to byte 8"],
    ),
    "tiff large tile": (
        lambda: tiff_with_tags(
            tiff(samples(8, 64, 64), metadata=None, tile=(64, 64), compression="zlib"), tag322=40_000, tag323=40_000
        ),
        ["truncated", "tiles of 40000 x 40000 pixels are too large for an image of 64 x 64"],
    ),
    "tiff empty tile": (
        lambda: tiff_with_tags(tiff(samples(8, 64, 64), metadata=None, tile=(64, 64)), tag322=0),
        ["truncated", "TIFF"],
    ),
    "tiff shared tags": (tiff_of_many_tags, ["truncated", "its tags hold"]),
    "tiff large jpeg": (tiff_of_large_jpeg, ["truncated", "holds (4000, 4000)"]),
    "tiff lerc": (
        lambda: tiff_with_tags(tiff(samples(8, 32, 32), metadata=None), tag259=34887),
        ["is compressed as LERC; export it"],
    ),
    "tiff jpeg 2000": (
        lambda: tiff_with_tags(tiff(samples(8, 32, 32), metadata=None), tag259=34712),
        ["is compressed as JPEG2000; export it"],
    ),
    "tiff hole": (tiff_with_a_hole, ["truncated", "TIFF", "strip"]),
    "tiff pages": (lambda: tiff(samples(8, 3, 30, 30), photometric="minisblack"), ["holds 3 pages", "own"]),
    "tiff one header for many pages": (imagej_stack, ["holds 3 pages"]),
    "tiff imagej": (lambda: tiff(samples(8, 3, 30, 30), imagej=True), ["holds 3 pages"]),
    "tiff channels": (
        lambda: tiff(samples(8, 30, 30, 5), photometric="minisblack", planarconfig="contig"),
        ["5 channels"],
    ),
    "tiff lab": (lambda: tiff(samples(8, 30, 30, 3), photometric="cielab"), ["CIELAB", "RGB or grey"]),
    "apng": (lambda: animated("PNG"), ["animated (3 frames)"]),
    "webp film": (lambda: animated("WEBP"), ["animated (3 frames)"]),
    "nan": (lambda: npy(with_value(np.nan)), ["NaN or infinite"]),
    "infinite": (lambda: tiff(with_value(np.inf)), ["NaN or infinite"]),
    "constant": (lambda: encoded(Image.new("RGB", (30, 30), (9, 80, 7)), "PNG"), ["constant"]),
    "0 to 255 floats": (lambda: npy(255 * scene(*SIZE)), ["not within [0, 1]", "(255 if it comes from 8 bits)"]),
    "negative": (lambda: npy(scene(*SIZE) - 0.5), ["not within [0, 1]", "subtract"]),
    "complex": (lambda: npy(scene(*SIZE) + 1j), ["complex64 values", "floats in [0, 1]"]),
    "int64": (lambda: npy(samples(8, *SIZE).astype(np.int64)), ["int64 values", "white is unknown"]),
    "uint32": (lambda: tiff(samples(16, *SIZE).astype(np.uint32)), ["uint32 values"]),
    "channels first": (lambda: npy(scene(3, 20, 30)), ["(3, 20, 30)", "np.moveaxis(image, 0, -1)"]),
    "four dimensions": (lambda: npy(scene(2, 3, 20, 30)), ["(2, 3, 20, 30)", "(H, W)"]),
    "no pixels": (lambda: npy(np.zeros((0, 5), np.float32)), ["no pixels"]),
}


def damaged() -> bytes:
    write = BytesIO()
    import imagecodecs

    write.write(imagecodecs.png_encode(samples(16, 60, 80, 3)))
    content = bytearray(write.getvalue())
    content[len(content) // 2] ^= 0xFF
    return bytes(content)


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_file_is_refused_in_one_sentence(tmp_path: Path, case: str) -> None:
    make, words = REFUSED[case]
    path = tmp_path / "photo.png"
    path.write_bytes(make())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        message = refusal(path)
    for word in [str(path), *words]:
        assert word in message
    assert "\n" not in message


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_image(path)
    return str(caught.value)


def test_no_decoder_prints(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for case, (make, _) in REFUSED.items():
        (tmp_path / case).write_bytes(make())
        refusal(tmp_path / case)
    assert capfd.readouterr() == ("", "")


def test_nothing_is_printed_where_logging_is_not_set_up(tmp_path: Path) -> None:
    content = tiff(samples(8, *SIZE))
    resolution = content.index(struct.pack("<HH", 282, 5)) + 2
    (tmp_path / "a.tif").write_bytes(content[:resolution] + b"\xff" + content[resolution + 1 :])  # tifffile logs it
    program = "import sys; from invkit.media.images import read_image; print(read_image(sys.argv[1]).pixels.shape)"
    run = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "a.tif"], capture_output=True, check=True, text=True
    )
    assert run.stdout.strip() == str(SIZE)
    assert run.stderr == ""


def test_a_large_photograph_is_read_without_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "a.png", samples(8, *SIZE))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", SIZE[0] * SIZE[1] - 1)  # from there Pillow warns
    assert read_image(tmp_path / "a.png").pixels.shape == SIZE


def test_truncated_files_are_refused_even_where_pillow_was_told_to_accept_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    (tmp_path / "a.jpg").write_bytes(photo_bytes("JPEG")[:2000])
    assert "truncated" in refusal(tmp_path / "a.jpg")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True  # others' setting is given back


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(["PNG", "JPEG", "WEBP", "BMP", "TIFF", "NPY"]), st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_refused_or_whole(
    tmp_path_factory: pytest.TempPathFactory, kind: str, where: float
) -> None:
    whole = npy(scene(*SIZE)) if kind == "NPY" else photo_bytes(kind)
    folder = tmp_path_factory.mktemp("cut")
    (folder / "whole").write_bytes(whole)
    (folder / "cut").write_bytes(whole[: int(where * len(whole))])
    try:
        cut = read_image(folder / "cut").pixels
    except InputError:
        return
    np.testing.assert_array_equal(cut, read_image(folder / "whole").pixels)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert "there is no file" in refusal(tmp_path / "nowhere.png")
    assert "is a folder" in refusal(tmp_path)
    assert "cannot be read" in refusal(tmp_path / ("x" * 5000))


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refusal(tmp_path / "pipe")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    write_image(path, samples(8, *SIZE))

    def denied(name: str, flags: int) -> NoReturn:
        raise PermissionError(13, "Permission denied")  # chmod does not stop root, who runs many a CI

    monkeypatch.setattr("invkit.core.files.open_at_once", denied)
    assert "check its permissions" in refusal(path)


def test_a_file_that_memory_does_not_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    write_image(path, samples(8, *SIZE))

    def exhausted(name: str, flags: int) -> NoReturn:
        raise MemoryError

    monkeypatch.setattr("invkit.core.files.open_at_once", exhausted)
    with pytest.raises(OutOfMemoryError, match=r"a\.png does not fit in memory"):
        read_image(path)


# Writing


@pytest.mark.parametrize(
    ("name", "image", "bits", "words"),
    [
        ("a.gif", scene(*SIZE), 8, "no suffix"),
        ("a.jpg", scene(*SIZE), 16, "JPEG holds 8"),
        ("a.png", scene(*SIZE), 32, "PNG holds 8 or 16"),
        ("a.jpg", scene(*SIZE, 4), 8, "no transparency"),
        ("a.png", scene(*SIZE, 5), 8, "C from 1 to 4"),
        ("a.png", with_value(np.nan), 8, "NaN"),
        ("a.png", samples(16, *SIZE), 8, "uint16 cannot be written with 8 bits"),
        ("nowhere/a.png", scene(*SIZE), 8, "cannot be written"),
    ],
)
def test_what_cannot_be_written_is_refused_and_nothing_is_left(
    tmp_path: Path, name: str, image: np.ndarray, bits: int, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        write_image(tmp_path / name, image, bits)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    write_image(path, samples(8, *SIZE))
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(InputError, match="No space left"):
        write_image(path, samples(8, *SIZE, seed=1))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_values_beyond_white_are_clipped(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.array([[-0.3, 0.5], [1.0, 7.0]], np.float32), 8)
    np.testing.assert_array_equal(np.rint(read_image(tmp_path / "a.png").pixels * 255), [[0, 128], [255, 255]])


# Layouts

LAYOUTS: dict[str, tuple[Array, tuple[int, ...]]] = {
    "array (H, W)": (scene(*SIZE), (1, 1, *SIZE)),
    "array (H, W, 1)": (scene(*SIZE, 1), (1, 1, *SIZE)),
    "array (H, W, 2)": (scene(*SIZE, 2), (1, 1, *SIZE)),
    "array (H, W, 3)": (scene(*SIZE, 3), (1, 3, *SIZE)),
    "array (H, W, 4)": (scene(*SIZE, 4), (1, 3, *SIZE)),
    "array (3, W, 3)": (scene(3, 17, 3), (1, 3, 3, 17)),
    "tensor (H, W)": (torch.from_numpy(scene(*SIZE)), (1, 1, *SIZE)),
    "tensor (1, H, W)": (torch.from_numpy(scene(1, *SIZE)), (1, 1, *SIZE)),
    "tensor (3, H, W)": (torch.from_numpy(scene(3, *SIZE)), (1, 3, *SIZE)),
    "tensor (4, H, W)": (torch.from_numpy(scene(4, *SIZE)), (1, 3, *SIZE)),
    "tensor (B, 3, H, W)": (torch.from_numpy(scene(2, 3, *SIZE)), (2, 3, *SIZE)),
    "tensor (B, 2, H, W)": (torch.from_numpy(scene(2, 2, *SIZE)), (2, 1, *SIZE)),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_what_came_in_goes_out(case: str) -> None:
    image, shape = LAYOUTS[case]
    tensor, layout = to_bchw(image)
    back = from_bchw(tensor, layout)
    assert tensor.shape == shape
    assert tensor.dtype is torch.float32
    assert type(back) is type(image)
    assert layout.bits == 32
    np.testing.assert_array_equal(np.asarray(back), np.asarray(image))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_integers_are_scaled_and_their_depth_is_kept(bits: int, kind: Callable[[np.ndarray], Array]) -> None:
    stored = samples(bits, *SIZE)
    tensor, layout = to_bchw(kind(stored))
    np.testing.assert_allclose(tensor[0, 0], stored / (2**bits - 1), rtol=1e-6)
    assert layout.bits == bits


def test_the_given_image_is_left_alone() -> None:
    image = scene(*SIZE)
    image.setflags(write=False)  # torch would warn if it shared this memory
    tensor, _ = to_bchw(image)
    tensor += 1
    assert image.max() <= 1


def test_views_and_gradients_are_no_obstacle() -> None:
    array = scene(*SIZE, 3)[::-1, ::-2]
    np.testing.assert_array_equal(from_bchw(*to_bchw(array)), array)
    tensor = torch.from_numpy(scene(3, *SIZE)).requires_grad_()
    assert not to_bchw(tensor)[0].requires_grad


def test_a_single_picture_cannot_be_given_back_as_many() -> None:
    _, layout = to_bchw(scene(*SIZE))
    with pytest.raises(ValueError, match="cannot be returned"):
        from_bchw(torch.zeros(2, 1, *SIZE), layout)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ([[0.1, 0.2]], "got list"),
        (scene(3, 20, 30), "np.moveaxis"),
        (torch.from_numpy(scene(20, 30, 3)), "permute"),
        (scene(2, 3, 20, 30), "must be"),
        (scene(20), "must be"),
        (torch.from_numpy(scene(2, 7, 20, 30)), "1 to 4 channels"),
        (with_value(np.nan), "NaN"),
        (torch.full((2, 9, 9), 0.5), "constant"),
        (
            torch.stack([torch.rand(1, 9, 9, generator=torch.Generator().manual_seed(0)), torch.ones(1, 9, 9)]),
            "constant",
        ),
        (np.rint(200 * scene(*SIZE)), "divide it by 255"),
        (np.rint(3000 * scene(*SIZE)), "divide it by 4095"),
        (np.rint(7 * scene(*SIZE)), "divide it by the value of white, which is not below 7"),
        (199.9 * scene(*SIZE), r"divide it by the value of white, .*\(255 if it comes from 8 bits\)"),
        (900.5 * scene(*SIZE), "divide it by the value of white, which is not below"),
        (samples(8, *SIZE) > 3, "bool values"),
        (scene(*SIZE).astype(complex), "complex128 values"),
        (torch.zeros(9, 9, dtype=torch.bfloat16), "bfloat16"),
        (np.zeros((0, 9)), "no pixels"),
    ],
    ids=str,
)
def test_a_bad_array_is_refused(image: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_image(image)
    with pytest.raises(InputError, match=words):
        to_bchw(image)


def test_rounding_just_beyond_white_is_clipped() -> None:
    tensor, _ = to_bchw(with_value(1 + 5e-7))
    assert tensor.max() == 1
