"""Certificates as files."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from hashlib import sha256
from io import StringIO

from opsd.core.certificate import (
    CAUSES,
    COLUMNS,
    SUSPENSION,
    Certificate,
    Contribution,
    Key,
    Limit,
    Subject,
    Unknown,
    cells,
    parents,
)
from opsd.core.period import Window
from opsd.core.records import Association
from opsd.reports import certificate, certificate_html

TREE = parents([
    Association("lab", 1, "root", "", "", "", deleted=False),
    Association("lab", 2, "es", "", "", "root", deleted=False),
    Association("lab", 3, "es-bio", "", "", "es", deleted=False),
])  # fmt: skip
EVIL = '<script>alert("x")</script>'


def certified(reported: int, *, unknown: bool = False) -> Certificate:
    """Ana used 100 cpu-seconds by opsd; 10 more were suspended elsewhere; Slurm says something."""
    usage = {("es-bio", EVIL, "cpu"): 100, ("es-bio", EVIL, "mem"): 7}
    part = Contribution(SUSPENSION, "es-bio", EVIL, "cpu", 10, Subject("run", 5, 17), "placed")
    lines: dict[Key, int] = {}
    for who in (("es-bio", EVIL), ("es-bio", ""), ("es", ""), ("root", "")):
        lines |= {(*who, "cpu"): reported, (*who, "mem"): 7}
    unknowns = (Unknown(SUSPENSION, "es-bio", EVIL, "cpu", -5, 5, Subject("run", 6, 18), "cannot"),)
    return Certificate(
        "lab", Window(0, 3_600), Window(0, 3_600), "UTC", 7_200, "sacct", ("cpu", "mem"),
        cells(usage, lines, [part], TREE), (part,), unknowns if unknown else (), TREE, ("a note",),
        (Limit("es", "", 5, {"cpu": 60}, {"cpu": 1}),),
    )  # fmt: skip


def html(found: Certificate) -> str:
    """The page."""
    return certificate_html.render(
        found, certificate.as_json(found), summary=certificate.summary(found),
        causes=certificate.shown_causes(found),
    ).decode()  # fmt: skip


def test_csv_has_every_cell_and_cause() -> None:
    """The columns of the design, in its order; every line adds up."""
    rows = list(csv.DictReader(StringIO(certificate.as_csv(certified(112)).decode())))

    assert list(COLUMNS) == list(rows[0])
    assert [
        "cluster", "account", "user", "tres", "opsd", "sreport", "suspension", "reservation_idle",
        "resize_overlap", "not_rolled_up", "late_record", "runaway", "reassociated", "never_eligible",
        "rounding", "unexplained",
    ] == list(COLUMNS)  # fmt: skip
    assert 8 == len(rows)
    for row in rows:
        assert int(row["sreport"]) == sum(int(row[name]) for name in ("opsd", *CAUSES, "unexplained"))
    assert {"cpu": {"2"}, "mem": {"0"}} == {
        tres: {row["unexplained"] for row in rows if row["tres"] == tres} for tres in ("cpu", "mem")
    }


def test_an_unexplained_second_counts_once() -> None:
    """An account's line includes its users': what they have alike is theirs alone."""
    assert 2 == certified(112).unexplained_seconds("cpu")
    assert 0 == certified(112).unexplained_seconds("mem")


def test_json_holds_the_evidence() -> None:
    """Cells, summary, contributions with what they are about, and what nobody can know."""
    found = json.loads(certificate.as_json(certified(112, unknown=True)))

    assert {"cells": 8, "equal": 4, "explained": 0, "unexplained": 4, "cannot_be_known": 4} == found[
        "summary"
    ]
    assert ("run 5@17", 10) == (
        found["contributions"]["listed"][0]["subject"],
        found["contributions"]["listed"][0]["seconds"],
    )
    assert [
        "kind", "version", "against", "cluster", "from", "to", "asked", "timezone", "made_at", "evidence",
        "tres", "not_compared", "unit", "summary", "cells", "unknown", "contributions", "notes", "sshare",
    ] == list(found)  # fmt: skip
    assert (["count", "listed"], list(COLUMNS)) == (list(found["contributions"]), list(found["cells"][0]))
    assert ["account", "user", "raw_usage", "limits", "used"] == list(found["sshare"][0])
    assert [(-5, 5)] == [(one["least"], one["most"]) for one in found["unknown"]]
    assert "1970-01-01T01:00:00+00:00" == found["to"]


def test_what_is_out_of_bounds_is_not_excused() -> None:
    """Bounds explain nothing beyond them."""
    assert 0 == certificate.summary(certified(116, unknown=True))["cannot_be_known"]


def test_the_page_stands_alone() -> None:
    """It loads nothing, escapes names, tells the verdict and the digest of its document."""
    found = certified(112)
    page = html(found)

    assert EVIL not in page
    assert "&lt;script&gt;" in page
    assert not [word for word in ("http://", "https://", "src=", "@import", "url(") if word in page]
    assert "4 cells are not explained" in page
    assert sha256(certificate.as_json(found)).hexdigest() in page


def test_the_verdict_of_a_page() -> None:
    """Explained differences are no fault, and no difference is none."""
    assert "Equal to Slurm, and every difference is explained" in html(certified(110))
    equal = certified(110)
    assert "Equal to Slurm in every cell" in html(
        Certificate(
            **{**vars(equal), "cells": tuple(c for c in equal.cells if c.is_equal), "contributions": ()}
        )
    )


def test_what_nobody_can_know_does_not_fill_a_book() -> None:
    """The widest bounds are printed; how many more there are is said, and the document has them."""
    one = certified(112, unknown=True)
    many = tuple(one.unknowns[0]._replace(most=most) for most in range(certificate_html.MOST_PARTS + 7))
    page = html(replace(one, unknowns=many))

    assert "and 7 more that nobody can know" in page
    assert f'<td class="n">{certificate_html.MOST_PARTS + 6}</td>' in page
    assert len(many) == len(json.loads(certificate.as_json(replace(one, unknowns=many)))["unknown"])


def test_what_is_not_compared_is_printed() -> None:
    """An auditor reads which TRES the certificate is not about."""
    page = html(replace(certified(110), left_out=("energy", "license/<b>")))

    assert "not compared: energy, license/&lt;b&gt;." in page
