# Rollcall as an image. docker-compose.yml supplies the arguments; by hand:
#   docker build -t rollcall --build-arg PYTHON_IMAGE=python:3.11.15-slim-bookworm \
#                --build-arg BUILD_IMAGE=python:3.11.15-bookworm --build-arg ROLLCALL_EXTRA=cpu .
# None has a default: a version that nobody chose cannot slip in.
ARG PYTHON_IMAGE
ARG BUILD_IMAGE

# The wheels of one lock, each checked against its hash, compiled to bytecode once; less the tests
# that scientific packages ship (68 MB).
FROM ${PYTHON_IMAGE} AS wheels
# cpu or gpu: the two exclude each other, they write into the same package folders.
ARG ROLLCALL_EXTRA
COPY locks/${ROLLCALL_EXTRA}.txt /tmp/lock.txt
RUN python -m venv --without-pip /opt/venv \
 && python -m pip --python /opt/venv/bin/python install --disable-pip-version-check --no-cache-dir \
        --require-hashes --no-deps --only-binary=:all: --requirement /tmp/lock.txt \
 && find /opt/venv/lib -depth -type d \( -name tests -o -path '*/onnx/backend/test' \) -exec rm -rf {} +

# The scan kernels, built where there is a C compiler; one shared library is all that is kept.
FROM ${BUILD_IMAGE} AS kernels
COPY locks/build.txt /tmp/lock.txt
COPY kernels /tmp/kernels
RUN python -m venv /tmp/venv \
 && /tmp/venv/bin/python -m pip install --disable-pip-version-check --no-cache-dir \
        --require-hashes --no-deps --only-binary=:all: --requirement /tmp/lock.txt \
 && /tmp/venv/bin/python -m pip wheel --disable-pip-version-check --no-cache-dir --no-deps \
        --no-index --no-build-isolation --wheel-dir /tmp/built /tmp/kernels \
 && python -m zipfile -e /tmp/built/*.whl /kernels

# The service's own files, readable by every uid whatever the umask of the checkout was.
FROM ${PYTHON_IMAGE} AS house
COPY app /srv/rollcall/app
COPY clients/python/rollcall_client /srv/rollcall/rollcall_client
COPY migrations /srv/rollcall/migrations
COPY models/packs /srv/rollcall/models/packs
COPY --from=kernels /kernels/rollcall_kernels /srv/rollcall/rollcall_kernels
# Bytecode by hash: it stays valid whatever COPY does to the times of files.
RUN python -m compileall -q --invalidation-mode unchecked-hash /srv/rollcall \
 && chmod -R u=rwX,go=rX /srv/rollcall

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Rollcall" \
      org.opencontainers.image.description="Face identification over HTTP on your own hardware" \
      org.opencontainers.image.licenses="MIT"
# A fixed uid, so that volumes keep their owner from one image to the next.
RUN groupadd --system --gid 10001 rollcall \
 && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /tmp \
        --shell /usr/sbin/nologin rollcall \
 && install --directory --owner=10001 --group=10001 --mode=0700 /data
COPY --from=wheels /opt/venv /opt/venv
COPY --from=house /srv/rollcall /srv/rollcall
# `docker compose exec rollcall rollcall …`, as in a checkout.
RUN printf '#!/bin/sh\nexec python -m app "$@"\n' > /usr/local/bin/rollcall \
 && chmod 755 /usr/local/bin/rollcall

# NVIDIA_*: read by the container toolkit where a GPU is reserved, by nobody elsewhere.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    ROLLCALL_HOST=0.0.0.0 \
    ROLLCALL_PORT=8000 \
    ROLLCALL_DATA_DIR=/data
WORKDIR /srv/rollcall
USER 10001:10001
VOLUME /data
EXPOSE 8000
# http.client, since urllib would follow a proxy named in the environment.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 8000, timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
CMD ["python", "-m", "app", "serve"]
