"""Our embedder, in a process of its own."""

import json
import os
import subprocess

FOLDER = os.path.dirname(os.path.abspath(__file__))


class Ours:
    def __init__(self, cores):
        program = "/tmp/minilm-embed"
        subprocess.run(["go", "build", "-o", program, "./embed"], cwd=FOLDER, check=True)
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=dict(os.environ, GOMAXPROCS=str(cores)))
        self.ask([""])

    def ask(self, texts):
        """Returns seconds, without those of the pipe, and vectors."""
        self.process.stdin.write(json.dumps(texts) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return answer["seconds"], answer["vectors"]

    def peak(self):
        """Bytes of memory that the process has had: all, and those that are mapped from its file."""
        status = dict(line.split(":", 1) for line in open(f"/proc/{self.process.pid}/status"))
        return int(status["VmHWM"].split()[0]) * 1024, int(status["RssFile"].split()[0]) * 1024

    def close(self):
        self.process.stdin.close()
        self.process.wait()
