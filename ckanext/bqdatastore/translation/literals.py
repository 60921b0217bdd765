"""PostgreSQL's little languages inside literals: intervals, arrays, date formats, patterns.

Each reader takes a constant's text and gives what it means, or what an engine is told instead.
"""

from __future__ import annotations

import dataclasses
import re
from decimal import ROUND_HALF_EVEN, Decimal

from ..model import numbers
from ..model.errors import InvalidRequest
from ..model.tree_size import spend
from .terms import Expression, constant, unsupported

_MONTH, _DAY = 30, 86_400_000_000
"""Days of a month and microseconds of a day, where a fraction of one is carried down."""

_UNITS: dict[str, tuple[int, Decimal]] = {}
for _names, _place, _factor in (
    ("millennium millennia mil mils", 0, 12000),
    ("century centuries cent c", 0, 1200),
    ("decade decades dec decs", 0, 120),
    ("year years yr yrs y", 0, 12),
    ("month months mon mons", 0, 1),
    ("week weeks w", 1, 7),
    ("day days d", 1, 1),
    ("hour hours hr hrs h", 2, 3_600_000_000),
    ("minute minutes min mins m", 2, 60_000_000),
    ("second seconds sec secs s", 2, 1_000_000),
    ("millisecond milliseconds msec msecs msecond mseconds ms", 2, 1000),
    ("microsecond microseconds usec usecs usecond useconds us", 2, 1),
):
    for _name in _names.split():
        _UNITS[_name] = (_place, Decimal(_factor))

_INTERVAL_PART = re.compile(
    r"\s*(?:(?P<clock>[+-]?\d+:\d{1,2}(?::\d{1,2}(?:\.\d*)?)?)"
    r"|(?P<years>[+-]?\d+)-(?P<months>\d{1,2})(?=\s|$)"
    r"|(?P<number>[+-]?(?:\d+\.?\d*|\.\d+))\s*(?P<unit>[a-z]+)?"
    r"|(?P<ago>ago))\s*",
    re.ASCII,
)
_LONGEST_INTERVAL = 255
_INT4, _INT8 = 2**31 - 1, 2**63 - 1
"""What PostgreSQL reads of an interval, and the most that its parts can be."""


def interval(text: str) -> tuple[int, int, int]:
    """Months, days and microseconds of an interval as PostgreSQL writes and reads it.

    :raises InvalidRequest: it is none, or of a form that is not read here (ISO 8601)
    """
    invalid = InvalidRequest("query", f'invalid input syntax for type interval: "{text[:100]}"')
    if len(text) > _LONGEST_INTERVAL:
        raise invalid
    rest, places, ago = text.strip().lower().removeprefix("@"), [Decimal(0)] * 3, False
    if not rest:
        raise invalid
    while rest:
        part = _INTERVAL_PART.match(rest)
        if part is None or not part.group().strip():
            raise invalid
        rest = rest[part.end() :]
        if part["ago"]:
            ago = True
        elif part["clock"]:
            places[2] += _clock(part["clock"])
        elif part["years"]:
            sign = -1 if part["years"].startswith("-") else 1
            places[0] += int(part["years"]) * 12 + sign * int(part["months"])
        else:
            unit = part["unit"] or ("second" if not rest else "")
            if unit not in _UNITS:
                raise invalid
            _carry(places, *_UNITS[unit], Decimal(part["number"]))
    sign = -1 if ago else 1
    months, days, micros = (
        sign * int(place.to_integral_value(ROUND_HALF_EVEN)) for place in places
    )
    if max(abs(months), abs(days)) > _INT4 or abs(micros) > _INT8:
        raise InvalidRequest("query", f'interval field value out of range: "{text}"')
    return months, days, micros


def _clock(text: str) -> Decimal:
    hours, minutes, *seconds = text.lstrip("+-").split(":")
    value = int(hours) * 3600 + int(minutes) * 60 + Decimal(seconds[0] if seconds else 0)
    return value * 1_000_000 * (-1 if text.startswith("-") else 1)


def _carry(places: list[Decimal], place: int, factor: Decimal, number: Decimal) -> None:
    """Add `number` units to their place, what is less than one of it to the places below."""
    amount = number * factor
    whole = amount if place == 2 else Decimal(int(amount))
    places[place] += whole
    if place < 2 and amount != whole:
        _carry(places, place + 1, Decimal((_MONTH, _DAY)[place]), amount - whole)


