"""The documentation names what there is: every verb, option, key, column and note."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from opsd.cli import VERBS
from opsd.core.flags import MEANINGS
from opsd.pipeline import balance, usage

DOCS = Path(__file__).parent.parent / "docs"
COMMANDS = (DOCS / "commands.md").read_text(encoding="utf-8")


def parsers(parser: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """A parser and all below it, with the words that lead there."""
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, child in action.choices.items():
                yield from parsers(child, f"{name} {word}")


def all_parsers() -> list[tuple[str, argparse.ArgumentParser]]:
    """Every verb of `opsd`."""
    found = []
    for verb in VERBS:
        parser = argparse.ArgumentParser(prog=f"opsd {verb.name}")
        import_module(verb.module).register(parser)
        found += parsers(parser, verb.name)
    return found


def section(verb: str) -> str:
    """The part of docs/commands.md about one verb."""
    _, found, rest = COMMANDS.partition(f"\n## opsd {verb}")
    assert found, f"docs/commands.md has no section on opsd {verb}"
    return rest.partition("\n## ")[0]


@pytest.mark.parametrize(("name", "parser"), all_parsers(), ids=[name for name, _ in all_parsers()])
def test_every_verb_and_option_is_documented(name: str, parser: argparse.ArgumentParser) -> None:
    """Each sub-verb and each option stands in its verb's section."""
    verb, *words = name.split()
    text = section(verb)
    options = [option for action in parser._actions for option in action.option_strings]

    assert [] == [word for word in (*words, *options) if word not in ("-h", "--help") and word not in text]


def test_every_key_and_column_is_documented() -> None:
    """Keys and columns of usage and balance stand in their sections."""
    assert [] == [name for name in (*usage.KEYS, *usage.COLUMNS) if name not in section("usage")]
    assert [] == [name for name in (*balance.KEYS, *balance.COLUMNS) if f"`{name}`" not in section("balance")]


def test_every_note_about_a_run_is_documented() -> None:
    """What an import may say about its runs is explained with the accounting model."""
    text = (DOCS / "accounting.md").read_text(encoding="utf-8")

    assert [] == [meaning for meaning in MEANINGS.values() if meaning not in text]
