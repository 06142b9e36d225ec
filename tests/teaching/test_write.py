"""Items come from what is certain or measured of a case, and nothing is asked that is neither."""

import re

import pytest

from meddiff.case import Clinical, MedDiffError, Plane, Region, Sex, Side, Status, Task
from meddiff.conditions.growth import ESTIMATE
from meddiff.conditions.measure import longest_diameter_mm
from meddiff.conditions.vocabulary import load_pathologies
from meddiff.teaching.item import TWIN, Kind, State, read_item
from meddiff.teaching.quality import faults
from meddiff.teaching.write import akin, compare_items, items_of, regions_beside
from tests.teaching.case_support import SPACING_MM, made_case

OF_ONE_CASE = set(Kind) - {Kind.ORDER, Kind.RESPONSE}


def only(kind: Kind, case, seed: int = 0, language: str = "en"):
    """The one item of that kind."""
    (item,) = items_of(case, seed, [kind], language)
    return item


def key_of(item) -> str:
    return item.choices[item.key].key


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("pathology", load_pathologies())
def test_every_pathology_gives_items_of_every_kind_without_a_fault(pathology, language):
    for seed, plane in enumerate(Plane):
        case = made_case(pathology, plane)
        items = items_of(case, seed, language=language)
        kinds = {item.kind for item in items}
        assert kinds == OF_ONE_CASE
        for item in items:
            assert faults(item) == ()
            assert read_item(item.canonical_json()) == item
            assert set(item.cases) == {case.id} and item.state is State.DRAFT and item.language == language
            assert re.search("synthetic|合成", item.stem, re.I) and re.search("made-up|虚构", item.stem)
        assert len({item.id for item in items}) == len(items)


def test_the_same_case_and_seed_give_the_same_items_and_another_seed_others():
    case = made_case("glioblastoma")
    assert items_of(case, 3) == items_of(case, 3)
    assert not {item.id for item in items_of(case, 3)} & {item.id for item in items_of(case, 4)}
    offered = {frozenset(c.key for c in only(Kind.DIAGNOSIS, case, seed).choices) for seed in range(8)}
    assert len(offered) > 1
    assert {item.id for item in items_of(case, language="zh")}.isdisjoint(item.id for item in items_of(case))


def test_nothing_is_written_of_a_rejected_case_or_of_a_removal():
    assert items_of(made_case(status=Status.REJECTED)) == ()
    assert items_of(made_case(task=Task.REMOVE)) == ()
    assert compare_items(made_case(radius=10), made_case(radius=25, status=Status.REJECTED)) == ()


def test_wrong_diagnoses_are_look_alikes_with_what_tells_them_apart():
    item = only(Kind.DIAGNOSIS, made_case("pituitary_tumor"))
    apart = {entry.key: entry.apart for entry in load_pathologies()["pituitary_tumor"].look_alikes}
    told = {choice.key: choice.feedback for choice in item.choices if choice.key != "pituitary_tumor"}
    assert told == apart and key_of(item) == "pituitary_tumor"


def test_too_few_look_alikes_are_filled_up_from_the_same_place():
    item = only(Kind.DIAGNOSIS, made_case("vestibular_schwannoma"))
    keys = {choice.key for choice in item.choices} - {"vestibular_schwannoma"}
    assert len(keys) == 3 and "meningioma" in keys
    for key in keys - {"meningioma"}:
        assert Region.POSTERIOR_FOSSA in load_pathologies()[key].regions


def test_a_name_that_covers_the_key_is_never_wrong_beside_it():
    known = load_pathologies()
    assert akin(known["glioma"], known["glioblastoma"]) and akin(known["glioblastoma"], known["glioma"])
    assert not akin(known["glioblastoma"], known["low_grade_glioma"])
    for key in ("glioma", "glioblastoma", "low_grade_glioma", "ganglioglioma", "radiation_necrosis"):
        for seed in range(10):
            offered = [known[choice.key] for choice in only(Kind.DIAGNOSIS, made_case(key), seed).choices]
            assert sum(akin(one, other) for one in offered for other in offered) == len(offered)


def test_a_stem_tells_what_the_picture_cannot_show_and_names_no_disease():
    assert "Core strongly restricted" in only(Kind.DIAGNOSIS, made_case("brain_abscess")).stem
    for pathology in load_pathologies().values():
        for language in ("en", "zh"):
            stem = only(Kind.DIAGNOSIS, made_case(pathology.key), language=language).stem
            assert not re.search(r"omas?\b|瘤", stem), stem
            assert not any(name.casefold() in stem.casefold() for name in (pathology.name, pathology.name_zh))
    assert "astrocytoma" in load_pathologies()["low_grade_glioma"].looks["T2"]  # which the stem leaves out


