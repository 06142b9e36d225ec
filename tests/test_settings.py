"""Settings come from the environment, once, and have defaults that work in a fresh checkout."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from meddiff.settings import HOUSE, Settings, settings


@pytest.fixture
def bare(monkeypatch):
    """No MEDDIFF_ variable is set."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"MEDDIFF_{name.upper()}", raising=False)


def test_without_an_environment_everything_lies_beside_the_code(bare):
    defaults = Settings()
    assert (HOUSE / "app.py").exists()
    assert [defaults.casebank, defaults.checkpoints, defaults.prompts] == [
        HOUSE / name for name in ("casebank", "checkpoints", "prompts")
    ]


@pytest.mark.parametrize(
    ("variable", "value", "field", "read"),
    [
        ("MEDDIFF_CASEBANK", "/elsewhere/bank", "casebank", Path("/elsewhere/bank")),
        ("MEDDIFF_CHECKPOINTS", "packs", "checkpoints", Path("packs")),
        ("MEDDIFF_TEXT_ENCODER", "runs/text-fit", "text_encoder", Path("runs/text-fit")),
        ("MEDDIFF_MAX_UPLOAD_MB", "5", "max_upload_mb", 5),
        ("MEDDIFF_THREADS", "2", "threads", 2),
    ],
)
def test_the_environment_wins(bare, monkeypatch, variable, value, field, read):
    monkeypatch.setenv(variable, value)
    assert getattr(Settings(), field) == read


@pytest.mark.parametrize(
    ("variable", "value"),
    [("MEDDIFF_MAX_COUNT", "0"), ("MEDDIFF_MAX_UPLOAD_MB", "much"), ("MEDDIFF_THREADS", "-1")],
)
def test_a_limit_that_makes_no_sense_is_refused_by_name(bare, monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValidationError, match=variable.removeprefix("MEDDIFF_").lower()):
        Settings()


def test_the_banks_records_lie_in_its_folder_unless_a_database_is_named(bare, monkeypatch, tmp_path):
    monkeypatch.setenv("MEDDIFF_CASEBANK", str(tmp_path))
    assert Settings().bank_url == f"sqlite:///{tmp_path / 'bank.sqlite'}"
    monkeypatch.setenv("MEDDIFF_DATABASE_URL", "postgresql://server/meddiff")
    assert Settings().bank_url == "postgresql://server/meddiff"


def test_the_environment_is_read_once_and_settings_cannot_be_changed(bare, monkeypatch):
    settings.cache_clear()
    before = settings()
    monkeypatch.setenv("MEDDIFF_MAX_COUNT", "3")
    assert settings() is before
    with pytest.raises(ValidationError):
        before.max_count = 3
    settings.cache_clear()
    assert settings().max_count == 3
    settings.cache_clear()


def test_the_documented_table_names_every_setting():
    from meddiff import settings as module

    for name in Settings.model_fields:
        assert f"`MEDDIFF_{name.upper()}`" in (module.__doc__ or "")
