"""Embeddings that were made before: an exact-match cache, bounded in bytes.

It holds digests and numbers, never a text. Scoring a draft again as it is typed then costs the
draft itself, and neither its complaint nor the brand's topics nor the sentences that did not change.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, MutableMapping, Sequence

from cachetools import LRUCache

from softanswer.encoder.model import Embedding, Model

_KEY_BYTES = 16


class Embeddings:
    """A model's embeddings by text. One a process; not to be shared between threads."""

    def __init__(self, model: Model, max_bytes: int = 0, count: Callable[[bool], None] = lambda hit: None) -> None:
        """Keep embeddings in at most `max_bytes` (0: keep none); `count` is told of each hit and miss."""
        self._model, self._count = model, count
        self._kept: LRUCache[bytes, Embedding] = LRUCache(max(max_bytes, 1), getsizeof=lambda e: e.nbytes + _KEY_BYTES)

    def of(
        self,
        texts: Sequence[str],
        owner: str = "",
        until: float | None = None,
        seen: MutableMapping[str, Embedding] | None = None,
    ) -> list[Embedding | None]:
        """The embeddings of visible texts, as `Model.embed` makes them.

        What one `owner` had encoded is not known to another; `seen` holds what one call had. Texts
        that would have to be begun after `until` (of `time.monotonic`) get None, but for the first.
        """
        out: list[Embedding | None] = []
        for text in texts:
            found = seen.get(text) if seen is not None else None
            if found is None:
                late = bool(out) and until is not None and time.monotonic() > until
                found = self._of(text, owner, late)
            if seen is not None and found is not None:
                seen[text] = found
            out.append(found)
        return out

    def _of(self, text: str, owner: str, late: bool) -> Embedding | None:
        key = hashlib.blake2b(f"{owner}\0{text}".encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).digest()
        found = self._kept.get(key)
        self._count(found is not None)
        if found is None and not late:
            found = self._model.embed(text)
            if found.nbytes + _KEY_BYTES <= self._kept.maxsize:
                self._kept[key] = found
        return found
