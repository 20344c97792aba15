"""Permits, the cache of vectors, deadlines, traces."""

import threading
import time
from dataclasses import replace

import pytest

from softanswer.api.work import Work
from softanswer.domain import Brand, Context, Draft, Full
from softanswer.encoder.cache import Embeddings
from softanswer.pipeline import Call

# --- permits -------------------------------------------------------------------------------


@pytest.fixture
def busy():
    """Work with three permits, two of which are out until `busy.release` is set."""
    work = Work(3)
    work.release, begun = threading.Event(), threading.Event()

    def hold():
        begun.set()
        work.release.wait(10)

    threads = [threading.Thread(target=work.do, args=(1, hold)) for _ in range(2)]
    for thread in threads:
        thread.start()
    begun.wait(10)
    while work.taken < 2:
        time.sleep(0.001)
    yield work
    work.release.set()
    for thread in threads:
        thread.join()


def test_what_does_not_fit_is_refused_at_once(busy):
    started = time.monotonic()
    with pytest.raises(Full):
        busy.do(2, lambda: None)
    assert time.monotonic() - started < 5
    assert busy.taken == 2


def test_what_waits_is_done_in_order(busy):
    done: list[str] = []
    thread = threading.Thread(target=busy.do, args=(1, lambda: done.append("third")))
    thread.start()
    while busy.taken < 3:
        time.sleep(0.001)
    with pytest.raises(Full):
        busy.do(1, lambda: done.append("fourth"))
    assert done == []
    busy.release.set()
    thread.join()
    assert done == ["third"]


@pytest.mark.parametrize(
    "path",
    ["/v1/score", "/v1/score/batch", "/v1/rewrite", "/v1/policies/simulate", "/v2/check", "/v1alpha1/comments:analyze"],
)
def test_a_full_service_refuses_before_it_reads(app, client, monkeypatch, path):
    full = Work(0)
    monkeypatch.setitem(app.extensions, "softanswer.work", full)
    response = client.post(path, data="not a body of any kind", content_type="text/nonsense")
    assert response.status_code == 503
    assert response.headers["Retry-After"]


def test_permits_come_back_after_a_crash():
    work = Work(1)
    with pytest.raises(ZeroDivisionError):
        work.do(1, lambda: 1 / 0)
    assert work.do(1, lambda: "well") == "well"


def test_a_batch_larger_than_all_permits_is_done_when_nothing_else_is():
    assert Work(2).do(128, lambda: "done") == "done"


def test_a_full_service_says_when_to_come_again(app, client, busy, monkeypatch):
    monkeypatch.setitem(app.extensions, "softanswer.work", busy)
    response = client.post("/v1/score/batch", json={"drafts": 2 * [{"text": "We open at nine."}]})
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    assert response.content_type == "application/problem+json"
    assert client.get("/healthz").status_code == 200


# --- the cache -----------------------------------------------------------------------------


class Counting:
    """A model that tells what it had to encode."""

    def __init__(self, model):
        self.model, self.encoded = model, []

    def embed(self, text):
        self.encoded.append(text)
        return self.model.embed(text)


@pytest.fixture
def counting(pipeline):
    return Counting(pipeline.model)


def test_a_text_is_encoded_once_for_each_owner(counting):
    embeddings = Embeddings(counting, 1_000_000)
    first = embeddings.of(["one", "two"], "a")
    assert embeddings.of(["one", "two"], "a")[1] is first[1]
    embeddings.of(["one"], "b")
    assert counting.encoded == ["one", "two", "one"]


@pytest.mark.parametrize("max_bytes, kept", [(0, 0), (4000, 1), (8000, 2)])
def test_the_cache_is_bounded_in_bytes(counting, max_bytes, kept):
    embeddings = Embeddings(counting, max_bytes)
    embeddings.of(["one", "two", "three"])
    counting.encoded.clear()
    embeddings.of(["three", "two", "one"])
    assert 3 - len(counting.encoded) == kept


def test_scoring_again_as_it_is_typed_costs_only_the_draft(pipeline, counting):
    from dataclasses import replace

    typing = replace(pipeline, embeddings=Embeddings(counting, 1_000_000))
    context = Context(in_reply_to="It came late and cold.")
    typing.run([Draft("We are sorry about the wai", context=context, gain=False)])
    counting.encoded.clear()
    typing.run([Draft("We are sorry about the wait", context=context, gain=False)])
    assert counting.encoded == ["We are sorry about the wait"]


# --- deadlines -----------------------------------------------------------------------------


def test_when_time_runs_short_what_is_done_is_answered(pipeline):
    topics = tuple(f"topic number {i} " + 30 * "and more " for i in range(40))
    draft = Draft("Fresh bread from seven.", kind="post", brand=Brand(topics=topics), deadline_ms=20)
    (report,) = pipeline.run([draft])
    assert report.degraded == ("relevance",)
    assert [(n.check, n.reason) for n in report.not_evaluated] == [("relevance", "deadline")]
    assert [s.name for s in report.scores] == ["tone", "defensiveness", "spam"]


def test_the_time_that_a_request_waited_counts(pipeline):
    draft = Draft("WE DID NOTHING WRONG HERE!!!!", context=Context(in_reply_to="Late!"), deadline_ms=1000)
    (report,) = pipeline.run([draft], Call(started=time.monotonic() - 2))
    assert "gain" in report.degraded
    assert all(h.gain is None for h in report.hints)


# --- traces and metrics --------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent, kept",
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", True),
        ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", False),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", False),
        ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", False),
        ("nonsense", False),
    ],
)
def test_a_trace_is_passed_on(client, sent, kept):
    told = client.get("/healthz", headers={"traceparent": sent}).headers["traceparent"]
    version, trace, span, flags = told.split("-")
    assert (version, len(trace), len(span)) == ("00", 32, 16)
    assert (trace == sent.split("-")[1]) == kept if "-" in sent else True
    assert span not in sent
    assert flags == ("01" if kept else "00")


def test_metrics_tell_stages_waiting_cache_and_problems(client, post):
    post({"text": "We open at nine."})
    post({"txt": "x"})
    told = client.get("/metrics").get_data(as_text=True)
    for name in (
        'softanswer_stage_seconds_count{stage="analyse"}', "softanswer_wait_seconds_count", "softanswer_permits_taken",
        'softanswer_cache_total{outcome="miss"}', 'softanswer_problems_total{problem="invalid-fields"}',
    ):  # fmt: skip
        assert name in told


def test_a_message_is_read_once_for_a_draft_and_its_variants(pipeline, monkeypatch):
    encoded: list[str] = []

    class Counting:
        def embed(self, text):
            encoded.append(text)
            return pipeline.model.embed(text)

    bare = replace(pipeline, embeddings=Embeddings(Counting(), 0))
    report = bare.run([Draft("We are sorry if you feel that way.", context=Context(in_reply_to="My soup was cold."))])[
        0
    ]
    assert any(hint.cue.startswith("defensiveness.non_apology") for hint in report.hints)
    assert len(encoded) > 2
    assert encoded.count("My soup was cold.") == 1
    assert len(encoded) == len(set(encoded))
