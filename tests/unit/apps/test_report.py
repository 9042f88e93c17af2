"""``invkit report``: what a page shows of folders and results, that it needs nothing else, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from report_folders import RECIPE, noise, photo, result, run, suite
from typer.testing import CliRunner, Result

import invkit
from invkit.apps.cli.main import app, main
from invkit.apps.report.writing import ReportSource, report
from invkit.core.errors import InputError

EVIL = '<script>alert(1)</script><img src=x onerror="alert(2)">'
BREAKS = "</script></style></template>{{ 7 * 7 }}"


class Elements(HTMLParser):
    """The elements of a page, with their attributes, and all texts that are not of script and style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, Any]]] = []
        self.texts: list[str] = []
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside = tag

    def handle_data(self, data: str) -> None:
        if self.inside not in ("script", "style"):
            self.texts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def all(self, tag: str) -> list[dict[str, Any]]:
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def page_of(sources: ReportSource | Sequence[ReportSource], tmp_path: Path, **options: Any) -> Elements:
    return Elements(report(sources, tmp_path / "out" / "report.html", **options).read_text("utf-8"))


def invoke(*words: Any) -> Result:
    return CliRunner().invoke(app, ["report", *map(str, words)], catch_exceptions=False)


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A run whose photograph lies beside its folder."""
    return run(tmp_path / "runs" / "first", photo(tmp_path / "runs" / "blurry.png"), snapshots=(2, 4, 6))


def test_a_run_shows_photograph_result_kernel_losses_snapshots_recipe_and_versions(
    beside: Path, tmp_path: Path
) -> None:
    page = page_of(beside, tmp_path)
    alts = [image["alt"] for image in page.all("img")]
    assert alts[:3] == ["blurry.png: before", "blurry.png: toy", "Kernel of toy"]
    assert sum("iteration" in alt for alt in alts) == 3
    assert "loss against iteration" in next(svg["aria-label"] for svg in page.all("svg") if "aria-label" in svg)
    for words in ("A toy recipe", "nobody, nowhere", "5 × 5", "1.50", "invkit 1", '"name": "toy"'):  # noqa: RUF001
        assert words in page.text.replace("invkit  1", "invkit 1")


def test_a_page_asks_nothing_of_the_network(beside: Path, tmp_path: Path) -> None:
    text = report(beside, tmp_path / "r.html").read_text("utf-8")
    page = Elements(text)
    assert all(image["src"].startswith("data:image/") for image in page.all("img"))
    assert page.all("link") == []
    assert [script for script in page.all("script") if "src" in script] == []
    assert re.findall(r"url\(|@import|https?://", text) == []
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_whatever_results_say_is_text(tmp_path: Path) -> None:
    recipe = {**RECIPE, "name": EVIL, "title": EVIL, "notes": BREAKS, "source": BREAKS}
    stages = [{"name": EVIL, "solver": BREAKS, "iterations": 3}, {"name": BREAKS, "iterations": 3}]
    taken = run(
        tmp_path / "a", recipe=recipe, stages=stages, warnings=[EVIL], versions={EVIL: BREAKS}, snapshots=(1, 2)
    )
    facts = json.loads((taken / "result.json").read_text("utf-8"))
    facts |= {"stopped": EVIL, "device": BREAKS, "image": {"file": EVIL, "sha256": BREAKS}}
    (taken / "result.json").write_text(json.dumps(facts), encoding="utf-8")
    other = suite(tmp_path / "s", recipes=("one", 'a"><script>x'.replace("/", "")), title=EVIL)
    page = page_of([taken, other], tmp_path, title=BREAKS)
    assert len(page.all("script")) == len(page.all("style")) == len(page.all("template")) == 1
    assert all("onerror" not in image and image["src"].startswith("data:") for image in page.all("img"))
    assert EVIL in page.text
    assert BREAKS in page.text
    assert "49" not in page.text.replace(BREAKS, "").split()


def test_a_photograph_is_known_by_its_contents(tmp_path: Path) -> None:
    original = photo(tmp_path / "elsewhere" / "blurry.png")
    folder = run(tmp_path / "runs" / "one", original)
    assert "give it with --photo" in page_of(folder, tmp_path).text
    assert "before" in [
        figure.get("data-name") for figure in page_of(folder, tmp_path, photos=[original]).all("figure")
    ]
    photo(tmp_path / "runs" / "blurry.png", (41, 56))  # of the same name, and another
    assert "give it with --photo" in page_of(folder, tmp_path).text
    with pytest.raises(InputError, match="is not the input of any of the runs"):
        report(folder, tmp_path / "r.html", photos=[tmp_path / "runs" / "blurry.png"])


def test_runs_of_one_photograph_are_one_case_and_each_has_its_name(tmp_path: Path) -> None:
    given = photo(tmp_path / "blurry.png")
    folders = [run(tmp_path / name, given) for name in ("a", "b")]
    folders.append(run(tmp_path / "c", photo(tmp_path / "other.png", (30, 30)), recipe={**RECIPE, "name": "third"}))
    page = page_of([*folders, folders[0]], tmp_path)
    assert len(page.all("article")) == 2
    names = [figure["data-name"] for figure in page.all("figure") if "data-name" in figure]
    assert names == ["before", "toy (a)", "toy (b)", "before", "third"]


def test_a_truth_is_shown_and_gives_a_curve_of_psnr(beside: Path, tmp_path: Path) -> None:
    truth = photo(tmp_path / "sharp.png")
    page = page_of(beside, tmp_path, truth=truth)
    assert "truth" in [figure.get("data-name") for figure in page.all("figure")]
    assert any("PSNR, dB against iteration" in svg.get("aria-label", "") for svg in page.all("svg"))
    other = run(tmp_path / "more", photo(tmp_path / "third.png", (30, 30)))
    with pytest.raises(InputError, match="of 2 photographs"):
        report([beside, other], tmp_path / "r.html", truth=truth)


def test_results_in_memory_need_no_folder(tmp_path: Path) -> None:
    one, two = result(), result(1, image={"file": "x.png", "sha256": "0"})
    assert invkit.report is report
    page = page_of([one, two], tmp_path)
    assert [figure["data-name"] for figure in page.all("figure") if "data-name" in figure] == [
        "toy (result 1)",
        "toy (result 2)",
    ]


def test_a_benchmark_shows_its_cases_tables_and_error_ratios_and_says_what_failed(tmp_path: Path) -> None:
    page = page_of(suite(tmp_path / "s"), tmp_path, data=tmp_path)
    assert len(page.all("article")) == 3
    assert [option["value"] for option in page.all("option")] == ["0", "1", "2"]
    assert len(page.all("tr")) >= 6 + 1  # a line for each job
    assert "DivergedError: the loss is not finite" in page.text
    assert any(svg.get("aria-label", "").startswith("Share of runs") for svg in page.all("svg"))
    assert any("psnr, dB against iteration" in svg.get("aria-label", "") for svg in page.all("svg"))
    assert "Without blurry and sharp pictures of toy" in page.text


def test_runs_and_benchmarks_share_a_page_with_links_that_lead_to_cases(beside: Path, tmp_path: Path) -> None:
    page = page_of([beside, suite(tmp_path / "s", 2), suite(tmp_path / "t", 2)], tmp_path)
    ids = [article["id"] for article in page.all("article")]
    assert ids == [f"case-{i}" for i in range(5)]
    assert {link["href"] for link in page.all("a") if link["href"].startswith("#case")} == {f"#{name}" for name in ids}
    every = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(every) == len(set(every))


def test_a_folder_that_lost_its_pictures_still_gives_a_page(beside: Path, tmp_path: Path) -> None:
    (beside / "image.png").write_bytes(b"no picture")
    (beside / "kernel.npy").write_bytes(b"no array")
    shutil.rmtree(beside / "snapshots")
    page = page_of(beside, tmp_path)
    assert [figure["data-name"] for figure in page.all("figure") if "data-name" in figure] == ["before", "toy"]
    assert "no image" in page.text


def test_an_unknown_that_is_no_kernel_is_shown_as_it_is(tmp_path: Path) -> None:
    taken = result()
    folder = type(taken)(**{**vars(taken), "kernel": noise((3, 8, 9)) / 255.0 - 0.5, "has_kernel": False}).save(
        tmp_path / "a"
    )
    assert "Operator parameter of toy" in [image["alt"] for image in page_of(folder, tmp_path).all("img")]


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_folder_without_results_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="the --output of 'invkit deblur'"):
        report(tmp_path / name, tmp_path / "r.html")


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_result_that_cannot_be_read_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "result.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"result\.json"):
        report(tmp_path, tmp_path / "r.html")


def test_nothing_to_report_on_and_a_place_that_cannot_be_written_are_refused(beside: Path) -> None:
    with pytest.raises(InputError, match="nothing to report on"):
        report([])
    with pytest.raises(InputError, match="cannot be written"):
        report(beside, beside / "result.json" / "r.html")


def test_the_command_says_what_it_wrote(beside: Path, tmp_path: Path) -> None:
    done = invoke(beside, "--output", tmp_path / "r.html", "--title", "Mine")
    size = (tmp_path / "r.html").stat().st_size
    assert f"r.html: {size / 1e6:.1f} MB" in done.output
    assert "<title>Mine</title>" in (tmp_path / "r.html").read_text("utf-8")


def test_the_command_of_invkit_refuses_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["invkit", "report", str(tmp_path / "none"), "-o", str(tmp_path / "r.html")])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "there is no folder" in capsys.readouterr().err
    assert not (tmp_path / "r.html").exists()
