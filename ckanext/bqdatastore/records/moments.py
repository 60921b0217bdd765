"""Dates and times from text, by the rules of PostgreSQL's own input functions (DateStyle MDY).

Each token is given its meaning by what the tokens before it have already said: that is how
PostgreSQL reads, and the only way to accept and to refuse the same texts. See its manual, appendix
B.1, "Date/Time Input Interpretation".

Texts without a zone are in UTC. Julian days (`J2451187`) and zones with rules for summer time in
their names (`EST5EDT,M3.2.0,M11.1.0`) are not read.
"""

from __future__ import annotations

import calendar
import datetime
import re
import zoneinfo

from . import zones
from .moment_tokens import KEYWORDS, OutOfRange, UnknownZone, Unreadable, ZoneOutOfRange, tokens
from .refusal import Refused, not_held

SECOND = 1_000_000
DAY = 86_400 * SECOND
_EPOCH = datetime.date(1970, 1, 1).toordinal()
_YEARS = range(datetime.MINYEAR, datetime.MAXYEAR + 1)
_FIRST = (datetime.date.min.toordinal() - _EPOCH) * DAY
_LAST = (datetime.date.max.toordinal() - _EPOCH + 1) * DAY - 1

# What is beyond these, no engine of ours or no client in Python could keep.
_YEARS_HELD = "years are from 1 to 9999"
_TIMES_HELD = "the last time of a day is 23:59:59.999999"
_FINITE_ONLY = "dates and times are finite"


def read_timestamp(text: str) -> int:
    """Microseconds since 1970 by the clock that the text was written by; a zone is read over.

    :raises Refused: the text is no timestamp, or one that no column can hold
    """
    return _held(_moment(text, "timestamp").microseconds_since_epoch(), text)


def read_timestamptz(text: str) -> int:
    """Microseconds since 1970 in UTC.

    :raises Refused: the text is no timestamp, or one that no column can hold
    """
    moment = _moment(text, "timestamp with time zone")
    return _held(moment.microseconds_since_epoch() - moment.offset_seconds() * SECOND, text)


def read_date(text: str) -> int:
    """Days since 1970; a time of day is read over.

    :raises Refused: the text is no date, or one that no column can hold
    """
    return _moment(text, "date").days_since_epoch()


def read_time(text: str) -> int:
    """Microseconds since midnight; a date and a zone are read over.

    :raises Refused: the text is no time of day, or one that no column can hold
    """
    try:
        reading = _TimeReading(tokens(text))
        reading.read()
        reading.finish()
    except Unreadable as fault:
        raise _refused(fault, text, "time") from None
    if reading.microseconds == DAY:
        raise not_held(text, _TIMES_HELD)
    return reading.microseconds


def _moment(text: str, type_name: str) -> _Reading:
    try:
        reading = _Reading(tokens(text))
        reading.read()
        if not reading.named:
            reading.finish()
    except Unreadable as fault:
        raise _refused(fault, text, type_name) from None
    if reading.named == "epoch":
        reading.set_day(datetime.date(1970, 1, 1))
    elif reading.named:
        raise not_held(text, _FINITE_ONLY)
    elif reading.year not in _YEARS:
        raise not_held(text, _YEARS_HELD)
    return reading


def _refused(fault: Unreadable, text: str, type_name: str) -> Refused:
    return Refused(fault.message.format(type=type_name, text=text, args=fault.args))


def _held(microseconds: int, text: str) -> int:
    """`microseconds`, if they still are in a year that is held: 24:00 or a zone may cross it."""
    if not _FIRST <= microseconds <= _LAST:
        raise not_held(text, _YEARS_HELD)
    return microseconds


# What a text has said so far: bits, since no part may be said twice.
_YEAR, _MONTH, _DAY, _DAY_OF_YEAR, _TIME, _ZONE, _SUMMER, _HALF, _ERA, _WEEKDAY = (
    1 << bit for bit in range(10)
)
_DATE = _YEAR | _MONTH | _DAY

# The part of a date that a number is, by the parts before it.
_NEXT_PART = {
    _YEAR: _MONTH,
    _MONTH: _DAY,
    _YEAR | _MONTH: _DAY,
    _DAY: _MONTH,
    _MONTH | _DAY: _YEAR,
}
_NAMED_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}

_CLOCK = re.compile(
    r"(?P<first>\d+):(?P<second>\d*)(?::(?P<third>\d*))?(?:\.(?P<fraction>\d*))?", re.ASCII
)
_OFFSET = re.compile(r"[+-](?P<hours>\d+)(?::(?P<minutes>\d+)(?::(?P<seconds>\d+))?)?", re.ASCII)
_TWO_SEPARATORS_AT_END = re.compile(r"[^0-9a-z]{2}$")


