#!/bin/sh
# Debian's python3 comes without venv. Installs it, as root or by sudo; says what to do where neither is possible.
set -eu
as_root=
if [ "$(id -u)" -ne 0 ]; then
    as_root=sudo
    command -v sudo >/dev/null || { echo "Python's venv is missing; as root: apt-get install python3-venv" >&2; exit 1; }
fi
$as_root apt-get -qq update
$as_root apt-get -qqy install python3-venv
