"""Classes that are called with fastai's arguments and give burnish's own objects."""

from __future__ import annotations

from typing import Any


class StandIn(type):
    """Of a class that takes fastai's arguments and stands on one of burnish's: calling it gives an object of burnish's class (so that model files and records
    know it), which also counts as one of this class. A class of the user's that is built on it is an ordinary one.

    ``own`` in the class's body names burnish's class.
    """

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        if "own" in vars(cls):
            object.__setattr__(made, "__class__", vars(cls)["own"])
        return made

    def __setattr__(cls, name: str, value: Any) -> None:
        """What is added to the class (``@patch``) is added to burnish's."""
        if "own" in vars(cls) and not name.startswith("__"):
            setattr(vars(cls)["own"], name, value)
        else:
            super().__setattr__(name, value)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, vars(cls)["own"]) if "own" in vars(cls) else super().__instancecheck__(instance)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, vars(cls)["own"]) if "own" in vars(cls) else super().__subclasscheck__(subclass)
