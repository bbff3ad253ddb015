def main(size):
    n = 1000
    a = [0.0] * n
    b = [0.0] * n
    i = 0
    while i < n:
        a[i] = i * 0.5
        b[i] = 1.0 / (i + 1)
        i = i + 1
    total = 0.0
    step = 0
    while step < size:
        s = 0.0
        i = 0
        while i < n:
            s = s + a[i] * b[i]
            i = i + 1
        total = total + s
        step = step + 1
    return total
