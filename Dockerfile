# reprbench in a container, for a CPU, or for NVIDIA GPUs with --build-arg TORCH=cu126:
#
#   docker build --tag reprbench .
#   docker run --rm --volume "$PWD:/work" --volume /path/to/data:/data:ro reprbench run --benchmark quick

FROM python:3.12.8-slim-bookworm AS build
WORKDIR /source
RUN python -m pip install --no-cache-dir build==1.2.2.post1
COPY pyproject.toml MANIFEST.in README.md LICENSE CHANGELOG.md CITATION.cff ./
COPY reprbench reprbench
COPY methods methods
COPY benchmarks benchmarks
RUN python -m build --wheel --outdir /dist

FROM python:3.12.8-slim-bookworm
# The builds of torch: cpu, or a version of CUDA, such as cu126, which brings its own libraries.
ARG TORCH=cpu
RUN python -m pip install --no-cache-dir torch torchvision --index-url "https://download.pytorch.org/whl/${TORCH}"
RUN --mount=type=bind,from=build,source=/dist,target=/dist python -m pip install --no-cache-dir /dist/*.whl

# With `--user` it may run as anyone, who then has no home; matplotlib keeps its list of fonts elsewhere.
ENV REPRBENCH_DATA=/data MPLCONFIGDIR=/tmp/matplotlib
RUN useradd --create-home --uid 1000 reprbench && install --directory --owner=reprbench /work /data
USER reprbench
# Below /work: the store in results, the cache in .reprbench. In /data: the datasets.
WORKDIR /work
VOLUME ["/work", "/data"]
ENTRYPOINT ["reprbench"]
CMD ["--help"]
