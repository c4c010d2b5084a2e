#!/usr/bin/env bash
# Sets up what the tests need, then runs ruff, mypy and pytest; arguments go to pytest (-m "not slow" for a quick look).
# SPARC_FW_TEST_DATA names a folder of real data; tests that need it are listed as skipped where it is not set.
set -euo pipefail
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ -n "${SPARC_FW_TEST_DATA:-}" ]; then
    SPARC_FW_TEST_DATA=$(cd "$here" && realpath "$SPARC_FW_TEST_DATA")
    export SPARC_FW_TEST_DATA
fi
bash scripts/setup.sh all dev
echo "ruff"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
echo "mypy"
.venv/bin/mypy
echo "pytest; real data: ${SPARC_FW_TEST_DATA:-none (SPARC_FW_TEST_DATA is not set)}"
exec .venv/bin/python -m pytest "$@"