def test_a_lesion_measured_where_its_disease_never_lies_is_not_asked_for_its_diagnosis():
    def kinds(key, region):
        return {item.kind for item in items_of(made_case(key, measured={"region": region}))}

    assert Kind.DIAGNOSIS not in kinds("vestibular_schwannoma", "parietal")
    assert Kind.DIAGNOSIS in kinds("ependymoma", "parietal")
    assert Kind.DIAGNOSIS in kinds("craniopharyngioma", "central")  # beside the sella


def test_places_and_looks_are_asked_only_where_asked_and_measured_agree():
    for measured, kind in (
        ({"region": "temporal"}, Kind.LOCATION),
        ({"side": "midline"}, Kind.LOCATION),
        ({"enhancement": "solid", "margin": "smooth"}, Kind.FINDING),
    ):
        assert items_of(made_case("glioma", measured=measured), kinds=[kind]) == ()
    item = only(Kind.FINDING, made_case("glioma", measured={"enhancement": "solid"}))
    assert key_of(item) == "irregular" and len(item.choices) == 2
    assert key_of(only(Kind.FINDING, made_case("glioma"))) == "ring"


def test_a_place_is_asked_beside_the_other_side_and_regions_that_the_slice_shows():
    item = only(Kind.LOCATION, made_case("glioma"))
    keys = [choice.key for choice in item.choices]
    assert key_of(item) == "left frontal" and "right frontal" in keys
    others = set(keys) - {"left frontal", "right frontal"}
    assert {key.removeprefix("left ") for key in others} <= set(regions_beside(Region.FRONTAL, Plane.AXIAL))


def test_regions_beside_each_other_stand_in_one_slice():
    assert Region.SELLAR not in regions_beside(Region.PARIETAL, Plane.AXIAL)  # the vertex and the skull base
    assert Region.POSTERIOR_FOSSA in regions_beside(Region.SELLAR, Plane.AXIAL)
    for plane in Plane:
        for region in set(Region) - {Region.UNKNOWN}:
            assert region not in regions_beside(region, plane)
            assert Region.UNKNOWN not in regions_beside(region, plane)


def test_a_sagittal_slice_is_not_asked_for_the_side():
    item = only(Kind.LOCATION, made_case("meningioma", Plane.SAGITTAL))
    assert not any(side in choice.text for choice in item.choices for side in ("left", "right", "midline"))


def test_the_twin_is_the_normal_one_and_the_item_says_that_it_is_shown():
    lesion, normal = items_of(made_case(), kinds=[Kind.NORMAL])
    assert lesion.key == 0 and lesion.roles == () and lesion.pathology == "glioma"
    assert normal.key == 1 and normal.shown == ((normal.cases[0], TWIN),) and normal.pathology == ""
    assert [choice.text for choice in lesion.choices] == [choice.text for choice in normal.choices]
    alone = only(Kind.NORMAL, made_case(None))
    assert alone.key == 1 and alone.roles == ()


def test_a_twin_with_a_rest_of_the_lesion_and_a_given_slice_are_not_asked_to_be_normal():
    for case in (made_case(left_in_twin=0.2), made_case(task=Task.INSERT)):
        (item,) = items_of(case, kinds=[Kind.NORMAL])
        assert item.key == 0 and item.roles == ()
        assert items_of(case, kinds=[Kind.COMPARE]) == ()


def test_a_case_beside_its_twin_asks_which_one_has_the_lesion():
    items = [only(Kind.COMPARE, made_case(), seed) for seed in range(12)]
    assert {item.key for item in items} == {0, 1}
    assert all(item.roles[item.key] == "case" and item.roles[1 - item.key] == TWIN for item in items)


def test_a_size_is_that_of_the_outline_and_not_asked_where_the_finder_sees_another():
    case = made_case(radius=15)
    item = only(Kind.SIZE, case)
    assert item.key_mm == round(longest_diameter_mm(case.request.mask.to_array(), SPACING_MM), 1)
    assert item.tolerance_mm == round(0.15 * item.key_mm, 1)
    assert only(Kind.SIZE, made_case(radius=5)).tolerance_mm == 3.0
    assert items_of(made_case(radius=15, finder_off_mm=4), kinds=[Kind.SIZE]) != ()
    assert items_of(made_case(radius=15, finder_off_mm=6), kinds=[Kind.SIZE]) == ()


def test_the_next_step_is_the_best_of_the_pathology_and_marked_as_an_estimate():
    for pathology in load_pathologies().values():
        item = only(Kind.NEXT_STEP, made_case(pathology.key))
        best = [step for step in pathology.next_steps.steps if step.best]
        assert [item.choices[item.key].text] == [step.text for step in best]
        assert item.sources[0] == ESTIMATE and pathology.name in item.stem


