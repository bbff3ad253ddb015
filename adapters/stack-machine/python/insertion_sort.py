def main(size):
    n = size
    a = [0] * n
    step = 0
    check = 0
    while step < 20:
        seed = step + 1
        i = 0
        while i < n:
            seed = (seed * 1103 + 12345) % 65536
            a[i] = seed
            i = i + 1
        i = 1
        while i < n:
            key = a[i]
            j = i - 1
            while 0 <= j and key < a[j]:
                a[j + 1] = a[j]
                j = j - 1
            a[j + 1] = key
            i = i + 1
        check = (check + a[0] + a[n // 2] * 3 + a[n - 1] * 7) % 1000003
        step = step + 1
    return check
