# The image of an algorithm: `docker build --build-arg ALGORITHM=my_algorithm/ -t my-algorithm .`
# The same image trains (`docker run IMAGE train`) and serves (`docker run IMAGE serve`).
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS builder
# sagemaker-training compiles a small helper; neither the compiler nor the headers reach the final stage.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev python3-dev python3-venv \
 && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/venv
# Dependencies first: they change seldom and are the bulk of the image. A CUDA build comes with --build-arg TORCH_INDEX=URL.
ARG TORCH_INDEX=""
COPY pyproject.toml constraints.txt /build/
RUN python3 -c "import tomllib; print(*tomllib.load(open('/build/pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
      > /build/requirements.txt \
 && /opt/venv/bin/pip install --no-cache-dir --no-compile --constraint /build/constraints.txt \
      ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} --requirement /build/requirements.txt
COPY .dockerignore Dockerfile README.md LICENSE /build/
COPY container /build/container
COPY cleanroom_algo /build/cleanroom_algo
RUN /opt/venv/bin/pip install --no-cache-dir --no-compile --no-deps /build
ARG ALGORITHM=examples/flight_delay
COPY ${ALGORITHM} /opt/algorithm
RUN if [ -f /opt/algorithm/requirements.txt ]; then \
      /opt/venv/bin/pip install --no-cache-dir --no-compile --constraint /build/constraints.txt \
        --requirement /opt/algorithm/requirements.txt; \
    fi
# sagemaker-training brings a `train` of its own; the clean room has no use for installers, tests and C headers, nor for
# the local clean room and its commands.
RUN rm -rf /opt/venv/bin/train /opt/venv/bin/cleanroom-algo \
      /opt/venv/lib/python3*/site-packages/cleanroom_algo/local /opt/venv/lib/python3*/site-packages/cleanroom_algo/cli \
 && /opt/venv/bin/python -m pip uninstall --yes --quiet setuptools pip \
 && rm -rf /opt/venv/lib/python3*/site-packages/torch/include \
 && find /opt/venv/lib/python3*/site-packages/torch/bin -type f ! -name torch_shm_manager -delete \
 && find /opt/venv -type d -name tests -prune -exec rm -rf {} +

FROM ${BASE_IMAGE}
# Process 1: passes signals on, and reaps what others leave; without it an orphan of a rank would stay until the end.
# Not tini: the SageMaker developer guide rules it out as an entrypoint.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends dumb-init \
 && rm -rf /var/lib/apt/lists/*
COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /opt/algorithm /opt/algorithm
COPY --chmod=755 container/train container/serve /usr/local/bin/
# /usr/local/bin comes first: its `train` and `serve` are the ones that the platform shall find.
ENV PATH=/usr/local/bin:/opt/venv/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin \
    CLEANROOM_ALGO_ALGORITHM=/opt/algorithm \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
# What changes most comes last.
ARG VERSION="" SCHEMA_HASH=""
LABEL org.opencontainers.image.title="cleanroom-algo algorithm" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      cleanroom-algo.schema-hash="${SCHEMA_HASH}"
# The platform's word, `train` or `serve`, is the program.
ENTRYPOINT ["/usr/bin/dumb-init", "--single-child", "--"]
CMD ["serve"]
