FROM python:3.11-slim-bookworm AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /src
RUN python -m venv /venv
COPY constraints.txt .
# The CPU build of torch first, or pip would bring gigabytes of CUDA.
RUN /venv/bin/pip install --no-cache-dir --constraint constraints.txt --no-deps --index-url "$TORCH_INDEX" torch
COPY pyproject.toml README.md LICENSE ./
COPY service service
# What the playground's link leads to.
COPY openapi/examples openapi/examples
RUN /venv/bin/pip install --no-cache-dir --constraint constraints.txt .

FROM python:3.11-slim-bookworm
RUN useradd --create-home --uid 10001 softanswer && install --directory --owner softanswer /keys
COPY --from=build /venv /venv
USER softanswer
ENV HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1 SOFTANSWER_HOST=0.0.0.0 SOFTANSWER_PORT=8080
EXPOSE 8080
HEALTHCHECK --start-period=20s --interval=15s --timeout=3s \
  CMD ["/venv/bin/python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"SOFTANSWER_PORT\"]}/readyz', timeout=2)"]
# The container has to listen on all addresses to be reached, so it starts only with keys or with a word that it is
# meant to be open. With keys, kept in a volume:
#   docker run -v softanswer-keys:/keys -e SOFTANSWER_KEYS=/keys/keys.db softanswer keys create my-cms
#   docker run -v softanswer-keys:/keys -e SOFTANSWER_KEYS=/keys/keys.db -p 8080:8080 softanswer
# Open, for programs on this machine (a bare `-p 8080:8080` would publish it on every address):
#   docker run -e SOFTANSWER_OPEN=true -p 127.0.0.1:8080:8080 softanswer
# `serve` replaces itself by gunicorn, so that signals reach it.
ENTRYPOINT ["/venv/bin/softanswer"]
CMD ["serve"]
