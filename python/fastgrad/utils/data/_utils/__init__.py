"""Where programs look for the helpers of the loader."""
from . import collate
