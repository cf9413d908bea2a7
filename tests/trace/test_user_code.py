"""Any PyTorch code within `with vramcast.trace(...)`: what it says to CUDA, and what is seen of it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional
from transformers import AutoModelForCausalLM

import vramcast
from tests.trace.cpu_truth import stack
from tests.trace.cuda_programs import CUDA, PROGRAMS
from tests.trace.standin_step import standin_step
from tests.trace.tiny_models import tiny
from vramcast.domain.errors import InputError, UnsupportedError
from vramcast.domain.forecast import Category, Phase
from vramcast.domain.run import Precision, TrainRun
from vramcast.domain.timeline import Timeline
from vramcast.trace.files import Shapes
from vramcast.trace.imports import forget_answers
from vramcast.units import MIB


def step_blocks(timeline: Timeline) -> list[tuple[int, Category, Phase, str]]:
    """Blocks of the steps themselves, without data and what kernels take for themselves; logits are activations here."""
    loaded = next(mark.event for mark in timeline.marks if mark.name == "step 1 forward")
    born = [timeline.blocks[block] for is_born, block in timeline.events[loaded:] if is_born]
    seen = [block for block in born if block.operator.startswith("aten.") and block.operator != "aten.zeros.default"]
    return [(block.bytes, block.phase, block.operator) for block in seen if block.bytes > 64]


@pytest.mark.parametrize("way", ["", "hooks", "reentrant"])
@pytest.mark.parametrize("precision", [Precision.BF16, Precision.AMP_BF16])
def test_code_that_says_cuda_is_the_step_that_we_drive(way: str, precision: Precision) -> None:
    """A user's loop on `cuda` allocates what our own driver of the same step allocates, block by block."""
    run = TrainRun(seq_len=12, micro_batch=2, precision=precision)
    dtype = torch.float32 if precision.is_amp else torch.bfloat16
    build = tiny("llama", dtype, checkpointing=way)
    with vramcast.trace(gpu="a100-80gb") as traced:
        model = build().to("cuda")
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
        for _ in range(2):
            ids = torch.zeros((2, 12), dtype=torch.long, device="cuda")
            with torch.autocast("cuda", torch.bfloat16, enabled=precision.is_amp):
                outputs = model(input_ids=ids, labels=ids)
            outputs.loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    driven = standin_step(build, run, stack()).timeline
    assert step_blocks(traced.timeline) == step_blocks(driven)


def test_an_account() -> None:
    """Bytes by category and module, the tiers, what was patched, and all of it as text."""
    with vramcast.trace(gpu="h100-80gb") as traced:
        assert torch.cuda.is_available()
        net = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 10)).cuda()
        optimizer = torch.optim.AdamW(net.parameters())
        loss = functional.cross_entropy(net(torch.randn(8, 256, device="cuda")), torch.zeros(8, device="cuda").long())
        loss.backward()
        optimizer.step()
    weights = sum(parameter.numel() for parameter in net.parameters()) * 4
    held = traced.live_at_peak()
    assert weights <= held["parameters"] < weights + 4 * 512
    assert weights <= held["gradients"] < weights + 4 * 512
    assert 2 * weights <= held["optimizer states"] < 2 * weights + 12 * 512
    assert sum(held.values()) == sum(traced.by_module().values()) == traced.peak_allocated <= traced.peak_reserved
    assert {"0", "2"} <= set(traced.by_module())
    assert "torch.cuda.is_available" in traced.patched
    assert str(traced).startswith("fits NVIDIA H100") and "1 optimizer step" in str(traced)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_programs(program: Callable[[], None]) -> None:
    """What people write for CUDA runs as it stands, and says so itself."""
    with vramcast.trace(gpu="h100-80gb"):
        program()
    assert not torch.zeros(1).is_cuda and not torch.cuda.is_available()


