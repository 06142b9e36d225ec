"""gradio and diffusers are imported without the work that nobody here needs."""

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


SESSION = """
import meddiff.web
import gradio as gr
from gradio.state_holder import SessionState, StateHolder
with gr.Blocks() as page:
    name = gr.Textbox("Ann", label="Name")
    gr.HTML("<p>a part</p>")
    gr.State({"a": 1})
holder = StateHolder()
holder.set_blocks(page)
session = holder["one"]
described = {key: session.blocks_config.config_for_block(key, [], block) for key, block in page.blocks.items()}
assert not session.config_values  # nothing is described before it is asked for
session._update_value_in_config(name._id, "Bob")
session[name._id] = gr.Textbox("Eve", label="Name")
session._update_value_in_config(name._id, "Zoe")
assert set(session.config_values) == {name._id}
described[name._id]["props"]["value"] = "Zoe"
told = dict(session.config_values.items())
assert told[name._id]["props"]["value"] == "Zoe" and told.keys() == described.keys()
assert all(told[key] == described[key] for key in told if key != name._id)
assert holder["two"].config_values[name._id]["props"]["value"] == "Ann"  # each visitor's own
print("as gradio describes it")
"""


def test_a_visitor_s_page_is_described_only_where_it_is_asked_for_and_then_as_gradio_does_it():
    done = subprocess.run([sys.executable, "-c", SESSION], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["as gradio describes it"], done.stderr
