"""Programs that a run starts, asks, kills and stops."""
import http.client
import signal
import subprocess


class Program:
    """A process, started again whenever the run wants it."""

    def __init__(self, command, environment, log, port=None):
        self.command, self.environment, self.port, self.kills = command, environment, port, 0
        self.log = open(log, "ab")
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            self.command, env=self.environment, stdout=self.log, stderr=self.log, start_new_session=True)

    def kill(self):
        """SIGKILL: it has no chance to tidy up."""
        self.process.kill()
        self.process.wait()
        self.kills += 1

    def stop(self, seconds=30):
        """SIGTERM; SIGKILL if that takes too long. Returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def ask(self, path, timeout=2):
        """The body of an answer; empty while the program does not answer."""
        return self.answer(path, timeout)[1]

    def answer(self, path, timeout=2):
        """Status and body; (0, "") while the program does not answer."""
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""

    def is_ready(self):
        return self.answer("/readyz")[0] == 200

    def metric(self, name):
        """The sum of a metric over its labels; 0 while the program does not answer."""
        return sum(float(line.rsplit(" ", 1)[1]) for line in self.ask("/metrics").splitlines()
                   if line.startswith(name + " ") or line.startswith(name + "{"))
