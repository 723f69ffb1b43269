# The image of an algorithm: `docker build --build-arg ALGORITHM=my_algorithm/ --tag my-algorithm .`
# The same image trains (`docker run IMAGE train`) and serves (`docker run IMAGE serve`).
ARG PYTHON_VERSION=3.11
# An image based on Debian or Ubuntu, by name or digest. If it has no Python, that of its distribution is installed.
ARG BASE_IMAGE=python:${PYTHON_VERSION}-slim-bookworm

FROM ${BASE_IMAGE} AS base
RUN command -v python3 >/dev/null || { \
      apt-get update && apt-get install --yes --no-install-recommends python3 && rm -rf /var/lib/apt/lists/*; \
    }

FROM base AS builder
# sagemaker-training compiles a small helper; neither the compiler nor the installer reaches the final stage.
RUN headers=$(python3 -c "import sysconfig; print(sysconfig.get_path('include'))") \
 && [ -f "$headers/Python.h" ] || own="python3-dev python3-venv" \
 && apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev $own && rm -rf /var/lib/apt/lists/*
RUN python3 -c "import sys; sys.exit('Python 3.11 or later is needed' if sys.version_info < (3, 11) else 0)" \
 && python3 -m venv /opt/tools && python3 -m venv --without-pip /opt/venv
# Only `tidy` writes bytecode: other bytecode records the date of its source, and is stale as soon as dates are set.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1
# Keep the name of the build folder, which differs each time, out of compiled files: same sources, same image.
ENV CFLAGS=-g0 LDFLAGS=-Wl,--build-id=none
# Dependencies first: they change seldom and are the bulk of the image. Every file is checked against its hash.
COPY container/tidy container/locks /build/
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/tools/bin/pip install --require-hashes --requirement /build/build.txt
# cpu, cuda or none. If not given: cpu if an index that can be reached has that build, else cuda.
ARG TORCH="" TORCH_INDEX=""
RUN --mount=type=cache,target=/root/.cache/pip \
    fetch() { \
      /opt/tools/bin/pip wheel --no-deps --no-build-isolation --require-hashes --wheel-dir /build/wheels \
        ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} --requirement "$1"; \
    }; \
    torch=$TORCH; \
    if [ -z "$torch" ]; then \
      sed -n '/^torch=/,/[^\\]$/p' /build/cpu.txt > /build/torch.txt; \
      if fetch /build/torch.txt; then torch=cpu; \
      else torch=cuda; echo "No torch without CUDA for this Python within reach: taking the one with it, some GB."; fi; \
    fi; \
    fetch "/build/$torch.txt" \
 && sed -n '/==/s/ *\\$//p' "/build/$torch.txt" > /build/versions.txt \
 && PIP_CONFIG_FILE=/dev/null /opt/tools/bin/pip --python /opt/venv/bin/python install --no-compile --no-deps \
      --no-index --find-links /build/wheels --requirement /build/versions.txt \
 && rm -r /build/wheels \
 && echo /opt/library > "$(/opt/venv/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/library.pth" \
 && sh /build/tidy /opt/venv
# What the algorithm needs besides: the packages in its requirements.txt are not locked here.
ARG ALGORITHM=examples/flight_delay
COPY container/train ${ALGORITHM}/requirements.tx[t] /build/algorithm/
RUN --mount=type=cache,target=/root/.cache/pip \
    if [ -f /build/algorithm/requirements.txt ]; then \
      /opt/tools/bin/pip --python /opt/venv/bin/python install --no-compile --constraint /build/versions.txt \
        --requirement /build/algorithm/requirements.txt \
      && sh /build/tidy /opt/venv; \
    fi

# This library, last and in a folder of its own: if it changes, the layers of the dependencies are used again.
COPY .dockerignore Dockerfile README.md LICENSE pyproject.toml constraints.txt /build/
COPY container /build/container
COPY cleanroom_algo /build/cleanroom_algo
RUN /opt/tools/bin/pip install --no-compile --no-deps --no-build-isolation --no-index --target /opt/library /build \
 && rm -rf /opt/library/bin /opt/library/cleanroom_algo/local /opt/library/cleanroom_algo/cli \
 && PYTHONHASHSEED=0 /opt/venv/bin/python -m compileall -q -f --invalidation-mode unchecked-hash /opt/library \
 && find /opt/library -exec touch --no-dereference --date=@0 {} +

FROM base
COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /opt/library /opt/library
ARG ALGORITHM=examples/flight_delay
COPY --chmod=755 container/start container/train container/serve ${ALGORITHM}/apt.tx[t] /usr/local/bin/
# System libraries that the packages of the algorithm need, such as libgomp1.
RUN cd /usr/local/bin; \
    if [ -f apt.txt ]; then \
      apt-get update && xargs apt-get install --yes --no-install-recommends < apt.txt \
      && rm -rf apt.txt /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache; \
    fi
# /opt/venv/bin first: a base image may have a Python of its own in /usr/local/bin, without the packages.
ENV PATH=/opt/algorithm:/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    CLEANROOM_ALGO_ALGORITHM=/opt/algorithm \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
# Process 1 passes signals on and reaps orphans; without it, an orphan of a rank would stay until the end. It is not
# tini: the SageMaker developer guide rules it out as an entrypoint.
ENTRYPOINT ["/opt/venv/bin/dumb-init", "--single-child", "--", "/usr/local/bin/start"]
CMD ["serve"]
# Last, because it changes most often.
COPY ${ALGORITHM} /opt/algorithm
ARG BASE_IMAGE VERSION="" SCHEMA_HASH=""
LABEL org.opencontainers.image.title="cleanroom-algo algorithm" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE_IMAGE}" \
      org.opencontainers.image.version="${VERSION}" \
      cleanroom-algo.schema-hash="${SCHEMA_HASH}"
