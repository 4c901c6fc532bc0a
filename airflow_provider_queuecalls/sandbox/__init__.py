"""A queuecalls service for your own machine. It takes campaigns by the documented rules and places no real calls.

``server`` starts and stops it, ``app`` puts the web application together from the service, the API and the page. The rest
has one module for each concern, named after it. Needs the extra ``sandbox``; nothing else in this package imports it at
module level.
"""

#: Airflow masks login and PIN in its logs wherever they occur, so they shouldn't be everyday words.
DEFAULT_LOGIN = "sandbox-login"
DEFAULT_PIN = "sandbox-pin"
