"""docs/configuration.md names every setting, each in its section, with the default that is in force."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from opsd import config

TEXT = (Path(__file__).parent.parent / "docs" / "configuration.md").read_text(encoding="utf-8")
_ROW = re.compile(r"^\| `(\w+)` \| .+ \| (.+) \|$", re.MULTILINE)
SECTIONS = {
    "slurm": config.Slurm(),
    "daemon": config.Daemon(),
    "web": config.Web(),
    "grafana": config.Grafana(),
}


def rows(section: str) -> dict[str, str]:
    """The keys of a section's table, and their defaults as written."""
    _, found, rest = TEXT.partition(f"\n## [{section}]\n")
    assert found, f"docs/configuration.md has no section [{section}]"
    return dict(_ROW.findall(rest.partition("\n## ")[0]))


def test_every_section_and_no_other() -> None:
    """In the order in which they are known."""
    assert list(config._KNOWN) == re.findall(r"^## \[(\w+)\]$", TEXT, re.MULTILINE)


@pytest.mark.parametrize("section", config._KNOWN)
def test_every_key_and_no_other(section: str) -> None:
    """What may be written is documented, and what is documented may be written."""
    assert sorted(config._KNOWN[section]) == sorted(rows(section))


@pytest.mark.parametrize("section", SECTIONS)
def test_defaults_are_those_in_force(section: str) -> None:
    """A number or text as it would be written; what has none says so in words."""
    written = rows(section)
    values = {field.name: getattr(SECTIONS[section], field.name) for field in fields(SECTIONS[section])}

    wrong = [
        key
        for key, value in values.items()
        if value is not None and written[key] != (f"`{value}`" if isinstance(value, int) else f'`"{value}"`')
    ]
    assert [] == wrong


def test_the_example_is_a_configuration(tmp_path: Path) -> None:
    """It can be copied as it stands."""
    example = tmp_path / "opsd.toml"
    example.write_text(TEXT.partition("```toml\n")[2].partition("```")[0])
    found = config.settings(config=str(example), environ={})

    assert ("sqlite:////var/lib/opsd/opsd.db", "2026-01-01", 300) == (
        found.database_url, found.slurm.since, found.daemon.ingest_seconds
    )  # fmt: skip
