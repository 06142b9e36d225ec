"""A bank travels as one file, and nothing comes in that was not sealed, whole and as its manifest says."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from meddiff.bank import Bank, Review, Search
from meddiff.bank.archive import export_bank, import_bank
from meddiff.case import Case, Finding, Findings, MedDiffError, Plane, Provenance, Request, pixel_sha256
from meddiff.exchange.png import png_info
from meddiff.marking import SealedCase, seal
from tests.conftest import make_phantom


def make_head(seed: int) -> SealedCase:
    """A sealed case that looks like a head, another one for each seed."""
    rng = np.random.default_rng(seed)
    request = Request(
        seed=seed, sentence=f"head {seed}", findings=Findings(plane=Plane.AXIAL, finding=Finding(pathology="glioma"))
    )
    base = make_phantom()
    texture = ndimage.gaussian_filter(rng.normal(0, 1, base.shape), 9)
    grey = np.where(base > 0.05, base + 0.25 * texture / texture.std() * (base > 0.05), 0)
    pixels = (np.clip(grey, 0, 1) * 220).astype(np.uint8)
    mask = np.zeros(pixels.shape, bool)
    mask[90:106, 150:166] = True
    without = np.where(mask, 90, pixels).astype(np.uint8)

    def record(role: str, shown: np.ndarray) -> Provenance:
        return Provenance(
            case_id=request.case_id(), role=role, request=request, pack="p", pack_sha256="0" * 64,
            pixel_sha256=pixel_sha256(shown),
        )  # fmt: skip

    image = seal(pixels, record("case", pixels), avoid=mask)
    twin = seal(without, record("twin", without), beside=image)
    return SealedCase(Case(id=request.case_id(), request=request), image, twin, mask)


@pytest.fixture(scope="module")
def heads():
    return [make_head(seed) for seed in range(2)]


@pytest.fixture(scope="module")
def source(heads, tmp_path_factory):
    """A bank of two cases, one of them approved, tagged and annotated."""
    bank = Bank(tmp_path_factory.mktemp("source"))
    for case in heads:
        bank.keep(case, "Ann")
    name = heads[0].case.id
    bank.review(name, Review.APPROVED, "Ann", "typical")
    bank.tag(name, ["exam"], who="Ann")
    bank.set_notes(name, "show first")
    bank.keep_background(np.arange(400, dtype=np.uint16).reshape(20, 20))
    return bank


@pytest.fixture(scope="module")
def packed(source):
    """That bank as a file."""
    told = export_bank(source, source.folder / "bank.zip")
    assert (told.cases, told.left_out) == (2, ())
    return source.folder / "bank.zip"


@pytest.fixture
def exported(packed, tmp_path):
    """A copy of that file."""
    return shutil.copy(packed, tmp_path / "bank.zip")


@pytest.fixture
def there(tmp_path):
    """An empty bank, somebody else's."""
    return Bank(tmp_path / "there")


