"""Headers: what is seen from them, what is refused, and what a layout keeps."""

from __future__ import annotations

import pytest

from collectors.slurm.layout import Layout, from_fields, from_header, is_header
from opsd.core.errors import BadInput, WrongUsage

NAMES = ("JobIDRaw", "Cluster", "Submit", "Start", "End", "State", "Account", "AllocTRES")


@pytest.mark.parametrize("delimiter", ["|", "\x1f", ";|;", "\t", ",", ";", "§", "||", " | ", "^"])
def test_the_delimiter_is_seen(delimiter: str) -> None:
    """Known names with something between them: that is the delimiter."""
    layout = from_header(delimiter.join(NAMES).encode())
    assert (NAMES, delimiter, False) == (layout.columns, layout.delimiter, layout.trailing)


def test_a_stated_delimiter_may_be_any_text() -> None:
    """Even one that looks like part of a name."""
    assert "XX" == from_header("XX".join(NAMES).encode(), delimiter="XX").delimiter


def test_sacct_p_ends_each_line_with_the_delimiter() -> None:
    """-p, unlike -P."""
    layout = from_header(("|".join(NAMES) + "|").encode())
    assert (True, len(NAMES) + 1) == (layout.trailing, layout.fields)


def test_names_are_matched_in_any_case() -> None:
    """sacct takes jobidraw, and prints what it was asked for."""
    assert 0 == from_header("|".join(NAMES).lower().encode()).index("JobIDRaw")


def test_a_byte_order_mark_is_no_part_of_a_name() -> None:
    """Windows tools put one in front."""
    assert NAMES == from_header(b"\xef\xbb\xbf" + "|".join(NAMES).encode()).columns


def test_missing_columns_are_named_with_what_is_near() -> None:
    """JobID is not JobIDRaw, and the message says that it is what the file has."""
    with pytest.raises(
        BadInput, match=r"column JobIDRaw \(it has JobID\), the column AllocTRES \(it has ReqTRES\)"
    ):
        from_header(b"JobID|Cluster|Submit|Start|End|State|Account|ReqTRES")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"101|mn5|1790000000",
        b"\xff\xfeJ\x00o\x00b\x00",
        b"Hello world",
        b"JobIDRaw    Submit    State",
        b"JobIDRaw",
        b"\x00\x01",
    ],
)
def test_what_is_no_header(line: bytes) -> None:
    """Nothing is read from a file that does not say what it holds."""
    with pytest.raises(BadInput):
        from_header(line)


def test_a_kept_column_stands_once() -> None:
    """Two State columns may say two things."""
    with pytest.raises(BadInput, match="more than once"):
        from_header(("|".join(NAMES) + "|State").encode())


def test_the_cluster_must_be_known() -> None:
    """By a column or by the caller."""
    without = "|".join(name for name in NAMES if name != "Cluster").encode()
    with pytest.raises(WrongUsage, match="--cluster NAME"):
        from_header(without)
    assert "mn5" == from_header(without, cluster="mn5").cluster


@pytest.mark.parametrize(
    "options", [{"delimiter": ""}, {"delimiter": "\n"}, {"cluster": ""}, {"cluster": "a\nb"}]
)
def test_wrong_options_are_wrong_usage(options: dict[str, str]) -> None:
    """Before anything is read."""
    with pytest.raises(WrongUsage):
        from_header("|".join(NAMES).encode(), **options)


def test_a_wrong_zone_is_refused() -> None:
    """With what a zone looks like."""
    with pytest.raises(BadInput, match="Europe/Madrid"):
        from_header("|".join(NAMES).encode(), zone="Madrid")


def test_fields_without_a_header() -> None:
    """The first line is data and shows how it is separated."""
    fields = "JobIDRaw%20,Submit,Start,End,State,Account,AllocTRES"
    layout = from_fields(fields, b"1;2;3;4;COMPLETED;a;cpu=1,mem=5M;\n", cluster="mn5")
    assert ("JobIDRaw", ";", True) == (layout.columns[0], layout.delimiter, layout.trailing)
    assert "|" == from_fields(fields, b"", cluster="mn5").delimiter
    with pytest.raises(WrongUsage):
        from_fields("JobIDRaw,,State", b"")


def test_a_header_is_recognised_again() -> None:
    """Someone may state the fields of a file that has a header, too."""
    layout = from_header("|".join(NAMES).encode())
    assert is_header("|".join(NAMES).upper().encode(), layout)
    assert not is_header(b"1|mn5|2|3|4|COMPLETED|a|cpu=1", layout)


def test_free_text_and_what_is_ignored() -> None:
    """Free text is warned of; a column nobody knows counts as free text."""
    layout = from_header(("|".join(NAMES) + "|JobName|NCPUS|Novelty").encode())
    assert (("JobName", "Novelty"), ("JobName", "NCPUS", "Novelty")) == (layout.free_text, layout.ignored)
    assert ["forge" in warning for warning in layout.warnings] == [True]
    assert [] == from_header("|".join(NAMES).encode()).warnings


def test_a_layout_comes_back_from_its_text() -> None:
    """A quarantined record is read years later with the layout it was found in."""
    layout = from_header(("\x1f".join(NAMES) + "\x1f\r").encode(), zone="Europe/Madrid", cluster="mn5")
    again = Layout.from_json(layout.to_json())
    assert layout == again
    assert (layout.tz, layout.fields, layout.crlf) == (again.tz, again.fields, True)
    for text in ("", "[]", "{}", '{"columns": 3}', "null"):
        with pytest.raises(BadInput):
            Layout.from_json(text)
