#!/usr/bin/env bash
# Runs every template of a figure to its verdict and checks its physics; some minutes of one core each. Arguments go to
# pytest: -k silica for one of them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh all dev
exec .venv/bin/python -m pytest -m soak tests/test_templates.py "$@"
