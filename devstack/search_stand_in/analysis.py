"""Text to terms, and values to what they are compared by, as the schema's field types say."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timedelta, timezone

import snowballstemmer

from devstack.search_stand_in.errors import BadRequest
from devstack.search_stand_in.schema import Kind

# The terms of a text by position; several at one position are alternatives.
Positions = list[set[str]]

# Solr's NGramTokenizer in this schema.
_SHORTEST_GRAM, _LONGEST_GRAM = 2, 10

_stemmer = snowballstemmer.stemmer("english")

_DATE = re.compile(
    r"(?P<now>NOW)|(?P<day>\d{4}-\d\d-\d\d)T(?P<time>\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d+))?"
    r"(?P<zone>Z|[+-]\d\d:\d\d)"
)
_DATE_MATH = re.compile(r"(?P<sign>[+-])(?P<count>\d+)(?P<unit>DAY|HOUR|MINUTE|SECOND|WEEK)S?")


def index_terms(kind: Kind, text: str) -> Positions:
    """The terms that a document is found by."""
    if not kind.is_text:
        return [{text}]
    positions: Positions = []
    for word in text.split():
        parts = _parts(word, split_on_case=kind is Kind.TEXT)
        first = len(positions)
        positions.extend({_term(kind, part)} for part in parts)
        # "Wi-Fi" is found as "wifi" too.
        for start, joined in _catenated(parts):
            positions[first + start].add(_term(kind, joined))
    return positions


def query_terms(kind: Kind, text: str) -> list[str]:
    """The terms that a piece of a query asks for, in order."""
    if not kind.is_text:
        return [text]
    return [
        _term(kind, part)
        for word in text.split()
        for part in _parts(word, split_on_case=kind is Kind.TEXT)
    ]


def has_gram(value: str, text: str) -> bool:
    """Whether an n-gram field with `value` has the term `text`."""
    return _SHORTEST_GRAM <= len(text) <= _LONGEST_GRAM and text.lower() in value.lower()


def comparable(kind: Kind, text: str) -> str | float | datetime:
    """What values of this kind are ordered by.

    :raises BadRequest: it is no such value.
    """
    if kind is Kind.NUMBER:
        try:
            return float(text)
        except ValueError:
            raise BadRequest(f"Invalid Number: {text}") from None
    if kind is Kind.DATE:
        return parse_date(text)
    return text


def parse_date(text: str) -> datetime:
    """Solr's dates: ISO 8601 to the second, in UTC, or NOW, plus or minus some time."""
    found = _DATE.match(text)
    if not found:
        raise BadRequest(f"Invalid Date String:'{text}'")
    if found["now"]:
        date = datetime.now(timezone.utc)
    else:
        zone = "+00:00" if found["zone"] == "Z" else found["zone"]
        fraction = (found["fraction"] or "0").ljust(6, "0")[:6]
        try:
            date = datetime.fromisoformat(f"{found['day']}T{found['time']}.{fraction}{zone}")
        except ValueError:
            raise BadRequest(f"Invalid Date String:'{text}'") from None
    rest = text[found.end() :]
    while rest:
        step = _DATE_MATH.match(rest)
        if not step:
            raise BadRequest(f"The search stand-in has no such date math: '{text}'")
        amount = timedelta(**{f"{step['unit'].lower()}s": int(step["count"])})
        date = date + amount if step["sign"] == "+" else date - amount
        rest = rest[step.end() :]
    return date


def format_date(date: datetime) -> str:
    """As Solr writes dates: UTC, with milliseconds if there are any."""
    utc = date.astimezone(timezone.utc)
    precision = "milliseconds" if utc.microsecond >= 1000 else "seconds"
    return utc.isoformat(timespec=precision).replace("+00:00", "Z")


def _term(kind: Kind, part: str) -> str:
    lowered = part.lower()
    if kind is not Kind.TEXT:
        return lowered
    stemmed: str = _stemmer.stemWord(lowered)
    decomposed = unicodedata.normalize("NFKD", stemmed)
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def _parts(word: str, *, split_on_case: bool) -> list[str]:
    """A word without its punctuation, cut where letters and digits meet and where case rises."""
    word = re.sub(r"['\u2019][sS]$", "", word)
    parts: list[str] = []
    before = ""
    for character in word:
        joins = (character.isalpha() and before.isalpha()) or (
            character.isdigit() and before.isdigit()
        )
        if split_on_case and joins and before.islower() and character.isupper():
            joins = False
        if joins:
            parts[-1] += character
        elif character.isalnum():
            parts.append(character)
        before = character
    return parts


def _catenated(parts: list[str]) -> list[tuple[int, str]]:
    """The runs of more than one word, or more than one number, joined; with where each starts."""
    runs: list[tuple[int, list[str]]] = []
    for place, part in enumerate(parts):
        if runs and runs[-1][1][-1].isdigit() == part.isdigit():
            runs[-1][1].append(part)
        else:
            runs.append((place, [part]))
    return [(start, "".join(run)) for start, run in runs if len(run) > 1]
