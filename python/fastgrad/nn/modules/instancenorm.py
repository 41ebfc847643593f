"""Normalisation of channels over each image, as modules."""
import warnings

from .. import functional as F
from .batchnorm import _LazyNormBase, _NormBase

__all__ = ["InstanceNorm1d", "LazyInstanceNorm1d", "InstanceNorm2d", "LazyInstanceNorm2d", "InstanceNorm3d",
           "LazyInstanceNorm3d"]


class _InstanceNorm(_NormBase):
    _dims = 0

    def __init__(self, num_features, eps=1e-5, momentum=0.1, affine=False, track_running_stats=False, device=None,
                 dtype=None, *, bias=True):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def _check_input_dim(self, input):
        n = self._dims
        if input.dim() not in (n + 1, n + 2):
            raise ValueError(f"expected {n + 1}D or {n + 2}D input (got {input.dim()}D input)")

    def _channels_of(self, input):
        return input.shape[-self._dims - 1]

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
                              error_msgs):
        if local_metadata.get("version", None) is None and not self.track_running_stats:
            found = [name for name in ("running_mean", "running_var") if prefix + name in state_dict]
            if found:
                error_msgs.append(
                    f"Unexpected running stats buffer(s) {' and '.join(found)} for {type(self).__name__} with "
                    "track_running_stats=False: they were saved by a version in which instance normalisation kept "
                    "running statistics by default. Remove them from the state dict, or set track_running_stats=True.")
                for name in found:
                    state_dict.pop(prefix + name)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
                                      error_msgs)

    def forward(self, input):
        self._check_input_dim(input)
        channels = self._channels_of(input)
        if channels != self.num_features:
            if self.affine:
                raise ValueError(f"expected input's size at dim={input.dim() - self._dims - 1} to match num_features "
                                 f"({self.num_features}), but got: {channels}.")
            warnings.warn(f"input's size at dim={input.dim() - self._dims - 1} does not match num_features. You can "
                          "silence this warning by not passing in num_features, which is not used because "
                          "affine=False", stacklevel=2)
        single = input.dim() == self._dims + 1
        out = F.instance_norm(input.unsqueeze(0) if single else input, self.running_mean, self.running_var,
                              self.weight, self.bias, self.training or not self.track_running_stats,
                              self.momentum if self.momentum is not None else 0.0, self.eps)
        return out.squeeze(0) if single else out


class InstanceNorm1d(_InstanceNorm):
    """Normalises each channel of (N, C, L) or (C, L) by itself."""

    _dims = 1


class InstanceNorm2d(_InstanceNorm):
    """Normalises each channel of (N, C, H, W) or (C, H, W) by itself.

    >>> InstanceNorm2d(3)
    InstanceNorm2d(3, eps=1e-05, momentum=0.1, affine=False, bias=False, track_running_stats=False)
    """

    _dims = 2


class InstanceNorm3d(_InstanceNorm):
    """Normalises each channel of (N, C, D, H, W) or (C, D, H, W) by itself."""

    _dims = 3


class _LazyInstanceNorm(_LazyNormBase, _InstanceNorm):
    _channels_of = _InstanceNorm._channels_of


class LazyInstanceNorm1d(_LazyInstanceNorm):
    """`InstanceNorm1d` that finds `num_features` at its first call."""

    _dims = 1
    cls_to_become = InstanceNorm1d


class LazyInstanceNorm2d(_LazyInstanceNorm):
    """`InstanceNorm2d` that finds `num_features` at its first call."""

    _dims = 2
    cls_to_become = InstanceNorm2d


class LazyInstanceNorm3d(_LazyInstanceNorm):
    """`InstanceNorm3d` that finds `num_features` at its first call."""

    _dims = 3
    cls_to_become = InstanceNorm3d
