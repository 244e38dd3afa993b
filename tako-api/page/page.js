/*
 * page.js: shows /openapi.json, and sends what is typed. It makes elements and
 * text, never markup of strings, and asks no host but the one it came from.
 */
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete", "options", "head"];
const SHOWN_MAX = 200000; // characters of an answer

let spec;
let fields = 0; // for the ids of inputs

/* ---- elements ----------------------------------------------------------- */

/* An element with properties, and children that are elements or texts. */
function make(tag, properties, ...children) {
	const node = document.createElement(tag);

	Object.assign(node, properties);
	node.append(...children.filter((child) => child !== null));
	return node;
}

/* A label and what is typed under it. */
function labelled(text, input, about) {
	input.id = `field-${++fields}`;
	return make("p", {}, make("label", { htmlFor: input.id }, text), input,
		about ? make("small", {}, ` ${about}`) : null);
}

/* ---- schemas ------------------------------------------------------------ */

function resolve(thing) {
	let found = spec;

	if (!thing || !thing.$ref)
		return thing;
	for (const step of thing.$ref.slice(2).split("/"))
		found = found[step];
	return found;
}

function schemaLink(name) {
	return make("a", { href: `#schema-${name}` }, name);
}

function bounds(schema) {
	const words = [];

	if ("minimum" in schema && "maximum" in schema)
		words.push(`${schema.minimum} to ${schema.maximum}`);
	else if ("minimum" in schema)
		words.push(`at least ${schema.minimum}`);
	if (schema.minLength > 1)
		words.push(`at least ${schema.minLength} characters`);
	if ("maxLength" in schema)
		words.push(`at most ${schema.maxLength} characters`);
	if ("maxItems" in schema)
		words.push(`at most ${schema.maxItems} items`);
	if ("default" in schema)
		words.push(`else ${JSON.stringify(schema.default)}`);
	if ("pattern" in schema && schema.pattern.length < 60)
		words.push(schema.pattern);
	return words.length > 0 ? `, ${words.join(", ")}` : "";
}

/* What a schema takes, as a list of texts and links. */
function typeOf(schema) {
	if (schema.$ref)
		return [schemaLink(schema.$ref.split("/").pop())];
	if (schema.anyOf)
		return schema.anyOf.flatMap((one, i) =>
			i > 0 ? [" or ", ...typeOf(one)] : typeOf(one));
	if (schema.enum)
		return [schema.enum.join(", ")];
	if (schema.type === "array" || Array.isArray(schema.type) &&
	    schema.type.includes("array"))
		return ["list of ", ...typeOf(schema.items || {}),
			bounds(schema)];
	if (schema.type === "object" && schema.additionalProperties)
		return ["object of ", ...typeOf(schema.additionalProperties)];
	if (schema.type)
		return [[].concat(schema.type).join(" or ") +
			(schema.format ? ` (${schema.format})` : "") +
			bounds(schema)];
	return ["any value"];
}

function fieldRow(name, required, type, about) {
	return make("div", {},
		make("dt", {}, make("code", {}, name),
			required ? make("small", {}, " required") : null),
		make("dd", {}, ...type,
			about ? make("div", { className: "faint" }, about) :
				null));
}

function fieldList(schema) {
	const list = make("dl", { className: "fields" });
	const required = schema.required || [];

	for (const [name, one] of Object.entries(schema.properties || {}))
		list.append(fieldRow(name, required.includes(name), typeOf(one),
			one.description));
	return list;
}

function showSchemas(main) {
	main.append(make("h2", { id: "schemas" }, "Schemas"));
	for (const [name, schema] of Object.entries(spec.components.schemas))
		main.append(make("details", { id: `schema-${name}` },
			make("summary", {}, make("code", {}, name)),
			make("div", { className: "inner" },
				make("p", {}, schema.description || ""),
				schema.properties ? fieldList(schema) :
					make("p", {}, ...typeOf(schema)))));
}

/* ---- answers ------------------------------------------------------------ */

