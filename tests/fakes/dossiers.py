# ruff: noqa: RUF001 - letters that look like others are what these names are for
"""Dossiers for tests: a small one made by hand with everything odd in it, and large ones for benchmarks."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import product
from typing import Any

from opsd.core import forecast, journal
from opsd.core.agreements import Agreement, Cap, Contribution, Funder, Policy, Pool, Share
from opsd.core.amounts import MICRO_PER_HOUR
from opsd.core.attribution import AFTER_END, UNATTRIBUTED
from opsd.core.awards import Award, Project
from opsd.core.consortium import Consortium, Item
from opsd.core.dossier import (
    Balance,
    Capacity,
    Certificate,
    ClosedMonth,
    Closing,
    Concern,
    Correction,
    Covered,
    Digests,
    Dossier,
    Granted,
    Key,
    Line,
    Measured,
    Past,
    Quality,
    Seconds,
    Span,
    Waited,
)
from opsd.core.dossier import Item as Changed
from opsd.core.factors import Factor
from opsd.core.gpu_use import Use
from opsd.core.journal import Entry
from opsd.core.money import Money
from opsd.core.parties import Cluster, NodeClass, Organisation, UnitTable
from opsd.core.period import DAY, HOUR
from opsd.core.prices import AidRule, OtherAid, Price

START, END = 1_790_805_600, 1_793_487_600  # October 2026 in Madrid
ZONE = "Europe/Madrid"
PLANTED_USER, PLANTED_JOB, PLANTED_PATH = "zz9planted", "planted-job-name", "/home/planted/path"
LONG = (
    "A title so long that no column of any sheet or page could ever hold it on one line, which goes on about"
    " numerical weather prediction over the Iberian peninsula, the Anatolian plateau and the Danube delta"
)
REPORTED, BOUND = hashlib.sha256(b"reported").hexdigest(), hashlib.sha256(b"bound").hexdigest()

ORGANISATIONS = (
    Organisation("bsc", "Barcelona Supercomputing Center - CNS", "ES", "research", "public sector"),
    Organisation("colls", "Col·legi d’Il·lustradors, S.L.", "ES", "start-up", "media", nace="58.11"),
    Organisation("fct", '=HYPERLINK("http://example.org","click")', "PT", "sme", "health"),
    Organisation("evora", 'Universidade de Évora & Filhos <Lda> "R&D"', "PT", "university"),
    Organisation("@lab", "@cmd|' /C calc'!A0", "TR", "research", "energy"),
    Organisation("itu", "İstanbul Iğdır Şişli Güneş Üniversitesi", "TR", "university", "energy"),
    Organisation("ici", "Institutul Național de Științe și Țesături", "RO", "public-body", "finance"),
    Organisation("big", "Large & Sons N.V.", "RO", "large-company", "finance", undertaking="big-group"),
    Organisation("odd", "-2+3 Stiftung", "DE"),
)
FUNDERS = (
    Funder("eurohpc", "EuroHPC Joint Undertaking", "ju", None, "", Decimal("98.33"), True, "grant agreement"),
    Funder("spain", "Gobierno de España", "state", "ES", "", Decimal("61.76"), False, "press release"),
    Funder("catalonia", "Generalitat de Catalunya", "region", "ES", "spain", Decimal(14), False, "press"),
    Funder("portugal", "República Portuguesa", "state", "PT", "", Decimal("15.6"), False, "one article"),
    Funder("turkiye", "Türkiye Cumhuriyeti", "state", "TR", "", Decimal("6.5"), False, "one article"),
    Funder("romania", "România", "state", "RO", "", Decimal(1), False, "one article"),
)
POOLS = (
    Pool("ju", "eurohpc", "Access time of the Union"),
    Pool("es", "spain", "España", "de-minimis"),
    Pool("ct", "catalonia", "Catalunya: l·l", "de-minimis"),
    Pool("+pt", "portugal", "+Portugal", "de-minimis"),
    Pool("tr", "turkiye", "Türkiye payı"),
    Pool("ro", "romania", "", "de-minimis"),
)
PROJECTS = (
    Project("p1", LONG, "bsc", "climate", "research"),
    Project("=1+1", 'A "quoted" title, with a comma', "colls", "", "commercial"),
    Project("p3", "@SUM(A1:A9)", "fct", "", "commercial"),
    Project("p4", "Hidrologia & <clima>", "evora", "climate", "research"),
    Project("-p5", "Iğdır ışığı: İŞÇİ ğüşöç", "itu", "", "research"),
    Project("p6", "", "@lab", "", "research"),
    Project("p7", "Șase țări, o sută de ani", "ici", "", ""),
    Project("p8", "\u2212 a title that begins with a minus sign", "big", "", "commercial"),
    Project("p9", "Nobody says what kind", "odd", "", ""),
)


def _award(name: str, project: str, pool: str, amount: str, unit: str = "gpu-hours", **more: Any) -> Award:
    plain: dict[str, Any] = {"start": START - 90 * DAY, "end": END + 120 * DAY, "mode": "Large Scale", **more}
    return Award(name, project, pool, Fraction(amount), unit, policy="gpu", **plain)


AWARDS = (
    _award("a1", "p1", "ju", "20000", mode="AI for Science", report_due=END + 20 * DAY),
    _award("a2", "=1+1", "ct", "1500", mode="Fast Lane"),  # over quota
    _award("a3", "p3", "+pt", "4000.5", mode="Playground", end=START + 20 * DAY, report_due=END - 5 * DAY),
    _award("a4", "p4", "+pt", "9000", mode="National call", end=None),  # an award without end
    _award("a5", "-p5", "tr", "12000", mode="National call", end=END + 30 * DAY),
    _award("a6", "p6", "tr", "100", "node-hours", mode="Benchmark"),
    _award("a7", "p7", "ro", "70000", "core-hours", mode=""),
    _award("a8", "p8", "ju", "3000", mode="Large Scale", start=END + 10 * DAY),  # not begun
    _award("a9", "p9", "es", "2500", mode="Fast Lane"),
    _award("+a10", "p1", "es", "1/3", mode="Development"),
)
AGREED = "share agreement, page 3"
CONTRIBUTIONS = (
    Contribution(
        "c1",
        "eurohpc",
        "acquisition",
        Money(98_330_000 * 10**6, "EUR"),
        Money(90_000_000 * 10**6, "EUR"),
        START - 300 * DAY,
        "Grant agreement, p. 7",
        REPORTED,
        True,
    ),
    Contribution("c2", "spain", "acquisition", Money(61_760_000 * 10**6, "EUR"), document="Press release"),
    Contribution("c3", "catalonia", "operation", Money(14_000_000 * 10**6, "EUR"), document="Press release"),
    Contribution("c4", "portugal", "acquisition", Money(15_600_000 * 10**6, "EUR"), document="One article"),
    Contribution("c5", "turkiye", "acquisition", Money(6_500_000 * 10**6, "EUR"), document="One article"),
    Contribution("c6", "romania", "services", Money(1_000_000 * 10**6, "EUR"), document="=cmd() & <b>"),
    Contribution("c7", "romania", "experimental-platform", Money(330_000 * 10**6, "RON"), confirmed=True),
)
ACC, TRAIN = ("mn5/acc",), ("mn5-ai/train",)
AGREEMENTS = (
    Agreement(
        "base",
        0,
        START + 400 * DAY,
        "Base agreement & <annex>",
        ACC,
        under_use="carry-over",
        carry_most=Fraction(1, 10),
        tolerance=Fraction(1, 20),
        document=AGREED,
        sha256=BOUND,
        confirmed=True,
    ),
    Agreement("upgrade", START - 10 * DAY, None, "AI upgrade", TRAIN, basis="nominal", key="proportional"),
)
SHARES = (
    Share("base", "ju", Fraction(1, 2)),
    Share("base", "es", Fraction(1, 4)),
    Share("base", "ct", Fraction(1, 12)),
    Share("base", "+pt", Fraction(1, 10)),
    Share("base", "tr", Fraction(1, 15)),
    Share("upgrade", "ju"),
    Share("upgrade", "es"),
    Share("upgrade", "+pt"),
    Share("upgrade", "tr"),
    Share("upgrade", "ro"),
)
CAPS = (
    Cap(
        "commercial",
        0,
        None,
        "Commercial use of the Union's time",
        ("ju",),
        purposes=("commercial",),
        source="Art. 18",
    ),
    Cap(
        "playground",
        0,
        None,
        "Playground and Fast Lane",
        (),
        ("Playground", "Fast Lane"),
        most=Fraction(1, 10),
        base="capacity",
        window="month",
        confirmed=True,
    ),
)
MONEY_RULES = (
    Price("gpu", "gpu-hours", Money(2_000_000, "EUR"), method="illustrative", approver="nobody yet"),
    Price("node", "node-hours", Money(8_000_000, "EUR")),
    AidRule(
        "de-minimis",
        Money(300_000 * 10**6, "EUR"),
        3,
        kinds=("start-up", "sme", "large-company"),
        source="Regulation (EU) 2023/2831",
    ),
    OtherAid(
        "o1", "big-group", "RO", "de-minimis", Money(299_000 * 10**6, "EUR"), START - 400 * DAY, "declaration"
    ),
)
MACHINES = (
    Cluster("mn5", "MareNostrum 5"),
    Cluster("mn5-ai", "MareNostrum 5 & AI upgrade"),
    NodeClass("mn5", "acc", partitions=("acc",), cores=80, cpus=160, gpus=4, gpu_class="h100"),
    NodeClass("mn5", "gpp", partitions=("gpp",), cores=112, cpus=224, gpus=0),
    NodeClass("mn5-ai", "train", partitions=("train",), gpus=8),
    UnitTable("mn5", "acc", 0, None, Fraction(4), Fraction(80), Fraction(160), Fraction(2, 25), "scontrol"),
    UnitTable("mn5", "gpp", 0, None, None, Fraction(112), Fraction(224), Fraction(14, 125), "scontrol"),
    UnitTable("mn5-ai", "train", 0, None, Fraction(8)),
    Factor("mn5", "pue", Fraction(27, 25), source="evaluation paper"),
    Factor("mn5", "location-based", Fraction(1, 10), source="grid operator, 2024"),
)
MASTER: tuple[Item, ...] = (
    *MACHINES,
    *ORGANISATIONS,
    *FUNDERS,
    *POOLS,
    *PROJECTS,
    Policy("gpu", "gpu_hours"),
    *AWARDS,
    *CONTRIBUTIONS,
    *AGREEMENTS,
    *SHARES,
    *CAPS,
    *MONEY_RULES,
)


def master() -> Consortium:
    """The consortium of `sample`: two clusters, five countries, names that a spreadsheet would run."""
    return Consortium.of(MASTER, "R&D <AI> Factory: l·l İı ğş șț", ZONE)


def seconds(gpu: int, per_node: int = 4, cpus: int = 160) -> Seconds:
    """Whole-node use that is a few seconds off, so that rounding has something to do."""
    node = gpu // per_node
    return Seconds(gpu, node, node * cpus, node * 512_000, node * cpus)


# cluster, class, award, account, outside, uses, GPU-seconds of each person (numbers from the last column on)
_USE: tuple[tuple[str, str, str, str, str, str, tuple[int, ...], int], ...] = (
    ("mn5", "acc", "a1", "", "", "ES", (9_000_001, 8_000_003, 7_000_007, 1_111_111, 17), 1),
    ("mn5", "acc", "a1", "", "", "PT", (333_333, 44_444), 10),  # a small group
    ("mn5", "acc", "a1", "", "", "RO", (3_600,), 20),  # and one person
    ("mn5", "acc", "a1", "", "", "TR", (700_001, 600_002, 500_003, 400_004, 300_005, 200_006), 30),
    ("mn5-ai", "train", "a1", "", "", "ES", (5_000_000, 1_234_567), 1),
    ("mn5", "acc", "a2", "", "", "ES", (6_000_000, 13), 6),
    ("mn5", "acc", "a3", "", "", "PT", (2_000_002, 3_000_001, 11, 12, 13, 14), 10),
    ("mn5", "acc", "a3", "", AFTER_END, "PT", (7_207,), 10),
    ("mn5", "acc", "a4", "", "", "PT", (4_444_444,), 12),
    ("mn5", "acc", "a5", "", "", "TR", (1_800_001, 1_700_002, 1_600_003, 1_500_004, 1_400_005, 7), 30),
    ("mn5-ai", "train", "a5", "", "", "DE", (100_000,), 40),
    ("mn5", "acc", "a6", "", "", "TR", (77_777,), 30),
    ("mn5", "acc", "a9", "", "", UNATTRIBUTED, (123_456, 7), 50),
    ("mn5", "acc", "", "nobody", "", UNATTRIBUTED, (35_000, 3), 60),
    ("mn5-ai", "train", "", "=lost", "", "ES", (11,), 1),
)


def _lines() -> Iterator[Line]:
    for cluster, node_class, award, account, outside, uses, use, first in _USE:
        per_node = 8 if cluster == "mn5-ai" else 4
        for person, gpu in enumerate(use, first):
            key = Key(cluster, node_class, award, account, outside, uses, person)
            yield Line(key, seconds(gpu, per_node))
    for person in (70, 71):  # CPU use under no GPU at all
        yield Line(
            Key("mn5", "gpp", "a7", "", "", "RO", person), Seconds(0, 90_001, 90_001 * 224, 9, 90_001 * 224)
        )


def balance(award: str, *, settled: int, **changes: Any) -> Balance:
    """A balance in hours, a third of a second off; what is left out follows from the rest."""
    found = next(one for one in AWARDS if one.id == award)
    micro = {
        name: changes.pop(name, 0) * MICRO_PER_HOUR + 333_333 * (name != "after_end")
        for name in ("charged", "accrued", "after_end")
    }
    granted = {name: hours * MICRO_PER_HOUR for name, hours in changes.pop("granted", {}).items()}
    total = int(found.amount * MICRO_PER_HOUR) + sum(granted.values()) - granted.get("grant", 0)
    used = settled * MICRO_PER_HOUR + 333_333
    closing = total - used - micro["accrued"]
    opening = closing + micro["charged"] - sum(granted.values())
    burned = changes.pop("burned", tuple(micro["charged"] * days // 31 for days in (1, 7, 30)))
    plain: dict[str, Any] = {
        "granted_total": total,
        "settled": used,
        "committed": 0,
        "state": "ok",
        "forecast": forecast.NONE,
        "exhausted_at": None,
        "reported_closing": opening,
    }
    return Balance(award, opening=opening, granted=granted, burned=burned, **{**plain, **micro, **changes})


def _balances() -> tuple[Balance, ...]:
    corrected = balance(
        "a1",
        settled=14_000,
        accrued=100,
        charged=6_700,
        state="threshold-80",
        granted={"credit": 12, "extension": 500},
        forecast=forecast.EXPECTED,
        exhausted_at=END + 40 * DAY,
        committed=50 * MICRO_PER_HOUR,
    )
    return (
        balance("+a10", settled=0, reported_closing=None),
        replace(corrected, reported_closing=corrected.opening + 25 * MICRO_PER_HOUR),
        balance(
            "a2",
            settled=1_666,
            charged=1_666,
            state="over",
            forecast=forecast.ALREADY,
            over_since=END - 3 * DAY,
        ),
        balance("a3", settled=1_388, charged=1_388, after_end=2),
        balance(
            "a4",
            settled=8_900,
            charged=1_234,
            granted={"carry-over": 900},
            state="threshold-95",
            forecast=forecast.EXPECTED,
            exhausted_at=END + 9 * DAY,
        ),
        balance("a5", settled=3_000, charged=2_222, granted={"transfer": -50, "expiry": -40}),
        balance("a6", settled=40, charged=5, granted={"transfer": 50}),
        balance("a7", settled=2_800, charged=2_799, committed=None),
        balance("a8", settled=0, reported_closing=None),
        balance(
            "a9",
            settled=34,
            charged=34,
            state="ok,unpriced",
            granted={"adjustment": -3},
            unpriced=("nodes of unknown class",),
        ),
    )


def _entries() -> tuple[Entry, ...]:
    def entry(day: int, kind: str, award: str, hours: int, reason: str, **more: Any) -> Entry:
        unit = next(one.unit for one in AWARDS if one.id == award)
        at = START + day * DAY
        plain: dict[str, Any] = {"posted": at + HOUR, "author": "Ana Gràcia", **more}
        return Entry(at, plain.pop("posted"), kind, award, unit, hours * MICRO_PER_HOUR, reason, **plain)

    def document(day: int, kind: str, subject: str, digest: str) -> Entry:
        at = START + day * DAY
        return Entry(
            at,
            at,
            kind,
            "",
            "",
            0,
            f"September <closed> & done: {subject}",
            "İlker Işık",
            subject=subject,
            digest=digest,
        )

    runs = f'[{{"job":"17","name":"{PLANTED_JOB}","user":"{PLANTED_USER}","dir":"{PLANTED_PATH}"}}]'
    told = (
        entry(2, "extension", "a1", 500, "=Interim report accepted", approver="Zoë Önal"),
        entry(3, "credit", "a1", 12, "Node failure on 2026-10-03", approver="Zoë Önal", evidence=runs),
        entry(5, "transfer", "a5", -50, "Moved to benchmarks", subject="a6"),
        entry(5, "transfer", "a6", 50, "Moved to benchmarks", subject="a5"),
        document(6, "correction", "2026-08", BOUND),
        document(6, "close", "2026-09/1", REPORTED),
        entry(7, "carry-over", "a4", 900, "Kept from the third quarter"),
        entry(8, "expiry", "a5", -40, "What was kept has lapsed"),
        entry(9, "adjustment", "a9", -3, "+Price of an unknown class, see the minutes"),
    )
    return tuple(journal.chained(told, None))


def _granted(awards: Sequence[Award], entries: Sequence[Entry] = ()) -> tuple[Granted, ...]:
    begun = [
        Granted(one.id, one.start, journal.GRANT, int(one.amount * MICRO_PER_HOUR))
        for one in awards
        if one.start <= END
    ]
    later = [Granted(one.award, one.at, one.kind, one.amount) for one in entries if one.award]
    return tuple(sorted((*begun, *later)))


_CAPACITY = (
    Capacity("mn5", "acc", "cpu", 160 * 31 * DAY * 20, 160 * 31 * DAY * 11, 7_201, 360_007, 90_001, 0),
    Capacity("mn5", "acc", "gpu", 4 * 31 * DAY * 20, 4 * 31 * DAY * 11, 7_201, 36_007, 9_001, 0),
    Capacity("mn5", "gpp", "cpu", 224 * 31 * DAY * 3, 90_001 * 224, 0, 5, 5, 0),
    Capacity("mn5-ai", "train", "gpu", 8 * 31 * DAY * 2, 6_334_578, 0, 0, 1, 0),
)


def _balanced(found: Capacity) -> Capacity:
    taken = found.allocated + found.reserved_idle + found.planned_down + found.down
    return found._replace(unallocated=found.total - taken)


def _past(month: str, scale: int) -> list[Past]:
    return [
        Past(month, "mn5", "", "", seconds(scale // 7)),
        Past(month, "mn5", "a1", "", seconds(scale * 5 + 1)),
        Past(month, "mn5", "a4", "", seconds(scale * 3 + 2)),
        Past(month, "mn5", "a5", "", seconds(scale + 3)),
        Past(month, "mn5-ai", "a1", "", seconds(scale // 2, 8)),
    ]


def _of_period(lines: Sequence[Line]) -> list[Past]:
    sums: dict[tuple[str, str, str], Seconds] = defaultdict(Seconds)
    for key, used in lines:
        sums[key.cluster, key.award, key.outside] = sums[key.cluster, key.award, key.outside].plus(used)
    return [Past("2026-10", *key, sums[key]) for key in sorted(sums)]


def _corrections() -> tuple[Correction, ...]:
    late, moved = seconds(90_003), seconds(-3_600)
    shift = Key("mn5", "acc", "a1", "", "", "ES", 0), Key("mn5", "acc", "a5", "", "", "TR", 0)
    return (
        Correction(
            "2026-08",
            (
                Line(shift[1], moved),
                Line(Key("mn5", "acc", "", "nobody", "", UNATTRIBUTED, 0), seconds(3_600)),
            ),
            {"a5": -MICRO_PER_HOUR},
            (
                Changed("binding", "mn5/nobody@1788000000", "", "", "mn5", seconds(3_600), 0),
                Changed("binding", "mn5/nobody@1788000000", "a5", "", "mn5", moved, -MICRO_PER_HOUR),
            ),
        ),
        Correction(
            "2026-09",
            (Line(shift[0], late),),
            {"a1": 25 * MICRO_PER_HOUR},
            (
                Changed("people", PLANTED_USER, "a1", "", "mn5", seconds(3), 0),
                Changed("run", "mn5/4711@1790000000", "a1", "", "mn5", seconds(90_000), 25 * MICRO_PER_HOUR),
            ),
        ),
    )


_SHA = [hashlib.sha256(bytes([at])).hexdigest() for at in range(9)]
_QUALITY = Quality(
    runs=1_234,
    open_runs=12,
    unclassified=40,
    unplaced=2,
    two_sluids=1,
    quarantined=3,
    first=START - 200 * DAY,
    last_observed=END - 30,
    last_read=END - 20,
    covered=(Covered("mn5", END + 60, END + 90), Covered("mn5-ai", END - 3_600, END - 30)),
    capacity_notes=("mn5: 2 nodes of no class are left out",),
)
CONCERNS = (
    Concern("no-certificate:mn5-ai", "mn5-ai: nobody compared opsd with Slurm's own report"),
    Concern("quarantine", "3 records could not be read & are not counted"),
    Concern("unattributed", "9.73 GPU-hours belong to <nobody>"),
)
CLOSING = Closing(
    1, END + 3 * DAY, "Ana Gràcia i Ferré", "İlker Işık Şahin", "October is complete", CONCERNS, _SHA[4]
)


def sample(**changes: Any) -> Dossier:
    """October 2026 as closed, but for what is named."""
    lines = tuple(sorted(_lines()))
    total = Seconds(*map(sum, zip(*(line.seconds for line in lines), strict=True)))
    previous = tuple(_past("2026-09", 2_000_000))
    year = [past for month in range(1, 9) for past in _past(f"2026-{month:02}", 100_000 * month)]
    plain: dict[str, Any] = {
        "consortium": master().name,
        "span": Span("2026-10", START, END, ZONE),
        "as_of": END,
        "version": "0.0.test",
        "master": master(),
        "lines": lines,
        "previous_span": Span("2026-09", START - 30 * DAY, START, ZONE),
        "previous": previous,
        "year": (*year, *previous, *_of_period(lines)),
        "balances": _balances(),
        "entries": _entries(),
        "granted": _granted(AWARDS, _entries()),
        "capacity": tuple(map(_balanced, _CAPACITY)),
        "waited": (Waited("mn5", "acc", "a1", 900_001, 4_000_004, 21), Waited("mn5", "acc", "a5", 7, 7, 1)),
        "measured": (
            Measured("mn5", "acc", "", Use(38_000_000, 1_000, energy=700_000_000, energy_of=1_000)),
            Measured(
                "mn5",
                "acc",
                "a1",
                Use(
                    25_488_516_000, 20_000_000_000, 20, 20, 5, 20, energy=9 * 10**12, energy_of=20_000_000_000
                ),
            ),
        ),
        "certificates": (
            Certificate("mn5", START, END, END + HOUR, 900, 1, 2, {"cpu": -60, "gres/gpu": 12}, _SHA[5]),
        ),
        "quality": _QUALITY,
        "concerns": CONCERNS,
        "corrections": _corrections(),
        "closed": (ClosedMonth("2026-10", 1, _SHA[6], END + 3 * DAY, total, Seconds(), total),),
        "digests": Digests(*_SHA[:4]),
        "closing": CLOSING,
        "smallest_group": 5,
    }
    return Dossier(**{**plain, **changes})


# ---------------------------------------------------------------------------------------------- large ones

_COUNTRIES = ("ES", "PT", "RO", "TR")
_KINDS = ("research", "university", "start-up", "sme", "public-body", "large-company")
_MODES = ("Playground", "Fast Lane", "Large Scale", "AI for Science", "National call")


def large(projects: int = 500, months: int = 12) -> Dossier:
    """October 2026 of so many projects, in four countries, with so many months of the year before it."""
    organisations = max(projects // 5, 4)
    items: list[Item] = [
        *MACHINES,
        *FUNDERS,
        *POOLS,
        Policy("gpu", "gpu_hours"),
        *AGREEMENTS,
        *SHARES,
        *CAPS,
        *CONTRIBUTIONS,
        *MONEY_RULES,
        *(
            Organisation(
                f"o{at:04}", f"Organisation {at}", _COUNTRIES[at % 4], _KINDS[at % 6], f"sector {at % 7}"
            )
            for at in range(organisations)
        ),
        *(
            Project(f"p{at:04}", f"Project number {at} about things", f"o{at % organisations:04}")
            for at in range(projects)
        ),
        *(
            Award(
                f"a{at:04}",
                f"p{at:04}",
                POOLS[at % len(POOLS)].id,
                Fraction(1_000 + at),
                "gpu-hours",
                START - 300 * DAY,
                END + (at % 90) * DAY + HOUR,
                "gpu",
                _MODES[at % 5],
            )
            for at in range(projects)
        ),
    ]
    held = Consortium.of(items, "A large AI factory", ZONE)
    lines = tuple(
        Line(
            Key(cluster, node_class, f"a{at:04}", "", "", _COUNTRIES[(at + person) % 4], at * 3 + person),
            seconds(10_007 * (at % 97) + 101 * person + 13, per_node),
        )
        for at, person in product(range(projects), range(3))
        for cluster, node_class, per_node in (("mn5", "acc", 4), ("mn5-ai", "train", 8))
    )
    names = _month_names(months)
    year = tuple(
        Past(month, cluster, f"a{at:04}", "", seconds(9_001 * (at % 89) + 77 * place, per_node))
        for place, month in enumerate(names)
        for cluster, per_node in (("mn5", 4), ("mn5-ai", 8))
        for at in range(projects)
    )
    plain = sample()
    return replace(
        plain,
        consortium=held.name,
        master=held,
        lines=tuple(sorted(lines)),
        year=year,
        previous=tuple(past for past in year if past.month == "2026-09"),
        balances=tuple(_large_balance(award) for award in held.awards.values()),
        entries=(),
        granted=_granted(tuple(held.awards.values())),
        waited=(),
        measured=(),
        corrections=(),
        closed=(),
    )


def _month_names(months: int) -> list[str]:
    last = 2026 * 12 + 9
    return [f"{at // 12}-{at % 12 + 1:02}" for at in range(last - months + 1, last + 1)]


def _large_balance(award: Award) -> Balance:
    number = int(award.id[1:])
    granted = int(award.amount * MICRO_PER_HOUR)
    settled, charged = granted * (number % 120) // 100, granted * (number % 120) // 300
    state = "over" if settled > granted else "threshold-80" if settled * 5 >= granted * 4 else "ok"
    opening = granted - settled + charged
    return Balance(
        award.id,
        opening,
        {},
        granted,
        charged,
        settled,
        0,
        0,
        0,
        (charged // 30, charged // 4, charged),
        state,
        forecast.ALREADY if settled >= granted else forecast.NONE,
        None,
        reported_closing=opening,
    )
