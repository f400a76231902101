"""Notices from the books to a real mail server: once to each, whatever fails; on both databases."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from exporters.mail import Server, Session
from opsd.core.awards import Award
from opsd.core.consortium import Item
from opsd.core.errors import Refused, WrongUsage
from opsd.core.journal import Entry
from opsd.core.parties import Contact
from opsd.core.period import DAY, HOUR
from opsd.core.records import RunRecord
from opsd.pipeline import balance, notify
from opsd.pipeline.notify import GIVEN_UP_SECONDS, PAUSE_SECONDS, Result, Sender
from opsd.store import hold, migrate, parties
from opsd.store.engine import Store, open_engine, sqlite_address
from opsd.store.hold import Holder
from tests.fakes import books
from tests.fakes.books import FOUR_GPUS, KNOWN, NOW, ONE_GPU, T
from tests.fakes.consortia import CLUSTER
from tests.fakes.post import MailServer

SENDER = Sender("opsd@site.example", "site.example")
ME = Holder(1, "here", NOW)
ANA = Contact("ana", "Ana Muñoz", "ana@uv.example", project="health")
RUI = Contact("rui", "Rui Conceição", "rui@fct.example", project="climate")
FCT = Contact("fct", "Gabinete", "office@fct.example", organisation="fct")
LARGE, SMALL = (replace(KNOWN.awards[name], start=T - 30 * DAY) for name in ("large", "small"))
OVER = "[Mini] small: over quota by 2.00 GPU-hours"


def fill(store: Store) -> None:
    """Award `small` of `climate` is over since 02:30, and people are known."""
    books.fill(store)
    add(store, ANA, RUI, FCT, LARGE, SMALL)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such a database, to be copied."""
    path = tmp_path_factory.mktemp("notify") / "filled.db"
    store = open_engine(sqlite_address(path))
    fill(store)
    store.close()
    return path


@pytest.fixture
def store(tmp_path: Path, filled: Path) -> Iterator[Store]:
    """A copy of it."""
    found = open_engine(sqlite_address(Path(shutil.copy(filled, tmp_path / "opsd.db"))))
    yield found
    found.close()


@pytest.fixture
def either(store_url: str) -> Iterator[Store]:
    """The same in a database of either kind."""
    found = open_engine(store_url)
    fill(found)
    yield found
    found.close()


@pytest.fixture
def server() -> Iterator[MailServer]:
    """Where letters go."""
    with MailServer() as found:
        yield found


def add(store: Store, *items: Item) -> None:
    """Write master data over what is there."""
    with store.write() as connection:
        held = parties.load(connection)
        parties.save(connection, held, type(held).of([*items], held.name, held.book_zone))


def grant(store: Store, award: str, hours: int, at: int = NOW) -> None:
    """Post more time, or take some away."""
    entry = Entry(at, at, "extension", award, "gpu-hours", hours * HOUR * 1_000_000, "more", "test")
    with store.write() as connection:
        parties.post(connection, [entry])


def run(store: Store, server: MailServer, now: int = NOW, **options: Any) -> Result:
    """Send what is due."""
    with Session(Server("127.0.0.1", server.port, "none", timeout_seconds=5)) as session:
        return notify.run(store, session, SENDER, ME, now=now, **options)


def outcomes(result: Result) -> list[tuple[str, str, str]]:
    """What became of what, by recipient."""
    return [(row.notice.award, row.recipient, row.outcome) for row in result.rows]


def arrived(server: MailServer) -> list[tuple[str, str]]:
    """Recipient and subject of every letter that the server has."""
    return [(to, str(letter["Subject"])) for to, letter in server.letters]


def test_people_are_told_once(either: Store, server: MailServer) -> None:
    """Over quota goes to project and organisation; a second run, and one a day later, send nothing."""
    assert [("small", "office@fct.example", "sent"), ("small", "rui@fct.example", "sent")] == outcomes(
        run(either, server)
    )
    assert [("office@fct.example", OVER), ("rui@fct.example", OVER)] == arrived(server)
    assert [] == [*outcomes(run(either, server)), *outcomes(run(either, server, NOW + 30 * DAY))]
    assert 2 == len(server.letters)


