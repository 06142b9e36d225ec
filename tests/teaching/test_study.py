"""A plan keeps readers blind, its orders are balanced, and two red alerts suspend a case."""

from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest

from meddiff.case import MedDiffError
from meddiff.teaching.study import (
    Decision,
    Design,
    Plan,
    Question,
    Reading,
    Source,
    assignment,
    check_reading,
    check_together,
    flagged_cases,
    make_plan,
    suspended_cases,
)
from tests.teaching.study_support import READERS, arm_of, paired, plan_of, reading, sha, unpaired

ARMS = {"real": Source.REAL, "made": Source.SYNTHETIC}


def parts_of(plan: Plan, reader: str) -> list[tuple[str, ...]]:
    given = assignment(plan, reader)
    ends = [0, *given.breaks, len(given.pictures)]
    return [given.pictures[start:end] for start, end in pairwise(ends)]


def case_of(plan: Plan) -> dict[str, str]:
    return {picture.id: picture.case for arm in plan.arms for picture in arm.pictures}


# ------------------------------------------------------------ blind


def test_what_a_reader_gets_names_no_arm_no_label_and_no_hash():
    plan = paired()
    text = assignment(plan, "anna").canonical_json()
    for telling in ("real", "processed", "patient", "RC-", '"a"', '"b"', *(p.sha256 for p in plan.arms[0].pictures)):
        assert telling not in text.replace(Question.REALISM.value, "")


def test_a_plan_holds_no_label_that_pictures_came_with():
    plan = plan_of({"real": (Source.REAL, ["Smith, John", "Lee"]), "made": (Source.SYNTHETIC, ["MD-1"])})
    assert not any(word in plan.canonical_json() for word in ("Smith", "Lee", "MD-1"))


def test_neither_ids_nor_cases_follow_the_order_of_arms():
    plan = unpaired(cases=60)
    arms = arm_of(plan)
    in_order = [arms[name] for name in sorted(arms)]
    assert 20 <= Counter(in_order[:60])["real"] <= 40  # 30 by chance, spread 2.7
    numbers = {name: int(case[3:]) for name, case in case_of(plan).items()}
    by_number = [arms[name] for name in sorted(numbers, key=numbers.get)]
    assert 20 <= Counter(by_number[:60])["real"] <= 40


def test_the_place_in_the_order_does_not_tell_the_arm():
    """Over many readers each place shows each arm about as often."""
    readers = [f"r{n}" for n in range(60)]
    plan = paired(cases=10, readers=readers)
    arms = arm_of(plan)
    seen = np.array([[arms[name] == "real" for name in assignment(plan, reader).pictures] for reader in readers])
    assert seen.mean() == pytest.approx(1 / 3)
    assert seen.mean(axis=0).max() < 0.6 and seen.mean(axis=0).min() > 0.1  # 1/3, spread 0.06


# ------------------------------------------------------------ balance


@pytest.mark.parametrize("plan", [unpaired(), paired(), paired(cases=7), unpaired(cases=1)])
def test_each_reader_reads_every_picture_once_in_an_order_of_their_own(plan):
    orders = [assignment(plan, reader).pictures for reader in plan.readers]
    assert all(sorted(order) == sorted(arm_of(plan)) for order in orders)
    if len(orders[0]) > 2:
        assert len(set(orders)) == len(orders)
    assert orders[0] == assignment(plan, plan.readers[0]).pictures


def test_a_part_shows_a_case_once_and_all_arms_alike():
    plan = paired(cases=20)
    arms, cases = arm_of(plan), case_of(plan)
    for reader in READERS:
        parts = parts_of(plan, reader)
        assert len(parts) == 3
        for part in parts:
            assert len({cases[name] for name in part}) == len(part) == 20
            shown = Counter(arms[name] for name in part)
            assert max(shown.values()) - min(shown.values()) <= 1


def test_versions_of_a_case_lie_half_a_part_apart():
    plan = paired(cases=20)
    cases = case_of(plan)
    for reader in READERS:
        places = defaultdict(list)
        for place, name in enumerate(assignment(plan, reader).pictures):
            places[cases[name]].append(place)
        assert min(np.diff(found).min() for found in places.values()) > 20 / 2 - 1


def test_each_version_of_a_case_comes_first_as_often_as_the_others():
    plan = paired(cases=12)
    arms, cases = arm_of(plan), case_of(plan)
    first = defaultdict(Counter)
    for reader in READERS:
        seen = {}
        for name in assignment(plan, reader).pictures:
            seen.setdefault(cases[name], arms[name])
        for case, arm in seen.items():
            first[case][arm] += 1
    assert all(counts == {"real": 2, "a": 2, "b": 2} for counts in first.values())


