"""The linter of the cue files: every cue is held to its own examples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from softanswer import datafiles
from softanswer.cues.files import ROOT, LanguageData, load_languages
from softanswer.cues.matching import Matcher, all_foldings
from softanswer.domain import Cue, DataFault


def check(root: Path = ROOT, only: str | None = None) -> list[str]:
    """List all faults of the language files, each as `path:line: message`; empty when all is well."""
    try:
        languages = load_languages(root)
        foldings = all_foldings(languages.values())
        faults = []
        for tag, language in languages.items():
            if only in (None, tag):
                faults += list(_check_language(root / tag, language, foldings))
        return faults
    except DataFault as fault:
        return str(fault).splitlines()


def _check_language(folder: Path, language: LanguageData, foldings: dict[str, str]) -> Iterator[str]:
    for cue in language.cues:
        path = folder / f"{cue.score}.yaml"
        for needle, message in _check_cue(cue, language, foldings):
            line = datafiles.line_of(path, needle) if needle else datafiles.line_of(path, cue.id)
            yield f"{path}:{line}: {cue.id}: {message}"


def _check_cue(cue: Cue, language: LanguageData, foldings: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield (a piece of the line at fault, what is wrong)."""
    whole = _matcher(cue, language, foldings)
    for example in cue.match:
        if not whole.find(example, cue.kinds[0]):
            yield example, f"is not found in its own match example {example!r}"
    for example in cue.no_match:
        if found := whole.find(example, cue.kinds[0]):
            phrase = example[found[0].span.start : found[0].span.end]
            yield example, f"is found in its no_match example {example!r} ({phrase!r})"
    for pattern in cue.any:
        alone = _matcher(replace(cue, any=(pattern,)), language, foldings)
        if not any(alone.find(example, cue.kinds[0]) for example in cue.match):
            yield pattern, f"no match example shows the pattern {pattern!r}"


def _matcher(cue: Cue, language: LanguageData, foldings: dict[str, str]) -> Matcher:
    return Matcher(replace(language, cues=(cue,)), foldings)
