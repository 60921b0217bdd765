"""Debian's Chromium, without a window, driven by Selenium."""

from __future__ import annotations

import shutil
from pathlib import Path

from selenium import webdriver

_PROGRAMS = ("chromium", "chromedriver")

_ARGUMENTS = (
    "--headless",
    "--no-sandbox",  # it refuses to run as root with one
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # The pages are all there is.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    # How many rows a table shows at once depends on the window.
    "--window-size=1280,1000",
    "--lang=en-US",
)


def missing() -> str:
    """Which of the programs are not there, and what brings them; empty if none."""
    absent = [name for name in _PROGRAMS if shutil.which(name) is None]
    if not absent:
        return ""
    return f"{' and '.join(absent)} not found: apt-get install chromium chromium-driver"


def started(profile: Path, downloads: Path) -> webdriver.Chrome:
    """
    :param profile: a new folder for what a browser remembers
    :param downloads: where it puts what it downloads, without asking
    """
    browser, driver = (shutil.which(name) for name in _PROGRAMS)
    options = webdriver.ChromeOptions()
    options.binary_location = browser or ""
    for argument in (*_ARGUMENTS, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.add_experimental_option(
        "prefs",
        {"download.default_directory": str(downloads), "download.prompt_for_download": False},
    )
    # By its path: Selenium would otherwise look for a driver on the network.
    return webdriver.Chrome(options, webdriver.ChromeService(driver))
