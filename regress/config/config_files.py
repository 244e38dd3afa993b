"""
config_files.py: configuration files by the thousand, each from a seed of its
own: right ones, ones with a fault or two, and hostile ones. What keys there
are, their types and bounds, comes from the JSON schema of Tako VM 0.3.
"""
import random

from scalars import scalars

SCALARS = scalars()
KEY_A, KEY_B = "0123456789abcdef", "fedcba9876543210"
# By key: texts that are right, then texts that are nearly so.
TEXTS = {
    "log_level": (["INFO", "debug", "Warning", "cRITICAL", "ERROR"],
                  ["WARN", "TRACE", "INFO ", "notset", ""]),
    "server_host": (["127.0.0.1", "localhost", "::1", "[::1]", "127.1.2.3",
                     "LOCALHOST", "127.0.0.1 "],
                    ["0.0.0.0", "::", "example.org", "", "10.0.0.1", "a b",
                     "127.evil.example"]),
    "data_dir": (["/srv/tako", "rel", "./a/../b", "~/x", "/", "a b", "ü"],
                 ["", " ", "a\nb", " /x "]),
    "database_url": (
        ["postgresql://h/d", "postgresql+psycopg://u:p@h:5432/d",
         "postgresql://[::1]/d?sslmode=require",
         "postgresql:///d?host=/run/pg", "POSTGRESQL://h/d",
         "postgresql://u:p%40q@h/d#f", "postgresql+psycopg://h/d?a=b#c",
         "postgresql://u@h/a/b", "postgresql://h:99999/d"],
        ["mysql://h/d", "postgres://h/d", "postgresql:/h/d",
         "postgresql://h", "postgresql://h/", "postgresql:///d",
         "postgresql:///d?host=", "postgresql:///d?host=&host=x",
         "postgresql://[h/d", "postgresql://u:p@/d", "postgresql://:5432/d",
         "postgresql://h?host=x", "", "h/d", " postgresql://h/d",
         "postgresql:// /d", "postgresql://h]/d", "postgresql://[::x]/d",
         "postgresql://h\t/d", "postgresql+psycopg2://h/d",
         "postgresql:///d?host=%2Frun", "postgresql:///d?HOST=x",
         "postgresql:///d?host", "postgresql:///d;host=x"]),
    "seccomp_profile_path": (["/etc/p.json", "p.json", "a b"], ["", " "]),
    "docker_image": (["code-executor:latest", "a/b:c", "r.example:5000/x"],
                     ["", " ", "a b", "a\nb", " a "]),
    "container_runtime": (["runsc"], ["runc", "RUNSC", "runsc ", "crun",
                                      "kata", ""]),
    "security_mode": (["strict", "permissive"],
                      ["Strict", "STRICT", "strict ", "none", ""]),
    "dependency_proxy_url": (
        ["http://p:3128", "https://u:p@p/", "socks5://p", " http://p ", "",
         " ", "HTTP://p", "http://[::1]:1", "http://p?", "http://p/#",
         "http://u%40:x@p"],
        ["ftp://p", "socks5h://p", "p:3128", "http://", "http://p/x",
         "http://p?a", "http://p#a", "http://:1", "http://p;x", "http:p",
         "http://p\n", "http://p\na", "http://[p", "http://ü", "http://p//",
         "http://@", "http://p:x", "http://[1]"]),
    "api_auth_header": (["X-API-Key", " X-Key ", "a", "x_y", "-"],
                        ["", " ", "a b", "a:b", "ü", "X-Kéy", "a\nb"]),
    "tmpfs_size": (["10m", "2g", "100M", " 1g ", "2048m", "10240k",
                    "10485760", "1_00m", "+64m", "64 m", "102400K"],
                   ["9m", "3g", "2049m", "10239k", "10485759", "1.5g", "1gb",
                    "0x40m", "m", "", "-64m", "64mb", "1t", "64b",
                    "2147483648", "2148532224", "2148532223", "²m", "٦4m"]),
    "memory_limit": (["64m", "32g", "1G", " 512M ", "32768m", "+1g", "1_0g",
                      "64\tm"],
                     ["63m", "33g", "32769m", "65536k", "67108864", "0.5g",
                      "g", "", "1gi", "-1g", "512", "1 k", "٦4m"]),
    "name": (["a", "x-y", "Z_9", "a" * 64, "default", "ml-inference", "0"],
             ["", "a b", "a" * 65, "-", "_-_", "a.b", "a@1", "ü", "a\n",
              " a", "٣", "a/b"]),
    "python_version": (["3.11", "3.12.1", "", "x"], []),
    "base_image": (["python:3.12", "", " "], []),
    "vendor": (["nvidia", "AMD", " Nvidia "], ["intel", "", "nvidia,amd"]),
    "api_keys": ([KEY_A, KEY_B, "k" * 16, "ü" * 16, " %s " % ("q" * 16),
                  "a key with spaces in it", "k" * 300],
                 ["short", "", " " * 20, KEY_A, KEY_A + "\n" + KEY_A,
                  KEY_A + "\tx", "ü" * 15, KEY_A + "\x7f", KEY_A + "\x00"]),
    "device_ids": (["0", "1", "GPU-1234", " 2 ", "a b"],
                   ["", " ", "0,1", "0", "gpu-1234"]),
    "requirements": (["numpy", "pandas==2.2.0", "", "a b"], []),
    "shared_code": (["lib", "./a.py", "a/../b", ""],
                    ["../x", "/etc/passwd", "a/../../b", "a\x00b"]),
    "environment": (["", "value", "a=b", "ü", "line\nline", "true"], []),
}
NAMES = ["A", "PATH", "a b", "LD_PRELOAD", "x.y", "ü", "", "A=B", "9"]
VARIABLES = {
    "DATA_DIR": ("data_dir", None), "DATABASE_URL": ("database_url", None),
    "SECURITY_MODE": ("security_mode", None),
    "CONTAINER_RUNTIME": ("container_runtime", None),
    "ENABLE_SECCOMP": ("enable_seccomp", "boolean"),
    "ENABLE_CAP_RESTRICTIONS": ("enable_cap_restrictions", "boolean"),
    "API_MAX_PAYLOAD_BYTES": ("api_max_payload_bytes", "integer"),
    "API_AUTH_ENABLED": ("api_auth_enabled", "boolean"),
    "API_KEYS": ("api_keys", "list"),
    "ALLOW_UNAUTHENTICATED_NETWORK_ACCESS":
        ("allow_unauthenticated_network_access", "boolean"),
    "API_AUTH_HEADER": ("api_auth_header", None),
    "API_RATE_LIMIT_ENABLED": ("api_rate_limit_enabled", "boolean"),
    "API_RATE_LIMIT_REQUESTS": ("api_rate_limit_requests", "integer"),
    "API_RATE_LIMIT_WINDOW_SECONDS":
        ("api_rate_limit_window_seconds", "integer"),
    "ALLOW_RUNTIME_REQUIREMENTS": ("allow_runtime_requirements", "boolean"),
    "DEPENDENCY_PROXY_URL": ("dependency_proxy_url", None),
    "ENABLE_RUNTIME_DEPENDENCY_CACHE":
        ("enable_runtime_dependency_cache", "boolean"),
    "SESSIONS_ENABLED": ("sessions_enabled", "boolean"),
    "SESSION_IDLE_TIMEOUT_SECONDS":
        ("session_idle_timeout_seconds", "integer"),
    "SESSION_MAX_TTL_SECONDS": ("session_max_ttl_seconds", "integer"),
    "SESSION_MAX_CONCURRENT": ("session_max_concurrent", "integer"),
}
SNIPPETS = ["%YAML 1.1\n---\n", "%YAML 1.2\n---\n", "--- # a\n", "---\n",
            "...\n", "\t", "\r\n", "\r", "\ufeff", "&a ", "*a", "!!str ",
            "!!map ", "! ", "!x ", "<<: ", "? ", ": ", "- ", "| \n", ">-\n",
            "'", '"', "[", "]", "{", "}", ",", "#", " #", "@", "`", "%",
            "\u2028", "\x85", "\x00", "\x07", "\ud7ff", "\U0001f600", "~",
            "\n\n", "  ", "\\", "\"\\x41\"", "\"\\u0041\"", "\"\\q\"",
            "=", "<<", "!!binary YQ==", "!!set {a}", "!!omap []",
            "!<tag:yaml.org,2002:str> "]


