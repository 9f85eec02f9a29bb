"""A stand-in for the Python framework of this name: what its published clients do on the wire, and how its modules are
written, as far as coma's tests ask for it. COMA_FRAMEWORK=checkout runs those tests with the framework itself.
"""

from .agent import AgentInterface
from .agent_runner import module_main
from .message import MessageClient
from .state import StateClient

__all__ = ["AgentInterface", "MessageClient", "StateClient", "module_main"]
