"""The pattern language of the cue files, compiled to RE2 expressions.

The grammar stands in `languages/README.md`. RE2 has no backtracking, so no pattern that a
file may hold makes matching more than linear in the text. Files are read elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import re2

from softanswer.cues.literals import ANYTHING, NOTHING, Held, literal, one_of

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
# Letters none of which may be missing; the signs of the grammar are none.
_LETTERS_ALONE = re.compile(r"[^ |(){}*_#?\\]+(?!\?)")
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
class Part:
    """An expression of RE2 for a part of a pattern, and what is known of the strings that it matches."""

    expression: str
    held: Held

    def __add__(self, other: Part) -> Part:
        if self is _NO_PART:
            return other
        if other is _NO_PART:
            return self
        return Part(self.expression + other.expression, self.held + other.held)

    def or_nothing(self) -> Part:
        return Part(f"(?:{self.expression})?", self.held.or_nothing())


_NO_PART = Part("", NOTHING)
_BETWEEN = Part(_SEPARATOR, literal(" "))


def _any_of(branches: Sequence[Part]) -> Part:
    return Part(f"(?:{'|'.join(b.expression for b in branches)})", one_of([b.held for b in branches]))


@dataclass(frozen=True, slots=True)
class Grammar:
    """What a pattern needs to know of its language.

    `fold` must be the very folding, code page included, that the matched texts go through.
    """

    fold: Callable[[str], str]
    clitics: str = ""
    sets: Mapping[str, str] = field(default_factory=dict)
    # Sets and clitics, each of which is read once though hundreds of patterns use it.
    known: dict[str, Part] = field(default_factory=dict, compare=False)
    # Runs of letters likewise: most words stand in many patterns.
    letters: dict[str, Part] = field(default_factory=dict, compare=False)

    def clitic(self) -> Part:
        """What may lean on a word's front; empty where nothing may."""
        if "" not in self.known:
            self.known[""] = _Parser(self.clitics, self, ()).parse() if self.clitics else _NO_PART
        return self.known[""]


@dataclass(frozen=True, slots=True)
class Compiled:
    """Patterns as one RE2 expression over bytes, group 1 of which is the phrase itself, without its edges.

    One of the strings of `needed`, if there are any, is in each text that it matches (`literals.plain`).
    """

    regex: re2._Regexp
    needed: frozenset[bytes]


def compile_patterns(patterns: Iterable[str], grammar: Grammar) -> Compiled:
    """Translate patterns, joined as alternatives.

    Raises `PatternFault` for unbalanced brackets, an unknown or circular set, an empty pattern.
    """
    phrases = [grammar.clitic() + _Parser(p, grammar, ()).parse() for p in patterns]
    bodies = "|".join(phrase.expression for phrase in phrases)
    regex = compile_bytes(f"(?:^|{_EDGE})({bodies})(?:$|{_EDGE})".encode("ascii"))
    if regex.search(b""):
        raise PatternFault("matches the empty text")
    needed = [(_BETWEEN.held + phrase.held + _BETWEEN.held).needed() for phrase in phrases]
    return Compiled(regex, frozenset().union(*needed) if all(needed) else frozenset())


