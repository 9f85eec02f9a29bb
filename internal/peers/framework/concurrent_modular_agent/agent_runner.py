import functools
import importlib.util
import sys

from .agent import AgentInterface


def module_main(module_name):
    """Marks a module's function. Every agent has the same name."""

    def mark(function):
        @functools.wraps(function)
        def start(*args, **more):
            return function(AgentInterface("myagent", module_name))

        start.__module_main__ = True
        return start

    return mark


def find_module_main_function(script_path):
    spec = importlib.util.spec_from_file_location("module.name", script_path)
    loaded = sys.modules["module.name"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    for value in vars(loaded).values():
        if getattr(value, "__module_main__", False):
            return value
    return None
