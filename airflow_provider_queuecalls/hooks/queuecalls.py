"""The hook: an Airflow Connection, one POST, a Response."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from typing import Any

from airflow_provider_queuecalls._airflow.compat import BaseHook, mask_secret
from airflow_provider_queuecalls._airflow.connection_form import form_field
from airflow_provider_queuecalls.client.campaign import Campaign
from airflow_provider_queuecalls.client.client import Client
from airflow_provider_queuecalls.client.endpoint import CONN_TYPE, DEFAULT_CONN_ID, Endpoint
from airflow_provider_queuecalls.client.multipart import Upload
from airflow_provider_queuecalls.client.response import Response
from airflow_provider_queuecalls.contacts import open_contacts
from airflow_provider_queuecalls.exceptions import InvalidConnection, NotSent, clear_locals
from airflow_provider_queuecalls.get_provider_info import conn_fields, ui_field_behaviour
from airflow_provider_queuecalls.stopping import StopRequest

#: Airflow masks no shorter secrets, and warns about them. Nothing here relies on its mask.
SHORTEST_MASKED = 5


class QueueCallsHook(BaseHook):
    """Queues campaigns at the ``queuecalls`` web service.

    :param queuecalls_conn_id: the Connection, of type ``queuecalls``
    """

    conn_name_attr = "queuecalls_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = CONN_TYPE
    hook_name = "queuecalls"

    def __init__(
        self, queuecalls_conn_id: str = DEFAULT_CONN_ID, *, stop: StopRequest | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.queuecalls_conn_id = queuecalls_conn_id
        self.stop = stop or StopRequest()

    @cached_property
    @clear_locals()
    def endpoint(self) -> Endpoint:
        """The Connection, read and checked. Raises :class:`InvalidConnection`."""
        endpoint = Endpoint.from_connection(self.get_connection(self.queuecalls_conn_id))
        for secret in endpoint.secrets:
            if len(secret) >= SHORTEST_MASKED:
                mask_secret(secret)
        if endpoint.verify is False:
            self.log.warning(
                "The connection says verify: false. Anybody between here and the service can read the PIN and the contacts."
            )
        return endpoint

    @cached_property
    def client(self) -> Client:
        """The client for this Connection."""
        return Client(self.endpoint, stop=self.stop, log=self.log)

    def get_conn(self) -> Endpoint:
        """Return what a request needs to know. There is no lasting connection: every campaign is one request."""
        return self.endpoint

    @clear_locals()
    def queue_calls(
        self,
        contacts: str | os.PathLike[str] | Upload,
        campaign: Campaign,
        *,
        before_first_byte: Callable[[], None] | None = None,
    ) -> Response:
        """Queue one campaign with one POST, and return the answer that says so.

        ``contacts`` is a local path, or a file that is open already. Nothing is ever sent twice here, and no
        redirect is followed. ``before_first_byte`` is called when the connection stands and nothing is left to do but
        send; what it raises is raised here, and nothing was sent. Raises, by what is known of the request (contract: the outcome table):

        * :class:`InvalidContacts`, :class:`InvalidCampaign`, :class:`InvalidConnection`: nothing was sent
        * :class:`NotSent`: no complete request has left; safe to try again
        * :class:`NotAccepted`: HTTP 408, 425 or 429; safe to try again after ``retry_after`` seconds
        * :class:`Refused`: the service said no
        * :class:`OutcomeUnknown`: it may have been queued; sending it again may call everybody twice
        """
        with ExitStack() as stack:
            upload = contacts if isinstance(contacts, Upload) else stack.enter_context(open_contacts(contacts))
            return self.client.queue_calls(upload, campaign, before_first_byte=before_first_byte)

    def close(self) -> None:
        """Break off the request that is under way, if there is one, and send nothing from now on."""
        self.stop.request()

    def test_connection(self) -> tuple[bool, str]:
        """Ask for the service's head, which queues nothing, and say what that proves and what it doesn't.

        Takes about ten seconds at most: five to connect, five for the answer.
        """
        try:
            endpoint = self.endpoint
            code = self.client.head()
        except InvalidConnection as error:
            # Without the connection's id: Airflow makes one up for the test.
            wrong = ". ".join(each.sentence for each in error.violations)
            return False, f"{error.subject}: {wrong}. Nothing was queued."
        except NotSent as error:
            return False, f"No answer from {endpoint.url}: {error}. Nothing was queued."
        reached = f"{endpoint.url} answers (HTTP {code})"
        if code in (401, 403):
            return False, f"{reached} and refuses login and PIN. Nothing was queued."
        if code == 404 or 300 <= code < 400 or code >= 500:
            return False, f"{reached}, but not as the service would: check host, port and path. Nothing was queued."
        asked = (
            "didn't refuse login and PIN as HTTP Basic" if endpoint.basic_auth else "was not asked about login and PIN"
        )
        return True, (
            f"{reached} and {asked}. Nothing was queued. Not proven: that it accepts login and PIN in the form, and that "
            "the account may queue calls; only a campaign shows that."
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
