"""Folders, limits and switches, read from the environment once.

| variable | meaning | default |
|---|---|---|
| `MEDDIFF_CASEBANK` | folder of the bank | `casebank/` beside the code |
| `MEDDIFF_CHECKPOINTS` | folder of the packs | `checkpoints/` beside the code |
| `MEDDIFF_PROMPTS` | folder of vocabulary and pathologies | `prompts/` beside the code |
| `MEDDIFF_TEXT_ENCODER` | folder that `meddiff text fit` wrote: the text encoder of new cases | the pack's own |
| `MEDDIFF_DATABASE_URL` | SQLAlchemy URL of the bank's records | SQLite in the bank's folder |
| `MEDDIFF_PACS_ALLOWED` | servers that cases may be sent to: addresses with commas between, `https://pacs.example:8443/dicom-web`, `dicom+tls://pacs.example:2762` | none: nothing leaves |
| `MEDDIFF_DETECTORS_ALLOWED` | detectors under test that the page may ask by HTTP: addresses with commas between; cases are sent there | none: the page offers no address |
| `MEDDIFF_PACS_CA` | PEM file of the authority that vouches for those servers' certificates | the usual public ones |
| `MEDDIFF_PACS_CERTIFICATE` | PEM file with our own certificate and key, for servers that ask for one | none |
| `MEDDIFF_PACS_PASSWORD` | password of `meddiff send --user NAME` | asked for at the terminal |
| `MEDDIFF_MAX_UPLOAD_MB` | largest file the page takes | 200 |
| `MEDDIFF_MAX_COUNT` | most cases in one request | 64 |
| `MEDDIFF_LANGUAGE` | of the stamp: en or zh | en |
| `MEDDIFF_THREADS` | CPU threads of the model, 0 = all | 0 |
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

HOUSE = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """See the module's table."""

    model_config = SettingsConfigDict(env_prefix="MEDDIFF_", frozen=True)

    casebank: Path = HOUSE / "casebank"
    checkpoints: Path = HOUSE / "checkpoints"
    prompts: Path = HOUSE / "prompts"
    text_encoder: Path | None = None
    language: Literal["en", "zh"] = "en"
    database_url: str | None = None
    pacs_allowed: str = ""  # read by exchange.target, which names the entry that is wrong
    detectors_allowed: str = ""  # read by exchange.target, too
    pacs_ca: Path | None = None
    pacs_certificate: Path | None = None
    pacs_password: SecretStr | None = None
    max_upload_mb: int = Field(default=200, gt=0)
    max_count: int = Field(default=64, gt=0)
    threads: int = Field(default=0, ge=0)

    @property
    def bank_url(self) -> str:
        """SQLAlchemy URL of the bank's records."""
        return self.database_url or f"sqlite:///{self.casebank.resolve() / 'bank.sqlite'}"


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
