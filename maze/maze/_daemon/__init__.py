"""What the three commands share: configuration, connection file, READY line, logging, signals, child processes.

Rules. Standard library and click; for sockets pyzmq and websockets, too. This module imports nothing: each command
takes the modules it needs.
Nothing in here knows what a head or a node does; nothing in here talks over the network.
"""
