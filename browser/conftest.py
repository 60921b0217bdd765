"""A browser, and a site on the engine that `--datastore-engine` names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from browser import chromium, sites
from browser.page import Page
from devstack.stack import Stack


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--datastore-engine",
        choices=sites.ENGINES,
        default=sites.ENGINES[0],
        help="The engine that the tables are in.",
    )


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> Iterator[Chrome]:
    missing = chromium.missing()
    if missing:
        pytest.skip(missing)
    started = chromium.started(tmp_path_factory.mktemp("profile"), downloads)
    yield started
    started.quit()


@pytest.fixture(scope="session")
def page(request: pytest.FixtureRequest, driver: Chrome) -> Iterator[Page]:
    """A window on the site, the sysadmin logged in."""
    engine = request.config.getoption("--datastore-engine")
    with Stack(bigquery=engine == sites.BIGQUERY) as stack:
        site = sites.made(stack, engine)
        with site.served():
            opened = Page(driver, site)
            opened.log_in()
            yield opened


@pytest.fixture(scope="session")
def dataset(page: Page) -> str:
    """The name of a dataset of the site."""
    organization = page.site.action("organization_create", name="gardeners")
    made = page.site.action("package_create", name="tables", owner_org=organization["id"])
    return str(made["name"])


@pytest.fixture
def planned_searches(request: pytest.FixtureRequest) -> None:
    """For tests that search whole rows for beginnings of words."""
    if request.config.getoption("--datastore-engine") == sites.BIGQUERY:
        pytest.skip(
            "needs a faster emulator: bqemulator's DuckDB takes minutes to plan a search of the "
            "whole row for beginnings of words"
        )
