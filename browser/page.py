"""What a person does on a page: go somewhere, read, fill in forms, press buttons."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    InvalidElementStateException,
    StaleElementReferenceException,
    TimeoutException,
)
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from devstack.site import ADMIN, Site

_PATIENCE = 20.0
"""Seconds after which what has not come will not come."""

# CKAN's style sheets scroll softly, and what moves cannot be clicked.
_SHOW = "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})"

# What these take from the keyboard depends on the machine's language.
_PICKERS = ("date", "datetime-local")

_STILL_MOVING = (
    StaleElementReferenceException,
    ElementNotInteractableException,
    ElementClickInterceptedException,
    InvalidElementStateException,
)

_BUTTON = (
    "//*[self::button or self::a[contains(@class, 'btn') or contains(@class, 'dropdown-item')]]"
)

_Found = TypeVar("_Found")


class Page:
    """A browser's window on one site."""

    def __init__(self, driver: Chrome, site: Site) -> None:
        self.driver = driver
        self.site = site

    def log_in(self) -> None:
        self.go("/user/login")
        self.fill("login", ADMIN)
        self.fill("password", self.site.password)
        self.submit("Login")

    def go(self, path: str) -> None:
        self.driver.get(self.site.url + path)

    def forget_state(self) -> None:
        """Let tables look as they do at first; the browser keeps how they were left."""
        place = {"origin": self.site.url, "storageTypes": "local_storage"}
        self.driver.execute_cdp_cmd("Storage.clearDataForOrigin", place)

    def text(self) -> str:
        """What can be read on the page."""
        return self.driver.find_element(By.TAG_NAME, "body").text

    def value(self, name: str) -> str:
        """What stands in a form's field."""
        return self._named(name).get_attribute("value") or ""

    def fill(self, name: str, value: str) -> None:
        """Put a value into a form's field, in place of what is there."""

        def filled() -> bool:
            field = self._named(name)
            if field.tag_name == "select":
                Select(field).select_by_value(value)
            elif field.get_attribute("type") in _PICKERS:
                self.driver.execute_script("arguments[0].value = arguments[1]", field, value)
            else:
                field.clear()
                field.send_keys(value)
            return True

        self.wait_for(filled)

    def press(self, label: str) -> None:
        """Press the button, or what looks like one, that says `label`."""
        self.click(f"{_BUTTON}[normalize-space()='{label}']")

    def submit(self, label: str) -> None:
        """The same, and wait for the page that comes."""
        with self.next_page():
            self.press(label)

    def click(self, xpath: str) -> None:
        def clicked() -> bool:
            found = self.driver.find_elements(By.XPATH, xpath)
            for element in (each for each in found if each.is_displayed()):
                self.driver.execute_script(_SHOW, element)
                element.click()
                return True
            return False

        self.wait_for(clicked)

    @contextmanager
    def next_page(self) -> Iterator[None]:
        """Wait, after the block, for the page that comes of it."""
        self.driver.switch_to.default_content()
        page = self.driver.find_element(By.TAG_NAME, "html")
        yield
        self.driver.switch_to.default_content()
        WebDriverWait(self.driver, _PATIENCE).until(staleness_of(page))
        self.wait_for(
            lambda: self.driver.execute_script("return document.readyState") == "complete"
        )

    def wait_for(self, found: Callable[[], _Found]) -> _Found:
        """The first answer that is not empty.

        :raises TimeoutException: there was none
        """
        waiting = WebDriverWait(self.driver, _PATIENCE, 0.1, ignored_exceptions=_STILL_MOVING)
        return waiting.until(lambda _: found())

    def settles(self, seen: Callable[[], _Found], expected: _Found) -> _Found:
        """What is seen as soon as it is as expected, or at last, for an assertion to tell."""
        with suppress(TimeoutException):
            self.wait_for(lambda: seen() == expected)
        return seen()

    def _named(self, name: str) -> WebElement:
        return self.driver.find_element(By.NAME, name)
