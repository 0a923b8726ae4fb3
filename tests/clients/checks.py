"""What every script here that makes promises of an SDK begins with."""

import asyncio
import inspect
import time


def refused(kind, call):
    """The error of `kind` that `call` must end with."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def run(*checks):
    """Runs the checks one after the other; the first promise that is not kept ends it."""
    for check in checks:
        began = time.monotonic()
        asyncio.run(check()) if inspect.iscoroutinefunction(check) else check()
        print(f"{check.__name__}: ok ({time.monotonic() - began:.1f} s)")
