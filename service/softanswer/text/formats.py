"""Plain, HTML and Markdown drafts -> what a reader sees, each character mapped to the source.

What the visible text means is for the other modules. All of it is linear in the input:
an unclosed construct is looked for once, not once for each time it is opened.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import Any

import regex
from markdown_it import MarkdownIt
from markdown_it.helpers import parseLinkDestination, parseLinkTitle
from markdown_it.token import Token

from softanswer.domain import Format

Mapped = tuple[str, tuple[int, ...] | None, tuple[int, ...] | None]

_BLOCKS = frozenset(
    "address article aside blockquote br caption dd details dialog div dl dt fieldset figcaption figure footer form "
    "h1 h2 h3 h4 h5 h6 header hr legend li main nav ol option p pre section summary table tbody td tfoot th thead "
    "title tr ul".split()
)
_HIDDEN = frozenset(("script", "style", "template", "head", "iframe"))
_TAG_NAME = regex.compile(r"</?([A-Za-z][A-Za-z0-9:-]*+)")
_IN_TAG = regex.compile(r"""[^>"']*+(?:"[^"]*+"[^>"']*+|'[^']*+'[^>"']*+)*+>""")
# Quotes that nobody closes would be followed to the end of the text from each tag: a longer one ends at its next '>'.
_MAX_QUOTED_TAG = 2_000
_ENTITY = regex.compile(r"&(?:#[0-9]{1,7}+|#[xX][0-9a-fA-F]{1,6}+|[A-Za-z][A-Za-z0-9]{1,31}+);?+")
_SPACE = regex.compile(r"[ \t\r\n\f]++")


@dataclass(slots=True)
class _Visible:
    """Visible characters with the source span of each."""

    chars: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def put(self, text: str, start: int, end: int) -> None:
        """Add characters that all stand for one piece of source."""
        self.chars += text
        self.starts += [start] * len(text)
        self.ends += [end] * len(text)

    def copy(self, text: str, start: int) -> None:
        """Add characters that stand in the source as they are."""
        self.chars += text
        self.starts += range(start, start + len(text))
        self.ends += range(start + 1, start + len(text) + 1)

    def space(self, start: int, end: int) -> None:
        """Add one space, unless white space or nothing stands before it."""
        if self.chars and self.chars[-1] not in " \n":
            self.put(" ", start, end)

    def line_break(self, start: int, end: int) -> None:
        """End the line, unless nothing stands on it."""
        while self.chars and self.chars[-1] == " ":
            self._drop()
        if self.chars and self.chars[-1] != "\n":
            self.put("\n", start, end)

    def _drop(self) -> None:
        self.chars.pop(), self.starts.pop(), self.ends.pop()

    def mapped(self) -> Mapped:
        while self.chars and self.chars[-1] in " \n":
            self._drop()
        return "".join(self.chars), tuple(self.starts), tuple(self.ends)


def read(source: str, format: Format) -> Mapped:
    """Read a draft: (visible, starts, ends), the last two None where visible is the source.

    `starts[i]:ends[i]` is the piece of source that visible character i was made from.
    """
    if format == "plain" or (format == "markdown" and _is_costly(source)):
        return source, None, None
    visible = _Visible()
    if format == "html":
        _read_html(source, 0, len(source), visible)
    else:
        _read_markdown(source, visible)
    return visible.mapped()


# --- HTML ----------------------------------------------------------------------------------


def _read_html(source: str, at: int, end: int, out: _Visible) -> None:
    last_close = source.rfind(">", at, end)
    lower = source.lower() if len(source.lower()) == len(source) else source
    while at < end:
        sign = source[at]
        if sign == "<":
            at = _read_markup(source, lower, at, end, last_close, out)
        elif sign == "&" and (entity := _ENTITY.match(source, at, end)):
            _read_entity(entity.group(), at, out)
            at = entity.end()
        elif sign in " \t\r\n\f":
            run = _SPACE.match(source, at, end)
            assert run is not None
            out.space(at, run.end())
            at = run.end()
        else:
            out.copy(sign, at)
            at += 1


def _read_entity(entity: str, at: int, out: _Visible) -> None:
    decoded = html.unescape(entity)
    if decoded == entity:
        out.copy(entity, at)
    elif decoded.isspace():
        out.space(at, at + len(entity))
    else:
        out.put(decoded, at, at + len(entity))


def _read_markup(source: str, lower: str, at: int, end: int, last_close: int, out: _Visible) -> int:
    """Read what a `<` opens and return where it ends; a `<` that opens nothing is text."""
    if source.startswith("<!--", at):
        close = source.find("-->", at + 4, end)
        return close + 3 if close >= 0 else end
    name = _TAG_NAME.match(source, at, end)
    if at > last_close or not (name or source.startswith(("<!", "<?"), at)):
        out.copy("<", at)
        return at + 1
    inside = _IN_TAG.match(source, name.end() if name else at + 2, min(at + _MAX_QUOTED_TAG, end))
    after = inside.end() if inside else source.find(">", at, end) + 1
    if name is None:
        return after
    tag = name.group(1).lower()
    if tag in _BLOCKS:
        out.line_break(at, after)
    if tag in _HIDDEN and source[at + 1] != "/" and source[after - 2] != "/":
        close = lower.find(f"</{tag}", after, end)
        return close if close >= 0 else end
    return after


# --- Markdown ------------------------------------------------------------------------------

# Blocks and what stands in them are parsed apart, since each wants a nesting limit of its own. Text
# in blocks nested past theirs is dropped, so it is as high as recursion allows (the preset's 20 hid
# what stood in 21 quotes). Brackets nested past theirs stay text, but each level reads the rest of
# the paragraph again: 20,000 characters of '![' took 310 ms at the preset's 20, 170 ms at 8.
# Without text_join, escapes and entities stay tokens of their own and keep their markup.
_BLOCKS_PARSER = MarkdownIt("commonmark", {"maxNesting": 100}).disable(["inline", "text_join"])
_INLINE_PARSER = MarkdownIt("commonmark", {"maxNesting": 8}).disable("text_join")

# Each block quote may look through all lines behind it, for those that go on with its paragraph
# without its sign: 1,500 quotes in 4,600 lines took 3.7 s.
_QUOTED_LINE = regex.compile(r"^[ \t*+\-0-9.)]*+>", regex.MULTILINE)
_MAX_QUOTE_STEPS = 75_000
# 6,700 brackets of '![![](' took 430 ms.
_MAX_BRACKETS = 2_000


def _is_costly(source: str) -> bool:
    """Whether Markdown is made to be slow to parse; such a text is read as it stands, signs and all."""
    if source.count("[") > _MAX_BRACKETS:
        return True
    lines = source.replace("\r", "\n")
    return len(_QUOTED_LINE.findall(lines)) * lines.count("\n") > _MAX_QUOTE_STEPS


def _read_markdown(source: str, out: _Visible) -> None:
    # Markdown-it replaces NUL by U+FFFD and normalises line ends; one for one, the offsets hold.
    clean = source.replace("\r\n", " \n").replace("\r", "\n").replace("\0", "\ufffd")
    at = 0
    references: dict[str, Any] = {}
    for token in _BLOCKS_PARSER.parse(clean, references):
        if token.type == "inline":
            token.children = []
            _INLINE_PARSER.inline.parse(token.content, _INLINE_PARSER, references, token.children)
            pieces, at = _locate(token.content, clean, at)
            _read_inline(token, pieces, source, out)
            out.line_break(at, at)
        elif token.type in ("fence", "code_block"):
            pieces, at = _locate(token.content, clean, at)
            out.chars += token.content
            out.starts += pieces
            out.ends += [p + 1 for p in pieces]
            out.line_break(at, at)
        elif token.type == "html_block":
            pieces, at = _locate(token.content, clean, at)
            if pieces:
                _read_html(source, pieces[0], pieces[-1] + 1, out)
                out.line_break(at, at)


def _locate(content: str, source: str, at: int) -> tuple[list[int], int]:
    """Find where each character of a block's content stands: its lines, in order, from `at` on."""
    places: list[int] = []
    for line in content.split("\n"):
        stripped = line.lstrip(" \t")
        found = source.find(stripped, at)
        if found < 0:  # a tab that the parser widened; the place before is as near as can be told
            places += [min(at, max(0, len(source) - 1))] * (len(line) + 1)
            continue
        lead = len(line) - len(stripped)
        places += [max(0, found - lead + i) for i in range(lead)]
        places += range(found, found + len(stripped))
        at = found + len(stripped)
        places.append(min(at, max(0, len(source) - 1)))
    places.pop()
    return places, at


def _read_inline(block: Token, places: list[int], source: str, out: _Visible) -> None:
    """Read the children of an inline token; `places` maps its content to the source."""
    content, at = block.content, 0
    for token in block.children or []:
        match token.type:
            case "text":
                at = _copy_found(token.content, content, at, places, out)
            case "text_special":
                found = max(content.find(token.markup, at), at)
                at = min(found + len(token.markup), len(content))
                if found < at:
                    out.put(token.content, places[found], places[at - 1] + 1)
            case "code_inline":
                at = _copy_found(token.content, content, content.find("`", at) + 1, places, out) + len(token.markup)
            case "softbreak" | "hardbreak":
                found = content.find("\n", at)
                if token.type == "hardbreak":
                    out.line_break(places[found], places[found] + 1)
                else:
                    out.space(places[found], places[found] + 1)
                at = found + 1
            case "link_close":
                at = content.find(">", at) + 1 if token.info == "auto" else _after_link(content, at)
            case "html_inline":
                found = max(content.find(token.content, at), at)
                at = found + len(token.content)
                name = _TAG_NAME.match(token.content)
                if name and name.group(1).lower() in _BLOCKS:
                    out.line_break(places[found], places[at - 1] + 1)
            case "image":
                found = max(content.find("![", at), at) + 2
                inner = Token("inline", "", 0, content=content[found:], children=token.children)
                _read_inline(inner, places[found:], source, out)
                at = _after_link(content, found + _length_of(token, content, found))


def _copy_found(text: str, content: str, at: int, places: list[int], out: _Visible) -> int:
    """Copy a piece of content that stands at `at` or soon after; return where it ends."""
    found = content.find(text, at) if text else at
    if found < 0:  # code spans turn a line end into a space
        found = content.replace("\n", " ").find(text, at)
        if found < 0:
            return at
    out.chars += text
    out.starts += places[found : found + len(text)]
    out.ends += [p + 1 for p in places[found : found + len(text)]]
    return found + len(text)


def _length_of(image: Token, content: str, at: int) -> int:
    """How far the alt text of an image reaches: to the bracket that closes it."""
    depth = 1
    for offset, sign in enumerate(content[at:]):
        depth += (sign == "[") - (sign == "]")
        if depth == 0:
            return offset
    return len(content) - at


def _after_link(content: str, at: int) -> int:
    """Skip `](destination "title")`, `][reference]` or `]`."""
    close = content.find("]", at)
    if close < 0:
        return at
    at = close + 1
    if content.startswith("[", at):
        return content.find("]", at) + 1 or at
    if not content.startswith("(", at):
        return at
    start = at
    at = _skip_space(content, at + 1)
    destination = parseLinkDestination(content, at, len(content))
    if destination.ok:
        at = _skip_space(content, destination.pos)
        title = parseLinkTitle(content, at, len(content))
        if title.ok:
            at = _skip_space(content, title.pos)
    return at + 1 if content.startswith(")", at) else start


def _skip_space(content: str, at: int) -> int:
    while at < len(content) and content[at] in " \t\n":
        at += 1
    return at
