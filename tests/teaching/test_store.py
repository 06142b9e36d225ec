"""Items: every version stays, and no learner sees what nobody approved."""

import threading

import pytest
from sqlalchemy import select, text, update

from meddiff.bank import Bank
from meddiff.case import MedDiffError
from meddiff.teaching.item import Choice, Kind, State
from meddiff.teaching.store import ItemSearch, Questions
from meddiff.teaching.tables import SCHEMA, ItemVersionRow, SchemaRow
from tests.teaching.store_support import approve, made


def ids(found):
    return {item.id for item in found.items}


def test_an_item_comes_back_as_it_was_and_as_a_draft_whatever_it_claims(questions):
    given = made(1, state=State.APPROVED, version=7, difficulty=0.4)
    assert questions.add([given], "Ann").new == (given.id,)
    back = questions.item(given.id)
    assert (back.version, back.state, back.author) == (1, State.DRAFT, "Ann")
    assert back.model_copy(update={"version": 7, "state": State.APPROVED, "author": ""}) == given


def test_what_somebody_edited_is_not_overwritten_when_the_item_is_written_again(questions):
    questions.add([made(1)])
    questions.edit([made(1, stem="What is it?")], "Ann")
    added = questions.add([made(1), made(2)])
    assert (added.new, added.there, added.differ) == ((made(2).id,), (), (made(1).id,))
    assert questions.item(made(1).id).stem == "What is it?"
    assert questions.add([made(2)]).there == (made(2).id,)


def test_an_edit_is_a_new_version_and_a_draft_again_and_the_old_words_stay(questions):
    (item,) = approve(questions, [made(1)])
    assert item.state is State.APPROVED
    (edited,) = questions.edit([item.model_copy(update={"stem": "What is it?"})], "Bob", "shorter")
    assert (edited.version, edited.state) == (2, State.DRAFT)
    assert questions.item(item.id, 1).stem == item.stem
    assert [(change.what, change.who, change.version, change.why) for change in questions.history(item.id)] == [
        ("written", "", 1, ""),
        ("approved", "Ann", 1, ""),
        ("edited", "Bob", 2, "shorter"),
    ]


def test_the_same_words_again_stay_approved(questions):
    (item,) = approve(questions, [made(1)])
    assert questions.edit([item], "Bob") == (item,)
    assert len(questions.history(item.id)) == 2


def test_a_new_difficulty_is_no_new_version(questions):
    (item,) = approve(questions, [made(1)])
    questions.set_difficulties({item.id: 0.8})
    assert questions.item(item.id) == item.model_copy(update={"difficulty": 0.8})
    with pytest.raises(MedDiffError, match="0 to 1, not 1.5"):
        questions.set_difficulties({item.id: 1.5})


def test_who_edits_or_approves_what_somebody_else_changed_is_told(questions):
    questions.add([made(1)])
    questions.edit([made(1, stem="What is it?")], "Ann")
    with pytest.raises(MedDiffError, match=r"changed by Ann on .* now version 2"):
        questions.edit([made(1, stem="Which is it?")], "Bob")
    with pytest.raises(MedDiffError, match="now version 2"):
        questions.approve(made(1).id, "Bob", version=1)
    assert questions.item(made(1).id).stem == "What is it?"


