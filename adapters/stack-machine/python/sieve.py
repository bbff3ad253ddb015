def main(size):
    n = size
    flags = [True] * n
    count = 0
    step = 0
    while step < 10:
        i = 0
        while i < n:
            flags[i] = True
            i = i + 1
        count = 0
        i = 2
        while i < n:
            if flags[i]:
                count = count + 1
                j = i + i
                while j < n:
                    flags[j] = False
                    j = j + i
            i = i + 1
        step = step + 1
    return count
