"""A submitted text becomes a `Text`: what a reader sees, its sentences and entities."""

from __future__ import annotations

from softanswer.domain import Format, Text
from softanswer.text.entities import entities
from softanswer.text.formats import read
from softanswer.text.segments import sentences


def read_text(source: str, format: Format, abbreviations: frozenset[str] = frozenset()) -> Text:
    """Read a text as submitted. Never fails, whatever the characters."""
    visible, starts, ends = read(source, format)
    return Text(source, visible, sentences(visible, abbreviations), entities(visible), starts, ends)
