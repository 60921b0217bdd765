"""Which tables have changed since this process last looked, by what the catalog says of snapshots.

Any write to any table makes a snapshot of the whole lake; the catalog notes with each which tables
it changed.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterable

ANYTHING = -1
"""In place of a table's id: has a new number with every snapshot."""

MOST_SNAPSHOTS = 1_000
"""Of more snapshots at once nobody reads what they changed: every table counts as changed."""

Changes = Callable[[int, int], Iterable[str | None]]
"""What the snapshots after the first number and up to the second have changed, as texts."""

_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_numbers = itertools.count(1)


@dataclasses.dataclass(frozen=True)
class TableVersions:
    """A number for each table, which no other state of it ever had in this process.

    :param snapshot: the newest snapshot that was looked at
    """

    snapshot: int = -1
    _known: dict[int, int] = dataclasses.field(default_factory=dict)

    def number(self, table_id: int) -> int:
        """The table's number at the snapshot."""
        # Threads may ask at once: the first one's number stands.
        return self._known.get(table_id) or self._known.setdefault(table_id, next(_numbers))

    def at(self, snapshot: int, changes: Changes) -> TableVersions:
        """What is known at another snapshot: tables that have not changed keep their numbers."""
        count = snapshot - self.snapshot
        if not 0 < count <= MOST_SNAPSHOTS:  # fewer than before: the catalog is another one
            return TableVersions(snapshot)
        texts = list(changes(self.snapshot, snapshot))
        if len(texts) < count:  # some have expired
            return TableVersions(snapshot)
        changed = {ANYTHING}
        for text in texts:
            ids = changed_tables(text)
            if ids is None:
                return TableVersions(snapshot)
            changed |= ids
        known = dict(self._known)
        for table_id in changed:
            known.pop(table_id, None)
        return TableVersions(snapshot, known)


def changed_tables(text: str | None) -> set[int] | None:
    """Ids in what the catalog says of a snapshot (`inlined_insert:3,altered_table:4`).

    Ids of other things may be among them. None for what does not say which table it changed.
    """
    found: set[int] = set()
    # Names may hold anything; what is named and not numbered is new.
    for change in _QUOTED.sub("", text or "").split(","):
        kind, _, changed = change.partition(":")
        if changed.isdecimal():
            found.add(int(changed))
        elif not kind.startswith("created_"):
            return None
    return found
