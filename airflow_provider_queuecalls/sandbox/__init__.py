"""A queuecalls service to run on one's own machine: it takes campaigns by the documented rules, and phones nobody.

``server`` starts and stops it, ``app`` says what it answers at which address, ``form`` judges what was posted,
``store`` keeps campaigns and calls, ``answers`` writes what goes back. Needs the extra ``sandbox``; nothing else in
this package imports it at module level.
"""

LOOPBACK = "127.0.0.1"
#: Airflow masks login and PIN in its logs wherever they occur, so they shouldn't be words of every day.
DEFAULT_LOGIN = "sandbox-login"
DEFAULT_PIN = "sandbox-pin"
