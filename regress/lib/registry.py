"""
registry.py: the registry of Python packages that this machine's pip is set up
for, as keys of a configuration.
"""
import os
import socket
import subprocess
import urllib.parse


def pip(setting):
    done = subprocess.run(["pip", "config", "get", setting],
                          capture_output=True, text=True)
    return done.stdout.strip()


def keys():
    index = os.environ.get("PIP_INDEX_URL") or pip("global.index-url") \
        or "https://pypi.org/simple"
    hosts = {urllib.parse.urlsplit(index).hostname, "files.pythonhosted.org"}
    # A mirror may stand in a private network.
    addresses = {info[4][0] for host in hosts
                 for info in socket.getaddrinfo(host, 443)}
    return {"package_index_url": index, "network_allow": sorted(addresses),
            "package_certificates_file": os.environ.get("PIP_CERT")}
