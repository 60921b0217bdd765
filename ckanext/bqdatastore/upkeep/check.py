"""Whether a site has what its engine needs, one thing after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from ..engines.base import Check
from ..model.errors import DatastoreFault
from ..site import unopened_engine


@dataclasses.dataclass(frozen=True)
class Finding:
    """
    :param problem: what is wrong, in a sentence without secrets; None if all is well
    """

    subject: str
    problem: str | None = None


def check_site() -> Iterator[Finding]:
    """What the engine of the settings says of each thing that it needs."""
    try:
        engine = unopened_engine()
    except DatastoreFault as fault:
        yield Finding("The settings name an engine", str(fault))
        return
    yield Finding("The settings name an engine")
    try:
        for check in engine.checks():
            yield _finding(check)
    finally:
        engine.close()


def _finding(check: Check) -> Finding:
    try:
        check.run()
    except DatastoreFault as fault:
        return Finding(check.subject, str(fault))
    return Finding(check.subject)
