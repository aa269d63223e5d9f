from __future__ import annotations

from tests.support.postgres import database_url, engine, roaming_engine, server_url, settings

__all__ = ["database_url", "engine", "roaming_engine", "server_url", "settings"]
