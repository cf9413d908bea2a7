"""Programs that say what people say to CUDA, and check what they hear."""

import copy
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

CUDA = torch.device("cuda", 0)


def says_where_it_is() -> None:
    """Tensors made and moved in every way say that they are on CUDA."""
    tensors = [
        torch.zeros(3, device="cuda"),
        torch.zeros(3).cuda(),
        torch.zeros(3).to("cuda:0"),
        torch.zeros(3).to(0),
        torch.zeros(3).to(torch.device("cuda"), torch.float16),
        torch.zeros(3, device=CUDA),
        torch.as_tensor([1, 2], device="cuda"),
        torch.from_numpy(np.zeros(3)).cuda(non_blocking=True),
        nn.Linear(2, 2, device="cuda").weight,
        nn.Linear(2, 2).cuda().weight,
    ]
    assert all(tensor.is_cuda and tensor.device == CUDA and tensor.get_device() == 0 for tensor in tensors)
    assert not torch.zeros(3).is_cuda and not tensors[0].cpu().is_cuda
    assert "device='cuda:0'" in repr(tensors[0])


def default_devices() -> None:
    """A default device, set for good or for a block, is where tensors are made."""
    torch.set_default_device("cuda")
    assert torch.zeros(3).is_cuda and nn.Linear(2, 2).weight.is_cuda and torch.get_default_device().type == "cuda"
    with torch.device("cpu"):
        assert not torch.zeros(3).is_cuda
    torch.set_default_device(None)
    with torch.device("cuda"):
        assert nn.Linear(2, 2).weight.device == CUDA
    with torch.device("meta"):
        empty = nn.Linear(2, 2)
    assert empty.to_empty(device="cuda").weight.is_cuda


def streams_and_events() -> None:
    """Streams and events can be made, waited for and timed."""
    stream, event = torch.cuda.Stream(), torch.cuda.Event(enable_timing=True)
    with torch.cuda.stream(stream), torch.cuda.device(0):
        tensor = torch.zeros(3, device="cuda")
    torch.cuda.current_stream().wait_stream(stream)
    tensor.record_stream(stream)
    event.record()
    torch.cuda.synchronize()
    assert event.elapsed_time(torch.cuda.Event()) > 0


def moved_parameters_keep_their_identity() -> None:
    """An optimizer made before the model moves still holds its parameters."""
    model = nn.Linear(3, 3)
    optimizer = torch.optim.Adam(model.parameters())
    model.cuda()
    assert optimizer.param_groups[0]["params"][0] is model.weight and model.weight.is_cuda
    other = nn.Linear(3, 3)
    for parameter in other.parameters():
        parameter.data = parameter.data.cuda()
    assert other.weight.is_cuda
    twin = copy.deepcopy(model)
    assert isinstance(twin.weight, nn.Parameter) and twin.weight is not model.weight
    model(torch.zeros(1, 3, device="cuda")).sum().backward()
    optimizer.step()
    assert copy.deepcopy(model).weight.grad is not None


def loaders_and_generators() -> None:
    """Loaders with workers and pinned memory, and generators on CUDA."""
    generator = torch.Generator("cuda").manual_seed(1)
    assert isinstance(generator, torch.Generator)
    torch.randn(3, generator=generator, device="cuda")
    rows = torch.utils.data.TensorDataset(torch.randn(10, 4), torch.arange(10))
    loader = torch.utils.data.DataLoader(rows, 2, shuffle=True, num_workers=2, pin_memory=True, prefetch_factor=4)
    seen = [label for _, labels in loader for label in labels.cuda().tolist()]
    assert sorted(seen) == list(range(10))


def backward_is_the_programs_too() -> None:
    """Custom functions, hooks and recomputation see CUDA in the backward pass."""
    places = []

    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
            places.append(gradients[0].device)
            return gradients[0] * 2

    x = torch.zeros(2, device="cuda", requires_grad=True)
    x.register_hook(lambda gradient: places.append(gradient.device))
    Doubled.apply(x).sum().backward()
    torch.autograd.grad((x * 2).sum(), x)
    for reentrant in (True, False):
        checkpoint(lambda y: y * torch.ones(2, device="cuda"), x, use_reentrant=reentrant).sum().backward()
    assert places == [CUDA] * 5


def layers_of_all_kinds() -> None:
    """Convolutions, recurrent cells, attention and their backward passes."""
    image = torch.randn(2, 3, 16, 16, device="cuda")
    nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.MaxPool2d(2)).cuda()(image).sum().backward()
    words = torch.randn(2, 5, 8, device="cuda")
    for layer in (nn.LSTM(8, 8, batch_first=True), nn.GRU(8, 8, batch_first=True)):
        layer.cuda()(words)[0].sum().backward()
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1).cuda()
    encoder(words).sum().backward()
    with torch.inference_mode():
        encoder.eval()(words, src_key_padding_mask=torch.zeros(2, 5, dtype=torch.bool, device="cuda"))
    nn.DataParallel(nn.Linear(8, 8)).cuda()(words).sum().backward()
    torch.compile(nn.Linear(8, 8).cuda())(words)


def old_names_of_autocast() -> None:
    """What `torch.cuda.amp` offered, and what asks whether BF16 is there."""
    assert torch.cuda.is_bf16_supported() and torch.amp.is_autocast_available("cuda")
    with torch.autocast("cuda"):
        product = nn.Linear(8, 8).cuda()(torch.zeros(2, 8, device="cuda"))
        assert product.dtype is torch.float16 and torch.is_autocast_enabled() and torch.is_autocast_enabled("cuda")
        assert torch.get_autocast_gpu_dtype() is torch.float16
    assert not torch.is_autocast_enabled()


PROGRAMS = (
    says_where_it_is,
    default_devices,
    streams_and_events,
    moved_parameters_keep_their_identity,
    loaders_and_generators,
    backward_is_the_programs_too,
    layers_of_all_kinds,
    old_names_of_autocast,
)
