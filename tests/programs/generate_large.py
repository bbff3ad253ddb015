#!/usr/bin/env python3
"""Writes the programs with one very large function each, and their answers, into the directory of this script.

large_sha256.uop   straight-line: SHA-256 of 256 bytes, five blocks unrolled; answers from hashlib
large_network.uop  branchy: Batcher's sorting network for 128 numbers; answers from sorted()
large_tree.uop     branchy: a decision tree of 2047 tests; answers from a walk over the tree's arrays

The output is committed: run this again only after a change here, and check that nothing else changed.
"""

import hashlib
import os
from math import isqrt

HERE = os.path.dirname(os.path.abspath(__file__))
HEAD = "; Written by generate_large.py: change that, not this.\n"


def write(name, text):
    with open(os.path.join(HERE, name), "w") as file:
        file.write(text)


def signed(value, bits):
    value %= 1 << bits
    return value - (1 << bits) if value >> (bits - 1) else value


def lcg32(seed, count):
    """The 32-bit generator that the programs use too."""
    x = seed
    for _ in range(count):
        x = (x * 1664525 + 1013904223) % 2**32
        yield x


# SHA-256


def primes(count):
    found = []
    candidate = 2
    while len(found) < count:
        if all(candidate % p for p in found):
            found.append(candidate)
        candidate += 1
    return found


def cube_root_bits(n):
    """The first 32 bits of the fractional part of the cube root of n."""
    low, high = 0, 1 << 40
    while low < high:
        middle = (low + high + 1) // 2
        if middle**3 <= n << 96:
            low = middle
        else:
            high = middle - 1
    return low % 2**32


def sha256_program():
    constants = [cube_root_bits(p) for p in primes(64)]
    start = [isqrt(p << 64) % 2**32 for p in primes(8)]
    lines = []
    number = 0

    def op(text):
        nonlocal number
        name = "t%d" % number
        number += 1
        lines.append("    %s = %s" % (name, text))
        return name

    def op2(what, a, b):
        return op("i32.%s %s, %s" % (what, a, b))

    amounts = {n: op("i32.const %d" % n) for n in (2, 3, 6, 7, 10, 11, 13, 17, 18, 19, 22, 25)}
    state = [op("i32.const 0x%08x" % h) for h in start]

    def spread(x, first, second, third, last):
        a = op2("rotr", x, amounts[first])
        b = op2("rotr", x, amounts[second])
        c = op2(last, x, amounts[third])
        return op2("xor", op2("xor", a, b), c)

    padding = [0x80000000] + [0] * 14 + [256 * 8]
    for block in range(5):
        if block < 4:
            words = [
                op("i32.bswap %s" % op("i32.load @message[zero + %d] else trap 1" % (block * 64 + 4 * t)))
                for t in range(16)
            ]
        else:
            words = [op("i32.const 0x%x" % word) for word in padding]
        for t in range(16, 64):
            s0 = spread(words[t - 15], 7, 18, 3, "shr_u")
            s1 = spread(words[t - 2], 17, 19, 10, "shr_u")
            words.append(op2("add", op2("add", op2("add", words[t - 16], s0), words[t - 7]), s1))
        a, b, c, d, e, f, g, h = state
        for t in range(64):
            sum1 = spread(e, 6, 11, 25, "rotr")
            choice = op2("xor", op2("and", e, op2("xor", f, g)), g)
            k = op("i32.const 0x%08x" % constants[t])
            t1 = op2("add", op2("add", op2("add", op2("add", h, sum1), choice), k), words[t])
            sum0 = spread(a, 2, 13, 22, "rotr")
            ab = op2("and", a, b)
            ac = op2("and", a, c)
            bc = op2("and", b, c)
            majority = op2("xor", op2("xor", ab, ac), bc)
            t2 = op2("add", sum0, majority)
            a, b, c, d, e, f, g, h = op2("add", t1, t2), a, b, c, op2("add", d, t1), e, f, g
        state = [op2("add", old, new) for old, new in zip(state, (a, b, c, d, e, f, g, h))]

    message = bytes(x >> 24 for x in lcg32(11, 256))

    def words_of(digest):
        return ", ".join("0x" + digest.hex()[8 * i : 8 * i + 8] for i in range(8))

    def chain(count):
        bytes_now = message
        for _ in range(count):
            digest = hashlib.sha256(bytes_now).digest()
            bytes_now = digest + bytes_now[32:]
        return words_of(digest)

    results = ", ".join(["i32"] * 8)
    names = ["h%d" % i for i in range(8)]
    stores = "".join(
        "    s%d = i32.bswap h%d\n    i32.store @message[zero + %d], s%d else trap 1\n" % (i, i, 4 * i, i)
        for i in range(8)
    )
    write(
        "large_sha256.uop",
        HEAD
        + "; SHA-256 of 256 bytes in one straight-line function of more than 10000 ops: four blocks and the padding's,\n"
        + "; with nothing left to loop over; and a chain that writes the digest over the first 32 bytes n times.\n"
        + "; Answer: Python's hashlib.sha256.\n"
        + "; run: @digest() == %s\n" % words_of(hashlib.sha256(message).digest())
        + "; run: @chain(3) == %s\n" % chain(3)
        + "; bench: @chain(10000) == %s\n\n" % chain(10000)
        + "region @message 256 = bytes %s\n\n" % " ".join("%02x" % b for b in message)
        + "func @digest() -> %s {\nentry:\n    zero = i64.const 0\n" % results
        + "\n".join(lines)
        + "\n    return %s\n}\n\n" % ", ".join(state)
        + "func @chain(n: i64) -> %s {\n" % results
        + "entry:\n    zero = i64.const 0\n    one = i64.const 1\n    jump loop(zero)\n"
        + "loop(i: i64):\n    %s = call @digest()\n" % ", ".join(names)
        + stores
        + "    i1 = i64.add i, one\n    more = i64.lt_s i1, n\n    branch more, loop(i1), done\n"
        + "done:\n    return %s\n}\n" % ", ".join(names),
    )


