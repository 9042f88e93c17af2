"""Archives are unpacked inside their folder, or refused."""

from __future__ import annotations

import io
import random
import stat
import tarfile
import zipfile
from pathlib import Path
from tarfile import TarInfo
from typing import Literal
from zipfile import ZipInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invkit.core.errors import InputError
from invkit.datasets.archives import safe_path, unpack

Mode = Literal["w", "w:gz", "w:bz2", "w:xz"]


def made_zip(path: Path, *members: tuple[str | ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def made_tar(path: Path, *members: tuple[TarInfo, bytes], mode: Mode = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def tar_info(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def link(name: str) -> ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize("kind", ["w", "w:gz", "w:bz2", "w:xz"])
def test_plain_archives_come_out_as_they_went_in(tmp_path: Path, kind: Mode) -> None:
    members = [("x/1", b"one"), ("x/y/2", b""), ("3", b"three" * 1000)]
    made_zip(tmp_path / "z", ("x/", b""), *members)
    folders = [(tar_info(name, tarfile.DIRTYPE), b"") for name in ("./", "x")]
    made_tar(tmp_path / "t", *folders, *((tar_info(name), content) for name, content in members), mode=kind)
    for archive in ("z", "t"):
        into = tmp_path / f"from-{archive}"
        unpack(tmp_path / archive, into, 10_000)
        assert {p.relative_to(into).as_posix(): p.read_bytes() for p in into.rglob("*") if p.is_file()} == dict(members)


@pytest.mark.parametrize("name", ["../evil", "/evil", "x/../../evil", "C:/evil", "x\\..\\..\\evil"])
def test_a_member_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    zipped = made_zip(tmp_path / "z.zip", ("good", b"1"), (name, b"evil"))
    tarred = made_tar(tmp_path / "t.tgz", (tar_info("good"), b"1"), (tar_info(name), b"evil"))
    for archive in (zipped, tarred):
        with pytest.raises(InputError, match=rf"{archive.name} is refused: the path .* leads out"):
            unpack(archive, tmp_path / "deep" / "into", 1000)
    assert not [p for p in tmp_path.rglob("*") if "evil" in p.name]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    tarred = made_tar(tmp_path / "t.tgz", (tar_info("x", kind, "/etc"), b""), (tar_info("x/passwd"), b"evil"))
    zipped = made_zip(tmp_path / "z.zip", (link("x"), b"/etc"), ("x/passwd", b"evil"))
    for archive in (tarred, zipped):
        with pytest.raises(InputError, match="'x' is a link or a device"):
            unpack(archive, tmp_path / "into", 1000)
    assert not (tmp_path / "into" / "x").exists()


def test_a_bomb_is_cut_off(tmp_path: Path) -> None:
    zipped = made_zip(tmp_path / "z.zip", ("zeros", bytes(2_000_000)), ("more", bytes(2_000_000)))
    assert zipped.stat().st_size < 10_000
    with pytest.raises(InputError, match="larger than expected"):
        unpack(zipped, tmp_path / "into", 3_000_000)
    assert sum(p.stat().st_size for p in (tmp_path / "into").iterdir()) <= 3_000_000


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("invkit.datasets.archives.MAX_ARCHIVE_MEMBERS", 3)
    zipped = made_zip(tmp_path / "z.zip", *((str(n), b"") for n in range(4)))
    with pytest.raises(InputError, match="too many members"):
        unpack(zipped, tmp_path / "into", 1000)


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    content = random.Random(0).randbytes(10_000)  # which no compression makes smaller
    zipped, tarred = made_zip(tmp_path / "z", ("x", content)), made_tar(tmp_path / "t", (tar_info("x"), content))
    whole = zipped.read_bytes()
    zipped.write_bytes(whole[:5000] + bytes(b ^ 255 for b in whole[5000:5050]) + whole[5050:])
    tarred.write_bytes(tarred.read_bytes()[:5000])
    for archive in (zipped, tarred):
        with pytest.raises(InputError, match=rf"{archive.name} is refused: it is damaged"):
            unpack(archive, tmp_path / "into", 100_000)


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    content = bytearray(made_zip(tmp_path / "z.zip", ("x", b"secret")).read_bytes())
    for start, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # the flags in both headers of the member
        content[content.index(start) + offset] |= 1
    (tmp_path / "z.zip").write_bytes(content)
    with pytest.raises(InputError, match="'x' is encrypted"):
        unpack(tmp_path / "z.zip", tmp_path / "into", 1000)


PIECES = st.sampled_from(["..", ".", "", "a", "b c", "é", "~", "C:", "\\", "x\0y", "..."])


@given(st.lists(PIECES, max_size=6).map("/".join))
def test_a_path_that_is_accepted_stays_in_its_folder(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "inside"
    try:
        path = safe_path(name)
    except InputError:
        return
    assert (folder / path).resolve().is_relative_to(folder.resolve())
    assert (folder / path).resolve() != folder.resolve()
