#!/usr/bin/env python3
"""Asks every operation of the API's own description for what it should and should not be asked, with and without tokens (schemathesis, PyPI).

    fuzz_api.py [--examples 30] [--seed 1] [further arguments for schemathesis]

No answer may be a 5xx, have a status or a form that the description does not have, or be a success for what the description forbids."""
import argparse
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
from Rig import stack  # noqa: E402
from Rig.database import ScratchDatabase  # noqa: E402
from Rig.program import Program  # noqa: E402

PORT, OPERATIONS = 17_290, 17_291
SECRET = "a secret of the tests that has more than 32 bytes"
# Streams have no end, and sockets are no answers; what is rebuilt or retried is the installation's own.
LEFT_OUT = r"/ws/|/events$"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
# Refusals of what the description forbids; a line or a head that is too long is refused before anybody has read it.
CONFIGURATION = """[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "406", "408", "409", "410", "411", "412", "413", "414", "415", "416", "417", "422", "426", "428", "429", "431"]
"""
# libmicrohttpd answers a request line or a head that is too long by itself, with a page and no type. A content is of the type that its owner says.
HOOKS = """import schemathesis

@schemathesis.hook
def after_call(context, case, response):
    if response.status_code in (414, 431) and b"<html>" in response.content:
        response.headers["content-type"] = ["application/problem+json"]
        response.content = b'{"type":"about:blank","title":"Too long","status":%d,"detail":"the request is too long"}' % response.status_code
    if case.method == "GET" and case.path.endswith("/content") and response.status_code in (200, 206):
        response.content = b"null"
"""


def token(binary, environment, *roles):
    return subprocess.run([binary, "token", "fuzz", "--email", "fuzz@example.com", "--role", ",".join(roles)], env=environment, check=True,
                          capture_output=True, text=True).stdout.strip()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--examples", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options, further = parser.parse_known_args()
    program = os.path.join(".stack", "tools", "bin", "schemathesis")
    binary, name, failed = stack.binary(), stack.unique("fuzz"), []
    environment = dict(os.environ, ANNALS_HTTP_PORT=str(PORT), ANNALS_OPERATIONS_PORT=str(OPERATIONS), ANNALS_GRPC_PORT="0",
                       ANNALS_POSTGRES_URL=f"{stack.postgres_server()}/{name}", ANNALS_AUTH_ISSUER="annals", ANNALS_AUTH_SECRET=SECRET,
                       ANNALS_RELAY_SLOT=name, ANNALS_RELAY_TOPIC=name + ".{aggregate}s", ANNALS_PROJECTION_GROUP=name,
                       ANNALS_ELASTICSEARCH_ALIAS=name, ANNALS_REDIS_PREFIX=name + ":", ANNALS_WEBHOOKS_SECRET=SECRET)
    database = ScratchDatabase(name, binary, environment)
    folder = stack.folder("fuzz-api")
    try:
        for mode, roles in (("development", None), ("tokens", ["admin"]), ("tokens", ["user"]), ("tokens", None)):
            own = dict(environment, ANNALS_AUTH_MODE=mode)
            headers = ["-H", f"Authorization: Bearer {token(binary, own, *roles)}"] if roles else []
            server = Program([binary, "all"], own, os.path.join(folder, f"{mode}.log"), PORT)
            try:
                stack.Deadline(60, folder).wait("the API", server.is_ready, 0.1)
                who = f"{mode}, {'/'.join(roles) if roles else 'no token'}"
                print(f"== {who}", flush=True)
                with tempfile.TemporaryDirectory() as home:
                    for file, text in (("schemathesis.toml", CONFIGURATION), ("hooks.py", HOOKS)):
                        with open(os.path.join(home, file), "w") as to:
                            to.write(text)
                    # In development a request without a token is not refused.
                    checks = CHECKS + (",negative_data_rejection" if mode == "tokens" else "")
                    done = subprocess.run(
                        [os.path.abspath(program), "--config-file", os.path.join(home, "schemathesis.toml"), "run", f"http://127.0.0.1:{PORT}/openapi.json", "--url", f"http://127.0.0.1:{PORT}", "--checks", checks,
                         "--exclude-path-regex", LEFT_OUT, "--max-examples", str(options.examples), "--seed", str(options.seed),
                         "--request-timeout", "30", "--phases", "coverage,fuzzing", "--no-color", *headers, *further],
                        env=dict(os.environ, HOME=home, PYTHONPATH=home, SCHEMATHESIS_HOOKS="hooks"))
                if done.returncode:
                    failed.append(who)
                if not server.is_ready():
                    failed.append(f"{who}: the server is gone")
            finally:
                server.stop()
    finally:
        database.drop()
    print("fuzz-api: " + (f"failed: {'; '.join(failed)}" if failed else "every answer is as described"))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
