/* Kernels of the kinds that PolyBench and the shootout have, without a C library: each is a function of a size, and gives a checksum. */
#include <stddef.h>
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(#name)))
#define MOST 256

static double a[MOST][MOST], b[MOST][MOST], c[MOST][MOST], d[MOST][MOST];

static void fill(int n) {
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            a[i][j] = (double)((i * j + 1) % n) / n;
            b[i][j] = (double)((i * (j + 1)) % n) / n;
            c[i][j] = (double)((i * (j + 3) + 1) % n) / n;
            d[i][j] = 0;
        }
    }
}

static double trace(double m[MOST][MOST], int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            sum += m[i][j] * (i + 2 * j + 1);
        }
    }
    return sum;
}

EXPORT(gemm) double gemm(int n) {
    fill(n);
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            c[i][j] *= 1.2;
        }
        for (int k = 0; k < n; k++) {
            for (int j = 0; j < n; j++) {
                c[i][j] += 1.5 * a[i][k] * b[k][j];
            }
        }
    }
    return trace(c, n);
}

EXPORT(two_products) double two_products(int n) {
    fill(n);
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int k = 0; k < n; k++) {
                sum += 1.5 * a[i][k] * b[k][j];
            }
            d[i][j] = sum;
        }
    }
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            double sum = c[i][j] * 1.2;
            for (int k = 0; k < n; k++) {
                sum += d[i][k] * b[k][j];
            }
            a[i][j] = sum;
        }
    }
    return trace(a, n);
}

EXPORT(jacobi) double jacobi(int n) {
    fill(n);
    for (int step = 0; step < 20; step++) {
        for (int i = 1; i < n - 1; i++) {
            for (int j = 1; j < n - 1; j++) {
                b[i][j] = 0.2 * (a[i][j] + a[i][j - 1] + a[i][j + 1] + a[i + 1][j] + a[i - 1][j]);
            }
        }
        for (int i = 1; i < n - 1; i++) {
            for (int j = 1; j < n - 1; j++) {
                a[i][j] = 0.2 * (b[i][j] + b[i][j - 1] + b[i][j + 1] + b[i + 1][j] + b[i - 1][j]);
            }
        }
    }
    return trace(a, n);
}

static int paths[MOST][MOST];

EXPORT(floyd_warshall) int floyd_warshall(int n) {
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            paths[i][j] = (i + j) % 13 == 0 || (i + j) % 7 == 0 ? 999 : i * j % 7 + 1;
        }
    }
    for (int k = 0; k < n; k++) {
        for (int i = 0; i < n; i++) {
            for (int j = 0; j < n; j++) {
                int through = paths[i][k] + paths[k][j];
                paths[i][j] = paths[i][j] < through ? paths[i][j] : through;
            }
        }
    }
    int sum = 0;
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            sum = sum * 31 + paths[i][j];
        }
    }
    return sum;
}

struct body {
    double x, y, z, vx, vy, vz, mass;
};

static struct body bodies[5];

EXPORT(nbody) double nbody(int n) {
    const double start[5][7] = {
        {0, 0, 0, 0, 0, 0, 39.47841760435743},
        {4.84143144246472090, -1.16032004402742839, -0.103622044471123109, 0.606326392995832, 2.81198684491626, -0.02521836165988763, 0.03769367487038949},
        {8.34336671824457987, 4.12479856412430479, -0.403523417114321381, -1.01077434617879, 1.82566237123041, 0.008415761376584154, 0.011286326131968767},
        {12.8943695621391310, -15.1111514016986312, -0.223307578892655734, 1.08279100644154, 0.868713018169608, -0.010832637401363636, 0.0017237240570597112},
        {15.3796971148509165, -25.9193146099879641, 0.179258772950371181, 0.979090732243898, 0.594698998647676, -0.034755955550407811, 0.0020336868699246304},
    };
    for (int i = 0; i < 5; i++) {
        bodies[i] = (struct body){start[i][0], start[i][1], start[i][2], start[i][3], start[i][4], start[i][5], start[i][6]};
    }
    for (int step = 0; step < n; step++) {
        for (int i = 0; i < 5; i++) {
            for (int j = i + 1; j < 5; j++) {
                double dx = bodies[i].x - bodies[j].x, dy = bodies[i].y - bodies[j].y, dz = bodies[i].z - bodies[j].z;
                double square = dx * dx + dy * dy + dz * dz;
                double magnitude = 0.01 / (square * __builtin_sqrt(square));
                bodies[i].vx -= dx * bodies[j].mass * magnitude;
                bodies[i].vy -= dy * bodies[j].mass * magnitude;
                bodies[i].vz -= dz * bodies[j].mass * magnitude;
                bodies[j].vx += dx * bodies[i].mass * magnitude;
                bodies[j].vy += dy * bodies[i].mass * magnitude;
                bodies[j].vz += dz * bodies[i].mass * magnitude;
            }
        }
        for (int i = 0; i < 5; i++) {
            bodies[i].x += 0.01 * bodies[i].vx;
            bodies[i].y += 0.01 * bodies[i].vy;
            bodies[i].z += 0.01 * bodies[i].vz;
        }
    }
    return bodies[0].x + bodies[1].y + bodies[2].z + bodies[3].vx + bodies[4].vy;
}

