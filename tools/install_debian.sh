#!/bin/sh
# Installs Debian packages, as root or by sudo; says what to do where neither is possible.
set -eu
command -v apt-get >/dev/null || { echo "this machine has no apt-get: install what Debian calls $* another way" >&2; exit 1; }
as_root=
if [ "$(id -u)" -ne 0 ]; then
    as_root=sudo
    command -v sudo >/dev/null || { echo "as root: apt-get install $*" >&2; exit 1; }
fi
$as_root apt-get -qq update
$as_root apt-get -qqy install "$@"
