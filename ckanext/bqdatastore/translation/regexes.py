"""PostgreSQL's regular expressions for RE2: read as PostgreSQL reads them, then said anew.

The grammar is that of PostgreSQL's advanced regular expressions (its manual, 9.7.3). RE2 has no
look-around, so the edges of words are said by what is beside them; its own `\\b` knows the letters
of ASCII alone.
"""

from __future__ import annotations

import dataclasses
import re
import string
from collections.abc import Sequence

from ..model.errors import InvalidRequest
from ..model.tree_size import spend
from .terms import unsupported

_WORD, _BLANK = r"\p{L}\p{N}_", r"\s\x{85}\x{A0}\p{Z}"

_CLASSES: dict[str, tuple[str, bool]] = {
    "alpha": (r"\p{L}", True),
    "alnum": (r"\p{L}\p{N}", True),
    "upper": (r"\p{Lu}", True),
    "lower": (r"\p{Ll}", True),
    "digit": ("0-9", True),
    "xdigit": ("0-9A-Fa-f", True),
    "word": (_WORD, True),
    "space": (_BLANK, False),
    "blank": (r" \t", False),
    "cntrl": (r"\p{Cc}", False),
}
"""How RE2 says the characters of a class, and whether words are made of them."""

_MIXED = {
    "punct": r"\p{P}\p{S}",
    "graph": r"\p{L}\p{M}\p{N}\p{P}\p{S}",
    "print": r"\p{L}\p{M}\p{N}\p{P}\p{S} ",
}
"""The same of classes with characters of both."""

_LETTERS_OF_NODE = 20
"""Letters of an expression that are as much as a node of a tree, where it is said again."""

_SHORT = {"d": "digit", "s": "space", "w": "word"}
_CHARACTERS = {
    **{"a": "\a", "b": "\b", "B": "\\", "e": "\x1b", "f": "\f"},
    **{"n": "\n", "r": "\r", "t": "\t", "v": "\v"},
}
_HEXADECIMAL = {"u": 4, "U": 8}
_LAST = 0x10FFFF
_MOST_REPEATS = 255

_EDGES = "mMyY"
_INNER = "edges of words within a regular expression"


@dataclasses.dataclass(frozen=True)
class Regex:
    """
    :param text: in RE2's words
    :param groups: how many parts of it are captured
    :param ascii: it means what it should only in a text of ASCII
    """

    text: str
    groups: int
    ascii: bool


@dataclasses.dataclass
class _Node:
    """One atom or constraint.

    :param kind: `char`, `set`, `any`, `group`, `edge` or `anchor`
    :param text: in RE2's words; of an edge its letter
    :param word: whether what it matches is part of a word; None where it may be or not
    """

    kind: str
    text: str = ""
    word: bool | None = None
    branches: Sequence[Sequence[_Node]] = ()
    capturing: bool = False
    quantifier: str = ""
    least: int = 1
    most: int | None = 1
    lazy: bool = False


LONGEST = 10_000
"""Characters of a regular expression: to read and to write one takes up to their square in time."""


