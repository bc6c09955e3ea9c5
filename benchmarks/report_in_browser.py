"""Open a report, or pages of the documentation, in headless Chromium: speed, requests, errors, accessibility.

    pip install 'insar-mining[browser]'
    python benchmarks/report_in_browser.py demo-mine/report.html [site/index.html ...] [--pictures DIR] [--write]

Needs Chromium with its driver on PATH, and npm, which fetches axe-core once into a cache. Ends with exit code 1 if a
page is beyond a limit below, asks for anything that is no file of this machine, writes an error to the console, or
fails a rule of axe (WCAG 2.1 A and AA). ``--write`` keeps the table in ``benchmarks/results/report_in_browser.md``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

from noise import machine
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

AXE = "axe-core@4.14.1"
CACHE = Path.home() / ".cache" / "insar-mining-dev"
MOST_MB, MOST_PAINT_MS, MOST_TASK_MS = 6.0, 1500, 200
# what a page is looked at in: scheme of colours, width and height
VIEWS = {"light": ("light", 1280, 900), "dark": ("dark", 1280, 900), "narrow": ("light", 400, 800)}
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa")
OBSERVER = """
window.longTasks = [];
new PerformanceObserver(list => list.getEntries().forEach(e => window.longTasks.push(e.duration)))
    .observe({type: "longtask", buffered: true});
"""
VIOLATIONS = """
const done = arguments[arguments.length - 1];
const why = node => node.target.join(" ") + " " + (node.any[0] ? node.any[0].message.slice(0, 120) : "");
axe.run({preload: false, runOnly: {type: "tag", values: %s}}).then(found => done(found.violations.map(
    v => ({id: v.id, impact: v.impact, nodes: v.nodes.length, first: why(v.nodes[0])}))));
"""


def axe_script() -> str:
    """Return axe-core's script; npm fetches and checks it once."""
    kept = CACHE / f"{AXE.replace('@', '-')}.js"
    if not kept.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["npm", "pack", "--silent", AXE], cwd=folder, check=True, capture_output=True)
            with tarfile.open(next(Path(folder).glob("*.tgz"))) as packed:
                script = packed.extractfile("package/axe.min.js")
                assert script is not None
                kept.write_bytes(script.read())
    return kept.read_text("utf-8")


def open_browser(scheme: str, width: int, height: int) -> webdriver.Chrome:
    """Start a browser of its own profile; nothing is downloaded."""
    binary, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if binary is None or driver is None:
        sys.exit("Chromium: is not on PATH with its driver. Install chromium and chromedriver")
    options = Options()
    options.binary_location = binary
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={width},{height}"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": OBSERVER})
    return browser


def foreign_requests(browser: webdriver.Chrome) -> list[str]:
    """Return addresses that the page asked for beyond files of this machine."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    return [url for url in urls if not url.startswith(("file:", "data:", "blob:", "chrome:", "about:"))]


def pan_and_zoom(browser: webdriver.Chrome) -> float:
    """Drag and zoom the report's map for some steps; return the longest task meanwhile, milliseconds."""
    stage = browser.find_elements("css selector", ".explore-stage")
    if not stage:
        return 0.0
    sheet = "return document.querySelector('.explore-sheet').getAttribute('style')"
    before = browser.execute_script(sheet)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'}); window.longTasks = [];", stage[0])
    where = browser.execute_script(
        "const r = arguments[0].getBoundingClientRect(); return [r.x, r.y, r.width, r.height]", stage[0]
    )
    x, y = where[0] + where[2] / 2, where[1] + where[3] / 2
    for _ in range(4):
        wheel = {"type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": -240}
        browser.execute_cdp_cmd("Input.dispatchMouseEvent", wheel)
    press = {"x": x, "y": y, "button": "left", "clickCount": 1}
    browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mousePressed", **press})
    for step in range(40):
        moved = {"type": "mouseMoved", "x": x + 3 * step, "y": y + step, "button": "left", "buttons": 1}
        browser.execute_cdp_cmd("Input.dispatchMouseEvent", moved)
    browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseReleased", **press})
    time.sleep(0.5)
    if browser.execute_script(sheet) == before:
        sys.exit("the report's map: did not move when it was dragged")
    return max(browser.execute_script("return window.longTasks"), default=0.0)


def look_at(page: Path, view: str, axe: str, pictures: Path | None) -> tuple[dict[str, Any], list[str]]:
    """Measure a page in a view; return the row of the table, and what is wrong."""
    browser = open_browser(*VIEWS[view])
    try:
        browser.get(page.absolute().as_uri())
        time.sleep(1.0)
        paint = browser.execute_script("return performance.getEntriesByType('paint').map(e => e.startTime)[0] || 0")
        loading = max(browser.execute_script("return window.longTasks"), default=0.0)
        pan = pan_and_zoom(browser)
        wide = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
        if pictures is not None:
            browser.save_screenshot(str(pictures / f"{page.stem}-{view}.png"))
        browser.execute_script(axe)
        found = browser.execute_async_script(VIOLATIONS % json.dumps(RULES))
        errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
        wrong = [f"console: {text}" for text in errors] + [f"request: {url}" for url in foreign_requests(browser)]
    finally:
        browser.quit()
    megabytes = page.stat().st_size / 1e6
    wrong += [f"axe: {v['id']} ({v['impact']}, {v['nodes']} places, first {v['first']})" for v in found]
    for what, value, limit in (
        ("MB", megabytes, MOST_MB),
        ("ms to first paint", paint, MOST_PAINT_MS),
        ("ms task on pan", pan, MOST_TASK_MS),
        ("pixels too wide", wide, 0),
    ):
        if value > limit:
            wrong.append(f"{value:.1f} {what} (limit {limit})")
    row = {"page": page.name, "view": view, "MB": f"{megabytes:.2f}", "first paint ms": f"{paint:.0f}",
           "longest task ms, load": f"{loading:.0f}", "longest task ms, pan": f"{pan:.0f}",
           "axe": len(found)}  # fmt: skip
    return row, [f"{page.name}, {view}: {text}" for text in wrong]


def main() -> None:
    """Look at all pages in all views."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", type=Path, nargs="+")
    parser.add_argument("--pictures", type=Path, help="folder for a picture of every page and view")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/results")
    options = parser.parse_args()
    if options.pictures is not None:
        options.pictures.mkdir(parents=True, exist_ok=True)
    axe = axe_script()
    seen = [look_at(page, view, axe, options.pictures) for page in options.pages for view in VIEWS]
    columns = list(seen[0][0])
    lines = [
        "# The report in a browser",
        "",
        f"`python benchmarks/report_in_browser.py`, headless Chromium, {AXE}, {machine()}.",
        "",
    ]
    lines += [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    lines += [f"| {' | '.join(str(value) for value in row.values())} |" for row, _ in seen]
    print("\n".join(lines))
    if options.write:
        (Path(__file__).parent / "results" / "report_in_browser.md").write_text("\n".join(lines) + "\n", "utf-8")
    wrong = [text for _, texts in seen for text in texts]
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
