"""Step 1: the teacher's WordPiece vocabulary with Arabic and Hebrew pieces and common emoji added."""

from __future__ import annotations

import collections
import json
import random

import emoji
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from softanswer.encoder.inputs import prepare
from training.common import arguments, log, read_corpus, read_jsonl, read_pairs, teacher_folder
from training.lexicon import frequent_forms

NEW_PIECES = {"ar": 16_500, "he": 18_000}
# wordfreq stands for this many running words.
RUNNING_WORDS = 1_500_000
NEW_EMOJI = 260
SCRIPT = {"ar": ("\u0600", "\u06ff"), "he": ("\u0590", "\u05ff")}


def main() -> None:
    args = arguments("vocabulary")
    corpus = read_corpus()
    train = [row for path in sorted((args.data / "train").glob("*.jsonl")) for row in read_jsonl(path)]
    spec = json.loads((teacher_folder() / "tokenizer.json").read_text(encoding="utf8"))
    vocabulary: dict[str, int] = spec["model"]["vocab"]
    for tag, wanted in NEW_PIECES.items():
        texts = [t for _, t, _ in read_pairs(args.data, tag, random.Random(args.seed))]
        own = [prepare(t) for r in corpus if r["lang"] == tag for t in (r["text"], r["customer"]) if t]
        own += [prepare(r["text"]) for r in train if r["language"] == tag]
        low, high = SCRIPT[tag]
        common = [form for form, share in frequent_forms(tag) for _ in range(round(share * RUNNING_WORDS))]
        # People's own writing counts three times: interface strings must not fill the vocabulary.
        for piece in train_pieces(texts + 3 * own + common, 2 * wanted):
            core = piece.removeprefix("##")
            if wanted and piece not in vocabulary and all(low <= c <= high for c in core):
                vocabulary[piece] = len(vocabulary)
                wanted -= 1
    counts = collections.Counter(
        m["emoji"] for r in corpus + train for m in emoji.emoji_list(prepare(r["text"])) if len(m["emoji"]) <= 2
    )
    signs = [e for e, n in counts.most_common(NEW_EMOJI) if n >= 2]
    spec["truncation"] = spec["padding"] = None
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    tokenizer.add_tokens(signs)
    tokenizer.save(str(args.work / "tokenizer.json"))
    log(args, "vocabulary", size=tokenizer.get_vocab_size(), emoji=len(signs))


def train_pieces(texts: list[str], size: int) -> list[str]:
    """Train WordPiece with the teacher's own normalisation; pieces in order of merit."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        texts,
        trainers.WordPieceTrainer(vocab_size=size, special_tokens=["[UNK]"], min_frequency=3, show_progress=False),
    )
    return [piece for piece, _ in sorted(tokenizer.get_vocab().items(), key=lambda pi: pi[1])]


if __name__ == "__main__":
    main()
