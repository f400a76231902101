"""English sentences of a dossier, as messages with their figures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from opsd.core.dossier import Covered, Quality
from opsd.core.statement import told
from opsd.core.statement.words import Msg, Text
from opsd.pipeline import dossier_quality
from opsd.reports.locale import Locale
from tests.fakes.dossiers import END, START, sample

ENGLISH = Locale.of("en", "Europe/Madrid")


def named(cluster: str) -> str:
    """What a cluster is called."""
    return cluster.upper()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("node class a has no node: it is known by its partitions only, and x", "class a is known by its"),
        (
            "node class a: node n1 is in another class at the same time (3 such): it counts there: x",
            "nodes of class a that are in another class at the same time, and count there: 3, the first n1.",
        ),
        (
            "how many GPUs nodes n1, n2, n3 and 4 more have is not known, so no line counts them: x",
            "nodes whose number of GPUs is not known, so that no line counts them: n1, n2, n3 and 4 more.",
        ),
        (
            "how many CPUs node n1 has is not known, so no line counts them: x",
            "nodes whose number of CPUs is not known, so that no line counts them: n1.",
        ),
        (
            "runs held 7,200 CPU-seconds and 36 GPU-seconds more than their nodes have: x",
            "runs held 2.00 CPU-hours and 0.01 GPU-hours more than their nodes have; these are in no line.",
        ),
        (
            "1 run has no node list, so what they held is in no line (3,600 GPU-seconds): import x",
            "runs without a list of nodes, so that they are in no line: 1, with 1.00 GPU-hours.",
        ),
        (
            (
                "36 CPU-seconds were held on nodes of which no class and no registration tells what they "
                "have (n1, n2): they are in no line"
            ),
            "0.01 CPU-hours on nodes of which nobody knows what they have are in no line: n1, n2.",
        ),
        (
            "accounting was read up to 2026-10-30T00:00:00Z only: what is later looks unallocated",
            "accounting was read up to 2026-10-30 01:00:00 UTC+01:00 only; later time looks as if not",
        ),
        (
            "no event was ever read from Slurm, so nothing is known to have been down or reserved",
            "no event was ever read from Slurm, so nothing is known to have been down or reserved.",
        ),
        (
            (
                "Slurm's first event is of 2026-10-30T00:00:00Z: of earlier nothing is known to have been "
                "down or reserved"
            ),
            "Slurm's first event is of 2026-10-30 01:00:00 UTC+01:00; of the time before nothing is known",
        ),
        (
            "events were read up to 2026-10-30T00:00:00Z only: what is later looks unallocated",
            "events were read up to 2026-10-30 01:00:00 UTC+01:00 only; later time looks as if not",
        ),
    ],
)
def test_a_note_on_capacity_is_told_with_its_figures(text: str, expected: str) -> None:
    """Each form that the books of capacity know."""
    found = told.note(f"cluster mn5: {text}", named)

    assert isinstance(found, Msg)
    assert ENGLISH.word(found).replace("\N{NO-BREAK SPACE}", " ").startswith(f"MN5: {expected}")


def test_every_concern_of_a_dossier_is_told_in_words_of_the_catalogues() -> None:
    """Whatever stands against a close: the sentences that the dossier makes are those that are known."""
    plain = sample()
    late = Quality(first=START + 9, quarantined=3, unclassified=36, covered=(Covered("mn5", END - 60, END),))
    dossiers = [replace(plain, quality=one) for one in (plain.quality, late, Quality())]
    dossiers.append(replace(plain, capacity=()))
    found = [concern for one in dossiers for concern in dossier_quality.concerns(one)]

    kinds = {one.name.partition(":")[0] for one in found}
    assert {
        "begins-late", "no-capacity", "no-certificate", "not-read", "quarantine", "unattributed",
        "unclassified", "unexplained", "unpriced",
    } == kinds  # fmt: skip
    assert [] == [one for one in found if not isinstance(told.concern(one.text, named), Msg)]


def test_a_sentence_of_no_known_form_stays_as_it_is() -> None:
    """It is shown rather than lost."""
    assert Text("mn5: 2 nodes of no class") == told.note("mn5: 2 nodes of no class", named)
    assert Text("something new") == told.concern("something new", named)