class _Reading:
    """What the tokens have said so far, and what each next one therefore means."""

    def __init__(self, found: list[tuple[str, str]]) -> None:
        self.tokens = found
        self.said = 0
        self.year = self.month = self.day = self.day_of_year = 0
        self.two_digit_year = self.month_by_name = False
        self.hour = self.minute = self.second = self.microseconds = 0
        self.half = self.era = self.named = ""
        self.offset: int | zoneinfo.ZoneInfo = 0
        self.time_must_follow = False

    def read(self) -> None:
        """Take in all tokens.

        :raises Unreadable: they make no sense in this order
        """
        for index, (kind, token) in enumerate(self.tokens):
            getattr(self, f"read_{kind}")(token, index)
        if self.time_must_follow:
            raise Unreadable

    def finish(self) -> None:
        """Settle what only the whole text decides, and check it.

        :raises Unreadable: it is incomplete, or no such day or time exists
        """
        self.finish_date()
        self.finish_time()
        if self.said & _DATE != _DATE:
            raise Unreadable

    def say(self, parts: int) -> None:
        if parts & self.said:
            raise Unreadable
        self.said |= parts

    # One method for each kind of token

    def read_date(self, token: str, index: int) -> None:
        if not self.time_must_follow and self.said & (_MONTH | _DAY) != _MONTH | _DAY:
            self.say(self.date(token))
        elif self.time_must_follow or token[0].isdigit():
            self.time_must_follow = False
            self.time_and_offset(token)
        else:
            self.zone_name(token)

    def read_time(self, token: str, index: int) -> None:
        self.time_must_follow = False
        self.clock(token)
        self.say(_TIME)

    def read_zone(self, token: str, index: int) -> None:
        self.zone_offset(token)
        self.say(_ZONE)

    def read_number(self, token: str, index: int) -> None:
        whole, point, _ = token.partition(".")
        lacking = self.said & _DATE == 0 or self.said & _TIME == 0
        if self.time_must_follow:
            self.time_must_follow = False
            self.say(self.run_together(token, self.said | _DATE))
        elif point and not self.said & _DATE:
            self.say(self.date(token))
        elif (point and len(whole) > 2) or (len(token) >= 6 and lacking):
            self.say(self.run_together(token, self.said))
        else:
            self.say(self.number(token, self.said, self.month_by_name))

    def read_special(self, token: str, index: int) -> None:
        self.read_word(token, index)

    def read_word(self, token: str, index: int) -> None:
        if token in zones.STANDARD_OFFSETS:
            self.say(_ZONE)
            self.offset = zones.STANDARD_OFFSETS[token]
        elif token in zones.SUMMER_OFFSETS:
            self.say(_ZONE | _SUMMER)
            self.offset = zones.SUMMER_OFFSETS[token]
        elif token in KEYWORDS:
            meaning, value = KEYWORDS[token]
            getattr(self, f"word_{meaning}")(value)
        else:
            zone = zones.zone(token)
            if zone is None:
                raise Unreadable
            self.say(_ZONE)
            self.offset = zone

    # One method for each meaning of a word

    def word_month(self, month: int) -> None:
        if (
            self.said & (_MONTH | _DAY) == _MONTH
            and not self.month_by_name
            and 1 <= self.month <= 31
        ):
            # `12 March`: what looked like a month is the day.
            self.say(_DAY)
            self.day = self.month
        else:
            self.say(_MONTH)
        self.month_by_name = True
        self.month = month

    def word_weekday(self, weekday: int) -> None:
        self.say(_WEEKDAY)

    def word_half(self, half: str) -> None:
        self.say(_HALF)
        self.half = half

    def word_era(self, era: str) -> None:
        self.say(_ERA)
        self.era = era

    def word_filler(self, value: int) -> None:
        pass

    def word_then_time(self, value: int) -> None:
        if self.said & _DATE != _DATE or self.time_must_follow:
            raise Unreadable
        self.time_must_follow = True

    def word_summer(self, seconds: int) -> None:
        self.say(_SUMMER)
        if isinstance(self.offset, zoneinfo.ZoneInfo):
            raise Unreadable
        self.offset += seconds

    def word_named(self, name: str) -> None:
        now = datetime.datetime.now(datetime.timezone.utc)
        if name in _NAMED_DAYS:
            self.say(_DATE)
            self.set_day(now.date() + datetime.timedelta(days=_NAMED_DAYS[name]))
        elif name == "allballs":
            self.say(_TIME | _ZONE)
        else:
            self.say(_DATE | _TIME | _ZONE)
            if name == "now":
                self.set_now(now)
            else:
                self.named = name

    # Parts of tokens

    def date(self, token: str) -> int:
        """Read year, month and day, in this order or another; returns the parts that were said."""
        if _TWO_SEPARATORS_AT_END.search(token):
            raise Unreadable
        parts = re.findall(r"[0-9]+|[a-z]+", token)
        said = self.said
        month_by_name = False
        for word in filter(str.isalpha, parts):
            meaning, value = KEYWORDS.get(word, ("", 0))
            if meaning == "filler":
                continue
            if meaning != "month" or said & _MONTH:
                raise Unreadable
            self.month, month_by_name = int(value), True
            said |= _MONTH
        for digits in filter(str.isdigit, parts):
            part = self.number(digits, said, month_by_name)
            if part & said:
                raise Unreadable
            said |= part
        self.month_by_name |= month_by_name
        if said & ~(_DAY_OF_YEAR | _ZONE) != _DATE:
            raise Unreadable
        return said & ~self.said

    def number(self, token: str, said: int, month_by_name: bool) -> int:
        """Read one number as a part that the date still lacks, else as a time; returns the part."""
        whole, point, _ = token.partition(".")
        if point and len(whole) > 2:
            return self.run_together(token, said | _DATE)
        value, length = _integer(whole), len(token)
        dated = said & _DATE
        if dated == _DATE:
            return self.run_together(token, said)
        if dated == _YEAR and length == 3 and 1 <= value <= 366:
            self.day_of_year = value
            return _DAY_OF_YEAR | _MONTH | _DAY
        if dated == 0 or (dated == _MONTH and month_by_name):
            part = _YEAR if length >= 3 else (_DAY if dated else _MONTH)
        elif dated in _NEXT_PART:
            part = _NEXT_PART[dated]
        else:
            raise Unreadable
        if part == _YEAR:
            self.year, self.two_digit_year = value, length <= 2
        elif part == _MONTH:
            self.month = value
        elif month_by_name and dated == _YEAR | _MONTH and length >= 3 and self.two_digit_year:
            # `12-Mar-2020` began as if 12 were the year.
            self.day, self.year, self.two_digit_year = self.year, value, False
        else:
            self.day = value
        return part

    def run_together(self, token: str, said: int) -> int:
        """Read `yyyymmdd`, `yymmdd`, `hhmmss`, `hhmm` or `hhmmss.fff`; returns what it was."""
        digits, point, fraction = token.partition(".")
        if not point and said & _DATE != _DATE and len(digits) >= 6:
            self.year, self.month = _integer(digits[:-4]), _integer(digits[-4:-2])
            self.day, self.two_digit_year = _integer(digits[-2:]), len(digits) == 6
            return _DATE
        if not said & _TIME and len(digits) in (4, 6):
            hour, minute, second = (_integer(digits[at : at + 2] or "0") for at in (0, 2, 4))
            self.set_clock(hour, minute, second, _microseconds(fraction))
            return _TIME
        raise Unreadable

    def time_and_offset(self, token: str) -> None:
        """Read `hhmmss-zz`."""
        digits, minus, offset = token.partition("-")
        if not minus or self.said & _TIME:
            raise Unreadable
        self.zone_offset(minus + offset)
        self.say(self.run_together(digits, self.said | _DATE) | _ZONE)

    def clock(self, token: str) -> None:
        """Read `hh:mm`, `hh:mm:ss`, `hh:mm:ss.fff` or `mm:ss.fff`."""
        match = _CLOCK.fullmatch(token)
        if match is None:
            raise Unreadable
        hour, minute, second = (
            _integer(match[group] or "0") for group in ("first", "second", "third")
        )
        if match["fraction"] is not None and match["third"] is None:
            hour, minute, second = 0, hour, minute
        self.set_clock(hour, minute, second, _microseconds(match["fraction"] or ""))
        self.check_clock()

    def zone_offset(self, token: str) -> None:
        match = _OFFSET.match(token)
        if match is None:
            raise Unreadable
        hours, minutes, seconds = (
            _integer(match[group] or "0") for group in ("hours", "minutes", "seconds")
        )
        if match["minutes"] is None and len(match["hours"]) > 2:
            hours, minutes = divmod(hours, 100)
        if hours > 15 or minutes > 59 or seconds > 59:
            raise ZoneOutOfRange
        if match.end() < len(token):
            raise Unreadable
        total = hours * 3600 + minutes * 60 + seconds
        self.offset = -total if token[0] == "-" else total

    def zone_name(self, token: str) -> None:
        zone, posix_offset = zones.zone(token), zones.posix_offset(token)
        if zone is not None:
            self.offset = zone
        elif posix_offset is not None:
            self.zone_offset(posix_offset)
        else:
            raise UnknownZone(token)
        self.say(_ZONE)

    # Values

    def set_now(self, now: datetime.datetime) -> None:
        self.set_day(now.date())
        self.set_clock(now.hour, now.minute, now.second, now.microsecond)

    def set_day(self, day: datetime.date) -> None:
        self.year, self.month, self.day = day.year, day.month, day.day

    def set_clock(self, hour: int, minute: int, second: int, microseconds: int) -> None:
        self.hour, self.minute, self.second = hour, minute, second
        self.microseconds = (hour * 3600 + minute * 60 + second) * SECOND + microseconds

    def check_clock(self) -> None:
        # A leap second is the next minute's first.
        if self.minute > 59 or self.second > 60 or self.microseconds > DAY:
            raise OutOfRange

    def finish_date(self) -> None:
        if self.said & _YEAR:
            self.finish_year()
        if self.said & _DAY_OF_YEAR:
            if self.year in _YEARS:
                start = datetime.date(self.year, 1, 1)
                self.set_day(start + datetime.timedelta(days=self.day_of_year - 1))
            return
        if self.said & _MONTH and not 1 <= self.month <= 12:
            raise OutOfRange
        if self.said & _DAY and not 1 <= self.day <= 31:
            raise OutOfRange
        if self.said & _DATE == _DATE and self.day > _days_in_month(self.year, self.month):
            raise OutOfRange

    def finish_year(self) -> None:
        if self.era == "bc":
            if self.year <= 0:
                raise OutOfRange
            self.year = 1 - self.year
        elif self.two_digit_year:
            self.year += 2000 if self.year < 70 else 1900
        elif self.year <= 0:
            raise OutOfRange

    def finish_time(self) -> None:
        if self.said & _SUMMER and not self.said & _ZONE:
            raise Unreadable
        self.check_clock()
        if self.half and self.hour > 12:
            raise OutOfRange
        if self.half == "am" and self.hour == 12:
            self.microseconds -= 12 * 3600 * SECOND
        elif self.half == "pm" and self.hour != 12:
            self.microseconds += 12 * 3600 * SECOND

    # The outcome

    def days_since_epoch(self) -> int:
        return datetime.date(self.year, self.month, self.day).toordinal() - _EPOCH

    def microseconds_since_epoch(self) -> int:
        return self.days_since_epoch() * DAY + self.microseconds

    def offset_seconds(self) -> int:
        """How far the text's clock was ahead of UTC, at the moment that was read."""
        if not isinstance(self.offset, zoneinfo.ZoneInfo):
            return self.offset
        midnight = datetime.datetime(self.year, self.month, self.day)
        # Not past the midnight: `datetime` ends with the year 9999.
        since = datetime.timedelta(microseconds=min(self.microseconds, DAY - 1))
        local = (midnight + since).replace(tzinfo=self.offset)
        # In the hour that a clock change skips or repeats, PostgreSQL takes standard time.
        offsets = (local.replace(fold=fold).utcoffset() for fold in (0, 1))
        return round(min(offset.total_seconds() for offset in offsets if offset is not None))


