"""A detector's contract from the file beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from meddiff.case import MedDiffError
from meddiff.stress.records import Contract

_LEAST = "one line is enough, for example `kind: mask` (or boxes, or classifier)"


def contract_of(declared: Any, where: str) -> Contract:
    """A contract from what YAML or JSON holds.

    Raises:
        MedDiffError: naming each attribute that cannot be, and where it stands.
    """
    if not isinstance(declared, dict):
        raise MedDiffError(f"{where} holds no contract: {_LEAST}.")
    try:
        return Contract.model_validate(declared)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'contract'}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors()
        )
        raise MedDiffError(f"The contract in {where} cannot be read: {wrong}.") from error


def read_contract(path: Path) -> Contract:
    """The contract in a YAML or JSON file.

    Raises:
        MedDiffError: as `contract_of`, or a file that cannot be read.
    """
    try:
        declared = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise MedDiffError(f"The contract {path} cannot be read: {' '.join(str(error).split())}") from error
    return contract_of(declared, str(path))


def contract_beside(file: Path) -> Contract:
    """The contract of a detector's file: `NAME.yaml` beside `NAME.onnx`, or `contract.yaml` in its folder.

    Raises:
        MedDiffError: where there is neither, or it cannot be read.
    """
    for path in (file.with_suffix(".yaml"), file.with_name("contract.yaml")):
        if path.exists():
            return read_contract(path)
    raise MedDiffError(
        f"Nothing says what {file.name} takes and gives: write {file.with_suffix('.yaml').name} or contract.yaml beside it; {_LEAST}."
    )
