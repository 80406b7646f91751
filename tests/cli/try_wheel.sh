#!/usr/bin/env bash
# A stranger's way in, outside of a checkout: install a wheel (or a version), predict, train, test, report.
set -euo pipefail
if [ -f "$1" ]; then wheel=$(realpath "$1") with_train="$wheel[train]"; else wheel="madnet==$1" with_train="madnet[train]==$1"; fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python -m venv .venv
. .venv/bin/activate
say() { echo; echo "== $SECONDS s: $*"; "$@"; }

say pip install --quiet "$wheel"
say madnet doctor
say madnet dataset synth --out frames --n 2 --seed 1
say madnet predict tophat frames/images --out found          # without PyTorch
if madnet train madnet_synthetic; then echo 'trained without PyTorch?'; exit 1; fi

say pip install --quiet "$with_train"
say madnet predict madnet_nano frames/images --out found_by_a_network
say madnet train madnet_synthetic --minutes 1 --work-dir run
say madnet test madnet_synthetic run/best.pth --save-scores
say madnet report run --out report
test -s report/index.html
echo "== $SECONDS s: all of it works"
