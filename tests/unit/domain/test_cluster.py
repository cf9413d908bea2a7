"""How several devices are laid out."""

from vramcast.catalog.gpus import find_device
from vramcast.domain.cluster import Cluster, Mesh


def test_one_device_is_a_mesh_of_one() -> None:
    """A cluster of which nothing is said."""
    assert Cluster(device=find_device("h100")).mesh.size == 1


def test_ranks_are_the_product_of_the_axes() -> None:
    """Replicas, shards, tensor, pipeline and context parallel multiply; expert parallel reuses data-parallel ranks."""
    assert Mesh(dp_replicate=2, dp_shard=4, tp=8, pp=3, cp=2, ep=4, sp=True).size == 2 * 4 * 8 * 3 * 2
