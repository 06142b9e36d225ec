"""A kept series is found as one, in order, with its report, here and after it travelled."""

import pytest

from meddiff.bank import Bank, Search
from meddiff.bank.archive import export_bank, import_bank
from meddiff.case import MedDiffError
from tests.exchange.series_support import SERIES, series_of


@pytest.fixture(scope="module")
def series():
    return series_of(3)


@pytest.fixture
def bank(series, tmp_path):
    bank = Bank(tmp_path / "bank")
    assert bank.keep_series(*series) == SERIES
    return bank


def test_the_id_of_a_series_as_text_finds_its_visits_in_order(bank, series):
    ids = [visit.case.id for visit in series[0]]
    found = bank.find(Search(text=SERIES))
    assert [entry.case.id for entry in found.entries] == ids and found.total == 3
    assert [entry.case.id for entry in bank.series(SERIES)] == ids
    assert {entry.tags for entry in found.entries} == {(SERIES.lower(),)}
    assert bank.series("MS-ffffffffffff") == ()


def test_kept_again_nothing_is_there_twice(bank, series):
    bank.keep_series(*series)
    assert bank.find(Search(text=SERIES)).total == 3 and len(bank.series(SERIES)) == 3


def test_the_report_is_kept_with_the_visits(bank, series):
    assert type(series[1]).model_validate_json(bank.series_report(SERIES)) == series[1]
    with pytest.raises(MedDiffError, match="no report of MS-ffffffffffff"):
        bank.series_report("MS-ffffffffffff")
    with pytest.raises(MedDiffError, match="is no series"):
        bank.series_report("../bank")


def test_a_series_travels_with_its_report_and_stands_on_no_given_slice(bank, series, tmp_path):
    out = export_bank(bank, tmp_path / "bank.zip", Search(text=SERIES))
    assert (out.cases, out.on_slices) == (3, 0)
    other = Bank(tmp_path / "other")
    taken = import_bank(other, tmp_path / "bank.zip", "Ben")
    assert len(taken.new) == 3 and not taken.refused
    assert [entry.case.id for entry in other.find(Search(text=SERIES)).entries] == [v.case.id for v in series[0]]
    assert other.series_report(SERIES) == bank.series_report(SERIES)


def test_what_is_here_wins_over_an_imported_report(bank, tmp_path):
    export_bank(bank, tmp_path / "bank.zip")
    changed = bank.series_report(SERIES).replace('"reason": ""', '"reason": "mine"')
    bank.write_report(SERIES, changed)
    import_bank(bank, tmp_path / "bank.zip")
    assert bank.series_report(SERIES) == changed


def test_the_report_goes_when_the_last_visit_is_gone_for_good(bank, series, monkeypatch):
    from meddiff.bank import store

    monkeypatch.setattr(store, "ORPHAN_SECONDS", -1)
    first, *others = (visit.case.id for visit in series[0])
    for case_id in others:
        bank.delete(case_id)
    bank.tidy(deleted_days=0)
    assert bank.series_report(SERIES)
    bank.delete(first)
    bank.tidy(deleted_days=0)
    with pytest.raises(MedDiffError, match="no report"):
        bank.series_report(SERIES)
