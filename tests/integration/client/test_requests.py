"""What the request looks like."""

from __future__ import annotations

import base64
import itertools
import re
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_queuecalls import progress
from airflow_provider_queuecalls.client.campaign import PARAMETERS, Campaign
from airflow_provider_queuecalls.client.response import Response
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from tests.conftest import LOGIN, PIN, Connect
from tests.support.fault_server import FaultServer
from tests.support.outcomes import CAMPAIGN, QUEUED_XML, assert_outcome, queue, says

if TYPE_CHECKING:
    from pytest_mock import MockerFixture


def sent_with(connect: Connect, contacts: Path, campaign: Campaign = CAMPAIGN, **connection: Any) -> Any:
    """The request that arrives."""
    with FaultServer(says(QUEUED_XML)) as server:
        connect(server.url, **connection)
        assert isinstance(queue(contacts, campaign=campaign), Response)
    return server.posts[0]


def texts(body: bytes) -> dict[str, str]:
    """The form's fields in the order they came in."""
    parts = re.findall(rb'name="([^"]+)"[^\r]*\r\n(?:Content-Type[^\r]*\r\n)?\r\n(.*?)\r\n--', bytes(body), re.DOTALL)
    return {name.decode(): text.decode() for name, text in parts}


def test_the_length_is_exact_and_nothing_is_chunked(connect: Connect, small_list: Path) -> None:
    request = sent_with(connect, small_list)
    assert request.received == request.length == len(request.body)
    assert "transfer-encoding" not in request.headers
    assert "expect" not in request.headers
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert request.target == "/webservice/queuecalls.php"


def test_credentials_go_as_basic_in_utf_8_and_into_the_form(connect: Connect, small_list: Path) -> None:
    request = sent_with(connect, small_list, login="zoë🦊", password="pïn&<\"'")
    scheme, _, value = request.headers["authorization"].partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(value).decode() == "zoë🦊:pïn&<\"'"
    assert (texts(request.body)["login"], texts(request.body)["pin"]) == ("zoë🦊", "pïn&<\"'")


def test_an_extra_pin_goes_into_the_form_only(connect: Connect, small_list: Path) -> None:
    request = sent_with(connect, small_list, pin="0815")
    assert base64.b64decode(request.headers["authorization"][6:]).decode() == f"{LOGIN}:{PIN}"
    assert texts(request.body)["pin"] == "0815"


@pytest.mark.parametrize("basic_auth", [True, False])
def test_basic_auth_false_leaves_the_header_out(basic_auth: bool, connect: Connect, small_list: Path) -> None:
    assert ("authorization" in sent_with(connect, small_list, basic_auth=basic_auth).headers) is basic_auth


def test_a_netrc_is_not_read(
    connect: Connect, small_list: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (netrc := tmp_path / "netrc").write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert "authorization" not in sent_with(connect, small_list, basic_auth=False).headers
    assert base64.b64decode(sent_with(connect, small_list).headers["authorization"][6:]).decode() == f"{LOGIN}:{PIN}"


def test_the_file_comes_first_and_credentials_and_name_come_last(connect: Connect, small_list: Path) -> None:
    names = {"max_retries": "max_retry", "secure": "is_pci"}
    campaign = Campaign(
        secure=True, max_retries=3, retry_interval=60, scheduled_timestamp=0, expiration_time="+3 days",
        call_parameters="b", message_reference="a", result_url="https://r.example/", campaign_name="spring",
        start_url="https://s.example/",
    )  # fmt: skip
    fields = texts(sent_with(connect, small_list, campaign, field_names=names).body)
    first, last = ["phone_number_list"], ["login", "pin", "campaign_name"]
    unset = ["expiration_timestamp", "scheduled_time"]
    sent = [names.get(each.name, each.wire_name) for each in PARAMETERS if each.name not in unset]
    assert list(fields) == [*first, *(name for name in sent if name not in first + last), *last]
    assert fields["max_retry"] == "3"
    assert fields["is_pci"] == "1"
    assert fields["phone_number_list"] == small_list.read_text()


def test_a_long_upload_logs_its_progress_about_every_five_seconds(
    connect: Connect, large_list: Path, mocker: MockerFixture
) -> None:
    clock = itertools.count()
    mocker.patch.object(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    hook = QueueCallsHook()
    hook._log = SimpleNamespace(info=mocker.Mock())
    with FaultServer(says(QUEUED_XML)) as server:
        connect(server.url)
        assert_outcome(queue(large_list, hook), None, 200)
    lines = [call.args[0] % call.args[1:] for call in hook._log.info.call_args_list]
    uploaded = [line for line in lines if line.startswith("Uploaded")]
    assert len(uploaded) == (next(clock) - 1) // 5, "a clock that ticks once with every block"
    assert re.fullmatch(r"Uploaded \d+ of 34 MB \(\d+ %\), [\d.]+ MB/s", uploaded[0])
