"""Contract values as JSON, with what JSON does not say of their types beside them, and back.

The data are written for people and other programs: a contract value is an object of its fields, a date is ISO text, a
tuple or set is a list. What that leaves open stands in the *kinds*, themselves JSON:

- None: JSON says it all.
- `"module.Qualname"`: the type, where all that it holds is JSON.
- `{"of": type, ...}` with `fields` (of a contract value), `items` (of a sequence or set), or `keys` and `values` (of a
  mapping). Each is the kind that all of them have, or else the kinds of all: a list for `items`, `{"each": {...}}` for
  the others. With `equal`, the data are equal to the value, whether or not the type is known; with `lossy`, they are
  less than the value.

Outside a contract value, only contract values are written in this way: nobody who reads a plain mapping later could
know that one of its texts was a date.
"""
