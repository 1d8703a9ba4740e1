#!/usr/bin/env python3
"""The relay moves to a standby that was promoted, where its slot does not exist: nothing is lost, the order holds.

The standby has all that the primary had when its writers stopped; its slots are its own: none."""
import os
import subprocess
import time

from relay_world import PORT, run, stack


def scenario(world):
    standby, port = os.path.join(world.folder, "standby"), PORT + 20_000
    binaries = world.sql("select setting from pg_config where name = 'BINDIR'", "postgres")
    user, host, old_port = stack.postgres_parts(world.server)
    subprocess.run([f"{binaries}/pg_basebackup", "-D", standby, "-R", "-X", "stream", "-c", "fast", "-U", user, "-h", host,
                    "-p", old_port], check=True)
    # Postgres refuses to run as root; in a user namespace this user has another number.
    runs = ["unshare", "--user", "--map-user=1000", "--map-group=1000"] if os.getuid() == 0 else []
    same = world.sql("""select string_agg(format('-c %s=%s', name, setting), ' ') from pg_settings where name in
        ('max_connections', 'max_wal_senders', 'max_replication_slots', 'wal_level', 'fsync')""", "postgres")
    options = f"-c port={port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' {same}"
    control = [*runs, f"{binaries}/pg_ctl", "-D", standby, "-w"]
    subprocess.run([*control, "-l", f"{standby}/log", "-o", options, "start"], check=True, stdout=subprocess.DEVNULL)
    world.at_end.append(lambda: subprocess.run([*control, "-m", "immediate", "stop"], stdout=subprocess.DEVNULL))
    world.wait_for_progress()
    world.writer.stop()
    end = world.sql("select pg_current_wal_lsn()")
    world.server = world.server.replace(f":{old_port}", f":{port}")
    world.wait("the standby", lambda: world.sql(f"select pg_last_wal_replay_lsn() >= '{end}'") == "t")
    world.relay.kill()
    subprocess.run([*control, "promote"], check=True, stdout=subprocess.DEVNULL)
    world.environment["ANNALS_POSTGRES_URL"] = world.database_url
    world.writer.start()
    time.sleep(1)
    world.relay.start()
    world.wait_for_progress()
    return "moved to a promoted standby"


run(scenario)
