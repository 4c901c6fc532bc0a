#!/bin/sh
# Prints the interpreter of a Python version such as 3.12; that of `python3` where there is none, and says so.
set -eu
for python in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python; do
    if "$python" -c "import sys, ensurepip; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2>/dev/null; then
        command -v "$python"
        exit
    fi
done
echo "Python $1 isn't installed: $(python3 --version) takes its place" >&2
command -v python3
