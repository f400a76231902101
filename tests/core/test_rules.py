"""Charges are exact, or their absence has a reason."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given

import opsd.core.rules
from opsd.core.agreements import Policy
from opsd.core.amounts import UNITS
from opsd.core.errors import BadText
from opsd.core.fields import BadField
from opsd.core.parties import NodeClass
from opsd.core.rules import RULES, charge, params_of
from opsd.core.shape import Shape, classify
from opsd.core.terms import Params, Rates, Unpriced
from opsd.core.tres import Tres
from tests.fakes.consortia import PARAMS

ACC = NodeClass("mn5", "acc", cores=80, cpus=160, mem_mb=512_000, gpus=4, gpu_class="h100")
ARM = NodeClass("mn5", "arm", cores=144, cpus=144, mem_mb=240_000, gpus=0)
UNKNOWN = NodeClass("mn5", "upgrade")
QUARTER = {"cpu": 40, "mem": 128_000, "node": 1, "gres/gpu": 1, "billing": 40}


def shape(node_class: NodeClass | None = ACC, **changes: int) -> Shape:
    """A quarter of an accelerated node, with changes; `gpu` stands for gres/gpu."""
    counts = QUARTER | {name.replace("gpu", "gres/gpu"): count for name, count in changes.items()}
    return classify(Tres.of({name: count for name, count in counts.items() if count}), node_class)[0]


def rates(run: object, suspended: object = None) -> Rates:
    """Rates from texts; suspended as running unless said."""
    return Rates(Fraction(str(run)), Fraction(str(run if suspended is None else suspended)))


@pytest.mark.parametrize(
    ("rule", "params", "held", "node_class", "expected"),
    [
        ("gpu_hours", "{}", shape(), ACC, rates(1)),
        ("gpu_hours", "{}", shape(gpu=0), ACC, rates(0)),
        ("gpu_hours", "{}", shape(None), None, rates(1)),
        ("gpu_hours", '{"weights":{"h100":"1.5"}}', shape(gpu=3), ACC, rates("4.5")),
        ("gpu_hours", '{"weights":{"b200":"1.5"}}', shape(gpu=3), ACC, rates(3)),
        ("gpu_hours", '{"weights":{"unclassified":"1/3"}}', shape(None), None, rates("1/3")),
        ("gpu_hours", '{"suspended":false}', shape(), ACC, rates(1, 0)),
        ("node_hours", "{}", shape(node=3), ACC, rates(3)),
        ("node_hours", "{}", shape(None, node=3), None, rates(3)),
        ("node_hours", '{"weights":{"acc":"0.5"}}', shape(node=3), ACC, rates("1.5")),
        ("node_hours", '{"mode":"largest-share"}', shape(), ACC, rates("0.25")),
        ("node_hours", '{"mode":"largest-share"}', shape(cpu=120), ACC, rates("0.75", "0.25")),
        ("node_hours", '{"mode":"largest-share"}', shape(gpu=2), ACC, rates("0.5")),
        ("node_hours", '{"mode":"largest-share"}', shape(mem=384_000), ACC, rates("0.75")),
        ("node_hours", '{"mode":"largest-share"}', shape(ARM, gpu=0, mem=80_000), ARM, rates("1/3")),
        ("node_hours", '{"mode":"largest-share","suspended":false}', shape(), ACC, rates("0.25", 0)),
        ("core_hours", "{}", shape(), ACC, rates(20, 0)),
        ("core_hours", "{}", shape(ARM, gpu=0), ARM, rates(40, 0)),
        ("core_hours", '{"weights":{"arm":"1/2"}}', shape(ARM, gpu=0), ARM, rates(20, 0)),
        ("core_hours", "{}", shape(None, cpu=0), None, rates(0)),
        ("billing", "{}", shape(), None, rates(40)),
        ("billing", '{"suspended":false}', shape(), None, rates(40, 0)),
    ],
)
def test_rates(rule: str, params: str, held: Shape, node_class: NodeClass | None, expected: Rates) -> None:
    """Each rule charges what its name says, to the last fraction."""
    assert expected == charge(Policy("p", rule, params=params), held, node_class)


@pytest.mark.parametrize(
    ("rule", "params", "held", "node_class", "reason"),
    [
        ("gpu_hours", '{"weights":{"h100":"1.5"}}', shape(None), None, "unknown class"),
        ("node_hours", "{}", shape(node=0), ACC, "no node count"),
        ("node_hours", '{"weights":{"acc":"2"}}', shape(None), None, "unknown class"),
        ("node_hours", '{"mode":"largest-share"}', shape(None), None, "unknown class"),
        ("node_hours", '{"mode":"largest-share"}', shape(UNKNOWN), UNKNOWN, "unknown CPUs"),
        ("node_hours", '{"mode":"largest-share"}', shape(ARM, cpu=1), ARM, "unknown GPUs"),
        ("node_hours", '{"mode":"largest-share"}', shape(cpu=161), ACC, "more than 1 whole nodes"),
        ("core_hours", "{}", shape(None), None, "threads per core"),
        ("core_hours", "{}", shape(UNKNOWN), UNKNOWN, "threads per core"),
        ("billing", "{}", shape(billing=0), ACC, "no billing entry"),
    ],
)
def test_says_why_not(rule: str, params: str, held: Shape, node_class: NodeClass | None, reason: str) -> None:
    """What cannot be known is not guessed."""
    found = charge(Policy("p", rule, params=params), held, node_class)
    assert isinstance(found, Unpriced)
    assert reason in found.reason


def test_an_empty_allocation_costs_nothing() -> None:
    """A run that held nothing is charged nothing by every rule."""
    for rule in RULES:
        assert rates(0) == charge(Policy("p", rule), Shape(Tres()), None)


def test_folder_and_table_agree() -> None:
    """Each file of the folder is a row of RULES, and each row has a unit that awards may be in."""
    folder = Path(opsd.core.rules.__file__).parent
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == set(RULES)
    for rule in RULES.values():
        assert rule.UNIT in UNITS
        assert set(rule.PARAMS) <= set(Params.__dataclass_fields__)


@given(PARAMS)
def test_parameters_come_back(params: Params) -> None:
    """The stored text of parameters reads back as the same parameters, and is canonical."""
    assert params == Params.from_text(params.text)
    assert params.text == Params.from_text(params.text).text


@pytest.mark.parametrize("text", ["", "[]", '{"colour":1}', '{"weights":{"a":"x"}}', '{"weights":[]}'])
def test_refuses_broken_parameters(text: str) -> None:
    """A stored text that is no set of parameters says so."""
    with pytest.raises(BadText):
        params_of(text)


def test_weights_are_checked() -> None:
    """Weights are sorted, distinct and not negative."""
    with pytest.raises(BadField):
        Params(weights=(("b", Fraction(1)), ("a", Fraction(1))))
    with pytest.raises(BadField):
        Params(weights=(("a", Fraction(-1)),))
