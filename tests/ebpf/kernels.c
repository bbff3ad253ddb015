// Programs for eBPF, as clang makes them. Each is a function of its memory and a number. Made by `ci/ebpf-objects.sh`; the answers that tests
// expect are in `tests/tests/ebpf_objects.rs`, with where they come from.

typedef unsigned long long u64;
typedef long long s64;
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;

// How many primes there are below n, by the sieve of Eratosthenes in the first n bytes.
u64 sieve(u8 *memory, u64 n) {
  u64 count = 0;
  for (u64 i = 0; i < n; i++) memory[i] = 1;
  for (u64 i = 2; i < n; i++) {
    if (!memory[i]) continue;
    count++;
    for (u64 j = i * i; j < n; j += i) memory[j] = 0;
  }
  return count;
}

// CRC-32 of n bytes, as in Ethernet, bit by bit.
u64 crc32(const u8 *memory, u64 n) {
  u32 crc = ~0u;
  for (u64 i = 0; i < n; i++) {
    crc ^= memory[i];
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (0xedb88320u & -(crc & 1));
  }
  return (u32)~crc;
}

// FNV-1a of n bytes.
u64 fnv(const u8 *memory, u64 n) {
  u64 hash = 0xcbf29ce484222325ull;
  for (u64 i = 0; i < n; i++) hash = (hash ^ memory[i]) * 0x100000001b3ull;
  return hash;
}

static const u32 round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
static const u32 first_state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                   0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
static u32 schedule[64];
static u32 state[8];

static u32 rotate(u32 x, int n) { return x >> n | x << (32 - n); }

static __attribute__((noinline)) void compress(const u8 *block) {
  for (int i = 0; i < 16; i++)
    schedule[i] = (u32)block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 | block[4 * i + 3];
  for (int i = 16; i < 64; i++) {
    u32 a = schedule[i - 15], b = schedule[i - 2];
    u32 s0 = rotate(a, 7) ^ rotate(a, 18) ^ a >> 3;
    u32 s1 = rotate(b, 17) ^ rotate(b, 19) ^ b >> 10;
    schedule[i] = schedule[i - 16] + s0 + schedule[i - 7] + s1;
  }
  u32 a = state[0], b = state[1], c = state[2], d = state[3];
  u32 e = state[4], f = state[5], g = state[6], h = state[7];
  for (int i = 0; i < 64; i++) {
    u32 s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    u32 t1 = h + s1 + ((e & f) ^ (~e & g)) + round_constants[i] + schedule[i];
    u32 s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    u32 t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
  }
  state[0] += a, state[1] += b, state[2] += c, state[3] += d;
  state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

// The first eight bytes of the SHA-256 of n bytes, n below 2^29; the memory behind them is written.
u64 sha256(u8 *memory, u64 n) {
  for (int i = 0; i < 8; i++) state[i] = first_state[i];
  u64 end = (n + 8) / 64 * 64 + 64;
  memory[n] = 0x80;
  for (u64 i = n + 1; i < end - 4; i++) memory[i] = 0;
  u32 bits = (u32)n * 8;
  for (int i = 0; i < 4; i++) memory[end - 1 - i] = (u8)(bits >> 8 * i);
  for (u64 at = 0; at < end; at += 64) compress(memory + at);
  return (u64)state[0] << 32 | state[1];
}

// The trace of the product of two n by n matrices of numbers below 7.
u64 matrix(u8 *memory, u64 n) {
  u32 *a = (u32 *)memory, *b = a + n * n, *c = b + n * n;
  for (u64 i = 0; i < n * n; i++) a[i] = i % 7, b[i] = i * 3 % 7;
  for (u64 i = 0; i < n; i++)
    for (u64 j = 0; j < n; j++) {
      u32 sum = 0;
      for (u64 k = 0; k < n; k++) sum += a[i * n + k] * b[k * n + j];
      c[i * n + j] = sum;
    }
  u64 trace = 0;
  for (u64 i = 0; i < n; i++) trace += c[i * n + i];
  return trace;
}

// The number below n with the longest Collatz chain.
u64 collatz(u8 *memory, u64 n) {
  u64 best = 0, longest = 0;
  for (u64 start = 1; start < n; start++) {
    u64 length = 1;
    for (u64 x = start; x != 1; length++) x = x & 1 ? 3 * x + 1 : x >> 1;
    if (length > longest) longest = length, best = start;
  }
  return best;
}

// Sorts n words that it makes, and says how often they grow on the way: n - 1 less the equal neighbours.
u64 heapsort(u8 *memory, u64 n) {
  u64 *words = (u64 *)memory, x = 42;
  for (u64 i = 0; i < n; i++) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    words[i] = x;
  }
  for (u64 end = n, first = n / 2; end > 1;) {
    u64 word;
    if (first > 0) {
      word = words[--first];
    } else {
      word = words[--end];
      words[end] = words[0];
    }
    u64 hole = first;
    for (u64 child; (child = 2 * hole + 1) < end; hole = child) {
      if (child + 1 < end && words[child + 1] > words[child]) child++;
      if (words[child] <= word) break;
      words[hole] = words[child];
    }
    words[hole] = word;
  }
  u64 grows = 0;
  for (u64 i = 1; i < n; i++) grows += words[i] > words[i - 1];
  return grows;
}

static u64 passed;

// Lets TCP for port 443 pass, over IPv4 with any options, and counts it; drops what is no TCP for another port.
__attribute__((section("xdp"))) u64 filter(u32 *context) {
  u8 *packet = (u8 *)(u64)context[0], *end = (u8 *)(u64)context[1];
  if (packet + 34 > end || packet[12] != 8 || packet[13] != 0) return 1;
  if (packet[23] != 6) return 1;
  u8 *tcp = packet + 14 + (packet[14] & 15) * 4;
  if (tcp + 4 > end) return 1;
  if (tcp[2] != 443 >> 8 || tcp[3] != (443 & 255)) return 1;
  passed++;
  return 2;
}