def rewritten(path, change):
    """The archive again, with files changed by `change(files)`, and a manifest that fits them."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(files.pop("manifest.json"))
    change(files)
    manifest["files"] = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in files.items()
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**files, "manifest.json": json.dumps(manifest).encode()}.items():
            archive.writestr(name, data)
    return path


def test_what_goes_out_comes_in_elsewhere_with_all_that_was_said_of_it(bank, source, exported, heads, tmp_path):
    there = bank  # on each database
    told = import_bank(there, exported, "Bob")
    assert sorted(told.new) == sorted(case.case.id for case in heads) and told.refused == ()
    for case in heads:
        back = there.open(case.case.id)
        assert back.case == case.case and np.array_equal(back.mask, case.mask)
        assert np.array_equal(back.image.pixels, case.image.pixels)
        assert np.array_equal(back.twin.pixels, case.twin.pixels)
    entry = there.entry(heads[0].case.id)
    assert (entry.review, entry.reviewer, entry.why) == (Review.APPROVED, "Ann", "typical")
    assert (entry.tags, entry.notes) == (("exam",), "show first")
    lines = there.history(heads[0].case.id)
    assert [line.what for line in lines] == ["kept", "review", "tags", "notes", "imported"]
    assert lines[1].at == source.history(heads[0].case.id)[1].at and lines[-1].who == "Bob"
    assert [case.id for case in there.list()] == [case.id for case in source.list()]
    assert there.recognise(heads[0].image.pixels).case_id == heads[0].case.id
    assert not (there.folder / "backgrounds").exists()  # a patient's slice never travels
    assert export_bank(there, tmp_path / "again.zip").cases == 2


def test_a_second_import_changes_nothing_and_what_is_here_wins(there, exported, heads):
    import_bank(there, exported)
    kept, gone = (case.case.id for case in heads)
    there.review(kept, Review.REJECTED, "Bob", "too easy")
    there.delete(gone)
    told = import_bank(there, exported)
    assert (told.new, len(told.there)) == ((), 2)
    assert there.entry(kept).review is Review.REJECTED and there.find(Search(deleted=True)).total == 1


def test_only_what_is_asked_for_is_exported_and_a_file_of_nothing_is_not_made(source, tmp_path):
    assert export_bank(source, tmp_path / "some.zip", Search(tags=("exam",), limit=1)).cases == 1
    with pytest.raises(MedDiffError, match="nothing to export"):
        export_bank(source, tmp_path / "none.zip", Search(text="banana"))
    assert not (tmp_path / "none.zip").exists()


def unsealed(files, heads, with_stamp):
    """Puts a real-looking picture in place of a sealed one, with all its records and right hashes: what a forger can do."""
    case = heads[0]
    pixels = np.flipud(make_phantom() * 200).astype(np.uint8)
    pixels = np.pad(pixels, ((0, case.image.pixels.shape[0] - 256), (0, 0)))
    if with_stamp:
        pixels[case.image.box.area] = case.image.pixels[case.image.box.area]
    told = case.image.provenance.model_copy(update={"sealed_sha256": pixel_sha256(pixels)})
    forged = dataclasses.replace  # a sealed image cannot be made: the PNG is written by hand
    with pytest.raises(MedDiffError):
        forged(case.image, pixels=pixels, provenance=told, change=None, key=None)
    info = png_info(case.image)
    info.chunks = [
        (kind, data.replace(case.image.provenance.sealed_sha256.encode(), told.sealed_sha256.encode()), *rest)
        for kind, data, *rest in info.chunks
    ]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", pnginfo=info)
    data = buffer.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    record = f"cases/{case.case.id}.json"
    old = json.loads(files[record])["versions"][0]["image"]
    del files[f"objects/{old}.png"]
    files[f"objects/{digest}.png"] = data
    files[record] = files[record].replace(old.encode(), digest.encode())


@pytest.mark.parametrize(("with_stamp", "words"), [(True, "invisible mark"), (False, "words that mark it")])
def test_pixels_that_were_never_sealed_do_not_come_in(there, exported, heads, with_stamp, words):
    rewritten(exported, lambda files: unsealed(files, heads, with_stamp))
    told = import_bank(there, exported)
    assert told.new == (heads[1].case.id,)  # the other case is sound
    assert len(told.refused) == 1 and heads[0].case.id in told.refused[0] and words in told.refused[0]
    with pytest.raises(MedDiffError, match="no case"):
        there.open(heads[0].case.id)


def _other_twin(files, heads):
    one, two = (json.loads(files[f"cases/{case.case.id}.json"])["versions"][0]["twin"] for case in heads)
    name = f"cases/{heads[0].case.id}.json"
    files[name] = files[name].replace(one.encode(), two.encode())


def _no_mask(files, heads):
    name = f"cases/{heads[0].case.id}.json"
    files[name] = files[name].replace(json.loads(files[name])["versions"][0]["mask"].encode(), b"0" * 64)


def _renamed(files, heads):
    one, two = (f"cases/{case.case.id}.json" for case in heads)
    files[one] = files[two]


def _bad_tag(files, heads):
    name = f"cases/{heads[0].case.id}.json"
    files[name] = files[name].replace(b'"exam"]', b'"<script>"]')


@pytest.mark.parametrize(
    ("change", "words"),
    [(_other_twin, "twin picture is"), (_no_mask, "is missing"), (_renamed, "another case"), (_bad_tag, "no tag")],
)
def test_a_case_that_does_not_fit_together_is_refused_alone(there, exported, heads, change, words):
    told = import_bank(there, rewritten(exported, lambda files: change(files, heads)))
    assert told.new == (heads[1].case.id,) and words in told.refused[0]


def _traversal(files):
    files["../../evil.png"] = b"x"


def _absolute(files):
    files["/tmp/evil.png"] = b"x"


def _bomb(files):
    files["cases/MD-000000000000.json"] = b"0" * (9 * 2**20)


@pytest.mark.parametrize(
    ("change", "words"), [(_traversal, "does not have"), (_absolute, "does not have"), (_bomb, "more than")]
)
def test_names_and_sizes_that_no_bank_has_refuse_the_whole_file(there, exported, change, words):
    with pytest.raises(MedDiffError, match=words):
        import_bank(there, rewritten(exported, change))
    assert there.list() == [] and not (there.folder / "objects").exists()


def test_damage_is_told_and_nothing_is_imported(there, exported, tmp_path):
    whole = exported.read_bytes()
    place = whole.index(b"IDAT") + 200
    exported.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(MedDiffError, match="damaged|not what its manifest says"):
        import_bank(there, exported)
    exported.write_bytes(whole[:-40])
    with pytest.raises(MedDiffError, match="damaged"):
        import_bank(there, exported)
    with pytest.raises(MedDiffError, match="no file"):
        import_bank(there, tmp_path / "none.zip")
    assert there.list() == []


def test_a_newer_layout_or_a_file_that_is_not_in_the_manifest_is_refused(there, exported, tmp_path):
    with zipfile.ZipFile(exported) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    for name, data, words in [
        ("manifest.json", json.dumps(manifest | {"layout": 9}).encode(), "layout"),
        ("manifest.json", b"[]", "cannot be read"),
        ("other.txt", b"x", "disagree"),
    ]:
        changed = tmp_path / "changed.zip"
        with zipfile.ZipFile(exported) as old, zipfile.ZipFile(changed, "w") as archive:
            for entry in old.namelist():
                if entry != name:
                    archive.writestr(entry, old.read(entry))
            archive.writestr(name, data)
        with pytest.raises(MedDiffError, match=words):
            import_bank(there, changed)


def test_an_import_that_was_cut_off_goes_on(there, exported):

    class Stop(Exception):
        pass

    def stop(share):
        raise Stop

    with pytest.raises(Stop):
        import_bank(there, exported, progress=stop)
    assert len(there.list()) == 1
    told = import_bank(there, exported)
    assert (len(told.new), len(told.there)) == (1, 1)
