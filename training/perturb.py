"""The same text as people might have typed it: with or without emoji, marks, elongation, capitals."""

from __future__ import annotations

import random

import emoji
import regex

_VOWEL = regex.compile(r"(?<=\p{L}\p{L})([aeiouاويوי])(?=\P{L}|$)")
_HAMZA = str.maketrans({"أ": "ا", "إ": "ا", "آ": "ا", "ة": "ه", "ى": "ي"})
_SIGNS = ("🙏", "❤️", "😊", "😡", "👍", "🎉", "😂")


def perturb(text: str, rng: random.Random, share: float = 0.35) -> str:
    """Change a text in a way that leaves its meaning; most texts stay as they are."""
    if rng.random() > share:
        return text
    change = rng.randrange(7)
    if change == 0:
        return emoji.replace_emoji(text, "").strip() or text
    if change == 1:
        return f"{text} {rng.choice(_SIGNS)}"
    if change == 2:
        return text.translate(_HAMZA)
    if change == 3:
        return _VOWEL.sub(r"\1\1\1", text, count=1)
    if change == 4:
        return f"@user {text}"
    if change == 5:
        return text.rstrip(".!؟?") + rng.choice(["", "!", "!!", "..."])
    return _typo(text, rng)


def _typo(text: str, rng: random.Random) -> str:
    """Swap two neighbouring letters of one word."""
    places = [i for i in range(1, len(text) - 2) if text[i].isalpha() and text[i + 1].isalpha()]
    if not places:
        return text
    at = rng.choice(places)
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
