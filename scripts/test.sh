#!/usr/bin/env bash
# Sets up what the tests need, then runs ruff, mypy and pytest; arguments go to pytest (-m "not slow" for a quick look).
# Whole campaigns of templates are listed as skipped: scripts/soak.sh runs them.
# Codes that label (CP2K, Quantum ESPRESSO, MOPAC) and Packmol come from Debian where this user may install them; without
# them their tests are listed as skipped. SPARC_FW_TEST_DATA names a folder of real data; tests that need it are listed as skipped where it is not set.
set -euo pipefail
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ -n "${SPARC_FW_TEST_DATA:-}" ]; then
    SPARC_FW_TEST_DATA=$(cd "$here" && realpath "$SPARC_FW_TEST_DATA")
    export SPARC_FW_TEST_DATA
fi
install_codes() {
    local log=.venv/codes.log
    if [ "$(command -v cp2k_shell pw.x mopac packmol | wc -l)" = 4 ]; then
        return
    fi
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "CP2K, Quantum ESPRESSO, MOPAC or Packmol is missing and this user cannot install it: their tests are skipped"
        return
    fi
    echo "installing CP2K, Quantum ESPRESSO, MOPAC and Packmol from Debian; the log is $log"
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive timeout 900 apt-get install -y --no-install-recommends \
        cp2k quantum-espresso quantum-espresso-data mopac packmol; } >"$log" 2>&1; then
        echo "they could not be installed ($(tail -n 1 "$log")): their tests are skipped"
    fi
}

bash scripts/setup.sh all dev
install_codes
echo "ruff"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
echo "mypy"
.venv/bin/mypy
echo "pytest; real data: ${SPARC_FW_TEST_DATA:-none (SPARC_FW_TEST_DATA is not set)}"
exec .venv/bin/python -m pytest "$@"
