# Brings the database to the code's shape, once per release, before everything else starts.
FROM python:3.12-slim
WORKDIR /app
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY barber barber
COPY workers/__init__.py workers/__init__.py
COPY dashboard/__init__.py dashboard/__init__.py
COPY migrations migrations
RUN pip install --no-cache-dir -c constraints.txt ".[migrate]" \
    && useradd --uid 1000 --create-home barber
USER barber
ENTRYPOINT ["alembic", "upgrade", "head"]
