def main(size):
    text = (
        b"Copy and patch: prepared pieces of code, with holes for registers and constants,"
        b" are copied and filled in."
    )
    n = len(text)
    total = 0
    step = 0
    while step < size:
        h = step % 1000
        i = 0
        while i < n:
            h = (h * 31 + text[i]) % 1000003
            i = i + 1
        total = (total + h) % 1000003
        step = step + 1
    return total
