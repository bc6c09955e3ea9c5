"""The report of a thousand mines in Chromium: search and sort work, without an error and without a request."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from insar_mining.portfolio.ledger import Record
from insar_mining.portfolio.plan import plan_portfolio
from insar_mining.portfolio.report import _graticule, write_portfolio_report
from insar_mining.scenes.records import write_records
from tests.unit.portfolio.test_plan import OPTIONS, records, square

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
COUNT = 1000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None or DRIVER is None, reason="no browser here, or no driver of it"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mines of three countries and many sizes; one failed, another is done."""
    folder = tmp_path_factory.mktemp("browser")
    rng = np.random.default_rng(6)
    shapes = [square(-170 + 0.34 * i, 60 * np.sin(i), side) for i, side in enumerate(rng.uniform(0.002, 0.02, COUNT))]
    frame = gpd.GeoDataFrame(
        {
            "NAME": [f"pit {i:04d} <i>&" for i in range(COUNT)],
            "COUNTRY_NAME": [("Chile", "Peru", "Mali")[i % 3] for i in range(COUNT)],
        },
        geometry=shapes,
        crs=4326,
    )
    frame.to_file(folder / "mines.gpkg")
    world = shapely.box(-180, -70, 180, 70)
    write_records(records([("b", 30, day, world) for day in (0, 12)]), folder / "records.geojson")
    made = plan_portfolio(folder / "mines.gpkg", folder / "out", OPTIONS, catalogue=folder / "records.geojson")
    by_name = {task.inputs["mine"]["name"]: task for task in made.tasks}
    failed, done = by_name["pit 0007 <i>&"], by_name["pit 0123 <i>&"]
    error = {"type": "ProductError", "message": "scene: damaged. Fetch it again"}
    made.ledger.write(Record(failed.id, failed.identity, "failed", failed.inputs, error=error))
    result = made.folder / "mines" / done.id.removeprefix("mine-")
    result.mkdir(parents=True)
    (result / "report.html").write_text("a page")
    (result / "activity.csv").write_text(
        "year,area_m2,area_low_m2,area_high_m2\n2021,10000,9000,11000\n2022,70000,60000,80000\n"
    )
    made.ledger.write(Record(done.id, done.identity, "done", done.inputs))
    return write_portfolio_report(made)


@pytest.fixture(scope="module")
def browser(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    assert BROWSER is not None
    options.binary_location = BROWSER
    profile = tmp_path_factory.mktemp("profile")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    driver.get(page.as_uri())
    yield driver
    driver.quit()


def visible(browser: webdriver.Chrome) -> list[list[str]]:
    """Text of the cells of the rows that are shown, in their order."""
    script = (
        "return Array.from(document.querySelectorAll('#mines tbody tr')).filter(r => r.offsetParent !== null)"
        ".map(r => Array.from(r.cells).map(c => c.textContent))"
    )
    rows: list[list[str]] = browser.execute_script(script)  # type: ignore[no-untyped-call]
    return rows


def search(browser: webdriver.Chrome, text: str) -> list[list[str]]:
    box = browser.find_element(By.ID, "search")
    box.send_keys(Keys.CONTROL, "a")
    box.send_keys(text or Keys.DELETE)
    return visible(browser)


def sort(browser: webdriver.Chrome, column: str) -> list[list[str]]:
    browser.find_element(By.XPATH, f"//table[@id='mines']//button[text()='{column}']").click()
    return visible(browser)


def test_search(browser: webdriver.Chrome) -> None:
    assert len(search(browser, "")) == COUNT
    found = search(browser, "pit 0042")  # an id may hold the digits too
    assert "pit 0042 <i>&" in [row[0] for row in found]
    assert len(found) < 5
    in_mali = search(browser, "mali")
    assert len(in_mali) == COUNT // 3
    assert {row[1] for row in in_mali} == {"Mali"}
    assert browser.find_element(By.ID, "shown").text == f"{COUNT // 3} of {COUNT} mines"
    assert [row[0] for row in search(browser, "FAILED")] == ["pit 0007 <i>&"]
    assert search(browser, "no such mine") == []
    search(browser, "")


def test_sort(browser: webdriver.Chrome) -> None:
    areas = [float(row[3]) for row in sort(browser, "Outline, ha")]
    assert areas == sorted(areas)
    assert areas[0] < areas[-1]
    areas = [float(row[3]) for row in sort(browser, "Outline, ha")]
    assert areas == sorted(areas, reverse=True)
    names = [row[0] for row in sort(browser, "Mine")]
    assert names == sorted(names)
    # sorted rows are searched as before
    assert "pit 0123 <i>&" not in [row[0] for row in search(browser, "peru 0123")]
    assert "pit 0123 <i>&" in [row[0] for row in search(browser, "chile 0123")]
    search(browser, "")
    sort(browser, "2022, ha")
    newest = sort(browser, "2022, ha")[0]
    assert (newest[0], newest[5], newest[-1]) == ("pit 0123 <i>&", "7.0", "up")


def test_links_and_nothing_from_elsewhere(browser: webdriver.Chrome, page: Path) -> None:
    """A dot leads to its row, a finished mine to its own page; nothing was asked for but the page."""
    dots = browser.find_elements(By.CSS_SELECTOR, "svg.map a")
    assert len(dots) == COUNT
    targets = {dot.get_dom_attribute("href") for dot in dots[:5]}
    assert all(browser.find_element(By.ID, str(target).rpartition("#")[2]) for target in targets)
    link = browser.find_element(By.LINK_TEXT, "pit 0123 <i>&").get_attribute("href")
    assert str(link).endswith("/report.html")
    assert (page.parent / "mines" / str(link).split("/")[-2] / "report.html").is_file()
    assert [line for line in browser.get_log("browser") if line["level"] in ("SEVERE", "WARNING")] == []  # type: ignore[no-untyped-call]
    messages: list[dict[str, Any]] = [
        json.loads(line["message"])["message"]
        for line in browser.get_log("performance")  # type: ignore[no-untyped-call]
    ]
    sent = [one["params"] for one in messages if one["method"] == "Network.requestWillBeSent"]
    # the browser's own first page asks for parts of itself
    asked = {one["request"]["url"] for one in sent if not one["documentURL"].startswith("chrome://")}
    assert asked == {page.as_uri()}


def test_a_telephone_shows_the_page_without_scrolling_it_sideways(browser: webdriver.Chrome) -> None:
    """Only the tables scroll, each in its own frame."""
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)  # type: ignore[no-untyped-call]
    try:
        widths = browser.execute_script(  # type: ignore[no-untyped-call]
            "return [document.documentElement.scrollWidth, document.getElementById('mines').scrollWidth]"
        )
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})  # type: ignore[no-untyped-call]
    assert widths[0] <= 390
    assert widths[1] > 390


def test_meridians_are_between_180_west_and_180_east() -> None:
    names = [line["name"] for line in _graticule((-200.0, -40.0, 200.0, 40.0)) if line["y1"] == 0]
    assert names
    assert all(-180 <= float(name.rstrip("°")) < 180 for name in names)
