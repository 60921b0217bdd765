"""Columns of a file as fields of a table."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from ..definition import NAME_LENGTH
from ..model.table import Field, Table
from ..model.types import UnknownType, canonical


def fields_of_file(
    columns: Sequence[tuple[str, str]], before: Table | None = None
) -> tuple[Field, ...]:
    """A field for each column, its name made valid, its dictionary entry kept.

    A `type_override` in the data dictionary decides the type, as other loaders have it.

    :param columns: the file's own names and the inferred API types
    :param before: the table that the file will replace
    """
    known = {field.id: field for field in before.fields} if before else {}
    fields = []
    names = field_names([name for name, _ in columns])
    for name, (_, inferred) in zip(names, columns, strict=True):
        old = known.get(name, Field(name, inferred))
        type = _overridden(old) or inferred
        fields.append(Field(name, type, old.info, old.plugin_data))
    return tuple(fields)


def settled_types(
    columns: Sequence[tuple[str, str]], fields: Sequence[Field]
) -> tuple[tuple[str, str], ...]:
    """The file's columns that must not be inferred again when they are read, with their types."""
    return tuple(
        (name, field.type)
        for (name, inferred), field in zip(columns, fields, strict=True)
        if field.type != inferred or field.type in ("numeric", "text")
    )


def _overridden(field: Field) -> str | None:
    override = (field.info or {}).get("type_override")
    try:
        return canonical(str(override)) if override else None
    except UnknownType:
        return None


def field_names(headings: Sequence[str]) -> list[str]:
    """Headings as valid, different field names; what is already valid stays as it is."""
    names: list[str] = []
    taken: set[str] = set()
    for position, heading in enumerate(headings, 1):
        name = "".join(
            letter for letter in heading if not unicodedata.category(letter).startswith("C")
        )
        name = re.sub(r"^_+", "", name.replace('"', "'").strip()).strip()[:NAME_LENGTH].strip()
        name = name or f"column_{position}"
        unique, number = name, 1
        while unique in taken:
            number += 1
            suffix = f"_{number}"
            unique = name[: NAME_LENGTH - len(suffix)] + suffix
        taken.add(unique)
        names.append(unique)
    return names
