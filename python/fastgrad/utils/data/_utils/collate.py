"""The functions of `utils.data.collate`, under torch's path."""
from ..collate import default_collate, default_convert

__all__ = ["default_collate", "default_convert"]
