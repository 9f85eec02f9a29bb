# Starts a module of the Python framework (concurrent_modular_agent) as its entry point does: the file is loaded, and the
# function that module_main has marked is called. The package stays as it is installed; what is set here, before the
# file is loaded, is what it has no setting for: the agent's name, and where the broker and the memory are in this run.
import functools
import os
import sys
import urllib.parse

path = sys.argv[1]
sys.argv = [path]
sys.path[0] = os.path.dirname(path)

try:
    from concurrent_modular_agent import agent, agent_runner, message
    import chromadb
except ModuleNotFoundError as missing:
    sys.exit(f"{missing}: install the framework for {sys.executable}, or in a .venv in the project's folder")


def place(variable, host, port):
    """The host and port of a URL in the environment; those given where it names none."""
    url = urllib.parse.urlsplit(os.environ.get(variable, ""))
    return url.hostname or host, url.port or port


message.MessageClient.__init__.__defaults__ = (*place("COMA_BROKER", "localhost", 1883), 2)

memory = place("COMA_HTTP", "localhost", 8000)
connect = chromadb.HttpClient


@functools.wraps(connect)
def http_client(host="localhost", port=8000, *rest, **more):
    if (host, int(port)) == ("localhost", 8000):
        host, port = memory
    return connect(host, port, *rest, **more)


chromadb.HttpClient = http_client

interface = agent.AgentInterface.__init__


@functools.wraps(interface)
def named(self, agent_name, module_name):
    if agent_name == "myagent":  # the name that module_main gives to every agent
        agent_name, module_name = os.environ["COMA_AGENT"], os.environ["COMA_MODULE"]
    interface(self, agent_name, module_name)


agent.AgentInterface.__init__ = named

main = agent_runner.find_module_main_function(path)
if main is None:
    sys.exit(f"{path}: no function is marked with @module_main")
main()
