"""Why a value cannot go into a column, before the row and the field are known."""

from __future__ import annotations

BLANKS = " \t\n\v\f\r"
"""What PostgreSQL's input functions pass over; Python's `str.strip` would take more."""


class Refused(ValueError):
    """A value does not fit its type; the text is PostgreSQL's own message."""


class Mismatched(Refused):
    """PostgreSQL has no assignment cast between two types, whatever the value.

    :param source: the type that the value has in SQL, as format_type spells it
    """

    def __init__(self, source: str) -> None:
        self.source = source
        super().__init__(f"expression is of type {source}")


def not_held(text: str, why: str) -> Refused:
    """For values that are good in PostgreSQL and that no column here can keep.

    :param text: the value, as it was given
    :param why: the limit that it breaks
    """
    return Refused(f'value "{text}" cannot be held: {why}')


def invalid_syntax(type_name: str, text: str) -> Refused:
    return Refused(f'invalid input syntax for type {type_name}: "{text}"')
