"""Why a request failed, for its error message. No reason repeats what the service or a proxy sent."""

from __future__ import annotations

import http.client
import socket
import ssl

from airflow_provider_queuecalls.client.hosts import is_loopback
from airflow_provider_queuecalls.client.multipart import UploadBroken
from airflow_provider_queuecalls.client.route import Route, TunnelRefused
from airflow_provider_queuecalls.client.transport import BrokenOff

#: What is wrong with a certificate, by the number of OpenSSL's X509_V_ERR_….
_CERTIFICATE_PROBLEMS = {
    9: "is not valid yet; check the clock of this machine",
    10: "has expired",
    **dict.fromkeys(
        (2, 18, 19, 20, 21),
        "is signed by an authority that is not known here; set the connection's extra verify to the path of a file with "
        "the authority's certificate",
    ),
    **dict.fromkeys((62, 64), "is not valid for this host; check the connection's host"),
}
#: OpenSSL's reasons for a response that is not TLS at all.
_NOT_TLS = {
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "UNKNOWN_PROTOCOL",
    "RECORD_LAYER_FAILURE",
    "PACKET_LENGTH_TOO_LONG",
}
_OTHER_TLS_VERSION = {"TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "UNSUPPORTED_SSL_VERSION"}


_REASONS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    ((socket.gaierror, UnicodeError), "the host's name cannot be resolved; check {} host"),
    (ConnectionRefusedError, "the connection was refused; check {} host and port"),
    (http.client.RemoteDisconnected, "the connection was closed without a response"),
    ((ConnectionResetError, BrokenPipeError), "the connection was reset"),
    (http.client.HTTPException, "the response is not HTTP"),
)


def reason_of(error: BaseException, route: Route) -> str | None:
    """Return why the request failed; None for an error that has another cause than the network."""
    if isinstance(error, BrokenOff | TunnelRefused | UploadBroken):
        return str(error)
    if isinstance(error, ssl.SSLError):
        return _tls_reason(error, route)
    for types, reason in _REASONS:
        if isinstance(error, types):
            return reason.format("the proxy's" if route.proxy else "the connection's")
    return f"the network failed ({error.strerror})" if isinstance(error, OSError) and error.strerror else None


def _tls_reason(error: ssl.SSLError, route: Route) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        problem = _CERTIFICATE_PROBLEMS.get(error.verify_code, f"is not valid ({error.verify_message})")
        return f"the TLS certificate {problem}"
    if error.reason in _NOT_TLS:
        also = "" if is_loopback(route.url.hostname or "") else " and its extra allow_http to true"
        return (
            "the service doesn't seem to speak TLS on this port. Check the connection's port; if the service speaks "
            f"plain http there, set the connection's schema to http{also}"
        )
    if error.reason in _OTHER_TLS_VERSION:
        return "the service speaks no version of TLS that is accepted here (TLS 1.2 or later)"
    return f"TLS failed ({error.reason or type(error).__name__})"
