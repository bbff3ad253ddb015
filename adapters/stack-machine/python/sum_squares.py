def main(size):
    total = 0.0
    step = 0
    while step < size:
        s = 0
        i = 0
        while i < 1000:
            s = s + i * i
            i = i + 1
        total = total + s
        step = step + 1
    return total
