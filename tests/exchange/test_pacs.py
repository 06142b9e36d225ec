"""What is sealed reaches a real PACS, each instance once; nothing else leaves, and nowhere else."""

import io
import json
import logging
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pydicom
import pytest
import requests
from pynetdicom import AE, evt
from pynetdicom.sop_class import MRImageStorage, Verification

from benchmarks.page import free_port
from meddiff.bank import Bank
from meddiff.case import Case, Finding, Findings, MedDiffError, Plane, Provenance, Request, pixel_sha256
from meddiff.cli import main
from meddiff.exchange import write_dicom
from meddiff.exchange.dicom import to_dataset
from meddiff.exchange.dicomweb import WebServer
from meddiff.exchange.dimse import DimseServer
from meddiff.exchange.pacs import Target, check, send
from meddiff.exchange.seg import to_seg
from meddiff.exchange.sr import to_sr
from meddiff.exchange.target import Address, require_allowed
from meddiff.marking import SealedCase, seal
from meddiff.marking.provenance import read_private_block
from meddiff.settings import settings
from tests.exchange.orthanc import PASSWORD, USER, needs_orthanc, running

needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
Quick = partial(Target, timeout_s=5, attempts=2, settle_s=0.5)


# ---------------------------------------------------------------- what is sent


def sealed_of(phantom, seed, role="case"):
    asked = Request(findings=Findings(plane=Plane.AXIAL, finding=Finding(pathology="glioma")), seed=seed)
    pixels = np.roll((phantom[::2, ::2] * 255).astype(np.uint8), seed % 100, axis=1)
    record = Provenance(
        case_id=asked.case_id(),
        request=asked,
        role=role,
        pack="brain-t1gd",
        pack_sha256="a" * 64,
        pixel_sha256=pixel_sha256(pixels),
        created="2026-11-24T02:00:00+00:00",
    )
    return seal(pixels, record)


@pytest.fixture
def images(phantom, request):
    """`images(n)`: n sealed images that no other test has."""
    first = sum(request.node.name.encode()) * 1000

    return lambda count: [sealed_of(phantom, first + number) for number in range(count)]


@pytest.fixture
def case(phantom, request):
    """A sealed case with its twin and an outline."""
    seed = sum(request.node.name.encode()) * 1000 + 999
    image, twin = (sealed_of(phantom, seed, role) for role in ("case", "twin"))
    record, mask = image.provenance, np.zeros((image.height, 128), bool)
    mask[40:60, 70:80] = True
    return SealedCase(Case(id=record.case_id, request=record.request), image, twin, mask)


def uids(images):
    return [to_dataset(image).SOPInstanceUID for image in images]


def uids_of_all(case):
    """Pictures, outline and report."""
    beside = (to_seg(case.image, case.mask), to_sr(case))
    return (*uids([case.image, case.twin]), *(instance.SOPInstanceUID for instance in beside))


