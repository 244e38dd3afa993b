"""O13: swaps and truncates result.json when and after the main one ends."""
TEXTS = [json.dumps({"which": "ab"[n], "fill": "ab"[n] * (1 << 20)})
         for n in range(2)]
for n in range(2):
    with open("/tmp/%d" % n, "w") as file:
        file.write(TEXTS[n])
with open("/output/result.json", "w") as file:
    file.write(TEXTS[0])
if os.fork() == 0:
    os.setsid()
    while True:
        for n in range(2):
            with open("/output/new", "w") as file:
                file.write(TEXTS[n])
            os.rename("/output/new", "/output/result.json")
time.sleep(0.1)
