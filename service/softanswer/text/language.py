"""Which language a text is written in: where most of its letters are, then within the script.

Short texts are the rule here. The script alone settles Hebrew, Arabic and Latin apart; inside a
script a detector must be sure before it speaks against the language that we support.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import lru_cache

import regex
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from softanswer.domain import Entities, Language, Span

# Measured on 6,380 English dev texts of 1 to 3,000 words: at 0.6 six were called another language,
# three of them rightly, while two-word French and Spanish greetings were still told apart.
_SURE = 0.6
_LATIN = "en fr es de it pt nl id tr pl ro sv sw fi cs vi ms tl da no hu".split()
_ARABIC = ["ar", "fa", "ur", "ps", "ug", "ku"]
_CYRILLIC = ["ru", "uk", "bg", "sr", "mk", "be", "kk", "mn"]
# Letters that Arabic does not use; many Gulf and Iraqi writers use گ چ پ ڤ, so those do not count.
_NOT_ARABIC = regex.compile(r"[یکژۀہھےۓٹڈڑںټډړښڼېۍەێۆڕڵ]")
_NOT_HEBREW = regex.compile(r"[װױײ]|\b(?:און|איז|דער|פון|פֿון|נישט|אונדז|דאס|מיר|זענען|אז|מיט)\b")
_LATIN_NAME = regex.compile(r"(?<![A-Za-z])[a-z]?[A-Z][A-Za-z0-9]*")
_RTL = frozenset(("ar", "he", "fa", "ur", "ps", "ug", "yi", "ku", "dv", "syr"))
_BY_SCRIPT = {
    "HEBREW": "he", "ARABIC": "ar", "LATIN": "en", "CYRILLIC": "ru", "GREEK": "el", "CJK": "zh", "HIRAGANA": "ja",
    "KATAKANA": "ja", "HANGUL": "ko", "DEVANAGARI": "hi", "THAI": "th", "ARMENIAN": "hy", "GEORGIAN": "ka",
    "BENGALI": "bn", "TAMIL": "ta", "TELUGU": "te", "ETHIOPIC": "am", "GURMUKHI": "pa", "GUJARATI": "gu",
}  # fmt: skip
_SAMPLE_CHARS = 2_000
# The opening counts twice: a disclaimer in English often ends a mail in Hebrew, hardly ever opens it.
_OPENING_CHARS = 150


def detect(visible: str, entities: Entities) -> Language:
    """Tell the language of a visible text; 'und' with confidence 0 where it has no letters.

    Links, handles and hashtags are looked at only where there is nothing else, and then hardly trusted.
    """
    words = _without(visible, (*entities.links, *entities.mentions, *entities.hashtags))[:_SAMPLE_CHARS]
    trust = 1.0
    scripts = _scripts(words)
    if not scripts:
        words, trust = visible[:_SAMPLE_CHARS], 0.3
        scripts = _scripts(words)
    if not scripts:
        return Language("und", 0.0, "ltr")
    script, most = scripts.most_common(1)[0]
    share = most / scripts.total()
    if script == "CJK" and (scripts["HIRAGANA"] or scripts["KATAKANA"]):
        script = "HIRAGANA"
    tag, sure = _within(script, words, round(most))
    return Language(tag, round(sure * share * trust, 3), "rtl" if tag in _RTL else "ltr")


def _scripts(words: str) -> Counter[str]:
    """Letters by script. Names of brands, products and songs, and Latin hashtags, say little about
    the language around them: beside Arabic or Hebrew, capitalised Latin words count a quarter.
    """
    scripts: Counter[str] = Counter()
    for char, count in Counter(words + words[:_OPENING_CHARS]).items():
        if char.isalpha():
            scripts[_script(char)] += count
    if scripts["LATIN"] and (scripts["HEBREW"] or scripts["ARABIC"]):
        names = sum(map(len, _LATIN_NAME.findall(words)))
        scripts["LATIN"] = round(0.8 * (scripts["LATIN"] - 0.75 * min(names, scripts["LATIN"])))
    return +scripts


def _without(visible: str, spans: tuple[Span, ...]) -> str:
    for start, end in sorted(spans, reverse=True):
        visible = f"{visible[:start]} {visible[end:]}"
    return visible


@lru_cache(maxsize=4096)
def _script(char: str) -> str:
    name = unicodedata.name(char, "UNKNOWN")
    return "LATIN" if name.startswith(("FULLWIDTH LATIN", "MODIFIER")) else name.partition(" ")[0]


def _within(script: str, words: str, letters: int) -> tuple[str, float]:
    """Tell the language inside a script: (tag, how sure 0..1)."""
    if script == "HEBREW":
        yiddish = 12 * len(_NOT_HEBREW.findall(words)) > letters
        return ("yi", 0.8) if yiddish else ("he", _grown(letters))
    if script == "ARABIC":
        if 25 * len(_NOT_ARABIC.findall(words)) > letters:
            tag, sure = _identifier("ARABIC").classify(words)
            return (tag, sure) if tag != "ar" else ("fa", 0.5)
        return "ar", _grown(letters)
    if script == "LATIN":
        tag, sure = _identifier("LATIN").classify(words)
        return (tag, sure) if tag != "en" and sure >= _SURE else ("en", _grown(letters))
    if script == "CYRILLIC":
        tag, sure = _identifier("CYRILLIC").classify(words)
        return tag, sure
    return (_BY_SCRIPT[script], _grown(letters)) if script in _BY_SCRIPT else ("und", 0.0)


def _grown(letters: int) -> float:
    """Confidence grows with the letters seen: 0.75 at four, 0.93 at twenty-four."""
    return (letters + 2.0) / (letters + 4.0)


@lru_cache
def _identifier(script: str) -> LanguageIdentifier:
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages({"LATIN": _LATIN, "ARABIC": _ARABIC, "CYRILLIC": _CYRILLIC}[script])
    return identifier