# ---------------------------------------------------------------- servers


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    with running(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture
def allow(monkeypatch, tmp_path):
    """`allow(address, ...)`: they are the allowed list, and the journal is new; without it the list is empty."""

    def fill(*addresses, **more):
        monkeypatch.setenv("MEDDIFF_CASEBANK", str(tmp_path / "bank"))
        monkeypatch.setenv("MEDDIFF_PACS_ALLOWED", ", ".join(str(address) for address in addresses))
        for name, value in more.items():
            monkeypatch.setenv(f"MEDDIFF_PACS_{name.upper()}", str(value))
        settings.cache_clear()

    for name in ("ALLOWED", "CA", "CERTIFICATE", "PASSWORD"):
        monkeypatch.delenv(f"MEDDIFF_PACS_{name}", raising=False)
    fill()
    yield fill
    settings.cache_clear()


@contextmanager
def front(to, *first, headers=None, body=b"", certificate=None):
    """An HTTP server before `to`: answers its first requests (of a method) with given codes, and passes the rest on.

    Code 0: the request is passed on, and its answer lost. With a certificate it speaks HTTPS, as the reverse proxy that stands before most Orthancs.
    Yields its address and the list of what it was asked, method and path.
    """
    asked, left = [], list(first)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            asked.append(f"{self.command} {self.path}")
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            canned = left.pop(0)[1] if left and left[0][0] == self.command else None
            if canned:
                code, more, content = canned, headers or {}, body
            else:
                passed = requests.request(self.command, f"http://127.0.0.1:{to}{self.path}", data=sent, headers=self.headers)  # fmt: skip
                code, content = passed.status_code, passed.content
                more = {"Content-Type": passed.headers.get("Content-Type", "text/plain")}
            if canned == 0:
                self.close_connection = True
                return
            self.send_response(code)
            for name, value in {**more, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = answer

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_):
            pass  # a client that does not trust the certificate hangs up

    server = Server(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}/dicom-web", asked
    finally:
        server.shutdown()
        server.server_close()


# ---------------------------------------------------------------- where to


@pytest.mark.parametrize(
    "address",
    [
        "https://pacs.example.evil.com/dicom-web",
        "https://pacs.example@evil.com/dicom-web",
        "https://pacs.example:443@evil.com/dicom-web",
        "https://evil.com/https://pacs.example/dicom-web",
        "https://evil.com#https://pacs.example/dicom-web",
        "https://evil.com\\@pacs.example/dicom-web",
        "https://pacs.example\t.evil.com/dicom-web",
        "https://pacs.example/dicom-web/../admin",
        "https://pacs.example/dicom-web/%2e%2e/admin",
        "https://pacs.example/dicom-web-of-others",
        "https://pacs.example/",
        "https://pacs.example:8443/dicom-web",
        "https://pacs.example:99999/dicom-web",
        "http://pacs.example/dicom-web",
        "http://pacs.example:443/dicom-web",
        "https://pacs.example./dicom-web",
        "https://pacs.exаmple/dicom-web",  # a Cyrillic letter
        "https://pacs.example/dicom-web?to=evil",
        "pacs.example/dicom-web",
        "dicom://pacs.example",
        "dicom://pacs.example:104/dicom-web",
        "dicom+tls://pacs.example:2763",
        "dicom+tls://10.0.0.012:2762",
        "dicom+tls://167772172:2762",
        "file:///etc/passwd",
        "",
    ],
)
def test_what_is_not_on_the_list_is_refused_however_it_is_dressed_up(allow, address):
    allow("https://pacs.example/dicom-web", "dicom+tls://pacs.example:2762", "dicom+tls://10.0.0.12")
    with pytest.raises(MedDiffError, match="is not on the list|is no address|has a path|names port|no valid IP"):
        require_allowed(Target(address))


@pytest.mark.parametrize(
    "address",
    [
        "https://PACS.example:443/dicom-web/",
        "https://pacs.example/dicom-web/of/radiology",
        "dicom+tls://pacs.example",
        "http://[0:0::1]:8042",
    ],
)
def test_what_is_on_the_list_may_be_written_in_other_ways(allow, address):
    allow("https://pacs.example/dicom-web", "dicom+tls://pacs.example:2762", "http://[::1]:8042/")
    assert require_allowed(Target(address)) == Address.parse(address)


def test_without_a_list_nothing_leaves(allow, images):
    with front(0) as (address, asked):
        with pytest.raises(MedDiffError, match="is not on the list.*MEDDIFF_PACS_ALLOWED.*nothing was sent"):
            send(images(1), Target(address))
        with pytest.raises(MedDiffError, match="is not on the list"):
            check(Target(address))
    assert asked == []


def test_an_entry_of_the_list_that_cannot_be_read_is_named(allow):
    allow("https://pacs.example", "https://me:secret@other.example")
    with pytest.raises(MedDiffError, match="MEDDIFF_PACS_ALLOWED cannot be read") as refusal:
        require_allowed(Target("https://pacs.example"))
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("address", "safe"), [("http://10.1.2.3/dicom-web", "https"), ("dicom://10.1.2.3", r"dicom\+tls")]
)
def test_a_password_never_travels_in_the_open(allow, address, safe):
    allow(address)
    with pytest.raises(MedDiffError, match=f"would travel in the open. Use {safe}://"):
        require_allowed(Target(address, USER, PASSWORD))
    assert require_allowed(Target(address))


def test_a_password_is_not_shown_with_its_target():
    assert PASSWORD not in repr(Target("https://pacs.example", USER, PASSWORD))


@pytest.mark.parametrize(
    "wrong", [{"called_aet": "A" * 17}, {"calling_aet": "A\\B"}, {"attempts": 0}, {"user": "a:b"}, {"password": "x"}]
)
def test_a_target_that_cannot_be_is_refused_where_it_is_made(wrong):
    with pytest.raises(MedDiffError):
        Target("https://pacs.example", **wrong)


