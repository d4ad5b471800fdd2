"""A real browser in front of the page of a running server."""

import base64
import json
import os
import shutil
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

SCREENSHOTS = Path(__file__).parent / "screenshots"
DESKTOP, PHONE = (1280, 900, 1), (360, 780, 2)


def start():
    """Debian's Chromium without a window, or a skip where there is none."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (program and driver):
        reason = "no chromium and chromedriver. Hint: apt-get install chromium chromium-driver"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    options = webdriver.ChromeOptions()
    options.binary_location = program
    flags = ["--headless=new", "--disable-dev-shm-usage", "--hide-scrollbars"]
    # Its sandbox cannot be set up by root, and the only pages it gets to see are ours.
    flags += ["--no-sandbox"] if os.geteuid() == 0 else []
    for flag in flags:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(driver))


class Page:
    """The page of one server, as a person uses it."""

    def __init__(self, driver, server):
        self.driver, self.server = driver, server
        self.size(*DESKTOP)
        self.scheme("light")
        self.logs(), self.requests()
        driver.get(server.url + "/")
        self.until(lambda: self.text("#link") == "Live")

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector):
        return self.find(selector).text

    def texts(self, selector):
        return [element.text for element in self.all(selector)]

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def until(self, condition, seconds=20):
        return WebDriverWait(self.driver, seconds, 0.05).until(lambda _: condition())

    def size(self, width, height, scale):
        metrics = {"width": width, "height": height, "deviceScaleFactor": scale}
        metrics["mobile"] = width < 600
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def scheme(self, name):
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def choose(self, service):
        Select(self.find("#service")).select_by_value(service)

    def upload(self, path):
        """Gives the page a file, and waits until there is an answer or an error."""
        before = self.run("return document.getElementById('picture').src")
        self.find("#file").send_keys(str(path))
        self.until(lambda: self.run("return document.getElementById('picture').src") != before)
        return self.answered()

    def sample(self, name):
        self.find(f'[data-sample="{name}"]').click()
        return self.answered()

    def answered(self):
        """The answer that is shown, as JSON; None when it is an error."""
        shown = "return !document.getElementById('%s').hidden"
        self.until(lambda: self.run(shown % "result") or self.run(shown % "failure"))
        if self.run(shown % "failure"):
            return None
        return json.loads(self.run("return document.getElementById('json').textContent"))

    def logs(self):
        """What the browser's console says since the last time."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self):
        """The addresses that were asked for since the last time."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [one for one in messages if one["method"] == "Network.requestWillBeSent"]
        return [one["params"]["request"]["url"] for one in sent]

    def overflow(self):
        """Pixels that the page is wider than the window."""
        return self.run("return document.documentElement.scrollWidth - innerWidth")

    def screenshot(self, name):
        SCREENSHOTS.mkdir(exist_ok=True)
        self.run("scrollTo(0, 0)")
        picture = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        (SCREENSHOTS / f"{name}.png").write_bytes(base64.b64decode(picture["data"]))