def test_the_figures_are_those_of_balance(store: Store, server: MailServer) -> None:
    """Granted, used and left."""
    run(store, server)
    with store.read() as connection:
        (line,) = (it for it in balance.run(connection, as_of=NOW).lines if it.key == "small")
    text = server.letters[0][1].get_content()

    for name, micro in (("granted", line.granted), ("used", line.used), ("left", line.left)):
        hours = str(Fraction(micro, HOUR * 1_000_000).numerator).replace("-", "−")  # noqa: RUF001 (a minus)
        assert f"  {name:<14}{hours}.00 GPU-hours" in text
    assert "over since    2026-09-04 02:30" in text


def test_a_preview_writes_nothing(store: Store, server: MailServer) -> None:
    """It shows the very letters, before and after."""
    before = notify.preview(store, SENDER, now=NOW)
    run(store, server)

    assert [("small", "office@fct.example", "send"), ("small", "rui@fct.example", "send")] == outcomes(before)
    assert [row.letter.subject for row in before.rows] == [subject for _, subject in arrived(server)]
    assert [] == outcomes(notify.preview(store, SENDER, now=NOW))


def test_the_first_look_at_an_old_award(store: Store, server: MailServer) -> None:
    """What was so a week before is passed over, and stays so; what has come since is told."""
    found = run(store, server, NOW + 7 * DAY)

    assert ([], 4) == (outcomes(found), found.passed)  # the thresholds before it, too
    assert [] == outcomes(run(store, server, NOW + 8 * DAY))
    grant(store, "small", -1, NOW + 8 * DAY)
    assert ["over quota by 3.00 GPU-hours"] * 2 == [
        row.letter.headline.removeprefix("small: ") for row in run(store, server, NOW + 8 * DAY).rows
    ]


def test_over_quota_that_ended_and_comes_again(store: Store, server: MailServer) -> None:
    """An extension ends it, and more use than that is news again."""
    run(store, server)
    grant(store, "small", 90)
    assert [] == outcomes(run(store, server, NOW + 1))
    day = RunRecord(
        CLUSTER, 9, NOW, NOW, NOW + DAY, "COMPLETED", "pt-small", FOUR_GPUS, nodes="a2", limit=DAY
    )
    books.read(store, [day])

    assert [("small", "rui@fct.example", "sent")] == outcomes(run(store, server, NOW + DAY))[1:]
    assert "[Mini] small: over quota by 8.00 GPU-hours" == arrived(server)[-1][1]


def test_one_award_alone(store: Store, server: MailServer) -> None:
    """The others wait for the next run; one that does not exist is an error."""
    assert [] == outcomes(run(store, server, award="large"))
    assert 2 == len(outcomes(run(store, server, award="small")))
    with pytest.raises(WrongUsage, match=r"--award 'smal': no such award; did you mean 'small'"):
        run(store, server, award="smal")


def test_nobody_to_tell(store: Store, server: MailServer) -> None:
    """It is said each time; a contact that is added hears it."""
    add(store, replace(RUI, email=""), replace(FCT, email=""))
    for _ in range(2):
        (row,) = run(store, server).rows
        assert ("nobody", "", "climate") == (row.outcome, row.recipient, row.project)

    add(store, RUI)
    assert [("small", "rui@fct.example", "sent")] == outcomes(run(store, server, NOW + DAY))


def test_who_is_refused(store: Store, server: MailServer) -> None:
    """That is told and not tried again; the other one is sent; a mended address is news."""
    server.refuse["rui@fct.example"] = "550 5.1.1 no such user"

    found = run(store, server)
    assert ("refused", "550 5.1.1 no such user") == (found.rows[1].outcome, found.rows[1].detail)
    assert (["sent", "refused"], 0) == ([row.outcome for row in found.rows], found.waiting)
    assert [] == outcomes(run(store, server, NOW + DAY))
    add(store, replace(RUI, email="rui.c@fct.example"))
    assert [("small", "rui.c@fct.example", "sent")] == outcomes(run(store, server, NOW + DAY))


