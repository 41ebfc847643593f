"""What distributions of a probability share, given as `probs` or as `logits`."""
import fastgrad

from .utils import broadcast_all, check_one_of, lazy_property, logits_to_probs, probs_to_logits


class BinaryParameter:
    """Mixin: one of `probs` and `logits` is kept as given (`_param`), the other computed when used."""

    def _take(self, probs, logits):
        check_one_of(probs, logits)
        if probs is not None:
            self.probs, = broadcast_all(probs)
        else:
            self.logits, = broadcast_all(logits)
        self._keep()

    def _keep(self):
        self._param = self.__dict__["probs"] if "probs" in self.__dict__ else self.__dict__["logits"]

    def _take_counted(self, total_count, probs, logits):
        check_one_of(probs, logits)
        if probs is not None:
            count, self.probs = broadcast_all(total_count, probs)
        else:
            count, self.logits = broadcast_all(total_count, logits)
        self._keep()
        self.total_count = count.type_as(self._param)

    def _expand_parts(self, new, batch_shape):
        new._param = self._param.expand(batch_shape)

    def _new(self, *args, **kwargs):
        return self._param.new(*args, **kwargs)

    @lazy_property
    def logits(self):
        return probs_to_logits(self.probs, is_binary=True)

    @lazy_property
    def probs(self):
        return logits_to_probs(self.logits, is_binary=True)

    @property
    def param_shape(self):
        return self._param.size()


def enumerated(count, param, batch_shape, expand, dtype=None):
    """0 ... count - 1 along a new first dimension."""
    values = fastgrad.arange(count, dtype=dtype or param.dtype, device=param.device)
    values = values.view((-1,) + (1,) * len(batch_shape))
    return values.expand((-1,) + tuple(batch_shape)) if expand else values
