# Runs stages: needs torch. Give it GPUs by compose or `--gpus all`, and `--devices all`. Stop it
# with time: `docker stop -t 90` for a BARBER_DRAIN_S of 60; exit code 0 says that all was handed back.
FROM python:3.12-slim
WORKDIR /app
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY barber barber
COPY workers workers
COPY dashboard/__init__.py dashboard/__init__.py
RUN pip install --no-cache-dir -c constraints.txt ".[workers]" \
    && useradd --uid 1000 --create-home barber \
    && install -d -o barber -g barber /var/lib/barber
USER barber
ENTRYPOINT ["barber", "worker"]
CMD ["--device", "cpu"]
