"""Time zones by the names that PostgreSQL reads in a date."""

from __future__ import annotations

import functools
import re
import zoneinfo

# PostgreSQL's default abbreviations, by their offset from UTC in hours.

_STANDARD_ZONES = {
    -11: "nut",
    -10: "ckt hst taht",
    -9.5: "mart",
    -9: "akst gamt",
    -8: "pst",
    -7: "mst",
    -6: "cst galt",
    -5: "act cot est pet",
    -4: "amt ast bot gyt vet",
    -3.5: "nft nst",
    -3: "arst art bra brt fkst fkt gft pmst pyt uyt wgt",
    -2: "fnt",
    -1: "azot egt",
    0: "gmt uct ut utc wet z zulu",
    1: "cet met mez wat",
    2: "eet ist sast",
    3: "eat fet msk volt",
    3.5: "irt",
    4: "amst azst azt gest get mut ret sct",
    4.5: "aft",
    5: "mawt mvt pkt tft tjt tmt uzt yekt",
    5.5: "lkt",
    5.75: "npt",
    6: "almt bdt btt iot kgt omsst omst xjt",
    6.5: "mmt",
    7: "cxt davt ict krast krat novst novt wast",
    8: "awst bnt bort cct hkt irkst irkt myt pht sgt ulat",
    8.75: "acwst",
    9: "jayt jst kst pwt yakst yakt",
    9.5: "acst cast",
    10: "aest chut ddut ligt mpt pgt trut vlast vlat yapt",
    10.5: "lhst",
    11: "kost magst magt pont vut",
    12: "anast anat fjt gilt mht nzst nzt petst pett tvt wakt wft",
    12.75: "chast",
    13: "tkt tot",
    14: "lint",
}
_SUMMER_ZONES = {
    -8: "akdt",
    -7: "pdt",
    -6: "mdt",
    -5: "cdt easst east",
    -4: "edt",
    -3: "adt clst clt pyst",
    -2.5: "ndt",
    -2: "brst pmdt uyst wgst",
    -1: "fnst",
    0: "azost egst",
    1: "bst wetdst",
    2: "bdst cest cetdst mest mesz metdst",
    3: "eest eetdst idt",
    4: "msd",
    5: "must",
    6: "kgst pkst uzst yekst",
    7: "almst",
    8: "wadt",
    9: "awsst ulast wdt",
    10: "kdt",
    10.5: "acdt acsst cadt sadt",
    11: "aedt aesst lhdt",
    13: "fjst nzdt",
    13.75: "chadt",
}


def _offsets(zones: dict[float, str]) -> dict[str, int]:
    return {word: round(hours * 3600) for hours, words in zones.items() for word in words.split()}


STANDARD_OFFSETS = _offsets(_STANDARD_ZONES)
"""Seconds that an abbreviation, in lower case, is ahead of UTC."""

SUMMER_OFFSETS = _offsets(_SUMMER_ZONES)
"""The same for those that say that it is summer time."""

_POSIX = re.compile(
    r"[a-z_/.]{3,}(?P<sign>[+-]?)(?P<offset>\d{1,2}(?::\d{1,2}(?::\d{1,2})?)?)", re.ASCII
)


def zone(name: str) -> zoneinfo.ZoneInfo | None:
    """A zone by its name, in lower case, in the tz database."""
    known = _names().get(name)
    return zoneinfo.ZoneInfo(known) if known else None


@functools.cache
def _names() -> dict[str, str]:
    return {name.lower(): name for name in zoneinfo.available_timezones()}


def posix_offset(name: str) -> str | None:
    """The offset in a name such as `utc+3`, with the sign that ISO gives it: `-3`.

    In POSIX's notation what is added makes UTC of local time.
    """
    match = _POSIX.fullmatch(name)
    return match and ("+" if match["sign"] == "-" else "-") + match["offset"]
