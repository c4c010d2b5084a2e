#!/usr/bin/env bash
# Sets up what the main job needs, then runs it: a potential for ammonia borane, learned actively from PBE labels.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash scripts/setup.sh all
name=nh3bh3-$(date +%Y%m%d-%H%M%S)
folder=runs/$name
.venv/bin/sparc-fw run fw_templates/campaigns/nh3bh3.yaml --name "$name" --folder "$folder" --workers 2
echo
echo "report and pictures:"
find "$folder" -maxdepth 1 \( -name '*.md' -o -name '*.png' \) -printf '  %p\n' | sort
echo "see it again with: .venv/bin/sparc-fw status $name"