# ---------------------------------------------------------------- what


def changed(path, change):
    dataset = pydicom.dcmread(path)
    change(dataset)
    dataset.save_as(path)
    return path


def paint(dataset):
    pixels = dataset.pixel_array.copy()
    pixels[5, 5] ^= 1
    dataset.PixelData = pixels.tobytes()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (paint, "does not show what MedDiff wrote: it was changed since"),
        (lambda ds: ds.__delitem__((0x0099, 0x1001)), "carries no MedDiff record"),
        (lambda ds: ds.__delitem__((0x0099, 0x1002)), "does not show what MedDiff wrote"),
        (lambda ds: setattr(ds, "SyntheticData", "NO"), "no longer says that it is synthetic"),
        (lambda ds: setattr(ds, "PatientName", "Doe^Jane"), "no longer says that it is synthetic"),
        (lambda ds: setattr(ds, "PixelData", b"\0\0"), "cannot be read: the file is damaged"),
        (lambda ds: ds.__delattr__("SOPInstanceUID"), "lacks its UIDs|cannot be read"),
    ],
)
def test_a_file_that_was_changed_since_is_refused_before_anything_leaves(allow, images, tmp_path, change, words):
    good, bad = images(2)
    path = changed(write_dicom(bad, tmp_path / "a.dcm"), change)
    with front(0) as (address, asked):
        allow(address)
        with pytest.raises(MedDiffError, match=words):
            send([good, path], Target(address))
    assert asked == []


def test_pixels_that_are_not_sealed_are_refused(allow, phantom, tmp_path):
    (tmp_path / "text.dcm").write_text("hello")
    pydicom.dcmread(pydicom.data.get_testdata_file("MR_small.dcm")).save_as(tmp_path / "patient.dcm")
    with front(0) as (address, asked):
        allow(address)
        for thing in (phantom, to_dataset(sealed_of(phantom, 1)), tmp_path / "text.dcm", tmp_path / "patient.dcm"):
            with pytest.raises(
                MedDiffError, match="Only sealed images|cannot be read as DICOM|carries no MedDiff record"
            ):
                send([thing], Target(address))
    assert asked == []


def test_the_wire_itself_takes_nothing_but_what_is_ours(allow, phantom):
    patient = pydicom.dcmread(pydicom.data.get_testdata_file("MR_small.dcm"))
    painted = to_dataset(sealed_of(phantom, 1))
    paint(painted)
    taken = []
    with front(0) as (address, asked), storage_only(taken) as dicom:
        allow(address, dicom)
        for instance in (patient, painted):
            for server in (WebServer(Target(address)), DimseServer(Target(dicom), [instance])):
                with pytest.raises(MedDiffError, match="carries no MedDiff record|does not show what MedDiff wrote"):
                    server.store(instance)
    assert not asked and not taken


# ---------------------------------------------------------------- DICOMweb


@needs_orthanc
def test_a_case_arrives_once_with_twin_outline_and_report_and_is_the_same_there(orthanc, allow, case, tmp_path):
    allow(orthanc.web)
    target, said = Quick(orthanc.web, USER, PASSWORD), []
    before = orthanc.arrived()
    first = send(case, target, lambda share, word: said.append((share, word)))
    assert first.sent == uids_of_all(case)
    assert not (first.failed or first.already_there or first.unread)
    assert said == [*((number / 4, f"instance {number + 1} of 4") for number in range(4)), (1, "done")]
    for sealed, uid in zip((case.image, case.twin), first.sent[:2], strict=True):
        ours = [
            item["ID"] for item in orthanc.rest("/instances?expand") if item["MainDicomTags"]["SOPInstanceUID"] == uid
        ]
        assert len(ours) == 1
        file = requests.get(f"{orthanc.web}/../instances/{ours[0]}/file", auth=(USER, PASSWORD), timeout=5).content
        there = pydicom.dcmread(io.BytesIO(file))
        assert np.array_equal(there.pixel_array, sealed.pixels)
        assert there.SyntheticData == "YES" and read_private_block(there, "it") == sealed.provenance

    # as an image, as a file, twice in one call, and with an empty journal: it is there
    again = send([case.image, write_dicom(case.image, tmp_path / "a.dcm"), case], target)
    shutil.rmtree(tmp_path / "bank" / "sent")
    anew = send(case, target)
    assert again.already_there == anew.already_there == first.sent
    assert not (again.sent or again.failed or anew.sent or anew.failed or anew.unread)
    assert orthanc.arrived() == before + 4