def test_who_is_not_taken_now(either: Store, server: MailServer) -> None:
    """There is another try after a pause, twice as long each time, under the same id."""
    server.refuse["rui@fct.example"] = "450 4.2.0 greylisted"
    waits = [("small", "rui@fct.example", "waiting")]

    first = run(either, server)
    assert (waits, 1) == (outcomes(first)[1:], first.waiting)
    assert "450 4.2.0 greylisted" == first.rows[1].detail
    now = NOW + PAUSE_SECONDS
    assert waits == outcomes(run(either, server, now - 1))  # without asking
    assert waits == outcomes(run(either, server, now))
    server.refuse.clear()
    assert waits == outcomes(run(either, server, now + 2 * PAUSE_SECONDS - 1))
    assert [("small", "rui@fct.example", "sent")] == outcomes(run(either, server, now + 2 * PAUSE_SECONDS))
    assert 2 == len(server.letters)


def test_what_is_never_taken_is_given_up(store: Store, server: MailServer) -> None:
    """After two weeks, and that is told."""
    server.refuse["rui@fct.example"] = "450 4.2.0 greylisted"
    run(store, server)

    assert "waiting" == run(store, server, NOW + GIVEN_UP_SECONDS - 1).rows[0].outcome
    assert "refused" == run(store, server, NOW + GIVEN_UP_SECONDS + DAY).rows[0].outcome
    assert [] == outcomes(run(store, server, NOW + GIVEN_UP_SECONDS + 2 * DAY))


def test_a_server_that_is_away(store: Store, server: MailServer) -> None:
    """Everything waits, and why is said once; the next run sends it without a pause."""
    with Session(Server("127.0.0.1", 1, "none")) as session:
        found = notify.run(store, session, SENDER, ME, now=NOW)

    assert (["waiting", "waiting"], 2) == ([row.outcome for row in found.rows], found.waiting)
    assert "mail server 127.0.0.1:1: cannot be used" in found.failed
    assert ["sent", "sent"] == [row.outcome for row in run(store, server, NOW + 1).rows]


def test_a_connection_that_ends_within_a_letter(store: Store, server: MailServer) -> None:
    """That letter waits, the next goes out; the same letter has the same id when it comes again."""
    server.drops = 1

    found = run(store, server)
    assert (["waiting", "sent"], "") == ([row.outcome for row in found.rows], found.failed)
    assert ["sent"] == [row.outcome for row in run(store, server, NOW + PAUSE_SECONDS).rows]
    assert ["rui@fct.example", "office@fct.example"] == [to for to, _ in arrived(server)]


def test_a_server_that_always_ends_connections(store: Store, server: MailServer) -> None:
    """Two in a row are the server's fault, not the letters': the rest waits."""
    server.drops = 2

    found = run(store, server)
    assert (["waiting", "waiting"], 2) == ([row.outcome for row in found.rows], server.connections)
    assert "the connection ended" in found.failed


def test_killed_between_sending_and_noting(store: Store, server: MailServer) -> None:
    """The letter goes out once more under the same Message-ID, and then never again."""

    class Killed(BaseException):
        """As kill -9: nothing is caught."""

    def die() -> None:
        raise Killed

    with Session(Server("127.0.0.1", server.port, "none")) as session:
        send = session.send

        def send_and_die(mail: Any) -> None:
            send(mail)
            die()

        session.send = send_and_die  # type: ignore[method-assign]
        with pytest.raises(Killed):
            notify.run(store, session, SENDER, ME, now=NOW)
    run(store, server)

    ids = [str(letter["Message-ID"]) for _, letter in server.letters]
    assert 3 == len(ids)
    assert ids[0] == ids[1] != ids[2]
    assert all(one.endswith("@site.example>") for one in ids)
    assert [] == outcomes(run(store, server, NOW + 1))


