"""A statement of one made-up section with every kind of block, value, formula, role and tone in it."""

from __future__ import annotations

from fractions import Fraction

from opsd.core.statement.build import KNOWN, Statement
from opsd.core.statement.table import (
    BAD,
    BARS,
    COLUMNS,
    GOOD,
    STACKS,
    SUBTOTAL,
    TOTAL,
    WARN,
    Block,
    Chart,
    Column,
    Facts,
    Less,
    OfTotal,
    Paragraph,
    Per,
    Plus,
    Row,
    Section,
    Series,
    Table,
)
from opsd.core.statement.words import (
    Amount,
    Code,
    Count,
    Country,
    Day,
    Hours,
    Moment,
    Month,
    Number,
    Ratio,
    Share,
    Text,
    Value,
    msg,
)
from tests.fakes.dossiers import START, sample

FORMULAS = ("=1+1", "+1", "-2+3", "@SUM(A1)", "\tx", "\rx", '=HYPERLINK("http://example.org")')
SHA = "0123456789abcdef" * 4


def hours(hundredths: int) -> Hours:
    """So many hundredths of an hour, a third of a second off."""
    return Hours(hundredths, Fraction(hundredths * 36) + Fraction(1, 3))


def _quotient(part: int, whole: int) -> Fraction | None:
    return Fraction(part, whole) if whole else None


def _row(name: Value, granted: int, used: int, things: int, whole: int, **more: object) -> Row:
    cells: dict[str, Value] = {
        "name": name,
        "granted": hours(granted),
        "used": hours(used),
        "left": hours(granted - used),
        "both": hours(granted + used),
        "used_of_granted": Share(_quotient(used, granted)),
        "of_all": Ratio(_quotient(used, whole)),
        "things": Count(things),
        "paid": Amount(things * 1_234_560_000, "EUR"),
    }
    keys = {"project": name.text if isinstance(name, Text) else "all"}
    return Row(cells, keys, **more)  # type: ignore[arg-type]


_SUMS = Table(
    "sums",
    msg("Every sum"),
    (
        Column("name", msg("Name"), wide=True),
        Column("granted", msg("Granted"), sums=True),
        Column("used", msg("Used"), sums=True),
        Column("left", msg("Left"), formula=Less(("granted", "used"))),
        Column("both", msg("Both"), formula=Plus(("granted", "used"))),
        Column("used_of_granted", msg("Used of granted"), formula=Per("used", "granted")),
        Column("of_all", msg("Of all"), formula=OfTotal("used")),
        Column("things", msg("Things"), sums=True),
        Column("paid", msg("Paid"), sums=True),
    ),
    (
        _row(Text("first"), 300_007, 10_011, 3, 10_048, role=SUBTOTAL),
        _row(Text("=1+1"), 100_002, 10_001, 1, 10_048, role=SUBTOTAL, depth=1),
        _row(Text("lowest"), 100_002, 10_001, 1, 10_048, depth=2, tone=GOOD),
        _row(Text("beside"), 77, 78, 9, 10_048, depth=1, summed=False, tone=WARN),
        _row(Text("-2+3"), 200_005, 10, 2, 10_048, depth=1, tone=BAD),
        _row(Text("alone"), 0, 37, 1, 10_048),
        _row(msg("Total"), 300_007, 10_048, 4, 10_048, role=TOTAL),
    ),
    (msg("What {name} means.", name=Text("@SUM(A1)")),),
)
_EVERY: tuple[Value, ...] = (
    *map(Text, FORMULAS), hours(-5), hours(0), Count(-3), Share(None), Share(Fraction(1, 3)), Ratio(None),
    Ratio(Fraction(7, 6)), Number(Fraction(-1, 3), 3), Number(Fraction(12_345), 0),
    Amount(-98_330_000_000_000, "EUR"), Amount(10**7 + 1, "RON"), Day(START), Moment(START), Month("2026-10"),
    Month("2026-Q4"), Month("2026"), Country("TR"), Country("JU"), Code(SHA),
    msg("{count} of {name}", count=Count(1234), name=Text("=x")),
)  # fmt: skip
_VALUES = Table(
    "values",
    msg("Every value"),
    (Column("name", msg("Name")), Column("value", msg("Value")), Column("known", msg("Known"), sums=True)),
    (
        *(
            Row({"name": Text(str(at)), "value": value}, {"project": str(at)})
            for at, value in enumerate(_EVERY)
        ),
        Row({"name": msg("Unknown"), "known": msg("unknown")}, {}),
        Row({"name": msg("Known"), "known": hours(5)}, {}),
        Row({"name": msg("Total"), "known": hours(5)}, {}, TOTAL),
    ),
)


def _chart(kind: str) -> Chart:
    series = (
        Series(msg("Granted"), (hours(300_000), hours(7))),
        Series(Text("=used"), (hours(10_000), hours(-3))),
    )
    return Chart(kind, kind, msg("A chart"), (Country("PT"), Text("=1+1")), series, msg("GPU-hours"))


BLOCKS: tuple[Block, ...] = (
    Paragraph(msg("Nothing is wrong.")),
    Paragraph(msg("{number} things are wrong.", number=Count(3)), WARN),
    Facts("facts", msg("Facts"), (
        ("period", msg("Period"), Month("2026-10")), ("digest", msg("Digest"), Code(SHA)),
        ("hours", msg("Hours"), hours(123_456)), ("name", msg("Name"), Text("=1+1")),
    )),
    _SUMS,
    _VALUES,
    Table("none", msg("Nothing here"), (Column("name", msg("Name")),), (), (), msg("There is nothing.")),
    *map(_chart, (BARS, STACKS, COLUMNS)),
)  # fmt: skip
LONG_TITLE = "Résumé: [all] of it / and more that is too long"


def every_kind() -> Statement:
    """The statement."""
    sections = (
        Section("cover", msg(LONG_TITLE), BLOCKS),
        Section("again", msg(LONG_TITLE.upper()), BLOCKS[:2]),
        Section("sums", msg("History"), (_SUMS,)),
    )
    return Statement(sample(), "", KNOWN, (), sections)
