"""Pages of an agent on the stand-in, made comparable.

Invariant: only what belongs to the moment or to the machine of the test is masked; every series stays.
"""

from __future__ import annotations

import re

_SECONDS = r"opsd_(?:\w+_timestamp|\w+_duration)_seconds"
_BY_GPM = r"opsd_gpu_pcie_(?:transmit|receive)_bytes_total"  # rates times the seconds between two samples
_OF_THE_MOMENT = re.compile(rf"^((?:{_SECONDS}|{_BY_GPM})(?:\{{.*\}})?) \S+$", re.MULTILINE)
_BUILD = re.compile(r"opsd_node_build_info\{.*\}")
_WHICH = re.compile(r'(?:^|,)(?:gpu|uuid)="[^"]*"')
_SERIES = re.compile(r"^([^#\s]\S*)\{(.*)\} ", re.MULTILINE)


def masked(page: str) -> str:
    """A page without what differs from run to run."""
    return _BUILD.sub("opsd_node_build_info{…}", _OF_THE_MOMENT.sub(r"\1 …", page))


def series_of_gpus(page: str) -> set[tuple[str, str]]:
    """Names and labels of what is told of GPUs, without the labels that say which GPU."""
    found = set()
    for name, labels in _SERIES.findall(page):
        if name.startswith("opsd_gpu_"):
            found.add((name, _WHICH.sub("", labels).strip(",")))
    return found