@needs_orthanc
def test_a_file_arrives_compressed_or_not(orthanc, allow, images, tmp_path):
    allow(orthanc.web, f"dicom://127.0.0.1:{orthanc.dicom}")
    for image, to in zip(images(2), (orthanc.web, f"dicom://127.0.0.1:{orthanc.dicom}"), strict=True):
        path = write_dicom(image, tmp_path / "a.dcm")
        changed(path, lambda ds: ds.compress("1.2.840.10008.1.2.4.90", generate_instance_uid=False))
        report = send(path, Quick(to, USER, PASSWORD, called_aet="ORTHANC"))
        assert report.sent == tuple(uids([image])), report.failed
        found = requests.get(
            f"{orthanc.web}/instances?SOPInstanceUID={report.sent[0]}", auth=(USER, PASSWORD), timeout=5
        )
        assert len(found.json()) == 1


@needs_orthanc
def test_a_send_that_the_server_died_in_goes_on_and_nothing_is_there_twice(allow, images, tmp_path):
    twenty = images(20)
    with running(tmp_path / "orthanc") as server:
        allow(server.web)
        target = Quick(server.web, USER, PASSWORD)

        def stumble(share, word):
            if word.startswith("instance 9 "):
                server.kill()

        cut = send(twenty, target, stumble)
        assert len(cut.sent) == 8 and len(cut.failed) == 12
        assert {failure.reason for failure in cut.failed} == {
            f"{server.web} does not answer: Connection refused. Tried 2 times. Send it again to go on from here."
        }
        server.start()
        rest = send(twenty, target)
        assert (len(rest.already_there), len(rest.sent), rest.failed) == (8, 12, ())
        assert sorted(server.held()) == sorted(uids(twenty))
        assert server.arrived() == 20


@needs_orthanc
@pytest.mark.parametrize("by", ["web", "dimse"])
def test_a_server_that_comes_back_in_time_is_waited_for(allow, images, tmp_path, by):
    six = images(6)
    with running(tmp_path / "orthanc") as server:
        address = server.web if by == "web" else f"dicom://127.0.0.1:{server.dicom}"
        allow(address)

        def stumble(share, word):
            if word.startswith("instance 4 "):
                server.kill()
                threading.Thread(target=server.start).start()

        target = Target(address, USER, PASSWORD, called_aet="ORTHANC", timeout_s=5, attempts=6)
        report = send(six, target, stumble)
        assert (report.sent, report.failed) == (tuple(uids(six)), ())
        assert sorted(server.held()) == sorted(uids(six)) and server.arrived() == 6


@needs_orthanc
def test_our_own_death_in_the_middle_loses_nothing(orthanc, allow, images, tmp_path):
    five = images(5)
    for number, image in enumerate(five):
        write_dicom(image, tmp_path / f"{number}.dcm")
    allow(orthanc.web, password=PASSWORD)
    before = orthanc.arrived()
    script = (
        "import os, sys\n"
        "from meddiff.exchange.pacs import Target, send\n"
        "stop = lambda share, word: word.startswith('instance 4 ') and os.kill(os.getpid(), 9)\n"
        f"send(sys.argv[1:], Target({orthanc.web!r}, {USER!r}, {PASSWORD!r}), stop)\n"
    )
    files = [str(tmp_path / f"{number}.dcm") for number in range(5)]
    died = subprocess.run([sys.executable, "-c", script, *files], timeout=60)
    assert died.returncode == -signal.SIGKILL
    report = send([Path(name) for name in files], Quick(orthanc.web, USER, PASSWORD))
    assert (len(report.already_there), len(report.sent), report.failed) == (3, 2, ())
    assert orthanc.arrived() == before + 5


