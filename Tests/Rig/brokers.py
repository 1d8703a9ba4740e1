"""A Kafka cluster of a run's own: brokers that clients reach at other ports than they listen at, so that proxies fit between."""
import os
import signal
import subprocess
import sys
import time

from Rig import stack


class Broker:
    def __init__(self, cluster, number):
        self.cluster, self.number = cluster, number
        self.log = open(os.path.join(cluster.folder, f"broker-{number}.log"), "ab")
        self.settings = os.path.join(cluster.folder, f"broker-{number}.properties")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.cluster.java + ["kafka.Kafka", self.settings], stdout=self.log, stderr=self.log)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def signal(self, number):
        self.process.send_signal(number)


class Brokers:
    """`count` brokers with as many copies of everything. Broker N listens at port + N, and says of itself `advertised(N)`."""

    def __init__(self, folder, port, advertised, count=3):
        self.folder, self.port, self.count = folder, port, count
        libraries = os.path.join(stack.need_engines("a cluster of brokers"), "kafka", "lib", "*")
        self.java = ["java", "-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                     "-Djava.awt.headless=true", "-cp", libraries]
        os.makedirs(folder, exist_ok=True)
        self.brokers = [Broker(self, number) for number in range(1, count + 1)]
        voters = ",".join(f"{number}@127.0.0.1:{port + 20 + number}" for number in range(1, count + 1))
        for broker in self.brokers:
            number = broker.number
            with open(broker.settings, "w") as file:
                file.write(f"""process.roles=broker,controller
node.id={number}
controller.quorum.voters={voters}
listeners=CLIENTS://127.0.0.1:{port + number},BROKERS://127.0.0.1:{port + 10 + number},CONTROLLER://127.0.0.1:{port + 20 + number}
advertised.listeners=CLIENTS://127.0.0.1:{advertised(number)},BROKERS://127.0.0.1:{port + 10 + number}
listener.security.protocol.map=CLIENTS:PLAINTEXT,BROKERS:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKERS
controller.listener.names=CONTROLLER
log.dirs={folder}/data-{number}
default.replication.factor={count}
min.insync.replicas={count // 2 + 1}
offsets.topic.replication.factor={count}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={count}
transaction.state.log.min.isr={count // 2 + 1}
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={count}
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
""")
            made = subprocess.run([*self.java, "kafka.tools.StorageTool", "format", "--cluster-id", "q1Sh-9_ISia_zwGINzRvyQ", "--config",
                                   broker.settings], capture_output=True, text=True)
            if made.returncode:
                sys.exit(f"a broker could not be made: {made.stdout[-1000:]}{made.stderr[-1000:]}")

    def start(self):
        for broker in self.brokers:
            broker.start()
        end = time.monotonic() + 90
        while subprocess.run(["kcat", "-b", self.direct, "-L", "-m", "5"], capture_output=True).returncode:
            if time.monotonic() > end or any(broker.process.poll() is not None for broker in self.brokers):
                sys.exit(f"the brokers did not start; see {self.folder}")
            time.sleep(0.5)

    @property
    def direct(self):
        """Addresses for a first look; clients then go to the advertised ones."""
        return ",".join(f"127.0.0.1:{self.port + number}" for number in range(1, self.count + 1))

    def stop(self):
        for broker in self.brokers:
            if broker.process and broker.process.poll() is None:
                broker.signal(signal.SIGCONT)
                broker.kill()