class Files:
    """Makes (text or bytes, variables) by number."""

    def __init__(self, schema, seed):
        self.seed = seed
        self.defs = schema["$defs"]
        self.root = schema["properties"]
        self.rng = random.Random()

    def make(self, number):
        self.rng.seed("%s-%d" % (self.seed, number))
        kind = self.rng.choices(("right", "nearly", "hostile"),
                                (35, 40, 25))[0]
        self.faults = 0 if kind == "right" else self.rng.choice((1, 1, 2, 3))
        keys = self.rng.sample(sorted(self.root), self.rng.choice(
            (1, 2, 3, 5, 8)))
        if self.rng.random() < .4 and "job_types" not in keys:
            keys.append("job_types")
        if self.rng.random() < .2 and "container_limits" not in keys:
            keys.append("container_limits")
        text = self.block(self.mapping(self.root, keys), 0)
        if kind == "hostile":
            text = self.torn(text)
        variables = self.variables() if self.rng.random() < .2 else {}
        return text, variables

    # ---- values: a scalar is YAML text, or a list, or a list of pairs ------

    def fault(self, share=.3):
        """Whether to make a fault here."""
        if self.faults > 0 and self.rng.random() < share:
            self.faults -= 1
            return True
        return False

    def mapping(self, properties, keys):
        pairs = []
        for key in keys:
            pairs.append((self.key(key), self.value(key, properties[key])))
            if self.fault(.03):  # once more
                pairs.append((key, self.value(key, properties[key])))
        if self.fault(.1):
            pairs.insert(0, (self.rng.choice(
                ("unknown", "max_worker", "pids_limit", "x y", "5", "on",
                 "~", "'1'", "\"\"", "memory", "Name", "name_", "!!str 5",
                 "data_dir_str", "seccomp_profile_path_str", "job_type",
                 "? [a]\n", "3.5", "2001-01-01", "engine", "warm_pool_size",
                 "log_format")), "1"))
        return ("map", pairs)

    def key(self, key):
        if self.fault(.06):
            at = self.rng.randrange(len(key))
            return self.rng.choice((
                key[:at] + key[at + 1:] or "x", key.upper(), key + "s",
                key.replace("_", "-"), key.replace("_", ""), key + " x",
                key[:at] + "x" + key[at:]))
        return self.rng.choice((key, key, key, '"%s"' % key, "'%s'" % key))

    def value(self, key, prop):
        if self.fault(.15):
            return self.wrong()
        options = prop.get("anyOf", [prop])
        if any(o.get("type") == "null" for o in options):
            if self.rng.random() < .15:
                return self.rng.choice(("null", "~", ""))
        prop = {**prop, **options[0]}
        if "$ref" in prop:
            return self.object(prop["$ref"])
        return {"boolean": self.boolean, "integer": self.number,
                "number": self.number, "string": self.text,
                "array": self.list, "object": self.environment,
                }[prop["type"]](key, prop)

    def object(self, ref):
        name = ref.rsplit("/", 1)[1]
        properties = self.defs[name]["properties"]
        if name == "JobTypeGPUConfig":
            return self.gpu(properties)
        keys = self.rng.sample(sorted(properties), self.rng.randint(
            0, min(5, len(properties))))
        if "name" in properties and "name" not in keys \
                and not self.fault(.1):
            keys.append("name")
        return self.mapping(properties, keys)

    def gpu(self, properties):
        keys = self.rng.choice(
            (["enabled", "vendor"], ["enabled", "vendor", "count"],
             ["enabled", "vendor", "device_ids"], []))
        if self.fault():
            keys = self.rng.sample(sorted(properties), 2)
        kind, pairs = self.mapping(properties, keys)
        if "enabled" in keys and self.rng.random() < .8:
            pairs = [("enabled", "true") if k.strip("'\"") == "enabled"
                     else (k, v) for k, v in pairs]
        return kind, pairs

    def wrong(self):
        """A value of any type at all."""
        return self.rng.choice((
            self.rng.choice(SCALARS), self.rng.choice(SCALARS),
            ("list", []), ("list", ["1"]), ("map", []),
            ("map", [("a", "1")]), ("list", [("list", [("list", [])])]),
            "null", "", "true", "-1", "0", "99999999999999999999", "1.5",
            ".nan", ".inf", "''", "2001-01-01", "!!binary YQ==",
            '"\\0"', '"a\\0b"', '"\\ud800"', "*nowhere"))

    def boolean(self, key, prop):
        texts = ["true", "false", "yes", "no", "on", "off", "True", "FALSE"]
        if self.rng.random() < .3:
            texts = ["0", "1", "y", "n", "'t'", "'F'", "1.0", "0.0", "'1'",
                     "'on'", "oN", "0x1", "00", "!!bool yes"]
        if self.fault():
            texts = ["2", "-1", "enabled", "'true '", "1.5", "''", "nope",
                     "~"]
        return self.rng.choice(texts)

    def number(self, key, prop):
        low, high = prop["minimum"], prop.get("maximum", 2**31)
        step = .001 if prop["type"] == "number" else 1
        value = self.rng.choice(
            (low, high, low + step, high - step, prop.get("default") or low,
             self.rng.randint(-(-int(low * 10) // 10) + 1, int(high))))
        # Timeouts that stay below what they must stay below.
        if key in ("default_timeout", "timeout") and self.rng.random() < .8:
            value = min(value, 60)
        if self.fault():
            value = self.rng.choice((low - step, high + step, -1, 0, 2**63,
                                     value + .5, 1e300, -value))
        return self.spell(value)

    def spell(self, value):
        """One of the ways to write a number in YAML."""
        if isinstance(value, float) and value != int(value):
            return self.rng.choice((repr(value), '"%r"' % value))
        if abs(value) > 2**64:
            return repr(value)
        value = int(value)
        sign, size = "-" * (value < 0), abs(value)
        forms = ["%d" % value] * 6 + [
            '"%d"' % value, "'%d'" % value, "%d.0" % value, '"%d.0"' % value,
            "%s0x%x" % (sign, size), "%s0%o" % (sign, size),
            "%s0b%s" % (sign, bin(size)[2:]), "+%d" % size,
            '" %d "' % value, "%d." % value, "!!int %d" % value,
            "!!str %d" % value, "%s%d:%02d" % (sign, size // 60, size % 60),
            "%s%d_%d" % (sign, size // 10, size % 10), "%d.5" % value,
            "%se+0" % float(value), '"%de0"' % value, '"%d_0"' % value]
        return self.rng.choice(forms)

    def text(self, key, prop):
        right, near = TEXTS[key]
        return self.quote(self.rng.choice(
            near if near and self.fault() else right))

    def quote(self, text):
        escaped = "".join(
            c if c.isprintable() and c not in '"\\' else
            "\\x%02x" % ord(c) if ord(c) < 256 else "\\u%04x" % ord(c)
            for c in text)
        forms = ['"%s"' % escaped]
        if text.isprintable():
            forms.append("'%s'" % text.replace("'", "''"))
        if text and all(c.isalnum() or c in "/._+=@~" for c in text):
            forms += [text] * 3  # as it is, whatever that then is
        return self.rng.choice(forms)

    def list(self, key, prop):
        items = prop["items"]
        count = self.rng.choice((0, 1, 1, 2, 2, 3))
        if key == "device_ids" and self.fault(.1):
            count = 17
        if "$ref" in items:
            made = [self.object(items["$ref"]) for _ in range(count)]
            return ("list", made)
        right, near = TEXTS[key]
        texts = self.rng.sample(right, min(count, len(right)))
        texts = [self.rng.choice(near) if near and self.fault() else text
                 for text in texts]
        if count == 17:
            texts = ["d%d" % i for i in range(17)]
        made = [self.quote(text) for text in texts]
        if made and self.fault(.2):
            made[-1] = self.wrong()
        return ("list", made)

    def environment(self, key, prop):
        names = self.rng.sample(NAMES[:6], self.rng.choice((0, 1, 2, 3)))
        if self.fault():
            names.append(self.rng.choice(NAMES[6:]))
        return ("map", [
            (self.quote(name), self.wrong() if self.fault() else
             self.quote(self.rng.choice(TEXTS["environment"][0])))
            for name in names])

    # ---- as text ------------------------------------------------------------

    def flow(self, value):
        if isinstance(value, str):
            # What ends a flow collection is quoted, if it is plain.
            if any(c in value for c in ",[]{}\n") and value[0] not in "\"'":
                return self.quote(value)
            return value
        kind, parts = value
        if kind == "list":
            return "[%s]" % ", ".join(map(self.flow, parts))
        return "{%s}" % ", ".join(
            "%s: %s" % (k, self.flow(v)) for k, v in parts)

    def block(self, value, indent):
        pad = " " * indent
        if isinstance(value, str):
            return value
        kind, parts = value
        if not parts or (indent > 0 and self.rng.random() < .35):
            return self.flow(value)
        lines = []
        for part in parts:
            key, item = part if kind == "map" else (None, part)
            lead = pad + ("- " if key is None else
                          key if key.startswith("?") else key + ":")
            if isinstance(item, str) or not item[1]:
                lines.append(lead + (" " if key is not None else "") +
                             self.block(item, 1))
                continue
            inner = self.block(item, indent + 2)
            if inner[0] in "[{":
                lines.append("%s %s" % (lead, inner))
            elif key is None:
                lines.append(lead + inner[indent + 2:])
            else:
                lines.append("%s\n%s" % (lead, inner))
        return "\n".join(lines) + ("\n" if indent == 0 else "")

    # ---- torn ---------------------------------------------------------------

    def torn(self, text):
        for _ in range(self.rng.choice((1, 1, 2, 4))):
            text = self.rng.choice(
                (self.snippet, self.snippet, self.cut, self.lines,
                 self.scalar, self.shared, self.indent))(text)
        data = text.encode(errors="surrogatepass")
        if self.rng.random() < .15:
            at = self.rng.randrange(len(data) + 1)
            data = data[:at] + bytes([self.rng.randrange(256)]) + data[at:]
        if self.rng.random() < .03:
            data = text.encode(self.rng.choice(("utf-16", "latin-1")),
                               errors="replace")
        return data

    def snippet(self, text):
        at = self.rng.randrange(len(text) + 1)
        return text[:at] + self.rng.choice(SNIPPETS) + text[at:]

    def cut(self, text):
        at = self.rng.randrange(len(text) + 1)
        return text[:at] + text[at + self.rng.choice((1, 1, 3, 20)):]

    def lines(self, text):
        lines = text.split("\n")
        at = self.rng.randrange(len(lines))
        line = lines.pop(at)
        for _ in range(self.rng.choice((0, 2, 2))):
            lines.insert(self.rng.randrange(len(lines) + 1), line)
        return "\n".join(lines)

    def scalar(self, text):
        """Another scalar behind one of the colons."""
        lines = text.split("\n")
        at = self.rng.randrange(len(lines))
        head, colon, _ = lines[at].partition(": ")
        if colon:
            lines[at] = head + colon + self.rng.choice(SCALARS)
        return "\n".join(lines)

    def shared(self, text):
        """An anchor on one value, and an alias of it, or a merge."""
        lines = text.split("\n")
        fit = [i for i, line in enumerate(lines) if ": " in line]
        if not fit:
            return text
        a = self.rng.choice(fit)
        head, _, tail = lines[a].partition(": ")
        lines[a] = "%s: &a %s" % (head, tail)
        b = self.rng.choice(fit)
        lines[b] = self.rng.choice((
            lines[b].partition(": ")[0] + ": *a", "<<: *a",
            "<<: {max_workers: 3}", "<<: [{max_workers: 3}, *a]"))
        return "\n".join(lines)

    def indent(self, text):
        lines = text.split("\n")
        at = self.rng.randrange(len(lines))
        lines[at] = self.rng.choice((" ", "  ", "\t")) + lines[at]
        return "\n".join(lines)

    # ---- variables ----------------------------------------------------------

    def variables(self):
        self.faults += self.rng.choice((0, 0, 1))
        names = self.rng.sample(sorted(VARIABLES), self.rng.choice((1, 2, 4)))
        return {"TAKO_VM_" + name: self.variable(*VARIABLES[name])
                for name in names}

    def variable(self, key, kind):
        if kind == "boolean":
            return self.rng.choice(
                ("true", "FALSE", "1", "0", "Yes", "no")
                if not self.fault() else ("on", "", " true", "2", "off"))
        if kind == "integer":
            low = self.root[key]["minimum"]
            high = self.root[key].get("maximum", 2**31)
            if self.fault():
                return self.rng.choice(
                    ("", "x", "1.0", "0x10", "%d" % (low - 1),
                     "%d" % (high + 1), "1e3", "--1", "1__0", "-1"))
            value = self.rng.choice((low, high, (low + high) // 2))
            return self.rng.choice(("%d", " %d ", "+%d", "0%d", "%d\n")) \
                % value
        right, near = TEXTS[key]
        texts = near if self.fault() and near else right
        texts = [text.replace("\0", "") for text in texts]
        if kind == "list":
            return ",".join(self.rng.sample(texts, self.rng.randint(
                0, min(3, len(texts)))))
        return self.rng.choice(texts)