/* JSON with lines and indents; its numbers and strings stay as they came. */
function indent(text) {
	const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g);
	let out = "", depth = 0, before = "";

	for (const token of tokens || []) {
		const closes = token === "}" || token === "]";

		if (closes)
			depth--;
		if (before === "{" || before === "[" ? !closes :
			before === "," || closes)
			out += `\n${"  ".repeat(depth)}`;
		out += token === ":" ? ": " : token;
		if (token === "{" || token === "[")
			depth++;
		before = token;
	}
	return out;
}

function isText(type) {
	return /^text\/|[/+]json\b|javascript/.test(type);
}

async function showBody(place, reply) {
	const type = reply.headers.get("content-type") || "";
	const bytes = await reply.arrayBuffer();
	let text;

	if (bytes.byteLength === 0)
		return;
	if (!isText(type)) {
		place.append(make("p", {}, make("a", {
			href: URL.createObjectURL(new Blob([bytes])),
			download: "answer",
		}, `Save ${bytes.byteLength} bytes of ${type}`)));
		return;
	}
	text = new TextDecoder().decode(bytes);
	if (/json/.test(type))
		text = indent(text);
	if (text.length > SHOWN_MAX)
		text = `${text.slice(0, SHOWN_MAX)}\n[${text.length} characters]`;
	place.append(make("h5", {}, "Body"),
		make("pre", { className: "answer-body", tabIndex: 0 }, text));
}

async function showReply(place, reply, ms) {
	const lines = [...reply.headers].map(([name, value]) =>
		`${name}: ${value}`);

	place.append(
		make("p", { className: reply.ok ? "" : "wrong" },
			make("strong", { className: "answer-status" },
				`${reply.status} ${reply.statusText}`),
			` in ${ms} ms`),
		make("h5", {}, "Headers"),
		make("pre", { tabIndex: 0 }, lines.join("\n")));
	await showBody(place, reply);
}

/* ---- trying ------------------------------------------------------------- */

function keyHeader() {
	const schemes = spec.components.securitySchemes;

	return schemes && schemes.ApiKey ? schemes.ApiKey.name : null;
}

/* The request that the inputs of an operation make. */
function requestOf(path, method, inputs, body) {
	const query = new URLSearchParams();
	const headers = new Headers();
	const key = document.getElementById("key").value;

	for (const [parameter, input] of inputs) {
		if (parameter.in === "path")
			path = path.replace(`{${parameter.name}}`,
				encodeURIComponent(input.value));
		else if (input.value === "")
			continue;
		else if (parameter.in === "query")
			query.append(parameter.name, input.value);
		else
			headers.append(parameter.name, input.value);
	}
	if (keyHeader() && key !== "")
		headers.set(keyHeader(), key);
	if (body)
		headers.set("Content-Type", "application/json");
	return [path + (query.size > 0 ? `?${query}` : ""), {
		method: method.toUpperCase(), headers, cache: "no-store",
		credentials: "omit", body: body ? body.value : undefined,
	}];
}

/* The form of an operation: what it takes, a button, what came of it. */
function tryForm(path, method, operation, parameters) {
	const inputs = parameters.map((parameter) => [parameter,
		make("input", { type: "text", autocomplete: "off",
			spellcheck: false,
			required: parameter.in === "path" })]);
	const content = operation.requestBody &&
		operation.requestBody.content["application/json"];
	const body = content ? make("textarea", { spellcheck: false,
		value: JSON.stringify(content.example, null, 2) }) : null;
	const button = make("button", { type: "submit" }, "Send");
	const place = make("div", { className: "answer" });
	const form = make("form", {}, make("h4", {}, "Try it"),
		...inputs.map(([parameter, input]) => labelled(
			`${parameter.name} (${parameter.in})`, input)),
		body ? labelled("Body (JSON)", body) : null, button, place);
	let under = null;

	place.setAttribute("role", "status");
	form.addEventListener("submit", async (event) => {
		const began = Date.now();

		event.preventDefault();
		if (under) {
			under.abort();
			return;
		}
		under = new AbortController();
		button.textContent = "Stop";
		place.replaceChildren(make("p", {}, "Sent \u2026"));
		try {
			const [url, options] = requestOf(path, method, inputs,
				body);
			const reply = await fetch(url,
				{ ...options, signal: under.signal });

			place.replaceChildren();
			await showReply(place, reply, Date.now() - began);
		} catch (error) {
			place.replaceChildren(make("p",
				{ className: "wrong" }, error.message));
		}
		under = null;
		button.textContent = "Send";
	});
	return form;
}

