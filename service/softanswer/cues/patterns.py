"""The pattern language of the cue files, compiled to RE2 expressions.

The grammar stands in `languages/README.md`. RE2 has no backtracking, so no pattern that a
file may hold makes matching more than linear in the text. Files are read elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import re2

# Texts and patterns are matched as bytes of a `CodePage`, so that a class of letters is one range:
# with UTF-8 and \\pL the same patterns compiled to programs of 20,000 to 35,000 instructions,
# against 9,000 at most, and ran out of DFA memory.
_LETTERS = r"0-9a-z_\x80-\xfe"
# Between two words of a phrase: white space and light punctuation, never the end of a sentence.
_SEPARATOR = r"[\s,;:\"'()\-*_]+"
_WORD = rf"[{_LETTERS}'/@#%\-]+"
_GAP = rf"(?:{_WORD}{_SEPARATOR}){{0,4}}"
_NUMBER = r"[0-9][0-9.,:/]*"
_EDGE = rf"[^{_LETTERS}]"
_MAX_REPEATS = 4
_OTHER_LETTER, _OTHER_SIGN = "\xfe", "\xff"
_MAX_LETTERS = 0xFE - 0x80


class PatternFault(ValueError):
    """A pattern that does not follow the grammar."""


class CodePage(dict[int, str]):
    """One byte for each character that a language's patterns use, for `str.translate`.

    ASCII stays; any other letter becomes 0xFE, any other sign 0xFF. Byte offsets are then
    character offsets. Raises `PatternFault` for an alphabet that does not fit.
    """

    def __init__(self, used: str) -> None:
        letters = sorted(set(used) - set(map(chr, range(128))))
        if len(letters) > _MAX_LETTERS:
            raise PatternFault(f"{len(letters)} different characters; a language may use {_MAX_LETTERS}")
        super().__init__({code: chr(code) for code in range(128)})
        self.update({ord(letter): chr(0x80 + i) for i, letter in enumerate(letters)})

    def __missing__(self, code: int) -> str:
        return _OTHER_LETTER if chr(code).isalnum() else _OTHER_SIGN


@dataclass(frozen=True, slots=True)
class Grammar:
    """What a pattern needs to know of its language.

    `fold` must be the very folding, code page included, that the matched texts go through.
    """

    fold: Callable[[str], str]
    clitics: str = ""
    sets: Mapping[str, str] = field(default_factory=dict)
    # Expressions of sets and clitics, each of which is read once though hundreds of patterns use it.
    known: dict[str, str] = field(default_factory=dict, compare=False)

    def clitic(self) -> str:
        """The expression of what may lean on a word's front; empty where nothing may."""
        if "" not in self.known:
            self.known[""] = _Parser(self.clitics, self, ()).parse() if self.clitics else ""
        return self.known[""]


def compile_patterns(patterns: Iterable[str], grammar: Grammar) -> bytes:
    """Translate patterns, joined as alternatives, to one RE2 expression over bytes.

    Group 1 of the expression is the phrase itself, without its edges.

    Raises `PatternFault` for unbalanced brackets, an unknown or circular set, an empty pattern.
    """
    bodies = "|".join(grammar.clitic() + _Parser(p, grammar, ()).parse() for p in patterns)
    if re2.compile(bodies.encode("ascii")).fullmatch(b""):
        raise PatternFault("matches the empty text")
    return f"(?:^|{_EDGE})({bodies})(?:$|{_EDGE})".encode("ascii")


