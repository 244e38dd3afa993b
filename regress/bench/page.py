"""
page.py: what `make bench` leaves: <folder>/results/<date>.json with every row,
README.md as a page of them, and plots (*.svg) of the ratios. Rows of parts that
were not taken this time stay as the newest file has them, with their day.
"""
import glob
import json
import os
import time

# Of a page, in order: how the names of its figures begin.
SECTIONS = (
    ("One warm call", ("execute", "tail", "preload", "requirements",
                       "filters", "row")),
    ("Jobs a second", ("rate", "tako-vm", "llm-sandbox")),
    ("What is kept", ("submits", "claim", "get", "list", "search", "start")),
    ("The front", ("front",)),
    ("Memory, processor, and what a job costs", (
        "memory", "cpu", "path", "commits", "output")),
)
PLOTS = (("calls", "One warm call, beside its floor", ("execute", "preload")),
         ("rates", "Jobs a second, beside others",
          ("rate", "tako-vm", "llm-sandbox")),
         ("kept", "Durable submits and reads, beside their floors",
          ("submits", "claim", "get", "list")))
INTRO = """# Figures

Taken by `make bench`; each line by the command that stands with it, on the
machine that stands below, and again by whoever doubts it. A figure is a ratio
to a floor that was taken in the same run, turn about with it, so that what
else the machine does moves both; in brackets from the tenth to the ninetieth
percentile of the rounds. `load` is the machine's load average when it was
taken: on {cores} processors more than {cores} means that others were at work.
`day` says when that was: what has changed since, the machine's speed too, is
not in it.
"""


def newest(folder):
    """What is there, each row with the day on which it was taken."""
    paths = sorted(glob.glob(os.path.join(folder, "results", "*.json")))
    if not paths:
        return {"figures": [], "missing": {}}
    with open(paths[-1]) as file:
        kept = json.load(file)
    day = os.path.basename(paths[-1]).removesuffix(".json")
    for row in kept["figures"]:
        row.setdefault("day", day)
    return kept


def write(folder, taken):
    """taken: machine, figures, missing ({part: why}), and the parts' names."""
    os.makedirs(os.path.join(folder, "results"), exist_ok=True)
    day = time.strftime("%Y-%m-%d", time.gmtime())
    path = os.path.join(folder, "results", day + ".json")
    kept = newest(folder)
    tried = set(taken.pop("parts"))
    rows = [r for r in kept["figures"] if r["part"] not in tried]
    rows += [{**r, "day": day} for r in taken["figures"]]
    missing = {part: why for part, why in kept["missing"].items()
               if part not in tried}
    missing.update(taken["missing"])
    result = {**taken, "figures": rows, "missing": missing}
    with open(path, "w") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    with open(os.path.join(folder, "README.md"), "w") as file:
        file.write(page(result, os.path.relpath(path, folder)))
    plots(folder, rows, result["machine"])
    return path


# ---- the page ---------------------------------------------------------------

def number(value):
    return "%.3g" % value if abs(value) < 1000 else "%.0f" % value


def spread(part):
    return "%s (%s..%s)" % tuple(
        number(part[key]) for key in ("median", "p10", "p90"))


def goal(row):
    if not row.get("rule"):
        return "stated", ""
    unit = row["unit"] if row["rule"] in ("<= +", "ms <=", "MiB <=") else ""
    met = "yes" if row["met"] else "**no**"
    rule = row["rule"].split()[-1] if row["rule"] != "<= +" else "<= +"
    return ("%s%g %s" % (rule + ("" if rule.endswith("+") else " "),
                         row["goal"], unit)).strip(), met


def line(row):
    wanted, met = goal(row)
    floor = spread(row["floor"]) if "floor" in row else ""
    ratio = ("%.2f (%.2f..%.2f)" % (
        row["ratio_of_medians"], row["ratio"]["p10"], row["ratio"]["p90"])
        if "ratio" in row else "")
    return "| %s | %s | %s %s | %s | %s | %s | %d | %.1f | %s | `%s` |" % (
        row["name"], floor, spread(row["measured"]), row["unit"], ratio,
        wanted, met, row["measured"]["n"], row["load"], row["day"],
        row["command"])


def page(result, data):
    rows = list(result["figures"])
    cores = result["machine"]["processors"]
    text = [INTRO.format(cores=cores)]
    text.append("Machine: " + "; ".join(
        "%s %s" % (key, value) for key, value in result["machine"].items()))
    text.append("\nAll of it, with what the medians come from: `%s`. What was "
                "tried to make a sandbox of gVisor cheaper: "
                "[gvisor.md](gvisor.md).\n" % data)
    for name, title, _ in PLOTS:
        text.append("![%s](%s.svg)" % (title, name))
    for title, begins in SECTIONS:
        own = [r for r in rows if r["name"].split()[0] in begins]
        if not own:
            continue
        rows = [r for r in rows if r not in own]
        text += ["", "## " + title, "",
                 "| what | floor | takod | ratio | goal | met | n | load |"
                 " day | command |",
                 "|---|---|---|---|---|---|---|---|---|---|"]
        text += [line(r) for r in own]
        for row in own:
            if row.get("parts"):
                text.append("\n%s: %s" % (row["name"], ", ".join(
                    "%s %s" % (k, number(v["median"]))
                    for k, v in row["parts"].items())))
    if rows:
        text += ["", "## Others", ""] + [
            "- %s: %s %s" % (r["name"], spread(r["measured"]), r["unit"])
            for r in rows]
    if result["missing"]:
        text += ["", "## Not taken", ""] + [
            "- `%s`: %s" % (part, " ".join(why.split())[:300])
            for part, why in result["missing"].items()]
    return "\n".join(text) + "\n"


# ---- the plots --------------------------------------------------------------

def plots(folder, figures, machine):
    import matplotlib
    matplotlib.use("svg")
    # The same rows make the same file.
    matplotlib.rcParams["svg.hashsalt"] = "takod"
    from matplotlib import pyplot
    for name, title, begins in PLOTS:
        rows = [r for r in figures if "ratio" in r
                and r["name"].split()[0] in begins][::-1]
        if not rows:
            continue
        fig, axes = pyplot.subplots(figsize=(8, 1.2 + 0.32 * len(rows)))
        for place, row in enumerate(rows):
            middle = row["ratio_of_medians"]
            color = ("#4477aa" if "met" not in row else
                     "#228833" if row["met"] else "#cc3311")
            axes.barh(place, middle, color=color, height=0.6)
            low, high = row["ratio"]["p10"], row["ratio"]["p90"]
            axes.plot([low, high], [place, place], color="black", lw=1)
            if row.get("rule") in ("<=", ">="):
                axes.plot([row["goal"]] * 2, [place - 0.4, place + 0.4],
                          color="black", lw=2)
            axes.text(middle, place, " %.2f" % middle, va="bottom",
                      fontsize=7)
        axes.set_yticks(range(len(rows)), [r["name"] for r in rows],
                        fontsize=8)
        axes.axvline(1, color="grey", lw=0.8, ls=":")
        axes.set_xlabel("times the floor of the same run; the bar: the goal; "
                        "the line: tenth to ninetieth percentile", fontsize=7)
        axes.set_title("%s\n%s, %s processors, Linux %s" % (
            title, machine["processor"], machine["processors"],
            machine["kernel"]), fontsize=9)
        fig.tight_layout()
        fig.savefig(os.path.join(folder, name + ".svg"),
                    metadata={"Date": None})
        pyplot.close(fig)
