"""What a word is to PostgreSQL's default text search parser, as one regular expression.

The same pattern finds the words of a document (in the engine) and those of a query (here), so both
sides always agree. It is checked against `ts_parse` by the tests. The pattern keeps to what RE2
knows: no lookahead, no possessive repeats, and letters beyond ASCII as a short list of ranges,
because RE2 is 60 times slower with `\\p{L}` in a pattern of this size.
"""

from __future__ import annotations

import dataclasses
import re

# What PostgreSQL takes for letters (or for marks within words) beyond ASCII, in a UTF-8 locale.
# Punctuation and symbols are the gaps; blocks of letters that hold a few symbols are kept whole.
_LETTERS = (
    (0xAA, 0xAA), (0xAD, 0xAD), (0xB5, 0xB5), (0xBA, 0xBA), (0xC0, 0xD6), (0xD8, 0xF6),
    (0xF8, 0x2C1), (0x2C6, 0x2D1), (0x300, 0x374), (0x376, 0x37D), (0x37F, 0x386), (0x388, 0x559),
    (0x560, 0x588), (0x591, 0x5BD), (0x5BF, 0x605), (0x610, 0x61A), (0x620, 0x669), (0x66E, 0x6D3),
    (0x6D5, 0x963), (0x966, 0x1FFF), (0x200B, 0x200F), (0x2071, 0x209C), (0x2160, 0x2188),
    (0x2C00, 0x2DFF), (0x3005, 0x3007), (0x3031, 0x3035), (0x3041, 0x30FA), (0x30FC, 0xD7FF),
    (0xF900, 0xFDFF), (0xFE70, 0xFEFC), (0xFF10, 0xFF19), (0xFF21, 0xFF3A), (0xFF41, 0xFF5A),
    (0xFF66, 0xFFDC), (0x10000, 0x1CFFF), (0x1E000, 0x1EFFF), (0x20000, 0x3FFFF),
)  # fmt: skip


