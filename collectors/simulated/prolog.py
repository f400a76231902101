"""What a Slurm prolog and epilog would leave on a node: a file for each job that holds GPUs there.

Invariant: a file appears whole or not at all, and only while its job runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from collectors.simulated.live import Holding


def keep(folder: Path, holdings: Iterable[Holding]) -> None:
    """Make a node's job folder show just these holdings."""
    folder.mkdir(parents=True, exist_ok=True)
    held = {str(holding.job): holding for holding in holdings}
    for path in folder.iterdir():
        if path.name not in held:
            path.unlink(missing_ok=True)
    for name, holding in held.items():
        if not (folder / name).exists():
            _write(folder, name, holding)


def _write(folder: Path, name: str, holding: Holding) -> None:
    text = (
        f"job_id={holding.job}\naccount={holding.account}\nuser={holding.user}\n"
        f"gpus={','.join(map(str, holding.gpus))}\nstarted={holding.started}\n"
    )
    draft = folder / f".{name}.new"
    draft.write_text(text, encoding="utf-8")
    draft.rename(folder / name)
