FROM python:3.11-slim-bookworm AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /src
RUN python -m venv /venv
COPY constraints.txt .
# The CPU build of torch first, or pip would bring gigabytes of CUDA.
RUN /venv/bin/pip install --no-cache-dir --constraint constraints.txt --index-url "$TORCH_INDEX" torch
COPY pyproject.toml README.md LICENSE ./
COPY service service
RUN /venv/bin/pip install --no-cache-dir --constraint constraints.txt .

FROM python:3.11-slim-bookworm
RUN useradd --create-home --uid 10001 softanswer
COPY --from=build /venv /venv
USER softanswer
ENV HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1 SOFTANSWER_HOST=0.0.0.0 SOFTANSWER_PORT=8080
EXPOSE 8080
HEALTHCHECK --start-period=20s --interval=15s --timeout=3s \
  CMD ["/venv/bin/python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"SOFTANSWER_PORT\"]}/readyz', timeout=2)"]
# `serve` replaces itself by gunicorn, so that signals reach it.
CMD ["/venv/bin/softanswer", "serve"]
