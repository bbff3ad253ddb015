def main(size):
    inside = 0
    row = 0
    while row < size:
        cy = row * 2.0 / size - 1.0
        column = 0
        while column < size:
            cx = column * 3.0 / size - 2.0
            x = 0.0
            y = 0.0
            n = 0
            while n < 50 and x * x + y * y <= 4.0:
                t = x * x - y * y + cx
                y = 2.0 * x * y + cy
                x = t
                n = n + 1
            if n == 50:
                inside = inside + 1
            column = column + 1
        row = row + 1
    return inside