/* ---- operations --------------------------------------------------------- */

function showParameters(inner, parameters) {
	const list = make("dl", { className: "fields" });

	for (const one of parameters)
		list.append(fieldRow(`${one.name} (${one.in})`, one.required,
			typeOf(one.schema), one.description));
	inner.append(make("h4", {}, "Parameters"), list);
}

function showRequest(inner, body) {
	const content = body.content["application/json"];

	inner.append(make("h4", {}, "Body"),
		make("p", {}, ...typeOf(content.schema)),
		fieldList(resolve(content.schema)));
}

function showResponses(inner, responses) {
	const list = make("dl", { className: "fields" });

	for (const [status, one] of Object.entries(responses)) {
		const response = resolve(one);
		const types = Object.entries(response.content || {}).flatMap(
			([media, { schema }]) => schema ?
				[" ", ...typeOf(schema)] : [` ${media}`]);

		list.append(fieldRow(status, false,
			[response.description, ...types]));
	}
	inner.append(make("h4", {}, "Answers"), list);
}

/* Its contents are made when it is opened. */
function showOperation(section, path, method, operation) {
	const inner = make("div", { className: "inner" });
	const parameters = (operation.parameters || []).map(resolve);
	const details = make("details", {
		id: `op-${operation.operationId}`, className: "operation",
	}, make("summary", {},
		make("span", { className: `method ${method}` },
			method.toUpperCase()),
		make("span", { className: "path" }, path),
		make("span", {}, operation.summary || "")), inner);

	details.dataset.words =
		`${method} ${path} ${operation.summary}`.toLowerCase();
	details.addEventListener("toggle", () => {
		if (inner.childElementCount > 0)
			return;
		inner.append(make("p", {}, operation.description || ""));
		showParameters(inner, parameters);
		if (operation.requestBody)
			showRequest(inner, operation.requestBody);
		showResponses(inner, operation.responses);
		inner.append(tryForm(path, method, operation, parameters));
	});
	section.append(details);
}

function sectionOf(sections, tag, main) {
	const id = `tag-${tag.replace(/\W/g, "-")}`;

	if (!sections.has(tag)) {
		const section = make("section", {},
			make("h2", { id }, tag));

		sections.set(tag, section);
		main.append(section);
		document.getElementById("tags").append(
			make("a", { href: `#${id}` }, tag));
	}
	return sections.get(tag);
}

function showOperations(main) {
	const sections = new Map();

	for (const [path, item] of Object.entries(spec.paths))
		for (const method of METHODS)
			if (item[method])
				showOperation(sectionOf(sections,
					(item[method].tags || ["Others"])[0],
					main), path, method, item[method]);
}

function filter(event) {
	const word = event.target.value.trim().toLowerCase();

	for (const one of document.querySelectorAll(".operation"))
		one.hidden = !one.dataset.words.includes(word);
}

/* A link to what is folded opens it. */
function unfold() {
	const target = document.getElementById(
		decodeURIComponent(location.hash.slice(1)));

	if (target && target.tagName === "DETAILS") {
		target.open = true;
		target.scrollIntoView();
	}
}

async function start() {
	const main = document.getElementById("operations");
	const state = document.getElementById("state");

	try {
		const reply = await fetch("/openapi.json");

		if (!reply.ok)
			throw new Error(`${reply.status} ${reply.statusText}`);
		spec = await reply.json();
	} catch (error) {
		state.textContent = `/openapi.json: ${error.message}`;
		state.className = "wrong";
		return;
	}
	document.getElementById("version").textContent = spec.info.version;
	document.getElementById("about").textContent = spec.info.description;
	document.getElementById("key-part").hidden = !keyHeader();
	showOperations(main);
	showSchemas(main);
	state.remove();
	document.getElementById("filter").addEventListener("input", filter);
	addEventListener("hashchange", unfold);
	unfold();
}

start();
