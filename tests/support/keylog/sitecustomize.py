"""On PYTHONPATH of a process under test: all its TLS connections log their secrets to SSLKEYLOGFILE.

Python does so by itself for contexts of `ssl.create_default_context` alone, and Flower's client makes its own.
"""

import os
import ssl
from typing import Any

_wrap_socket = ssl.SSLContext.wrap_socket


def _logging(context: ssl.SSLContext, *arguments: Any, **options: Any) -> ssl.SSLSocket:
    if context.keylog_filename is None:
        context.keylog_filename = os.environ["SSLKEYLOGFILE"]
    return _wrap_socket(context, *arguments, **options)


ssl.SSLContext.wrap_socket = _logging