def test_of_two_who_edit_at_once_one_is_told(questions):
    questions.add([made(1)])
    told = []

    def edit(stem):
        try:
            questions.edit([made(1, stem=stem)], "Ann")
        except MedDiffError as error:
            told.append(str(error))

    threads = [threading.Thread(target=edit, args=(f"What is it? {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 3 and all("now version 2" in sentence for sentence in told)


def test_of_many_edits_all_are_made_or_none(questions):
    questions.add([made(1)])
    with pytest.raises(MedDiffError, match="no item"):
        questions.edit([made(1, stem="What is it?"), made(2)], "Ann")
    assert questions.item(made(1).id).version == 1


def test_an_id_keeps_its_cases(questions):
    questions.add([made(1)])
    with pytest.raises(MedDiffError, match="no other cases: write a new item"):
        questions.edit([made(1).model_copy(update={"cases": ("MD-000000000002",)})], "Ann")


def test_a_decision_needs_a_name(questions):
    questions.add([made(1)])
    for act in (questions.approve, questions.retire):
        with pytest.raises(MedDiffError, match="Say who"):
            act(made(1).id, " ")
    with pytest.raises(MedDiffError, match="Say who edits"):
        questions.edit([made(1, stem="What is it?")], "")


def test_a_retired_item_can_be_approved_again(questions):
    (item,) = approve(questions, [made(1)])
    assert questions.retire(item.id, "Ann", "too easy").state is State.RETIRED
    assert questions.find(ItemSearch(state=State.APPROVED)).total == 0
    assert questions.approve(item.id, "Bob").state is State.APPROVED


def test_a_search_finds_what_it_names(questions):
    glioma = made(1, difficulty=0.2)
    size = made(2, Kind.LOCATION, "meningioma", difficulty=0.6, feedback="It has a dural tail: 100% of a meningioma.")
    normal = made(3, Kind.NORMAL, "", choices=(Choice(text="yes"), Choice(text="no")))
    questions.add([glioma, size, normal])
    questions.approve(size.id, "Ann")
    for wanted, found in (
        ({}, {glioma, size, normal}),
        ({"kinds": (Kind.DIAGNOSIS, Kind.NORMAL)}, {glioma, normal}),
        ({"pathologies": ("meningioma", "")}, {size, normal}),
        ({"state": State.APPROVED}, {size}),
        ({"state": State.DRAFT}, {glioma, normal}),
        ({"difficulty_from": 0.2, "difficulty_to": 0.2}, {glioma}),
        ({"difficulty_from": 0.0}, {glioma, size}),
        ({"text": "TAIL dural"}, {size}),
        ({"text": "100%"}, {size}),
        ({"text": "abscess"}, {glioma, size}),
        ({"text": normal.id}, {normal}),
        ({"language": "zh"}, set()),
    ):
        assert ids(questions.find(ItemSearch.model_validate(wanted))) == {item.id for item in found}, wanted
    with pytest.raises(ValueError, match="above the highest"):
        ItemSearch(difficulty_from=0.5, difficulty_to=0.4)


def test_pages_of_a_search_do_not_overlap_and_know_the_whole(questions):
    questions.add([made(number) for number in range(5)])
    pages = [questions.find(ItemSearch(limit=2, offset=offset)) for offset in (0, 2, 4)]
    assert [page.total for page in pages] == [5, 5, 5]
    assert sorted(item.id for page in pages for item in page.items) == sorted(made(n).id for n in range(5))


def test_unknown_ids_and_versions_are_said(questions):
    questions.add([made(1)])
    for act in (questions.item, questions.history, lambda unknown: questions.items([unknown])):
        with pytest.raises(MedDiffError, match="no item 'IT-000000000000'"):
            act("IT-000000000000")
    with pytest.raises(MedDiffError, match="no version 2: it has 1 to 1"):
        questions.item(made(1).id, 2)


def test_the_store_stands_in_the_banks_database_and_leaves_the_bank_alone(url, tmp_path):
    bank = Bank(tmp_path / "bank", url)
    questions = Questions(url)
    questions.add([made(1)])
    assert Bank(tmp_path / "bank", url).list() == []
    assert Questions(url).find(ItemSearch()).total == 1
    for engine in (bank.engine, questions.engine):
        engine.dispose()


def test_a_folder_is_enough_and_is_the_banks(tmp_path):
    Questions(tmp_path / "bank").add([made(1)])
    assert (tmp_path / "bank" / "bank.sqlite").exists()
    assert Questions(str(tmp_path / "bank")).find(ItemSearch()).total == 1


def test_a_store_of_a_newer_layout_is_refused(questions, url):
    questions.write(lambda session: session.execute(update(SchemaRow).values(number=99)))
    with pytest.raises(MedDiffError, match="layout 99 .* update MedDiff"):
        Questions(url)


def test_a_database_that_is_none_is_one_sentence(tmp_path):
    (tmp_path / "bank.sqlite").write_text("this is no database " * 100)
    with pytest.raises(MedDiffError, match="cannot be opened: file is not a database"):
        Questions(tmp_path)


def test_a_server_that_is_not_there_is_one_sentence_without_the_password():
    with pytest.raises(MedDiffError, match="cannot be opened") as caught:
        Questions("postgresql://ann:secret@127.0.0.1:1/bank")
    assert "secret" not in str(caught.value)


def test_many_who_open_a_new_store_at_once_all_can(url):
    failed = []

    def open_it(number):
        try:
            questions = Questions(url)
            questions.add([made(number)])
            questions.engine.dispose()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=open_it, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    questions = Questions(url)
    assert questions.find(ItemSearch()).total == 8
    assert questions.read(lambda session: session.scalars(select(SchemaRow.number)).all()) == [SCHEMA]
    questions.engine.dispose()


def test_a_change_that_fails_half_way_leaves_nothing(questions):
    def act(session):
        session.execute(text("DELETE FROM item_history"))
        raise MedDiffError("no further")

    questions.add([made(1)])
    with pytest.raises(MedDiffError, match="no further"):
        questions.write(act)
    assert len(questions.history(made(1).id)) == 1


def test_only_a_version_that_was_approved_is_marked_so(questions):
    (item,) = approve(questions, [made(1)])
    questions.edit([item.model_copy(update={"stem": "What is it?"})], "Ann")
    rows = questions.read(
        lambda session: session.execute(select(ItemVersionRow.number, ItemVersionRow.approved != "")).all()
    )
    assert sorted(map(tuple, rows)) == [(1, True), (2, False)]


def test_a_store_of_the_first_layout_learns_which_cases_its_items_show(tmp_path):
    from sqlalchemy import text

    (item,) = approve(Questions(tmp_path), [made(1)])
    with Questions(tmp_path).engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(text("DROP TABLE item_cases"))
        connection.execute(text("DELETE FROM teaching_schema"))
        connection.execute(text("INSERT INTO teaching_schema VALUES (1)"))
    with Questions(tmp_path).engine.connect() as connection:
        assert connection.execute(text("SELECT * FROM item_cases")).all() == [(item.id, item.cases[0])]
