"""One CKAN, served on our backend and on CKAN's own: the same pages, other tables."""

from __future__ import annotations

from devstack.site import Site
from devstack.stack import Stack

OURS = "ducklake"
STOCK = "postgresql"

_PAGES = "tabledesigner datatables_view example_idatadictionaryform datastore"


def settings(engine: str, stack: Stack) -> dict[str, str]:
    """What the site's ini file says for one of the backends."""
    pages = {"ckan.gravatar_default": "disabled"}  # no pictures from elsewhere
    if engine == OURS:
        return {**pages, "ckan.plugins": f"bqdatastore {_PAGES}"}
    return {
        **pages,
        "ckan.plugins": _PAGES,
        "ckan.datastore.write_url": stack.stock_write_url,
        "ckan.datastore.read_url": stack.stock_read_url,
    }


def made(stack: Stack) -> Site:
    """The site that the others are variants of."""
    site = Site(stack)
    site.set_up()
    return site
