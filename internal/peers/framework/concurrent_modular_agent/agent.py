from .message import MessageClient
from .state import StateClient


class AgentInterface:
    """What a module's function is given."""

    def __init__(self, agent_name, module_name):
        self.agent_name, self.module_name = agent_name, module_name
        self.state = StateClient(agent_name, module_name)
        self.message = MessageClient(agent_name, module_name)
