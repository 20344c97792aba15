"""The bundled encoder: a SentenceTransformer module that runs int8 ONNX instead of torch.

Made by `training/export.py`. The sentence embedding is [meaning 384 | manner 384], float32:
meaning is the L2-normalised mean over tokens, manner the state of <s>. The tokens' own states come with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from sentence_transformers.base.modules import Module
from tokenizers import Tokenizer
from torch.nn.utils.rnn import pad_sequence

MAX_TOKENS = 256
# A text longer than that is read in pieces as long as the texts that the heads learned from were at most.
_PIECE_TOKENS = 128
# <s> and </s>, and what a word that is cut may take more than as a whole.
_SPARE_TOKENS = 8


class OnnxEncoder(Module):
    """Token ids in, one vector a text out. One thread, so that workers do not fight over cores.

    The session has no thread pool and may be used after a fork.
    """

    config_keys: list[str] = []

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.tokenizer = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        self.tokenizer.no_truncation()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        self.session = onnxruntime.InferenceSession(
            str(self.folder / "model.int8.onnx"), options, providers=["CPUExecutionProvider"]
        )

    def embed(self, text: str) -> tuple[np.ndarray, np.ndarray, list[int]]:
        """Encode one prepared text, cut to 256 tokens: float32 [768]; its tokens' states, [n, 384], and their ids.

        One at a time, since int8 scales are taken over all that is run together: in a batch a
        score moved by up to 0.03 with its neighbours, and on one thread a batch is hardly faster.
        """
        tokens = self._tokens(text)
        return *self._run(tokens), tokens[1:-1]

    def _tokens(self, text: str) -> list[int]:
        """The ids of a text with <s> and </s>, cut to 256."""
        tokens: list[int] = self.tokenizer.encode(text).ids
        return tokens if len(tokens) <= MAX_TOKENS else [*tokens[: MAX_TOKENS - 1], tokens[-1]]

    def _run(self, tokens: list[int]) -> tuple[np.ndarray, np.ndarray]:
        vectors, states = self.session.run(None, {"input_ids": np.array([tokens], np.int64)})
        return vectors[0], states

    def windows(self, text: str) -> list[str]:
        """Cut a prepared text of more than 254 tokens between words into pieces of at most 120."""
        if len(text) < MAX_TOKENS - 2:  # a token is a character or more
            return [text]
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        words, offsets = encoding.word_ids, encoding.offsets  # each is made anew whenever it is asked for
        if len(words) <= MAX_TOKENS - 2:
            return [text]
        pieces, start, count = [], 0, 0
        for i, word in enumerate(words):
            count += 1
            if i == 0 or word != words[i - 1]:
                last_word = i
            if count > _PIECE_TOKENS - _SPARE_TOKENS:
                cut = last_word if offsets[last_word][0] > start else i
                pieces.append(text[start : offsets[cut][0]])
                start, count = offsets[cut][0], i - cut + 1
        return [*pieces, text[start:]]

    # --- what SentenceTransformer calls -----------------------------------------------------

    def preprocess(self, inputs: list[str], **_: Any) -> dict[str, Any]:
        rows = [torch.tensor(self._tokens(str(text))) for text in inputs]
        masks = [torch.ones_like(row) for row in rows]
        return {"input_ids": pad_sequence(rows, True), "attention_mask": pad_sequence(masks, True)}

    tokenize = preprocess

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        rows = zip(features["input_ids"].cpu(), features["attention_mask"].cpu().bool(), strict=True)
        vectors = [self._run(ids[mask].tolist())[0] for ids, mask in rows]
        features["sentence_embedding"] = torch.from_numpy(np.stack(vectors))
        return features

    def get_sentence_embedding_dimension(self) -> int:
        return int(self.session.get_outputs()[0].shape[1])

    get_embedding_dimension = get_sentence_embedding_dimension

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("The bundled encoder is made by training/export.py.")

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **_: Any) -> OnnxEncoder:
        return cls(Path(model_name_or_path) / subfolder)
