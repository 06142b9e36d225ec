"""`meddiff quiz` and `meddiff items`, as they are typed."""

import argparse
import json

import pytest

from meddiff.bank import Bank
from meddiff.case import MedDiffError
from meddiff.settings import settings
from meddiff.teaching import commands
from meddiff.teaching.files import read_item_file, write_item_file
from meddiff.teaching.item import Kind, OrderItem, State, item_id
from meddiff.teaching.store import Questions
from tests.exchange.series_support import series_of
from tests.teaching.store_support import approve, made


@pytest.fixture
def questions(tmp_path, monkeypatch):
    """The store that the command line finds by its settings."""
    monkeypatch.setenv("MEDDIFF_CASEBANK", str(tmp_path / "bank"))
    settings.cache_clear()
    yield Questions()
    settings.cache_clear()


@pytest.fixture
def typed(questions, capsys):
    """Runs a command line; its exit code and what it printed."""

    def run(*words: object) -> tuple[int, str]:
        top = argparse.ArgumentParser()
        commands.add_parsers(top.add_subparsers(dest="verb", required=True))
        args = top.parse_args([str(word) for word in words])
        code = args.act(args)
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run


def test_a_quiz_is_made_shown_copied_deleted_and_restored(questions, typed):
    approve(questions, [made(number) for number in range(3)] + [made(9, Kind.NORMAL, "")])
    code, out = typed(
        "quiz", "make", "First heads", "--number", 4, "--normals", 0.25, "--shuffle", "--seconds", 600, "--who", "Ann"
    )
    quiz = out.split()[0]
    assert code == 0 and "4 items, 25% on normal cases, about" in out and "glioma 3, normal 1" in out
    _, out = typed("quiz", "copy", quiz, "--title", "Second heads")
    copy = out.split()[0]
    assert typed("quiz", "show", copy)[1].startswith(f"{copy}  version 1  Second heads\n   1  IT-")
    typed("quiz", "delete", quiz)
    assert [line.split("  ")[-1] for line in typed("quiz", "list")[1].splitlines()] == ["Second heads"]
    assert "First heads" in typed("quiz", "list", "--deleted")[1]
    typed("quiz", "restore", quiz)
    assert "First heads" in typed("quiz", "list", "--text", "first")[1]


def test_a_quiz_that_cannot_be_made_is_one_sentence(typed):
    with pytest.raises(MedDiffError, match="no approved items of glioma"):
        typed("quiz", "make", "Heads", "--pathology", "glioma")


def test_items_are_listed_shown_approved_and_retired(questions, typed):
    cases = [visit.case.id for visit in series_of(2)[0] if Bank().keep(visit)]
    first, second = made(1, cases=(cases[0],), difficulty=0.25), made(2, Kind.LOCATION, "meningioma", cases=(cases[1],))
    questions.add([first, second])
    name, other = first.id, second.id
    with pytest.raises(MedDiffError, match="no item 'IT-1'"):
        typed("items", "approve", name, "IT-1")
    assert questions.item(name).state is State.DRAFT
    assert typed("items", "approve", name, other, "--who", "Ann") == (
        0,
        f"{name} approved\n{other} approved\n",
    )
    typed("items", "retire", other, "--why", "too easy")
    out = typed("items", "list", "--state", "approved", "--kind", "diagnosis", "--to-difficulty", 0.3)[1]
    assert out.startswith(f"{name}  approved  diagnosis  0.25  glioma: What is") and len(out.splitlines()) == 1
    assert "1 of 2" in typed("items", "list", "--limit", 1)[1]
    shown = typed("items", "show", name)[1]
    assert "  * glioblastoma\n" in shown and "    brain abscess  (Its rim is thin.)" in shown
    assert "Ann  version 1 approved" in shown and "key:" not in shown


def test_items_go_out_into_a_file_and_come_back_edited(questions, typed, tmp_path):
    approve(questions, [made(1), made(2)])
    path = tmp_path / "items.json"
    assert typed("items", "export", path)[1].startswith("2 items written")
    assert sorted(item.id for item in read_item_file(path)) == sorted([made(1).id, made(2).id])
    told = json.loads(path.read_text(encoding="utf-8"))
    for item in told["items"]:
        if item["id"] == made(1).id:
            item["stem"] = "这是什么？"
    path.write_text(json.dumps(told), encoding="utf-8")
    out = typed("items", "edit", path, "--who", "Ann")[1]
    assert f"{made(1).id} version 2 draft" in out and f"{made(2).id} version 1 approved" in out
    assert questions.item(made(1).id).stem == "这是什么？"


def test_an_import_brings_drafts_and_overwrites_nothing(questions, typed, tmp_path):
    approve(questions, [made(1)])
    order = OrderItem(id=item_id(Kind.ORDER, ["a", "b"]), stem="Order.", cases=("a", "b"), key=("b", "a"))
    path = write_item_file(
        [made(1, stem="Other words"), order.model_copy(update={"state": State.APPROVED})], tmp_path / "x.json"
    )
    code, out = typed("items", "import", path)
    assert code == 1 and out.startswith("1 new as drafts, 0 were there\n") and "stays so" in out
    assert questions.item(order.id).state is State.DRAFT
    assert questions.item(made(1).id).stem == made(1).stem
    assert "key: b; a" in typed("items", "show", order.id)[1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("{", "is no JSON"),
        ("[]", "no file of items"),
        ('{"format": "meddiff-items-1", "items": [{"kind": "diagnosis"}]}', "item 1: This is no item"),
    ],
)
def test_a_file_that_is_none_is_told_and_nothing_of_it_is_taken(typed, tmp_path, words, told):
    path = tmp_path / "items.json"
    path.write_text(words)
    for do in ("import", "edit"):
        with pytest.raises(MedDiffError, match=told):
            typed("items", do, path)
    with pytest.raises(MedDiffError, match="cannot be read: No such file"):
        typed("items", "import", tmp_path / "none.json")
