"""A pack is opened only when every file is the one its manifest names."""

import json
import shutil

import pytest

from meddiff.case import MedDiffError
from meddiff.diffusion.checkpoint import list_packs, load_pack, verify, write_manifest


@pytest.fixture
def pack(tiny_packs, tmp_path):
    folder = tmp_path / "brain-t1gd"
    shutil.copytree(tiny_packs / "brain-t1gd", folder)
    return folder


def test_an_untouched_pack_opens_and_says_what_it_is(pack):
    opened = load_pack(folder=pack, precision="fp32")
    assert opened.info.sha256 == verify(pack)
    assert opened.info.sequence == "T1 post-contrast"
    assert not opened.has_finder


def test_one_changed_byte_is_found_and_the_file_named(pack):
    path = pack / "unet" / "diffusion_pytorch_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(MedDiffError, match=r"unet/diffusion_pytorch_model\.safetensors is not the file"):
        load_pack(folder=pack, precision="fp32")


def test_a_missing_file_is_named(pack):
    (pack / "vae" / "config.json").unlink()
    with pytest.raises(MedDiffError, match=r"vae/config\.json is missing"):
        load_pack(folder=pack, precision="fp32")


def test_a_pack_without_manifest_or_with_a_broken_one_is_refused(pack):
    (pack / "manifest.json").write_text("{")
    with pytest.raises(MedDiffError, match="damaged"):
        verify(pack)
    (pack / "manifest.json").unlink()
    with pytest.raises(MedDiffError, match=r"no manifest\.json"):
        verify(pack)


def test_the_manifest_names_every_file_but_itself_and_what_is_told_about_the_pack(pack):
    (pack / "README.md").write_text("card")
    (pack / "unet" / "training.json").write_text('{"steps": 1, "samples": 8}')
    named = write_manifest(pack)
    (pack / "unet" / "training.json").unlink()
    assert write_manifest(pack) == named == verify(pack)
    names = set(json.loads((pack / "manifest.json").read_text()))
    there = {p.relative_to(pack).as_posix() for p in pack.rglob("*") if p.is_file()}
    assert there - names == {"manifest.json", "README.md"}


def test_unknown_packs_and_precisions_are_answered_with_what_there_is(tiny_house):
    with pytest.raises(MedDiffError, match="Installed: brain-t1gd"):
        load_pack("chest")
    with pytest.raises(MedDiffError, match="int8, bf16, fp32"):
        load_pack("brain-t1gd", "int4")
    with pytest.raises(MedDiffError, match="ships no INT8 network"):
        load_pack("brain-t1gd", "int8")
    assert [info.name for info in list_packs()] == ["brain-t1gd"]
