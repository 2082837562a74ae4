"""CURVE on a socket: the server's side, the client's side, and the library that can be trusted with it.

CURVE (https://rfc.zeromq.org/spec/26/) encrypts a connection and proves both keys; the server's is known to the client
beforehand. All options must be set before `bind` or `connect`. A socket with CURVE and without a domain that is
enforced would let anybody in who knows the server's public key. ZeroMQ is loaded at the first use: what a daemon is
told on its command line needs none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from maze._daemon.keys import KeyPair

if TYPE_CHECKING:
    import zmq

__all__ = ["OLDEST_LIBZMQ", "ClientSide", "ServerSide", "key_of_frame", "library_problem"]

OLDEST_LIBZMQ: Final = (4, 3, 4)
"""Before it: CVE-2019-13132 and CVE-2021-20234 to 20237, all of them before any authentication."""


@dataclass(frozen=True, slots=True)
class ServerSide:
    """What a bound socket needs."""

    pair: KeyPair
    domain: str

    def apply(self, opened: zmq.Socket[bytes]) -> None:
        """Set the options; before `bind`, and with a Doorkeeper in the context."""
        import zmq

        opened.setsockopt_string(zmq.CURVE_PUBLICKEY, self.pair.public)
        opened.setsockopt_string(zmq.CURVE_SECRETKEY, self.pair.secret)
        opened.setsockopt(zmq.CURVE_SERVER, 1)
        opened.setsockopt_string(zmq.ZAP_DOMAIN, self.domain)
        opened.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)


@dataclass(frozen=True, slots=True)
class ClientSide:
    """What a connecting socket needs."""

    pair: KeyPair
    server: str
    """The public key that the other side must have."""

    def apply(self, opened: zmq.Socket[bytes]) -> None:
        """Set the options; before `connect`."""
        import zmq

        opened.setsockopt_string(zmq.CURVE_PUBLICKEY, self.pair.public)
        opened.setsockopt_string(zmq.CURVE_SECRETKEY, self.pair.secret)
        opened.setsockopt_string(zmq.CURVE_SERVERKEY, self.server)


def key_of_frame(frame: zmq.Frame) -> str:
    """Return the key by which the sender of a frame got in, "" without CURVE. Costs a call: once per connection."""
    import zmq

    try:
        return str(frame.get("User-Id"))
    except zmq.ZMQError:
        return ""


def library_problem() -> str:
    """Return why this machine's libzmq must not be used, or an empty text."""
    import zmq

    version = zmq.zmq_version_info()
    if version < OLDEST_LIBZMQ:
        found, wanted = (".".join(map(str, each)) for each in (version, OLDEST_LIBZMQ))
        return f"libzmq {found} has known holes; install a pyzmq with libzmq {wanted} or newer"
    return "" if zmq.has("curve") else "this libzmq was built without CURVE; install pyzmq from a wheel"
