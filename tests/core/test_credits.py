"""What a credit rests on: runs named in one way, and evidence that is the same for the same runs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsd.core.amounts import MICRO_PER_HOUR
from opsd.core.credits import Charge, Mark, Run, evidence, marks, version
from opsd.core.errors import BadText

MARK = Mark("mn5", 1234, 1_790_841_600)


@pytest.mark.parametrize(
    "when",
    ["1790841600", "@1790841600", "2026-10-01T08:00:00Z", "2026-10-01T10:00:00+02:00", "2026-10-01T08:00:00"],
)  # fmt: skip
def test_a_run_is_named_by_its_key(when: str) -> None:
    """In epoch seconds or ISO 8601, which is UTC where it has no offset; and written in one way."""
    assert MARK == Mark.parse(f"mn5/1234@{when}") == Mark.parse(MARK.text)


@pytest.mark.parametrize(
    "text", ["", "mn5", "mn5/1234", "/1234@1790841600", "mn5/x@1790841600", "mn5/1234@", "mn5/1234@soon",
             "mn5/-1@1790841600", "mn5/1²@1790841600"],
)  # fmt: skip
def test_what_is_no_run(text: str) -> None:
    """Refused with what to write."""
    with pytest.raises(BadText, match="write CLUSTER/JOB@SUBMIT"):
        Mark.parse(text)


@given(st.text(max_size=30))
def test_any_text_is_a_run_or_refused(text: str) -> None:
    """No text does anything else; what is read is written and read again alike."""
    try:
        found = Mark.parse(text)
    except BadText:
        return
    assert found == Mark.parse(found.text)


def test_evidence_says_all_of_a_run() -> None:
    """Canonical JSON: key, times, nodes, seconds, exact charge and policy version; its runs can be found."""
    run = Run(MARK, "NODE_FAIL", 1_790_841_700, 1_790_841_900, "as01r1b01")
    charge = Charge("a", "gpu-hours", 200, MICRO_PER_HOUR // 4, (version("gpu", 0),))
    text = evidence([(run, charge)])
    expected: dict[str, Any] = {
        "charge": "0.25", "cluster": "mn5", "end": 1_790_841_900, "job": 1234, "nodes": "as01r1b01",
        "policy": ["gpu from 1970-01-01T00:00:00+00:00"], "run": "mn5/1234@1790841600", "seconds": 200,
        "start": 1_790_841_700, "state": "NODE_FAIL", "submit": 1_790_841_600, "unit": "gpu-hours",
    }  # fmt: skip
    assert json.dumps({"runs": [expected]}, separators=(",", ":")) == text
    assert (MARK.text,) == marks(text)


@pytest.mark.parametrize("text", ["", "words", "[1]", '{"documents":["x"]}', '{"runs":[3]}', "null"])
def test_other_evidence_names_no_run(text: str) -> None:
    """A document, a person's words, or nothing."""
    assert () == marks(text)
