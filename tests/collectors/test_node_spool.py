"""Spools over HTTP: whole answers of agents, or a word on why not; and the list of whom to ask."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import bcrypt
import pytest

from collectors import node_spool
from collectors.node_spool import Agents, targets
from collectors.protocol import Target
from exporters.http_server import TEXT, Answer, Request
from exporters.serve import Address, Holder, PageServer
from exporters.web_config import read
from opsd.core.errors import BadInput, Unavailable
from opsd.core.measured import Measured

ONE = Measured(7, "GPU-1", 100, 200, account="es", user="ana", allocated_ms=100_000, xids=((79, 2),))


def body(records: object = (), **other: object) -> dict[str, object]:
    """An answer of an agent."""
    shown = [one.as_json() if isinstance(one, Measured) else one for one in records]  # type: ignore[attr-defined]
    return {"version": 1, "node": "n", "spool": "s", "cursor": 5, "more": False, "records": shown} | other


@contextmanager
def agent(answer: Callable[[Request], Answer], **more: object) -> Iterator[str]:
    """An agent's server with a spool like this; its address."""
    server = PageServer(
        Address("127.0.0.1", 0), Holder(), title="opsd-node", routes={"/spool": answer}, **more  # type: ignore[arg-type]
    )  # fmt: skip
    server.start()
    try:
        yield str(server.address)
    finally:
        server.stop()


def saying(said: object, status: int = 200) -> Callable[[Request], Answer]:
    """An answer whatever is asked."""
    text = said if isinstance(said, bytes) else json.dumps(said).encode()
    return lambda _: Answer(status, "application/json", text)


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[Agents]:
    """A client of agents that are in no file."""
    made = Agents(str(tmp_path / "nodes.json"), timeout_seconds=5)
    yield made
    made.close()


def test_what_an_agent_kept(agents: Agents) -> None:
    """Its records, where to go on and whether there is more."""
    with agent(saying(body([ONE], more=True))) as address:
        found = agents.spool(Target(address)).fetch("s", 3)

    assert ("s", 5, [ONE], [], True) == (
        found.spool, found.cursor, list(found.records), list(found.faults), found.more,
    )  # fmt: skip


def test_another_spool_is_read_from_its_beginning(agents: Agents) -> None:
    """A cursor of a spool that is no more means nothing to the new one."""
    asked: list[str] = []

    def answer(request: Request) -> Answer:
        asked.append(request.query["after"])
        return saying(body([ONE], spool="new"))(request)

    with agent(answer) as address:
        assert "new" == agents.spool(Target(address)).fetch("old", 9).spool
        assert "new" == agents.spool(Target(address)).fetch("new", 9).spool
        assert "new" == agents.spool(Target(address)).fetch("", 0).spool
    assert ["9", "0", "9", "0"] == asked


def test_a_bad_record_costs_itself(agents: Agents) -> None:
    """What cannot be read is told; the others are there, also from a newer agent that tells more."""
    newer = ONE.as_json() | {"watts": 3}
    with agent(saying(body([{"job_id": "x"}, newer, {**ONE.as_json(), "covered_ms": -1}]))) as address:
        found = agents.spool(Target(address)).fetch("s", 0)

    assert [ONE] == list(found.records)
    assert 2 == len(found.faults)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (saying(b"<html>"), "not JSON"),
        (saying([]), "not a spool's answer: version"),
        (saying(body(version=2)), "version 2: this opsd reads 1"),
        (saying(body(cursor="5")), "not a spool's answer: cursor"),
        (saying(body(spool="")), "not a spool's answer: spool"),
        (saying(b"not well", 503), "503 not well"),
        (lambda _: Answer(302, TEXT, b"", headers=(("Location", "http://127.0.0.1:1/"),)), "302 Found"),
    ],
    ids=["html", "list", "version", "cursor", "spool", "status", "redirect"],
)
def test_what_is_no_answer(answer: Callable[[Request], Answer], message: str, agents: Agents) -> None:
    """It is said which agent said what; nothing is taken from it, and nobody is sent elsewhere."""
    with agent(answer) as address, pytest.raises(Unavailable, match=f"{address}/spool: {message}"):
        agents.spool(Target(address)).fetch("s", 0)


