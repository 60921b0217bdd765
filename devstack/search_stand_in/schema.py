"""The fields of CKAN's Solr schema, read from the schema.xml that CKAN ships."""

from __future__ import annotations

import enum
import fnmatch
import functools
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree


class Kind(enum.Enum):
    """How a field's values are cut into terms and compared."""

    STRING = "string"
    BOOLEAN = "boolean"
    NUMBER = "number"
    DATE = "date"
    TEXT = "text"
    TEXT_GENERAL = "text_general"
    TEXT_NGRAM = "text_ngram"

    @property
    def is_text(self) -> bool:
        return self in (Kind.TEXT, Kind.TEXT_GENERAL, Kind.TEXT_NGRAM)


_KINDS_BY_CLASS = {
    "solr.StrField": Kind.STRING,
    "solr.BoolField": Kind.BOOLEAN,
    "solr.IntPointField": Kind.NUMBER,
    "solr.LongPointField": Kind.NUMBER,
    "solr.FloatPointField": Kind.NUMBER,
    "solr.DoublePointField": Kind.NUMBER,
    "solr.DatePointField": Kind.DATE,
}
_KINDS_BY_NAME = {kind.value: kind for kind in Kind if kind.is_text}


@dataclass(frozen=True)
class Field:
    """One field, or the rule for all whose name has its pattern."""

    name: str
    kind: Kind
    stored: bool
    multi_valued: bool
    sorts_missing_last: bool
    default: str | None


class Schema:
    """What kind each field is, and which fields are copied into which."""

    def __init__(self, xml: str) -> None:
        self.xml = xml
        root = ElementTree.fromstring(xml)
        self.name: str = root.attrib["name"]
        self.unique_key: str = root.findtext("uniqueKey", default="id")
        types = {
            element.attrib["name"]: element
            for element in root.iter()
            if element.tag.lower() == "fieldtype"
        }
        self._fields = {
            element.attrib["name"]: _field(element, types) for element in root.iter("field")
        }
        # Solr tries the longest pattern first.
        self._patterns = sorted(
            (_field(element, types) for element in root.iter("dynamicField")),
            key=lambda field: -len(field.name),
        )
        self._copies = [
            (element.attrib["source"], element.attrib["dest"]) for element in root.iter("copyField")
        ]
        self.defaults = {
            field.name: field.default for field in self._fields.values() if field.default
        }

    @classmethod
    def read(cls, path: Path) -> Schema:
        return cls(path.read_text(encoding="utf-8"))

    @functools.lru_cache(maxsize=10_000)  # noqa: B019 - one schema lives as long as the process
    def field(self, name: str) -> Field:
        """The field of this name; CKAN's schema has a rule for any."""
        if name in self._fields:
            return self._fields[name]
        return next(field for field in self._patterns if fnmatch.fnmatchcase(name, field.name))

    @functools.lru_cache(maxsize=10_000)  # noqa: B019 - as above
    def copies(self, name: str) -> tuple[str, ...]:
        """The fields that a document's field is copied into. Copies are not copied again."""
        return tuple(target for source, target in self._copies if fnmatch.fnmatchcase(name, source))


def _field(element: ElementTree.Element, types: dict[str, ElementTree.Element]) -> Field:
    type_name = element.attrib["type"]
    type_attributes = types[type_name].attrib
    attributes = {**type_attributes, **element.attrib}
    kind = _KINDS_BY_NAME.get(type_name) or _KINDS_BY_CLASS[type_attributes["class"]]
    return Field(
        name=element.attrib["name"],
        kind=kind,
        stored=attributes.get("stored", "true") == "true",
        multi_valued=attributes.get("multiValued", "false") == "true",
        sorts_missing_last=attributes.get("sortMissingLast", "false") == "true",
        default=attributes.get("default"),
    )
