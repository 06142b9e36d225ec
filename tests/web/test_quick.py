"""gradio is imported without the work that only its developers need."""

import subprocess
import sys

ASKED = """
import ast, time
parsed = []
parse = ast.parse
ast.parse = lambda source, *a, **k: (parsed.append(len(source)) if isinstance(source, str) else None, parse(source, *a, **k))[1]
{first}
import gradio
print(sum(size > 3000 for size in parsed), gradio.Textbox(label="still a component").label)
"""


def answer(first: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-c", ASKED.format(first=first)], capture_output=True, text=True, check=True)
    count, label = done.stdout.strip().splitlines()[-1].split(" ", 1)
    return int(count), label


def test_type_stubs_are_not_written_again_and_components_work():
    plain, _ = answer("")
    ours, label = answer("import meddiff.web")
    assert plain > 20  # if this fails, gradio does without it by itself: take meddiff/web/quick.py out
    assert ours < plain / 4
    assert label == "still a component"
