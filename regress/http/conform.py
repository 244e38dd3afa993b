"""
conform.py: holds answers (lines of lib/answers.py) to the document of
/openapi.json. Runs where jsonschema is.

	conform.py DOCUMENT ANSWERS

Prints JSON: "wrong", in words, and "met", the operations and statuses that
were seen. A member that the document does not know is wrong here, though the
document lets clients expect some.
"""
import copy
import json
import re
import sys
import urllib.parse

import jsonschema


def strict(document):
    """The document with objects that are what it says and no more."""
    document = copy.deepcopy(document)
    for schema in document["components"]["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return document


def resolve(document, thing):
    while "$ref" in thing:
        found = document
        for step in thing["$ref"][2:].split("/"):
            found = found[step]
        thing = found
    return thing


def operation_of(document, method, path):
    """The operation, or None; a path without names goes first."""
    path = urllib.parse.unquote(path, "latin-1")
    for pattern in sorted(document["paths"], key=lambda p: p.count("{")):
        form = "/".join("[^/]+" if part.startswith("{") else re.escape(part)
                        for part in pattern.split("/"))
        if re.fullmatch(form, path):
            item = document["paths"][pattern]
            found = item.get(method.lower())
            if found is None and method == "HEAD":
                found = item.get("get")
            return found
    return None


class Conform:
    def __init__(self, document):
        self.document = strict(document)
        self.validators = {}
        self.wrong, self.met = [], set()

    def validator(self, schema):
        key = json.dumps(schema)
        if key not in self.validators:
            self.validators[key] = jsonschema.Draft202012Validator(
                {**schema, "components": self.document["components"]},
                format_checker=jsonschema.FormatChecker())
        return self.validators[key]

    def content(self, answer, response):
        media = answer["fields"].get("content-type", "").split(";")[0]
        content = response.get("content", {})
        if not answer["body"]:
            return []
        found = content.get(media, content.get("*/*"))
        if found is None:
            return ["it is %r" % media]
        if "schema" not in found:
            return []
        body = json.loads(answer["body"].encode("latin-1"))
        return ["%s: %s" % ("/".join(map(str, e.absolute_path)), e.message)
                for e in self.validator(found["schema"]).iter_errors(body)]

    def one(self, answer):
        status = str(answer["status"])
        found = operation_of(self.document, answer["method"], answer["path"])
        if found is None:
            if answer["method"] == "OPTIONS" and status == "204":
                return []  # a browser's question before its request
            # No such path or method: an error that any request may meet, or
            # on to where there is one.
            responses = self.document["components"]["responses"]
            if status != "307" and "Status" + status not in responses:
                return ["no operation has it"]
            response = responses.get("Status" + status, {})
        else:
            if status not in found["responses"]:
                return ["the status is not told of"]
            self.met.add((found["operationId"], answer["status"]))
            response = resolve(self.document, found["responses"][status])
        if "x-correlation-id" not in answer["fields"]:
            return ["no X-Correlation-ID"]
        return self.content(answer, response)


def main():
    with open(sys.argv[1]) as file:
        conform = Conform(json.load(file))
    with open(sys.argv[2]) as file:
        for line in file:
            answer = json.loads(line)
            for words in conform.one(answer):
                conform.wrong.append("%(method)s %(path)s %(status)d: " %
                                     answer + words)
    json.dump({"wrong": conform.wrong, "met": sorted(conform.met)},
              sys.stdout)


if __name__ == "__main__":
    main()
