"""Synonyms are heard on whole words, in two languages, and a "no" is heard where it stands."""

import pytest

from meddiff.teaching.free_text import Said, hear
from meddiff.teaching.item import Expected

THINGS = (
    Expected(name="diagnosis", ways=("glioma", "胶质瘤")),
    Expected(name="other", ways=("brain abscess", "abscess", "brain metastasis", "low grade glioma")),
    Expected(name="side", ways=("left", "左侧", "左")),
    Expected(name="enhancement", ways=("ring enhancement", "ring-enhancing", "环形强化")),
    Expected(name="none", ways=("no enhancement", "without enhancement", "无强化")),
)
NAMES = [one.name for one in THINGS]


def heard(text: str) -> tuple[set[str], set[str]]:
    """Names of what is said, and of what is denied."""
    found = dict(zip(NAMES, hear(text, THINGS), strict=True))
    return tuple({name for name in NAMES if found[name] is one} for one in (Said.SAID, Said.DENIED))


@pytest.mark.parametrize(
    ("text", "said", "denied"),
    [
        ("Left ring enhancing glioma", {"side", "enhancement", "diagnosis"}, set()),
        ("GLIOMAS, Ring—enhancing.", {"diagnosis", "enhancement"}, set()),
        ("ganglioglioma cleft", set(), set()),  # parts of words
        ("low grade glioma", {"other"}, set()),  # the longer phrase
        ("brain metastases", {"other"}, set()),
        ("abscesses", {"other"}, set()),
        ("no enhancement", {"none"}, set()),
        ("no ring enhancement", set(), {"enhancement"}),
        ("no oedema on the left", {"side"}, set()),
        ("not on the left", set(), {"side"}),
        ("no evidence of abscess or ring enhancement", set(), {"other", "enhancement"}),
        ("no abscess, glioma", {"diagnosis"}, {"other"}),
        ("no abscess but glioma", {"diagnosis"}, {"other"}),
        ("glioma rather than abscess", {"diagnosis"}, {"other"}),
        ("abscess is unlikely", set(), {"other"}),
        ("an abscess can be excluded", set(), {"other"}),
        ("no glioma there; a glioma here", {"diagnosis"}, set()),
        ("左侧胶质瘤，环形强化", {"side", "diagnosis", "enhancement"}, set()),
        ("左额叶,无强化", {"side", "none"}, set()),
        ("未见环形强化。左侧", {"side"}, {"enhancement"}),
        ("胶质瘤，脓肿除外", {"diagnosis"}, set()),
        ("", set(), set()),
    ],
)
def test_what_is_said_and_denied(text, said, denied):
    assert heard(text) == (said, denied)


def test_spellings_of_both_shores_are_the_same():
    things = (Expected(name="a", ways=("pituitary tumour",)), Expected(name="b", ways=("hemangioblastoma",)))
    assert hear("Pituitary tumor or haemangioblastoma", things) == (Said.SAID, Said.SAID)


def test_a_way_of_two_things_counts_for_the_first():
    things = (Expected(name="a", ways=("mass",)), Expected(name="b", ways=("mass", "tumour")))
    assert hear("mass", things) == (Said.SAID, Said.MISSED)
