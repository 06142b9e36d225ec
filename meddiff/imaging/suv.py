"""PET: from activity to standardised uptake value by body weight (SUVbw)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
from pydicom.valuerep import DA, DT, TM

from meddiff.case import MedDiffError

F18_HALF_LIFE_S = 6586.2


def suv(
    activity: np.ndarray,
    weight_kg: float,
    dose_bq: float,
    seconds_since_injection: float,
    half_life_s: float = F18_HALF_LIFE_S,
) -> np.ndarray:
    """Activity in Bq/ml -> SUV in g/ml, float32: activity * weight in g / dose left when the scan began.

    The dose decays as 2 ** (-t / half life). Source: QIBA, vendor-neutral SUVbw calculation.

    Args:
        seconds_since_injection: to the moment that the activity is corrected to; 0 if that is the injection.

    Raises:
        MedDiffError: for a weight, dose or half life that is not positive.
    """
    if not (weight_kg > 0 and dose_bq > 0 and half_life_s > 0):
        raise MedDiffError("SUV needs the patient's weight, the injected dose and the half life, all above zero.")
    left = dose_bq * 2 ** (-seconds_since_injection / half_life_s)
    return np.asarray(activity * (weight_kg * 1000 / left), np.float32)


def suv_factor(dataset: Any) -> float | None:
    """What a rescaled pixel of a PET data set is multiplied by to be SUVbw, or None where its header does not tell.

    Pixels in g/ml are SUV already. Pixels in Bq/ml need corrections for attenuation and decay, (0028,0051), and the
    weight, dose, half life and times of PS3.3 C.8.9.2. Nothing is guessed: a missing value gives None.
    """
    units = dataset.get("Units")  # (0054,1001)
    if units == "GML":
        return 1.0 if (dataset.get("SUVType") or "BW") == "BW" else None
    corrections = dataset.get("CorrectedImage") or ()
    infos = dataset.get("RadiopharmaceuticalInformationSequence")  # (0054,0016)
    if units != "BQML" or "ATTN" not in corrections or "DECY" not in corrections or not infos:
        return None
    elapsed = {"ADMIN": 0.0, "START": _seconds_since_injection(dataset, infos[0])}.get(dataset.get("DecayCorrection"))
    values = (
        dataset.get("PatientWeight"),
        infos[0].get("RadionuclideTotalDose"),
        elapsed,
        infos[0].get("RadionuclideHalfLife"),
    )
    if any(value is None for value in values):
        return None
    try:
        return float(suv(np.ones(1), *(float(value) for value in values if value is not None))[0])
    except MedDiffError:
        return None


def _seconds_since_injection(dataset: Any, info: Any) -> float | None:
    """From injection to the start of the series, to which START images are decay-corrected."""
    scan = _moment(dataset.get("SeriesDate"), dataset.get("SeriesTime"))
    acquired = _moment(dataset.get("AcquisitionDate"), dataset.get("AcquisitionTime"))
    if scan is None or (acquired is not None and acquired < scan):
        return None  # a series time after the scan is that of some later processing, not of the decay correction
    injected = _moment(dataset.get("SeriesDate"), info.get("RadiopharmaceuticalStartTime"))
    if injected is not None and injected > scan:
        injected -= timedelta(days=1)  # scanned after midnight
    if info.get("RadiopharmaceuticalStartDateTime"):  # newer, and knows its day
        told = DT(info.RadiopharmaceuticalStartDateTime)
        injected = datetime.combine(told.date(), told.time())
    if injected is None:
        return None
    elapsed = (scan - injected).total_seconds()
    return elapsed if elapsed >= 0 else None


def _moment(date: Any, time: Any) -> datetime | None:
    return datetime.combine(DA(date), TM(time)) if date and time else None
