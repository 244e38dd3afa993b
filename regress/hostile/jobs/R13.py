"""R13: writes to /output until nothing more goes in."""
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
total, files, last = 0, 0, "ok"
block = bytes(1 << 20)
while last in ("ok", "EFBIG") and files < 40:
    with open("/output/big%d" % files, "wb", buffering=0) as file:
        try:
            while True:
                n = file.write(block)
                total += n
        except OSError as error:
            last = word(error.errno)
    files += 1
for number in range(files):
    os.unlink("/output/big%d" % number)
tell(last=last, files=files, mebibytes=total >> 20)
