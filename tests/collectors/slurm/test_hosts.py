"""Host lists: expanded, compressed, and never allowed to explode."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.slurm import hosts
from opsd.core.errors import BadText

NAMES = st.from_regex(r"[a-z]{1,3}[0-9]{0,3}(r[0-9]{1,2})?(b[0-9]{2})?(-ib)?", fullmatch=True)


@pytest.mark.parametrize("text", ["", "None assigned", "(unknown)", "(null)"])
def test_no_hosts(text: str) -> None:
    """Slurm has several ways to name none."""
    assert [] == hosts.expand(text)
    assert "" == hosts.check(text)


def test_expand() -> None:
    """Several brackets, padding and plain names."""
    assert ["a1b01", "a1b02", "a2b01", "a2b02", "n5"] == hosts.expand("a[1-2]b[01-02],n5")
    assert ["c1", "c4", "n08", "n09", "n10"] == hosts.expand("c[1,4],n[08-10]")
    assert ["n8-ib", "n9-ib", "n10-ib"] == hosts.expand("n[8-10]-ib")
    assert 640 == len(hosts.expand("as01r[1-8]b[01-80]"))


def test_compress() -> None:
    """One bracket per common text; names without a number stand alone."""
    names = ["n01", "n02", "n03", "n07", "login", "c1", "c10"]
    assert "c1,c10,login,n[01-03,07]" == hosts.compress(names)


@given(st.sets(NAMES))
def test_hosts_come_back(names: set[str]) -> None:
    """Compressing and expanding loses no host and invents none."""
    assert sorted(names) == sorted(hosts.expand(hosts.compress(names)))


@pytest.mark.parametrize(
    "text",
    [
        "n[",
        "n]",
        "n[]",
        "n[1-]",
        "n[a]",
        "n[2-1]",
        ",n1",
        "n1,",
        "n1,,n2",
        "n 1",
        "n[1-2",
        "n[[1]]",
        "n1|n2",
        "n\x00",
    ],
)
def test_what_is_no_host_list(text: str) -> None:
    """Half a bracket is refused."""
    with pytest.raises(BadText):
        hosts.expand(text)


@pytest.mark.parametrize(
    "text",
    [
        "n[1-999999999]",
        "a[1-999]b[1-999]",
        "a[1-60000],b[1-60000]",
        "n[000000000000000001-999999999999999999]",
    ],
)
def test_an_explosion_is_refused(text: str) -> None:
    """A list of a few bytes cannot take the memory."""
    with pytest.raises(BadText, match="more than"):
        hosts.expand(text)


@given(st.text(alphabet="an01[]-,r ", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text ends in anything but names or BadText."""
    try:
        found = hosts.expand(text, 1000)
    except BadText:
        return
    assert len(found) <= 1000
