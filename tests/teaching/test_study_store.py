"""Plans and readings are added to and never changed, by many at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from meddiff.case import MedDiffError
from meddiff.teaching.study_store import StudyStore
from tests.bank.conftest import new_database, server  # noqa: F401  `server` is a fixture
from tests.teaching.study_support import READERS, guess, paired, reading, readings_of, unpaired


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
