#!/usr/bin/env python3
"""Postgres over TLS (verify-full, password file), Kafka over TLS with a password and the least rights: WRITE on topics that
somebody else has created. A topic that the relay may not write to stops it loudly, nothing is parked, and once it may it goes on.
Needs a real Kafka.

SASL/PLAIN: librdkafka before 2.6.1 cannot do SCRAM with Kafka 4 (its pull request 4895).
"""
import os
import random
import re
import shutil
import subprocess
import sys

from relay_world import CLUSTER_PORT, run, stack

from Rig.database import appending

PASSWORD = f"secret-{random.randrange(10**12)}"
FORBIDDEN = "hidden"  # the aggregate whose topic the relay may not write to


def quietly(world, *words):
    subprocess.run(words, cwd=world.folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def scenario(world):
    world.wait_for_progress()
    world.sql(appending(f"'{FORBIDDEN}-1'", f"'{FORBIDDEN}'", "'secret'"))
    world.wait("the relay's word", lambda: "TOPIC_AUTHORIZATION_FAILED" in world.relay.ask("/readyz"))
    if world.sql("select count(*) from annals.parked_messages") != "0":
        sys.exit("messages were parked for a right that is missing")
    world.grant(f"{world.run}.{FORBIDDEN}s")
    world.wait_for_progress()
    world.wait("the message", lambda: world.sql("select count(*) from annals.parked_messages") == "0"
               and "secret" in subprocess.run(["kcat", *world.kcat, "-b", world.environment["ANNALS_KAFKA_BROKERS"], "-C", "-e", "-q", "-f", "%k", "-t",
                                               f"{world.run}.{FORBIDDEN}s"], capture_output=True, text=True).stdout)
    world.sql("delete from annals.outbox where key = 'secret'")  # it is accounted for
    sessions = world.sql("select count(*) from pg_stat_ssl join pg_stat_activity using (pid) where ssl and usename ~ '_secure'")
    return f"over TLS: {sessions} sessions of Postgres; a topic without the right to write stopped the relay until it was granted"


def certificates(world):
    """A certificate authority and a server certificate."""
    quietly(world, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test authority",
        "-keyout", "ca.key", "-out", "ca.pem")
    quietly(world, "openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-keyout", "server.key", "-out",
        "server.csr")
    with open(os.path.join(world.folder, "san"), "w") as file:
        file.write("subjectAltName=IP:127.0.0.1")
    quietly(world, "openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
        "-extfile", "san", "-out", "server.crt")
    with open(os.path.join(world.folder, "server.pem"), "w") as pem:
        for name in ("server.key", "server.crt", "ca.pem"):
            with open(os.path.join(world.folder, name)) as file:
                pem.write(file.read())


def secure_postgres(world):
    """TLS in Postgres, and a role with a password. The data directory is this stack's own."""
    data, rules = world.sql("show data_directory", "postgres"), world.sql("show hba_file", "postgres")
    if not data.startswith(os.path.join(stack.ROOT, ".stack") + os.sep):
        sys.exit(f"{data} is not this project's own server: its settings are left alone")
    for name in ("server.key", "server.crt"):
        shutil.copy(os.path.join(world.folder, name), data)
        os.chmod(os.path.join(data, name), 0o600)
        shutil.chown(os.path.join(data, name), os.stat(data).st_uid, os.stat(data).st_gid)
    role = f"{world.run}_secure"
    with open(rules) as file:
        before = file.read()

    def restore():
        with open(rules, "w") as file:
            file.write(before)
        world.sql("alter system reset ssl", "postgres")
        world.sql("select pg_reload_conf()", "postgres")

    world.at_end.append(restore)
    world.at_end.insert(0, lambda: world.sql(f"drop role if exists {role}", "postgres"))  # once its database is gone
    with open(rules, "w") as file:
        file.write(f"hostssl all {role} 127.0.0.1/32 scram-sha-256\nhost all {role} all reject\nlocal all {role} reject\n"
                   + before)
    world.sql("alter system set ssl = on", "postgres")
    world.sql("select pg_reload_conf()", "postgres")
    with open(os.path.join(stack.ROOT, "sql", "roles", "relay.sql")) as file:
        script = "\n".join(line for line in file.read().splitlines() if not line.startswith("--"))
    world.sql(re.sub(r"\bannals_relay\b", role, script))
    world.sql(f"alter role {role} login replication password '{PASSWORD}'")
    _, host, port = stack.postgres_parts(world.server)
    with open(os.path.join(world.folder, "passwords"), "w") as file:
        file.write(f"{host}:{port}:*:{role}:{PASSWORD}\n")
    os.chmod(os.path.join(world.folder, "passwords"), 0o600)
    world.environment["ANNALS_POSTGRES_URL"] = (
        f"postgresql://{role}@{host}:{port}/{world.run}?sslmode=verify-full&sslrootcert={world.folder}/ca.pem"
        f"&passfile={world.folder}/passwords")


def secure_kafka(world):
    """A broker with TLS and passwords; the relay may write to one topic, and has no other right."""
    libraries = os.path.join(stack.engines(), "kafka", "lib", "*")
    login = f'org.apache.kafka.common.security.plain.PlainLoginModule required username="admin" password="{PASSWORD}"'
    with open(os.path.join(world.folder, "broker.properties"), "w") as file:
        file.write(f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{CLUSTER_PORT + 101}
listeners=SASL_SSL://127.0.0.1:{CLUSTER_PORT},CONTROLLER://127.0.0.1:{CLUSTER_PORT + 101}
controller.listener.names=CONTROLLER
listener.security.protocol.map=SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=SASL_SSL
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config={login} user_admin="{PASSWORD}" user_relay="{PASSWORD}";
ssl.keystore.type=PEM
ssl.keystore.location={world.folder}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={world.folder}/ca.pem
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:admin;User:ANONYMOUS
log.dirs={world.folder}/broker
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
""")
    java = ["java", "-Xmx512m", "-cp", libraries]
    quietly(world, *java, "kafka.tools.StorageTool", "format", "--cluster-id", "MkU3OEVBNTcwNTJENDM2Qg", "--config", "broker.properties")
    log = open(os.path.join(world.folder, "broker.log"), "w")
    broker = subprocess.Popen([*java, "kafka.Kafka", "broker.properties"], cwd=world.folder, stdout=log, stderr=log)
    world.at_end.append(lambda: (broker.kill(), broker.wait()))
    settings = {"security.protocol": "sasl_ssl", "sasl.mechanism": "PLAIN", "sasl.username": "relay",
                "sasl.password": PASSWORD, "ssl.ca.location": f"{world.folder}/ca.pem"}
    world.environment["ANNALS_KAFKA_BROKERS"] = f"127.0.0.1:{CLUSTER_PORT}"
    world.environment["ANNALS_KAFKA_SETTINGS"] = ",".join(f"{name}={value}" for name, value in settings.items())
    reader = dict(settings, **{"sasl.username": "admin"})
    world.kcat.extend(word for name, value in reader.items() for word in ("-X", f"{name}={value}"))
    with open(os.path.join(world.folder, "admin.properties"), "w") as file:
        file.write(f"security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nssl.truststore.type=PEM\n"
                   f"ssl.truststore.location={world.folder}/ca.pem\nsasl.jaas.config={login};\n")
    tool = ["--bootstrap-server", world.environment["ANNALS_KAFKA_BROKERS"], "--command-config", "admin.properties"]

    def grant(topic):
        world.wait("the broker", lambda: subprocess.run(
            [*java, "org.apache.kafka.tools.AclCommand", *tool, "--add", "--allow-principal", "User:relay", "--operation", "Write",
             "--topic", topic], cwd=world.folder, stdout=log, stderr=log).returncode == 0)

    world.grant = grant
    grant(f"{world.run}.documents")
    for topic in ("documents", f"{FORBIDDEN}s"):
        quietly(world, *java, "org.apache.kafka.tools.TopicCommand", *tool, "--create", "--topic", f"{world.run}.{topic}", "--partitions", "3")


def prepare(world):
    certificates(world)
    secure_postgres(world)
    secure_kafka(world)


stack.need_engines("this scenario")
run(scenario, prepare)
