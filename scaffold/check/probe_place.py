"""Where in the person's files a finding belongs: the class, one of its methods, the line that makes a layer."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from scaffold.check.code import typed
from scaffold.check.probe_crash import Crash, is_own


class Place(TypedDict):
    """A file and line, as a finding takes them."""

    file: str | None
    line: int | None


_NOWHERE: Place = {"file": None, "line": None}


@dataclass(frozen=True)
class Places:
    """Looks up places of a model's class. plain_class: that of the module inside it, which `forward` is of."""

    model_class: type | None
    plain_class: type | None = None

    def method(self, name: str = "forward") -> Place:
        """Return where a method is defined; where that is not the person's own, their class."""
        inner = _place(getattr(self.plain_class, name, None)) if name == "forward" else _NOWHERE
        if inner["file"] is not None:
            return inner
        found = getattr(self.model_class, name, None)
        place = _place(found) if found is not None else _NOWHERE
        return place if place["file"] is not None else _place(self.model_class)

    def crash(self, crash: Crash) -> Place:
        """Return the innermost line of a crash that is the person's own, else forward."""
        file, line, _ = crash.place
        return {"file": file, "line": line} if file else self.method("forward")

    def layer(self, parameter: str) -> Place:
        """Return the line that makes the layer of a parameter, such as `self.head = …` for head.weight."""
        attribute = parameter.partition(".")[0]
        pattern = re.compile(rf"self\.{re.escape(attribute)}\s*(:.*)?=[^=]")
        for cls in inspect.getmro(self.model_class) if self.model_class else ():
            place = _place(cls.__dict__.get("__init__"))
            if place["file"] is None:
                continue
            lines, first = inspect.getsourcelines(cls.__dict__["__init__"])
            for number, line in enumerate(lines):
                if pattern.search(line):
                    return {"file": place["file"], "line": first + number}
        return self.method("__init__")


def _place(thing: Any) -> Place:
    try:
        file, line = inspect.getsourcefile(thing), inspect.getsourcelines(thing)[1]
    except (TypeError, OSError):
        return _NOWHERE
    return {"file": typed(Path(file)), "line": line} if file and is_own(file) else _NOWHERE
