"""How gunicorn serves: the model is loaded once, before the fork, and its pages are shared."""

import gc
import os
import shutil
import sys
import tempfile

import structlog
from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from softanswer.api import tracing
from softanswer.settings import Settings

# What is imported and loaded stays: to look through it for garbage again and again takes a second of the start.
gc.disable()

_settings = Settings.from_environment()
_settings.check_access()

# The workers' metrics meet in a directory; it must be named before prometheus_client is imported.
_ours = "PROMETHEUS_MULTIPROC_DIR" not in os.environ
if _ours:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="softanswer-metrics-")

from prometheus_client import multiprocess  # noqa: E402

bind = f"[{_settings.host}]:{_settings.port}" if ":" in _settings.host else f"{_settings.host}:{_settings.port}"
workers = _settings.workers
worker_class = "softanswer.worker.Worker"
# Threads mostly wait, for slow clients or for their turn; api/work.py bounds the work. A thread is
# started only when all others wait.
threads = 256
preload_app = True
timeout = 60
graceful_timeout = 30
keepalive = 5
proc_name = "softanswer"
control_socket_disable = True


# The thread that works lets go of the interpreter at each run of the encoder, and would wait up to
# 5 ms to get it back while others read requests or refuse them.
sys.setswitchinterval(0.0005)


def when_ready(server: Arbiter) -> None:
    """Say in one line who can call, and how often; then make ready what the workers are to share."""
    log = structlog.get_logger()
    rate_limit = _settings.rate_limit
    if rate_limit and _settings.rate_store == "memory://" and workers > 1:
        rate_limit += f" in each of {workers} workers"
    if _settings.keys:
        log.info("access", who="callers with a key", rate_limit=rate_limit)
    elif _settings.is_on_loopback:
        log.info("access", who="programs on this machine: there are no keys", rate_limit=rate_limit)
    else:
        log.warning("access", who="anyone: there are no keys, and SOFTANSWER_OPEN is set", rate_limit=rate_limit)
    server.app.wsgi().extensions["softanswer.pipeline"].warm_up()
    # What is loaded now stays: left to the collector, its pages would be written to in each worker
    # and so no longer be shared, and the master spent 10 s at its end to look through it.
    gc.collect()
    gc.freeze()
    gc.enable()


def worker_exit(server: Arbiter, worker: Worker) -> None:
    """End a worker at once when its last answer is given.

    What onnxruntime and torch tear down belongs to threads of the process that loaded the model:
    in a forked one that took 20 s of spinning and ended in SIGSEGV or SIGABRT.
    """
    if worker.booted:
        tracing.flush()
        sys.stdout.flush()
        os._exit(0)


def child_exit(server: Arbiter, worker: Worker) -> None:
    """Forget what a worker that is gone was doing: a killed one would hold its permits for ever in the metrics."""
    multiprocess.mark_process_dead(worker.pid)


def on_exit(server: Arbiter) -> None:
    if _ours:
        shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
