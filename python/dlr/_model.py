import logging
import os

import numpy as np

from ._exchange import Exchange, Refused

DEVICES = ("cpu", "gpu", "opencl")


class DLRError(Exception):
    """What the model, or what runs it, refuses."""


class DLRModel:
    """A model, loaded.

    Parameters
    ----------
    model_path : str
        A package of SageMaker Neo, or any other model that Sedge takes: a file, a directory or an
        archive.
    dev_type : str
        'cpu'. Others are refused.
    dev_id : int
        Not used: there is one processor.
    error_log_file : str
        A file that errors are also written to.
    use_default_dlr : bool
        Not used: which runtime is taken is Sedge's setting (SEDGE_DLR).
    """

    def __init__(
        self, model_path, dev_type=None, dev_id=None, error_log_file=None, use_default_dlr=False
    ):
        self._log = _logger(error_log_file)
        self._exchange = None
        self._last = {}
        with self._logged("error in DLRModel instantiation"):
            model_path = os.fspath(model_path)
            if not os.path.exists(model_path):
                raise ValueError("model_path %s doesn't exist" % model_path)
            dev_type = "cpu" if dev_type is None else dev_type
            if dev_type not in DEVICES:
                raise ValueError("dev_type is one of cpu, gpu and opencl, not %r" % (dev_type,))
            if dev_type != "cpu":
                raise DLRError(
                    'Compiled model requires device type "cpu" but user gave "%s".' % dev_type
                )
            try:
                self._exchange = Exchange(model_path)
            except Refused as refused:
                raise DLRError(str(refused)) from None
            self._inputs = self._exchange.model["inputs"]
            self._outputs = self._exchange.model["outputs"]

    def run(self, input_values):
        """Runs the model.

        `input_values` is an array for the first input, or a dictionary of arrays by name. Gives a
        list of arrays, in the order of the outputs. Inputs of float32 take numbers of any type;
        others take their own only.
        """
        with self._logged("error in running inference"):
            given = self._given(input_values)
            # What was set stays set, as a model of TVM keeps it.
            self._last.update((name, self._array(name, value)) for name, value in given.items())
            for entry in self._inputs:
                if entry["name"] not in self._last:
                    raise DLRError("input %s was never given" % entry["name"])
            names = [entry["name"] for entry in self._inputs]
            try:
                answered = self._exchange.run([(name, self._last[name]) for name in names])
            except Refused as refused:
                raise DLRError(str(refused)) from None
            return [array for _, array in answered]

    def _given(self, values):
        if isinstance(values, (np.ndarray, np.generic)):
            return {self._inputs[0]["name"]: values}
        if not isinstance(values, dict):
            raise ValueError(
                "input_values must be of type dict (tvm model) "
                "or a np.ndarray/generic (representing treelite models)"
            )
        names = [entry["name"] for entry in self._inputs]
        for name in values:
            if name not in names:
                raise ValueError("%s is not a valid input name." % name)
        return values

    def _array(self, name, value):
        entry = next(entry for entry in self._inputs if entry["name"] == name)
        value = np.asarray(value)
        if entry["dtype"] == "float32":
            value = value.astype(np.float32, copy=False)
        elif value.dtype.name != entry["dtype"]:
            raise ValueError(
                "input data with name {} should have dtype {} but {} is provided".format(
                    name, entry["dtype"], value.dtype.name
                )
            )
        # The runtime of compiled graphs compares the number of elements only.
        shape = entry["shape"]
        fits = len(shape) == value.ndim
        if not fits and -1 not in shape and int(np.prod(shape)) == value.size:
            value = value.reshape(shape)
        return np.ascontiguousarray(value)

    def get_input(self, name, shape=None):
        """The array that an input was given last."""
        if name not in self._last:
            raise ValueError("input %s was never given" % name)
        value = self._last[name].copy()
        return value if shape is None else value.reshape(shape)

    def get_input_names(self):
        """Names of the inputs, in the model's order."""
        return [entry["name"] for entry in self._inputs]

    def get_output_names(self):
        """Names of the outputs, in the model's order."""
        return [entry["name"] for entry in self._outputs]

    def get_input_dtypes(self):
        """Element types of the inputs, as NumPy calls them."""
        return [entry["dtype"] for entry in self._inputs]

    def get_output_dtypes(self):
        """Element types of the outputs, as NumPy calls them."""
        return [entry["dtype"] for entry in self._outputs]

    def get_input_name(self, index):
        """Name of one input."""
        return self._at(self._inputs, index)["name"]

    def get_output_name(self, index):
        """Name of one output."""
        return self._at(self._outputs, index)["name"]

    def get_input_dtype(self, index):
        """Element type of one input."""
        return self._at(self._inputs, index)["dtype"]

    def get_output_dtype(self, index):
        """Element type of one output."""
        return self._at(self._outputs, index)["dtype"]

    def _at(self, entries, index):
        with self._logged("error in getting a name or type"):
            if not 0 <= index < len(entries):
                raise ValueError("index is %d, and there are %d" % (index, len(entries)))
            return entries[index]

    def get_version(self):
        """The release of DLR whose interface this is."""
        from . import __version__

        return __version__

    def has_metadata(self):
        """Whether the package has metadata of the compiler."""
        return self._exchange.model["has_metadata"]

    def close(self):
        """Ends the process that has the model; the object is of no use then."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.close()

    def __del__(self):
        if getattr(self, "_exchange", None) is not None:
            self.close()

    def _logged(self, doing):
        return _Logged(self._log, doing)


class _Logged:
    """Writes an error down before it goes on to the caller."""

    def __init__(self, log, doing):
        self._log = log
        self._doing = doing

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is not None:
            self._log.error("%s: %s", self._doing, error)
        return False


def _logger(file):
    log = logging.getLogger("dlr")
    if file is not None:
        log = logging.getLogger("dlr.%s" % file)
        if not log.handlers:
            handler = logging.FileHandler(file)
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
            log.addHandler(handler)
    return log
