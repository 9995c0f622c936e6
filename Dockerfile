# Two stages: one that installs, one that runs. Everything the second one gets was checked against a hash first.

FROM python:3.13.16-slim-bookworm AS build
RUN pip install --no-cache-dir uv==0.13.9
ENV UV_NO_CACHE=1 UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON=/opt/venv/bin/python
RUN python -m venv --without-pip /opt/venv
WORKDIR /src
# The dependencies first: this layer is made anew only when the lock file changes. Wheels only, nothing is compiled.
COPY requirements.lock ./
RUN uv pip install --no-build --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE requirements-dev.lock ./
COPY app app
# docker build --build-arg COMMIT=$(git rev-parse --short=12 HEAD): what `zenmux-gateway version` says.
ARG COMMIT=
RUN echo "$COMMIT" > app/COMMIT && uv pip install --no-deps --build-constraints requirements-dev.lock .

FROM python:3.13.16-slim-bookworm
RUN useradd --uid 10001 --user-group --home-dir /data --no-create-home --no-log-init --shell /usr/sbin/nologin gateway \
 && install -d -o gateway -g gateway -m 0750 /data
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GATEWAY_HOST=0.0.0.0 \
    GATEWAY_PORT=8080 \
    GATEWAY_DATA_DIR=/data
# Python's own library comes uncompiled in this image, and the gateway's user may not write there: every start would take
# twice as long. What serving and the health check load is compiled here, some 6 MB.
RUN python -c "import app.cli.commands.serve, app.main, psycopg, sqlite3, urllib.request, uvloop"
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['GATEWAY_PORT'] + '/healthz', timeout=4)"]
# The gateway is process 1, handles SIGTERM itself and waits for the workers it may start (GATEWAY_WORKERS): no init is
# needed. Running requests may finish for GATEWAY_SHUTDOWN_SECONDS: give `docker stop` longer than that.
STOPSIGNAL SIGTERM
ENTRYPOINT ["zenmux-gateway"]
CMD ["serve"]
