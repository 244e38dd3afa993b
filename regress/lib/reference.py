"""
reference.py: Tako VM 0.3.0 itself, whose files and clients takod takes, in a
virtual environment of its own below the build directory. It is made once a
build directory, with Debian's python3 and pip; nothing but tests uses it.
"""
import os

from . import environment, shared

# Everything that is installed, so that each run compares with the same.
PACKAGES = """\
tako-vm==0.3.0
annotated-types==0.8.0
certifi==2026.10.19.post1
charset-normalizer==3.5.3
idna==3.20
psycopg==3.3.9
psycopg-binary==3.3.9
psycopg-pool==3.3.3
pydantic==2.14.4
pydantic_core==2.50.5
PyYAML==6.0.4
requests==2.34.2
typing-inspection==0.4.5
typing_extensions==4.16.0
urllib3==2.8.0
"""


def python():
    """The path of a python3 in which `import tako_vm` is Tako VM 0.3.0's."""
    return environment.python(
        os.path.join(shared.build(), "reference"), PACKAGES)
