def main(size):
    best = 0
    n = 1
    while n < size:
        x = n
        steps = 0
        while x != 1:
            if x % 2 == 0:
                x = x // 2
            else:
                x = 3 * x + 1
            steps = steps + 1
        if best < steps:
            best = steps
        n = n + 1
    return best
