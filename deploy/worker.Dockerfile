# Runs stages: needs torch. Give it a GPU by compose or `--gpus`, and BARBER_DEVICE=cuda:0.
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
ENTRYPOINT ["python", "-m", "workers.worker"]
CMD ["--queues", "gpu", "--name", "gpu-0"]
