"""What one sacct export looks like: columns, delimiter, zone, default cluster.

Invariant: a `Layout` and a record's bytes are all it takes to read that record again, so it goes to
JSON text and back unchanged and is kept beside every quarantined record.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from difflib import get_close_matches

from collectors.slurm import columns as known
from collectors.slurm.grammar import UNCLEAN
from opsd.core.errors import BadInput, BadText, WrongUsage
from opsd.core.period import zone as read_zone
from opsd.core.period import zone_name

_COLUMN = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z", re.ASCII)
_FIRST_GAP = re.compile(r"[A-Za-z][A-Za-z0-9_]*([^A-Za-z0-9_]+)[A-Za-z]", re.ASCII)
_STATED = ("columns", "delimiter", "trailing", "crlf", "zone", "cluster")
_LOOKED_AT = 50  # lines without a header, to see how they are separated
_USUAL = ("|", "\x1f", ";|;", "\t", ";", ",")
_DRIFT = ("Elapsed", "ElapsedRaw", "Suspended")  # grow while a run is open
_FREE_TEXT_WARNING = (
    "the columns {names} hold text that users choose, and sacct escapes nothing: a crafted job name or "
    "comment can forge or hide a record. Leave them out of the export; opsd does not use them"
)


@dataclass(frozen=True, slots=True)
class Layout:
    """The shape of one export; see `from_header` and `from_fields`."""

    columns: tuple[str, ...]
    delimiter: str
    trailing: bool = False  # sacct -p: each line ends with the delimiter
    crlf: bool = False  # each line ends with \r\n
    zone: str | None = None  # of times that do not say
    cluster: str | None = None  # of records that do not say
    # Worked out once, because every record asks for them.
    fields: int = field(init=False, repr=False, compare=False)  # pieces a record splits into
    free_text: tuple[str, ...] = field(init=False, repr=False, compare=False)
    tz: tzinfo | None = field(init=False, repr=False, compare=False)
    _places: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_delimiter(self.delimiter)
        if self.cluster is not None and (not self.cluster or UNCLEAN.search(self.cluster)):
            raise WrongUsage(f"--cluster cannot be {self.cluster!r}: give the cluster's name")
        _check_columns(self.columns, self.cluster)
        places = {name.lower(): at for at, name in reversed(list(enumerate(self.columns)))}
        places |= {name: places[name.lower()] for name in known.KEPT if name.lower() in places}
        object.__setattr__(self, "_places", places)
        object.__setattr__(self, "fields", len(self.columns) + self.trailing)
        object.__setattr__(self, "free_text", tuple(name for name in self.columns if known.is_free(name)))
        object.__setattr__(self, "tz", None if self.zone is None else read_zone(self.zone))

    @property
    def ignored(self) -> tuple[str, ...]:
        """Columns of the export that no record carries on."""
        kept = {name.lower() for name in known.KEPT}
        return tuple(name for name in self.columns if name.lower() not in kept)

    @property
    def warnings(self) -> list[str]:
        """What the person importing should know before trusting the file."""
        names = ", ".join(self.free_text)
        return [_FREE_TEXT_WARNING.format(names=names)] if names else []

    def index(self, name: str) -> int | None:
        """Where a column stands; None if the export has none of that name."""
        at = self._places.get(name)
        return at if at is not None else self._places.get(name.lower())

    def steady(self, line: bytes) -> bytes:
        """A record without what grows while its run is open; as it is, if its columns cannot be told."""
        pieces = line.split(self.delimiter.encode())
        if len(pieces) != self.fields:
            return line
        for at in map(self.index, _DRIFT):
            if at is not None:
                pieces[at] = b""
        return self.delimiter.encode().join(pieces)

    def to_json(self) -> str:
        """Text that `from_json` reads back."""
        return json.dumps({name: getattr(self, name) for name in _STATED}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Layout:
        """The layout a quarantined record was kept with."""
        try:
            values = json.loads(text)
            return cls(tuple(values["columns"]), *(values[name] for name in _STATED[1:]))
        except (ValueError, TypeError, KeyError) as err:
            raise BadText("not a layout", text) from err


def _check_delimiter(delimiter: str) -> None:
    if not delimiter or "\n" in delimiter or "\r" in delimiter:
        raise WrongUsage("--delimiter must be some text without a line end")


def _check_columns(columns: Sequence[str], cluster: str | None) -> None:
    found = [name.lower() for name in columns]
    missing = [name for name in known.REQUIRED if name.lower() not in found]
    if missing:
        raise BadInput("the export lacks " + ", ".join(_near(name, columns) for name in missing))
    for name in known.KEPT:
        if found.count(name.lower()) > 1:
            raise BadInput(f"the export has the column {name} more than once; leave one out")
    if "cluster" not in found and not cluster:
        raise WrongUsage("the export has no Cluster column: say which cluster it is from with --cluster NAME")


def _near(name: str, columns: Sequence[str]) -> str:
    lowered = {column.lower(): column for column in columns}
    near = get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    return f"the column {name}" + (f" (it has {lowered[near[0]]})" if near else "")


def _zone_text(zone: str | tzinfo | None) -> str | None:
    return zone if zone is None or isinstance(zone, str) else zone_name(zone)


def _decoded(line: bytes) -> tuple[str, bool]:
    if line.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise BadInput("the file is UTF-16; save it as UTF-8")
    text = line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    return text.removesuffix("\r"), text.endswith("\r")


def _detected(header: str) -> str:
    found = _FIRST_GAP.match(header)
    if not found:
        raise BadInput(f"no header of sacct columns: {header[:80]!r}; name the columns with --fields")
    if found[1].strip(" ") == "":
        raise BadInput("the header is separated by spaces, which cut columns off; export with sacct -P or -p")
    return found[1]


def _split_names(header: str, delimiter: str) -> tuple[list[str], bool]:
    names = header.split(delimiter)
    trailing = len(names) > 1 and names[-1] == ""
    names = names[:-1] if trailing else names
    odd = [name for name in names if not _COLUMN.match(name)]
    if odd:
        raise BadInput(f"not a header of sacct columns: {odd[0][:80]!r}; name the columns with --fields")
    return names, trailing


def from_header(
    line: bytes,
    *,
    delimiter: str | None = None,
    zone: str | tzinfo | None = None,
    cluster: str | None = None,
) -> Layout:
    """Read sacct's own header line (without its line end); the delimiter is seen from it unless given."""
    header, crlf = _decoded(line)
    delimiter = delimiter if delimiter is not None else _detected(header)
    _check_delimiter(delimiter)
    names, trailing = _split_names(header, delimiter)
    return Layout(tuple(names), delimiter, trailing, crlf, _zone_text(zone), cluster)


