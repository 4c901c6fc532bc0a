#!/bin/sh
# Prints the interpreter of the first of the given Python versions (such as 3.13) that is installed; that of `python3`
# where none is, and says so.
set -eu
for version; do
    for python in "python$version" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python; do
        if "$python" -c "import sys, ensurepip; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" 2>/dev/null; then
            command -v "$python"
            exit
        fi
    done
done
echo "Python $* isn't installed: $(python3 --version) takes its place" >&2
command -v python3
