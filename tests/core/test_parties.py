"""Master data checks itself: a wrong value names its field and what to write."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given

from opsd.core.agreements import Funder, Pool
from opsd.core.awards import Award, Binding, Project
from opsd.core.consortium import Consortium
from opsd.core.fields import COUNTRIES, LATEST, BadField
from opsd.core.parties import AccountHint, Contact, NodeClass, Organisation, Person, UnitTable
from opsd.core.period import HOUR
from tests.fakes.consortia import CONSORTIA, award, consortium


def test_countries_are_the_assigned_codes() -> None:
    """249 codes are assigned; EU and UK are not among them, Türkiye's code is TR."""
    assert len(COUNTRIES) == 249
    assert {"ES", "PT", "TR", "RO"} < COUNTRIES
    assert COUNTRIES.isdisjoint({"EU", "UK", "JU", "TU"})


WRONG: list[tuple[str, Callable[[], object]]] = [
    ("country", lambda: Organisation("o", "O", "EU")),
    ("country", lambda: Organisation("o", "O", "es")),
    ("kind", lambda: Organisation("o", "O", "ES", "company")),
    ("id", lambda: Organisation("unattributed", "O", "ES")),
    ("id", lambda: Award(**{**_award(), "id": "after-end:a"})),
    ("id", lambda: Pool(" ju", "f")),
    ("id", lambda: Project("", "T", "o")),
    ("name", lambda: Organisation("o", "two\nlines", "ES")),
    ("country", lambda: Funder("f", "F", "ju", "ES")),
    ("kind", lambda: Funder("f", "F", "country")),
    ("amount_meur", lambda: Funder("f", "F", "state", "ES", amount_meur=Decimal("NaN"))),
    ("amount_meur", lambda: Funder("f", "F", "state", "ES", amount_meur=Decimal("1e999999"))),
    ("amount_meur", lambda: Funder("f", "F", "state", "ES", amount_meur=Decimal(-1))),
    ("cpus", lambda: NodeClass("c", "n", cores=80, cpus=40)),
    ("gpu_class", lambda: NodeClass("c", "n", gpus=0, gpu_class="h100")),
    ("gpus", lambda: NodeClass("c", "n", gpus=-1)),
    ("partitions", lambda: NodeClass("c", "n", partitions=("a,b",))),
    ("partitions", lambda: NodeClass("c", "n", partitions=("a", "a"))),
    ("until", lambda: NodeClass("c", "n", valid_from=HOUR, valid_until=0)),
    ("gpu_hours", lambda: UnitTable("c", "n", gpu_hours=Fraction(-1))),
    ("from", lambda: Person("u", "o", valid_from=LATEST)),
    ("from", lambda: Binding("c", "a", "x", 1800)),
    ("until", lambda: Binding("c", "a", "x", 0, 1801)),
    ("email", lambda: Contact("k", "K", email="not an address")),
    ("prefix", lambda: AccountHint("", "nothing")),
    ("amount", lambda: Award(**{**_award(), "amount": Fraction(-1)})),
    ("amount", lambda: Award(**{**_award(), "amount": Fraction(1, 3 * 10**12)})),
    ("unit", lambda: Award(**{**_award(), "unit": "gpu-days"})),
    ("end", lambda: Award(**{**_award(), "end": 0})),
    ("thresholds", lambda: Award(**{**_award(), "thresholds": (95, 80)})),
    ("grace_days", lambda: Award(**{**_award(), "grace_days": -1})),
]


def _award() -> dict[str, object]:
    good = award("a")
    return {name: getattr(good, name) for name in Award.__dataclass_fields__}


@pytest.mark.parametrize(("field", "build"), WRONG)
def test_names_the_field(field: str, build: Callable[[], object]) -> None:
    """Each wrong value is refused under the name of its field, with a remedy or an allowed list."""
    with pytest.raises(BadField) as caught:
        build()
    assert field == caught.value.field


def test_threads_per_core() -> None:
    """Slurm CPUs over cores, exact; unknown while either count is."""
    assert Fraction(2) == NodeClass("c", "n", cores=80, cpus=160).threads_per_core
    assert NodeClass("c", "n", cores=80).threads_per_core is None


def test_order_does_not_matter() -> None:
    """The same items in any order make equal consortia."""
    items = [award("b"), award("a"), Person("u", "uv"), Person("a", "uv")]
    assert consortium(*items) == consortium(*reversed(items))


@given(CONSORTIA)
def test_gathering_is_idempotent(held: Consortium) -> None:
    """Taking a consortium apart and gathering it again changes nothing."""
    from opsd.core.consortium import KINDS

    items = [item for kind in KINDS for item in held.items(kind)]
    settings = (held.name, held.book_zone, held.second_person, held.smallest_group)
    assert held == Consortium.of(items, *settings)


def test_hints_take_the_longest_prefix() -> None:
    """`eporaif07` is the AI Factory's, though `epor` fits as well; unknown prefixes say nothing."""
    held = consortium(AccountHint("epor", "Portugal"), AccountHint("eporaif", "AI Factory"))
    assert [held.hint("eporaif07"), held.hint("epor48"), held.hint("bsc32")] == ["AI Factory", "Portugal", ""]


def test_versions_by_date() -> None:
    """A node class is found by the instant asked for."""
    old, new = NodeClass("x", "n", 0, HOUR, gpus=2), NodeClass("x", "n", HOUR, gpus=4)
    held = Consortium.of([old, new])
    assert [old, new, None] == [
        held.node_class("x", "n", HOUR - 1), held.node_class("x", "n", HOUR), held.node_class("x", "m", HOUR)
    ]  # fmt: skip
