"""The simulated projects: who leads, who takes part, who pays, what kind of work, how much is used.

Invariant: accounts follow MareNostrum's families (`ehpc` JU, `etur` Türkiye, `epor` and `eporaif`
Portugal, institution codes for Spain), but only the bindings say who pays.
"""

from __future__ import annotations

from typing import NamedTuple

MODES = {
    "PG": "Playground",
    "FL": "Fast Lane",
    "LS": "Large Scale",
    "SC": "AI for Science",
    "RG": "Regular",
}
GPU_HOURS, WHOLE_NODES, LARGEST_SHARE, CORE_HOURS = "GNSC"


class Project(NamedTuple):
    """One project with its Slurm account.

    `load` is its share of all runs, `used` the part of its grant used at the end (0: somewhere healthy).
    """

    account: str
    pool: str
    mode: str
    grant: str
    work: str
    load: float
    used: float
    lead: str
    partners: tuple[str, ...]
    title: str


# account, access mode, unit of the grant, kind of work, load, used, lead, partners, title
TABLE = """
[ju]
ehpc201   LS G speech  3.0 -     lenguas-sotorraso lusomente,kuzgun Open speech for five languages
ehpc204   SC N llm     1.6 0.86  hospital-penalmar univ-vilarinho Clinical language model for hospitals
ehpc207   FL G vision  1.4 0.97  llumera-salud - Retinal screening at scale
ehpc210   LS G bio     1.8 -     biotecnia-orballo tramuntal Protein design for rare diseases
ehpc213   FL G risk    1.5 -     acucena zeytindag Fraud graphs across borders
ehpc216   SC S climate 1.8 -     ape-turcana taskin-kurumu,clima-puigmari Flood forecasts in minutes
ehpc219   LS G llm     1.5 -     lusomente villanebra,ribeira-clara Assistant for town halls
ehpc222   LS G grid    1.4 -     maregia cierzonorte Wind farm digital twin
ehpc225   FL G speech  1.3 1.08  kuzgun garbinada,yoruk-medya Dubbing that keeps the voice
ehpc228   PG G vision  0.8 -     zimbru agrotarina Robots that sort harvests
ehpc231   SC N serving 1.2 -     univ-castronuelo ogaa Audit tools for the AI Act
ehpc234   PG G vision  0.6 0.84  vinhas-calculadas - Vineyard water stress
ehpc237   LS G llm     1.5 -     guneyisik akcinar,hospital-ria Pathology foundation model
ehpc240   SC S bio     1.2 -     karacam-teknik upc-valldonella Battery materials
ehpc243   PG G serving 0.7 -     ut-brazilor poiana-tiglei Reading land registers
ehpc246   FL G risk    0.9 -     albarada - Insurance claims triage
ehpc249   PG G vision  0.03 0.012 olivar-predictivo - Olive fly forecasts
ehpc252   FL G serving 0.9 -     andorinha garbinada News archives made searchable
ehpc255   FL G grid    1.0 -     yildirak nandu-robotica Grid faults seen early
ehpc258   PG G risk    0.6 -     stejaris - Loan models that explain themselves
[spain]
hpen12    RG C risk    1.4 -     hospital-penalmar univ-castronuelo Emergency room forecasts
ucas07    RG N llm     1.3 -     univ-castronuelo lenguas-sotorraso Law texts in plain words
ucas11    RG G serving 1.0 -     univ-castronuelo ogaa,ut-brazilor Bias tests for public algorithms
upva03    RG S climate 1.7 -     upc-valldonella karacam-teknik Turbulence closures by learning
upva21    RG G grid    0.9 0.88  upc-valldonella cierzonorte Power market agents
riba04    LS G risk    1.3 -     ribaldera - Money laundering patterns
ogaa01    SC G serving 0.8 -     ogaa univ-castronuelo Sandbox for high-risk systems
avil02    PG G vision  0.5 -     villanebra - Street repair from images
cier05    FL G vision  1.0 1.04  cierzonorte maregia Blade inspection by drone
oliv01    PG G climate 0.6 -     vinhas-calculadas olivar-predictivo Yield maps
nand02    FL G vision  1.0 -     nandu-robotica zimbru Warehouse robots learn to grasp
biot06    LS G bio     1.2 -     biotecnia-orballo - Antibody screening
albs03    RG C climate 1.0 0.83  albarada clima-puigmari Storm damage estimates
lsot09    RG G speech  1.0 -     lenguas-sotorraso - Small languages corpus
[generalitat]
itra05    RG G bio     1.2 -     tramuntal univ-vilarinho Cell atlases
clpu02    RG S climate 1.2 0.91  clima-puigmari - Heat waves street by street
rtvg04    FL G speech  0.8 -     garbinada lenguas-sotorraso Subtitles for live television
upva30    RG G grid    0.8 -     upc-valldonella - Chip layouts by search
llum02    PG G vision  0.7 -     llumera-salud hospital-penalmar Skin images, many skins
[portugal]
epor12    RG C climate 1.6 -     litoral-novo univ-vilarinho Ocean models with learned physics
epor17    RG C bio     1.3 -     univ-vilarinho hospital-ria Genomes of island populations
epor23    RG N climate 0.9 -     litoral-novo - Tides and ports
epor31    RG G risk    0.8 -     pinhalva - Credit risk under stress
epor48    RG G vision  0.7 0.96  univ-vilarinho olivar-predictivo Cork oak decline
[portugal-aif]
eporaif03 LS G llm     1.3 -     lusomente hospital-ria Assistant for family doctors
eporaif07 LS G llm     1.4 0.87  univ-vilarinho lusomente Portuguese of all continents
eporaif09 FL G serving 0.8 0.985 hospital-ria - Radiology reports drafted
eporaif12 FL G speech  0.8 -     andorinha lenguas-sotorraso Newsroom fact checks
eporaif15 PG G serving 0.6 -     stejaris acucena Invoices read by machine
eporaif18 FL G grid    0.7 -     maregia cierzonorte Tidal turbines tuned
eporaif21 PG G serving 0.5 -     ribeira-clara lusomente Permits in a week
[turkiye]
etur05    LS G llm     1.7 -     karacam-teknik kuzgun Turkish language model
etur11    RG S climate 1.4 -     karacam-teknik - Earthquake ground motion
etur14    FL G vision  0.9 0.82  akcinar guneyisik Stroke triage in the ambulance
etur19    FL G risk    0.8 -     safran-katilim zeytindag Interest-free credit scoring
etur22    RG G bio     1.2 -     guneyisik ut-brazilor Drug repurposing
etur26    SC N climate 0.8 -     taskin-kurumu - Dam levels a month ahead
etur30    FL G speech  0.9 -     kuzgun - Customer calls understood
etur33    PG G speech  0.5 -     yoruk-medya - Series written with writers
etur38    RG G grid    0.8 -     upc-valldonella yildirak Solar forecasts for the east
[romania]
erou02    PG G vision  0.6 -     agrotarina ut-brazilor Wheat rust from orbit
erou04    SC N speech  0.9 -     ut-brazilor zimbru Romanian speech in noise
erou05    RG C climate 0.8 -     ape-turcana - Danube ice and floods
erou08    FL G risk    0.6 -     magura-inalta univ-vilarinho Sepsis warnings
erou09    FL G serving 0.5 -     stejaris - Counter staff copilot
"""


