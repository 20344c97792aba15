"""YAML data files, read strictly: every fault is reported with its path and line.

What the files mean is said by the marshmallow schema that the caller passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import marshmallow
import regex
import yaml
from marshmallow import fields

from softanswer.domain import DataFault

_BIDI_CONTROL = regex.compile(r"[\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]")

_Path = tuple[str | int, ...]


class Few(fields.List[Any]):
    """A list whose length is checked before what is in it: a megabyte of faults is no answer."""

    def __init__(self, inner: fields.Field[Any], most: Callable[[], int], least: int = 0, **kwargs: Any) -> None:
        self.most, self.least = most, least
        super().__init__(inner, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        most = self.most()
        if isinstance(value, list) and not self.least <= len(value) <= most:
            raise marshmallow.ValidationError(f"Must hold {self.least} to {most}.")
        return super()._deserialize(value, attr, data, **kwargs)


def read(path: Path, schema: marshmallow.Schema) -> Any:
    """Read one file through its schema.

    Raises `DataFault` listing all faults, one `path:line: message` a line: broken YAML, duplicate
    keys, bidi control characters, and whatever the schema refuses.
    """
    lines: dict[_Path, int] = {}
    faults: list[tuple[int, str]] = []
    source = path.read_text(encoding="utf-8")
    for number, line in enumerate(source.splitlines(), 1):
        if found := _BIDI_CONTROL.search(line):
            faults.append((number, f"bidi control character U+{ord(found.group()):04X}"))
    try:
        root = yaml.compose(source, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        line_at = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DataFault(f"{path}:{line_at}: {error.problem}") from error
    data = _plain(root, (), lines, faults) if root else {}
    try:
        loaded = schema.load(data)
    except marshmallow.ValidationError as error:
        for where, message in _messages(error.normalized_messages(), ()):
            faults.append((_line(where, lines), message))
    if faults:
        raise DataFault("\n".join(f"{path}:{line}: {message}" for line, message in sorted(set(faults))))
    return loaded


def read_each(path: Path, shape: type[marshmallow.Schema], names: Iterable[str] = ()) -> dict[str, Any]:
    """Read a file that maps names to things of one shape, in the order of the file.

    `names` are those that must be there, and no others; without them the file's own. Raises `DataFault`.
    """
    read(path, marshmallow.Schema(unknown=marshmallow.INCLUDE))
    written = list(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    each: dict[str, fields.Field[Any]] = {name: fields.Nested(shape, required=True) for name in names or written}
    loaded = read(path, marshmallow.Schema.from_dict(each)())
    return {name: loaded[name] for name in written}


def line_of(path: Path, needle: str) -> int:
    """Find the line on which a piece of a file that was read before stands (1 where it can't be found)."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if needle in line:
            return number
    return 1


def _plain(node: yaml.Node, at: _Path, lines: dict[_Path, int], faults: list[tuple[int, str]]) -> Any:
    """Turn a node into plain values, noting the line of each."""
    lines[at] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key in mapping:
                faults.append((key_node.start_mark.line + 1, f"{key!r} stands twice"))
            mapping[key] = _plain(value_node, (*at, key), lines, faults)
            lines[(*at, key)] = key_node.start_mark.line + 1
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_plain(child, (*at, i), lines, faults) for i, child in enumerate(node.value)]
    return yaml.safe_load(node.value) if _is_typed(node) else node.value


def _is_typed(node: yaml.Node) -> bool:
    """Only numbers, booleans and null are typed; a word such as `no` or `on` stays a word."""
    return node.tag.rpartition(":")[2] in ("int", "float", "null") or node.value in ("true", "false")


def _messages(errors: Any, at: _Path) -> Iterator[tuple[_Path, str]]:
    if isinstance(errors, dict):
        for key, value in errors.items():
            yield from _messages(value, at if key == "_schema" else (*at, key))
    else:
        for message in errors:
            yield at, f"{'.'.join(map(str, at))}: {message}" if at else str(message)


def _line(where: _Path, lines: dict[_Path, int]) -> int:
    """The line of a place in the data, or of the nearest thing around it."""
    while where and where not in lines:
        where = where[:-1]
    return lines.get(where, 1)
