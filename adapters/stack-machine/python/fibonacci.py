def main(size):
    total = 0
    step = 0
    while step < size:
        a = 0
        b = 1
        i = 0
        while i < 40:
            c = a + b
            a = b
            b = c
            i = i + 1
        total = (total + a) % 1000003
        step = step + 1
    return total
