"""The hook: campaigns over an Airflow Connection, sent as they are or delivered once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from functools import cached_property
from typing import Any

from airflow_provider_queuecalls._airflow.campaigns import build_start_url
from airflow_provider_queuecalls._airflow.compat import AirflowNotFoundException, BaseHook, mask, running_task
from airflow_provider_queuecalls._airflow.connection_form import form_field
from airflow_provider_queuecalls._airflow.delivering import delivering
from airflow_provider_queuecalls._airflow.receipts import describe_records, records_at, try_of
from airflow_provider_queuecalls._airflow.storage import Location
from airflow_provider_queuecalls.client.campaign import Campaign
from airflow_provider_queuecalls.client.client import Client
from airflow_provider_queuecalls.client.endpoint import CONN_TYPE, DEFAULT_CONN_ID, Endpoint, undefined_connection
from airflow_provider_queuecalls.client.multipart import Upload
from airflow_provider_queuecalls.client.response import Response
from airflow_provider_queuecalls.contacts import ContactRules, open_contacts
from airflow_provider_queuecalls.delivery import ANY_DIGEST, Delivery, deliver
from airflow_provider_queuecalls.exceptions import InvalidConnection, NotSent, clear_locals
from airflow_provider_queuecalls.get_provider_info import conn_fields, ui_field_behaviour
from airflow_provider_queuecalls.parameters import is_unset
from airflow_provider_queuecalls.records.sent.entry import CampaignKey
from airflow_provider_queuecalls.stopping import StopRequest
from airflow_provider_queuecalls.value_types import parse_flag
from airflow_provider_queuecalls.voice.speech import Speech, read_speech

__all__ = ["QueueCallsHook"]


class QueueCallsHook(BaseHook):
    """Queues campaigns at the ``queuecalls`` web service.

    :param queuecalls_conn_id: The id of the connection, of type ``queuecalls``. None, ``''``, and ``'None'``, as templates
        render them, stand for the default. Default: ``'queuecalls_default'``.
    :param stop: A request to stop, after which nothing is sent. Default: a new one, which :meth:`close` requests.
    """

    conn_name_attr = "queuecalls_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = CONN_TYPE
    hook_name = "queuecalls"

    def __init__(
        self, queuecalls_conn_id: str | None = DEFAULT_CONN_ID, *, stop: StopRequest | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.queuecalls_conn_id = DEFAULT_CONN_ID if is_unset(queuecalls_conn_id) else queuecalls_conn_id
        self.stop = stop or StopRequest()

    @cached_property
    @clear_locals()
    def endpoint(self) -> Endpoint:
        """The Connection, read and checked. Raises :class:`InvalidConnection`."""
        if not isinstance(self.queuecalls_conn_id, str):  # a template may render to anything
            raise undefined_connection(self.queuecalls_conn_id)
        try:
            connection = self.get_connection(self.queuecalls_conn_id)
        except AirflowNotFoundException:
            raise undefined_connection(self.queuecalls_conn_id) from None
        endpoint = Endpoint.from_connection(connection)
        for secret in endpoint.secrets:
            mask(secret)
        if endpoint.verify is False:
            self.log.warning(
                "The connection has verify: false. Anybody between this machine and the service can read the PIN and the contacts."
            )
        return endpoint

    @cached_property
    def client(self) -> Client:
        """The client for this Connection."""
        return Client(self.endpoint, stop=self.stop, log=self.log)

    def key_of(self, campaign_name: str) -> CampaignKey:
        """Return the key of a campaign that this connection sends."""
        return CampaignKey.of(campaign_name, self.endpoint.url, self.endpoint.login)

    def script_url(self, campaign_name: str, speak: Mapping[str, Any] | None = None) -> str:
        """Return a ``start_url`` with which the calls of a campaign say their call_parameters, without a script of your own.

        :param campaign_name: the name of the campaign; each campaign needs a URL of its own
        :param speak: the settings, as QueueCallsOperator accepts them; default is each setting's default

        Raises :class:`InvalidCampaign` if a setting is not valid, or if Airflow's configuration names no receiver.
        """
        return build_start_url(self.key_of(campaign_name.strip()), read_speech(speak or {}) or Speech())

    def get_conn(self) -> Endpoint:
        """Return the endpoint: URL, credentials, and timeouts."""
        return self.endpoint

    @clear_locals()
    def queue_calls(self, contacts: str | os.PathLike[str] | Upload, campaign: Campaign) -> Response:
        """Send one campaign with one POST, without a check and without a record, and return the response that says queued.

        Use :meth:`deliver` to check the contact file and to send it only once. No redirect is followed, and no request
        is repeated.

        :param contacts: a local contact file, or one that is open already; sent as it is
        :param campaign: the campaign's settings

        Raises, by what is known of the request:

        * :class:`InvalidContacts`, :class:`InvalidCampaign`, :class:`InvalidConnection`: nothing was sent
        * :class:`NotSent`: no complete request reached the service; another try is safe
        * :class:`NotAccepted`: HTTP 408, 425 or 429; another try is safe, after ``retry_after`` seconds
        * :class:`Refused`: the service refused the campaign
        * :class:`OutcomeUnknown`: it may have been queued; sending it again may call everybody twice
        """
        with ExitStack() as stack:
            upload = contacts if isinstance(contacts, Upload) else stack.enter_context(open_contacts(contacts))
            return self.client.queue_calls(upload, campaign)

    @clear_locals()
    def deliver(
        self,
        contacts: str | os.PathLike[str],
        campaign: Campaign,
        *,
        receipts_path: Location | None = None,
        rules: ContactRules | None = None,
        max_per_period: str | None = None,
        rejects_path: str | os.PathLike[str] | None = None,
        expected_digest: str = ANY_DIGEST,
        dry_run: bool | str = False,
        resend: bool | str = False,
    ) -> Delivery:
        """Check a contact file and send it as one campaign, once: a record says what was sent.

        :param contacts: a local contact file
        :param campaign: the campaign's settings, with a ``campaign_name``
        :param receipts_path: the folder for records: an absolute path of a folder that ``queuecalls records init`` has
            made, any URL of ObjectStoragePath, ``"database"`` for the results database, or ``"none"`` to keep no
            record; default is ``[queuecalls] receipts_path`` of Airflow's configuration
        :param rules: how the contact file is checked
        :param max_per_period: how often a number may be called in a period, such as ``"3/24h"``, by the record of earlier
            campaigns; default is ``[queuecalls] max_per_period`` of Airflow's configuration, or no limit
        :param rejects_path: a local file for the rejects, each with line and reason
        :param expected_digest: ``"any"``, or the digest of the only list that may be sent
        :param dry_run: do everything except the request
        :param resend: send a campaign that was sent before, or may have been: in a task once per run, and once more each time
            the task is cleared; automatic retries never resend. Elsewhere, each call sends

        Raises what :func:`airflow_provider_queuecalls.delivery.deliver` raises.
        """
        # As the operator reads them: bool("false") would be true, and send everybody a second time.
        dry_run, resend = parse_flag("dry_run", dry_run), parse_flag("resend", resend)
        task = running_task()
        open_store = records_at(receipts_path, self.log, dry_run=dry_run)
        this_try = try_of(task, resend=resend)
        with delivering(
            campaign, self.endpoint, open_store, this_try, max_per_period=max_per_period, log=self.log, ti=task
        ) as (open_ledger, configured):  # fmt: skip
            return deliver(
                campaign,
                contacts,
                self.client,
                open_ledger,
                rules=rules,
                rejects=nullcontext(rejects_path),
                expected_digest=expected_digest,
                dry_run=dry_run,
                **configured,
            )

    def close(self) -> None:
        """Break off the request that is under way, if there is one, and send nothing from now on."""
        self.stop.request()

    def test_connection(self) -> tuple[bool, str]:
        """Send a HEAD request, which queues nothing, and report what that proves and what it does not, and where records
        are kept.

        Takes about ten seconds at most: five to connect, five for the response; and ten more for records in a storage.
        """
        good, message = self._test_service()
        return good, f"{message} {describe_records()}"

    def _test_service(self) -> tuple[bool, str]:
        try:
            endpoint = self.endpoint
            code = self.client.send_head().status_code
        except InvalidConnection as error:
            # Without the connection's id: Airflow makes one up for the test.
            wrong = ". ".join(each.sentence for each in error.violations)
            return False, f"{error.subject}: {wrong}. Nothing was queued."
        except NotSent as error:
            return False, f"No response from {endpoint.url}: {error}. Nothing was queued."
        reached = f"{endpoint.url} responds (HTTP {code})"
        if code in (401, 403):
            return False, f"{reached} and refuses login and PIN. Nothing was queued."
        if code == 404 or 300 <= code < 400 or code >= 500:
            return False, f"{reached}, but not as the service would: check host, port, and path. Nothing was queued."
        asked = (
            "did not refuse login and PIN as HTTP Basic" if endpoint.basic_auth else "was not asked about login and PIN"
        )
        return True, (
            f"{reached} and {asked}. Nothing was queued. Only a campaign can show "
            "whether it accepts login and PIN in the form, and whether the account may queue calls."
        )

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """The connection form's labels and placeholders, for Airflow before 3.2."""
        behaviour = ui_field_behaviour()
        return {key.replace("-", "_"): value for key, value in behaviour.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """The connection form's fields for what lies in the extra, for Airflow before 3.2."""
        return {name: form_field(declared) for name, declared in conn_fields().items()}
