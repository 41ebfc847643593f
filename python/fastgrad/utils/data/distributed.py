"""The sampler of a dataset that several processes share."""
from .sampler import DistributedSampler

__all__ = ["DistributedSampler"]
