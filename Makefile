# Two commands for a newcomer: `make demo` and `make test`. Everything lives in .venv; the set-up takes seconds the second time.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready

.PHONY: demo test setup clean

demo: setup
	$(VENV)/bin/dnn2fpga demo -o build/demo

test: setup
	$(VENV)/bin/python tests/run_all.py

setup: $(READY)

# Made again only when what is to be installed changes. uv does what pip does, faster, and comes from PyPI as well.
$(READY): pyproject.toml
	@for tool in $(PYTHON) g++ make perl; do command -v $$tool >/dev/null || { echo "error: $$tool is missing; on Debian: apt-get install python3 python3-venv g++ make perl"; exit 2; }; done
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or newer is needed"; exit 2; }
	@echo "setting up $(VENV) (TensorFlow and the simulator: about 2 GB, a few minutes on a slow line)"
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet uv
	$(VENV)/bin/uv pip install --python $(VENV)/bin/python --editable . --group dev
	@touch $@

clean:
	rm -rf build .pytest_cache .mypy_cache .ruff_cache
