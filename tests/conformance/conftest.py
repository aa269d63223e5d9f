from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.conformance.vectors import VectorSet

HERE = Path(__file__).parent
OWN = HERE / "vectors"
# Another folder of the same form, with its own salt, can be named in the environment.
VECTORS = Path(os.environ.get("BARBER_VECTORS") or OWN)

# Arrays of the project's set that need no network.
FEW_FILE, FEW_NAMES = "masks.npz", ("morph_in", "dilate_1", "erode_5", "dilate_3")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.conformance)


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """A set of a few arrays that need no network."""
    own = VectorSet(OWN)
    facts = {name: own.files[FEW_FILE]["arrays"][name] for name in FEW_NAMES}
    manifest = {"format": 1, "set": "few", "salt": own.salt, "files": {FEW_FILE: {"arrays": facts}}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    arrays = {name: own.array(FEW_FILE, name) for name in FEW_NAMES}
    np.savez_compressed(tmp_path / FEW_FILE, **arrays)
    return tmp_path