def test_cases_of_fewer_versions_change_their_order_too():
    labels = [f"patient {n}" for n in range(6)]
    plan = plan_of(
        {
            "real": (Source.REAL, labels),
            "a": (Source.PROCESSED, labels),
            "b": (Source.PROCESSED, labels[:3]),
        }
    )
    arms, cases = arm_of(plan), case_of(plan)
    two = {case for case in cases.values() if sum(other == case for other in cases.values()) == 2}
    first = Counter()
    for reader in READERS:
        seen = {}
        for name in assignment(plan, reader).pictures:
            seen.setdefault(cases[name], arms[name])
        first.update(seen[case] for case in two)
    assert set(first) == {"real", "a"} and abs(first["real"] - first["a"]) <= 4  # of 18


def test_a_reader_more_changes_nobodys_order():
    few, more = paired(readers=READERS[:3]), paired(readers=READERS)
    assert few.id == more.id
    assert [assignment(few, reader) for reader in few.readers] == [assignment(more, reader) for reader in few.readers]


# ------------------------------------------------------------ red alert


def test_two_readers_suspend_a_case_in_all_its_versions_and_one_does_not():
    plan = paired()
    case = plan.arms[0].pictures[4].case
    versions = [name for name, other in case_of(plan).items() if other == case]
    once = [reading("anna", versions[0], red_alert=True), reading("anna", versions[1], red_alert=True)]
    assert suspended_cases(plan, once) == ()
    twice = [*once, reading("ben", versions[2], red_alert=True), reading("chen", versions[2])]
    assert suspended_cases(plan, twice) == (case,)
    before, after = assignment(plan, "dora"), assignment(plan, "dora", suspended_cases(plan, twice))
    assert after.pictures == tuple(name for name in before.pictures if name not in versions)
    assert after.breaks == (19, 38)


# ------------------------------------------------------------ what is refused


def test_a_reading_must_fit_the_plan_and_answer_what_is_asked():
    plan = unpaired(readers=["anna"])
    name = plan.arms[0].pictures[0].id
    check_reading(plan, reading("anna", name, visibility=None))  # no lesion to be seen
    with pytest.raises(MedDiffError, match="ben is no reader of .*: choose one of anna"):
        check_reading(plan, reading("ben", name))
    with pytest.raises(MedDiffError, match="has no picture RP-000000000000"):
        check_reading(plan, reading("anna", "RP-000000000000"))
    with pytest.raises(MedDiffError, match="does not rate anatomy: give 1 to 5"):
        check_reading(plan, reading("anna", name, anatomy=None))
    with pytest.raises(MedDiffError, match="ben is no reader"):
        assignment(plan, "ben")


