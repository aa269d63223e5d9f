"""The faults that `make mutants` plants are still changes of the catalogue as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

import barber.catalogue
from tests.model.faults import FAULTS, Fault

CATALOGUE = Path(barber.catalogue.__file__).parent


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_can_be_planted(fault: Fault) -> None:
    for module in fault.modules:
        source = (CATALOGUE / f"{module}.py").read_text("utf-8")
        planted = fault.planted(module, source)
        assert planted != source
        compile(planted, module, "exec")
