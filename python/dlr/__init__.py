"""The interface of DLR, answered by Sedge.

For functions that were written against the Python package `dlr` of SageMaker Neo: they run with
Sedge in its place, over the packages of Neo and every other model that Sedge takes. It reports
nothing to anybody. Needs numpy, and the program `sedge` in the PATH or named by $SEDGE.

Behaviour: neo-ai/neo-ai-dlr, python/dlr, release 1.6.0. What differs: a shape or an element type
that does not fit is an error before the model runs, and inputs that a package lacks are not weights
that could be overwritten.
"""

from ._model import DLRError, DLRModel

__all__ = ["DLRError", "DLRModel"]
__version__ = "1.6.0"
