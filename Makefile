# Three targets do everything, also on a machine that has only Python >= 3.10 (with venv) and git:
#   make demo    train a small MAD-Net on synthetic scenes, test it, draw what it found
#   make test    run the test suite
#   make docs    build the site, site/index.html
# All install into .venv beside this file and nowhere else, and again when the requirements change.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed

.PHONY: demo test docs lint types clean

demo: $(STAMP)
	$(PY) tools/train.py configs/madnet_synthetic.py --work-dir work_dirs/demo
	$(PY) tools/test.py configs/madnet_synthetic.py work_dirs/demo/best.pth --save-scores --show-dir work_dirs/demo/overlays
	@echo
	@echo "Look at work_dirs/demo/overlays: what was hit, missed and falsely found on scenes that no training saw."

test: $(STAMP)
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal -m "not slow"

docs: $(STAMP)
	$(PY) -m pip install --quiet --editable ".[docs]"
	$(PY) -m sphinx -b html -c docs -q -W --keep-going . site
	@echo "Open site/index.html."

lint: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: $(STAMP)
	$(PY) -m mypy

$(STAMP): requirements.txt pyproject.toml setup.py
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet --requirement requirements.txt
	$(PY) -m pip install --quiet --editable ".[dev]"
	# a second opinion for tests of metrics; it asks for an old numpy but works with this one
	$(PY) -m pip install --quiet --no-deps pyirstdmetrics==1.0.2
	touch $(STAMP)

clean:
	rm -rf $(VENV) build site *.egg-info
