"""A report in a real browser: everything that moves, by mouse and by keyboard, and what is left without scripts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import pytest
from narrow import known
from report_folders import photo, run, suite

from invkit.apps.report.writing import report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FloatRect, Locator, Page
pytest_plugins = ["browser"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Reports of a run with snapshots, and of a benchmark of four cases and three recipes."""
    folder = tmp_path_factory.mktemp("reports")
    original = photo(folder / "blurry.png", (60, 80))
    one = run(folder / "run", original, snapshots=(2, 4, 6), psnr={"before": 20.0, "after": 30.0})
    many = suite(folder / "suite", 4, ("one", "two", "three"))
    return {
        "run": report(one, folder / "run.html", truth=original).as_uri(),
        "suite": report(many, folder / "suite.html", data=folder).as_uri(),
    }


def style(page: Page, name: str) -> float:
    """A property of the stage, as a number."""
    value = page.locator(".stage").evaluate(f"stage => stage.style.getPropertyValue('--{name}')")
    return float(value.removesuffix("%"))


def box_of(locator: Locator) -> FloatRect:
    return known(locator.bounding_box())


def text_of(locator: Locator) -> str:
    return known(locator.text_content())


def middle(locator: Locator) -> tuple[float, float]:
    box = box_of(locator)
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def clipped(page: Page) -> float:
    """Where the left picture ends, in per cent of the pane: what is right of it is cut away."""
    layer = page.locator(".layer.over").evaluate("layer => getComputedStyle(layer).clipPath")
    return 100 - float(known(re.search(r"([\d.]+)%", layer))[1])


def test_the_line_follows_the_mouse(page: Page, files: dict[str, str]) -> None:
    page.goto(files["run"])
    assert clipped(page) == 50
    x, y = middle(page.locator(".handle"))
    width = box_of(page.locator(".pane"))["width"]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 0.3 * width, y)
    page.mouse.up()
    assert clipped(page) == pytest.approx(20, abs=0.5)
    assert page.get_by_role("slider", name="Line between").get_attribute("aria-valuenow") == "20"


def test_the_line_follows_the_keys(page: Page, files: dict[str, str]) -> None:
    page.goto(files["run"])
    line = page.get_by_role("slider", name="Line between before and toy")
    line.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    assert clipped(page) == 62
    page.keyboard.press("End")
    assert line.get_attribute("aria-valuetext") == "100 %"
    page.keyboard.press("Home")
    assert clipped(page) == 0


def test_every_picture_is_zoomed_and_moved_in_step(page: Page, files: dict[str, str]) -> None:
    page.goto(files["suite"])
    page.get_by_role("button", name="Side by side").click()
    pictures = page.locator(".stage img")
    assert pictures.count() == 3  # the data are not here, so the recipes alone
    page.get_by_role("button", name="Zoom in").click()
    page.locator(".stage").focus()
    page.keyboard.press("ArrowRight")
    boxes = pictures.evaluate_all(
        """all => all.map(one => [one.getBoundingClientRect(), one.closest('.pane').getBoundingClientRect()])
                  .map(([own, pane]) => [(own.x - pane.x) / pane.width, own.width / pane.width])"""
    )
    assert boxes[0] == pytest.approx(
        [-0.35, 1.5], abs=0.01
    )  # a quarter by the zoom about the middle, a tenth by the key
    assert boxes[1] == pytest.approx(boxes[0], abs=0.01)
    assert boxes[2] == pytest.approx(boxes[0], abs=0.01)
    page.keyboard.press("0")
    assert style(page, "zoom") == 1


def test_the_wheel_zooms_where_the_mouse_is_and_dragging_moves(page: Page, files: dict[str, str]) -> None:
    page.goto(files["run"])
    box = box_of(page.locator(".pane"))
    x, y = box["x"] + 0.25 * box["width"], box["y"] + 0.25 * box["height"]
    page.mouse.move(x, y)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    page.locator(".stage.zoomed").wait_for()
    zoom, left = style(page, "zoom"), style(page, "x")
    assert left == pytest.approx(25 - 25 * zoom, abs=0.5)  # what was below the mouse still is
    page.mouse.down()
    page.mouse.move(x + 0.1 * box["width"], y)
    page.mouse.up()
    assert style(page, "x") == pytest.approx(left + 10, abs=0.5)


def test_other_pictures_are_chosen_left_and_right(page: Page, files: dict[str, str]) -> None:
    page.goto(files["suite"])
    page.get_by_role("group", name="Right image").get_by_role("button", name="three").click()
    page.get_by_label("left").select_option("two")
    assert page.locator(".over img").get_attribute("alt") == "case0: two"
    assert page.locator(".under img").get_attribute("alt") == "case0: three"


