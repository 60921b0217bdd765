"""Who may do what with a resource: CKAN's own decisions, kept for a short time.

`decisions` decides and keeps, `changes` drops what a change to CKAN's database has made old,
`store` knows where decisions are kept.
"""

from .decisions import is_permitted

__all__ = ["is_permitted"]
