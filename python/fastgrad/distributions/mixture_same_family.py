"""MixtureSameFamily."""
import fastgrad
from fastgrad import Size

from . import constraints
from .categorical import Categorical
from .constraints import MixtureSameFamilyConstraint
from .distribution import Distribution

__all__ = ["MixtureSameFamily"]


class MixtureSameFamily(Distribution):
    """Components of one kind, along the last batch dimension, chosen by a Categorical."""

    arg_constraints = {}
    has_rsample = False

    def __init__(self, mixture_distribution, component_distribution, validate_args=None):
        self._mixture_distribution = mixture_distribution
        self._component_distribution = component_distribution
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(" The Mixture distribution needs to be an  instance of torch.distributions.Categorical")
        if not isinstance(component_distribution, Distribution):
            raise ValueError("The Component distribution needs to be an instance of torch.distributions.Distribution")
        chosen, components = mixture_distribution.batch_shape, component_distribution.batch_shape[:-1]
        if any(a != 1 and b != 1 and a != b for a, b in zip(reversed(chosen), reversed(components))):
            raise ValueError(f"`mixture_distribution.batch_shape` ({chosen}) is not compatible with "
                             f"`component_distribution.batch_shape`({components})")
        count, available = mixture_distribution.logits.shape[-1], component_distribution.batch_shape[-1]
        if count != available:
            raise ValueError(f"`mixture_distribution component` ({count}) does not equal "
                             f"`component_distribution.batch_shape[-1]` ({available})")
        self._num_component = count
        self._event_ndims = len(component_distribution.event_shape)
        super().__init__(components, component_distribution.event_shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        new = self._get_checked_instance(MixtureSameFamily, _instance)
        batch_shape = Size(batch_shape)
        new._component_distribution = self._component_distribution.expand(batch_shape + (self._num_component,))
        new._mixture_distribution = self._mixture_distribution.expand(batch_shape)
        new._num_component, new._event_ndims = self._num_component, self._event_ndims
        Distribution.__init__(new, batch_shape, new._component_distribution.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @constraints.dependent_property
    def support(self):
        return MixtureSameFamilyConstraint(self._component_distribution.support)

    @property
    def mixture_distribution(self):
        """The Categorical."""
        return self._mixture_distribution

    @property
    def component_distribution(self):
        """The components."""
        return self._component_distribution

    def _pad(self, x):
        return x.unsqueeze(-1 - self._event_ndims)

    def _weights(self):
        """The probabilities of components, with dimensions for the batch and the event."""
        probs = self.mixture_distribution.probs
        own = len(self.mixture_distribution.batch_shape)
        between = 0 if own == 1 else len(self.batch_shape) - own
        return probs.reshape(probs.shape[:-1] + (1,) * between + probs.shape[-1:] + (1,) * self._event_ndims)

    @property
    def mean(self):
        return (self._weights() * self.component_distribution.mean).sum(-1 - self._event_ndims)

    @property
    def variance(self):
        weights, parts = self._weights(), self.component_distribution
        spread = (parts.mean - self._pad(self.mean)).pow(2.0)
        dim = -1 - self._event_ndims
        return (weights * parts.variance).sum(dim) + (weights * spread).sum(dim)

    def cdf(self, x):
        return (self.component_distribution.cdf(self._pad(x)) * self.mixture_distribution.probs).sum(-1)

    def log_prob(self, x):
        self._check(x)
        log_prob = self.component_distribution.log_prob(self._pad(x))
        return fastgrad.logsumexp(log_prob + fastgrad.log_softmax(self.mixture_distribution.logits, -1), -1)

    @fastgrad.no_grad()
    def sample(self, sample_shape=Size()):  # noqa: B008
        sample_shape = Size(sample_shape)
        dim = len(sample_shape) + len(self.batch_shape)
        chosen = self.mixture_distribution.sample(sample_shape)
        values = self.component_distribution.sample(sample_shape)
        index = chosen.reshape(chosen.shape + (1,) * (self._event_ndims + 1))
        index = index.expand(chosen.shape + (1,) + self.event_shape)
        return values.gather(dim, index).squeeze(dim)

    def __repr__(self):
        return f"MixtureSameFamily(\n  {self.mixture_distribution},\n  {self.component_distribution})"
