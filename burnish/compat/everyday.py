"""Names of Python and PyTorch that the star imports of such code bring along, and where they are."""

from __future__ import annotations

import importlib
from typing import Any

from burnish.data.lazy import LazyModule

_MODULES = (  # as they are called
    "bz2", "collections", "concurrent", "csv", "datetime", "enum", "functools", "gc", "glob", "hashlib", "inspect", "io", "itertools", "json", "math",
    "mimetypes", "multiprocessing", "numbers", "operator", "os", "pickle", "platform", "queue", "random", "re", "shutil", "string", "sys", "tarfile", "tempfile", "threading",
    "time", "torch", "types", "typing", "urllib", "warnings", "zipfile",
)  # fmt: skip
_LATER = {
    "matplotlib": "matplotlib",
    "pd": "pandas",
    "plt": "matplotlib.pyplot",
    "requests": "requests",
    "scipy": "scipy",
    "ndimage": "scipy.ndimage",
    "sklearn": "sklearn",
    "yaml": "yaml",
}
_FROM = {
    "collections": "Counter OrderedDict defaultdict namedtuple",
    "collections.abc": "MutableMapping MutableSequence",
    "concurrent.futures": "as_completed",
    "contextlib": "contextmanager redirect_stdout",
    "copy": "copy deepcopy",
    "datetime": "datetime",
    "enum": "Enum IntEnum",
    "functools": "partial reduce",
    "itertools": "dropwhile starmap takewhile zip_longest chain",
    "multiprocessing": "Lock Process Queue",
    "numbers": "Number Real",
    "numpy": "array ndarray",
    "operator": "attrgetter itemgetter methodcaller",
    "pathlib": "Path",
    "pdb": "set_trace",
    "pandas": "CategoricalDtype",
    "pandas.api.types": "is_numeric_dtype",
    "PIL": "Image PIL",
    "textwrap": "TextWrapper",
    "types": "BuiltinFunctionType BuiltinMethodType FunctionType LambdaType MethodType NoneType SimpleNamespace",
    "typing": "Any Callable Dict Generator Iterable Iterator List Optional Sequence Set Tuple TypeVar Union",
    "warnings": "warn",
    "torch": "ByteTensor DoubleTensor FloatTensor HalfTensor LongTensor Tensor as_tensor nn optim",
    "torch.utils.data": "BatchSampler IterableDataset RandomSampler Sampler SequentialSampler default_collate default_convert get_worker_info",
}
WHERE = {name: (module, name) for module, names in _FROM.items() for name in names.split()}
WHERE.update(
    {
        "np": ("numpy", ""),
        "PIL": ("PIL", ""),
        "F": ("torch.nn.functional", ""),
        "BILINEAR": ("PIL.Image", "Resampling.BILINEAR"),
        "empty": ("inspect", "Parameter.empty"),
        "NEAREST": ("PIL.Image", "Resampling.NEAREST"),
    }
)
WHERE.update({name: (name, "") for name in _MODULES if name not in WHERE})

__all__ = sorted({*WHERE, *_LATER})  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return LazyModule(_LATER[name])
    if name not in WHERE:
        raise AttributeError(name)
    module, path = WHERE[name]
    found: Any = importlib.import_module(module)
    for part in path.split(".") if path else ():
        found = getattr(found, part)
    return found
