"""Language folders read into frozen data. Matching is done elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import marshmallow
from marshmallow import fields, validate

from softanswer import datafiles
from softanswer.domain import Cue, DataFault, Rewording

CUE_FILES = ("defensiveness", "recovery", "tone", "spam", "relevance", "complaint")
ROOT = Path(__file__).parents[1] / "languages"
TAGS = tuple(sorted(path.parent.name for path in ROOT.glob("*/language.yaml")))


@dataclass(frozen=True, slots=True)
class LanguageData:
    """One language folder: its writing, and its cues in file order."""

    tag: str
    name: str
    direction: Literal["ltr", "rtl"]
    clitics: str
    foldings: dict[str, str]
    negators: tuple[str, ...]
    conjunctions: tuple[str, ...]
    abbreviations: frozenset[str]
    sets: dict[str, str]
    cues: tuple[Cue, ...] = ()
    sets_by_file: dict[str, dict[str, str]] = field(default_factory=dict)


def _text(**kwargs: Any) -> fields.String:
    return fields.String(validate=validate.Length(min=1), **kwargs)


def _texts(**kwargs: Any) -> fields.List[str]:
    return fields.List(_text(), **kwargs)


class _Schema(marshmallow.Schema):
    class Meta:
        unknown = marshmallow.RAISE


class _LanguageSchema(_Schema):
    tag = _text(required=True)
    name = _text(required=True)
    direction = fields.String(required=True, validate=validate.OneOf(["ltr", "rtl"]))
    clitics = fields.String(required=True)
    foldings = fields.Dict(
        keys=fields.String(validate=validate.Length(equal=1)),
        values=fields.String(validate=validate.Length(equal=1)),
        required=True,
    )
    negators = _texts(required=True)
    conjunctions = _texts(required=True)
    abbreviations = _texts(required=True)
    sets = fields.Dict(keys=_text(), values=_text(), required=True)


class _RewordingSchema(_Schema):
    after = _text(required=True)
    words = _texts(required=True, validate=validate.Length(min=1))

    @marshmallow.post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Rewording:
        return Rewording(tuple(data["words"]), data["after"])


class _CueSchema(_Schema):
    id = fields.String(required=True, validate=validate.Regexp(r"[a-z]+(\.[a-z0-9_]+){2}$"))
    any = _texts(required=True, validate=validate.Length(min=1))
    unless = _texts(load_default=[])
    negatable = fields.Boolean(load_default=False)
    kinds = fields.List(
        fields.String(validate=validate.OneOf(["reply", "post"])),
        load_default=["reply", "post"],
        validate=validate.Length(min=1),
    )
    alone = fields.Boolean(load_default=False)
    weight = fields.Float(required=True, validate=validate.Range(min=0.1, max=2.5))
    hint = _text()
    replace = _texts(load_default=[])
    replace_after = fields.List(fields.Nested(_RewordingSchema), load_default=[])
    source = _text(required=True)
    match = _texts(required=True, validate=validate.Length(min=1))
    no_match = _texts(required=True, validate=validate.Length(min=1))

    @marshmallow.post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Cue:
        data.setdefault("hint", data["id"].split(".")[1])
        words = data.pop("replace")
        data["rewordings"] = [*([Rewording(tuple(words))] if words else []), *data.pop("replace_after")]
        frozen: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return Cue(**frozen)


class _CueFileSchema(_Schema):
    sets = fields.Dict(keys=_text(), values=_text(), load_default={})
    cues = fields.List(fields.Nested(_CueSchema), required=True)


def load_language(folder: Path) -> LanguageData:
    """Read one language folder. Raises `DataFault` with every fault in every file."""
    faults: list[str] = []
    cues: list[Cue] = []
    seen: dict[str, Path] = {}
    sets_by_file: dict[str, dict[str, str]] = {}
    for name in CUE_FILES:
        path = folder / f"{name}.yaml"
        if not path.exists():
            continue
        try:
            content = datafiles.read(path, _CueFileSchema())
        except DataFault as fault:
            faults.append(str(fault))
            continue
        sets_by_file[name] = content["sets"]
        for cue in content["cues"]:
            line = datafiles.line_of(path, cue.id)
            if cue.id in seen:
                faults.append(f"{path}:{line}: {cue.id} stands in {seen[cue.id].name} already")
            if cue.score != name:
                faults.append(f"{path}:{line}: {cue.id} does not belong in {path.name}")
            seen[cue.id] = path
        cues += content["cues"]
    try:
        language = datafiles.read(folder / "language.yaml", _LanguageSchema())
    except DataFault as fault:
        faults.append(str(fault))
    if faults:
        raise DataFault("\n".join(faults))
    language["negators"] = tuple(language["negators"])
    language["conjunctions"] = tuple(language["conjunctions"])
    language["abbreviations"] = frozenset(language["abbreviations"])
    return LanguageData(**language, cues=tuple(cues), sets_by_file=sets_by_file)


def load_languages(root: Path = ROOT) -> dict[str, LanguageData]:
    """Read every language folder below a root, by tag. Raises `DataFault`."""
    folders = sorted(p.parent for p in root.glob("*/language.yaml"))
    loaded = (load_language(folder) for folder in folders)
    return {language.tag: language for language in loaded}
