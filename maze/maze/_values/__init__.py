"""User values as bytes and back: shared by the SDK and by worker processes, and by nobody else.

Head and agent carry these bytes unopened. Plain values (exact builtin types all the way down) are MessagePack,
which other languages read; everything else is one pickle (container.py), cloudpickle where a class or function
lives in the user's own modules (modules.py). See `maze_protocol.values` for the codec numbers.

Rules of this package
* Importing it loads neither msgpack nor cloudpickle: `import maze` must stay light. They load at first use.
* Encoding raises ValueEncodeError only, decoding ValueDecodeError only, whatever the bytes or the user's classes do.
"""

from __future__ import annotations

from maze._values.codec import decode, decode_input, encode, encode_input, encode_pieces, encode_short
from maze._values.errors import ValueCodecError, ValueDecodeError, ValueEncodeError
from maze._values.functions import dump_function, load_function

__all__ = [
    "ValueCodecError",
    "ValueDecodeError",
    "ValueEncodeError",
    "decode",
    "decode_input",
    "dump_function",
    "encode",
    "encode_input",
    "encode_pieces",
    "encode_short",
    "load_function",
]