class _TimeReading(_Reading):
    """The same for a time of day; a date only serves to find a zone's offset."""

    def finish(self) -> None:
        self.finish_date()
        self.finish_time()
        if not self.said & _TIME:
            raise Unreadable
        if (
            isinstance(self.offset, zoneinfo.ZoneInfo)
            and self.said & _DATE != _DATE
            and self.offset.utcoffset(None) is None
        ):
            raise Unreadable

    def read_date(self, token: str, index: int) -> None:
        kinds = [kind for kind, _ in self.tokens]
        if index == 0 and len(kinds) >= 2 and (kinds[-1] == "date" or kinds[1] == "time"):
            self.say(self.date(token))
        elif token[0].isdigit():
            self.time_and_offset(token)
        else:
            self.zone_name(token)

    def read_number(self, token: str, index: int) -> None:
        whole, point, _ = token.partition(".")
        dates_follow = len(self.tokens) >= 2 and self.tokens[-1][0] == "date"
        if point and not self.time_must_follow and len(whole) <= 2:
            if not (index == 0 and dates_follow):
                raise Unreadable
            self.say(self.date(token))
        else:
            self.time_must_follow = False
            self.say(self.run_together(token, self.said | _DATE))

    def word_month(self, month: int) -> None:
        raise Unreadable

    def word_weekday(self, weekday: int) -> None:
        raise Unreadable

    def word_then_time(self, value: int) -> None:
        if self.time_must_follow:
            raise Unreadable
        self.time_must_follow = True

    def word_named(self, name: str) -> None:
        if name not in ("now", "allballs"):
            raise Unreadable
        self.say(_TIME | _ZONE)
        if name == "now":
            self.set_now(datetime.datetime.now(datetime.timezone.utc))


def _integer(digits: str) -> int:
    if not digits:
        raise Unreadable
    value = int(digits)
    if value >= 2**31:
        raise OutOfRange
    return value


def _microseconds(fraction: str) -> int:
    """Of a second's fraction, rounded as PostgreSQL does."""
    return round(float(f"0.{fraction}") * SECOND) if fraction else 0


def _days_in_month(year: int, month: int) -> int:
    leap = month == 2 and calendar.isleap(year)
    return (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]
