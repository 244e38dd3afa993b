"""R12: lowers its oom_score_adj."""


def write(value):
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write(value)


tell(score=text("/proc/self/oom_score_adj").strip(),
     lower=attempt(write, "-1000"), zero=attempt(write, "0"))
