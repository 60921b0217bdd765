"""The DataTables view of a resource, in its frame on the resource's page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from .page import Page

_ROWS = """
return Array.from(document.querySelectorAll('#dtprv tbody tr[id]'),
    row => Array.from(row.cells, cell => cell.textContent))
"""

_READY = "return window.jQuery && jQuery.active === 0 && !!document.getElementById('dtprv_info')"

_HEAD = "//div[contains(@class, 'dataTables_scrollHead')]//th[contains(@class, 'sorting')]"


class TableView:
    """What a person does with the view on the page that is open."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._driver = page.driver

    def columns(self) -> list[str]:
        with self._inside():
            heads = self._driver.find_elements(By.XPATH, _HEAD)
            return [head.text.replace("\xa0", " ").strip() for head in heads]

    def rows(self) -> list[list[str]]:
        """What is shown, the row's number in the first cell."""
        with self._inside():
            shown: list[list[str]] = self._driver.execute_script(_ROWS)
            return shown

    def shows(self, expected: Sequence[Sequence[str]]) -> list[list[str]]:
        """The rows, once they are as expected or nothing more comes."""
        return self.page.settles(self.rows, [list(row) for row in expected])

    def numbers(self, expected: Sequence[int]) -> list[int]:
        """The numbers (`_id`) of the rows, likewise."""
        return self.page.settles(
            lambda: [int(row[0]) for row in self.rows()], [int(number) for number in expected]
        )

    def information(self, expected: str) -> str:
        """What the table says of its number of rows, likewise."""

        def seen() -> str:
            with self._inside():
                return self._driver.find_element(By.ID, "dtprv_info").text

        return self.page.settles(seen, expected)

    def sort_by(self, column: str) -> None:
        """Press a column's head; again for the other direction."""
        with self._inside():
            self.page.click(f"{_HEAD}[contains(., '{column}')]")

    def search(self, text: str) -> None:
        self._type("#dtprv_filter input", text)

    def search_column(self, column: str, text: str) -> None:
        self._type(f".dataTables_scrollHead input[name^='dtcol-{column}-']", text)

    def turn_to(self, page: str) -> None:
        """Press a number, or one of the arrows, below the table."""
        with self._inside():
            self.page.click(f"//*[@id='dtprv_paginate']//a[normalize-space()='{page}']")

    def show(self, rows: int) -> None:
        """Choose how many rows a page of the table has."""
        with self._inside():
            Select(self._driver.find_element(By.NAME, "dtprv_length")).select_by_value(str(rows))

    def select(self, *numbers: int) -> None:
        """Click on rows, all but the first with Ctrl held."""
        with self._inside():
            for place, number in enumerate(numbers):
                cell = self._driver.find_element(By.CSS_SELECTOR, f"#row{number} td:nth-child(2)")
                clicks = ActionChains(self._driver)
                if place:
                    clicks.key_down(Keys.CONTROL).click(cell).key_up(Keys.CONTROL).perform()
                else:
                    clicks.click(cell).perform()

    def press(self, label: str) -> None:
        """Press a button of the table that leads to another page."""
        with self.page.next_page(), self._inside():
            self.page.click(f"//div[@class[contains(., 'dt-buttons')]]//*[.='{label}']")

    def download(self, file_format: str, downloads: Path) -> bytes:
        """What the browser makes of `Filtered download`."""
        before = set(downloads.iterdir())
        with self._inside():
            self.page.click("//button[@title='Filtered download']")
            self.page.click(f"//*[contains(@class, 'dt-button-collection')]//*[.='{file_format}']")

        def finished() -> list[Path]:
            new = set(downloads.iterdir()) - before
            return [path for path in new if not path.name.endswith((".crdownload", ".tmp"))]

        # Chromium first makes a file of a hidden name.
        (path,) = self.page.wait_for(
            lambda: [each for each in finished() if not each.name.startswith(".")]
        )
        return path.read_bytes()

    def _type(self, selector: str, text: str) -> None:
        with self._inside():
            field = self._driver.find_element(By.CSS_SELECTOR, selector)
            field.clear()
            field.send_keys(text, Keys.ENTER)

    @contextmanager
    def _inside(self) -> Iterator[None]:
        self._driver.switch_to.default_content()
        frame = self.page.wait_for(
            lambda: self._driver.find_elements(By.CSS_SELECTOR, ".resource-view iframe")
        )[0]
        self._driver.switch_to.frame(frame)
        self.page.wait_for(lambda: self._driver.execute_script(_READY))
        yield
        self._driver.switch_to.default_content()