def test_two_senders_at_once(either: Store, server: MailServer) -> None:
    """The second is refused and told who is at it, so that nothing goes out twice."""
    held = hold.take(either, Holder(7, "there", NOW), hold.SENDER)
    try:
        with pytest.raises(Refused, match="notices are being sent from it: process 7 on there"):
            run(either, server)
    finally:
        held.release()
    assert 2 == len(run(either, server).rows)


def test_use_after_the_days_of_grace(store: Store, server: MailServer) -> None:
    """Over since 02:30, tolerated for a day: told when something is charged after that, and once."""
    add(store, replace(SMALL, grace_days=1))
    run(store, server)
    over = T + 2 * HOUR + HOUR // 2 + DAY
    assert [] == outcomes(run(store, server, over + HOUR))  # nothing ran since
    more = RunRecord(
        CLUSTER,
        9,
        over,
        over + HOUR,
        over + 2 * HOUR,
        "COMPLETED",
        "pt-small",
        ONE_GPU,
        nodes="a2",
        limit=DAY,
    )
    books.read(store, [more])

    found = run(store, server, over + 3 * HOUR)
    assert ["grace", "grace"] == [row.notice.kind for row in found.rows]
    assert "small: use goes on after the days of grace" == found.rows[0].letter.headline
    assert [] == outcomes(run(store, server, over + 4 * HOUR))


def test_use_within_the_days_of_grace_is_none_after_them(store: Store, server: MailServer) -> None:
    """Charged in the last day, but before its grace was over."""
    add(store, replace(SMALL, grace_days=1))
    run(store, server)
    over = T + 2 * HOUR + HOUR // 2 + DAY
    more = RunRecord(
        CLUSTER, 9, over, over - 2 * HOUR, over, "COMPLETED", "pt-small", ONE_GPU, nodes="a2", limit=DAY
    )
    books.read(store, [more])

    assert [] == outcomes(run(store, server, over + HOUR))


def ending(award: Award, end: int) -> Award:
    """The same with an end."""
    return replace(award, end=end)


@pytest.mark.parametrize(
    ("end", "headlines"),
    [
        (NOW + 31 * DAY, []),
        (NOW + 30 * DAY, ["large: ends in 30 days, 88.00 GPU-hours left"]),
        (NOW + 5 * DAY, ["large: ends in 5 days, 88.00 GPU-hours left"]),
    ],
)
def test_an_award_that_ends(end: int, headlines: Sequence[str], store: Store, server: MailServer) -> None:
    """With what is left of it; of two dates that have passed the nearer is told."""
    add(store, ending(LARGE, end))

    found = [row.letter.headline for row in run(store, server).rows if row.notice.award == "large"]
    assert headlines == found


def test_use_after_an_end_goes_on(store: Store, server: MailServer) -> None:
    """Charged to no one's quota, but told."""
    add(store, ending(LARGE, NOW - HOUR))

    (row,) = (row for row in run(store, server).rows if row.notice.award == "large")
    assert ("grace", "ana@uv.example") == (row.notice.kind, row.recipient)
    assert "although this award ended" in row.letter.text


def test_an_empty_database(sqlite_url: str, server: MailServer) -> None:
    """There is nothing to tell."""
    store = open_engine(sqlite_url)
    migrate.upgrade(store)

    assert Result((), 0, 0) == run(store, server)
    store.close()


def test_many_awards_are_told_in_one_run(either: Store, server: MailServer) -> None:
    """Over one connection, each noted by itself."""
    awards = [replace(SMALL, id=f"x{number}", report_due=NOW + 30 * DAY - HOUR) for number in range(40)]
    add(either, *awards)

    assert 40 == sum(row.notice.kind == "report" for row in run(either, server).rows)
    assert (42, 1) == (len(server.letters), server.connections)
