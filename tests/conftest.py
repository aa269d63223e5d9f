"""The order of the tests: files that take long come first.

Whole files go to whoever is free (`--dist loadfile`), so one that takes long and comes last has the
others wait for it.
"""

from __future__ import annotations

import pytest

# Roughly by their time on a quiet machine, the longest first; all others follow as they come.
LONG = (
    "test_vectors",
    "test_standalone",
    "test_workers_life",
    "test_brokers",
    "test_failure_matrix",
    "test_chaos",
    "test_replay",
    "test_resume",
    "test_model",
    "test_workers_jobs",
    "test_workers_recovery",
    "test_catalogue_plans",
    "test_workers_bundles",
    "test_job_live",
    "test_accessibility",
    "test_submit_and_watch",
    "test_evaluate",
    "test_bad_messages",
    "test_workers_dispatcher",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))