@needs_orthanc
def test_what_passes_is_waited_for_and_what_does_not_is_said_at_once(orthanc, allow, images):
    busy, refused, broken = images(3)
    with front(orthanc.http, ("POST", 503), ("POST", 429), headers={"Retry-After": "1"}) as (address, asked):
        allow(address)
        started = time.monotonic()
        assert len(send(busy, Target(address, USER, PASSWORD, attempts=3)).sent) == 1
        assert time.monotonic() - started > 2  # as it asked
        assert [line for line in asked if "POST" in line] == ["POST /dicom-web/studies"] * 3
    body = json.dumps({"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0xC000]}}]}}).encode()
    for code in (409, 202):
        with front(orthanc.http, ("POST", code), headers={"Content-Type": "application/dicom+json; charset=utf-8"}, body=body) as (address, asked):  # fmt: skip
            allow(address)
            report = send([refused], Target(address, USER, PASSWORD))
            assert report.failed[0].uid == uids([refused])[0]
            assert "(0xC000)" in report.failed[0].reason and "refused it" in report.failed[0].reason
            assert sum("POST" in line for line in asked) == 1
    with front(orthanc.http, ("POST", 500), ("POST", 500)) as (address, _):
        allow(address)
        report = send([broken, refused], Quick(address, USER, PASSWORD))
        assert "cannot do it now (HTTP 500" in report.failed[0].reason and report.sent == tuple(uids([refused]))


@needs_orthanc
def test_a_lost_answer_is_no_reason_to_send_twice(orthanc, allow, images):
    before = orthanc.arrived()
    with front(orthanc.http, ("POST", 0)) as (address, asked):
        allow(address)
        assert len(send(images(1), Quick(address, USER, PASSWORD)).sent) == 1
    assert sum("POST" in line for line in asked) == 1 and orthanc.arrived() == before + 1


@needs_orthanc
def test_a_server_that_lists_late_is_given_its_time(orthanc, allow, images):
    empty = {"headers": {"Content-Type": "application/dicom+json"}, "body": b"[]"}
    with front(orthanc.http, *[("GET", 200)] * 3, **empty) as (address, asked):  # before, and twice after
        allow(address)
        assert len(send(images(1), Quick(address, USER, PASSWORD, settle_s=5)).sent) == 1
    assert [line.split()[0] for line in asked] == ["GET", "POST", "GET", "GET", "GET", "GET"]


@pytest.mark.parametrize("body", [b"<html>Log in</html>", b'["a"]', b'{"a": 1}', b"3"])
def test_a_web_page_is_not_taken_for_a_pacs(allow, images, body):
    with front(0, ("GET", 200), body=body) as (address, _):
        allow(address)
        with pytest.raises(MedDiffError, match="There is no DICOMweb service at .*check the path"):
            send(images(1), Quick(address))


@needs_orthanc
def test_a_redirect_is_not_followed_and_the_password_goes_nowhere(orthanc, allow, images):
    with front(orthanc.http) as (elsewhere, stolen):
        for method in ("GET", "POST"):
            with front(orthanc.http, (method, 307), headers={"Location": elsewhere + "/instances"}) as (address, _):
                allow(address, elsewhere)
                with pytest.raises(MedDiffError, match="sends on to .*MedDiff follows nobody"):
                    send(images(1), Quick(address, USER, PASSWORD))
    assert stolen == []


@needs_orthanc
def test_a_proxy_or_a_netrc_of_the_environment_is_not_used(orthanc, allow, images, monkeypatch, tmp_path):
    allow(orthanc.web)
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with front(orthanc.http) as (proxy, asked):
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with pytest.raises(MedDiffError, match="lets nobody in without"):
            send(images(1), Quick(orthanc.web))
        assert len(send(images(1), Quick(orthanc.web, USER, PASSWORD)).sent) == 1
    assert asked == []


@needs_orthanc
@pytest.mark.parametrize(
    ("path", "password", "words"),
    [
        ("/dicom-web", "guess", r"lets nobody in without the right user name and password \(HTTP 401"),
        ("/nothing", PASSWORD, "There is no DICOMweb service at .*check the path"),
    ],
)
def test_a_wrong_password_or_path_is_one_sentence_and_not_tried_again(orthanc, allow, images, path, password, words):
    address = f"http://127.0.0.1:{orthanc.http}{path}"
    allow(address)
    started = time.monotonic()
    for act in (partial(send, images(1)), check):
        with pytest.raises(MedDiffError, match=words):
            act(Target(address, USER, password))
    assert time.monotonic() - started < 2
    assert not orthanc.arrived() or uids(images(1))[0] not in orthanc.held()


@pytest.mark.parametrize("scheme", ["http", "https", "dicom", "dicom+tls"])
def test_nobody_there_and_nobody_who_speaks_are_one_sentence(allow, images, scheme):
    nobody = f"{scheme}://127.0.0.1:{free_port()}"
    nowhere = f"{scheme}://no-such-host.invalid"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mute = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}"
        allow(nobody, mute, nowhere)
        with pytest.raises(MedDiffError, match="no-such-host.* does not answer: .*[Nn]ame"):
            send(images(1), Target(nowhere, attempts=1))
        with pytest.raises(MedDiffError, match="does not answer: Connection refused.$"):
            send(images(1), Target(nobody, attempts=1))
        with pytest.raises(MedDiffError, match="did not answer in time|does not answer in DICOM"):
            send(images(1), Target(mute, timeout_s=0.3, attempts=1))


@needs_orthanc
def test_a_server_that_says_it_took_it_and_dropped_it_is_found_out(allow, images, tmp_path):
    keep, drop = images(2)
    (tmp_path / "filter.lua").write_text(
        f"function ReceivedInstanceFilter(dicom, origin)\n return dicom.SOPInstanceUID ~= '{uids([drop])[0]}'\nend\n"
    )
    with running(tmp_path / "orthanc", LuaScripts=[str(tmp_path / "filter.lua")]) as server:
        dicom = f"dicom://127.0.0.1:{server.dicom}"
        allow(server.web, dicom)
        for address in (server.web, dicom):
            report = send([drop, keep], Quick(address, USER, PASSWORD, called_aet="ORTHANC"))
            assert [failure.uid for failure in report.failed] == uids([drop])
            assert "does not list it 0.5 s later" in report.failed[0].reason
        assert server.held() == uids([keep])


@needs_orthanc
def test_a_server_whose_disk_is_full_says_so_for_each_instance(allow, images, phantom, tmp_path):
    small = images(1)[0]
    asked = Request(seed=77)
    big = np.tile((phantom * 255).astype(np.uint8), (5, 5))
    record = Provenance(
        case_id=asked.case_id(), request=asked, pack="p", pack_sha256="a" * 64, pixel_sha256=pixel_sha256(big)
    )
    with running(tmp_path / "orthanc", largest_file=1_500_000) as server:
        dicom = f"dicom://127.0.0.1:{server.dicom}"
        allow(server.web, dicom)
        large = seal(big, record)
        for address in (server.web, dicom):
            report = send([large, small], Quick(address, USER, PASSWORD, called_aet="ORTHANC", attempts=1))
            assert [failure.uid for failure in report.failed] == uids([large])
            assert "Out of Resources (0xA700)" in report.failed[0].reason or "HTTP 500" in report.failed[0].reason, (
                report
            )
        assert server.held() == uids([small])


@needs_orthanc
def test_other_pixels_under_the_same_uid_are_not_taken_for_ours(orthanc, allow, images, monkeypatch):
    image = images(1)[0]
    other = to_dataset(image)
    other.preamble = b"\0" * 128
    paint(other)
    body = pydicom.filebase.DicomBytesIO()
    pydicom.dcmwrite(body, other)
    address = f"http://127.0.0.1:{orthanc.http}"
    requests.post(f"{address}/instances", data=body.getvalue(), auth=(USER, PASSWORD), timeout=5).raise_for_status()
    allow(orthanc.web)
    report = send(image, Quick(orthanc.web, USER, PASSWORD))
    assert "holds something else under its UID" in report.failed[0].reason and not report.already_there


@needs_orthanc
def test_two_at_once_do_not_send_to_one_server(orthanc, allow, images):
    allow(orthanc.web)
    target, said = Quick(orthanc.web, USER, PASSWORD), []

    def second(share, word):
        if not said:
            said.append(word)
            with pytest.raises(MedDiffError, match="Another MedDiff is sending"):
                send(images(2), target)

    assert len(send(images(2), target, second).sent) == 2


# ---------------------------------------------------------------- DIMSE


@needs_orthanc
def test_c_store_arrives_once_and_is_found_again(orthanc, allow, case):
    address = f"dicom://127.0.0.1:{orthanc.dicom}"
    allow(address, orthanc.web)
    target = Quick(address, called_aet="ORTHANC")
    check(target)
    before = orthanc.arrived()
    first, second = send(case, target), send(case, target)
    assert first.sent == second.already_there == uids_of_all(case)
    assert not (first.failed or first.unlisted or second.sent or second.failed)
    assert first.unread == first.sent  # C-STORE gives nothing back
    assert orthanc.arrived() == before + 4
    by_web = send(case, Quick(orthanc.web, USER, PASSWORD))  # there, and read back: the same pixels
    assert by_web.already_there == first.sent and not by_web.unread


@needs_orthanc
def test_a_wrong_ae_title_is_named(orthanc, allow, images):
    address = f"dicom://127.0.0.1:{orthanc.dicom}"
    allow(address)
    for act in (partial(send, images(1)), check):
        with pytest.raises(MedDiffError, match="its AE title is not 'WRONG'"):
            act(Target(address, called_aet="WRONG"))


@contextmanager
def storage_only(taken, secret=None):
    """A DICOM server that stores and cannot be searched, and that may ask for a user."""
    ae = AE("STORE")
    ae.add_supported_context(MRImageStorage)
    ae.add_supported_context(Verification)

    def store(event):
        taken.append(event.request.AffectedSOPInstanceUID)
        return 0x0000

    def known(event):
        return (event.primary_field, event.secondary_field) == secret, None

    handlers = [(evt.EVT_C_STORE, store), *([(evt.EVT_USER_ID, known)] if secret else [])]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield f"dicom://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()


def test_where_a_server_cannot_be_searched_the_journal_says_what_it_has(allow, images):
    taken, three = [], images(3)
    with storage_only(taken) as address:
        allow(address)
        first = send(three[:2], Quick(address))
        second = send(three, Quick(address))
    assert first.sent == first.unlisted == tuple(uids(three[:2]))
    assert second.already_there == first.sent and second.sent == tuple(uids(three[2:]))
    assert taken == uids(three)


@needs_orthanc
def test_an_orthanc_that_hangs_up_on_searches_is_sent_to_all_the_same(allow, images, tmp_path):
    two = images(2)
    with running(tmp_path / "orthanc", DicomAlwaysAllowFind=False) as server:  # as it comes
        address = f"dicom://127.0.0.1:{server.dicom}"
        allow(address)
        first, again = (send(two, Target(address, called_aet="ORTHANC")) for _ in range(2))
        assert first.sent == first.unlisted == again.already_there == tuple(uids(two))
        assert server.arrived() == 2


def test_name_and_password_stand_in_the_association(allow, images):
    with storage_only([], (USER.encode(), PASSWORD.encode())) as address:
        allow(address)
        assert len(send(images(1), Quick(address, USER, PASSWORD)).sent) == 1
        with pytest.raises(MedDiffError, match="cannot take a connection now"):
            send(images(1), Quick(address, USER, "guess", attempts=1))


# ---------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A folder with two authorities (ours, other), and certificates of the first: server, elsewhere (another name), client."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    for name in ("ours", "other"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt")  # fmt: skip
    for name, alt in (("server", "IP:127.0.0.1"), ("elsewhere", "DNS:pacs.example"), ("client", "DNS:meddiff")):
        (folder / "ext").write_text(f"subjectAltName={alt}\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")  # fmt: skip
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ours.crt", "-CAkey", "ours.key", "-CAcreateserial", "-days", "2", "-extfile", "ext", "-out", f"{name}.crt")  # fmt: skip
        (folder / f"{name}.pem").write_text((folder / f"{name}.crt").read_text() + (folder / f"{name}.key").read_text())
    return folder


@contextmanager
def encrypted(folder, authority, name):
    """A server with DICOM TLS that wants our certificate too, and HTTPS before it: (server, its two addresses)."""
    dicom_tls = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(authority / f"{name}.crt"),
        "DicomTlsPrivateKey": str(authority / f"{name}.key"),
        "DicomTlsTrustedCertificates": str(authority / "ours.crt"),
        "DicomTlsRemoteCertificateRequired": True,
    }
    # Debian 12's Orthanc cannot do HTTPS itself: its civetweb crashes with OpenSSL 3 at the first connection.
    with running(folder, **dicom_tls) as server, front(server.http, certificate=authority / f"{name}.pem") as (web, _):
        yield server, web, f"dicom+tls://127.0.0.1:{server.dicom}"