EXPORT(fannkuch) int fannkuch(int n) {
    int p[16], q[16], s[16];
    int sign = 1, most = 0, sum = 0;
    for (int i = 0; i < n; i++) {
        p[i] = q[i] = s[i] = i;
    }
    for (;;) {
        int first = p[0];
        if (first != 0) {
            for (int i = 1; i < n; i++) {
                q[i] = p[i];
            }
            int flips = 1;
            for (;;) {
                int other = q[first];
                if (other == 0) {
                    break;
                }
                q[first] = first;
                if (first >= 3) {
                    for (int i = 1, j = first - 1; i < j; i++, j--) {
                        int swap = q[i];
                        q[i] = q[j];
                        q[j] = swap;
                    }
                }
                first = other;
                flips++;
            }
            most = flips > most ? flips : most;
            sum += sign * flips;
        }
        if (sign == 1) {
            int swap = p[0];
            p[0] = p[1];
            p[1] = swap;
            sign = -1;
            continue;
        }
        int swap = p[1];
        p[1] = p[2];
        p[2] = swap;
        sign = 1;
        for (int i = 2; i < n; i++) {
            if (s[i] != 0) {
                s[i]--;
                break;
            }
            if (i == n - 1) {
                return sum * 100 + most;
            }
            s[i] = i;
            int zero = p[0];
            for (int j = 0; j <= i; j++) {
                p[j] = p[j + 1];
            }
            p[i + 1] = zero;
        }
    }
}

static double u[2048], v[2048], t[2048];

static double entry(int i, int j) {
    return 1.0 / ((i + j) * (i + j + 1) / 2 + i + 1);
}

EXPORT(spectral) double spectral(int n) {
    for (int i = 0; i < n; i++) {
        u[i] = 1;
    }
    for (int round = 0; round < 20; round++) {
        double *from = round % 2 ? v : u, *to = round % 2 ? u : v;
        for (int i = 0; i < n; i++) {
            t[i] = 0;
            for (int j = 0; j < n; j++) {
                t[i] += entry(i, j) * from[j];
            }
        }
        for (int i = 0; i < n; i++) {
            to[i] = 0;
            for (int j = 0; j < n; j++) {
                to[i] += entry(j, i) * t[j];
            }
        }
    }
    double uv = 0, vv = 0;
    for (int i = 0; i < n; i++) {
        uv += u[i] * v[i];
        vv += v[i] * v[i];
    }
    return __builtin_sqrt(uv / vv);
}

static uint8_t flags[1 << 20];

EXPORT(sieve) int sieve(int n) {
    int count = 0;
    for (int i = 2; i < n; i++) {
        flags[i] = 1;
    }
    for (int i = 2; i < n; i++) {
        if (flags[i]) {
            count++;
            for (int j = 2 * i; j < n; j += i) {
                flags[j] = 0;
            }
        }
    }
    return count;
}

static uint32_t rotate(uint32_t x, int by) {
    return x >> by | x << (32 - by);
}

EXPORT(sha256) uint32_t sha256(int blocks) {
    static const uint32_t k[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
        0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
        0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
        0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
        0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
        0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint32_t w[64];
    for (int block = 0; block < blocks; block++) {
        for (int i = 0; i < 16; i++) {
            w[i] = (uint32_t)(block * 16 + i) * 0x9e3779b9u;
        }
        for (int i = 16; i < 64; i++) {
            uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
            uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
            w[i] = w[i - 16] + s0 + w[i - 7] + s1;
        }
        uint32_t s[8];
        for (int i = 0; i < 8; i++) {
            s[i] = h[i];
        }
        for (int i = 0; i < 64; i++) {
            uint32_t s1 = rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25);
            uint32_t t1 = s[7] + s1 + ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
            uint32_t s0 = rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22);
            uint32_t t2 = s0 + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
            for (int j = 7; j > 0; j--) {
                s[j] = s[j - 1];
            }
            s[4] += t1;
            s[0] = t1 + t2;
        }
        for (int i = 0; i < 8; i++) {
            h[i] += s[i];
        }
    }
    return h[0] ^ h[1] ^ h[2] ^ h[3] ^ h[4] ^ h[5] ^ h[6] ^ h[7];
}

EXPORT(fib) int fib(int n) {
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static int order(int a, int b) {
    return a < b;
}

static int reverse(int a, int b) {
    return a > b;
}

static int numbers[1 << 16];

static void sort(int *first, int *last, int (*before)(int, int)) {
    while (last - first > 1) {
        int pivot = first[(last - first) / 2];
        int *i = first, *j = last - 1;
        while (i <= j) {
            while (before(*i, pivot)) {
                i++;
            }
            while (before(pivot, *j)) {
                j--;
            }
            if (i <= j) {
                int swap = *i;
                *i++ = *j;
                *j-- = swap;
            }
        }
        sort(first, j + 1, before);
        first = i;
    }
}

EXPORT(quicksort) int quicksort(int n) {
    int (*volatile before)(int, int) = n % 2 ? order : reverse;
    uint32_t state = 1;
    for (int i = 0; i < n; i++) {
        state = state * 1664525 + 1013904223;
        numbers[i] = (int)(state >> 8);
    }
    sort(numbers, numbers + n, before);
    int sum = 0;
    for (int i = 0; i < n; i++) {
        sum = sum * 31 + numbers[i];
    }
    return sum;
}
