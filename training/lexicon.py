"""Word lists: what parallel interface text lacks ('child', 'water', 'the government said').

A pair is an English phrase and one Arabic or Hebrew form in use. Arabic comes from FreeDict; Hebrew from
our glosses of lemmas, inflected by hspell's analyses; both get the names of emoji from CLDR.
"""

from __future__ import annotations

import collections
import gzip
import json
import random
import subprocess
from pathlib import Path

import lemminflect
import regex
import wordfreq

from softanswer.encoder.inputs import prepare

GLOSSES = Path(__file__).parent / "glosses" / "he.tsv"
LETTERS = {"ar": r"[\u0621-\u064a]+", "he": r"[א-ת]{2,}"}
FORMS = 90_000
_PREFIXES = {"ו": "and", "ה": "the", "ב": "in", "ל": "to", "מ": "from", "ש": "that", "כ": "as"}
_PRONOUNS = {
    "1יחיד": ("I", "my"), "1רבים": ("we", "our"), "2יחיד": ("you", "your"), "2רבים": ("you", "your"),
    "ז3יחיד": ("he", "his"), "נ3יחיד": ("she", "her"), "3רבים": ("they", "their"),
}  # fmt: skip


def frequent_forms(tag: str) -> list[tuple[str, float]]:
    """The forms people use most, with their share of running text (wordfreq)."""
    words = [w for w in wordfreq.top_n_list(tag, FORMS, wordlist="best") if regex.fullmatch(LETTERS[tag], w)]
    return [(w, wordfreq.word_frequency(w, tag, wordlist="best")) for w in words]


def read_lexicon(work: Path, tag: str) -> list[tuple[str, str]]:
    """(English phrase, form) pairs of a language, prepared, without doubles."""
    folder = work / "lexicon"
    pairs = freedict(folder / "freedict-eng-ara.dict.dz") if tag == "ar" else hebrew(frequent_forms("he"))
    pairs += emoji_names(folder / "annotations", tag)
    return list(dict.fromkeys((prepare(e), prepare(t)) for e, t in pairs if e.strip() and t.strip()))


def freedict(path: Path) -> list[tuple[str, str]]:
    """A dictd file of English headwords with their Arabic below."""
    pairs, headword = [], ""
    with gzip.open(path, "rt", encoding="utf8") as lines:
        for line in lines:
            line = line.strip()
            if found := regex.fullmatch(r"([A-Za-z][A-Za-z' -]*) /.*/", line):
                headword = found[1]
            elif headword and regex.match(r"(\d+\. )?\p{Arabic}", line):
                pairs.append((headword.lower(), regex.sub(r"^\d+\. ", "", line)))
    return pairs


def emoji_names(folder: Path, tag: str) -> list[tuple[str, str]]:
    """Names and keywords of emoji (CLDR annotations), English beside the other language."""
    notes = [
        json.loads((folder / language / "annotations.json").read_text(encoding="utf8"))["annotations"]["annotations"]
        for language in ("en", tag)
    ]
    pairs = []
    for sign, english in notes[0].items():
        other = notes[1].get(sign, {})
        for key, joint in (("tts", " "), ("default", ", ")):
            if key in english and key in other:
                pairs.append((joint.join(english[key]), joint.join(other[key])))
    return pairs


def hebrew(forms: list[tuple[str, float]]) -> list[tuple[str, str]]:
    """Inflect our glosses: a frequent form takes its likeliest analysis; lemmas stand bare with all their senses."""
    with open(GLOSSES, encoding="utf8") as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines]
    glosses = {(lemma, pos): gloss.split("; ") for lemma, pos, gloss in rows if gloss != "-"}
    # hspell knows every reading; those that nobody means are marked so.
    unmeant = {(lemma, pos) for lemma, pos, gloss in rows if gloss == "-"}
    pairs = [(english, lemma) for (lemma, pos), senses in glosses.items() if pos in "עתxn" for english in senses]
    analyses = analyse([form for form, _ in forms])
    weight: collections.Counter[tuple[str, str]] = collections.Counter()
    for form, frequency in forms:
        keys = {(lemma, tags[0]) for _, lemma, tags in analyses.get(form, ()) if not {"כינוי", "ציווי"} & set(tags)}
        for key in keys:
            weight[key] += frequency / len(keys)
    for form, _ in forms:
        meant = [a for a in analyses.get(form, ()) if (a[1], a[2][0]) not in unmeant]
        if meant:
            prefix, lemma, tags = min(
                meant, key=lambda a: (len(a[0]), any(t in ("כינוי", "ציווי") for t in a[2]), -weight[a[1], a[2][0]])
            )
            if (lemma, tags[0]) in glosses:
                pairs.append((inflect(prefix, glosses[lemma, tags[0]][0], tags), form))
    return pairs


