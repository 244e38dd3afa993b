"""O09: reads its stdin for ever."""
tell(read=[sys.stdin.buffer.read().decode() for _ in range(1000)][-1])
