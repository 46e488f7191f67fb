"""The older place of :func:`graphc.hub.load_state_dict_from_url`."""

from graphc.hub import load_state_dict_from_url as load_url

__all__ = ["load_url"]