def array(text: str) -> list[str | None]:
    """The elements of a one-dimensional array literal (`{a,"b c",NULL}`).

    :raises InvalidRequest: it is none
    """
    invalid = InvalidRequest("query", f'malformed array literal: "{text[:100]}"')
    body = text.strip()
    if not (body.startswith("{") and body.endswith("}")):
        raise invalid
    body = body[1:-1]
    if not body.strip():
        return []
    found: list[str | None] = []
    position = 0
    while True:
        item = _ARRAY_ITEM.match(body, position)
        if item is None:
            raise invalid
        if item["quoted"] is not None:
            found.append(re.sub(r"\\(.)", r"\1", item["quoted"], flags=re.S))
        else:
            plain = item["plain"].strip()
            if not plain:
                raise invalid
            is_null = plain.upper() == "NULL"
            found.append(None if is_null else re.sub(r"\\(.)", r"\1", plain, flags=re.S))
        position = item.end()
        if position == len(body):
            return found
        if body[position] != ",":
            raise invalid
        position += 1


_ARRAY_ITEM = re.compile(
    r'\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"\s*|(?P<plain>(?:[^",{}\\]|\\.)+))', re.S
)

# What PostgreSQL's date formats call each part, and how strftime does. The order
# matters: the longest name that fits is taken.
FORMAT_PARTS: dict[str, str] = {
    "YYYY": "%Y",
    "HH24": "%H",
    "HH12": "%I",
    "MONTH": "%B",
    "DDD": "%j",
    "DAY": "%A",
    "MON": "%b",
    "YY": "%y",
    "MM": "%m",
    "DD": "%d",
    "DY": "%a",
    "HH": "%I",
    "MI": "%M",
    "SS": "%S",
    "MS": "%g",
    "US": "%f",
    "AM": "%p",
    "PM": "%p",
}
NUMBER_PARTS = ("IYYY", "IDDD", "SSSSS", "SSSS", "Q", "WW", "W", "IW", "ID", "D", "CC", "J")
"""Parts of a date format that strftime has not; a number each."""

_FORMAT = re.compile(
    r'"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<fill>FM)|(?P<part>'
    + "|".join(sorted((*FORMAT_PARTS, *NUMBER_PARTS), key=len, reverse=True))
    + r")(?P<suffix>TH)?|(?P<plain>[^A-Za-z\"])",
    re.I,
)


