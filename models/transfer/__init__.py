"""Weight transfer: the softmax attention of a trained model replaced by the neuron-astrocyte network with m hidden neurons."""

from __future__ import annotations

from .replace import transferred
from .response import AstrocyteResponse, astrocyte_response

__all__ = ["AstrocyteResponse", "astrocyte_response", "transferred"]