def _read(table: str) -> tuple[Project, ...]:
    found: list[Project] = []
    pool = ""
    for line in table.split("\n"):
        if line.startswith("["):
            pool = line.strip("[]")
        elif line:
            found.append(_project(pool, *line.split(maxsplit=8)))
    return tuple(found)


def _project(
    pool: str,
    account: str,
    mode: str,
    grant: str,
    work: str,
    load: str,
    used: str,
    lead: str,
    partners: str,
    title: str,
) -> Project:
    names = () if partners == "-" else tuple(partners.split(","))
    share = 0.0 if used == "-" else float(used)
    return Project(account, pool, MODES[mode], grant, work, float(load), share, lead, names, title)


PROJECTS = _read(TABLE)
BY_ACCOUNT = {project.account: project for project in PROJECTS}

# What makes the demonstration worth looking at: each trait names the accounts that have it.
ENDED = {"ehpc243": 0.55, "avil02": 0.68, "eporaif21": 0.8}  # the award ends here, use goes on
REBOUND = {"epor17": 0.6, "etur22": 0.45}  # from here on another award of the project
UPGRADE_GRANT = {"ehpc237": 0.62, "eporaif03": 0.4}  # use of partition upg counts for an award of its own
RESERVED = "ucas07"  # a course: some of its runs stand in a reservation
UNBOUND = Project(
    "etur77", "", "Fast Lane", GPU_HOURS, "vision", 0.7, 0.0, "guneyisik", (), "An account nobody has bound"
)
EVERYBODY = (*PROJECTS, UNBOUND)