def date_format(text: str) -> list[tuple[str, str, bool]]:
    """The parts of a format of `to_char` or `to_date`.

    :returns: for each its kind (`part`, as written; or `plain` text), and whether FM is before it
    :raises InvalidRequest: a part that is not known here, or far too many of them
    """
    spend(len(text))
    found, position, fill = [], 0, False
    while position < len(text):
        match = _FORMAT.match(text, position)
        if match is None or match["suffix"]:
            raise unsupported(f'"{text[position : position + 8]}" in a date format')
        position = match.end()
        if match["fill"]:
            fill = True
        elif match["part"]:
            found.append(("part", match["part"], fill))
            fill = False
        else:
            quoted = match["quoted"]
            plain = match["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            found.append(("plain", plain, False))
    return found


def similar(pattern: str, escape: str | None) -> str:
    """A `SIMILAR TO` pattern as PostgreSQL's regular expression for the whole text."""
    escape = "\\" if escape is None else escape
    found, position, in_class = [], 0, False
    while position < len(pattern):
        char = pattern[position]
        if escape and char == escape:
            position += 1
            if position == len(pattern):
                raise InvalidRequest("query", "invalid escape sequence")
            found.append(re.escape(pattern[position]))
        elif in_class:
            found.append("\\\\" if char == "\\" else char)
            in_class = char != "]"
        elif char == "[":
            found.append(char)
            in_class = True
        elif char == "%":
            found.append(".*")
        elif char == "_":
            found.append(".")
        elif char == "(":
            found.append("(?:")
        elif char in r"\^$.":
            found.append(re.escape(char))
        else:
            found.append(char)
        position += 1
    return "".join(found)


WILD = {"%": ".*", "_": "."}


def like(pattern: str, escape: str) -> str | None:
    """The regular expression of a pattern; None for one that ends with its escape character."""
    letters = iter(pattern)
    parts = []
    for letter in letters:
        if letter == escape:
            following = next(letters, None)
            if following is None:
                return None
            parts.append(re.escape(following))
        else:
            parts.append(WILD.get(letter) or re.escape(letter))
    return "".join(parts)


def escape_character(text: str) -> str:
    """What `ESCAPE` names: one character, or none.

    :raises InvalidRequest: it is more
    """
    if len(text) > 1:
        raise InvalidRequest(
            "query", "invalid escape string: Escape string must be empty or one character."
        )
    return text


_INTEGER = re.compile(
    r"[ \t\n\r\f\v]*(?P<sign>[+-]?)(?P<digits>\d(?:_?\d)*"
    r"|0x(?:_?[0-9a-f])+|0o(?:_?[0-7])+|0b(?:_?[01])+)[ \t\n\r\f\v]*",
    re.I | re.A,
)


def integer(text: str) -> int:
    """An integer as PostgreSQL reads it, which may be hexadecimal and have `_` between digits.

    :raises ValueError: it is none
    """
    found = _INTEGER.fullmatch(text)
    if found is None:
        raise ValueError(text)
    digits = found["digits"].replace("_", "")
    if not digits.isdigit():
        return int(found["sign"] + digits, 0)
    if len(digits.lstrip("0")) > numbers.MOST_DIGITS:
        digits = "9" * numbers.MOST_DIGITS  # beyond every type's range, as it is
    return int(found["sign"] + digits)


_FIELD_SPELLINGS: dict[str, str] = {
    "years": "year",
    "y": "year",
    "quarters": "quarter",
    "months": "month",
    "mon": "month",
    "weeks": "week",
    "days": "day",
    "d": "day",
    "hours": "hour",
    "h": "hour",
    "minutes": "minute",
    "min": "minute",
    "seconds": "second",
    "sec": "second",
    "millisecond": "milliseconds",
    "microsecond": "microseconds",
    "decades": "decade",
    "centuries": "century",
}


def field(tree: Expression, what: str) -> str:
    """The field of a date or time that a constant names."""
    name = constant(tree, f"{what} with a field").strip().lower()
    return _FIELD_SPELLINGS.get(name, name)


PLACE = re.compile(r"-?[0-9]{1,9}")
"""A step of a JSON path that is a place in an array."""

TRUE = ("true", "tru", "tr", "t", "yes", "ye", "y", "on", "1")
FALSE = ("false", "fals", "fal", "fa", "f", "no", "n", "off", "of", "0")


def truth(text: str) -> bool:
    """:raises InvalidRequest: the text is no boolean"""
    word = text.strip().lower()
    if word not in (*TRUE, *FALSE):
        raise InvalidRequest("query", f'invalid input syntax for type boolean: "{text[:100]}"')
    return word in TRUE


_NUMBER_FORMAT = re.compile(r"(?P<fill>FM)?(?P<whole>[09,G]*)(?:[.D](?P<fraction>[09]*))?", re.I)


@dataclasses.dataclass(frozen=True)
class NumberFormat:
    """What a format of `to_char` for numbers says.

    :param digits: a `9` or a `0` for each place before the point
    :param least: how many of them are shown at least, with zeros
    :param grouped: whether there are commas after every three
    :param fraction: a `9` or a `0` for each place after the point
    :param bare: without blanks (`FM`)
    :param point: whether a point is shown
    """

    digits: str
    least: int
    grouped: bool
    fraction: str
    bare: bool
    point: bool

    @property
    def overflow(self) -> str:
        """What is shown of a number that has more digits, without its sign."""
        whole = "#" * len(self.digits)
        if self.grouped:
            first = len(whole) % 3 or 3
            whole = ",".join([whole[:first], *re.findall("###", whole[first:])])
        return whole + ("." + "#" * len(self.fraction) if self.fraction else "")

    @property
    def width(self) -> int:
        """Letters without the sign."""
        commas = (len(self.digits) - 1) // 3 if self.grouped else 0
        return len(self.digits) + commas + (1 + len(self.fraction) if self.point else 0)


def number_format(pattern: str) -> NumberFormat:
    """:raises Untranslatable: a format of more than `FM`, `9`, `0`, `,`, `G`, `.` and `D`"""
    match = _NUMBER_FORMAT.fullmatch(pattern)
    if match is None or not (match["whole"] or match["fraction"]):
        raise unsupported(f'the number format "{pattern}"')
    bare, whole = bool(match["fill"]), match["whole"].upper().replace("G", ",")
    fraction = match["fraction"] or ""
    digits = whole.replace(",", "")
    if "0" in digits.lstrip("9") and "9" in digits.lstrip("9"):
        # From the first 0 on every place is shown.
        digits = digits[: digits.index("0")] + "0" * (len(digits) - digits.index("0"))
    commas = whole.split(",")
    if len(commas) > 1 and any(len(group) != 3 for group in commas[1:]):
        raise unsupported(f'the number format "{pattern}"')
    if bare and "9" in fraction:
        raise unsupported(f'the number format "{pattern}"')
    if len(digits) > 18:
        raise unsupported("number formats of more than 18 places")
    least = len(digits) - digits.index("0") if "0" in digits else 0
    if not fraction and least == 0:
        # Without places after the point a zero is shown all the same.
        least = 1
    point = "." in pattern or "D" in pattern.upper()
    return NumberFormat(digits, least, len(commas) > 1, fraction, bare, point)