@needs_orthanc
@needs_openssl
def test_a_certificate_is_verified_by_the_authority_that_the_settings_name(allow, images, authority, tmp_path):
    two = images(2)
    with encrypted(tmp_path / "orthanc", authority, "server") as (server, web, dicom):
        by_web, by_dicom = Quick(web, USER, PASSWORD), Quick(dicom, USER, PASSWORD, called_aet="ORTHANC")
        for ca in ({}, {"ca": authority / "other.crt"}):
            allow(web, dicom, **ca)
            for target in (by_web, by_dicom):
                with pytest.raises(MedDiffError, match="certificate of .* is not trusted: .*MEDDIFF_PACS_CA"):
                    send(two, target)
        allow(web, dicom, ca=authority / "ours.crt")
        with pytest.raises(MedDiffError, match="MEDDIFF_PACS_CERTIFICATE"):  # this one wants ours too
            send(two, by_dicom)
        assert server.held() == []
        allow(web, dicom, ca=authority / "ours.crt", certificate=authority / "client.pem")
        assert send(two[0], by_web).sent == tuple(uids(two[:1]))
        assert send(two[1], by_dicom).sent == tuple(uids(two[1:]))
        assert sorted(server.held()) == sorted(uids(two))


@needs_orthanc
@needs_openssl
def test_a_certificate_of_another_host_is_refused(allow, images, authority, tmp_path):
    with encrypted(tmp_path / "orthanc", authority, "elsewhere") as (server, web, dicom):
        allow(web, dicom, ca=authority / "ours.crt", certificate=authority / "client.pem")
        for address in (web, dicom):
            with pytest.raises(MedDiffError, match="is not trusted: IP address mismatch"):
                send(images(1), Quick(address, called_aet="ORTHANC"))
        assert server.held() == []