def compile_bytes(expression: bytes) -> re2._Regexp:
    """Compile an expression over the bytes of a `CodePage`."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile(expression, options)


@dataclass(slots=True)
class _Parser:
    """A recursive-descent reader of one pattern; `within` names the sets being expanded."""

    pattern: str
    grammar: Grammar
    within: tuple[str, ...]
    at: int = 0

    def parse(self) -> Part:
        body = self._alternatives()
        if self.at < len(self.pattern):
            raise PatternFault(f"unbalanced ')' at character {self.at + 1} of {self.pattern!r}")
        return body

    def _alternatives(self) -> Part:
        branches = [self._sequence()]
        while self._peek() == "|":
            self.at += 1
            branches.append(self._sequence())
        return _any_of(branches)

    def _sequence(self) -> Part:
        """Read words up to `|` or `)`; optional words take their separator along."""
        out = _NO_PART
        pending_optional = _NO_PART  # optional words at the start, before the first that must be there
        started = False
        items = 0
        leading = trailing = _NO_PART  # a space just inside a bracket, as in `should( have|'ve)`
        if self._peek() == " " and self.at:
            leading = _BETWEEN
        while self._peek() not in ("", "|", ")"):
            if self._peek() == " ":
                self.at += 1
                trailing = _BETWEEN if self._peek() in ("|", ")") else _NO_PART
                if self._peek() == "?":  # a space that may be missing, as before a suffix
                    self.at += 1
                    if started:
                        word, optional, _ = self._item()
                        suffix = _BETWEEN.or_nothing() + word
                        out += suffix.or_nothing() if optional else suffix
                continue
            separator = _BETWEEN.or_nothing() if self._may_be_contracted() else _BETWEEN
            word, optional, spaced = self._item()
            items += 1
            if not started:
                if not spaced:
                    raise PatternFault(f"'...' must stand between words in {self.pattern!r}")
                if optional:
                    pending_optional += (word + _BETWEEN).or_nothing()
                else:
                    out, started = pending_optional + word, True
            elif not spaced:  # a gap carries its own separators
                out += _BETWEEN + word + self._after_gap()
            elif optional:
                out += (separator + word).or_nothing()
            else:
                out += separator + word
        if not started and items == 1:  # a set that is one optional word, standing inside a word
            pending_optional = word.or_nothing()
        return leading + (out if started else pending_optional) + trailing

    def _may_be_contracted(self) -> bool:
        """Whether the word ahead may lean on the one before, as `(is|'s)` does in "that's"."""
        end = self.pattern.find(")", self.at)
        ahead = self.pattern[self.at : end] if end > 0 else ""
        return ahead.startswith("(") and any(branch.startswith("'") for branch in ahead[1:].split("|"))

    def _after_gap(self) -> Part:
        """Read the word behind a gap, which needs no separator of its own."""
        while self._peek() == " ":
            self.at += 1
        if self._peek() in ("", "|", ")"):
            raise PatternFault(f"'...' must stand between words in {self.pattern!r}")
        word, optional, spaced = self._item()
        if optional or not spaced:
            raise PatternFault(f"'...' must be followed by a word that has to be there in {self.pattern!r}")
        return word

    def _item(self) -> tuple[Part, bool, bool]:
        """Read one word: (the word, whether it is optional, whether it wants a separator)."""
        if self.pattern.startswith("...", self.at):
            self.at += 3
            return Part(_GAP, ANYTHING), False, False
        out = _NO_PART
        atoms = 0
        optional = False
        if self._peek() == "+" and self.grammar.clitics:
            self.at += 1
            out += self.grammar.clitic()
        while (sign := self._peek()) not in ("", " ", "|", ")"):
            if run := _LETTERS_ALONE.match(self.pattern, self.at):
                self.at = run.end()
                out += self._letters(run[0])
                atoms, optional = atoms + len(run[0]), False
                continue
            atom, can_be_optional = self._atom(sign)
            atoms += 1
            optional = False
            if self._peek() == "+" and sign in "({":
                self.at += 1
                again = f"(?:(?:{_SEPARATOR})?{atom.expression}){{0,{_MAX_REPEATS - 1}}}"
                atom = Part(f"(?:{atom.expression}{again})", atom.held + ANYTHING)
            if self._peek() == "?" and can_be_optional:
                self.at += 1
                optional = True
                # A whole word that may be missing is the sequence's business, a part of one is not.
                if atoms > 1 or self._peek() not in ("", " ", "|", ")"):
                    atom, optional = Part(atom.expression + "?", atom.held.or_nothing()), False
            out += atom
        return out, optional and atoms == 1, True

    def _atom(self, sign: str) -> tuple[Part, bool]:
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
            return Part(f"[{_LETTERS}]*", ANYTHING), False
        if sign == "_":
            return Part(_WORD, ANYTHING), False
        if sign == "#":
            return Part(_NUMBER, ANYTHING), False
        if sign in "}?":
            raise PatternFault(f"unexpected {sign!r} at character {self.at} of {self.pattern!r}")
        if sign == "\\":
            sign = self._peek()
            if not sign:
                raise PatternFault(f"a lone '\\' ends {self.pattern!r}")
            self.at += 1
        return self._letters(sign), True

    def _letters(self, letters: str) -> Part:
        if letters not in self.grammar.letters:
            self.grammar.letters[letters] = self._made(letters)
        return self.grammar.letters[letters]

    def _made(self, letters: str) -> Part:
        folded = "".join(map(self.grammar.fold, letters))
        expression = "".join(c if c.isalnum() and c.isascii() else f"\\x{ord(c):02x}" for c in folded)
        return Part(expression, literal(folded))

    def _named(self, name: str) -> Part:
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