@pytest.mark.parametrize("change", [{"realism": 0}, {"realism": 6}, {"confidence": 0}, {"seconds": -1}])
def test_a_reading_keeps_to_its_scales(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        reading("anna", "RP-000000000000", **change)


def test_suspicion_runs_from_certainly_real_to_certainly_made():
    said = [
        reading("anna", "RP-000000000000", ai_suspected=ai, confidence=c) for ai, c in ((0, 5), (0, 1), (1, 1), (1, 5))
    ]
    assert [row.suspicion for row in said] == [-5, -1, 1, 5]


@pytest.mark.parametrize(
    ("arms", "readers", "words"),
    [
        ({"real": [("p1", sha("x"))], "made": [("c1", sha("x"))]}, ["anna"], "the same picture stands twice"),
        ({"real": [("p1", sha("x")), ("p1", sha("y"))]}, ["anna"], "arm real shows RC-0000 twice"),
        ({"real": [("p1", sha("x"))]}, ["anna", "anna"], "the same reader stands twice"),
        ({"real": [("p1", sha("x"))]}, [], "readers"),
        ({"real": [("p1", sha("x"))]}, ["=cmd()"], "readers"),
        ({"real": []}, ["anna"], "pictures"),
        ({"real": [("p1", "no hash")]}, ["anna"], "sha256"),
    ],
)
def test_a_plan_that_cannot_work_is_refused_in_words(arms, readers, words):
    with pytest.raises(MedDiffError, match=f"cannot be planned: .*{words}"):
        make_plan("t", {name: (ARMS[name], pictures) for name, pictures in arms.items()}, readers)


def test_plans_and_readings_survive_json():
    plan = paired()
    assert Plan.model_validate_json(plan.canonical_json()) == plan
    said = reading("anna", plan.arms[0].pictures[0].id, red_alert=True)
    assert Reading.model_validate_json(said.canonical_json()) == said


def test_another_seed_is_another_study():
    assert paired(seed=1).id != paired(seed=2).id
    assert set(arm_of(paired(seed=1))).isdisjoint(arm_of(paired(seed=2)))


# ------------------------------------------------------------ decisions


def test_a_decision_stands_until_two_others_flag_the_case():
    plan = paired()
    picture = plan.arms[0].pictures[0]
    said = [reading(who, picture.id, red_alert=True, alert_reason="no midline") for who in ("anna", "ben")]
    shown = Decision(case=picture.case, shown=True, who="Eve", why="it is a variant", heard=("anna", "ben"))
    assert suspended_cases(plan, said) == (picture.case,) and suspended_cases(plan, said, [shown]) == ()
    said.append(reading("chen", picture.id, red_alert=True))
    assert suspended_cases(plan, said, [shown]) == ()
    said.append(reading("dora", picture.id, red_alert=True))
    assert suspended_cases(plan, said, [shown]) == (picture.case,)
    out = shown.model_copy(update={"shown": False})
    assert suspended_cases(plan, said[:1], [shown, out]) == (picture.case,)
    (found,) = flagged_cases(plan, said[:1], [out])
    assert found.said == (("anna", picture.id, "no midline"),) and found.decision == out


# ------------------------------------------------------------ pairs


def in_pairs(cases: int = 8, **more) -> Plan:
    labels = [f"pair {n}" for n in range(cases)]
    return plan_of({"real": (Source.REAL, labels), "made": (Source.SYNTHETIC, labels)}, design=Design.PAIRS, **more)


def test_plans_of_single_pictures_are_named_as_they_were_before_there_were_pairs():
    plan = unpaired(cases=2)
    assert plan.id == "RS-f8552106ff9f"
    assert plan.digest() == "8a0d60ced31ac9a85d7fc126ad1a6c00b47bd9a63ce13a7a672141c2fd7c1009"


def test_pairs_come_together_in_an_order_and_with_sides_of_the_readers_own():
    plan = in_pairs()
    cases, arms = case_of(plan), arm_of(plan)
    orders, lefts = set(), Counter()
    for reader in plan.readers:
        given = assignment(plan, reader)
        pairs = list(zip(given.pictures[::2], given.pictures[1::2], strict=True))
        assert given.design is Design.PAIRS and given.breaks == () and len({cases[one] for one, _ in pairs}) == 8
        assert all(cases[one] == cases[other] for one, other in pairs)
        assert sum(arms[one] == "real" for one, _ in pairs) == 4
        orders.add(tuple(cases[one] for one, _ in pairs))
        lefts.update(cases[one] for one, _ in pairs if arms[one] == "real")
    assert len(orders) == len(plan.readers) and len(set(lefts.values())) > 1


def test_of_a_pair_exactly_one_is_suspected_with_one_confidence():
    plan = in_pairs(cases=2)
    one, other = (next(p.id for p in arm.pictures if p.case == "RC-0000") for arm in plan.arms)
    third = next(p.id for p in plan.arms[0].pictures if p.case == "RC-0001")
    said = [reading("anna", one), reading("anna", other, ai_suspected=True)]
    check_together(plan, said)
    for wrong in (
        said[:1],
        [said[0], said[0]],
        [said[0], reading("anna", other)],
        [said[0], reading("ben", other, ai_suspected=True)],
        [said[0], reading("anna", other, ai_suspected=True, confidence=5)],
        [reading("anna", third), said[1]],
    ):
        with pytest.raises(MedDiffError, match="record both pictures of a pair together"):
            check_together(plan, wrong)


def test_what_cannot_be_shown_in_pairs_is_refused_in_words():
    pair = {"real": (Source.REAL, ["1", "2"]), "made": (Source.SYNTHETIC, ["1", "2"])}
    for arms, words in (
        ({**pair, "more": (Source.SYNTHETIC, ["1", "2"])}, "pairs take two arms"),
        ({**pair, "real": (Source.PROCESSED, ["1", "2"])}, "pairs take two arms"),
        ({**pair, "made": (Source.SYNTHETIC, ["1", "3"])}, "the same cases"),
    ):
        with pytest.raises(MedDiffError, match=words):
            plan_of(arms, design=Design.PAIRS)
    with pytest.raises(MedDiffError, match="choose at least one"):
        plan_of(pair, questions=())