def translated(pattern: str, wanted: bool = False, newline: bool = False) -> Regex:
    """A regular expression for RE2.

    :param wanted: whether its match is, and not only whether there is one
    :param newline: PostgreSQL's flag `n`: `.` and `[^...]` match no end of a line
    :raises InvalidRequest: PostgreSQL refuses it, or it would be too much to say all of it for each
        part that it captures
    :raises Untranslatable: RE2 has nothing for it, or would match another part: PostgreSQL takes
        the longest of several alternatives, and whether it is greedy is decided by the first
        quantifier
    """
    if len(pattern) > LONGEST:
        raise unsupported(f"regular expressions of more than {LONGEST:,} characters")
    reader = _Reader(pattern, newline)
    branches = reader.all()
    spend(reader.groups * len(pattern) // _LETTERS_OF_NODE)
    if wanted:
        _check_match(branches)
    writer = _Writer(consuming=not wanted)
    return Regex(reader.options + writer.pattern(branches), reader.groups, writer.ascii)


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest("query", f"invalid regular expression: {why}")


class _Reader:
    """:param newline: see `translated`"""

    def __init__(self, pattern: str, newline: bool) -> None:
        self.groups = 0
        self.options = "(?m)" if newline else ""
        self._text = pattern
        self._place = 0
        self._newline = newline

    def all(self) -> list[list[_Node]]:
        if self._text.startswith("***"):
            raise unsupported("a regular expression with a director (***)")
        options = re.match(r"\(\?([a-z]+)\)", self._text)
        if options:
            if set(options[1]) - set("ic"):
                raise unsupported(f"the embedded options {options[0]} of a regular expression")
            self.options += "(?i)" if options[1][-1] == "i" else "(?-i)"
            self._place = options.end()
        branches = self._branches()
        if self._place < len(self._text):
            raise _invalid("parentheses () not balanced")
        return branches

    def _peek(self) -> str:
        return self._text[self._place : self._place + 1]

    def _take(self, pattern: str) -> re.Match[str] | None:
        found = re.compile(pattern, re.S).match(self._text, self._place)
        if found:
            self._place = found.end()
        return found

    def _branches(self) -> list[list[_Node]]:
        branches: list[list[_Node]] = [[]]
        while self._peek() not in ("", ")"):
            if self._take(r"\|"):
                branches.append([])
            elif not self._take(r"\(\?#[^)]*\)"):
                node = self._atom()
                self._quantify(node)
                branches[-1].append(node)
        return branches

    def _quantify(self, node: _Node) -> None:
        found = self._take(r"([*+?]|\{(\d+)(,?)(\d*)\})(\??)")
        if not found:
            if re.match(r"\{\d", self._text[self._place :]):
                raise _invalid("invalid repetition count(s)")
            return
        if node.kind in ("edge", "anchor"):
            raise _invalid("quantifier operand invalid")
        sign, lower, comma, upper, lazy = found.groups()
        if lower is None:
            node.least, node.most = (1 if sign == "+" else 0), (1 if sign == "?" else None)
        else:
            node.least = int(lower)
            node.most = int(upper) if upper else None if comma else node.least
            if max(node.least, node.most or 0) > _MOST_REPEATS or node.least > (
                node.most if node.most is not None else node.least
            ):
                raise _invalid("invalid repetition count(s)")
        node.quantifier, node.lazy = sign + lazy, bool(lazy)
        if self._take(r"[*+?]") or re.match(r"\{\d", self._text[self._place :]):
            raise _invalid("quantifier operand invalid")

    def _atom(self) -> _Node:
        word_edge = self._take(r"\[\[:([<>]):\]\]")
        if word_edge:
            return _Node("edge", "m" if word_edge[1] == "<" else "M")
        letter = self._peek()
        self._place += 1
        if letter == "(":
            return self._group()
        if letter == "[":
            return self._brackets()
        if letter == "\\":
            return self._escape()
        if letter == ".":
            return _Node("any", ".")
        if letter in "^$":
            return _Node("anchor", letter)
        if letter in "*+?" or (letter == "{" and self._peek().isdigit()):
            raise _invalid("quantifier operand invalid")
        return _character(letter)

    def _group(self) -> _Node:
        capturing = True
        if self._take(r"\?:"):
            capturing = False
        elif self._take(r"\?(=|!|<=|<!)"):
            raise unsupported("look-around in regular expressions")
        elif self._peek() == "?":
            raise _invalid("quantifier operand invalid")
        self.groups += capturing
        branches = self._branches()
        if not self._take(r"\)"):
            raise _invalid("parentheses () not balanced")
        return _Node("group", branches=branches, capturing=capturing)

    def _escape(self) -> _Node:
        letter = self._peek()
        if not letter:
            raise _invalid("invalid escape \\ sequence")
        if letter in _EDGES:
            self._place += 1
            return _Node("edge", letter)
        if letter in "AZ":
            self._place += 1
            return _Node("anchor", r"\A" if letter == "A" else r"\z")
        if letter.lower() in _SHORT:
            self._place += 1
            text, word = _CLASSES[_SHORT[letter.lower()]]
            if letter.islower():
                return _Node("set", f"[{text}]", word)
            return _Node("set", f"[^{text}]", False if letter == "W" else None)
        octal = self._take(r"[1-7][0-7]{1,2}")
        if octal and int(octal[0]) > self.groups:
            return _character(self._coded(int(octal[0], 8)))
        if octal or self._take(r"[1-9]"):
            raise unsupported("back references in regular expressions")
        return _character(self._escaped())

    def _escaped(self) -> str:
        """The character that stands after a backslash, or that it means."""
        octal = self._take(r"0[0-7]{0,2}")
        if octal:
            return self._coded(int(octal[0], 8))
        letter = self._peek()
        self._place += 1
        if letter in _CHARACTERS:
            return _CHARACTERS[letter]
        if letter == "c" and self._peek():
            self._place += 1
            return self._coded(ord(self._text[self._place - 1]) & 31)
        digits = None
        if letter == "x":
            digits = self._take(r"[0-9a-fA-F]{1,255}")
        elif letter in _HEXADECIMAL:
            digits = self._take(rf"[0-9a-fA-F]{{{_HEXADECIMAL[letter]}}}")
        if digits:
            return self._coded(int(digits[0], 16))
        if not letter or letter in string.ascii_letters + string.digits:
            raise _invalid("invalid escape \\ sequence")
        return letter

    def _coded(self, code: int) -> str:
        if code == 0 or code > _LAST or 0xD800 <= code < 0xE000:
            raise _invalid("invalid escape \\ sequence")
        return chr(code)

    def _brackets(self) -> _Node:
        negated = bool(self._take(r"\^"))
        parts: list[str] = []
        words: list[bool | None] = []
        first = True
        while first or self._peek() != "]":
            first = False
            text, word = self._member()
            parts.append(text)
            words.append(word)
        self._place += 1
        if negated and self._newline:
            parts.append(r"\n")
        word = words[0] if len(set(words)) == 1 else None
        if negated:
            # Only what leaves out every letter of a word is known to be none.
            word = False if _WORD in parts else None
        return _Node("set", f"[{'^' if negated else ''}{''.join(parts)}]", word)

    def _member(self) -> tuple[str, bool | None]:
        """One class, character or range of a bracket expression."""
        if not self._peek():
            raise _invalid("brackets [] not balanced")
        named = self._take(r"\[:(\w+):\]")
        if named:
            if named[1] in _MIXED:
                return _MIXED[named[1]], None
            if named[1] not in _CLASSES:
                raise _invalid("invalid character class")
            return _CLASSES[named[1]]
        if self._take(r"\[[.=]"):
            raise unsupported("[.x.] and [=x=] in regular expressions")
        short = self._take(r"\\([dswDSW])")
        if short:
            if short[1].isupper():
                raise unsupported(r"\D, \S and \W in brackets of a regular expression")
            return _CLASSES[_SHORT[short[1]]]
        low = self._one()
        if not self._take(r"-(?!\])"):
            return _quoted(low), _is_word(low)
        if self._take(r"(?=\[[:.=]|\\[dswDSW])"):
            raise _invalid("invalid character range")
        high = self._one()
        if low > high:
            raise _invalid("invalid character range")
        plain = low.isascii() and high.isascii() and low.isalnum() and high.isalnum()
        same = low.isdigit() == high.isdigit() and low.isupper() == high.isupper()
        return f"{_quoted(low)}-{_quoted(high)}", True if plain and same else None

    def _one(self) -> str:
        letter = self._peek()
        if not letter:
            raise _invalid("brackets [] not balanced")
        self._place += 1
        return self._escaped() if letter == "\\" else letter


def _is_word(letter: str) -> bool:
    return letter.isalnum() or letter == "_"


def _character(letter: str) -> _Node:
    return _Node("char", _quoted(letter), _is_word(letter))


def _quoted(letter: str) -> str:
    """A character as RE2 takes it for itself everywhere."""
    if letter.isascii() and not letter.isprintable():
        return f"\\x{{{ord(letter):x}}}"
    return f"\\{letter}" if letter in string.punctuation and letter != "_" else letter


def _check_match(branches: Sequence[Sequence[_Node]]) -> None:
    """:raises Untranslatable: RE2 could match another part than PostgreSQL"""
    nodes = [node for branch in branches for node in branch]
    if any(node.lazy for node in nodes):
        raise unsupported("*?, +?, ?? and {}? in regular expressions whose match is wanted")
    if len(branches) > 1:
        firsts = [branch[0] if branch else None for branch in branches]
        definite = all(
            node is not None and node.kind == "char" and node.least > 0 and node.text.isalnum()
            for node in firsts
        )
        if not definite or len({node.text.lower() for node in firsts if node}) < len(firsts):
            raise unsupported("such alternatives in regular expressions whose match is wanted")
    for node in nodes:
        _check_match(node.branches)


class _Writer:
    """
    :param consuming: whether an edge may match the character beyond it, at the ends of a branch
    """

    def __init__(self, consuming: bool) -> None:
        self.ascii = False
        self._consuming = consuming

    def pattern(self, branches: Sequence[Sequence[_Node]]) -> str:
        return self._joined(branches, None, None, self._consuming)

    def _joined(
        self,
        branches: Sequence[Sequence[_Node]],
        before: bool | None,
        after: bool | None,
        outermost: bool,
    ) -> str:
        return "|".join(self._branch(branch, before, after, outermost) for branch in branches)

    def _branch(
        self, nodes: Sequence[_Node], before: bool | None, after: bool | None, outermost: bool
    ) -> str:
        written = []
        for place, node in enumerate(nodes):
            if node.kind in ("edge", "group"):
                previous = _beside(nodes[:place][::-1], before, backwards=True)
                following = _beside(nodes[place + 1 :], after, backwards=False)
            if node.kind == "edge":
                at_end = outermost and len(nodes) > 1
                first, last = at_end and place == 0, at_end and place == len(nodes) - 1
                written.append(self._edge(node.text, previous, following, first, last))
            elif node.kind == "group":
                if node.most != 1:
                    previous = following = None
                inner = self._joined(node.branches, previous, following, False)
                opening = "(" if node.capturing else "(?:"
                written.append(f"{opening}{inner}){node.quantifier}")
            else:
                written.append(node.text + node.quantifier)
        return "".join(written)

    def _edge(
        self, letter: str, before: bool | None, after: bool | None, first: bool, last: bool
    ) -> str:
        """
        :param before: whether what is before it is part of a word; of the text's begin: it is not
        :param first: whether nothing of the expression is before it
        """
        if letter == "Y":
            self.ascii = True
            return r"\B"
        begins = after is True and letter in "my"
        ends = before is True and letter in "My"
        if (begins and before is False) or (ends and after is False):
            return ""
        if begins and before is None:
            if first:
                return rf"(?:\A|[^{_WORD}])"
        elif ends and after is None:
            if last:
                return rf"(?:\z|[^{_WORD}])"
        elif letter != "y":
            raise unsupported(_INNER)
        self.ascii = True
        return r"\b"


def _beside(nodes: Sequence[_Node], beyond: bool | None, backwards: bool) -> bool | None:
    """Whether the character next to a place is part of a word; None where it may be or not.

    :param nodes: what is there, the nearest first
    :param beyond: the same of what follows them
    """
    found: set[bool | None] = set()
    for node in nodes:
        if node.kind == "anchor":
            found.add(False)
            break
        if node.kind == "edge":
            continue
        if node.kind == "group":
            for branch in node.branches:
                inner = branch[::-1] if backwards else branch
                found.add(_beside(inner, None, backwards))
        else:
            found.add(node.word)
        if node.least > 0:
            break
    else:
        found.add(beyond)
    return found.pop() if len(found) == 1 else None
