"""Vectors that were made before: an exact-match cache, bounded in bytes.

It holds digests and vectors, never a text. Scoring a draft again as it is typed then costs the
draft itself, and neither its complaint nor the brand's topics nor the sentences that did not change.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, MutableMapping, Sequence

import numpy as np
from cachetools import LRUCache

from softanswer.encoder.model import Model, Vector

_KEY_BYTES = 16


class Vectors:
    """A model's vectors by text. One a process; not to be shared between threads."""

    def __init__(self, model: Model, max_bytes: int = 0, count: Callable[[bool], None] = lambda hit: None) -> None:
        """Keep vectors in at most `max_bytes` (0: keep none); `count` is told of each hit and miss."""
        self._model, self._count = model, count
        self._kept: LRUCache[bytes, Vector] = LRUCache(max(max_bytes, 1), getsizeof=lambda v: v.nbytes + _KEY_BYTES)

    def of(
        self,
        texts: Sequence[str],
        owner: str = "",
        until: float | None = None,
        seen: MutableMapping[str, Vector] | None = None,
    ) -> list[Vector | None]:
        """Vectors of visible texts, each float32 [dims], as `Model.encode` makes them.

        What one `owner` had encoded is not known to another; `seen` holds what one call had. Texts
        that would have to be begun after `until` (of `time.monotonic`) get None, but for the first.
        """
        out: list[Vector | None] = []
        for text in texts:
            vector = seen.get(text) if seen is not None else None
            if vector is None:
                late = bool(out) and until is not None and time.monotonic() > until
                vector = self._of(text, owner, late)
            if seen is not None and vector is not None:
                seen[text] = vector
            out.append(vector)
        return out

    def _of(self, text: str, owner: str, late: bool) -> Vector | None:
        key = hashlib.blake2b(f"{owner}\0{text}".encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).digest()
        vector = self._kept.get(key)
        self._count(vector is not None)
        if vector is None and not late:
            vector = np.asarray(self._model.encode([text])[0])
            if vector.nbytes + _KEY_BYTES <= self._kept.maxsize:
                self._kept[key] = vector
        return vector