def test_free_text_expects_what_is_sure_and_knows_what_contradicts_it():
    item = only(Kind.FREE_TEXT, made_case("glioma", measured={"region": "temporal"}))
    assert [one.name for one in item.expected] == ["diagnosis", "side", "enhancement"]
    assert {"right", "右侧"} <= {way for one in item.against if one.name == "side" for way in one.ways}
    wrong = {way for one in item.against if one.name == "diagnosis" for way in one.ways}
    assert {"meningioma", "脑膜瘤", "abscess"} <= wrong
    assert not {"glioma", "glioblastoma", "low grade glioma", "high grade glioma"} & wrong


def test_a_chinese_question_teaches_in_chinese_and_keeps_its_sources():
    case, words = made_case("brain_abscess"), load_pathologies()["brain_abscess"].told_in("zh")
    item = only(Kind.DIAGNOSIS, case, language="zh")
    assert item.points == words.teaching_points and item.sources == only(Kind.DIAGNOSIS, case).sources
    assert "T1增强" in item.stem and "扩散加权成像（未显示）：脓腔明显弥散受限" in item.stem
    told = [item.feedback, *item.points, *(one.feedback for one in item.choices), *(one.text for one in item.choices)]
    assert not any(re.search("[a-z]{3}", part) for part in told)
    assert {one.apart for one in words.look_alikes} <= {one.feedback for one in item.choices}


def test_who_is_shown_is_told_as_made_up():
    clinical = Clinical(age_years=61, sex=Sex.FEMALE)
    assert "of a made-up woman of 61 years" in only(Kind.SIZE, made_case(clinical=clinical)).stem
    assert "虚构的61岁女性" in only(Kind.SIZE, made_case(clinical=clinical), language="zh").stem


def test_a_case_without_a_pathology_is_asked_for_what_is_measured():
    case = made_case()
    finding = case.request.findings.finding.model_copy(update={"pathology": None})
    findings = case.request.findings.model_copy(update={"finding": finding})
    case = case.model_copy(update={"request": case.request.model_copy(update={"findings": findings})})
    kinds = {item.kind for item in items_of(case)}
    assert kinds == OF_ONE_CASE - {Kind.DIAGNOSIS, Kind.NEXT_STEP}
    assert [one.name for one in only(Kind.FREE_TEXT, case).expected] == ["side", "region", "enhancement"]


def test_two_cases_are_asked_which_is_larger_where_it_can_be_seen():
    (item,) = compare_items(made_case(radius=10), made_case(radius=25))
    assert item.cases[item.key] == made_case(radius=25).id
    assert faults(item) == ()
    assert compare_items(made_case(radius=15), made_case(radius=16)) == ()
    assert compare_items(made_case(radius=10), made_case(radius=25, finder_off_mm=20)) == ()


def test_two_cases_are_asked_which_is_which_where_their_looks_tell():
    glioma, meningioma = made_case("glioma"), made_case("meningioma")
    item = next(item for item in compare_items(meningioma, glioma) if item.pathology)
    assert item.cases[item.key] == meningioma.id and "Which picture shows meningioma?" in item.stem
    assert faults(item) == ()

    def asked(one, other):
        return [item for item in compare_items(one, other) if item.pathology]

    ring = made_case("brain_abscess")  # drawn as a glioma, as a glioblastoma is, and both with a ring
    assert asked(ring, made_case("glioblastoma")) == []
    assert asked(made_case("glioma"), made_case("glioblastoma")) == []  # the one name covers the other
    assert asked(ring, made_case("radiation_necrosis")) != []  # ring and uneven enhancement


def test_a_pair_is_shown_in_either_order_and_the_same_whichever_is_named_first():
    one, other = made_case(radius=10), made_case(radius=25)
    assert {compare_items(one, other, seed)[0].key for seed in range(12)} == {0, 1}
    assert compare_items(one, other)[0] == compare_items(other, one)[0]


def test_what_cannot_be_written_is_told():
    with pytest.raises(MedDiffError, match="cannot be compared with itself"):
        compare_items(made_case(), made_case())
    with pytest.raises(MedDiffError, match="en or zh, not in 'fr'"):
        items_of(made_case(), language="fr")
    case = made_case()
    finding = case.request.findings.finding.model_copy(update={"pathology": "sarcoma", "side": Side.LEFT})
    findings = case.request.findings.model_copy(update={"finding": finding})
    strange = case.model_copy(update={"request": case.request.model_copy(update={"findings": findings})})
    with pytest.raises(MedDiffError, match="'sarcoma', which prompts/ does not have"):
        items_of(strange)
