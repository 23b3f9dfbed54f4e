"""Tests; imported before everything else.

No process that they start loads the certificate authorities of this machine, which takes each one 25 ms of CPU time:
what tests encrypt has certificates of their own.
"""

import os

os.environ["SSL_CERT_FILE"] = os.devnull
