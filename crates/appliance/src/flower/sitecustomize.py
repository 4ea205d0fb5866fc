"""gRPC keepalive for an unmodified Flower up to 1.39 (later ones speak HTTP/1.1).

Flower sets no keepalive on its clients and offers no setting for one, so a SuperNode whose flow a
NAT has forgotten hangs for ever. The companions put this file's folder on PYTHONPATH; Python runs
sitecustomize before the program, and Flower's child processes inherit it. Nothing is imported
until the program itself imports grpc. The values come from the companion:
  ZONEMESH_GRPC_KEEPALIVE_TIME     seconds between pings; 0 turns all of this off
  ZONEMESH_GRPC_KEEPALIVE_TIMEOUT  seconds to wait for an answer
Shim the server before the client: a stock server answers such pings with GOAWAY too_many_pings.
"""

import importlib.abc
import importlib.util
import os
import sys


def _milliseconds(name):
    return int(float(os.environ.get(name) or "0") * 1000)


def _options(interval, timeout):
    client = {
        "grpc.keepalive_time_ms": interval,
        "grpc.keepalive_timeout_ms": timeout,
        "grpc.keepalive_permit_without_calls": 1,
        "grpc.http2.max_pings_without_data": 0,
    }
    server = {  # let clients ping twice as often as we ask, and never punish them
        **client,
        "grpc.http2.min_recv_ping_interval_without_data_ms": max(interval // 2, 1000),
        "grpc.http2.max_ping_strikes": 0,
    }
    return client, server


def _patch(grpc, client, server):
    def merged(old, new):
        return [(k, v) for k, v in (old or ()) if k not in new] + list(new.items())

    def wrap(name, position, new):
        inner = getattr(grpc, name)

        def outer(*args, **kwargs):
            args = list(args)
            if len(args) > position:
                args[position] = merged(args[position], new)
            else:
                kwargs["options"] = merged(kwargs.get("options"), new)
            return inner(*args, **kwargs)

        outer.__name__ = name
        setattr(grpc, name, outer)

    wrap("insecure_channel", 1, client)  # (target, options, ...)
    wrap("secure_channel", 2, client)    # (target, credentials, options, ...)
    wrap("server", 3, server)            # (pool, handlers, interceptors, options, ...)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, client, server):
        self._options = client, server

    def find_spec(self, name, path=None, target=None):
        if name != "grpc":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec("grpc")
        if spec is None or spec.loader is None:
            return spec
        run, options = spec.loader.exec_module, self._options

        def exec_module(module):
            run(module)
            _patch(module, *options)

        spec.loader.exec_module = exec_module
        return spec


_interval = _milliseconds("ZONEMESH_GRPC_KEEPALIVE_TIME")
_timeout = _milliseconds("ZONEMESH_GRPC_KEEPALIVE_TIMEOUT")
if _interval > 0 and _timeout > 0:
    sys.meta_path.insert(0, _Finder(*_options(_interval, _timeout)))
