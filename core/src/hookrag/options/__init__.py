"""What an option may be besides its type: limits and a description, written beside the type of a constructor's parameter.

    @checked
    def __init__(self, *, size: Annotated[int, AtLeast(1), "words of a chunk"] = 200) -> None: ...

The plain text is the description. The configuration, its schema, `hookrag plugins NAME` and the conformance kit read them, and
`checked` holds calls from Python to them. They may stand anywhere in a type: `list[Annotated[int, AtLeast(1)]]`. None is never
checked. A limit of one's own is an object with `check`, `schema` and a `str()` that ends "must be ...".
"""

from hookrag.options.checking import checked
from hookrag.options.limits import Above, AtLeast, AtMost, Between, Finite, Limit, Matching, NotEmpty

__all__ = ["Above", "AtLeast", "AtMost", "Between", "Finite", "Limit", "Matching", "NotEmpty", "checked"]
