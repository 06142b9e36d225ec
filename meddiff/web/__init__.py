"""The page. Nothing of gradio is imported before `quick` has made that faster."""

from meddiff.web import quick as quick
