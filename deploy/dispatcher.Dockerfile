# Decides what is due and publishes it; also serves the queue of fan-ins. No torch. (scipy: `barber`.)
FROM python:3.12-slim
WORKDIR /app
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY barber barber
COPY workers workers
COPY dashboard/__init__.py dashboard/__init__.py
RUN pip install --no-cache-dir -c constraints.txt ".[dashboard]" scipy \
    && useradd --uid 1000 --create-home barber \
    && install -d -o barber -g barber /var/lib/barber
USER barber
ENTRYPOINT ["python", "-m", "workers.dispatcher"]