# Batcher's odd-even merge sort


def comparators(count):
    p = 1
    while p < count:
        k = p
        while k >= 1:
            for j in range(k % p, count - k, 2 * k):
                for i in range(min(k, count - j - k)):
                    if (i + j) // (2 * p) == (i + j + k) // (2 * p):
                        yield i + j, i + j + k
            k //= 2
        p *= 2


def network_program():
    width = 128
    lines = []
    for number, (low, high) in enumerate(comparators(width)):
        label = "compare%d" % number if number else "entry"
        lines.append(
            "{label}:\n"
            "    a{n} = i32.load @numbers[row + {low}] else trap 1\n"
            "    b{n} = i32.load @numbers[row + {high}] else trap 1\n"
            "    c{n} = i32.gt_s a{n}, b{n}\n"
            "    branch c{n}, swap{n}, compare{next}\n"
            "swap{n}:\n"
            "    i32.store @numbers[row + {low}], b{n} else trap 1\n"
            "    i32.store @numbers[row + {high}], a{n} else trap 1\n"
            "    jump compare{next}\n".format(label=label, n=number, next=number + 1, low=4 * low, high=4 * high)
        )
    lines.append("compare%d:\n    return\n" % (number + 1))

    def answer(rows):
        numbers = [signed(x, 32) for x in lcg32(13, rows * width)]
        total = 0
        for row in range(rows):
            for place, value in enumerate(sorted(numbers[row * width : (row + 1) * width])):
                total += value * place
        return signed(total, 64)

    write(
        "large_network.uop",
        HEAD
        + "; Batcher's odd-even merge sort of 128 numbers of i32 as a network of %d comparators, each a branch, in one\n"
        % (number + 1)
        + "; function of more than 10000 ops. Sorts rows of numbers of the generator x = x*1664525 + 1013904223 from seed\n"
        + "; 13 and gives the sum of place times number over all rows.\n"
        + "; Answer: Python's sorted().\n"
        + "; run: @rows(1) == %d\n; run: @rows(8) == %d\n" % (answer(1), answer(8))
        + "; bench: @rows(4096) == %d\n\n" % answer(4096)
        + "region @numbers 2097152\n\n"
        + "func @sort(row: i64) {\n"
        + "".join(lines)
        + "}\n\n"
        + """func @rows(count: i64) -> i64 {
entry:
    zero = i64.const 0
    one = i64.const 1
    width = i64.const 128
    row_size = i64.const 512
    seed = i32.const 13
    multiplier = i32.const 1664525
    increment = i32.const 1013904223
    total = i64.mul count, width
    jump fill(zero, seed)
fill(k: i64, x: i32):
    product = i32.mul x, multiplier
    x1 = i32.add product, increment
    i32.store @numbers[k*4], x1 else trap 1
    k1 = i64.add k, one
    filling = i64.lt_s k1, total
    branch filling, fill(k1, x1), sort_rows(zero, zero)
sort_rows(i: i64, row: i64):
    sorting = i64.lt_s i, count
    branch sorting, sort_row, sum(zero, zero, zero)
sort_row:
    call @sort(row)
    i1 = i64.add i, one
    row1 = i64.add row, row_size
    jump sort_rows(i1, row1)
sum(at: i64, place: i64, all: i64):
    number = i64.load32_s @numbers[at*4] else trap 1
    weighted = i64.mul number, place
    all1 = i64.add all, weighted
    next_place = i64.add place, one
    row_end = i64.eq next_place, width
    place1 = i64.select row_end, zero, next_place
    at1 = i64.add at, one
    summing = i64.lt_s at1, total
    branch summing, sum(at1, place1, all1), done
done:
    return all1
}
""",
    )


