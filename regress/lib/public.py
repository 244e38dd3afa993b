"""
public.py: tools of others that takod's HTTP is held to (a validator of OpenAPI,
schemathesis, two parsers of HTTP), in a virtual environment below the build
directory. What runs there gets files and prints JSON.
"""
import json
import os
import subprocess

from . import environment, shared

# Everything that is installed, so that each run sees the same.
PACKAGES = """\
annotated-types==0.8.0
anyio==4.16.0
attrs==26.1.0
certifi==2026.10.19.post1
charset-normalizer==3.5.3
click==8.5.1
graphql-core==3.3.2
h11==0.16.0
harfile==0.6.0
httptools==0.9.0
hypothesis==6.170.17
hypothesis-graphql==0.13.5
idna==3.20
iniconfig==2.3.1
jsonschema==4.26.0
jsonschema-path==0.5.0
jsonschema-specifications==2025.9.1
jsonschema_rs==0.60.3
lazy-object-proxy==1.13.0
markdown-it-py==4.3.0
MarkupSafe==3.0.4
mdurl==0.1.2
openapi-schema-validator==0.9.0
openapi-spec-validator==0.9.0
packaging==26.4
pathable==0.6.0
pluggy==1.7.0
pydantic==2.14.4
pydantic-settings==2.16.3
pydantic_core==2.50.5
Pygments==2.21.0
pyrate-limiter==4.5.1
pytest==9.2.0
python-dotenv==1.2.4
PyYAML==6.0.4
referencing==0.37.0
requests==2.34.2
rfc3339-validator==0.1.4
rich==15.0.0
rpds-py==2026.9.1
schemathesis==4.32.5
six==1.17.0
sortedcontainers==2.4.0
typing-inspection==0.4.5
typing_extensions==4.16.0
urllib3==2.8.0
Werkzeug==3.1.9
"""


def folder():
    return os.path.join(shared.build(), "public")


def program(name):
    """The path of python3 or of a tool in there."""
    environment.python(folder(), PACKAGES)
    return os.path.join(folder(), "bin", name)


def run(script, *args, seconds=120):
    """What a script of regress/ prints there, read as JSON."""
    done = subprocess.run(
        [program("python3"), "-B", script, *args], stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)
