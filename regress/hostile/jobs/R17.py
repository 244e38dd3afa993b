"""R17: asks for all of the host's disks to be flushed, again and again."""
file = open("/output/x", "wb")
for _ in range(50):
    file.write(bytes(4096))
    os.fsync(file.fileno())
    os.sync()
os.unlink("/output/x")
# A descriptor that is none: whoever says yes has not looked.
tell(syncfs=call("syncfs", 1 << 20), sync=attempt(os.sync))
