#!/usr/bin/env bash
# Makes .venv and installs this checkout with the extras given (default: all). Does nothing where that is done already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=$PWD/.venv
log=$venv/setup.log
extras=("${@:-all}")

fail() {
    printf 'setup failed: %s\n' "$1" >&2
    exit 1
}

find_python() {
    local name
    # The first ones are those for which every dependency has wheels.
    for name in python3.11 python3.12 python3.10 python3.13 python3; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    fail "found no Python 3.10 or later on PATH, expected one (Debian, Ubuntu: apt install python3 python3-venv)"
}

make_venv() {
    if "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        return
    fi
    local python
    python=$(find_python)
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "$python has no module venv (Debian, Ubuntu: apt install python3-venv)"
    echo "making .venv with $python ($("$python" --version))"
    "$python" -m venv --clear "$venv" || fail "$python -m venv $venv did not succeed; its message is above"
}

install() {
    local wanted
    wanted=$(IFS=,; echo "${extras[*]}")
    echo "installing sparc_fw[$wanted] into .venv; this takes minutes, the log is $log"
    if ! "$venv/bin/python" -m pip install --disable-pip-version-check --progress-bar off -e ".[$wanted]" >"$log" 2>&1; then
        grep -E '^ *(ERROR|error)' "$log" | tail -n 5 >&2 || tail -n 5 "$log" >&2
        fail "pip could not install sparc_fw[$wanted]: without network, set up pip's index or proxy; see $log"
    fi
}

check_mongod() {
    local mongod
    mongod=$("$venv/bin/python" -c 'from sparc_fw.embedded import find_mongod; print(find_mongod(None))') ||
        fail "the embedded MongoDB is not there; its message is above"
    "$mongod" --version >/dev/null 2>"$log.mongod" ||
        fail "$mongod does not start: $(tail -n 1 "$log.mongod"). It needs libcurl and OpenSSL 3 (Debian, Ubuntu: \
apt install libcurl4 libssl3); or set SPARC_FW_MONGO_URI to a MongoDB of yours"
}

make_venv
stamp=$(cat setup.cfg pyproject.toml | sha256sum | cut -d ' ' -f 1)
for extra in "${extras[@]}"; do
    if [ "$(cat "$venv/.installed-$extra" 2>/dev/null)" != "$stamp" ]; then
        install
        check_mongod
        for extra in "${extras[@]}"; do
            echo "$stamp" >"$venv/.installed-$extra"
        done
        break
    fi
done
