"""What a close knows of its settings and its program."""

from __future__ import annotations

from dataclasses import replace

import pytest

from opsd.cli.edition_files import configuration
from opsd.config import Nodes, Settings, Slurm
from opsd.pipeline import program

SETTINGS = Settings(
    "sqlite:////a.db", "--db", Slurm(database_url="mysql://a:one@h/d"), nodes=Nodes(password="one")
)


@pytest.mark.parametrize(
    "other",
    [
        replace(SETTINGS, database_url="postgresql://u:two@h/d", source="OPSD_DB"),
        replace(SETTINGS, nodes=replace(SETTINGS.nodes, password="two")),
        replace(SETTINGS, slurm=replace(SETTINGS.slurm, database_url="mysql://a:two@h/d")),
        replace(SETTINGS, clusters={}),
    ],
)
def test_secrets_and_places_are_no_part_of_the_configuration(other: Settings) -> None:
    """The same books in another database, under another password, have the same digest."""
    assert configuration(SETTINGS) == configuration(other)


def test_what_settings_say_is() -> None:
    """Any of them changes the digest, in a cluster's own table, too."""
    found = {
        configuration(SETTINGS),
        configuration(replace(SETTINGS, slurm=replace(SETTINGS.slurm, conf="/etc/slurm/slurm.conf"))),
        configuration(replace(SETTINGS, clusters={"mn5": SETTINGS.slurm})),
    }
    assert 3 == len(found)


def test_the_program_has_one_digest() -> None:
    """SHA-256, the same each time it is asked for."""
    assert 64 == len(program.digest())
    assert program.digest() == program.digest()