def test_cases_follow_each_other_and_keep_what_is_compared(page: Page, files: dict[str, str]) -> None:
    page.goto(files["suite"])
    page.get_by_role("group", name="Right image").get_by_role("button", name="two").click()
    page.get_by_role("button", name="Next image").click()
    assert text_of(page.locator(".case:visible h2")).startswith("case1")
    assert page.locator(".under img").get_attribute("alt") == "case1: two"
    page.get_by_role("button", name="Previous image").click()
    page.get_by_role("button", name="Previous image").click()
    assert "4 of 4" in text_of(page.locator(".count"))
    assert "three: DivergedError" in text_of(page.locator(".remarks"))


def rows(page: Page) -> list[str]:
    """The case and the recipe of each row of the single results that is seen."""
    found = page.locator("#results tbody tr:visible").all_text_contents()
    return [" ".join(text.split()) for text in found]


def test_a_table_is_sorted_by_numbers_both_ways_and_by_words(page: Page, files: dict[str, str]) -> None:
    page.goto(files["suite"])
    head = page.locator("#results th", has_text="psnr")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    column = [float(text) for text in page.locator("#results tbody td:nth-child(3)").all_text_contents() if text != "–"]  # noqa: RUF001
    assert column == sorted(column)
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    page.locator("#results th", has_text="recipe").get_by_role("button").click()
    assert [text.split()[0] for text in page.locator("#results tbody td:nth-child(2)").all_text_contents()] == (
        ["one"] * 4 + ["three"] * 4 + ["two"] * 4
    )


def test_a_table_is_filtered_by_every_word_and_leads_to_pictures(page: Page, files: dict[str, str]) -> None:
    page.goto(files["suite"])
    assert len(rows(page)) == 12
    page.get_by_label("Filter").fill("TWO case2")
    assert len(rows(page)) == 1
    assert "1 of 12 rows" in text_of(page.locator("#results output"))
    page.locator("#results tbody a:visible").click()
    assert page.locator(".case:visible").get_attribute("id") == "case-2"
    assert page.locator(".stage").is_visible()


def test_snapshots_follow_the_slider_and_the_keys(page: Page, files: dict[str, str]) -> None:
    page.goto(files["run"])
    slider = page.get_by_role("slider", name="Snapshot of toy")
    assert "iteration 6" in text_of(page.locator(".frame:visible"))
    slider.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert "iteration 4" in text_of(page.locator(".frame:visible"))
    assert "iteration 4" in known(slider.get_attribute("aria-valuetext"))
    page.get_by_role("button", name="Play").click()
    page.locator(".frame:visible", has_text="iteration 2").wait_for()
    page.locator(".frame:visible", has_text="iteration 6").wait_for()
    page.get_by_role("button", name="Play").wait_for()


def test_a_recipe_is_copied(page: Page, files: dict[str, str]) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(files["run"])
    page.get_by_role("button", name="Copy the recipe toy").click()
    page.locator(".copied", has_text="copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText().then(text => JSON.parse(text).recipe.name)") == "toy"


@pytest.mark.parametrize("name", ["run", "suite"])
def test_a_phone_scrolls_in_one_direction_only(page: Page, files: dict[str, str], name: str) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(files[name])
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert box_of(page.locator(".stage"))["width"] > 300
    page.get_by_role("button", name="Side by side").click()
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def brightness(page: Page) -> float:
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3


def test_the_page_is_dark_where_the_reader_likes_it(page: Page, files: dict[str, str]) -> None:
    page.goto(files["suite"])
    assert brightness(page) > 200
    page.emulate_media(color_scheme="dark")
    assert brightness(page) < 60


def test_without_scripts_all_pictures_are_side_by_side_and_nothing_is_dead(
    chromium: Browser, files: dict[str, str]
) -> None:
    plain = chromium.new_context(java_script_enabled=False).new_page()
    plain.goto(files["suite"])
    assert plain.locator(".case:visible").count() == 4
    assert plain.locator(".picture img:visible").count() == 11
    assert plain.locator("button:visible, input:visible, select:visible").count() == 0
    assert plain.locator("#results tbody tr:visible").count() == 12
    plain.goto(files["run"])
    assert plain.locator(".frame:visible").count() == 3


def test_a_page_asks_nothing_of_the_network(page: Page, files: dict[str, str]) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.partition(":")[0]))
    page.goto(files["suite"])
    page.wait_for_load_state("networkidle")
    assert set(asked) <= {"file", "data", "blob"}
    assert asked.count("file") == 1


@pytest.mark.parametrize(("name", "scheme"), [("run", "dark"), ("suite", "light"), ("suite", "dark")])
def test_axe_finds_nothing_serious(
    axe_violations: Callable[[Page], list[dict[str, Any]]],
    page: Page,
    files: dict[str, str],
    name: str,
    scheme: Literal["light", "dark"],
) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(files[name])
    page.locator("details").evaluate_all("all => all.forEach(details => { details.open = true; })")
    found = axe_violations(page)
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
