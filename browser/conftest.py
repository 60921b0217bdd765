"""A browser, and a site for each backend; each test runs on both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from browser import chromium, sites
from browser.page import Page
from devstack.site import Site
from devstack.stack import Stack


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
def stack(driver: Chrome) -> Iterator[Stack]:
    with Stack() as started:
        yield started


@pytest.fixture(scope="session")
def base(stack: Stack) -> Site:
    return sites.made(stack)


@pytest.fixture(scope="session", params=[sites.STOCK, sites.OURS])
def page(
    request: pytest.FixtureRequest, driver: Chrome, stack: Stack, base: Site
) -> Iterator[Page]:
    """A window on the site, the sysadmin logged in."""
    site = base.with_settings(request.param, sites.settings(request.param, stack))
    with site.served():
        opened = Page(driver, site)
        opened.log_in()
        yield opened


@pytest.fixture(scope="session")
def dataset(page: Page) -> str:
    """The name of a dataset of the site."""
    name = f"tables-{page.site.ini.stem}"
    organization = page.site.action("organization_create", name=f"of-{name}")
    page.site.action("package_create", name=name, owner_org=organization["id"])
    return name
