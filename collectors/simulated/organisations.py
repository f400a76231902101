"""The invented organisations of the simulated factory, and the people who work for them.

Invariant: no organisation here exists; names carry the letters that real ones carry, so that every
report, page and export is tried with ñ, ç, ğ, ı, ș and ț.
"""

# ruff: noqa: RUF001, RUF002, RUF003 (the dotless ı is Turkish, not a mistyped i)

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

HEALTH = "health"
REGULATION = "regulation"
FINANCE = "finance"
PUBLIC = "public sector"
ENERGY = "energy"
MEDIA = "media"
CLIMATE = "agriculture & climate"

FIRST_UID = 30_000


class Organisation(NamedTuple):
    """Who leads projects and employs users; `code` begins its people's user names."""

    id: str
    name: str
    country: str
    kind: str
    sector: str
    code: str
    people: int


class Person(NamedTuple):
    """A user of the cluster; `organisation` empty: in nobody's list."""

    user: str
    uid: int
    organisation: str


ORGANISATIONS = tuple(
    Organisation(*row)
    for row in (
        ("llumera-salud", "Llumera Salud, S.L.", "ES", "start-up", HEALTH, "llum", 5),
        ("hospital-penalmar", "Hospital Universitario de Peñalmar", "ES", "public-body", HEALTH, "hpen", 6),
        ("univ-castronuelo", "Universidad de Castroñuelo", "ES", "university", REGULATION, "ucas", 14),
        ("upc-valldonella", "Universitat Politècnica de Valldonella", "ES", "university", ENERGY, "upva", 12),
        ("ribaldera", "Ribaldera Finanzas, S.A.", "ES", "large-company", FINANCE, "riba", 7),
        ("ogaa", "Oficina Ibérica de Garantía Algorítmica", "ES", "public-body", REGULATION, "ogaa", 4),
        ("villanebra", "Ayuntamiento de Villanebra", "ES", "public-body", PUBLIC, "avil", 3),
        ("cierzonorte", "Eólica Cierzonorte, S.A.", "ES", "large-company", ENERGY, "cier", 6),
        ("garbinada", "Ràdio Televisió Garbinada", "ES", "public-body", MEDIA, "rtvg", 5),
        ("olivar-predictivo", "Olivar Predictivo, S. Coop.", "ES", "sme", CLIMATE, "oliv", 4),
        ("tramuntal", "Institut de Recerca Tramuntal", "ES", "research", HEALTH, "itra", 10),
        ("clima-puigmari", "Servei del Clima de Puigmarí", "ES", "public-body", CLIMATE, "clpu", 6),
        ("nandu-robotica", "Ñandú Robótica, S.L.", "ES", "start-up", ENERGY, "nand", 4),
        ("biotecnia-orballo", "Biotecnia Orballo, S.L.", "ES", "sme", HEALTH, "biot", 5),
        ("albarada", "Seguros Albarada, S.A.", "ES", "large-company", FINANCE, "albs", 5),
        ("lenguas-sotorraso", "Centro de Lenguas de Sotorraso", "ES", "research", MEDIA, "lsot", 7),
        ("univ-vilarinho", "Universidade de Vilarinho do Atlântico", "PT", "university", HEALTH, "uvil", 10),
        ("hospital-ria", "Hospital de São Gaspar da Ria", "PT", "public-body", HEALTH, "hria", 4),
        ("maregia", "Marégia Energia, S.A.", "PT", "large-company", ENERGY, "mare", 5),
        ("acucena", "Fábrica de Dados Açucena, Lda.", "PT", "sme", FINANCE, "acuc", 5),
        ("litoral-novo", "Instituto Público do Litoral Novo", "PT", "public-body", CLIMATE, "ipln", 5),
        ("pinhalva", "Caixa Económica de Pinhalva", "PT", "large-company", FINANCE, "cxpi", 4),
        ("andorinha", "Andorinha Média, S.A.", "PT", "large-company", MEDIA, "anmd", 4),
        ("vinhas-calculadas", "Vinhas Calculadas, Lda.", "PT", "start-up", CLIMATE, "vinc", 3),
        ("lusomente", "Lusomente IA, Lda.", "PT", "start-up", PUBLIC, "luso", 6),
        ("ribeira-clara", "Câmara Municipal de Ribeira Clara", "PT", "public-body", PUBLIC, "cmrc", 3),
        ("guneyisik", "Güneyışık Üniversitesi", "TR", "university", HEALTH, "guni", 10),
        ("karacam-teknik", "Karaçam Teknik Üniversitesi", "TR", "university", ENERGY, "kate", 9),
        ("yildirak", "Yıldırak Enerji A.Ş.", "TR", "large-company", ENERGY, "yild", 5),
        ("akcinar", "Akçınar Şehir Hastanesi", "TR", "public-body", HEALTH, "akci", 4),
        ("zeytindag", "Zeytindağ Veri A.Ş.", "TR", "sme", FINANCE, "zeyt", 4),
        ("kuzgun", "Kuzgun Yapay Zekâ A.Ş.", "TR", "start-up", MEDIA, "kuzg", 6),
        ("taskin-kurumu", "Ulusal Taşkın İzleme Kurumu", "TR", "public-body", CLIMATE, "tasi", 4),
        ("safran-katilim", "Safran Katılım Finans A.Ş.", "TR", "large-company", FINANCE, "safr", 4),
        ("yoruk-medya", "Yörük Medya A.Ş.", "TR", "sme", MEDIA, "yoru", 3),
        ("ut-brazilor", "Universitatea Tehnică din Valea Brazilor", "RO", "university", PUBLIC, "utvb", 8),
        ("magura-inalta", "Spitalul Clinic Măgura Înaltă", "RO", "public-body", HEALTH, "spma", 4),
        ("ape-turcana", "Institutul de Hidrologie Țurcana", "RO", "research", CLIMATE, "ihtu", 5),
        ("agrotarina", "AgroȚarină S.R.L.", "RO", "sme", CLIMATE, "agta", 3),
        ("stejaris", "Banca Stejăriș S.A.", "RO", "large-company", FINANCE, "bste", 4),
        ("zimbru", "Zimbru Robotics S.R.L.", "RO", "start-up", ENERGY, "zimb", 4),
        ("poiana-tiglei", "Primăria Poiana Țiglei", "RO", "public-body", PUBLIC, "pptg", 3),
    )
)
BY_ID = {organisation.id: organisation for organisation in ORGANISATIONS}

# People whom no list knows: visitors, students of a summer school, a service account.
STRANGERS = ("visit004", "visit017", "school21", "svcbench")


def people() -> Iterator[Person]:
    """Everybody who may run a job, in a fixed order."""
    uid = FIRST_UID
    for organisation in ORGANISATIONS:
        for _ in range(organisation.people):
            uid += 1
            yield Person(f"{organisation.code}{uid * 37 % 900 + 100}", uid, organisation.id)
    for user in STRANGERS:
        uid += 1
        yield Person(user, uid, "")


PEOPLE = tuple(people())
UID_OF = {person.user: person.uid for person in PEOPLE}


def staff(organisation: str) -> tuple[str, ...]:
    """The user names of an organisation's people."""
    return tuple(person.user for person in PEOPLE if person.organisation == organisation)
