"""Plans and readings are added to and never changed, by many at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from meddiff.case import MedDiffError
from meddiff.teaching.study import Design, Source
from meddiff.teaching.study_pictures import Place, Showing
from meddiff.teaching.study_store import DecisionRow, ShowingRow, StudyStore
from tests.bank.conftest import new_database, server  # noqa: F401  `server` is a fixture
from tests.teaching.study_support import READERS, guess, paired, plan_of, reading, readings_of, unpaired


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'studies.sqlite'}"
    return new_database(request.getfixturevalue("server"))


def test_a_plan_and_its_readings_come_back_as_they_were(url):
    plan, store = unpaired(cases=4), StudyStore(url)
    assert store.keep(plan) and not store.keep(plan)
    readings = readings_of(plan, guess)
    assert all(store.record(plan.id, row) for row in readings)
    again = StudyStore(url)
    assert again.plan(plan.id) == plan and again.plans() == (plan,)
    assert again.readings(plan.id) == tuple(readings)


def test_a_reading_sent_twice_is_one_and_a_changed_one_is_refused(url):
    plan, store = unpaired(cases=2), StudyStore(url)
    store.keep(plan)
    said = reading("anna", plan.arms[0].pictures[0].id)
    assert store.record(plan.id, said) and not store.record(plan.id, said)
    with pytest.raises(MedDiffError, match="the first reading counts"):
        store.record(plan.id, said.model_copy(update={"realism": 1}))
    assert store.readings(plan.id) == (said,)


def test_six_readers_at_once_lose_no_reading(url):
    plan = unpaired(cases=10)
    StudyStore(url).keep(plan)
    readings = readings_of(plan, guess)

    def sit(reader: str) -> int:
        store = StudyStore(url)
        return sum(store.record(plan.id, row) for row in readings if row.reader == reader)

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(sit, READERS)) == 120
    found = StudyStore(url).readings(plan.id)
    assert sorted(found, key=str) == sorted(readings, key=str)


def test_many_may_open_an_empty_database_at_once(url):
    with ThreadPoolExecutor(6) as pool:
        stores = list(pool.map(StudyStore, [url] * 6))
    assert all(store.plans() == () for store in stores)


def test_readers_may_join_and_nothing_else_may_change(url):
    few, more, store = paired(readers=READERS[:2]), paired(readers=READERS), StudyStore(url)
    store.keep(few)
    assert store.keep(more) and store.plan(few.id) == more and store.plans() == (more,)
    for other in (
        few,
        more.model_copy(update={"readers": READERS[::-1]}),
        more.model_copy(update={"questions": more.questions[:1]}),
    ):
        with pytest.raises(MedDiffError, match="name these first"):
            store.keep(other)
    assert store.plan(few.id) == more


def test_red_alerts_of_two_readers_suspend(url):
    plan, store = paired(cases=3), StudyStore(url)
    store.keep(plan)
    bad = plan.arms[1].pictures[0]
    store.record(plan.id, reading("anna", bad.id, red_alert=True))
    assert store.suspended(plan.id) == ()
    store.record(plan.id, reading("ben", bad.id, red_alert=True))
    assert store.suspended(plan.id) == (bad.case,)
    assert store.record(plan.id, reading("chen", bad.id))  # it was on the screen: what was said is not lost


def test_what_is_unknown_is_refused_in_words(url):
    plan, store = unpaired(cases=2), StudyStore(url)
    with pytest.raises(MedDiffError, match="no study RS-000000000000; kept are: none yet"):
        store.plan("RS-000000000000")
    store.keep(plan)
    with pytest.raises(MedDiffError, match=plan.id):
        store.readings("RS-000000000000")
    with pytest.raises(MedDiffError, match="is no reader of"):
        store.record(plan.id, reading("zoe", plan.arms[0].pictures[0].id))


def test_a_database_that_cannot_be_opened_is_told(tmp_path):
    (tmp_path / "studies.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.raises(MedDiffError, match="cannot be opened: .*MEDDIFF_DATABASE_URL"):
        StudyStore(f"sqlite:///{tmp_path / 'studies.sqlite'}")


def test_both_pictures_of_a_pair_are_recorded_or_none(url):
    labels = ["1", "2"]
    plan = plan_of(
        {"real": (Source.REAL, labels), "made": (Source.SYNTHETIC, labels)}, READERS[:2], design=Design.PAIRS
    )
    store = StudyStore(url)
    store.keep(plan)
    first, second = ([p.id for p in arm.pictures] for arm in plan.arms)
    pair = (reading("anna", first[0]), reading("anna", second[0], ai_suspected=True))
    assert store.record(plan.id, *pair) and not store.record(plan.id, *pair)
    turned = (pair[0].model_copy(update={"ai_suspected": True}), pair[1].model_copy(update={"ai_suspected": False}))
    with pytest.raises(MedDiffError, match="the first reading counts"):
        store.record(plan.id, *turned)
    with pytest.raises(MedDiffError, match="both pictures of a pair"):
        store.record(plan.id, reading("ben", first[0]))
    assert store.readings(plan.id) == pair


def test_a_decision_is_kept_with_its_reason_and_brings_a_case_back(url):
    plan, store = paired(cases=3), StudyStore(url)
    store.keep(plan)
    bad = plan.arms[1].pictures[0]
    for who in ("anna", "ben"):
        store.record(plan.id, reading(who, bad.id, red_alert=True))
    with pytest.raises(MedDiffError, match="your name and a reason"):
        store.decide(plan.id, bad.case, True, "Eve", " ")
    with pytest.raises(MedDiffError, match="has no case RC-9999"):
        store.decide(plan.id, "RC-9999", True, "Eve", "why")
    decision = store.decide(plan.id, bad.case, True, "Eve", "a variant")
    assert decision.heard == ("anna", "ben") and store.suspended(plan.id) == ()
    store.decide(plan.id, bad.case, False, "Eve", "no, it misleads")
    assert store.suspended(plan.id) == (bad.case,) and len(StudyStore(url).decisions(plan.id)) == 2


def test_where_pictures_are_is_kept_whole_and_its_newest_row_counts(url):
    plan, store = unpaired(cases=1), StudyStore(url)
    store.keep(plan)
    with pytest.raises(MedDiffError, match=f"meddiff study pictures {plan.id} FOLDER"):
        store.showing(plan.id)
    places = {name: Place(file=name, sha256=picture.sha256) for name, (_, picture) in plan.places.items()}
    one = Showing(side=256, field_mm=240.0, places=places)
    with pytest.raises(MedDiffError, match="is not said"):
        store.show(plan.id, one.model_copy(update={"places": {}}))
    store.show(plan.id, one)
    other = one.model_copy(update={"side": 128})
    store.show(plan.id, other)
    assert StudyStore(url).showing(plan.id) == other


def test_studies_of_the_first_layout_are_taken_over(tmp_path):
    plan, url = unpaired(cases=2), f"sqlite:///{tmp_path / 'studies.sqlite'}"
    store = StudyStore(url)
    store.keep(plan)
    with store.engine.begin() as connection:
        for table in (DecisionRow, ShowingRow):
            table.__table__.drop(connection)
    again = StudyStore(url)
    assert again.plan(plan.id) == plan and again.decisions(plan.id) == ()