# A decision tree


def tree_program():
    depth = 11
    inner = 2**depth - 1
    random = list(lcg32(17, 4 * inner + 4))
    features = [(random[2 * i] >> 20) % 16 for i in range(inner)]
    thresholds = [random[2 * i + 1] >> 22 for i in range(inner)]
    leaves = [random[2 * inner + i] >> 16 for i in range(inner + 1)]
    lines = []

    def label(node):
        return "node%d" % node if node < inner else "leaf%d" % (node - inner)

    for node in range(inner):
        lines.append(
            "{label}:\n"
            "    f{n} = i32.load16_u @rows[row + {feature}] else trap 1\n"
            "    t{n} = i32.const {threshold}\n"
            "    c{n} = i32.lt_u f{n}, t{n}\n"
            "    branch c{n}, {left}, {right}\n".format(
                label=label(node) if node else "entry",
                n=node,
                feature=2 * features[node],
                threshold=thresholds[node],
                left=label(2 * node + 1),
                right=label(2 * node + 2),
            )
        )
    for leaf, value in enumerate(leaves):
        lines.append("leaf%d:\n    v%d = i64.const %d\n    jump done(v%d)\n" % (leaf, leaf, value, leaf))
    lines.append("done(value: i64):\n    return value\n")

    def classify(row):
        node = 0
        while node < inner:
            node = 2 * node + (1 if row[features[node]] < thresholds[node] else 2)
        return leaves[node - inner]

    def answer(rows, times):
        numbers = [x >> 22 for x in lcg32(19, rows * 16)]
        total = sum(classify(numbers[16 * i : 16 * i + 16]) * (i + 1) for i in range(rows))
        return signed(total * times, 64)

    write(
        "large_tree.uop",
        HEAD
        + "; A decision tree of %d tests of 16 features of 10 bits in one function of more than 10000 ops. Rows of\n" % inner
        + "; features are bits 22 to 31 of the generator x = x*1664525 + 1013904223 from seed 19; gives the sum over the\n"
        + "; rows, numbered from 1, of the number times what the tree says, `times` times over.\n"
        + "; Answer: a walk over the tree's arrays in Python.\n"
        + "; run: @classify(1, 1) == %d\n; run: @classify(300, 2) == %d\n" % (answer(1, 1), answer(300, 2))
        + "; bench: @classify(4096, 400) == %d\n\n" % answer(4096, 400)
        + "region @rows 131072\n\n"
        + "func @tree(row: i64) -> i64 {\n"
        + "".join(lines)
        + "}\n\n"
        + """func @classify(count: i64, times: i64) -> i64 {
entry:
    zero = i64.const 0
    one = i64.const 1
    four = i64.const 4
    row_size = i64.const 32
    seed = i32.const 19
    multiplier = i32.const 1664525
    increment = i32.const 1013904223
    shift = i32.const 22
    total = i64.shl count, four
    jump fill(zero, seed)
fill(k: i64, x: i32):
    product = i32.mul x, multiplier
    x1 = i32.add product, increment
    feature = i32.shr_u x1, shift
    i32.store16 @rows[k*2], feature else trap 1
    k1 = i64.add k, one
    filling = i64.lt_s k1, total
    branch filling, fill(k1, x1), passes(zero, zero)
passes(pass: i64, sum: i64):
    more_passes = i64.lt_s pass, times
    branch more_passes, rows(zero, zero, sum), done
rows(i: i64, row: i64, part: i64):
    said = call @tree(row)
    i1 = i64.add i, one
    weighted = i64.mul said, i1
    part1 = i64.add part, weighted
    row1 = i64.add row, row_size
    more = i64.lt_s i1, count
    branch more, rows(i1, row1, part1), next_pass
next_pass:
    pass1 = i64.add pass, one
    jump passes(pass1, part1)
done:
    return sum
}
""",
    )


sha256_program()
network_program()
tree_program()