def analyse(forms: list[str]) -> dict[str, list[tuple[str, str, list[str]]]]:
    """hspell's analyses of each form: (prefix letters, lemma, grammatical tags)."""
    told = subprocess.run(
        ["hspell", "-l", "-n"], input="\n".join(forms).encode("iso-8859-8"), capture_output=True, check=True
    ).stdout.decode("iso-8859-8")
    found: dict[str, list[tuple[str, str, list[str]]]] = collections.defaultdict(list)
    prefix = form = ""
    for line in told.splitlines():
        if head := regex.match(r"(?:מילה חוקית: |צירוף חוקי: (\p{L}+)\+)(.+)", line):
            prefix = head[1] or ""
            form = prefix + head[2].strip()
        elif (one := regex.fullmatch(r"\t(.+?)\((.+)\)", line)) and "שגיאה" not in one[2]:
            found[form].append((prefix, one[1], regex.split(r"[,/]+", one[2])))
    return found


def inflect(prefix: str, gloss: str, tags: list[str]) -> str:
    """English for one analysed form, such as 'and in his house'; good enough to be embedded."""
    kind, rest = tags[0], tags[1:]
    words = ["when"] if "כש" in prefix else []
    words += [_PREFIXES[c] for c in prefix.replace("כש", "") if c in _PREFIXES]
    owned = "כינוי" in rest
    at = rest.index("כינוי") if owned else len(rest)
    own, suffix = set(rest[:at]), "".join(rest[at + 1 :])
    head, *tail = gloss.split(" ")
    if kind == "פ":
        person = "".join(t for t in rest[:at] if t in ("ז", "נ", "1", "2", "3", "יחיד", "רבים"))
        subject = next((p[0] for key, p in _PRONOUNS.items() if person.endswith(key)), "")
        if "עבר" in own:
            head = (lemminflect.getInflection(head, "VBD") or (head,))[0]
        elif "הווה" in own:
            head = (lemminflect.getInflection(head, "VBG") or (head,))[0]
        elif "מקור" in own:
            subject = "" if "to" in words else "to"
        elif "עתיד" in own:
            head = f"will {head}"
        words += [subject] if subject and "הווה" not in own else []
        return " ".join([*words, head, *tail])
    if kind == "ע":
        if "רבים" in own and not tail:
            head = (lemminflect.getInflection(head, "NNS") or (head,))[0]
        if owned:
            words.append(next((p[1] for key, p in _PRONOUNS.items() if suffix.endswith(key)), "its"))
        return " ".join([*words, head, *tail, *(["of"] if "סמיכות" in own else [])])
    return " ".join([*words, gloss])


class Switcher:
    """Puts words of the other language into English sentences (Qin et al. 2020, CoSDA-ML)."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.forms: dict[str, list[str]] = collections.defaultdict(list)
        for english, form in pairs:
            if len(english.split()) <= 3:
                self.forms[english.lower()].append(form)

    def switch(self, text: str, rng: random.Random, share: float) -> str:
        """Replace phrases of up to three words, each with the chance `share`; known forms first come first."""
        words, out, at = text.split(), [], 0
        while at < len(words):
            for size in (3, 2, 1):
                phrase = " ".join(words[at : at + size])
                core = phrase.strip(".,!?;:\"'()").lower()
                if core in self.forms and rng.random() < share:
                    out.append(phrase.lower().replace(core, rng.choice(self.forms[core][:3])))
                    at += size
                    break
            else:
                out.append(words[at])
                at += 1
        return " ".join(out)
