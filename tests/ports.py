# SPDX-License-Identifier: Apache-2.0
"""Free TCP ports of the loopback for tests' servers: each is given to one test at a time, whatever else runs on this machine."""

import random
import socket

# Below the ports that kernels give to connections, so that none of these takes it first.
PORTS = range(20000, 32000)
_ours = []


def free_port():
    """A port on which nobody listens, and which no other test is given while this process lives."""
    for port in random.sample(PORTS, len(PORTS)):
        # The name is the port's lock: of the same network namespace, and gone with its process.
        lock = socket.socket(socket.AF_UNIX)
        try:
            lock.bind(f"\0croft-test-port-{port}")
            with socket.socket() as s:
                s.bind(("127.0.0.1", port))
        except OSError:
            lock.close()
            continue
        _ours.append(lock)
        return port
    raise OSError("no TCP port is free")
