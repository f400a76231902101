"""Three months of the priced world, closed one after the other, with truth that comes late."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

from collectors.slurm.hosts import expand
from opsd.core import dossier
from opsd.core.agreements import Policy
from opsd.core.awards import Binding
from opsd.core.consortium import KINDS, Consortium
from opsd.core.dossier import Dossier
from opsd.core.errors import WrongUsage
from opsd.core.parties import Person
from opsd.core.period import DAY, HOUR, Window, parse_period, zone
from opsd.core.records import RunRecord
from opsd.core.shape import Inventory
from opsd.pipeline import close, rebuild
from opsd.pipeline.close import Means, Request, Result
from opsd.store import imports, parties
from opsd.store.editions import File
from opsd.store.engine import Store
from opsd.store.write import Writer
from tests.pipeline import priced_world

BASE = priced_world.BASE
ZONE = "Europe/Madrid"
MONTHS = ("2026-08", "2026-09", "2026-10")
SEEN = BASE + 60 * DAY
_EARLY = BASE - 90 * DAY


class World(NamedTuple):
    """What is known at first."""

    rows: list[RunRecord]
    known: Consortium


def window(period: str) -> Window:
    """A month of the book zone."""
    return parse_period(period, zone(ZONE))


def world(seed: int, runs: int = 90) -> World:
    """Runs of three months and awards that were there all along."""
    chance = random.Random(seed)
    made = priced_world.world(seed)
    rows = [_shifted(row, chance.choice((0, -29 * DAY, -58 * DAY))) for row in made.rows[:runs]]
    numbered = [row._replace(job_id=number, hash=number) for number, row in enumerate(rows, 1)]
    held = made.known
    known = Consortium.of(
        [
            *(item for kind in KINDS for item in held.items(kind)),
            *(replace(award, start=min(award.start, _EARLY)) for award in held.awards.values()),
        ],
        "Three months", ZONE,
    )  # fmt: skip
    bindings = tuple(
        replace(one, valid_from=_EARLY) if one.valid_from < BASE - 4 * DAY else one for one in known.bindings
    )
    return World(numbered, replace(known, bindings=bindings))


def _shifted(row: RunRecord, by: int) -> RunRecord:
    return row._replace(
        submit=row.submit + by,
        start=None if row.start is None else row.start + by,
        end=None if row.end is None else row.end + by,
    )


def stored(url: str, made: World) -> Store:
    """A database of it, read to its end."""
    store = priced_world.stored(url, (), made.known, priced_world.grants(made.known), SEEN)
    read(store, made.rows, made.known, SEEN)
    return store


def read(store: Store, rows: Sequence[RunRecord], known: Consortium, seen: int) -> None:
    """One reading of accounting."""
    with store.write() as connection:
        number = imports.open_import(connection, "test", seen, seen)
        Writer(connection, Inventory(known.node_classes, expand), number, seen).batch(connection, list(rows))
        imports.close_import(connection, number, seen)
    rebuild.run(store)


def longer(store: Store, made: World, period: str) -> None:
    """Every run that began in a month and has ended ends an hour later, as becomes known late."""
    month = window(period)
    rows = [
        row._replace(end=row.end + HOUR, hash=row.hash + 100_000)
        for row in made.rows
        if row.end is not None and month.start <= (row.start or 0) < month.end
    ]
    read(store, rows, made.known, SEEN + DAY)


def late(store: Store, made: World, chance: random.Random, turn: int) -> World:
    """Truth that comes late: runs that end otherwise, appear or move; accounts, people, prices that do."""
    rows = list(made.rows)
    changed = [
        _late_run(chance, rows, len(rows) + number, turn) for number in range(1, 1 + chance.randrange(12))
    ]
    by_id = {row.job_id: row for row in [*rows, *changed]}
    read(store, changed, made.known, SEEN + turn * DAY)
    known = _late_master(chance, made.known)
    with store.write() as connection:
        parties.save(connection, made.known, known)
    return World(list(by_id.values()), known)


def _late_run(chance: random.Random, rows: Sequence[RunRecord], number: int, turn: int) -> RunRecord:
    row = chance.choice(rows)
    what = chance.choice(("end", "tres", "account", "user", "new"))
    unique = {"hash": 10_000 * turn + number}
    if what == "new":
        return row._replace(job_id=number, **unique)
    if what == "tres":
        return row._replace(tres=chance.choice(rows).tres, **unique)
    if what == "account":
        return row._replace(account=chance.choice(("es-a", "es-b", "pt-a", "nobody")), **unique)
    if what == "user":
        return row._replace(user=chance.choice(("ana", "bruno", "carla")), **unique)
    end = (row.start or row.submit) + chance.choice((60, HOUR, DAY, 40 * DAY))
    return row._replace(end=end, state="COMPLETED", **unique)


def _late_master(chance: random.Random, known: Consortium) -> Consortium:
    what = chance.choice(("binding", "people", "policy", "award"))
    if what == "binding":
        held = tuple(b for b in known.bindings if (b.cluster, b.account) != ("mn5", "pt-a"))
        moved = Binding("mn5", "pt-a", chance.choice(("A1", "A2", "A3")), _EARLY)
        return replace(known, bindings=(*held, moved))
    if what == "people":
        held_people = tuple(person for person in known.people if person.user != "bruno")
        return replace(
            known, people=(*held_people, Person("bruno", chance.choice(("uni", "firm")), BASE - 9 * DAY))
        )
    if what == "award":
        end = chance.choice((None, BASE - 40 * DAY, BASE - 3 * DAY, BASE))
        return replace(known, awards={**known.awards, "A1": replace(known.awards["A1"], end=end)})
    weight = Fraction(chance.randrange(1, 9), 7)
    policies = tuple(
        replace(one, params=f'{{"weights":{{"a100":"1/3","h100":"{weight}"}}}}')
        if one.id == "weighed"
        else one
        for one in known.policies
    )
    return replace(known, policies=tuple(Policy(**_fields(one)) for one in policies))


def _fields(one: Policy) -> dict[str, object]:
    return {name: getattr(one, name) for name in Policy.__slots__}


def render(made: Dossier) -> tuple[File, ...]:
    """A file without a format, for tests of what is frozen, not of how it is written."""
    text = "\n".join(f"{kind} {text}" for kind, text in dossier.records(made))
    return (File(f"opsd-{made.span.text}.txt", text.encode()),)


MEANS = Means(render, "c" * 64, "d" * 64, "0")


_acknowledged: dict[str, tuple[str, ...]] = {}  # what was seen to stand against a month


def closed(store: Store, period: str, *, means: Means = MEANS, **more: object) -> Result:
    """Close a month with everything acknowledged that stands against it."""
    at = window(period).end + 5 * DAY
    asked = Request(period, "Ana", "month end", acknowledged=_acknowledged.get(period, ()), **more)  # type: ignore[arg-type]
    try:
        found = close.run(store, asked, means, now=at)
    except WrongUsage:  # something seen before does not stand against it now
        asked = replace(asked, acknowledged=())
        found = close.run(store, asked, means, now=at)
    if found.prepared is None or not found.prepared.missing:
        return found
    _acknowledged[period] = tuple(concern.name for concern in found.prepared.dossier.concerns)
    return close.run(store, replace(asked, acknowledged=_acknowledged[period]), means, now=at)
