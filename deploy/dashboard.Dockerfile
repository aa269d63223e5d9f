# The console: no torch. It has no login; put it behind something that has.
FROM python:3.12-slim
WORKDIR /app
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY barber barber
COPY workers workers
COPY dashboard dashboard
RUN pip install --no-cache-dir -c constraints.txt ".[dashboard]" \
    && useradd --uid 1000 --create-home barber \
    && install -d -o barber -g barber /var/lib/barber
USER barber
EXPOSE 8000
ENTRYPOINT ["python", "-m", "dashboard", "--host", "0.0.0.0", "--port", "8000"]
