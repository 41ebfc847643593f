"""All modules."""
from . import (
    activation,
    adaptive,
    container,
    conv,
    distance,
    dropout,
    flatten,
    lazy,
    linear,
    loss,
    normalization,
    rnn,
    sparse,
    transformer,
    utils,
)
from .activation import *  # noqa: F403
from .adaptive import *  # noqa: F403
from .container import *  # noqa: F403
from .conv import *  # noqa: F403
from .distance import *  # noqa: F403
from .dropout import *  # noqa: F403
from .flatten import *  # noqa: F403
from .linear import *  # noqa: F403
from .loss import *  # noqa: F403
from .module import *  # noqa: F403
from .module import Module
from .normalization import *  # noqa: F403
from .rnn import *  # noqa: F403
from .sparse import *  # noqa: F403
from .transformer import *  # noqa: F403

__all__ = ["Module", *activation.__all__, *adaptive.__all__, *container.__all__, *conv.__all__, *distance.__all__,
           *dropout.__all__, *flatten.__all__, *linear.__all__, *loss.__all__, *normalization.__all__, *rnn.__all__,
           *sparse.__all__, *transformer.__all__]
