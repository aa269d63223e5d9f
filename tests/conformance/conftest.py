from __future__ import annotations

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# Another folder of the same form, with its own salt, can be named in the environment.
VECTORS = Path(os.environ.get("BARBER_VECTORS") or HERE / "vectors")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.conformance)
