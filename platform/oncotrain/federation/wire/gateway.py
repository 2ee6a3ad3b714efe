"""The one port that hospitals reach: nginx, which ends TLS and passes what a node needs to the SuperLink on loopback.

A SuperLink (flwr 1.41) serves nodes and operators on one port, and lets whoever reaches that port submit runs, register
nodes and fetch code. Behind this gateway only the coordinator's own machine can.
"""

import getpass
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from string import Template

from oncotrain.errors import UserError
from oncotrain.federation.identity.certificates import THIS_MACHINE, ServerCertificate
from oncotrain.federation.process import last_lines, running
from oncotrain.federation.wire.superlink import START_SECONDS, reach

NODE_ROUTES = (
    "activate-node",
    "deactivate-node",
    "send-node-heartbeat",
    "pull-messages",
    "push-messages",
    "get-run",
    "push-object",
    "pull-object",
    "confirm-message-received",
)
"""Of Flower's Fleet API, what a node needs once its key is registered; all but registration and fetching code."""
LOG = "gateway.log"
ACCESS = "access.log"

_CONFIGURATION = Template("""\
daemon off;
${user}worker_processes 1;
pid $home/nginx.pid;
error_log stderr warn;
events { worker_connections 512; }
http {
    # Who asked for what and how much of it; neither bodies nor keys.
    log_format access '$$time_iso8601 $$remote_addr "$$request_method $$uri" $$status '
                      'in=$$request_length out=$$bytes_sent';
    access_log $access access;
    server_tokens off;
    client_body_temp_path $home/body;
    proxy_temp_path $home/proxy;
    fastcgi_temp_path $home/fastcgi;
    uwsgi_temp_path $home/uwsgi;
    scgi_temp_path $home/scgi;
    # Arrays travel in chunks of 5 MiB, which are kept in memory.
    client_max_body_size 16m;
    client_body_buffer_size 8m;
    proxy_buffers 64 128k;
    # A node signs the time of a request, and Flower takes a signature for five minutes: the first minute, only once.
    limit_req_zone $$http_flwr_signature zone=signatures:10m rate=1r/m;
    limit_req_status 409;
    upstream superlink { server $superlink; keepalive 32; }
    server {
        listen $listen ssl;
        ssl_certificate $certificate;
        ssl_certificate_key $key;
        ssl_protocols TLSv1.2 TLSv1.3;
        location ~ ^/v1/fleet/($routes)$$ {
            limit_except POST { deny all; }
            limit_req zone=signatures;
            proxy_pass https://superlink;
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate $authority;
            proxy_ssl_name $name;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
        location / { return 403 "only the routes of a node are open here\\n"; }
    }
}
""")


@contextmanager
def gateway(work: Path, certificate: ServerCertificate, address: str, superlink: str) -> Iterator[None]:
    """Pass nodes' requests on `address` to the SuperLink at `superlink` (both ``host:port``) while the context lasts.

    `work` is a private folder for its configuration and logs.

    Raises UserError if nginx is not there, or does not start, as on a port in use.
    """
    home = work / "gateway"
    home.mkdir(mode=0o700, exist_ok=True)
    configuration = home / "nginx.conf"
    configuration.write_text(
        _CONFIGURATION.substitute(
            # Started by root, nginx gives its workers another account, which may not enter the private folder.
            user=f"user {getpass.getuser()};\n" if os.geteuid() == 0 else "",
            home=home,
            access=work / ACCESS,
            listen=address,
            superlink=superlink,
            certificate=certificate.certificate,
            key=certificate.key,
            authority=certificate.authority,
            name=THIS_MACHINE,
            routes="|".join(NODE_ROUTES),
        ),
        encoding="utf-8",
    )
    command = [nginx(), "-p", str(home), "-e", "stderr", "-c", str(configuration)]
    with running(command, environment=os.environ, log=work / LOG) as process:
        _wait_until_it_answers(process, address, certificate.authority, work / LOG)
        yield


def nginx() -> str:
    """Path of the program. Raises UserError if it is not installed."""
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if found is None:
        raise UserError("nginx is not installed; type: make setup, or sudo apt-get install nginx-light")
    return found


def _wait_until_it_answers(process: subprocess.Popen[bytes], address: str, authority: Path, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise UserError(f"the gateway at {address} ended; {log} ends with:\n{last_lines(log)}")
        try:
            return reach(address, authority, THIS_MACHINE)
        except OSError:
            time.sleep(0.1)
    raise UserError(f"the gateway at {address} did not answer within {START_SECONDS:.0f} s; see {log}")
