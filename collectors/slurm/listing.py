"""Lists of sacctmgr, one record per line, with a column of free text that may break a line.

sacctmgr escapes nothing, and an administrator's reason may hold `|` and line ends. So a list is asked for
twice: without the free text, which gives the records, and with it as the last column, which gives the words.
Invariant: free text can never add, change or hide a record; at worst it is put to the wrong one's name.
"""

from __future__ import annotations

from collections.abc import Sequence

from collectors.slurm.client import Client
from opsd.core.errors import Unavailable


def records(client: Client, question: Sequence[str], columns: Sequence[str]) -> list[list[str]]:
    """The columns of every record that a list has.

    Raises:
        Unavailable: sacctmgr failed, or printed something else than was asked for.
    """
    lines = client.text([*question, f"format={','.join(columns)}"]).split("\n")
    return [_split(question, line, columns) for line in lines if line]


def with_words(
    client: Client, question: Sequence[str], columns: Sequence[str], free: str
) -> list[tuple[list[str], str]]:
    """Every record, and its text in the column `free`; "" of one that changed between the questions."""
    found = records(client, question, columns)
    words = _words(
        client.text([*question, f"format={','.join(columns)},{free}"]), {"|".join(record) for record in found}
    )
    return [(record, words.get("|".join(record), "")) for record in found]


def _words(text: str, heads: set[str]) -> dict[str, str]:
    """Free text by the columns before it: whatever does not begin with a record's columns goes on."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.split("\n"):
        head = next((line[:at] for at in _bars(line) if line[:at] in heads and line[:at] not in found), None)
        if head is None:
            current.append(line)
        else:
            current = found[head] = [line[len(head) + 1 :]]
    return {head: "\n".join(lines).rstrip("\n") for head, lines in found.items()}


def _bars(line: str) -> list[int]:
    return [at for at, letter in enumerate(line) if letter == "|"]


def _split(question: Sequence[str], line: str, columns: Sequence[str]) -> list[str]:
    values = line.split("|")
    if len(values) != len(columns):
        raise Unavailable(
            f"{' '.join(question[:1])} printed {len(values)} columns, not {len(columns)}: {line[:120]!r}: "
            "nothing of its answer was taken"
        )
    return values
