"""How several devices are laid out."""

from dataclasses import dataclass, field
from math import prod

from vramcast.domain.device import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """How ranks are laid out: replicas, shards (with the ZeRO stage), tensor, sequence, pipeline, context, expert parallel."""

    dp_replicate: int = 1
    dp_shard: int = 1
    zero_stage: int = 0
    tp: int = 1
    sp: bool = False
    pp: int = 1
    cp: int = 1
    ep: int = 1

    @property
    def size(self) -> int:
        """Ranks in the mesh; expert parallelism reuses the data-parallel ranks."""
        return prod((self.dp_replicate, self.dp_shard, self.tp, self.pp, self.cp))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Equal devices and the mesh laid over them."""

    device: Device
    count: int = 1
    mesh: Mesh = field(default_factory=Mesh)
