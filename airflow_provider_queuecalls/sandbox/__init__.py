"""A queuecalls service to run on one's own machine: it takes campaigns by the documented rules, and phones nobody.

``server`` starts and stops it; ``app`` is the web application: ``service`` takes campaigns, ``api`` is for programs and
``page`` for people, and ``guard`` keeps other sites out. ``form`` judges what was posted, ``answers`` writes what goes
back, ``faults`` and ``wire`` let it go wrong. ``dialer`` calls by ``clock`` and ``numbers``, ``callbacks`` tells who has to
be told. ``store`` and ``journal`` keep it all in one ``database``; ``state`` is these parts put together, as ``settings``
say. Needs the extra ``sandbox``; nothing else in this package imports it at module level.
"""

LOOPBACK = "127.0.0.1"
#: Airflow masks login and PIN in its logs wherever they occur, so they shouldn't be words of every day.
DEFAULT_LOGIN = "sandbox-login"
DEFAULT_PIN = "sandbox-pin"