def _token_pattern(letters: str) -> str:
    """The pattern of one token of lower-case text.

    The order of the alternatives is that in which PostgreSQL's parser (`wparser_def.c`) tries
    them. A match may have a little more than the token: see `Grammar` and `spellings`.

    :param letters: the inside of a character class
    """
    letter, alnum = f"[a-z{letters}]", f"[a-z0-9{letters}]"
    labels = r"[a-z0-9]+(?:[-_.][a-z0-9]+)*"
    domain = rf"{labels}\.[a-z][a-z]+"
    # A host ends where no digit follows. `\b` says so, but not before `_`, which is then taken in.
    host = rf"{domain}(?::[0-9]+|\b|_)"
    url = rf"{domain}(?::[0-9]+)?/[!#$%&'()*+,\-./0-9:;=?@\[\]_a-z~]+"
    exponent = r"e[-+]?[0-9]+"
    step = r"(?:\.\.?/|~/)*[.~]?[a-z0-9_]"
    path = rf"[a-z0-9_\-]*(?:(?:\.[a-z0-9_]|/{step})[a-z0-9_\-]*)*"
    word = rf"(?:[0-9]+{letter}|{letter}){alnum}*"
    mixed = rf"(?:{letter}+[0-9]|[0-9]+{letter}){alnum}*"
    attribute = r"""(?:[a-z0-9=\-_#/:.&?%~\s]|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
    return "|".join(
        (
            r"[a-z]+://",
            rf"[0-9]+{exponent}",
            rf"{labels}@{host}",
            url,
            host,
            r"[-+]?[0-9]+\.[0-9]+(?:\.[0-9]+)+",
            rf"[-+]?[0-9]+\.[0-9]+(?:{exponent})?",
            rf"(?:[a-z]+|{mixed})(?:\.[a-z0-9_]|/{step}){path}",
            rf"(?:^\.\.?|^~|[0-9]+)?/{step}{path}|^~[a-z0-9_]{path}",
            # After a hyphenated word a further hyphen is never the sign of a number.
            rf"{word}(?:-{word})+-?",
            word,
            rf"[-+]?[0-9]+(?:{exponent})?",
            rf"&(?:#x[0-9a-f]+|#[0-9]+|[a-z:_][a-z0-9{letters}:_.\-]*);",
            rf"<(?:[a-z:_]|/[a-z])[a-z0-9{letters}:_.\-]*(?:/?>|\s{attribute}*>)",
            rf"<(?:!d|\?x){attribute}*>|<!--(?s:.*?)-->",
        )
    )


def _ranges(escape: str) -> str:
    return "".join(
        escape.format(low) if low == high else f"{escape.format(low)}-{escape.format(high)}"
        for low, high in _LETTERS
    )


@dataclasses.dataclass(frozen=True)
class Grammar:
    """Patterns (RE2, of lower-case text) by which an engine finds the tokens of a document.

    :param token: a token, or a tag, an entity or a protocol, which are no tokens
    :param no_token: a match of `token` which is neither indexed nor counted as a position
    :param address: a match of `token` that stands for a URL, its host and its path: three tokens
    :param undivided: a match of `token` whose hyphens do not join words; any other with a hyphen
        stands for itself, less a hyphen at its end, and then for each of its parts
    :param signed_version: a match of `token` whose sign is not part of it
    :param letter: one letter or digit
    :param run: some of them; in a text without a match of `compound` the runs are the tokens
    :param compound: what may make a token of more or less than a run
    :param word_compound: what may, as far as words of letters alone are concerned
    """

    token: str
    no_token: str
    address: str
    undivided: str
    signed_version: str
    letter: str
    run: str
    compound: str
    word_compound: str


_LETTER = "[a-z0-9" + _ranges(r"\x{{{:x}}}") + "]"

GRAMMAR = Grammar(
    token=_token_pattern(_ranges(r"\x{{{:x}}}")),
    no_token=r"^[<&]|://$",
    address=r"^[a-z0-9_.\-]+\.[a-z][a-z]+(?::[0-9]+)?/.",
    undivided=r"[./@_~:]|^[-+]|^[0-9]+e-[0-9]+$",
    signed_version=r"^[-+][0-9]+\.[0-9]+\.",
    letter=_LETTER,
    run=f"{_LETTER}+",
    compound=r"[-+/@~<&]|\.[a-z0-9_/.]|[0-9]e[0-9]",
    word_compound=r"[/@~<&]|\.[a-z0-9_/.]|[-+][0-9]|[0-9]e[-+0-9]",
)

_TOKEN = re.compile(_token_pattern(_ranges(r"\U{:08x}")), re.ASCII)
_NO_TOKEN = re.compile(GRAMMAR.no_token)
_ADDRESS = re.compile(GRAMMAR.address)
_UNDIVIDED = re.compile(GRAMMAR.undivided)
_SIGNED_VERSION = re.compile(GRAMMAR.signed_version)
_HOST = re.compile(r"[a-z0-9]+(?:[-_.@][a-z0-9]+)*\.[a-z][a-z]+")
_NOT_LETTERS = re.compile(r"[0-9./@_~:+]")


def tokens(text: str) -> list[str]:
    """The tokens of `text` in order, in lower case, as `ts_parse` finds them (blanks left out)."""
    found: list[str] = []
    for match in _TOKEN.findall(text.lower()):
        if _NO_TOKEN.search(match):
            continue
        if "/" in match and _ADDRESS.search(match):
            host, _, path = match.partition("/")
            found += [match, host, "/" + path]
        elif "-" in match and not _UNDIVIDED.search(match):
            joined = match.rstrip("-")
            found += [joined, *joined.split("-")]
        elif _SIGNED_VERSION.search(match):
            found.append(match.lstrip("-+"))
        elif match.endswith("_") and _HOST.fullmatch(match[:-1]):
            found.append(match[:-1])
        else:
            found.append(match)
    return found


def is_word(token: str) -> bool:
    """Whether a dictionary applies; numbers, addresses and mixtures are indexed as they are."""
    return not _NOT_LETTERS.search(token)


def is_run(token: str) -> bool:
    """Whether letters and digits are all that the token is made of."""
    return token.isalnum()


def spellings(token: str) -> tuple[str, ...]:
    """What the pattern of tokens may match in a document for a token that is no word."""
    if _HOST.fullmatch(token):
        return token, f"{token}_"
    return (token,)


_STOP_WORDS = """
    i me my myself we our ours ourselves you your yours yourself yourselves he him his himself
    she her hers herself it its itself they them their theirs themselves what which who whom
    this that these those am is are was were be been being have has had having do does did
    doing a an the and but if or because as until while of at by for with about against
    between into through during before after above below to from up down in out on off over
    under again further then once here there when where why how all any both each few more
    most other some such no nor not only own same so than too very s t can will just don
    should now
    """
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""The stop words of PostgreSQL's `english`."""
