"""How gunicorn serves: the model is loaded once, before the fork, and its pages are shared."""

import os
import shutil
import tempfile

from gunicorn.arbiter import Arbiter

from softanswer.settings import Settings

_settings = Settings.from_environment()

# The workers' metrics meet in a directory; it must be named before prometheus_client is imported.
_ours = "PROMETHEUS_MULTIPROC_DIR" not in os.environ
if _ours:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="softanswer-metrics-")

bind = f"{_settings.host}:{_settings.port}"
workers = _settings.workers
worker_class = "gthread"
threads = 4
preload_app = True
timeout = 60
graceful_timeout = 30
keepalive = 5
proc_name = "softanswer"
control_socket_disable = True


def on_exit(server: Arbiter) -> None:
    if _ours:
        shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