def field_names(fields: str | Iterable[str]) -> tuple[str, ...]:
    """`JobIDRaw,State%20,…` as given to sacct --format."""
    parts = fields.split(",") if isinstance(fields, str) else list(fields)
    names = tuple(part.strip().partition("%")[0] for part in parts)
    for name in names:
        if not _COLUMN.match(name):
            raise WrongUsage(f"--fields: {name!r} is not a sacct column")
    return names


def from_fields(
    fields: str | Iterable[str],
    first: bytes,
    *,
    delimiter: str | None = None,
    zone: str | tzinfo | None = None,
    cluster: str | None = None,
) -> Layout:
    """Columns named by the caller; the first lines, which are data, show how they are separated.

    What most of them say counts, so that one damaged line does not cost all the others.
    """
    names = field_names(fields)
    options = list(_USUAL) if delimiter is None else [delimiter]
    _check_delimiter(options[0])
    lines = first.split(b"\n")
    shapes = Counter(filter(None, (_shape(line, options, len(names)) for line in lines[:_LOOKED_AT])))
    usual = (options[0], False, _decoded(lines[0])[1])
    chosen, trailing, crlf = shapes.most_common(1)[0][0] if shapes else usual
    return Layout(names, chosen, trailing, crlf, _zone_text(zone), cluster)


def _shape(line: bytes, options: Sequence[str], count: int) -> tuple[str, bool, bool] | None:
    """(delimiter, trailing, crlf) of a line that cuts into that many columns."""
    text, crlf = _decoded(line)
    for option in options:
        extra = text.count(option) + 1 - count
        if extra == 0 or (extra == 1 and text.endswith(option)):
            return option, extra == 1, crlf
    return None


def is_header(line: bytes, layout: Layout) -> bool:
    """Whether a line repeats the column names (a header kept beside --fields, or files joined)."""
    names = (
        _decoded(line)[0].removesuffix(layout.delimiter if layout.trailing else "").split(layout.delimiter)
    )
    return [name.lower() for name in names] == [name.lower() for name in layout.columns]
