"""What the encoder reads: the one normalisation shared by training and serving.

A change here changes every vector, so it needs new weights.
"""

import regex

LINK = regex.compile(r"(?:https?://|www\.)\S+", regex.IGNORECASE)
HANDLE = regex.compile(r"(?<![\w@])@[\w.]{2,}")
_LONG_RUN = regex.compile(r"(\X)\1{3,}")
_UNSEEN = regex.compile(r"[\p{Cc}\p{Cf}\p{Cs}\p{Co}\u0640--[\u200d]]+", regex.VERSION1)
_SPACE = regex.compile(r"\s+")


def prepare(text: str) -> str:
    """Normalise a visible text for the encoder: tidy, and in small letters.

    Shouting is for the cues of form to see; the words mean the same.
    """
    return tidy(text).lower()


def tidy(text: str) -> str:
    """Take from a text what carries no meaning.

    Links become `http`, handles `@user`; runs of one character are cut to three, since
    'sooooo' and 'soooooooo' mean the same; controls, bidi marks and tatweel are dropped.
    Emoji and diacritics stay.
    """
    text = LINK.sub("http", text)
    text = HANDLE.sub("@user", text)
    text = _SPACE.sub(" ", _UNSEEN.sub("", text.replace("\n", " ").replace("\t", " ")))
    return _LONG_RUN.sub(r"\1\1\1", text).strip()
