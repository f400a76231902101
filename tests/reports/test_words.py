"""Every word of a report is in every language: extracted from the code, translated, with the same places."""

from __future__ import annotations

import ast
import string
from pathlib import Path

import pytest
from babel.messages.catalog import Message

from opsd.core.statement.words import Count, Country, Msg, Text, msg
from opsd.reports.locale import Locale, catalogue
from tests.reports import catalogues
from tests.reports.catalogues import TRANSLATED

_CEDILLAS = "şŞţŢ"  # in Romanian these have a comma below


def test_an_id_is_a_literal_text_wherever_a_message_is_made() -> None:
    """`msg` takes its id as a literal, or the extractor could not find it."""
    wrong = [
        f"{path.name}:{call.lineno}"
        for path in catalogues.sources()
        for call in _calls(path)
        if not call.args
        or not isinstance(call.args[0], ast.Constant)
        or not isinstance(call.args[0].value, str)
    ]

    assert [] == wrong


def test_a_message_is_given_exactly_the_values_that_its_id_names() -> None:
    """A place without a value would end a report in a traceback; a value without a place would be lost."""
    wrong = [
        f"{path.name}:{call.lineno}"
        for path in catalogues.sources()
        for call in _calls(path)
        if _places(ast.literal_eval(call.args[0])) != {keyword.arg for keyword in call.keywords}
        and all(keyword.arg is not None for keyword in call.keywords)  # **values are known when it runs
    ]

    assert [] == wrong


def test_the_extractor_finds_what_the_language_itself_finds() -> None:
    """Babel reads every message that Python's own grammar shows, nested ones too."""
    by_grammar = {call.args[0].value for path in catalogues.sources() for call in _calls(path)}  # type: ignore[attr-defined]

    assert by_grammar == catalogues.ids()
    assert len(catalogues.ids()) > 50


@pytest.mark.parametrize("code", TRANSLATED)
def test_a_catalogue_is_what_make_words_writes(code: str) -> None:
    """Nothing is missing, obsolete or fuzzy: `make words` changes nothing."""
    there = (catalogues.FOLDER / f"{code}.po").read_bytes()

    assert there == catalogues.updated(code), "run `make words`, and translate what it names"
    assert b"fuzzy" not in there
    assert b"#~" not in there


@pytest.mark.parametrize("code", TRANSLATED)
def test_every_word_is_translated(code: str) -> None:
    """No message of a report falls back to English."""
    missing = [one.id for one in _messages(code) if not str(one.string).strip()]

    assert [] == missing


@pytest.mark.parametrize("code", TRANSLATED)
def test_a_translation_names_the_same_places_as_its_id(code: str) -> None:
    """Every value of a message stands in its translation, each once, and nothing else."""
    wrong = [one.id for one in _translated(code) if _holes(str(one.id)) != _holes(str(one.string))]

    assert [] == wrong


@pytest.mark.parametrize("code", TRANSLATED)
def test_babel_finds_no_fault_in_a_catalogue(code: str) -> None:
    """Babel's own checks pass for every message."""
    assert [] == [(found.id, faults) for found, faults in catalogues.read(code).check()]


@pytest.mark.parametrize("code", TRANSLATED)
def test_a_translation_ends_as_its_id_does(code: str) -> None:
    """A sentence stays a sentence, a long label stays a label, and no space hangs on either end."""
    marks = ".:;"
    wrong = [
        one.id
        for one in _translated(code)
        if str(one.string) != str(one.string).strip()
        or (len(str(one.id)) > 20 and (str(one.id)[-1] in marks) != (str(one.string)[-1] in marks))
    ]

    assert [] == wrong


def test_romanian_letters_have_a_comma_below() -> None:
    """The letters with a cedilla are Turkish (ş) or nobody's (ţ)."""
    assert [] == [one.id for one in _messages("ro") if set(_CEDILLAS) & set(str(one.string))]


def test_turkish_letters_have_a_cedilla() -> None:
    """The letters with a comma below are Romanian."""
    assert [] == [one.id for one in _messages("tr") if set("șȘțȚ") & set(str(one.string))]


def test_catalan_writes_the_geminated_l_with_a_middle_dot() -> None:
    """`l·l`, never `l.l` or the old single letter."""
    assert [] == [
        one.id for one in _messages("ca") if "l.l" in str(one.string) or set("ŀĿ") & set(str(one.string))
    ]


@pytest.mark.parametrize("code", TRANSLATED)
def test_a_catalogue_is_in_the_language_of_its_name(code: str) -> None:
    """Most messages differ from English, and from those of every other language."""
    mine = catalogue(code)
    long = [text for text in mine if len(text) > 40]

    assert [] == [text for text in long if mine[text] == text]
    for other in set(TRANSLATED) - {code}:
        assert [] == [text for text in long if mine[text] == catalogue(other)[text]]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (
            msg("Usage report"),
            (
                "Informe de uso, Informe d'ús, Relatório de utilização, "
                "Kullan\u0131m raporu, Raport de utilizare"
            ),
        ),
        (
            msg("Entitled"),
            "Derecho asignado, Dret assignat, Quota atribuída, Tahsis hakk\u0131, Cotă alocată",
        ),
        (msg("Allocated"), "Asignado, Assignat, Atribuído, Tahsis edilen, Alocat"),
        (msg("Used"), "Consumido, Consumit, Consumido, Kullan\u0131lan, Consumat"),
        (msg("Adjustment"), "Ajuste, Ajust, Ajuste, Düzeltme, Ajustare"),
        (msg("Forecast"), "Previsión, Previsió, Previsão, Tahmin, Prognoză"),
        (msg("Organisation"), "Entidad, Entitat, Entidade, Kurum, Organizație"),
        (msg("Total"), "Total, Total, Total, Toplam, Total"),
        (
            msg("Over quota"),
            "Por encima de la cuota, Per sobre de la quota, Acima da quota, Kota aş\u0131m\u0131, Peste cotă",
        ),
    ],
)
def test_things_are_called_what_funders_call_them(word: Msg, expected: str) -> None:
    """The list of words that the funders' field uses holds."""
    assert expected.split(", ") == [Locale.of(code).word(word) for code in ("es", "ca", "pt", "tr", "ro")]


def test_what_has_no_translation_is_said_in_english() -> None:
    """A message that no catalogue knows is shown as its id, with its values."""
    assert "7 odd things" == Locale.of("tr").word(msg("{count} odd things", count=Count(7)))


def test_values_in_a_message_are_written_in_its_language() -> None:
    """A message formats its values, and messages inside it, by the locale's rules."""
    inner = msg("{start} to {end}", start=Count(12345), end=Country("JU"))
    outer = msg("{start} to {end}", start=Text("{İ} ş"), end=inner)

    assert "{İ} ş a 12.345 a Empresa Común" == Locale.of("es").word(outer)


def _messages(code: str) -> list[Message]:
    return [one for one in catalogues.read(code) if one.id]


def _translated(code: str) -> list[Message]:
    return [one for one in _messages(code) if one.string]


def _calls(path: Path) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and _called(node.func) == "msg"
    ]


def _called(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _holes(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


def _places(text: str) -> set[str | None]:
    return set(_holes(text))
