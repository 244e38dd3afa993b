"""
figures.py: what all figures share: their numbers, how they are shown, and the
end of a takod that was measured. A figure is what was measured beside its
floor, round by round; its goal is of the ratio of both medians ("<=", ">="),
of what was measured more than the floor ("<= +"), or there is none.
"""
complaints = []  # of daemons that did not end as they should


def finish(takod):
    """A figure that was taken counts, also when the stop goes wrong."""
    try:
        takod.close()
    except AssertionError as error:
        complaints.append(str(error))
        print("at its stop: %s" % error, flush=True)


def percentile(values, share):
    ordered = sorted(values)
    place = (len(ordered) - 1) * share
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def summary(values):
    return {"n": len(values), "median": percentile(values, 0.5),
            "p10": percentile(values, 0.1), "p90": percentile(values, 0.9)}


def turns(rounds, floor, measured):
    """Both turn about, each the first one as often: what they returned."""
    lists = ([], [])
    for number in range(rounds):
        for which in ((0, 1), (1, 0))[number % 2]:
            lists[which].append((floor, measured)[which]())
    return lists


def figure(name, unit, floor, measured, rule=None, goal=None, **more):
    """A row: the floor, what was measured, and the ratio round by round."""
    row = {"name": name, "unit": unit, "floor": summary(floor),
           "measured": summary(measured),
           "ratio": summary([m / f for f, m in zip(floor, measured)]),
           "rule": rule, "goal": goal, **more}
    # The ratio of the medians: single rounds of a busy machine are noisy.
    low, high = row["floor"]["median"], row["measured"]["median"]
    row["ratio_of_medians"], row["more"] = high / low, high - low
    if rule:
        row["met"] = {"<=": high / low <= goal, ">=": high / low >= goal,
                      "<= +": high - low <= goal}[rule]
    return row


def show(row):
    def numbers(part):
        digits = 1 if row["unit"].endswith("/s") else 3
        return "%.*f (%.*f..%.*f) %s" % (
            digits, part["median"], digits, part["p10"], digits, part["p90"],
            row["unit"])
    goal, floor, ratio = "stated", "-", ""
    if row.get("rule"):
        goal = "goal %s %-5g %s" % (row["rule"], row["goal"],
                                    "met" if row["met"] else "MISSED")
    if "ratio" in row:
        floor = numbers(row["floor"])
        ratio = "%5.2f (%.2f..%.2f)" % (row["ratio_of_medians"],
                                        row["ratio"]["p10"],
                                        row["ratio"]["p90"])
    print("%-28s %-29s %-29s %s  %s" % (
        row["name"], floor, numbers(row["measured"]), ratio, goal),
        flush=True)
    for name, value in row.get("parts", {}).items():
        print("    %-24s %.1f" % (name, value["median"]), flush=True)
