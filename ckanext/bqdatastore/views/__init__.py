"""Pages and routes."""

from .unavailable import blueprint as unavailable_blueprint

__all__ = ["unavailable_blueprint"]
