"""Somebody who uses the page by HTTP alone, as its own script does: logs in, sends events of the page, hears what comes of them."""

from __future__ import annotations

import json
import re
import secrets
from contextlib import suppress
from typing import Any

import httpx

WAIT_S = 60.0


class Visitor:
    """One browser with one tab.

    Attributes:
        tab: what Gradio calls the tab (`session_hash`), of the browser's own choice.
        heard: all that the server ever answered, as text.
    """

    def __init__(self, address: str) -> None:
        # No connection is used twice: the server closes one without a word after an error of its own.
        # No certificates: the page is on loopback, and a class that reads them all takes seconds.
        alone = httpx.Limits(max_keepalive_connections=0)
        self.client = httpx.Client(base_url=address, timeout=WAIT_S, limits=alone, verify=False)
        self.tab = secrets.token_hex(6)
        self.heard: list[str] = []
        self._config: dict[str, Any] = {}

    def log_in(self, name: str, password: str, **headers: str) -> httpx.Response:
        """The answer to the form, filled in; 303 where it was right."""
        form = re.search(r'name="form" value="([^"]+)"', self.client.get("/login").text)
        data = {"name": name, "password": password, "form": form.group(1) if form else ""}
        return self.client.post("/login", data=data, headers=headers)

    def config(self) -> dict[str, Any]:
        """What the page is made of."""
        if not self._config:
            answer = self.client.get("/config")
            self.heard.append(answer.text)
            self._config = answer.json()
        return self._config

    def events(self) -> list[dict[str, Any]]:
        """All events of the page that the server acts on."""
        return [event for event in self.config()["dependencies"] if event["backend_fn"]]

    def event(self, elem_id: str, what: str = "click") -> dict[str, Any]:
        """The event `what` of the component with that id."""
        ids = {one["id"] for one in self.config()["components"] if one["props"].get("elem_id") == elem_id}
        return next(e for e in self.events() if any(t[0] in ids and t[1] == what for t in e["targets"]))

    def send(self, event: dict[str, Any], data: list[Any] | None = None, tab: str = "") -> dict[str, Any]:
        """Sends an event and waits for what comes of it: `output` of Gradio's last message, with `success` beside it.

        Args:
            data: its inputs; default: nothing in each.
            tab: as another tab.
        """
        tab = tab or self.tab
        given = [None] * len(event["inputs"]) if data is None else data
        body = {"data": given, "fn_index": event["id"], "session_hash": tab, "trigger_id": None, "event_data": None}
        asked = self.client.post("/gradio_api/queue/join", json=body)
        self.heard.append(asked.text)
        if asked.status_code != 200:
            return {"success": False, "status": asked.status_code}
        for message in self.listen(tab):
            if message.get("event_id") == asked.json()["event_id"] and message["msg"] == "process_completed":
                return {**message["output"], "success": message["success"]}
        return {"success": False}

    def listen(self, tab: str) -> list[dict[str, Any]]:
        """All that the server tells a tab until it has no more to tell."""
        told: list[dict[str, Any]] = []
        # Gradio breaks off where it does not know the tab.
        with (
            suppress(httpx.RemoteProtocolError),
            self.client.stream("GET", "/gradio_api/queue/data", params={"session_hash": tab}) as stream,
        ):
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    told.append(json.loads(line.removeprefix("data:")))
                    self.heard.append(line)
        return told

    def shown(self, event: dict[str, Any], output: dict[str, Any]) -> dict[str, Any]:
        """What an event put on the page, by the components' ids in the page's source; no change is left out."""
        names = {one["id"]: one["props"].get("elem_id") for one in self.config()["components"]}
        put = {}
        for number, value in zip(event["outputs"], output["data"], strict=True):
            changes = value if isinstance(value, dict) and value.get("__type__") == "update" else {"value": value}
            if names[number] and changes.keys() != {"__type__"}:
                put[names[number]] = changes
        return put
