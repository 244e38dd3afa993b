"""
s3server.py: a real S3 service for the tests: moto's server, which checks
signatures and who may do what, in a virtual environment of its own below the
build directory. The environment is made once, with Debian's python3 and pip.

Run as a program, by that environment's python3, this file is the server:

	s3server.py PORT BUCKET KEY SECRET

Lines on its stdin change it while it runs; each is answered by a line:

	fail N		the next N requests are answered with 503
	age SECONDS	objects were written so long ago; uploads always are old
	keys		the keys of the bucket, one after the other
	uploads		how many uploads are incomplete
	drop KEY	removes an object
	copy KEY KEY	makes one of another
	begin KEY	begins an upload in parts
	hold N		after N more PUTs none is answered, until go
	go
"""
import json
import os
import signal
import subprocess
import sys

# Everything that is installed, so that each run meets the same.
PACKAGES = """\
moto==5.2.5
blinker==1.9.0
boto3==1.44.8
botocore==1.44.8
certifi==2026.10.19.post1
cffi==2.1.1
charset-normalizer==3.5.3
click==8.5.1
cryptography==50.0.2
Flask==3.1.3
flask-cors==6.0.5
idna==3.20
itsdangerous==2.2.0
Jinja2==3.1.6
jmespath==1.1.0
MarkupSafe==3.0.4
py-partiql-parser==0.6.3
pycparser==3.12
python-dateutil==2.9.0.post0
PyYAML==6.0.4
requests==2.34.2
responses==0.26.3
s3transfer==0.19.3
six==1.17.0
urllib3==2.8.0
Werkzeug==3.1.9
xmltodict==1.0.4
"""
BUCKET, REGION = "takod-artifacts", "eu-central-1"


class S3:
    """The server. Paused, it takes connections and does not answer."""

    def __init__(self, folder):
        from . import host, shared
        self.host = host
        os.makedirs(folder, exist_ok=True)
        from . import environment
        self.python = environment.python(
            os.path.join(shared.build(), "s3server"), PACKAGES)
        self.key, self.secret = "AKIATAKODTESTS0000001", "s3cret/" + "x" * 32
        self.port = host.free_port()
        self.endpoint = "http://127.0.0.1:%d" % self.port
        self.credentials = os.path.join(folder, "credentials")
        self.write_credentials()
        self.log = os.path.join(folder, "log")
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(
                [self.python, os.path.abspath(__file__), str(self.port),
                 BUCKET, self.key, self.secret],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                text=True, cwd=folder,
                env={"PATH": "/usr/bin:/bin", "HOME": folder})
        host.note_daemon(self.child.pid)
        assert self.child.stdout.readline() == "ready\n", host.read(self.log)

    def write_credentials(self, secret=None):
        """Anew, under another name first: a reader sees one or the other."""
        with open(self.credentials + ".new", "w") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write("[other]\naws_access_key_id = not-this\n\n[default]\n"
                       "aws_access_key_id = %s\n"
                       "aws_secret_access_key = %s\n"
                       % (self.key, secret or self.secret))
        os.rename(self.credentials + ".new", self.credentials)

    def keys_of_takod(self, **more):
        """Keys of a configuration."""
        return {"artifact_store": "s3", "s3_endpoint": self.endpoint,
                "s3_bucket": BUCKET, "s3_prefix": "test/jobs/",
                "s3_region": REGION,
                "s3_credentials_file": self.credentials, **more}

    def tell(self, *words):
        self.child.stdin.write(" ".join(str(w) for w in words) + "\n")
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())

    def keys(self):
        return self.tell("keys")

    def pause(self):
        self.host.signal_pid(self.child.pid, signal.SIGSTOP)

    def resume(self):
        self.host.signal_pid(self.child.pid, signal.SIGCONT)

    def stop(self):
        self.resume()
        self.child.kill()
        self.child.wait()
        self.child.stdin.close()
        self.child.stdout.close()


# ---- the program ------------------------------------------------------------

def serve(port, bucket, key, secret):
    import datetime
    import threading

    from moto import settings
    from moto.iam.models import iam_backends
    from moto.s3.models import s3_backends
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    iam = iam_backends["123456789012"]["aws"]
    iam.create_user(REGION, "takod")
    made = iam.create_access_key(user_name="takod")
    iam.access_keys = {key: made}
    made.access_key_id, made.secret_access_key = key, secret
    iam.put_user_policy("takod", "own", json.dumps({
        "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": "s3:*", "Resource": [
                "arn:aws:s3:::" + bucket, "arn:aws:s3:::%s/*" % bucket]}]}))
    s3 = s3_backends["123456789012"]["aws"]
    s3.create_bucket(bucket, REGION)
    # From now on every request is checked.
    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
    inner = DomainDispatcherApplication(create_backend_app)
    state = {"fail": 0, "left": None}
    turn = threading.Condition()

    def application(environ, start_response):
        if environ["REQUEST_METHOD"] == "PUT":
            with turn:
                turn.wait_for(lambda: state["left"] != 0)
                if state["left"]:
                    state["left"] -= 1
        if state["fail"] > 0:
            state["fail"] -= 1
            start_response("503 Slow Down", [])
            return [b"<Error><Code>SlowDown</Code></Error>"]
        return inner(environ, start_response)

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

    server = make_server("127.0.0.1", port, application, threaded=True,
                         request_handler=Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    contents = s3.buckets[bucket]
    for line in sys.stdin:
        word, *rest = line.split()
        answer = None
        if word == "fail":
            state["fail"] = int(rest[0])
        elif word == "age":
            then = datetime.datetime.now(datetime.timezone.utc).replace(
                tzinfo=None) - datetime.timedelta(seconds=int(rest[0]))
            for item in contents.keys.values():
                item.last_modified = then
            answer = len(contents.keys)
        elif word == "keys":
            answer = sorted(contents.keys)
        elif word == "uploads":
            answer = len(contents.multiparts)
        elif word == "copy":
            s3.put_object(bucket, rest[1], contents.keys[rest[0]].value)
        elif word == "begin":
            s3.create_multipart_upload(
                bucket, rest[0], {}, "STANDARD", {}, None, "", "")
        elif word in ("hold", "go"):
            with turn:
                state["left"] = int(rest[0]) if rest else None
                turn.notify_all()
        elif word == "drop":
            del contents.keys[rest[0]]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve(int(sys.argv[1]), *sys.argv[2:])