@needs_orthanc
def test_tls_to_a_server_without_it_is_said(orthanc, allow, images):
    for address in (f"https://127.0.0.1:{orthanc.http}/dicom-web", f"dicom+tls://127.0.0.1:{orthanc.dicom}"):
        allow(address)
        with pytest.raises(MedDiffError, match="does not speak TLS|Connection reset"):
            send(images(1), Target(address, attempts=1, timeout_s=2))


def test_a_certificate_file_that_is_not_there_or_none_is_named(allow, images, tmp_path, monkeypatch):
    (tmp_path / "text.pem").write_text("hello")
    for scheme in ("https", "dicom+tls"):
        for name, path in (("ca", "gone.pem"), ("ca", "text.pem"), ("certificate", "text.pem")):
            address = f"{scheme}://127.0.0.1:{free_port()}"
            monkeypatch.delenv("MEDDIFF_PACS_CA", raising=False)
            allow(address, **{name: tmp_path / path})
            with pytest.raises(MedDiffError, match=f"MEDDIFF_PACS_{name.upper()}"):
                send(images(1), Quick(address))


# ---------------------------------------------------------------- the command line


@needs_orthanc
def test_the_command_sends_from_the_bank_and_from_files(orthanc, allow, case, images, tmp_path, capsys, caplog):
    caplog.set_level(logging.DEBUG)
    allow(orthanc.web, password=PASSWORD)
    Bank().keep(case)
    path = write_dicom(images(1)[0], tmp_path / "a.dcm")
    to = ["--to", orthanc.web, "--user", USER]
    assert main(["send", *to]) == 0
    assert main(["send", case.case.id, str(path), *to]) == 0
    assert main(["send", case.case.id, str(path), *to]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        f"{orthanc.web} answers",
        "5 sent, 0 already there, 0 not sent",
        "0 sent, 5 already there, 0 not sent",
    ]
    assert main(["send", str(path), "--to", "https://elsewhere.example/dicom-web", "--user", USER]) == 2
    assert main(["send", str(tmp_path / "gone.dcm"), *to]) == 2
    said = capsys.readouterr()
    assert "is not on the list" in said.err and "gone.dcm cannot be read" in said.err
    journal = "".join(path.read_text() for path in (tmp_path / "bank" / "sent").rglob("*.json"))
    assert case.case.id not in journal and PASSWORD not in journal + said.out + said.err + caplog.text


def test_without_a_terminal_the_password_must_stand_in_the_environment(allow, images, tmp_path, capsys, monkeypatch):
    allow("https://pacs.example")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["send", "a.dcm", "--to", "https://pacs.example", "--user", USER]) == 2
    assert "MEDDIFF_PACS_PASSWORD" in capsys.readouterr().err
