"""The simulated factory's master data as the text of a consortium file.

Invariant: everything the accounting text mentions is here, but for one account nobody has bound and
a few users nobody knows: those must come out as unattributed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime

from collectors.simulated import agreements, organisations, projects
from collectors.simulated.agreements import Row, Value
from collectors.simulated.grants import DAYS_TO_REPORT, POLICY, UPGRADE_POLICY, Grant
from collectors.simulated.machine import PARTITIONS, Partition, host_list
from collectors.simulated.projects import CORE_HOURS, GPU_HOURS, LARGEST_SHARE, WHOLE_NODES
from collectors.simulated.rhythm import DAY, HOUR, LENGTH
from collectors.simulated.text import CLUSTER

FUNDERS: tuple[Row, ...] = (
    {"id": "eurohpc", "name": "European joint undertaking (simulated)", "kind": "ju"},
    {"id": "spain", "name": "Spain (simulated)", "kind": "state", "country": "ES"},
    {
        "id": "generalitat",
        "name": "Generalitat (simulated)",
        "kind": "region",
        "country": "ES",
        "parent": "spain",
    },
    {"id": "portugal", "name": "Portugal (simulated)", "kind": "state", "country": "PT"},
    {"id": "turkiye", "name": "Türkiye (simulated)", "kind": "state", "country": "TR"},
    {"id": "romania", "name": "România (simulated)", "kind": "state", "country": "RO"},
)
POOLS = (
    ("ju", "eurohpc", "JU share of the AI Factory"),
    ("spain", "spain", "State share"),
    ("generalitat", "generalitat", "Catalan share"),
    ("portugal", "portugal", "National share"),
    ("portugal-aif", "portugal", "AI Factory share"),
    ("turkiye", "turkiye", "National share"),
    ("romania", "romania", "AI Factory share"),
)
PROJECT_ID = {
    "ju": "EHPC-AIF-2026{mode}01-{serial}",
    "spain": "ES-AIF-2026-{account}",
    "generalitat": "CAT-AIF-2026-{account}",
    "portugal": "2026.00{serial}.CPCA",
    "portugal-aif": "2026.00{serial}.AIFPT",
    "turkiye": "TR-2026-{serial}",
    "romania": "RO-AIF-2026-{serial}",
}
POLICIES: tuple[Row, ...] = (
    {"id": POLICY[GPU_HOURS], "rule": "gpu_hours"},
    {
        "id": UPGRADE_POLICY,
        "rule": "gpu_hours",
        "weights": {"b200": "1.5", "b200_3g.90gb": "0.75"},
    },
    {"id": POLICY[WHOLE_NODES], "rule": "node_hours", "mode": "whole"},
    {"id": POLICY[LARGEST_SHARE], "rule": "node_hours", "mode": "largest-share"},
    {"id": POLICY[CORE_HOURS], "rule": "core_hours"},
)
HINTS = (
    ("ehpc", "JU share"),
    ("etur", "Türkiye's share"),
    ("epor", "Portugal's share of the base machine"),
    ("eporaif", "Portugal's share of the AI Factory"),
    ("erou", "Romania's share"),
)
CONTACTS = (
    ("eurohpc", "Programme office", "en"),
    ("spain", "Oficina de la Factoría", "es"),
    ("generalitat", "Oficina de la Fàbrica", "ca"),
    ("portugal", "Gabinete da Fábrica", "pt"),
    ("turkiye", "Fabrika Ofisi", "tr"),
    ("romania", "Biroul Fabricii", "ro"),
)
# Of these organisations it is known who leads their projects; the others' research offices are written to.
LEADS_KNOWN = {
    "univ-castronuelo": "Íñigo Muñoz Peñalba",
    "upc-valldonella": "Núria Güell i Façana",
    "cierzonorte": "Begoña Ibáñez",
    "tramuntal": "Laia Puigdevall",
}
STRICT = ("albs03-a",)  # an award that warns early


def toml(grants: list[Grant], until: int) -> str:
    """The whole file."""
    blocks = ['[consortium]\nname = "Simulated AI factory"\nbook_zone = "Europe/Madrid"\n']
    blocks += [_block(table, row) for table, rows in _tables(grants, until) for row in rows]
    return "\n".join(blocks)


def _tables(grants: list[Grant], until: int) -> Iterator[tuple[str, Iterable[Row]]]:
    yield "cluster", [{"id": CLUSTER, "name": "A machine that does not exist"}]
    yield "node_class", map(_node_class, PARTITIONS)
    yield "unit_table", map(_unit_table, PARTITIONS)
    yield "organisation", map(_organisation, organisations.ORGANISATIONS)
    yield "person", _people(until)
    yield "funder", FUNDERS
    yield "pool", map(_pool, POOLS)
    yield "project", map(_project, projects.PROJECTS)
    yield "policy", POLICIES
    yield "award", map(_award, grants)
    yield "binding", map(_binding, grants)
    yield from agreements.tables()
    yield "contact", _contacts()
    yield "account_hint", [{"prefix": prefix, "meaning": meaning} for prefix, meaning in HINTS]


def _node_class(partition: Partition) -> Row:
    row: Row = {
        "cluster": CLUSTER,
        "id": partition.name,
        "nodes": host_list(partition, tuple(range(partition.nodes))),
        "partitions": [partition.name],
        "cores": partition.cores,
        "cpus": partition.cpus,
        "mem_mb": partition.mem_mb,
        "gpus": partition.gpus,
    }
    return row | ({"gpu_class": partition.gpu_type} if partition.gpus else {})


def _unit_table(partition: Partition) -> Row:
    return {
        "cluster": CLUSTER,
        "node_class": partition.name,
        "gpu_hours": partition.gpus,
        "core_hours": partition.cores,
        "cpu_hours": partition.cpus,
        "khours": f"{partition.cores / 1000:.3f}",
        "source": "invented for the demonstration",
    }


def _pool(row: tuple[str, str, str]) -> Row:
    name, funder, title = row
    aid: Row = {"aid_rule": agreements.DE_MINIMIS} if name in agreements.AID_POOLS else {}
    return {"id": name, "funder": funder, "name": title, **aid}


def _organisation(it: organisations.Organisation) -> Row:
    return {"id": it.id, "name": it.name, "country": it.country, "kind": it.kind, "sector": it.sector}


def _people(until: int) -> Iterator[Row]:
    """Everybody's home; one person changes employer inside the period."""
    known = [person for person in organisations.PEOPLE if person.organisation]
    mover = organisations.staff("univ-castronuelo")[0]
    moves = _day((until - LENGTH // 3) // DAY)
    for person in known:
        row: Row = {"user": person.user, "organisation": person.organisation}
        yield row | ({"until": moves} if person.user == mover else {})
    yield {"user": mover, "organisation": "lusomente", "from": moves}


def project_id(it: projects.Project) -> str:
    """An identifier in the style of the body that pays."""
    serial = "".join(filter(str.isdigit, it.account)).rjust(3, "0")
    mode = next(code for code, name in projects.MODES.items() if name == it.mode)
    return PROJECT_ID[it.pool].format(mode=mode, serial=serial, account=it.account.upper())


def _project(it: projects.Project) -> Row:
    commercial = organisations.BY_ID[it.lead].kind == "large-company"
    purpose = "commercial" if commercial else "research"
    return {"id": project_id(it), "title": it.title, "organisation": it.lead, "purpose": purpose}


def _award(it: Grant) -> Row:
    row: Row = {
        "id": it.award,
        "project": project_id(it.project),
        "pool": it.project.pool,
        "amount": it.amount,
        "unit": it.unit,
        "start": _moment(it.start),
        "end": _moment(it.end),
        "policy": it.policy,
        "mode": it.project.mode,
        "report_due": _moment(it.end + DAYS_TO_REPORT * DAY),
    }
    return row | ({"thresholds": [50, 80, 100], "grace_days": 14} if it.award in STRICT else {})


def _binding(it: Grant) -> Row:
    row: Row = {
        "cluster": CLUSTER,
        "account": it.project.account,
        "award": it.award,
        "from": _moment(it.bound_from),
    }
    ended: Row = {"until": _moment(it.bound_until)} if it.bound_until else {}
    return row | ended | ({"partition": it.partition} if it.partition else {})


def _contacts() -> Iterator[Row]:
    """Offices of funders, research offices of organisations, and who leads a project where that is known."""
    yield from (_contact(*row) for row in CONTACTS)
    for it in organisations.ORGANISATIONS:
        yield {
            "id": f"research-{it.id}",
            "name": f"Research office, {it.name}",
            "email": f"{it.id}@example.org",
            "role": "research office",
            "organisation": it.id,
        }
    for led in projects.PROJECTS:
        if led.lead in LEADS_KNOWN:
            yield {
                "id": f"lead-{led.account}",
                "name": f"{LEADS_KNOWN[led.lead]} ({led.account})",
                "email": f"{led.account}@example.org",
                "role": "leads the project",
                "project": project_id(led),
            }


def _contact(funder: str, name: str, locale: str) -> Row:
    address = f"office-{funder}@example.org"
    return {"id": f"office-{funder}", "name": name, "email": address, "funder": funder, "locale": locale}


def _day(number: int) -> date:
    return datetime.fromtimestamp(number * DAY, UTC).date()


def _moment(epoch: int) -> datetime:
    """A whole UTC hour, written with its offset so that no zone has to be guessed."""
    return datetime.fromtimestamp(epoch // HOUR * HOUR, UTC)


def _block(table: str, row: Row) -> str:
    return f"[[{table}]]\n" + "".join(f"{key} = {_written(value)}\n" for key, value in row.items())


def _written(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _quoted(value)
        case dict():
            return f"{{ {', '.join(f'{_quoted(key)} = {_quoted(text)}' for key, text in value.items())} }}"
        case list():
            return f"[{', '.join(_written(part) for part in value)}]"
        case datetime() | date():
            return value.isoformat().replace("+00:00", "Z")
        case _:
            return str(value)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
