"""A forecast needs neither torch nor anything that is slow to import."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "peft", "bitsandbytes", "pydantic", "numpy", "rich", "huggingface_hub", "yaml")
PREDICT = """
from vramcast.cli.run import run
assert run(["predict", "llama-3.1-8b", "--method", "qlora", "--gpu", "rtx-4090"]) == 0
"""
JSON = 'from vramcast.cli.run import run; assert run(["predict", "gpt2", "--method", "serve", "--json"]) == 0'


def loaded(code: str) -> set[str]:
    """Top-level packages in memory after `code` ran in a new interpreter."""
    script = f"import sys\n{code}\nprint()\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, encoding="utf-8", check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("code", ["import vramcast", "from vramcast import predict", PREDICT])
def test_nothing_heavy_is_imported(code: str) -> None:
    """Neither the package nor a forecast on the command line loads a package that takes long to import."""
    assert loaded(code).isdisjoint(HEAVY)


def test_json_needs_no_torch() -> None:
    """Where a heavier package of the base install is used, torch and its kin still are not."""
    assert loaded(JSON).isdisjoint(HEAVY[:4])


def test_the_probe_sees_imports() -> None:
    """What is imported is reported, so that an empty answer means something."""
    assert "numpy" in loaded("import numpy")
