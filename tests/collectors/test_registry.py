"""The table of collectors names what there is."""

from __future__ import annotations

import pytest

from collectors import registry
from collectors.protocol import AccountingSource


@pytest.mark.parametrize("row", registry.COLLECTORS, ids=lambda row: row.name)
def test_every_row_leads_to_a_source(row: registry.Collector) -> None:
    """Its module has a class of that name, which answers every question of an ingest."""
    source = registry.loaded(row.accounting)
    questions = [name for name in vars(AccountingSource) if not name.startswith("_")]

    assert ["prove", "changed", "runs"] == questions
    assert [] == [name for name in questions if not callable(getattr(source, name, None))]
