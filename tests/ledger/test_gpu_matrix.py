"""The matrix: what it covers, how it goes on, and one case of it for real, on the CPU."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from ledger.gpu_matrix import SNAPSHOTS, pending, run_matrix, snapshots
from ledger.machine import device_of
from ledger.matrix import Case, matrix, sized
from ledger.processes import WorkerError
from ledger.rows import Reading, read

from ledger import matrix as shapes
from tests.ledger.test_rows import CARD, VERSIONS, row_of
from vramcast.catalog.gpus import find_device
from vramcast.domain.run import Method, Recompute

HERE = Path(__file__).parents[2]
WITH_ALL = VERSIONS | {"bitsandbytes": "0.50.2"}
ANSWER = (Reading(phase="forward", name="step 1 forward", allocated=1, reserved=2, process=3),)


def test_the_matrix_covers_its_axes() -> None:
    """At least 40 cases of distinct names: four families, three methods, recomputed or not, lengths, kernels, optimizers."""
    cases = matrix()
    assert len({case.name for case in cases}) == len(cases) >= 40
    assert [len({case.axes[axis] for case in cases}) for axis in range(5)] == [4, 3, 2, 2, 2]
    assert len({case.run.optimizer for case in cases}) >= 4
    triples = {(case.family, case.run.method, case.run.recompute) for case in cases}
    assert len(triples) == 4 * len(Method) * 2
    assert {case.run.recompute for case in cases} == {Recompute.NONE, Recompute.FULL}


def test_the_first_cases_say_most() -> None:
    """The first dozen meets every family, method and optimizer, so that a short time is well spent."""
    first, cases = matrix()[:12], matrix()
    for axis in range(7):
        assert {case.axes[axis] for case in first} == {case.axes[axis] for case in cases}


@pytest.mark.parametrize("gpu", ["rtx-4090", "h100-80gb", "h200"])
def test_models_are_sized_to_the_card(gpu: str) -> None:
    """At least 40 cases fit each card, small and large; none is larger than the card."""
    device = find_device(gpu)
    fitting = [case for one in matrix() if (case := sized(one, device))]
    assert len(fitting) >= 40
    sizes = sorted(shapes._process(case, device) for case in fitting)
    assert sizes[-1] <= 0.95 * device.usable
    assert sizes[0] < 0.2 * device.usable < 0.7 * min(device.usable, shapes.LARGEST) < sizes[-1]


def test_what_is_measured_is_not_measured_again() -> None:
    """Rows of this card and these packages count, failed ones go last; other cards' and versions' rows do not count."""
    first, second, third, *_ = cases = matrix()
    rows = [row_of(first, versions=WITH_ALL), row_of(second, versions=WITH_ALL, error="out of memory")]
    other = row_of(third, versions=WITH_ALL, card=replace(CARD, name="NVIDIA A100-SXM4-80GB"))
    left = pending(cases, [*rows, other], CARD, WITH_ALL)
    assert (left[0], left[-1], len(left)) == (third, second, len(cases) - 1)
    assert len(pending(cases, rows, CARD, VERSIONS)) == len(cases)


def test_a_failure_is_a_row_and_the_next_call_goes_on(tmp_path: Path) -> None:
    """Each case is measured once; one that fails leaves its reason; a second call measures only that one."""
    asked: list[str] = []

    def measure(case: Case, snapshot: str, limit: float) -> tuple[tuple[Reading, ...], float]:
        asked.append(case.name)
        if len(asked) == 2:
            raise WorkerError("OutOfMemoryError: CUDA out of memory")
        return ANSWER, limit

    ledger = tmp_path / "gpu.jsonl"
    cases = matrix()[:4]
    assert run_matrix(cases, CARD, WITH_ALL, ledger, measure, 600) == 3
    assert [row.error for row in read(ledger)] == ["", "OutOfMemoryError: CUDA out of memory", "", ""]
    assert run_matrix(cases, CARD, WITH_ALL, ledger, measure, 600) == 1
    assert asked == [*(case.name for case in cases), cases[1].name]
    assert run_matrix(cases, CARD, WITH_ALL, tmp_path / "late.jsonl", measure, 10) == 0


def test_two_small_cases_of_different_methods_are_recorded() -> None:
    """The allocator's snapshots are of small models, under names that any file system takes."""
    named = snapshots(matrix())
    recorded = [case for case in matrix() if case.name in named]
    assert len(recorded) == len({case.run.method for case in recorded}) == SNAPSHOTS
    assert all(name.isascii() and " " not in name for name in named.values())


def test_without_cuda_it_says_so() -> None:
    """One line and exit 2."""
    command = [sys.executable, "-m", "ledger.gpu_matrix"]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": f"{HERE / 'src'}:{HERE}"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE, env=environment, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == ["ledger-gpu needs a CUDA GPU: there is none here"]


def test_an_unknown_card_is_sized_by_its_memory() -> None:
    """A card that the catalog does not know gets models that fit the memory torch tells."""
    device = device_of(replace(CARD, name="Unknown 9000", memory=40 * 10**9))
    assert sum(sized(case, device) is not None for case in matrix()) >= 40
