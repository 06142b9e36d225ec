"""Is a picture from MedDiff, which case is it, how sure is that, and what was done to it since?"""

from meddiff.verify.answer import Answer, Change, Evidence, Verdict
from meddiff.verify.text import report
from meddiff.verify.verdict import kept_bank, verify_file, verify_folder

__all__ = ["Answer", "Change", "Evidence", "Verdict", "kept_bank", "report", "verify_file", "verify_folder"]
