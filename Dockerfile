# The image of every worker and of the API; docker-compose.yml says which of them a container is.
FROM python:3.11-slim-bookworm

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/throughline app \
    && install -d -o app -g app -m 0700 /var/lib/throughline
ENV THROUGHLINE_HOME=/var/lib/throughline
WORKDIR /app

COPY requirements.lock pyproject.toml README.md LICENSE ./
RUN pip install --require-hashes -r requirements.lock

COPY domain domain
COPY eventlog eventlog
COPY intake intake
COPY workflows workflows
COPY activities activities
COPY projections projections
COPY workers workers
COPY api api
COPY simulation simulation
COPY policies policies
RUN PYTHONWARNINGS=ignore pip install --no-deps --no-build-isolation --editable .

USER 10001:10001
ENTRYPOINT ["throughline"]
CMD ["--help"]
