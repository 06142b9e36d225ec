"""A real PACS for the tests: Orthanc (Debian orthanc, orthanc-dicomweb) on loopback, in a folder of its own."""

import json
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from benchmarks.page import free_port

ORTHANC = Path("/usr/sbin/Orthanc")
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
needs_orthanc = pytest.mark.skipif(
    not (ORTHANC.exists() and PLUGIN.exists()), reason="Orthanc (Debian orthanc, orthanc-dicomweb) is not installed"
)
USER, PASSWORD = "teacher", "chalk and talk"


class Orthanc:
    """A real Orthanc on loopback, in a folder of its own."""

    def __init__(self, folder, **more):
        self.folder, self.http, self.dicom = folder, free_port(), free_port()
        config = {
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "Plugins": [str(PLUGIN)],
            "HttpPort": self.http,
            "DicomPort": self.dicom,
            "DicomAet": "ORTHANC",
            "DicomCheckCalledAet": True,
            "DicomAlwaysAllowFind": True,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: PASSWORD},
            **more,
        }
        folder.mkdir(exist_ok=True)
        (folder / "orthanc.json").write_text(json.dumps(config))
        self.process = None

    def start(self, largest_file=None):
        def limit():  # in the child: writes beyond fail as on a full disk
            import resource

            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

        self.process = subprocess.Popen(
            [ORTHANC, self.folder / "orthanc.json"],
            stdout=(self.folder / "log").open("ab"),
            stderr=subprocess.STDOUT,
            preexec_fn=limit if largest_file else None,
        )
        for _ in range(150):
            try:
                self.rest("/system")
                return self
            except requests.ConnectionError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.1)
        raise AssertionError("Orthanc did not start: " + (self.folder / "log").read_text())

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()

    def rest(self, path):
        answer = requests.get(f"http://127.0.0.1:{self.http}{path}", auth=(USER, PASSWORD), timeout=5)
        answer.raise_for_status()
        return answer.json()

    def held(self):
        """SOP Instance UIDs that it holds, as often as it holds them."""
        return [item["MainDicomTags"]["SOPInstanceUID"] for item in self.rest("/instances?expand")]

    def arrived(self):
        """How many new instances it ever noted."""
        changes = self.rest("/changes?limit=10000")["Changes"]
        return sum(change["ChangeType"] == "NewInstance" for change in changes)

    @property
    def web(self):
        return f"http://127.0.0.1:{self.http}/dicom-web"


@contextmanager
def running(folder, largest_file=None, **more):
    server = Orthanc(folder, **more)
    try:
        yield server.start(largest_file)
    finally:
        server.kill()
