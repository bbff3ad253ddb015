def main(size):
    n = size
    a = [0.0] * (n * n)
    b = [0.0] * (n * n)
    c = [0.0] * (n * n)
    i = 0
    while i < n * n:
        a[i] = i % 7 * 0.25
        b[i] = i % 11 * 0.5
        i = i + 1
    i = 0
    while i < n:
        j = 0
        while j < n:
            s = 0.0
            k = 0
            while k < n:
                s = s + a[i * n + k] * b[k * n + j]
                k = k + 1
            c[i * n + j] = s
            j = j + 1
        i = i + 1
    return c[0] + c[n * n - 1] + c[n * n // 2]
