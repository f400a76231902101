"""Tables of use: the same quantity is the same number in each."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from opsd.core.attribution import UNATTRIBUTED
from opsd.pipeline.usage import Measures, Row
from opsd.web import use

SECONDS = st.integers(0, 20_000)
MEASURES = st.builds(Measures, st.just(1), SECONDS, SECONDS, SECONDS)
KEYS = st.one_of(
    st.just((UNATTRIBUTED,) * 3),
    st.tuples(*map(st.sampled_from, (["ES", "PT", "JU"], ["ES", "PT", "TR"], ["a", "b", "c"]))),
)
ROWS = st.dictionaries(KEYS, MEASURES, max_size=12).map(
    lambda found: [Row(key, measures) for key, measures in found.items()]
)


@given(ROWS, ROWS)
def test_tables_agree_on_the_total_and_on_what_is_nobodys(now: list[Row], before: list[Row]) -> None:
    """The other lines add up to the total all the same, and are less than an hour off."""
    leads, pays = use.leads(now, before), use.pays(now, before, {})

    assert leads.total == pays.total
    assert [line.figures for line in leads.lines if line.nobody] == [
        line.figures for line in pays.lines if line.nobody
    ]
    for table in (leads, pays):
        shown = [line.shown for line in table.lines if not line.pool]
        totals = [figure.text.replace(",", "").replace("<1", "0") for figure in table.total]
        assert shown == [] or list(map(int, totals)) == [sum(column) for column in zip(*shown, strict=True)]
        for line in table.lines:
            exact = [int(figure.exact.split()[0].replace(",", "")) for figure in line.figures]
            assert all(abs(hours * 3600 - it) < 3600 for hours, it in zip(line.shown, exact, strict=True))


def test_a_little_is_not_nothing() -> None:
    """Ten minutes of nobody's are no zero."""
    (line,) = use.leads([Row((UNATTRIBUTED,) * 3, Measures(1, 600, 600, 600))], []).lines

    assert "<1" == line.figures[0].text
    assert "0" == line.figures[3].text
