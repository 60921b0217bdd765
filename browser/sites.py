"""One CKAN whose DataStore is on the backend that is asked for: the same pages, other tables."""

from __future__ import annotations

from devstack.site import Site
from devstack.stack import Stack

STOCK = "postgresql"
BIGQUERY = "bigquery"
ENGINES = ("ducklake", BIGQUERY, STOCK)

_PAGES = "tabledesigner datatables_view example_idatadictionaryform datastore"


def made(stack: Stack, engine: str) -> Site:
    """A site with its sysadmin, ready to be served."""
    site = Site(stack).with_settings(engine, _settings(stack, engine))
    site.set_up()
    return site


def _settings(stack: Stack, engine: str) -> dict[str, str]:
    """What its ini file says otherwise than that of the demo."""
    settings = {
        "ckan.plugins": f"bqdatastore {_PAGES}" if engine != STOCK else _PAGES,
        "ckan.gravatar_default": "disabled",  # no pictures from elsewhere
    }
    if engine == STOCK:
        settings["ckan.datastore.write_url"] = stack.stock_write_url
        settings["ckan.datastore.read_url"] = stack.stock_read_url
    elif stack.bigquery is not None:
        settings["ckan.datastore.write_url"] = stack.bigquery.datastore_url
        settings["ckan.datastore.read_url"] = stack.bigquery.datastore_url
    return settings
