"""What the steps share: where things are, how they are read, the student as a torch module."""

from __future__ import annotations

import argparse
import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel

from softanswer.domain import Context, Draft, Kind
from softanswer.encoder.inputs import tidy

CORPUS = Path(__file__).parent / "corpus"
MEANING_DIMS = 384
ATTENTION_HEADS = 12
LANGUAGES = ("en", "ar", "he")


def arguments(step: str, **extra: Any) -> argparse.Namespace:
    """Read the options that every step has; `extra` maps further option names to defaults."""
    parser = argparse.ArgumentParser(prog=f"python -m training.{step}")
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    parser.add_argument("--work", type=Path, default=Path("build/training"), help="caches and checkpoints")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    for name, default in extra.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    random.seed(args.seed)
    np.random.seed(args.seed)
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    return args


def log(args: argparse.Namespace, step: str, **what: Any) -> None:
    """Print a line and keep it in the step's log."""
    line = json.dumps(what, ensure_ascii=False)
    print(line, flush=True)
    with open(args.work / f"{step}.log.jsonl", "a", encoding="utf8") as out:
        out.write(line + "\n")


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    with open(path, encoding="utf8") as lines:
        return [json.loads(line) for line in lines]


def read_corpus() -> list[dict[str, Any]]:
    return [row for path in sorted(CORPUS.glob("*.jsonl")) for row in read_jsonl(path)]


def draft(row: dict[str, Any]) -> Draft:
    """A corpus item as the service would get it, its language told."""
    kind: Kind = "reply" if row["customer"] else "post"
    context = Context(in_reply_to=row["customer"] or "")
    return Draft(row["text"], kind=kind, language=row["lang"], context=context)


# Sources that are machine-translated or of one narrow kind are capped, a language each.
CAPS = {"ms_beginners": 40_000, "ms_dynamics_docs": 40_000, "ms_slug_headings": 4_000, "odoo": 16_000}
MIN_WORDS = 3


def read_pairs(data: Path, tag: str, rng: random.Random) -> list[tuple[str, str, str]]:
    """Read English-`tag` pairs as (english, translation, source), tidy, deduplicated and capped."""
    by_source: dict[str, list[tuple[str, str, str]]] = {}
    seen = set()
    for english, translation, source in parallel_rows(data / "parallel" / f"en-{tag}.tsv.gz"):
        words = len(english.split())
        if words < MIN_WORDS and source not in ("tatoeba_manythings", "chatwoot", "bagisto"):
            continue
        pair = (tidy(english), tidy(translation), source)
        if pair[:2] not in seen and all(pair):
            seen.add(pair[:2])
            by_source.setdefault(source, []).append(pair)
    pairs = []
    for source, rows in sorted(by_source.items()):
        rng.shuffle(rows)
        pairs += rows[: CAPS.get(source, len(rows))]
    return pairs


def parallel_rows(path: Path) -> Iterator[tuple[str, ...]]:
    with gzip.open(path, "rt", encoding="utf8") as lines:
        for line in lines:
            yield tuple(line.rstrip("\n").split("\t"))


def load_tokenizer(folder: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def token_ids(tokenizer: Tokenizer, texts: list[str], max_tokens: int) -> list[np.ndarray]:
    """Encode texts to id arrays (int32) with <s> and </s>, cut to `max_tokens`."""
    out = []
    for start in range(0, len(texts), 4096):
        for encoding in tokenizer.encode_batch(texts[start : start + 4096]):
            ids = encoding.ids
            out.append(np.array(ids if len(ids) <= max_tokens else [*ids[: max_tokens - 1], ids[-1]], np.int32))
    return out


def padded(rows: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad id arrays to a multiple of 8: (ids, mask), both int64 [batch, length]."""
    width = -(-max(map(len, rows)) // 8) * 8
    ids = np.zeros((len(rows), width), np.int64)
    mask = np.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


def encode(bert: BertModel, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a BERT: (meaning [n, 384], L2-normalised mean over tokens; manner [n, 384], the state of <s>)."""
    hidden = bert(input_ids=ids, attention_mask=mask).last_hidden_state
    return torch.nn.functional.normalize(mean(hidden, mask), dim=-1), hidden[:, 0].float()


def mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean over the tokens of each text: [n, length, 384] -> float32 [n, 384]."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return ((hidden * weights).sum(1) / weights.sum(1)).float()


def bert(state: dict[str, torch.Tensor]) -> BertModel:
    """Build a BERT, 384 wide, with as many layers and word pieces as its weights tell of."""
    layers = {name.split(".")[2] for name in state if name.startswith("encoder.layer.")}
    config = BertConfig(
        vocab_size=len(state["embeddings.word_embeddings.weight"]), hidden_size=MEANING_DIMS,
        num_hidden_layers=len(layers), num_attention_heads=ATTENTION_HEADS, intermediate_size=1536,
        # On texts this short a training step with the fused attention takes an eighth longer.
        attn_implementation="eager",
    )  # fmt: skip
    model = BertModel(config, add_pooling_layer=False)
    model.load_state_dict(state)
    return model


def load_student(work: Path, checkpoint: str) -> BertModel:
    """Load a student checkpoint such as 'initial.pt' or 'distilled.pt'."""
    return bert(torch.load(work / checkpoint, map_location="cpu"))


@torch.no_grad()
def embed(bert: BertModel, rows: list[np.ndarray], batch: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Embed id arrays, sorted by length inside: (meaning, manner), float32 [n, 384] each."""
    meaning = np.zeros((len(rows), MEANING_DIMS), np.float32)
    manner = np.zeros_like(meaning)
    order = np.argsort([len(r) for r in rows], kind="stable")
    for start in range(0, len(rows), batch):
        chosen = order[start : start + batch]
        with torch.autocast("cpu", torch.bfloat16):
            m, c = encode(bert, *padded([rows[i] for i in chosen]))
        meaning[chosen], manner[chosen] = m.numpy(), c.numpy()
    return meaning, manner