def test_counters_of_memory() -> None:
    """`memory_allocated` and its kin count what the program holds, and what the card has left."""
    with vramcast.trace(gpu="h100-80gb") as traced:
        tensor = torch.zeros(MIB // 4, device="cuda")
        assert torch.cuda.memory_allocated() == torch.cuda.max_memory_allocated() == MIB
        del tensor
        assert (torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()) == (0, MIB)
        torch.cuda.reset_peak_memory_stats()
        assert torch.cuda.max_memory_allocated() == 0
        free, total = torch.cuda.mem_get_info()
        assert free < total == torch.cuda.get_device_properties(0).total_memory
        assert torch.cuda.memory_stats()["reserved_bytes.all.peak"] == torch.cuda.memory_reserved() == 2 * MIB
        assert torch.cuda.get_device_capability() == (9, 0) and torch.cuda.device_count() == 1
    assert traced.peak_allocated == MIB


def test_values_that_nobody_has() -> None:
    """Numbers are 1, flags are false, selections take everything; whole numbers that are known stay what they are."""
    with vramcast.trace() as traced:
        x = torch.randn(4, 5, device="cuda")
        assert (x.sum().item(), bool(x.sum() > 0), float(x[0, 0]), f"{x.sum():.1f}") == (1.0, False, 1.0, "1.0")
        assert x[x > 0].shape == (20,) and x.nonzero().shape == (20, 2) and x.masked_select(x > 0).shape == (20,)
        assert np.array_equal(x.cpu().numpy(), np.ones((4, 5))) and x.argmax(-1).tolist() == [1] * 4
        lengths = torch.tensor([3, 7, 5], device="cuda")
        assert lengths.max().item() == 7 and lengths[lengths > 4].tolist() == [7, 5]
        assert torch.isfinite(x).all() and not torch.isnan(x).any() and not x.isinf().any()
    assert {note.partition(":")[0] for note in traced.not_followed} == {
        f"test_user_code.py line {line}" for line in _lines_of("x.sum().item()", "x[x > 0]", "x.argmax(-1)")
    }


def _lines_of(*texts: str) -> list[int]:
    """Numbers of the first lines of this file that contain these texts."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return [next(number for number, line in enumerate(lines, 1) if text in line) for text in texts]


def test_files_are_shapes(tmp_path: Path) -> None:
    """Weights of any size are read as shapes, nothing is written, and a pool of threads stays within the trace."""
    real = {"weight": torch.zeros(2, 3, dtype=torch.bfloat16)}
    save_file(real, tmp_path / "real.safetensors")
    torch.save(real, tmp_path / "real.pt")
    with vramcast.trace() as traced:
        loaded = torch.load(tmp_path / "real.pt", map_location="cuda")["weight"]
        assert loaded.is_cuda and loaded.shape == (2, 3)
        with Shapes(tmp_path / "real.safetensors", device="cuda") as file:
            assert file.keys() == ["weight"] and file.get_tensor("weight").is_cuda
            assert file.get_slice("weight")[:1].dtype is torch.bfloat16
        torch.save({"weight": loaded}, tmp_path / "new.pt")
        save_file({"weight": loaded}, tmp_path / "new.safetensors")
        with ThreadPoolExecutor() as pool:
            assert pool.submit(torch.zeros, 3, device="cuda").result().is_cuda
    assert not list(tmp_path.glob("new*"))
    assert {"torch.load: shapes without values", "safetensors: nothing is written"} <= set(traced.patched)


def test_a_checkpoint_of_gigabytes(tmp_path: Path) -> None:
    """`from_pretrained` onto the device sees the weights of a sparse file, of which no page is read."""
    with torch.device("cpu"):
        tiny("llama")().save_pretrained(tmp_path)
    with vramcast.trace() as traced:
        model = AutoModelForCausalLM.from_pretrained(tmp_path, device_map="cuda", dtype=torch.bfloat16)
        assert model.device == CUDA
        held = torch.cuda.memory_allocated()
        assert held >= sum(parameter.numel() * 2 for parameter in model.parameters())
        assert model(torch.zeros((1, 4), dtype=torch.long, device="cuda")).logits.is_cuda
    assert "safetensors: shapes without values" in traced.patched


def test_what_cannot_be_followed() -> None:
    """Several GPUs and CUDA graphs are refused; what is left eager, and a second device, are listed."""
    with vramcast.trace() as traced:
        torch.zeros(1, device="cuda:1")
        torch.compile(lambda x: x)(torch.zeros(1, device="cuda"))
        for refused in (
            lambda: torch.distributed.init_process_group("nccl"),
            lambda: torch.cuda.graph(None),
            lambda: torch.multiprocessing.spawn(print),
        ):
            with pytest.raises(UnsupportedError):
                refused()
    assert any("cuda:1" in note for note in traced.not_followed)
    assert any("torch.compile" in note for note in traced.not_followed)


def test_one_at_a_time() -> None:
    """A block within a block is refused, a block after one that failed is not, and none answers before its end."""
    with vramcast.trace(), pytest.raises(InputError, match="within another"), vramcast.trace():
        pass
    with pytest.raises(ZeroDivisionError), vramcast.trace() as traced:
        1 / 0  # noqa: B018
    assert not torch.cuda.is_available() and traced.peak_allocated == 0
    with vramcast.trace() as traced, pytest.raises(InputError, match="once it is over"):
        _ = traced.timeline
    with pytest.raises(InputError, match="no device"), vramcast.trace(gpu="rtx-9999"):
        pass


def test_the_package_is_the_function() -> None:
    """Whatever was imported before, `vramcast.trace` can be called and still is the package."""
    from vramcast import trace
    from vramcast.trace import session

    assert trace is vramcast.trace
    assert vramcast.trace.session is session  # type: ignore[attr-defined]
    forget_answers()
    with trace("t4") as traced:
        pass
    assert traced.account.verdict is not None and traced.account.verdict.fits
