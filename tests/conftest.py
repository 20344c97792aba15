import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["SOFTANSWER_LOG_LEVEL"] = "warning"

import pytest
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from softanswer.app import create_app
from softanswer.domain import Brand, Context, Draft, Report
from softanswer.pipeline import Pipeline
from softanswer.settings import Settings


@pytest.fixture(scope="session")
def app():
    # Not from the environment: the first test that asks for it may have set up keys there.
    return create_app(Settings())


@pytest.fixture(scope="session")
def pipeline(app) -> Pipeline:
    return app.extensions["softanswer.pipeline"]


@pytest.fixture
def client(app) -> FlaskClient:
    return app.test_client()


@contextmanager
def _listening(app) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="session")
def listening():
    """Put an application on a socket, for clients that are programs of their own: with listening(app) as address."""
    return _listening


@pytest.fixture(scope="session")
def address(app, listening):
    """The address of the application on a socket."""
    with listening(app) as url:
        yield url


@pytest.fixture
def run(pipeline):
    """Score one text in process: run('text', to='message', topics=('tea',))."""

    def score(text: str, to: str = "", topics: tuple[str, ...] = (), **draft) -> Report:
        context = draft.pop("context", Context(in_reply_to=to))
        return pipeline.run([Draft(text, context=context, brand=Brand(topics=topics), **draft)])[0]

    return score


@pytest.fixture
def post(client):
    """POST /v1/score and return (status, body)."""

    def send(body: dict) -> tuple[int, dict]:
        response = client.post("/v1/score", data=json.dumps(body), content_type="application/json")
        return response.status_code, response.get_json()

    return send