def test_an_answer_without_end(agents: Agents, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than any agent keeps is not read to its end."""
    monkeypatch.setattr(node_spool, "_MOST_BYTES", 1000)
    with agent(saying(b"[" * 5000)) as address, pytest.raises(Unavailable, match="more than 1,000 bytes"):
        agents.spool(Target(address)).fetch("s", 0)


def test_nobody_there(tmp_path: Path) -> None:
    """A port without an agent, and one that takes the call and says nothing, both end in time."""
    made = Agents(str(tmp_path / "nodes.json"), timeout_seconds=0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = Target(f"127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(Unavailable, match=r"no whole answer in 0\.2 s"):
            made.spool(target).fetch("s", 0)
    with pytest.raises(Unavailable, match="refused"):
        made.spool(Target("127.0.0.1:1")).fetch("s", 0)
    made.close()


@pytest.mark.parametrize(
    "piece", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n{"], ids=["head", "body"]
)
def test_an_answer_in_drops(piece: bytes, tmp_path: Path) -> None:
    """A byte now and then, in whichever part of the answer, does not keep the daemon waiting."""
    made = Agents(str(tmp_path / "nodes.json"), timeout_seconds=0.3)
    with socket.create_server(("127.0.0.1", 0)) as slow:
        thread = threading.Thread(target=drip, args=(slow, piece), daemon=True)
        thread.start()
        with pytest.raises(Unavailable, match=r"no whole answer in 0\.3 s"):
            made.spool(Target(f"127.0.0.1:{slow.getsockname()[1]}")).fetch("s", 0)
        thread.join()
    made.close()


def drip(server: socket.socket, piece: bytes) -> None:
    """A client's connection, on which a byte comes often enough, until it hangs up."""
    connection, _ = server.accept()
    with connection, suppress(OSError):
        connection.sendall(piece)
        connection.settimeout(0.02)
        while True:
            connection.sendall(b"x")
            with suppress(TimeoutError):
                if not connection.recv(65_536):
                    return


def test_behind_tls_and_a_password(certificates: Path, tmp_path: Path) -> None:
    """With the certificates and the password of [nodes] it is answered, and not without any of them."""
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    web = certificates / "spool.yml"
    web.write_text(
        "tls_server_config: {cert_file: server.crt, key_file: server.key, client_ca_file: ca.crt, "
        f"client_auth_type: RequireAndVerifyClientCert}}\nbasic_auth_users: {{opsd: '{hashed}'}}\n"
    )
    known = {
        "ca_file": str(certificates / "ca.crt"), "cert_file": str(certificates / "client.crt"),
        "key_file": str(certificates / "client.key"), "username": "opsd", "password": "secret",
    }  # fmt: skip
    nothing = {
        "password": {"username": "", "password": ""},
        "right": {"password": "wrong"},
        "certificate": {"cert_file": "", "key_file": ""},
    }
    with agent(saying(body([ONE])), web=read(web)) as address:
        made = Agents("x", timeout_seconds=5, **known)  # type: ignore[arg-type]
        assert [ONE] == list(made.spool(Target(address)).fetch("s", 0).records)
        made.close()
        for lacking in nothing.values():
            made = Agents("x", timeout_seconds=5, **known | lacking)  # type: ignore[arg-type]
            with pytest.raises(Unavailable):
                made.spool(Target(address)).fetch("s", 0)
            made.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"username": "opsd"}, "nodes.username: goes with nodes.password_file"),
        ({"cert_file": "x"}, "nodes.cert_file: goes with nodes.ca_file"),
        ({"ca_file": "/absent"}, r"nodes\.ca_file /absent, .*: .*No such file"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, str], message: str) -> None:
    """They are refused before anybody is asked."""
    with pytest.raises(BadInput, match=message):
        Agents("x", **settings)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------ whom to ask


def test_targets_of_prometheus(tmp_path: Path) -> None:
    """The file that Prometheus reads: addresses in order, with the labels that matter here."""
    file = tmp_path / "nodes.json"
    file.write_text(
        json.dumps(
            [
                {"targets": ["b:9751", "a:9751"], "labels": {"cluster": "mn5", "rack": "1"}},
                {"targets": ["10.0.0.1:9751"], "labels": {"node": "c"}},
                {"targets": ["a:9751"], "labels": {"cluster": "mn5"}},
            ]
        )
    )
    found = targets(file)

    assert (Target("10.0.0.1:9751", "", "c"), Target("a:9751", "mn5"), Target("b:9751", "mn5")) == found
    assert ["c:9751", "a:9751", "b:9751"] == [target.name for target in found]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("{}", "must be a list"),
        ('[{"labels": {}}]', "group 1: needs targets"),
        ('[{"targets": []}, {"targets": ["a"]}]', "group 2: 'a': write HOST:PORT"),
        ('[{"targets": ["http://a:1"]}]', "write HOST:PORT"),
        ('[{"targets": ["a:1"], "labels": {"cluster": 1}}]', "labels must be an object of texts"),
        (
            '[{"targets": ["a:1"]}, {"targets": ["a:1"], "labels": {"cluster": "x"}}]',
            "a:1 stands there twice, and differently",
        ),
        (
            '[{"targets": ["b:1", "a:1"], "labels": {"node": "x"}}]',
            "a:1 and b:1 are both node x: give each a group",
        ),
    ],
)
def test_what_is_no_list(text: str, message: str, tmp_path: Path) -> None:
    """File and place are named."""
    (tmp_path / "nodes.json").write_text(text)
    with pytest.raises(BadInput, match=message):
        targets(tmp_path / "nodes.json")
    with pytest.raises(BadInput, match="absent: No such file"):
        targets(tmp_path / "absent")