@dataclass(slots=True)
class _Parser:
    """A recursive-descent reader of one pattern; `within` names the sets being expanded."""

    pattern: str
    grammar: Grammar
    within: tuple[str, ...]
    at: int = 0

    def parse(self) -> str:
        body = self._alternatives()
        if self.at < len(self.pattern):
            raise PatternFault(f"unbalanced ')' at character {self.at + 1} of {self.pattern!r}")
        return body

    def _alternatives(self) -> str:
        branches = [self._sequence()]
        while self._peek() == "|":
            self.at += 1
            branches.append(self._sequence())
        return f"(?:{'|'.join(branches)})" if len(branches) > 1 else f"(?:{branches[0]})"

    def _sequence(self) -> str:
        """Read words up to `|` or `)`; optional words take their separator along."""
        out = ""
        pending_optional = ""  # optional words at the start, before the first that must be there
        started = False
        items = 0
        word = ""
        leading = trailing = ""  # a space just inside a bracket, as in `should( have|'ve)`
        if self._peek() == " " and self.at:
            leading = _SEPARATOR
        while self._peek() not in ("", "|", ")"):
            if self._peek() == " ":
                self.at += 1
                trailing = _SEPARATOR if self._peek() in ("|", ")") else ""
                if self._peek() == "?":  # a space that may be missing, as before a suffix
                    self.at += 1
                    if started:
                        word, optional, _ = self._item()
                        out += f"(?:(?:{_SEPARATOR})?{word}){'?' if optional else ''}"
                continue
            separator = f"(?:{_SEPARATOR})?" if self._may_be_contracted() else _SEPARATOR
            word, optional, spaced = self._item()
            items += 1
            if not started:
                if not spaced:
                    raise PatternFault(f"'...' must stand between words in {self.pattern!r}")
                if optional:
                    pending_optional += f"(?:{word}{_SEPARATOR})?"
                else:
                    out, started = pending_optional + word, True
            elif not spaced:  # a gap carries its own separators
                out += f"{_SEPARATOR}{word}"
                out += self._after_gap()
            elif optional:
                out += f"(?:{separator}{word})?"
            else:
                out += f"{separator}{word}"
        if not started and items == 1:  # a set that is one optional word, standing inside a word
            pending_optional = f"(?:{word})?"
        return leading + (out if started else pending_optional) + trailing

    def _may_be_contracted(self) -> bool:
        """Whether the word ahead may lean on the one before, as `(is|'s)` does in "that's"."""
        end = self.pattern.find(")", self.at)
        ahead = self.pattern[self.at : end] if end > 0 else ""
        return ahead.startswith("(") and any(branch.startswith("'") for branch in ahead[1:].split("|"))

    def _after_gap(self) -> str:
        """Read the word behind a gap, which needs no separator of its own."""
        while self._peek() == " ":
            self.at += 1
        if self._peek() in ("", "|", ")"):
            raise PatternFault(f"'...' must stand between words in {self.pattern!r}")
        word, optional, spaced = self._item()
        if optional or not spaced:
            raise PatternFault(f"'...' must be followed by a word that has to be there in {self.pattern!r}")
        return word

    def _item(self) -> tuple[str, bool, bool]:
        """Read one word: (expression, whether it is optional, whether it wants a separator)."""
        if self.pattern.startswith("...", self.at):
            self.at += 3
            return _GAP, False, False
        out = ""
        atoms = 0
        optional = False
        if self._peek() == "+" and self.grammar.clitics:
            self.at += 1
            out += self.grammar.clitic()
        while (sign := self._peek()) not in ("", " ", "|", ")"):
            atom, can_be_optional = self._atom(sign)
            atoms += 1
            optional = False
            if self._peek() == "+" and sign in "({":
                self.at += 1
                atom = f"(?:{atom}(?:(?:{_SEPARATOR})?{atom}){{0,{_MAX_REPEATS - 1}}})"
            if self._peek() == "?" and can_be_optional:
                self.at += 1
                optional = True
                # A whole word that may be missing is the sequence's business, a part of one is not.
                if atoms > 1 or self._peek() not in ("", " ", "|", ")"):
                    atom, optional = atom + "?", False
            out += atom
        return out, optional and atoms == 1, True

    def _atom(self, sign: str) -> tuple[str, bool]:
        self.at += 1
        if sign == "(":
            body = self._alternatives()
            if self._peek() != ")":
                raise PatternFault(f"unbalanced '(' in {self.pattern!r}")
            self.at += 1
            return body, True
        if sign == "{":
            end = self.pattern.find("}", self.at)
            if end < 0:
                raise PatternFault(f"unbalanced '{{' in {self.pattern!r}")
            name, self.at = self.pattern[self.at : end], end + 1
            return self._named(name), True
        if sign == "*":
            return f"[{_LETTERS}]*", False
        if sign == "_":
            return _WORD, False
        if sign == "#":
            return _NUMBER, False
        if sign in "}?":
            raise PatternFault(f"unexpected {sign!r} at character {self.at} of {self.pattern!r}")
        if sign == "\\":
            sign = self._peek()
            if not sign:
                raise PatternFault(f"a lone '\\' ends {self.pattern!r}")
            self.at += 1
        return "".join(c if c.isalnum() and c.isascii() else f"\\x{ord(c):02x}" for c in self.grammar.fold(sign)), True

    def _named(self, name: str) -> str:
        if name in self.within:
            raise PatternFault(f"set {name!r} contains itself")
        if name not in self.grammar.sets:
            raise PatternFault(f"unknown set {name!r}")
        if name not in self.grammar.known:
            body = _Parser(self.grammar.sets[name], self.grammar, (*self.within, name)).parse()
            self.grammar.known[name] = body
        return self.grammar.known[name]

    def _peek(self) -> str:
        return self.pattern[self.at] if self.at < len(self.pattern) else ""
