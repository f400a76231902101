"""The simulated consortium: complete, sound, and with a story to tell."""

from __future__ import annotations

import tomllib
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import pytest

from collectors.consortium.document import read
from collectors.simulated.factory import history
from collectors.simulated.grants import Grant, grants
from collectors.simulated.organisations import BY_ID, ORGANISATIONS, PEOPLE, STRANGERS
from collectors.simulated.projects import EVERYBODY, PROJECTS, UNBOUND
from collectors.simulated.scheduler import Run
from collectors.slurm import hosts
from opsd.core.soundness import check

HOUR = 3600


@pytest.fixture(scope="module")
def raw(toml: str) -> dict[str, Any]:
    """The file as TOML says it."""
    return tomllib.loads(toml)


def test_the_file_is_read_by_the_real_reader_and_fits_together(toml: str) -> None:
    """No unknown key, no dangling name, no overlap, no node in two classes."""
    held = read(toml, "consortium.toml")
    assert [] == [str(problem) for problem in check(held, hosts.expand)]
    assert held.book_zone == "Europe/Madrid"


def test_the_tables_name_only_each_other() -> None:
    """Every lead and partner exists; user names are unique."""
    named = {name for project in EVERYBODY for name in (project.lead, *project.partners)}
    assert named == {organisation.id for organisation in ORGANISATIONS}
    assert len({person.user for person in PEOPLE}) == len(PEOPLE)
    assert len({project.account for project in EVERYBODY}) == len(EVERYBODY)


def test_there_is_something_of_everything(raw: dict[str, Any]) -> None:
    """Countries, kinds, sectors, pools, modes, units: what reports will be cut by."""
    assert {"ES", "PT", "TR", "RO"} == {row["country"] for row in raw["organisation"]}
    assert len({row["sector"] for row in raw["organisation"]}) == 7
    assert len({row["kind"] for row in raw["organisation"]}) >= 5
    assert len({row["pool"] for row in raw["award"]}) == 7
    assert len({row["mode"] for row in raw["award"]}) == 5
    assert {"gpu-hours", "node-hours", "core-hours"} == {row["unit"] for row in raw["award"]}
    assert len({row["policy"] for row in raw["award"]}) == len(raw["policy"])
    names = "".join(row["name"] for row in raw["organisation"])
    assert set("ñçğışțăö") <= set(names.lower())


def test_bindings_stand_on_whole_hours(raw: dict[str, Any]) -> None:
    """And one account changes its award inside the period, not at a midnight."""
    moments = [row[key] for row in raw["binding"] for key in ("from", "until") if key in row]
    assert all(int(moment.timestamp()) % HOUR == 0 for moment in moments)
    assert any(moment.hour for moment in moments)


def test_one_account_and_some_users_are_nobodys(raw: dict[str, Any], rows: list[dict[str, str]]) -> None:
    """They must come out as unattributed."""
    assert {row["account"] for row in raw["binding"]} == {project.account for project in PROJECTS}
    assert {row["Account"] for row in rows} - {row["account"] for row in raw["binding"]} == {UNBOUND.account}
    strangers = {row["User"] for row in rows} - {row["user"] for row in raw["person"]}
    assert strangers
    assert strangers <= set(STRANGERS)


def test_who_pays_leads_and_uses_differ(runs: Sequence[Run]) -> None:
    """Three countries, and many runs in which no two of them agree."""
    paid = {"spain": "ES", "generalitat": "ES", "portugal": "PT", "turkiye": "TR", "romania": "RO"}
    home = {person.user: BY_ID[person.organisation].country for person in PEOPLE if person.organisation}
    of = {project.account: project for project in PROJECTS}
    seen = Counter(
        (
            paid.get(of[run.request.account].pool.removesuffix("-aif"), "JU"),
            BY_ID[of[run.request.account].lead].country,
            home.get(run.request.user, "?"),
        )
        for run in runs
        if run.request.account in of
    )
    assert sum(count for (_, leads, uses), count in seen.items() if leads != uses) > 2_000
    assert {leads for pays, leads, _ in seen if pays == "JU"} == {"ES", "PT", "TR", "RO"}


def test_use_goes_on_after_some_awards_ended(runs: Sequence[Run], until: int) -> None:
    """Three awards end inside the period and their accounts are used afterwards."""
    ended = [grant for grant in grants(runs, until, 1) if grant.end < until and grant.bound_until is None]
    assert len(ended) == 3
    for grant in ended:
        later = [run for run in runs if run.request.account == grant.project.account]
        assert any(run.start is not None and run.start > grant.end for run in later)


@pytest.mark.parametrize("seed", [1, 7])
def test_the_story_is_the_same_for_any_seed(seed: int, until: int) -> None:
    """Two over quota, three past 95 %, several past 80 %, one hardly used, the others healthy."""
    history_of_seed = history(until, seed)
    held = grants(history_of_seed, until, seed)
    used = {grant.award: _used(grant, history_of_seed, until) for grant in held}
    assert sum(part > 1 for part in used.values()) == 2
    assert sum(0.95 < part <= 1 for part in used.values()) == 3
    assert sum(0.8 < part <= 0.95 for part in used.values()) >= 5
    assert sum(part < 0.02 for part in used.values()) == 1
    assert sum(0.2 < part < 0.75 for part in used.values()) >= 45


def _used(grant: Grant, runs: Sequence[Run], until: int) -> float:
    """The part used, for GPU-hours counted here anew; for other units as the grant was made."""
    if grant.policy != "gpu-hours":
        return grant.used
    seconds: dict[str, int] = defaultdict(int)
    for run in runs:
        if run.request.account == grant.project.account and run.start is not None:
            begin = max(run.start, run.request.submit, grant.bound_from)
            end = min(run.end or until, grant.bound_until or until, grant.end)
            shape = run.request.shape
            part = "upg" if shape.gpu_type.startswith("b200") else ""
            seconds[part] += max(0, end - begin) * shape.nodes * shape.gpus
    apart = grant.project.account in ("ehpc237", "eporaif03")
    counted = seconds[""] if apart else sum(seconds.values())
    return counted / 3600 / grant.amount
